"""Chance: the random numbers of one prompt, and the only place where verification meets randomness.

Everything random is a coin, a draw, or uniform numbers that belong to positions of the text; the tests of the rules put
an enumeration in their place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch


class Chance:
    """Random numbers from a torch generator on the CPU (None: only for greedy decoding, which needs none)."""

    def __init__(self, generator: Any = None) -> None:
        self._generator = generator
        self._ahead: npt.NDArray[np.float64] = np.empty(0)

    def upcoming(self, n: int) -> npt.NDArray[np.float64]:
        """The next n uniform numbers, which stay where they are: number d is that of the d-th token from here."""
        missing = n - len(self._ahead)
        if missing > 0:
            fresh = torch.rand(missing, dtype=torch.float64, generator=self._generator).numpy()
            self._ahead = np.concatenate([self._ahead, fresh])
        return self._ahead[:n]

    def used(self, n: int) -> None:
        """n tokens were emitted: their numbers are gone. So a text depends on the seed and not on what was drafted."""
        self._ahead = self._ahead[n:]

    def coin(self, probability: float) -> bool:
        """True with a probability (of 1 or more: always; 0: never)."""
        number = float(self.upcoming(1)[0])
        self.used(1)
        return number < probability

    def draw(self, weights: npt.NDArray[np.float64]) -> int:
        """An index in proportion to its weight; weights are not negative and not all zero."""
        number = float(self.upcoming(1)[0])
        self.used(1)
        sums = np.cumsum(weights)
        index = int(np.searchsorted(sums, number * sums[-1], side="right"))
        return min(index, int(np.flatnonzero(weights)[-1]))
