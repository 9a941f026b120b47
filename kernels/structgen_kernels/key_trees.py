"""The memories of a whole draft tree (see `keys`), and what they take out of its masks, in one call each.

Most nodes cost nothing: a token that cannot change the memory leaves it as it is, and only a text that stands before a
key, or within the beginning of one that its object has, can be about to repeat one.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import TOKEN_DATA, TOKEN_START, helper, i64, u8
from structgen_kernels.jit import kernel
from structgen_kernels.keys import _KEY_BITS, _MODE_BITS, BEFORE_KEY, REPEATED, B, _read, forbid_keys, goes_on
from structgen_kernels.tree_masks import ENDED


@helper("int64(int64[::1], int32[:, ::1], int32[::1], int32[:, ::1], int64)")
def _narrows(h, cells, table, double, memory):
    """1 if some token could repeat a key after this memory, 0 if none can; or FULL_CELLS."""
    mode = memory & 15
    start = i64(h, TOKEN_START)
    for i in range(double.shape[1]):
        token = np.int64(double[mode, i])
        if token < 0:
            break
        after = _read(cells, table, memory, u8(h, TOKEN_DATA), start[token], start[token + 1])
        if after < 0:
            return after
        if after == REPEATED:
            return 1
    if mode == BEFORE_KEY:
        return 1 if cells[memory >> _MODE_BITS + _KEY_BITS, B] != 0 else 0
    return goes_on(cells, memory)


@kernel("int64(int64[::1], int32[:, ::1], int32[::1], uint8[::1], int32[:, ::1], int32[::1], int32[::1], int32[::1], "
      "int64[::1], uint8[::1])")  # fmt: skip
def tree_memories(h, cells, table, inert, double, tokens, parents, states, memories, narrows):
    """The memories of all rows of a draft tree. Returns how many `narrows` are 1, or FULL_CELLS.

    tokens, parents: int32 [n] as in `tree_masks.tree_states`, and states: int32 [n + 1], what it wrote: a node that
    repeats a key becomes 0 there, and so do those below it. inert, double: as in `structgen.masks.memory`. memories:
    int64 [n + 1], of which memories[0] is given; the others are written, 0 where there is no state. narrows: uint8
    [n + 1], written: whether the mask of a row may hold a token that repeats a key.
    """
    start, data = i64(h, TOKEN_START), u8(h, TOKEN_DATA)
    narrowed = np.int64(0)
    if states[0] > ENDED:
        narrowed = _narrows(h, cells, table, double, memories[0])
        if narrowed < 0:
            return narrowed
    narrows[0] = narrowed
    total = narrowed
    for i in range(tokens.shape[0]):
        parent, token = np.int64(parents[i]), np.int64(tokens[i])
        state, memory, narrowed = np.int64(states[i + 1]), np.int64(0), np.int64(0)
        if states[parent] == 0:
            state = 0
        if state > ENDED:
            memory, narrowed = memories[parent], np.int64(narrows[parent])
            if not inert[token] >> np.uint8(memory & 15) & 1:
                memory = _read(cells, table, memory, data, start[token], start[token + 1])
                if memory < 0:
                    return memory
                if memory == REPEATED:
                    state, narrowed = np.int64(0), np.int64(0)
                else:
                    narrowed = _narrows(h, cells, table, double, memory)
                    if narrowed < 0:
                        return narrowed
        states[i + 1] = state
        memories[i + 1] = memory
        narrows[i + 1] = narrowed
        total += narrowed
    return total


@kernel("int64(int64[::1], int64[::1], uint32[:, ::1], int32[::1], uint8[::1])")
def forbid_each(h, memories, masks, where, changed):
    """`forbid_keys` of memories[i] on row where[i] of masks; changed[i]: whether it took anything out.

    Returns 0 or FULL_CELLS; the rows are then to be filled again.
    """
    before = np.empty(masks.shape[1], np.uint32)
    for i in range(memories.shape[0]):
        row = masks[where[i]]
        for w in range(masks.shape[1]):
            before[w] = row[w]
        status = forbid_keys(h, memories[i], row)
        if status < 0:
            return status
        changed[i] = 0
        for w in range(masks.shape[1]):
            if row[w] != before[w]:
                changed[i] = 1
                break
    return 0
