"""Draft trees in the machine: the states of all nodes, and their masks, in one call each.

States are memoised by the machine and masks by the store, so a tree that was seen before costs its row copies.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import COUNT, ENDING, FIRST_STATE, STEPS_LEFT, i32
from structgen_kernels.jit import kernel
from structgen_kernels.machine import accepts, advance_token
from structgen_kernels.masks import fill_mask

ENDED = 1  # in place of a state: the text ended with an end-of-text token; nothing follows
WRONG_PARENT = 1  # a result: a node's parent is not a row before it


@kernel("int64(int64[::1], int32[::1], int32[::1], int32[::1], int64[::1])")
def tree_states(h, tokens, parents, states, done):
    """The states of all rows of a draft tree.

    tokens, parents: int32 [n], node i is row i + 1; parents are rows, each before its children. states: int32
    [n + 1], of which states[0] is given; the others are written: ENDED after an end-of-text token, 0 where a node is
    illegal or below one that is. done: int64 [1], nodes finished. Returns 0, or WRONG_PARENT, or a status: then call
    again to go on.
    """
    ends = i32(h, ENDING)
    for i in range(done[0], tokens.shape[0]):
        if parents[i] < 0 or parents[i] > i:
            return WRONG_PARENT
        s = np.int64(states[parents[i]])
        t = np.int64(0)
        if s >= FIRST_STATE:
            is_end = False
            for z in range(h[COUNT + ENDING]):
                is_end |= ends[z] == tokens[i]
            if is_end:
                t = np.int64(ENDED) if accepts(h, s) else np.int64(0)
            else:
                t = advance_token(h, s, np.int64(tokens[i]))
                if t < 0:
                    return t
        states[i + 1] = t
        done[0] = i + 1
    return 0


@kernel("int64(int64[::1], int32[::1], int32[::1], uint32[:, ::1], int64, int64[::1])")
def fill_masks(h, states, where, out, max_steps, done):
    """Writes the mask of states[i] into row where[i] of out, uint32 [R, at least WORDS]; zeros if it is not a state.

    max_steps: trie nodes that each mask may visit, negative: any number. done: int64 [2], masks finished and begun.
    Returns 0 or a status; call again to go on.
    """
    # States repeat within a tree (inside a string most nodes share one), and a copy of a finished row, 0.6 µs at 128k
    # tokens, is a third of what putting its entries together again takes.
    written = np.full(64, -1, np.int64)
    for i in range(done[0], states.shape[0]):
        if states[i] < FIRST_STATE:
            out[where[i], :] = 0
            done[0] = done[1] = i + 1
            continue
        same = written[states[i] & 63]
        if same >= 0 and states[same] == states[i]:
            row, other = out[where[i]], out[where[same]]
            for w in range(out.shape[1]):  # numba's slice assignment takes 2.5 times as long
                row[w] = other[w]
        else:
            if max_steps >= 0 and done[1] == i:
                h[STEPS_LEFT] = max_steps
            done[1] = i + 1
            status = fill_mask(h, np.int64(states[i]), out, np.int64(where[i]))
            if status < 0:
                return status
            written[states[i] & 63] = i
        done[0] = done[1] = i + 1
    return 0


@kernel("int64(int32[::1], int32[::1], int64[::1], int64, int32[::1])")
def rows_of_states(states, row_of, used, step, ids):
    """Looks up the rows of a store: ids[i] = row_of[states[i]], -1 where that has none. Returns how many have none.

    states, ids: int32 [m]; row_of: int32 by state, -1: no row; states past its end have none. used: int64 by row,
    written: the step that used it last. Row 0 is not counted as used.
    """
    num_missing = 0
    for i in range(states.shape[0]):
        row = np.int64(row_of[states[i]]) if states[i] < row_of.shape[0] else np.int64(-1)
        ids[i] = row
        if row > 0:
            used[row] = step
        elif row < 0:
            num_missing += 1
    return num_missing
