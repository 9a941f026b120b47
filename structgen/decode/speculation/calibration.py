"""Confidence that keeps its word: how often nodes of a given confidence were really accepted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from structgen.decode.speculation.drafter import Seen
from structgen.decode.speculation.tree import DraftTree

NUM_BINS = 16
PRIOR_WEIGHT = 8.0
MEMORY = 2_000.0
"""Nodes that a bin remembers; older ones fade."""


class Calibration:
    """Maps a drafter's confidence to the observed chance that a node is accepted once its parent was.

    Nodes are counted in bins of confidence, each with a prior of `PRIOR_WEIGHT` nodes that are accepted as often as
    they say.
    """

    def __init__(self) -> None:
        self._offered = np.zeros(NUM_BINS)
        self._accepted = np.zeros(NUM_BINS)

    def __call__(self, confidence: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Chances, float64, for confidences in 0 … 1."""
        said = np.clip(confidence.astype(np.float64), 0.0, 1.0)
        bins = _bins(said)
        chance: npt.NDArray[np.float64] = (self._accepted[bins] + PRIOR_WEIGHT * said) / (
            self._offered[bins] + PRIOR_WEIGHT
        )
        return chance

    def observe(self, confidence: npt.NDArray[np.float32], accepted: npt.NDArray[np.bool_]) -> None:
        """Counts nodes whose parents were accepted."""
        bins = _bins(np.clip(confidence.astype(np.float64), 0.0, 1.0))
        np.add.at(self._offered, bins, 1.0)
        np.add.at(self._accepted, bins, accepted.astype(np.float64))
        full = self._offered > MEMORY
        self._accepted[full] *= MEMORY / self._offered[full]
        self._offered[full] = MEMORY


def outcomes(seen: Seen) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """The nodes whose parents were accepted (the root always is), and whether they were."""
    tree: DraftTree = seen.tree
    accepted = np.zeros(tree.num_nodes + 1, np.bool_)
    accepted[[0, *seen.path]] = True
    tested = np.flatnonzero(accepted[tree.parents])
    return tested, accepted[1 + tested]


def _bins(chance: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    return np.minimum((chance * NUM_BINS).astype(np.intp), NUM_BINS - 1)
