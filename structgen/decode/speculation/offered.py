"""Drawn children of a node, and the token that comes of testing them (adapter to the verification rules)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Offered:
    """Children in the order in which they were drawn, without replacement, from q (float32 [V]).

    q is the distribution the first of them was drawn from; each later one was drawn from q without those before it.
    """

    tokens: list[int]
    q: npt.NDArray[np.float32]


def draw(p: npt.NDArray[np.float64], offered: Offered, generator: Any) -> int:
    """A token distributed as p (float64 [V]), which is an offered one as often as the rule allows."""
    raise NotImplementedError
