"""What samplers give: samples, what they cost, and an estimate of Z."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

Status = Literal["complete", "budget", "empty"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One text.

    tokens: the text's tokens, its end-of-text token last.
    logp: its log-probability under the model (tempered and cut to top-k and top-p), in nats, end of text included.
    log_weight: its importance weight, log. 0 where the sampler draws from the aligned law itself; else the law of the
        weighted samples of one call is what tends to the aligned law.
    attempts: texts begun for it, those that came to nothing included.
    forward_passes: prefixes the model was asked about for it. Prefixes met before cost nothing.
    """

    tokens: tuple[int, ...]
    logp: float
    log_weight: float
    attempts: int
    forward_passes: int


@dataclass(frozen=True, slots=True)
class LogZ:
    """What is known of log Z, Z being the probability that the model, left alone, writes a text of the language.

    value: an estimate in nats: the log of a mean of estimates of Z, each of them unbiased whatever went before. (Where
        their number hangs on their outcome, as in drawing until n texts are found, the mean is biased by as much as one
        estimate in all of them.) Of `Rejection` and `CARS` see `of_acceptance`. nan where there is none.
    stderr: its standard error in nats (of Z, divided by Z); nan where it cannot be told from one number.
    lower, upper: log Z lies between them for certain: mass of the ends already seen, and bound of the trie.
    """

    value: float
    stderr: float
    lower: float
    upper: float

    @classmethod
    def of(cls, log_weights: Sequence[float], bracket: tuple[float, float]) -> LogZ:
        """From unbiased estimates of Z that were made one after the other, as logarithms; -inf is an estimate of 0."""
        value, stderr = log_mean(log_weights)
        return cls(value, stderr, *bracket)

    @classmethod
    def of_acceptance(cls, accepted: Sequence[bool], log_bounds: Sequence[float], bracket: tuple[float, float]) -> LogZ:
        """From attempts of which each was accepted with probability Z over its bound.

        The attempts accepted over the sum of the inverse bounds, kept within the bracket. (The plain mean of "bound if
        accepted" is unbiased, and useless where bounds begin at 1 and end at a tiny Z: nearly all of it is then in a
        first acceptance that never comes.)
        """
        bounds = np.array(log_bounds, np.float64)
        num = sum(accepted)
        if not num:
            return cls(math.nan if not len(bounds) else -math.inf, math.nan, *bracket)
        inverse, _ = log_mean(-bounds)
        value = min(max(math.log(num) - inverse - math.log(len(bounds)), bracket[0]), bracket[1])
        p = np.exp(np.minimum(value - bounds, 0.0))
        return cls(value, math.sqrt(float((p * (1.0 - p)).sum())) / num, *bracket)


@dataclass(frozen=True, slots=True)
class Samples(Sequence[Sample]):
    """The samples of one call, a sequence.

    status: "complete" (as many as were asked for), "budget" (the budget ended first), "empty" (no text of the language
        fits the limit: proven, not guessed).
    attempts, forward_passes, forward_calls: of the whole call; a call may ask about a batch of prefixes.
    num_drafted: prefixes that were read beside them, for speculation; those that texts came to are forward passes too.
    checks: tokens that a black-box predicate was asked about; 0 where masks were used.
    """

    items: tuple[Sample, ...]
    status: Status
    log_z: LogZ
    attempts: int
    forward_passes: int
    forward_calls: int
    checks: int = 0
    num_drafted: int = 0

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Sample, ...]: ...
    def __getitem__(self, index: int | slice) -> Sample | tuple[Sample, ...]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.items)

    def weights(self) -> npt.NDArray[np.float64]:
        """The samples' weights, summing to 1: float64 [n]."""
        logs = np.array([sample.log_weight for sample in self.items], np.float64)
        if not len(logs) or logs.max() == -np.inf:
            return np.zeros(len(logs))
        weights: npt.NDArray[np.float64] = np.exp(logs - logs.max())
        weights /= weights.sum()
        return weights

    def effective_size(self) -> float:
        """How many equally weighted samples these are worth (Kish)."""
        weights = self.weights()
        return float(1.0 / (weights**2).sum()) if weights.any() else 0.0

    def resampled(self, n: int, seed: int | None = None) -> tuple[Sample, ...]:
        """n samples drawn from these by their weights (systematically), to be used as if all weighed the same."""
        weights = self.weights()
        if not weights.any():
            raise ValueError("there is nothing to draw from")
        point = (np.random.default_rng(seed).random() + np.arange(n)) / n
        index = np.searchsorted(np.cumsum(weights), point, side="right").clip(max=len(weights) - 1)
        return tuple(self.items[i] for i in index)


def log_mean(logs: Iterable[float]) -> tuple[float, float]:
    """The log of the mean of exp(logs), and the standard error of that mean divided by it; nan where unknown."""
    values = np.array(list(logs), np.float64)
    if not len(values):
        return math.nan, math.nan
    top = values.max()
    if top == -np.inf:
        return -math.inf, math.nan
    scaled = np.exp(values - top)
    mean = float(scaled.mean())
    stderr = float(scaled.std(ddof=1)) / math.sqrt(len(values)) / mean if len(values) > 1 else math.nan
    return float(top) + math.log(mean), stderr
