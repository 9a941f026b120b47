"""A distribution of times: mean and exact percentiles by nearest rank, in microseconds.

Nearest rank (the smallest value with at least p % of all at or below it) is always a time that was really measured,
and p100 is the maximum.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

PERCENTILES = (25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 100.0)


@dataclass(frozen=True, slots=True)
class Times:
    """How long something took, ``num`` times over. ``mean_us`` and the percentiles are NaN where ``num`` is 0."""

    num: int
    mean_us: float
    percentiles_us: tuple[float, ...]
    """In the order of ``PERCENTILES``."""

    @classmethod
    def of(cls, lists_ns: Iterable[Iterable[int]]) -> Times:
        """The distribution of all values of all lists, in nanoseconds."""
        parts = [np.asarray(list(each), dtype=np.int64) for each in lists_ns]
        values = np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int64)
        if not len(values):
            return cls(0, math.nan, (math.nan,) * len(PERCENTILES))
        picked = tuple(float(values[nearest_rank(len(values), percent)]) / 1000 for percent in PERCENTILES)
        return cls(len(values), float(values.mean()) / 1000, picked)

    def rows(self) -> list[tuple[str, float]]:
        """(name, µs) for the mean and each percentile."""
        named = [(f"p{percent:g}", value) for percent, value in zip(PERCENTILES, self.percentiles_us, strict=True)]
        return [("avg", self.mean_us), *named]


def nearest_rank(num: int, percent: float) -> int:
    """The index, from 0, of a percentile among ``num`` sorted values."""
    tenths = round(percent * 10)  # whole numbers: 0.999 * 1000 must not become 1000 by rounding
    return max(0, -(-num * tenths // 1000) - 1)
