"""Composites: the whole mask of an item of a rule, found once for all texts in which the rule is called.

An entry of the store stops where its rule calls another or is left. A composite C(trie, pc, arg) goes on: it is the
union of the entries of all that the item (pc, unknown caller, arg) calls, and of what follows these within its own
rule, with the tries of remainders that are left when the rule is. So in a context that is new a state asks for its
composites, and what is left of the tokens is asked of its callers: a mask costs its callers, not its rule. (Before,
all within the rule was asked again in states of that very context: a mask of a Java expression took 45 births and 200
entries, in each block anew.)

A composite is a row of ENTRIES with the key (trie, ~pc, arg): one bit row or list of tokens, made of those of its
parts. The list of the parts stays when its row is given up. It names no state, so it outlives them.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    CAPACITY,
    COUNT,
    E_BASE,
    E_GUARDED,
    E_KIND,
    E_NUM_PARTS,
    E_PARTS,
    E_PC,
    E_ROW,
    E_START,
    E_TOKENS,
    ENTRIES,
    ENTRY_WIDTH,
    GUARDED_EXITS,
    LESS,
    NARROW,
    PARTS,
    POOL,
    ROW_OWNER,
    ROWS,
    SAME,
    SCRATCH,
    UNBUILT,
    WIDE,
    WIDE_KIND,
    WORDS,
    bit_rows,
    full,
    helper,
    i32,
    i32x2,
    i32xn,
)
from structgen_kernels.store import ensure, take_row

NESTED_PARTS = 4096  # parts of composites whose rows were given up, while one that holds them is put together again


@helper("int64(int64[::1], int64, int64)")
def add_exit(h, c, trie):
    """Add to composite c a trie of what is left of its tokens when its rule is. Returns 0 or FULL."""
    entries, links = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x2(h, GUARDED_EXITS)
    link = entries[c, E_GUARDED]
    while link:
        if links[link, 0] == trie:
            return 0
        link = links[link, 1]
    row = h[COUNT + GUARDED_EXITS]
    if row >= h[CAPACITY + GUARDED_EXITS]:
        return full(h, GUARDED_EXITS)
    links[row, 0] = trie
    links[row, 1] = entries[c, E_GUARDED]
    entries[c, E_GUARDED] = row
    h[COUNT + GUARDED_EXITS] = row + 1
    return 0


@helper("void(int64[::1], int64, uint32[::1], boolean)")
def add_less(h, e, out, begun):
    """Add an entry that is its base less some tokens to a row, or write it there if that was not `begun`."""
    entries, pool = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, POOL)
    r = np.int64(entries[entries[e, E_BASE], E_ROW])
    i32x2(h, ROW_OWNER)[r, 1] = 1
    row, words, first, n = bit_rows(h, ROWS)[r], h[WORDS], entries[e, E_START], entries[e, E_TOKENS]
    if not begun:
        for w in range(words):
            out[w] = row[w]
        for k in range(n):
            t = pool[first + k]
            out[t >> 5] &= ~(np.uint32(1) << np.uint32(t & 31))
        return
    missing = np.uint64(0)  # of the tokens that it lacks, those that are not there already
    for k in range(n):
        t = pool[first + k]
        if out[t >> 5] >> np.uint32(t & 31) & np.uint32(1) == np.uint32(0):
            missing |= np.uint64(1) << np.uint64(k)
    for w in range(words):
        out[w] |= row[w]
    for k in range(n):
        if missing >> np.uint64(k) & np.uint64(1):
            t = pool[first + k]
            out[t >> 5] &= ~(np.uint32(1) << np.uint32(t & 31))


@helper("int64(int64[::1], int64, int64, int64)", linked=True)
def compose(h, c, first, n):
    """Put composite c together of the entries PARTS[first : first + n]. Returns 0 or a status; call again to go on."""
    entries, parts, pool = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, PARTS), i32(h, POOL)
    entries[c, E_BASE] = -1
    if n == 1:
        entries[c, E_BASE] = parts[first]
    if entries[c, E_NUM_PARTS] < 0:
        at = h[COUNT + POOL]
        if at + n > h[CAPACITY + POOL]:
            return full(h, POOL)
        for k in range(n):
            pool[at + k] = parts[first + k]
        h[COUNT + POOL] = at + n
        entries[c, E_PARTS] = at
        entries[c, E_NUM_PARTS] = n
    return _put_together(h, c)


@helper("int64(int64[::1], int64)", linked=True)
def _put_together(h, c):
    entries, pool = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, POOL)
    if entries[c, E_NUM_PARTS] == 1:
        entries[c, E_KIND] = SAME
        return 0
    rows, owner = bit_rows(h, ROWS), i32x2(h, ROW_OWNER)
    scratch = bit_rows(h, SCRATCH)[0]
    words = h[WORDS]
    for w in range(words):
        scratch[w] = 0
    todo = np.empty(NESTED_PARTS, np.int32)
    num_todo = np.int64(entries[c, E_NUM_PARTS])
    if num_todo > NESTED_PARTS:
        return full(h, POOL)
    for k in range(num_todo):
        todo[k] = pool[entries[c, E_PARTS] + k]
    wide = False
    begin = h[COUNT + POOL]
    n = begin
    while num_todo:
        num_todo -= 1
        e = np.int64(todo[num_todo])
        if entries[e, E_PC] >= 0:
            status = ensure(h, e)
            if status < 0:
                return status
        elif entries[e, E_KIND] == UNBUILT:  # its row was given up; to make it again could take the row of another part
            more = np.int64(entries[e, E_NUM_PARTS])
            if num_todo + more > NESTED_PARTS:
                return full(h, POOL)
            for k in range(more):
                todo[num_todo + k] = pool[entries[e, E_PARTS] + k]
            num_todo += more
            continue
        if entries[e, E_KIND] == SAME:
            e = np.int64(entries[e, E_BASE])
            if entries[e, E_KIND] == UNBUILT:
                todo[num_todo] = e
                num_todo += 1
                continue
        if entries[e, E_KIND] == LESS:
            status = ensure(h, e)  # its base may have been given up, also where a composite is the same as e
            if status < 0:
                return status
            wide = True
            add_less(h, e, scratch, True)
            continue
        r = np.int64(entries[e, E_ROW])
        if r >= 0:
            wide = True
            owner[r, 1] = 1
            row = rows[r]
            for w in range(words):
                scratch[w] |= row[w]
        else:
            start = np.int64(entries[e, E_START])
            for z in range(start, start + entries[e, E_TOKENS]):
                t = pool[z]
                bit = np.uint32(1) << np.uint32(t & 31)
                if scratch[t >> 5] & bit == np.uint32(0):
                    scratch[t >> 5] |= bit
                    if not wide and n - begin < h[WIDE]:
                        if n >= h[CAPACITY + POOL]:
                            return full(h, POOL)
                        pool[n] = t
                        n += 1
    if wide or n - begin >= h[WIDE]:
        row = rows[take_row(h, c, -1)]
        for w in range(words):
            row[w] = scratch[w]
        entries[c, E_KIND] = WIDE_KIND
    else:
        entries[c, E_START] = begin
        entries[c, E_TOKENS] = n - begin
        h[COUNT + POOL] = n
        entries[c, E_KIND] = NARROW
    return 0


@helper("int64(int64[::1], int64)", linked=True)
def built(h, e):
    """Make the row of an entry or composite, or of its base, again, if it was given up. Returns 0 or a status."""
    entries = i32xn(h, ENTRIES, ENTRY_WIDTH)
    if entries[e, E_KIND] == LESS:
        e = np.int64(entries[e, E_BASE])
    if entries[e, E_KIND] != UNBUILT:
        return 0
    return ensure(h, e) if entries[e, E_PC] >= 0 else _put_together(h, e)
