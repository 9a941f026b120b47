"""Sampling: from rows of logits and masks to a token each.

The order is that of transformers: mask, temperature, top-k, top-p. Temperature 0 is the argmax. Each row of a batch has
random numbers of its own, so that what a prompt gives does not depend on its neighbours: one number a token, which
picks the token in the ascending order of ids. So the same seed gives the same text on every device, with drafts and
without, up to where rounding moves a boundary.

Rows go to the fused kernels, which read them once and write nothing as wide as they are, but for greedy decoding over a
small vocabulary on the CPU: there the kernel's arguments take longer to check than a row to mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from structgen.decode.chance import Chance
from structgen.errors import MatcherError
from structgen_kernels.bitmask import apply_bitmask

MIN_GREEDY_ON_CPU = 1 << 14
"""Narrower greedy rows are masked and searched by torch on the CPU."""


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

    def chance(self, row: int) -> Chance:
        """The random numbers of one row of a batch: those of `seed + row`, or fresh ones."""
        if self.temperature == 0.0:  # nothing is drawn
            return Chance()
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed + row)
        return Chance(generator)


def choose(logits: Any, bitmask: Any, sampling: Sampling, chances: Sequence[Chance]) -> list[tuple[int, float]]:
    """One token of each row, and its log-probability in nats.

    The log-probability is that of the distribution drawn from: masked, tempered, cut to top-k and top-p. For greedy
    decoding, where that would always be 0, it is the masked distribution's at temperature 1.

    Args:
        logits: float32, bfloat16 or float16 tensor [n, V], unmasked.
        bitmask: int32 array [n, words] on the host, one mask a row.
        sampling: how to draw.
        chances: the random numbers of each row; one is used, unless nothing is drawn.

    Raises:
        MatcherError: an allowed logit is NaN or +inf, or none is finite.
    """
    if sampling.temperature == 0.0 and logits.device.type == "cpu" and logits.shape[1] < MIN_GREEDY_ON_CPU:
        return _choose_greedily(logits, bitmask)
    from structgen_kernels.verify import masked_sample  # compiles kernels where they are not yet

    uniforms = None
    if sampling.temperature > 0.0:
        uniforms = np.array([chance.upcoming(1)[0] for chance in chances])
    choice = masked_sample(
        logits,
        torch.from_numpy(np.ascontiguousarray(bitmask, np.int32)).to(logits.device),
        np.arange(len(logits)),
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        uniforms=uniforms,
    )
    if (choice.tokens < 0).any():
        raise broken_row()
    if sampling.temperature > 0.0:
        for chance in chances:
            chance.used(1)
    return list(zip(choice.tokens.tolist(), choice.logprobs.tolist(), strict=True))


def _choose_greedily(logits: Any, bitmask: Any) -> list[tuple[int, float]]:
    masked = logits.clone()
    apply_bitmask(masked, bitmask)
    best, tokens = masked.max(-1)  # on the CPU the first of equal ones
    if not bool(torch.isfinite(best).all()):
        raise broken_row()
    logprobs = best - torch.logsumexp(masked, -1)
    return list(zip(tokens.tolist(), logprobs.tolist(), strict=True))


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
        raise broken_row()


def broken_row() -> MatcherError:
    """What is raised where a row has no token to choose."""
    return MatcherError(
        "the model gave no finite logit to any allowed token", advice="look for NaN in the model, or try float32"
    )
