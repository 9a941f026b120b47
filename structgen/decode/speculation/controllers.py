"""Controllers: how many nodes are worth drafting and verifying. They never change the text, only how fast it comes.

Trimming drops nodes for what they are, so it is for deterministic trees only; of drawn trees a controller sets the
budget.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from structgen.decode.speculation.build import keep_nodes, likeliest
from structgen.decode.speculation.calibration import Calibration, outcomes
from structgen.decode.speculation.drafter import Seen
from structgen.decode.speculation.tree import DraftTree


class Controller(Protocol):
    """Asked before drafting, and before the pass; told what came of it. Shared by the texts of a batch."""

    def budget(self, num_texts: int) -> int:
        """Nodes that a drafter may propose for one of `num_texts` texts in the next pass; 0: do not speculate."""

    def trim(self, tree: DraftTree, num_texts: int) -> DraftTree:
        """What of a deterministic tree is worth a place in the pass."""

    def drafted(self, seconds: float, num_texts: int) -> None:
        """What drafting for a pass took."""

    def observe(self, seen: Seen) -> None:
        """What the target said of one tree."""

    def passed(self, num_tokens: int, num_texts: int, seconds: float) -> None:
        """What a pass over `num_tokens` tokens of `num_texts` texts took."""


class Fixed:
    """The same number of nodes always."""

    def __init__(self, num_nodes: int = 32) -> None:
        if num_nodes < 0:
            raise ValueError(f"num_nodes must not be negative, not {num_nodes}")
        self.num_nodes = num_nodes

    def budget(self, num_texts: int) -> int:
        return self.num_nodes

    def trim(self, tree: DraftTree, num_texts: int) -> DraftTree:
        return tree

    def drafted(self, seconds: float, num_texts: int) -> None:
        pass

    def observe(self, seen: Seen) -> None:
        pass

    def passed(self, num_tokens: int, num_texts: int, seconds: float) -> None:
        pass


class StopByRejection(Fixed):
    """Stops where a node is likelier than `threshold` to be rejected, itself or with one before it on its path.

    "SpecDec++: Boosting Speculative Decoding via Adaptive Candidate Lengths" shows that a threshold on that chance is
    the best policy, and trains a head for it; here the chance is the drafter's own confidence, calibrated by what was
    accepted.
    """

    def __init__(self, threshold: float = 0.9, num_nodes: int = 32) -> None:
        super().__init__(num_nodes)
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f"threshold must be in (0, 1], not {threshold}")
        self.threshold = threshold
        self._calibration = Calibration()

    def trim(self, tree: DraftTree, num_texts: int) -> DraftTree:
        return keep_nodes(tree, 1.0 - calibrated_paths(tree, self._calibration) <= self.threshold)

    def observe(self, seen: Seen) -> None:
        if seen.tree.confidence is not None:
            tested, accepted = outcomes(seen)
            self._calibration.observe(seen.tree.confidence[tested], accepted)


SIZES = (0, 1, 2, 4, 8, 12, 16, 24, 32, 48, 64)
PROBE_EVERY = 16
FADE = 0.9


class Goodput:
    """As many nodes as give the most tokens a second, down to none.

    "Optimizing Speculative Decoding for Serving Using Goodput" (SmartSpec): expected tokens of a pass over its expected
    time. The tokens are one and the sum of the nodes' calibrated chances; the time is what passes of such sizes took,
    a straight line in the number of tokens, and what drafting took. Where speculation does not pay, every
    `PROBE_EVERY`th pass drafts all the same, to notice when it does again.
    """

    def __init__(self, max_nodes: int = 64) -> None:
        if max_nodes < 1:
            raise ValueError(f"max_nodes must be at least 1, not {max_nodes}")
        self.max_nodes = max_nodes
        self._calibration = Calibration()
        self._line = _Line()
        self._draft_s = 0.0
        self._gain = 1.0  # tokens a text gains in a pass from drafting, lately
        self._since_probe = 0
        self._proposed = False

    def budget(self, num_texts: int) -> int:
        self._since_probe += 1
        base = self._line(num_texts)
        if base is not None and self._gain * base < self._draft_s and self._since_probe < PROBE_EVERY:
            return 0  # drafting alone takes longer than the passes it would save
        self._since_probe = 0
        return self.max_nodes

    def trim(self, tree: DraftTree, num_texts: int) -> DraftTree:
        if not tree.num_nodes:
            return tree
        chances = np.sort(calibrated_paths(tree, self._calibration))[::-1]
        expected = np.concatenate(([0.0], np.cumsum(chances)))
        best, best_rate = tree.num_nodes, -1.0
        for size in SIZES:
            if size > tree.num_nodes:
                break
            seconds = self._line(num_texts * (1 + size))
            if seconds is None:
                return tree  # nothing measured yet
            rate = (1.0 + expected[size]) / (seconds + self._draft_s)
            if rate > best_rate:
                best, best_rate = size, rate
        if best == tree.num_nodes:
            return tree
        return likeliest(tree, best)

    def drafted(self, seconds: float, num_texts: int) -> None:
        self._proposed = self._since_probe == 0
        if self._proposed:
            self._draft_s = FADE * self._draft_s + (1 - FADE) * seconds if self._draft_s else seconds

    def observe(self, seen: Seen) -> None:
        if seen.tree.confidence is not None and seen.tree.num_nodes:
            tested, accepted = outcomes(seen)
            self._calibration.observe(seen.tree.confidence[tested], accepted)
        if self._proposed:
            self._gain = FADE * self._gain + (1 - FADE) * len(seen.path)

    def passed(self, num_tokens: int, num_texts: int, seconds: float) -> None:
        self._line.add(num_tokens, seconds)


def calibrated_paths(tree: DraftTree, calibration: Calibration) -> npt.NDArray[np.float64]:
    """float64 [n]: the chance that each node is accepted, all before it included."""
    said = np.ones(tree.num_nodes, np.float32) if tree.confidence is None else tree.confidence
    chance = calibration(said)
    paths = np.ones(tree.num_nodes + 1)
    for i, parent in enumerate(tree.parents.tolist()):
        paths[i + 1] = paths[parent] * chance[i]
    return paths[1:]


class _Line:
    """Seconds of a pass as a straight line in its number of tokens: least squares, old passes fading."""

    def __init__(self) -> None:
        self._sums = np.zeros(5)  # weight, x, y, xx, xy

    def add(self, num_tokens: int, seconds: float) -> None:
        x = float(num_tokens)
        self._sums = 0.98 * self._sums + np.array([1.0, x, seconds, x * x, x * seconds])

    def __call__(self, num_tokens: int) -> float | None:
        weight, x, y, xx, xy = self._sums.tolist()
        if weight < 0.5:
            return None
        spread = weight * xx - x * x
        slope = max((weight * xy - x * y) / spread, 0.0) if spread > 1e-9 * weight * xx else 0.0
        return max((y - slope * x) / weight + slope * num_tokens, 1e-9)
