"""Masks of many texts at once: those that are in the store are copied, by as many threads as the caller likes.

Finding a mask for the first time writes to the arena and belongs to one thread (`tree_masks.fill_masks`); copying one
that was found before only reads it.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import FIRST_STATE
from structgen_kernels.jit import kernel
from structgen_kernels.keys import forbid_keys
from structgen_kernels.masks import copy_mask, is_found


@kernel("int64(int64[::1], int32[::1], uint8[::1])")
def survey(h, states, found):
    """found[i]: 1 if the mask of states[i] is in the store and can be copied. Returns how many are.

    states: int32 [n]; found: uint8 [n], written. What is no state (0: dead, 1: ended) has an empty mask and is found.
    """
    num_found = 0
    for i in range(states.shape[0]):
        found[i] = states[i] < FIRST_STATE or is_found(h, np.int64(states[i]))
        num_found += found[i]
    return num_found


@kernel("void(int64[::1], int32[::1], uint8[::1], int32[::1], uint32[:, ::1], int64, int64)")
def copy_masks(h, states, found, where, out, begin, end):
    """Write the masks of states[begin:end] that are found (see `survey`) into rows where[begin:end] of out.

    states, where: int32 [n]; found: uint8 [n]; out: uint32 [R, at least WORDS], every word of these rows is written.
    Several threads may do this at once, for different rows, while nothing else is done to the arena that could give up
    a row.
    """
    for i in range(begin, end):
        if found[i] == 0:
            continue
        if states[i] < FIRST_STATE:
            out[where[i], :] = 0
        else:
            copy_mask(h, np.int64(states[i]), out, np.int64(where[i]))


@kernel("int64(int64[::1], int64[::1], int32[::1], uint32[:, ::1])")
def forbid_rows(h, memories, where, out):
    """`keys.forbid_keys` of memories[i] on row where[i] of out, uint32 [R, words]; where a memory is 0 nothing is.

    h: the header of the memories; memories: int64 [n], where: int32 [n]. Returns 0 or FULL_CELLS.
    """
    for i in range(memories.shape[0]):
        if memories[i] != 0:
            status = forbid_keys(h, memories[i], out[where[i]])
            if status < 0:
                return status
    return 0
