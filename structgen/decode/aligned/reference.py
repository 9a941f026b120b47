"""What laws are measured against: the aligned law of a model and grammar, listed where it can be, else drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from structgen.decode.aligned.cars import CARS
from structgen.decode.aligned.diagnostics import Ends, ends, explore
from structgen.decode.aligned.futures import ROOT, Futures
from structgen.decode.aligned.gcd import GCD
from structgen.decode.aligned.model import LanguageModel, Shape
from structgen.decode.aligned.result import LogZ, Sample, Samples
from structgen.decode.aligned.space import Space

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar

KNOWN_GAP = 1e-3
"""log Z counts as worked out when it is known to so many nats."""
_BATCH_SIZE = 32


class Reference:
    """The aligned law, as well as it can be known: every text of the language, or draws of `CARS` and of masking.

    Where the language is listed, laws are compared by summing over all texts. Where it is not, by multiple importance
    sampling (the balance heuristic of "Optimally Combining Sampling Techniques for Monte Carlo Rendering") over draws
    of masking and of the aligned law together, between which ASAp's law lies; the model is then asked no more.

    Args:
        model: best one that keeps its rows (see `diagnostics.Recorded`).
        grammar, max_tokens: the language.
        shape: temperature, top-k and top-p.
        list_budget: forward passes for listing the language.
        num_draws: draws of masking, and of CARS.
        budget: forward passes for either.
        seed: of the draws.

    Attributes:
        log_z: worked out where `is_exact` (then `value` is the middle of the bracket), else estimated by CARS, or by
            masking where CARS found nothing.
        is_exact: log Z is known within `KNOWN_GAP`.
        is_listed: every text is there.
        listed: the texts found while listing. masked, aligned: draws.
        explored: forward passes that listing took.
    """

    def __init__(
        self,
        model: LanguageModel,
        grammar: CompiledGrammar,
        *,
        max_tokens: int,
        shape: Shape,
        list_budget: int,
        num_draws: int,
        budget: int,
        seed: int = 0,
    ) -> None:
        self._space = Space(model, grammar, max_tokens=max_tokens, shape=shape)
        low, high = explore(self._space, budget=list_budget, gap=-1.0)
        self.explored = self._space.forward_passes
        self.is_exact = high - low <= KNOWN_GAP
        self.listed: Ends = ends(self._space.futures)
        self.is_listed = self.is_exact and self._space.futures.is_complete() and len(self.listed.texts) > 0
        options: dict[str, Any] = {
            "max_tokens": max_tokens,
            "temperature": shape.temperature,
            "top_k": shape.top_k,
            "top_p": shape.top_p,
            "batch_size": _BATCH_SIZE,
        }
        self.masked: Samples = GCD(model, grammar, seed=seed, **options).sample(num_draws, budget=budget)
        self.aligned: Samples | None = None
        if self.is_exact:
            self.log_z = LogZ((low + high) / 2.0, (high - low) / 2.0, low, high)
        else:
            self.aligned = CARS(model, grammar, seed=seed, **options).sample(num_draws, budget=budget)
            found = self.aligned.log_z if len(self.aligned) else self.masked.log_z
            low, high = max(low, found.lower), min(high, found.upper)
            self.log_z = LogZ(min(max(found.value, low), high), min(found.stderr, high - low), low, high)
        self._draws: list[_Path] = []
        if not self.is_listed:
            draws = (*self.masked, *(self.aligned or ()))
            known = {sample.tokens: self._path(sample) for sample in draws}
            self._draws = [known[sample.tokens] for sample in draws]

    def kl(self, learnt: Futures | None = None) -> tuple[float, float]:
        """KL(next text ‖ aligned law) in nats, and its standard error: of masking, or of ASAp with these futures.

        The law is that of what is finished. The error is 0 where the language is listed, and includes that of log Z
        else; both are nan where there are not two draws.
        """
        if self.is_listed:
            return (self.listed if learnt is None else ends(self._space.futures, learnt)).kl(), 0.0
        draws, num_masked = self._draws, len(self.masked)
        if len(draws) < 2 or not math.isfinite(self.log_z.value):
            return math.nan, math.nan
        log_p = np.array([each.logp for each in draws]) - self.log_z.value
        masking = np.array([each.masked[0] for each in draws])
        log_q = masking if learnt is None else np.array([self._log_law(each, learnt) for each in draws])
        finished = num_masked / max(self.masked.attempts, 1)
        log_m = np.logaddexp(
            masking - _log(finished or 1.0) + _log(num_masked / len(draws)), log_p + _log(1.0 - num_masked / len(draws))
        )
        # Of what is finished: made to sum to 1 by the draws themselves.
        log_q = log_q - math.log(np.exp(log_q - log_m).mean())
        q, p, m = np.exp(log_q), np.exp(log_p), np.exp(log_m)
        with np.errstate(invalid="ignore"):
            terms = (np.where(q > 0.0, q * (log_q - log_p), 0.0) - q + p) / m  # none is negative
        return float(terms.mean()), math.hypot(float(terms.std(ddof=1)) / math.sqrt(len(terms)), self.log_z.stderr)

    def _path(self, sample: Sample) -> _Path:
        """What masking's law makes of a draw; the prefixes are known to the model."""
        futures, steps, edges = self._space.futures, [], []
        for node, token in zip(self._space.walk(sample.tokens), sample.tokens, strict=True):
            edge = futures.edge_of(node, token)
            assert edge is not None, "a draw is a text of the language"
            edges.append(edge)
            log_mass = futures.weights(node, self._space.scratch, use_theta=False)
            steps.append(futures.logp_at(node, edge) - log_mass)
        masked = np.append(np.cumsum(np.array(steps)[::-1])[::-1], 0.0)
        return _Path(edges, sample.logp, masked.tolist())

    def _log_law(self, path: _Path, learnt: Futures) -> float:
        """Log-probability with which ASAp writes a text: by what was learnt as far as that goes, then by masking."""
        total, twin = 0.0, ROOT
        if not learnt.num_nodes:
            return path.masked[0]
        for i, edge in enumerate(path.edges):
            log_sum = learnt.weights(twin, self._space.scratch, use_theta=True)
            theta = learnt.theta_at(twin, edge)
            if theta == -math.inf:
                return -math.inf
            total += learnt.logp_at(twin, edge) + theta - log_sum
            twin = learnt.child_at(twin, edge)
            if twin < 0:
                return total + path.masked[i + 1]
        return total


@dataclass(frozen=True, eq=False)
class _Path:
    """A draw: its edges, its log-probability under the model, and that of its rest under masking after i tokens."""

    edges: list[int]
    logp: float
    masked: list[float]


def _log(x: float) -> float:
    return math.log(x) if x > 0.0 else -math.inf
