"""Sampling: from a row of logits in which only allowed tokens are finite to one token.

The order is that of transformers: mask, temperature, top-k, top-p. Temperature 0 is the argmax. Each row of a batch has
a random generator of its own, so that what a prompt gives does not depend on its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from structgen.errors import MatcherError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a token is drawn. `temperature` 0 is greedy; `top_k` and `top_p` None leave the distribution whole."""

    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.temperature >= 0.0 or self.temperature == float("inf"):
            raise ValueError(f"temperature must be a finite number >= 0, not {self.temperature}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")

    def generator(self, row: int) -> Any:
        """The random generator of one row of a batch: `seed + row`, or fresh entropy. None where nothing is drawn."""
        if self.temperature == 0.0:
            return None
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed + row)
        return generator


def choose(logits: Any, sampling: Sampling, generator: Any) -> tuple[int, float]:
    """One token of a masked row (float [V], -inf where not allowed), and its log-probability in nats.

    The log-probability is that of the distribution drawn from: masked, tempered, cut to top-k and top-p. For greedy
    decoding, where that would always be 0, it is the masked distribution's at temperature 1.
    """
    if sampling.temperature == 0.0:
        _check_finite(logits)
        token = int(torch.argmax(logits))
        return token, float(logits[token] - torch.logsumexp(logits, -1))
    logp, kept = distribution(logits, sampling)
    # Drawn on the CPU: the same seed then gives the same text on every device.
    drawn = int(torch.multinomial(logp.exp().cpu(), 1, generator=generator))
    return int(kept[drawn]), float(logp[drawn])


def distribution(logits: Any, sampling: Sampling) -> tuple[Any, Any]:
    """What a masked row (float [V]) is drawn from at a temperature > 0: log-probabilities [n], and their tokens [n]."""
    _check_finite(logits)
    logp = torch.log_softmax(logits / sampling.temperature, -1)
    kept = torch.arange(logp.shape[-1], device=logp.device)
    if sampling.top_k is not None and sampling.top_k < logp.shape[-1]:
        logp, kept = torch.topk(logp, sampling.top_k)
    if sampling.top_p is not None and sampling.top_p < 1.0:
        logp, order = torch.sort(torch.log_softmax(logp, -1), descending=True, stable=True)
        before = torch.cumsum(logp.exp(), -1) - logp.exp()
        logp = logp[before < sampling.top_p]  # never empty: nothing stands before the likeliest token
        kept = kept[order[: logp.shape[-1]]]
    return torch.log_softmax(logp, -1), kept


def _check_finite(logits: Any) -> None:
    if not bool(torch.isfinite(logits.max())):
        raise MatcherError(
            "the model gave no finite logit to any allowed token", advice="look for NaN in the model, or try float32"
        )
