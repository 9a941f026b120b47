"""What the rows of a draft tree remember, and which of their masks are narrower for it.

Where only keys are remembered, and none of their languages is thin, all rows are followed in one call (see
`structgen_kernels.key_trees`); other memories are followed node by node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from structgen.masks.memory import Memory
from structgen_kernels import tree_masks

if TYPE_CHECKING:
    from structgen.masks.distinct import DistinctMemory

Remembering: TypeAlias = "Memory | DistinctMemory"


class TreeMemories(NamedTuple):
    """What the rows of a draft tree remember.

    memories: int64 [n + 1], 0 where there is no state. states: int32 [n + 1], those of the engine. narrowed: intp [m],
    ascending, the rows out of whose masks tokens may have to be taken; the others' masks are those of their states.
    """

    remembering: Remembering
    memories: npt.NDArray[np.int64]
    states: npt.NDArray[np.int32]
    narrowed: npt.NDArray[np.intp]
    thin: int

    def forbid(
        self, rows: npt.NDArray[np.intp], masks: npt.NDArray[np.uint32], where: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.uint8]:
        """Takes out of the masks of these rows, in rows `where` of uint32 [R, words], the tokens that repeat something.

        uint8 [len(rows)]: whether there was one.
        """
        if isinstance(self.remembering, Memory) and not self.thin:
            return self.remembering.forbid_each(self.memories[rows], masks, where)
        changed = np.zeros(len(rows), np.uint8)
        for i, (row, at) in enumerate(zip(rows.tolist(), where.tolist(), strict=True)):
            whole = masks[at].copy()
            self.remembering.forbid(int(self.memories[row]), masks[at], int(self.states[row]), self.thin)
            changed[i] = (masks[at] != whole).any()
        return changed


def follow(
    remembering: Remembering,
    memory: int,
    tokens: npt.NDArray[np.int32],
    parents: npt.NDArray[np.int32],
    states: npt.NDArray[np.int32],
    thin: int,
) -> TreeMemories:
    """The memories of a draft tree's n + 1 rows, `memory` the first of them.

    states, int32 [n + 1], are those of the engine, and written: a node that repeats something, or can only do so,
    becomes illegal (0), and so do those below it.
    """
    if isinstance(remembering, Memory) and not thin:
        memories, narrowed = remembering.of_tree(memory, tokens, parents, states)
        return TreeMemories(remembering, memories, states, narrowed, thin)
    memories = np.zeros(len(states), np.int64)
    memories[0] = memory
    for i, (token, parent) in enumerate(zip(tokens.tolist(), parents.tolist(), strict=True), 1):
        if not states[parent]:
            states[i] = 0  # also where a node ends the text below one that has just become illegal
        elif states[i] > tree_masks.ENDED:
            states[i], memories[i] = remembering.commit(
                int(states[parent]), int(memories[parent]), token, int(states[i]), thin
            )
    return TreeMemories(remembering, memories, states, np.flatnonzero(states > tree_masks.ENDED), thin)
