"""Randomness: the only place where samplers draw.

Everything a sampler leaves to chance is a choice among weights, a coin, or a point in an interval of which only the
piece matters. A test can therefore put an enumerator in the source's place and get a sampler's law exactly.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Source(Protocol):
    """Where choices come from."""

    def pick(self, weights: npt.NDArray[np.float64]) -> int:
        """An index with probability in proportion to its weight; weights are >= 0 and not all 0."""
        ...

    def coin(self, log_p: float) -> bool:
        """True with probability exp(log_p); always for log_p >= 0."""
        ...

    def point(self, breaks: npt.NDArray[np.float64]) -> float:
        """A uniform point of [0, 1), for a caller who only asks between which `breaks` it lies."""
        ...


class Random:
    """The source of every sampler: numpy's PCG64 with a seed (None: fresh entropy)."""

    def __init__(self, seed: int | None = None) -> None:
        self._rng = np.random.default_rng(seed)

    def pick(self, weights: npt.NDArray[np.float64]) -> int:
        """See `Source.pick`."""
        cumulative = np.cumsum(weights)
        index = int(np.searchsorted(cumulative, self._rng.random() * cumulative[-1], side="right"))
        if index == len(weights):  # the product may round up to the total
            index = int(np.flatnonzero(weights)[-1])
        return index

    def coin(self, log_p: float) -> bool:
        """See `Source.coin`."""
        return log_p >= 0.0 or (log_p > -math.inf and self._rng.random() < math.exp(log_p))

    def point(self, breaks: npt.NDArray[np.float64]) -> float:
        """See `Source.point`."""
        return float(self._rng.random())
