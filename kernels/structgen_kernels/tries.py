"""Tries of remainders: what is left of a trie's tokens behind some of its nodes, merged into one trie.

A trie is a run of rows in NODES, depth first. A single node's remainder is a slice of its parent; several are merged
by taking, again and again, the smallest byte under a set of cursors. Equal lists of nodes are one trie.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    BELOW,
    BY_LENGTH,
    CAPACITY,
    CLASSES,
    COUNT,
    CURSORS,
    DEEPEST,
    EXIT_LISTS,
    EXITS,
    FRAMES,
    LONGER,
    NODE_TOKENS,
    NODES,
    Q_BYTE,
    Q_DEPTH,
    Q_END,
    Q_NODE,
    QUOTED,
    SIBLING_AT,
    SIBLINGS,
    T_DEPTH,
    T_END,
    T_EXITS,
    T_FIRST,
    T_GUARD,
    T_NUM_EXITS,
    T_PARENT,
    TOKEN_START,
    TRIE_TABLE,
    TRIE_WIDTH,
    TRIES,
    VOCABULARY,
    full,
    helper,
    i32,
    i32x2,
    i32x3,
    i32x4,
    i32xn,
    i64,
    u64x4,
)  # fmt: skip
from structgen_kernels.classes import union_class
from structgen_kernels.hashing import HASH, ROW, folded, last_slot
from structgen_kernels.jit import kernel

_QUOTE, _BACKSLASH = 0x22, 0x5C  # the bytes of QUOTING


@kernel("int64(int64[::1])")
def list_siblings(h):
    """Write SIBLINGS and SIBLING_AT: the children of a node side by side, as its own rows are not. Returns the rows."""
    nodes, siblings, at = i32x4(h, NODES), i32x2(h, SIBLINGS), i32(h, SIBLING_AT)
    end = np.int64(i32xn(h, TRIES, TRIE_WIDTH)[VOCABULARY, T_END])
    n = 0
    for parent in range(-1, end):
        child, last = parent + 1, np.int64(nodes[parent, 1]) if parent >= 0 else end
        if child >= last:
            continue
        while child < last:
            siblings[n, 0] = nodes[child, 0]
            siblings[n, 1] = child
            at[child] = n
            n += 1
            child = np.int64(nodes[child, 1])
        siblings[n, 0] = 256
        siblings[n, 1] = last
        n += 1
    return n


@kernel("int64(int64[::1])")
def list_lengths(h):
    """Write DEEPEST, BY_LENGTH and LONGER. Returns the number of tokens that have bytes."""
    nodes, starts = i32x4(h, NODES), i64(h, TOKEN_START)
    deepest, by_length, longer = i32(h, DEEPEST), i32(h, BY_LENGTH), i32(h, LONGER)
    end = np.int64(i32xn(h, TRIES, TRIE_WIDTH)[VOCABULARY, T_END])
    for i in range(end - 1, -1, -1):
        most = nodes[i, 2] + 1 if nodes[i + 1, 3] > nodes[i, 3] else 0
        child = i + 1
        while child < nodes[i, 1]:
            most = max(most, deepest[child])
            child = nodes[child, 1]
        deepest[i] = most
    num_tokens, num_lengths = starts.shape[0] - 1, longer.shape[0]
    for length in range(num_lengths):
        longer[length] = 0
    for t in range(num_tokens):
        if starts[t + 1] > starts[t]:
            longer[starts[t + 1] - starts[t] - 1] += 1
    for length in range(num_lengths - 2, -1, -1):
        longer[length] += longer[length + 1]
    place = np.empty(num_lengths, np.int64)  # behind the tokens of each length
    for length in range(num_lengths):
        place[length] = longer[length - 1] if length else num_tokens
    for t in range(num_tokens - 1, -1, -1):
        length = starts[t + 1] - starts[t]
        place[length] -= 1
        by_length[place[length]] = t
    return longer[0]


@kernel("int64(int64[::1])")
def list_quoted(h):
    """Write QUOTED. Returns the number of its rows."""
    nodes, below, rows = i32x4(h, NODES), u64x4(h, BELOW), i32x4(h, QUOTED)
    end = np.int64(i32xn(h, TRIES, TRIE_WIDTH)[VOCABULARY, T_END])
    low, high = np.uint64(1) << np.uint64(_QUOTE), np.uint64(1) << np.uint64(_BACKSLASH - 64)
    n, i, within = 0, np.int64(0), np.int64(0)  # within: the end of the subtree of a byte of QUOTING
    while i < end:
        byte = nodes[i, 0]
        if i >= within:
            if byte in (_QUOTE, _BACKSLASH):
                within = np.int64(nodes[i, 1])
            elif below[i, 0] & low == np.uint64(0) and below[i, 1] & high == np.uint64(0):
                i = np.int64(nodes[i, 1])
                continue
        rows[n, Q_NODE], rows[n, Q_DEPTH], rows[n, Q_BYTE] = i, nodes[i, 2], byte
        n += 1
        i += 1
    for row in range(n - 1, -1, -1):
        after = row + 1
        while after < n and rows[after, Q_DEPTH] > rows[row, Q_DEPTH]:
            after = np.int64(rows[after, Q_END])
        rows[row, Q_END] = after
    h[COUNT + QUOTED] = n
    return n


@helper("int64(int64[::1], int64, int64)", linked=True)
def guarded_trie(h, trie, guard):
    """The trie of those tokens of a trie that do not start with a byte of a class. Equal ones are one trie."""
    tries, table = i32xn(h, TRIES, TRIE_WIDTH), i32x2(h, TRIE_TABLE)
    own = np.int64(tries[trie, T_GUARD])
    if own >= 0:
        guard = union_class(h, guard, own)
        if guard == own or guard < 0:
            return trie if guard == own else guard
        if tries[trie, T_NUM_EXITS] == 0:
            trie = np.int64(tries[trie, T_PARENT])  # it was guarded by this function
    x = np.uint64(trie) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(guard) * np.uint64(0xC2B2AE3D27D4EB4F)
    found, last = folded(x), last_slot(h, TRIE_TABLE, h[COUNT + TRIES])
    p = found & last
    while table[p, ROW] != 0:
        t = table[p, ROW]
        if tries[t, T_PARENT] == trie and tries[t, T_NUM_EXITS] == 0 and tries[t, T_GUARD] == guard:
            return np.int64(t)
        p = (p + 1) & last
    t = h[COUNT + TRIES]
    if t + 1 >= h[CAPACITY + TRIES]:
        return full(h, TRIES)
    for c in range(TRIE_WIDTH):
        tries[t, c] = tries[trie, c]
    tries[t, T_PARENT] = trie
    tries[t, T_EXITS] = 0
    tries[t, T_NUM_EXITS] = 0
    tries[t, T_GUARD] = guard
    h[COUNT + TRIES] = t + 1
    table[p, ROW] = t
    table[p, HASH] = found
    return t


@helper("int64(int64[::1], int64, int64, int64, int64)", linked=True)
def remainder_trie(h, trie, first_exit, num_exits, guard):
    """The trie of what stands below some nodes of a trie, merged, but for what starts with a byte of class `guard` (-1:
    none). Equal lists are one trie, whatever trie they were found in: a guarded trie has the nodes of its parent.

    The nodes are EXITS[first_exit : first_exit + num_exits], ascending.
    """
    tries, nodes, below = i32xn(h, TRIES, TRIE_WIDTH), i32x4(h, NODES), u64x4(h, BELOW)
    tokens, all_exits, table = i32(h, NODE_TOKENS), i32(h, EXITS), i32x2(h, TRIE_TABLE)
    exits = all_exits[first_exit : first_exit + num_exits]
    frames, cursors, classes = i32x3(h, FRAMES), i32x2(h, CURSORS), u64x4(h, CLASSES)
    x = np.uint64(guard + 1) * np.uint64(0x9E3779B97F4A7C15)
    for k in range(num_exits):
        x = (x ^ np.uint64(exits[k])) * np.uint64(0x100000001B3)
        x ^= x >> np.uint64(29)
    found, last = folded(x), last_slot(h, TRIE_TABLE, h[COUNT + TRIES])
    p = found & last
    while table[p, ROW] != 0:
        t = table[p, ROW]
        if tries[t, T_NUM_EXITS] == num_exits and tries[t, T_GUARD] == guard:
            same = True
            for k in range(num_exits):
                if all_exits[tries[t, T_EXITS] + k] != exits[k]:
                    same = False
                    break
            if same:
                return np.int64(t)
        p = (p + 1) & last
    t = h[COUNT + TRIES]
    if t + 1 >= h[CAPACITY + TRIES]:
        return full(h, TRIES)
    kept = h[CAPACITY + EXITS] - h[EXIT_LISTS] - num_exits
    if kept < first_exit + num_exits:
        return full(h, EXITS)
    if num_exits == 1:  # a slice of its parent
        node = exits[0]
        tries[t, T_FIRST] = node + 1
        tries[t, T_END] = nodes[node, 1]
        tries[t, T_DEPTH] = nodes[node, 2] + 1
    else:
        # A frame is (first cursor, end of cursors, node); a cursor (next node, end) runs over the children of one
        # input node. Each round takes the smallest byte under the cursors of the top frame and opens its children.
        n = h[COUNT + NODES]
        num_tokens = h[COUNT + NODE_TOKENS]
        first = n
        num_cursors = 0
        if num_exits > h[CAPACITY + CURSORS]:
            return full(h, CURSORS)
        for k in range(num_exits):
            cursors[num_cursors, 0] = exits[k] + 1
            cursors[num_cursors, 1] = nodes[exits[k], 1]
            num_cursors += 1
        frames[0, 0] = 0
        frames[0, 1] = num_cursors
        frames[0, 2] = -1
        top = 0
        while top >= 0:
            low, high, parent = frames[top, 0], frames[top, 1], frames[top, 2]
            smallest = 256
            for c in range(low, high):
                if cursors[c, 0] < cursors[c, 1]:
                    byte = nodes[cursors[c, 0], 0]
                    if top == 0 and guard >= 0:
                        while (classes[guard, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1):
                            cursors[c, 0] = nodes[cursors[c, 0], 1]
                            if cursors[c, 0] >= cursors[c, 1]:
                                break
                            byte = nodes[cursors[c, 0], 0]
                        if cursors[c, 0] >= cursors[c, 1]:
                            continue
                    if byte < smallest:
                        smallest = byte
            if smallest == 256:
                if parent >= 0:
                    nodes[parent, 1] = n
                    if top >= 1 and frames[top - 1, 2] >= 0:
                        above = frames[top - 1, 2]
                        byte = nodes[parent, 0]
                        for c in range(4):
                            below[above, c] |= below[parent, c]
                        below[above, byte >> 6] |= np.uint64(1) << np.uint64(byte & 63)
                num_cursors = low
                top -= 1
                continue
            if n + 2 >= h[CAPACITY + NODES]:
                return full(h, NODES)
            if num_cursors + (high - low) >= h[CAPACITY + CURSORS] or top + 1 >= h[CAPACITY + FRAMES]:
                return full(h, CURSORS)
            nodes[n, 0] = smallest
            nodes[n, 2] = top
            nodes[n, 3] = num_tokens
            for c in range(4):
                below[n, c] = 0
            opened = num_cursors
            for c in range(low, high):
                i = cursors[c, 0]
                if i < cursors[c, 1] and nodes[i, 0] == smallest:
                    own = nodes[i + 1, 3] - nodes[i, 3]
                    if num_tokens + own > h[CAPACITY + NODE_TOKENS]:
                        return full(h, NODE_TOKENS)
                    for z in range(nodes[i, 3], nodes[i + 1, 3]):
                        tokens[num_tokens] = tokens[z]
                        num_tokens += 1
                    cursors[c, 0] = nodes[i, 1]
                    if nodes[i, 1] > i + 1:
                        cursors[num_cursors, 0] = i + 1
                        cursors[num_cursors, 1] = nodes[i, 1]
                        num_cursors += 1
            top += 1
            frames[top, 0] = opened
            frames[top, 1] = num_cursors
            frames[top, 2] = n
            n += 1
        nodes[n, 1] = n  # the sentinel that closes the last node's tokens
        nodes[n, 3] = num_tokens
        h[COUNT + NODES] = n + 1
        h[COUNT + NODE_TOKENS] = num_tokens
        tries[t, T_FIRST] = first
        tries[t, T_END] = n
        tries[t, T_DEPTH] = 0
    tries[t, T_PARENT] = trie
    tries[t, T_GUARD] = guard
    tries[t, T_NUM_EXITS] = num_exits
    tries[t, T_EXITS] = kept
    for k in range(num_exits):
        all_exits[kept + k] = exits[k]
    h[EXIT_LISTS] += num_exits
    h[COUNT + TRIES] = t + 1
    table[p, ROW] = t
    table[p, HASH] = found
    return t
