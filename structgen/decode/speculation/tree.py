"""Draft trees as arrays.

A tree hangs below the last committed token. Logits, masks and states of a verification have one row more than the tree
has nodes: row 0 belongs to the last committed token, row `1 + i` to node `i`. `parents` speak of rows: a child of the
root has parent 0, a child of node `i` has parent `1 + i`. Parents come before their children, and siblings stand in
the order in which they were drawn, which the verification rules depend on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, eq=False)
class DraftTree:
    """What a drafter proposes.

    tokens: int32 [n], the drafted token of each node.
    parents: int32 [n], the row of each node's parent, in 0 … i for node i.
    depths: int32 [n], 1 for children of the root.
    q_rows: float32 [m, V] or None: the distributions the children were drawn from, each as it was when the first child
        was drawn (masked, temperature applied, and so on). None: the tree is deterministic, nothing was drawn.
    q_of_row: int32 [n + 1]: for each row the index of its distribution in `q_rows`, or -1: its children were not drawn.
    confidence: float32 [n] or None: what the drafter thinks the chance is that a node is accepted once its parent was.
        It decides which nodes are worth verifying, never what is accepted.
    """

    tokens: npt.NDArray[np.int32]
    parents: npt.NDArray[np.int32]
    depths: npt.NDArray[np.int32]
    q_rows: npt.NDArray[np.float32] | None
    q_of_row: npt.NDArray[np.int32]
    confidence: npt.NDArray[np.float32] | None = None

    @property
    def num_nodes(self) -> int:
        """Nodes, the root not counted."""
        return len(self.tokens)
