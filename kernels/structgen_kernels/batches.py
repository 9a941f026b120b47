"""Masks of many texts at once: those that are in the store are copied, by as many threads as the caller likes.

Finding a mask for the first time writes to the arena and belongs to one thread (`tree_masks.fill_masks`); copying one
that was found before only reads it.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    ACCEPTS,
    E_KIND,
    E_ROW,
    E_START,
    E_TOKENS,
    ENTRIES,
    ENTRY_WIDTH,
    FIRST_STATE,
    NARROW,
    PARTS,
    POOL,
    ROW_OWNER,
    ROWS,
    S_FLAGS,
    S_NUM_PARTS,
    S_PARTS,
    STATE_WIDTH,
    STATES,
    UNBUILT,
    WORDS,
    bit_rows,
    i32,
    i32x2,
    i32xn,
)
from structgen_kernels.jit import kernel
from structgen_kernels.keys import forbid_keys


@kernel("int64(int64[::1], int32[::1], uint8[::1])")
def survey(h, states, found):
    """found[i]: 1 if the mask of states[i] is in the store and can be copied. Returns how many are.

    states: int32 [n]; found: uint8 [n], written. Rows that are found count as used: they are not the next to be given
    up. What is no state (0: dead, 1: ended) has an empty mask and is found.
    """
    rows, entries = i32xn(h, STATES, STATE_WIDTH), i32xn(h, ENTRIES, ENTRY_WIDTH)
    parts, owner = i32(h, PARTS), i32x2(h, ROW_OWNER)
    num_found = 0
    for i in range(states.shape[0]):
        s = states[i]
        found[i] = 1
        if s >= FIRST_STATE:
            if rows[s, S_NUM_PARTS] < 0:
                found[i] = 0
            for k in range(rows[s, S_PARTS], rows[s, S_PARTS] + rows[s, S_NUM_PARTS]):
                e = parts[k]
                if entries[e, E_KIND] == UNBUILT:
                    found[i] = 0
                elif entries[e, E_ROW] >= 0:
                    owner[entries[e, E_ROW], 1] = 1
        num_found += found[i]
    return num_found


@kernel("void(int64[::1], int32[::1], uint8[::1], int32[::1], uint32[:, ::1], int32[::1], int64, int64)")
def copy_masks(h, states, found, where, out, ends, begin, end):
    """Write the masks of states[begin:end] that are found (see `survey`) into rows where[begin:end] of out.

    states, where: int32 [n]; found: uint8 [n]; out: uint32 [R, at least WORDS], every word of these rows is written;
    ends: int32, the ids that are allowed where the text may end. Several threads may do this at once, for different
    rows, while nothing else is done to the arena that could give up a row.
    """
    rows, entries = i32xn(h, STATES, STATE_WIDTH), i32xn(h, ENTRIES, ENTRY_WIDTH)
    parts, pool, bits = i32(h, PARTS), i32(h, POOL), bit_rows(h, ROWS)
    words = h[WORDS]
    for i in range(begin, end):
        if found[i] == 0:
            continue
        s, to = states[i], where[i]
        if s < FIRST_STATE:
            out[to, :] = 0
            continue
        first, last = rows[s, S_PARTS], rows[s, S_PARTS] + rows[s, S_NUM_PARTS]
        copied = False
        for k in range(first, last):
            r = entries[parts[k], E_ROW]
            if r >= 0 and copied:
                for w in range(words):
                    out[to, w] |= bits[r, w]
            elif r >= 0:
                for w in range(words):
                    out[to, w] = bits[r, w]
                copied = True
        for w in range(words if copied else 0, out.shape[1]):
            out[to, w] = 0
        for k in range(first, last):
            e = parts[k]
            if entries[e, E_KIND] == NARROW:
                for z in range(entries[e, E_START], entries[e, E_START] + entries[e, E_TOKENS]):
                    t = pool[z]
                    out[to, t >> 5] |= np.uint32(1) << np.uint32(t & 31)
        if rows[s, S_FLAGS] & ACCEPTS:
            for z in range(ends.shape[0]):
                out[to, ends[z] >> 5] |= np.uint32(1) << np.uint32(ends[z] & 31)


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
