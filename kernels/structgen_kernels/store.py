"""The token-mask store: which tokens survive from an item, for every item, composed into the masks of states.

Items of a set evolve independently, so the mask of a state is the union over its items (the union law). An *entry*
R(trie, pc, arg) walks a trie from the single item (pc, unknown caller, arg) and holds the tokens that stay alive
without leaving the item's rule, and `exit`: the trie of remainders, that is, what is left of the tokens after the rule
has completed into the unknown caller. Then

    mask(state, trie) = union over items (pc, origin, arg): R(trie, pc, arg).inside
                        + mask(goto(origin, rule of pc), R(trie, pc, arg).exit)

starting with the vocabulary's trie. Entries do not depend on nesting and are shared by all grammars of an arena.
Kernels of this file resume: when the network must grow first they return a status, and are called again.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from structgen_kernels.arena import (
    ACCEPTS,
    ALLOWED,
    ARG_CAP,
    BELOW,
    BUDGET,
    CALL,
    CAPACITY,
    CLASSES,
    CLOCK,
    COUNT,
    CURSORS,
    E_ARG,
    E_BASE,
    E_EXIT,
    E_KIND,
    E_PC,
    E_ROW,
    E_START,
    E_TOKENS,
    E_TRIE,
    ENTRIES,
    ENTRY_TABLE,
    ENTRY_WIDTH,
    EVICTED,
    EXIT_LISTS,
    EXITED,
    EXITS,
    FIRST_BYTE,
    FRAMES,
    ITEMS,
    JUMP,
    KERNEL,
    LAZY,
    LONGEST_TOKEN,
    LOOPS,
    N_BASE,
    N_SLACK,
    NARROW,
    NET,
    NODE_TOKENS,
    NODES,
    NOTE,
    NOTE_WIDTH,
    NOTES,
    PAIRS,
    PARTS,
    PENDING,
    POOL,
    QUOTING,
    RANGES,
    ROOT,
    ROOTS,
    ROW_OWNER,
    ROWS,
    RULES,
    S_EXTENDED,
    S_FLAGS,
    S_ITEMS,
    S_KERNEL,
    S_NUM_PARTS,
    S_PARTS,
    SAME,
    SHORT,
    STACK,
    STATE_WIDTH,
    STATES,
    STEPS_LEFT,
    T_DEPTH,
    T_END,
    T_EXITS,
    T_FIRST,
    T_NUM_EXITS,
    T_PARENT,
    TOP,
    TRANS,
    TRIE_TABLE,
    TRIE_WIDTH,
    TRIES,
    UNBUILT,
    VISITED,
    VOCABULARY,
    WALK_ENTRY,
    WALK_EXITS,
    WALK_NODE,
    WALK_RANGES,
    WIDE,
    WIDE_KIND,
    WORDS,
    bit_rows,
    helper,
    i32,
    i32x2,
    i32x3,
    i32x4,
    i32xn,
    u64x4,
)  # fmt: skip
from structgen_kernels.machine import full, goto, intern, step


@helper("int64(int64[::1], int64, int64)")
def _start_of_entry(h, pc, arg):
    """The state of the single item (pc, unknown caller, arg). Rules that are only entered at the start of a text have
    one caller, the root: their states then serve as real states too."""
    kernel = i32x3(h, KERNEL)
    rule = i32xn(h, NET, 5)[pc, 4]
    kernel[0, 0] = pc
    kernel[0, 1] = ROOT if i32x3(h, RULES)[rule, 1] else TOP
    kernel[0, 2] = arg
    return intern(h, 1)


@helper("int64(int64[::1], int64, int64)")
def _walk(h, trie, start):
    """Walk a trie from a state: runs of alive tokens go to RANGES, nodes where the caller's rule completes to EXITS.

    Resumes at WALK_NODE, WALK_EXITS, WALK_RANGES, FIRST_BYTE. Returns 0 or a status.
    """
    tries, nodes, below = i32xn(h, TRIES, TRIE_WIDTH), i32x4(h, NODES), u64x4(h, BELOW)
    states, trans = i32xn(h, STATES, STATE_WIDTH), i32xn(h, TRANS, 256)
    allowed, loops = u64x4(h, ALLOWED), u64x4(h, LOOPS)
    stack, exits, ranges, roots = i32(h, STACK), i32(h, EXITS), i32x2(h, RANGES), i32(h, ROOTS)
    base, end = tries[trie, T_DEPTH], np.int64(tries[trie, T_END])
    i, num_exits, num_ranges = h[WALK_NODE], h[WALK_EXITS], h[WALK_RANGES]
    first_byte = h[FIRST_BYTE]
    max_exits = h[CAPACITY + EXITS] - h[EXIT_LISTS]
    by_first_byte = trie == VOCABULARY
    stack[0] = start
    visited = 0
    status = 0
    part_end = end
    if by_first_byte:
        part_end = i if first_byte < 0 else np.int64(nodes[roots[first_byte], 1])
    while True:
        if i >= part_end:
            if not by_first_byte:
                break
            # the next first byte that the state allows and the vocabulary has
            first_byte += 1
            while first_byte < 256 and (
                (allowed[start, first_byte >> 6] >> np.uint64(first_byte & 63)) & np.uint64(1) == np.uint64(0)
                or roots[first_byte] < 0
            ):
                first_byte += 1
            if first_byte >= 256:
                break
            i = np.int64(roots[first_byte])
            part_end = np.int64(nodes[i, 1])
            continue
        visited += 1
        depth = nodes[i, 2] - base
        s, byte = stack[depth], nodes[i, 0]
        if (allowed[s, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0):
            i = np.int64(nodes[i, 1])
            continue
        subtree = np.int64(nodes[i, 1])
        last = i + 1
        if subtree > last:  # a leaf needs no state: it is alive because the byte is allowed
            t = np.int64(trans[s, byte])
            if t == -1:
                t = step(h, s, byte)
                if t < 0:
                    status = t
                    break
            stack[depth + 1] = t
            if states[t, S_FLAGS] & EXITED:
                if num_exits >= max_exits:
                    status = full(h, EXITS)
                    break
                exits[num_exits] = i
                num_exits += 1
            elif (
                below[i, 0] & ~loops[t, 0] == np.uint64(0) and below[i, 1] & ~loops[t, 1] == np.uint64(0)
                and below[i, 2] & ~loops[t, 2] == np.uint64(0) and below[i, 3] & ~loops[t, 3] == np.uint64(0)
            ):  # fmt: skip
                last = subtree  # t loops to itself on every byte below: the whole subtree is alive
        low, high = nodes[i, 3], nodes[last, 3]
        if high > low:
            if num_ranges and ranges[num_ranges - 1, 1] == low:
                ranges[num_ranges - 1, 1] = high
            else:
                if num_ranges >= h[CAPACITY + RANGES]:
                    status = full(h, RANGES)
                    break
                ranges[num_ranges, 0] = low
                ranges[num_ranges, 1] = high
                num_ranges += 1
        i = last
    h[VISITED] += visited
    h[WALK_NODE] = i
    h[WALK_EXITS] = num_exits
    h[WALK_RANGES] = num_ranges
    h[FIRST_BYTE] = first_byte
    if status == 0 and h[STEPS_LEFT] >= 0:
        h[STEPS_LEFT] = max(h[STEPS_LEFT] - visited, 0)
        if h[STEPS_LEFT] == 0:
            status = BUDGET
    return status


@helper("int64(int64[::1], int64, int64, int64)")
def _remainder_trie(h, trie, first_exit, num_exits):
    """The trie of what stands below some nodes of a trie, merged. Equal lists are one trie.

    The nodes are EXITS[first_exit : first_exit + num_exits], ascending.
    """
    tries, nodes, below = i32xn(h, TRIES, TRIE_WIDTH), i32x4(h, NODES), u64x4(h, BELOW)
    tokens, all_exits, table = i32(h, NODE_TOKENS), i32(h, EXITS), i32(h, TRIE_TABLE)
    exits = all_exits[first_exit : first_exit + num_exits]
    frames, cursors = i32x3(h, FRAMES), i32x2(h, CURSORS)
    x = np.uint64(trie) + np.uint64(1)
    for k in range(num_exits):
        x = (x ^ np.uint64(exits[k])) * np.uint64(0x100000001B3)
        x ^= x >> np.uint64(29)
    m = h[CAPACITY + TRIE_TABLE] - 1
    p = np.int64(x ^ (x >> np.uint64(33))) & m
    while table[p] != 0:
        t = table[p]
        if tries[t, T_PARENT] == trie and tries[t, T_NUM_EXITS] == num_exits:
            same = True
            for k in range(num_exits):
                if all_exits[tries[t, T_EXITS] + k] != exits[k]:
                    same = False
                    break
            if same:
                return np.int64(t)
        p = (p + 1) & m
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
    tries[t, T_NUM_EXITS] = num_exits
    tries[t, T_EXITS] = kept
    for k in range(num_exits):
        all_exits[kept + k] = exits[k]
    h[EXIT_LISTS] += num_exits
    h[COUNT + TRIES] = t + 1
    table[p] = t
    return t


@helper("int64(int64[::1], int64, int64)")
def _take_row(h, e, keep):
    """Give entry e a row: a fresh one, or the first but `keep` that the clock hand finds unused since its last pass."""
    owner, entries = i32x2(h, ROW_OWNER), i32xn(h, ENTRIES, ENTRY_WIDTH)
    n = h[COUNT + ROWS]
    r = n
    if n < h[CAPACITY + ROWS]:
        h[COUNT + ROWS] = n + 1
    else:
        r = h[CLOCK]
        while owner[r, 1] or r == keep:
            owner[r, 1] = 0
            r = (r + 1) % n
        h[CLOCK] = (r + 1) % n
        entries[owner[r, 0], E_ROW] = -1
        entries[owner[r, 0], E_KIND] = UNBUILT
        h[EVICTED] += 1
    owner[r, 0] = e
    owner[r, 1] = 1
    entries[e, E_ROW] = r
    return r


@helper("int64(int64[::1], int64)")
def _build(h, e):
    """Walk entry e (new, or its row was given up). Returns 0 or a status; call again to go on."""
    entries, tries = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, TRIES, TRIE_WIDTH)
    ranges, tokens = i32x2(h, RANGES), i32(h, NODE_TOKENS)
    trie = entries[e, E_TRIE]
    start = _start_of_entry(h, entries[e, E_PC], entries[e, E_ARG])
    if start < 0:
        return start
    if h[WALK_ENTRY] != e:
        h[WALK_ENTRY] = e
        h[WALK_NODE] = tries[trie, T_FIRST]
        h[WALK_EXITS] = 0
        h[WALK_RANGES] = 0
        h[FIRST_BYTE] = -1
    status = _walk(h, trie, start)
    if status < 0:
        return status
    num_ranges = h[WALK_RANGES]
    total = 0
    for k in range(num_ranges):
        total += ranges[k, 1] - ranges[k, 0]
    if h[WALK_EXITS] and entries[e, E_EXIT] < 0:
        t = _remainder_trie(h, trie, 0, h[WALK_EXITS])
        if t < 0:
            h[WALK_ENTRY] = -1
            return t
        entries[e, E_EXIT] = t
    h[WALK_ENTRY] = -1
    if total >= h[WIDE]:
        row = bit_rows(h, ROWS)[_take_row(h, e, -1)]
        row[:] = 0
        for k in range(num_ranges):
            for z in range(ranges[k, 0], ranges[k, 1]):
                t = tokens[z]
                row[t >> 5] |= np.uint32(1) << np.uint32(t & 31)
        entries[e, E_KIND] = WIDE_KIND
    else:
        pool = i32(h, POOL)
        n = h[COUNT + POOL]
        if n + total > h[CAPACITY + POOL]:
            return full(h, POOL)
        entries[e, E_START] = n
        entries[e, E_TOKENS] = total
        for k in range(num_ranges):
            for z in range(ranges[k, 0], ranges[k, 1]):
                pool[n] = tokens[z]
                n += 1
        h[COUNT + POOL] = n
        entries[e, E_KIND] = NARROW
    return 0


@helper("boolean(int64[::1], int64, int64)")
def _agree(h, s, t):
    """Whether the states s (of an item with a note) and t (of its base) are known to agree on whatever follows."""
    states, items = i32xn(h, STATES, STATE_WIDTH), i32x3(h, ITEMS)
    if states[s, S_KERNEL] != 1 or states[t, S_KERNEL] != 1:
        return False
    net, rules = i32xn(h, NET, 5), i32x3(h, RULES)
    i, j = states[s, S_ITEMS], states[t, S_ITEMS]
    pc = items[i, 0]
    while net[pc, 0] == JUMP:
        pc = net[pc, 1]
    if net[pc, 0] == CALL and items[j, 1] == TOP and rules[net[pc, 1], 0] == items[j, 0] and net[pc, 3] == items[j, 2]:
        return True  # s is about to call the very rule that t is in, at the very place
    return items[i, 0] == items[j, 0] and items[i, 2] == items[j, 2]  # the same place of the same rule


@helper("boolean(int64[::1], int64)")
def _plain_from(h, node):
    """Whether there is no byte of QUOTING at a trie node or below it."""
    below, classes, byte = u64x4(h, BELOW), u64x4(h, CLASSES), i32x4(h, NODES)[node, 0]
    for c in range(4):
        if below[node, c] & classes[QUOTING, c] != np.uint64(0):
            return False
    return (classes[QUOTING, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0)


@helper("int64(int64[::1], int64, int64)")
def _removed(h, start, base_start):
    """Walk the vocabulary's trie from an item and its base at once; subtrees that only the base keeps go to EXITS.

    Tokens without bytes of QUOTING are left out: lengths decide on them. Returns the number of subtrees, or a status
    (then start again: what was found so far is remembered in transitions).
    """
    nodes, trans, exits, roots = i32x4(h, NODES), i32xn(h, TRANS, 256), i32(h, EXITS), i32(h, ROOTS)
    allowed, classes, stack = u64x4(h, ALLOWED), u64x4(h, CLASSES), i32x2(h, PAIRS)
    states = i32xn(h, STATES, STATE_WIDTH)
    max_exits = h[CAPACITY + EXITS] - h[EXIT_LISTS]
    n = 0
    stack[0, 0] = start
    stack[0, 1] = base_start
    for first in range(256):
        if roots[first] < 0 or (allowed[base_start, first >> 6] >> np.uint64(first & 63)) & np.uint64(1) == np.uint64(
            0
        ):
            continue
        i = np.int64(roots[first])
        end = np.int64(nodes[i, 1])
        quoted = -1  # depth of the first byte of QUOTING on the path
        while i < end:
            depth, byte = nodes[i, 2], nodes[i, 0]
            if depth <= quoted:
                quoted = -1
            s, t = stack[depth, 0], stack[depth, 1]
            subtree = np.int64(nodes[i, 1])
            if (allowed[t, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0) or (
                quoted < 0 and _plain_from(h, i)
            ):
                i = subtree
                continue
            if quoted < 0 and (classes[QUOTING, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1):
                quoted = depth
            lives = (allowed[s, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) != np.uint64(0)
            h[VISITED] += 1
            if lives and subtree == i + 1:
                i = subtree
                continue
            if not lives:
                if n >= max_exits:
                    return full(h, EXITS)
                exits[n] = i
                n += 1
                i = subtree
                continue
            after = np.int64(trans[s, byte])
            if after == -1:
                after = step(h, s, byte)
                if after < 0:
                    return after
            base_after = np.int64(trans[t, byte])
            if base_after == -1:
                base_after = step(h, t, byte)
                if base_after < 0:
                    return base_after
            if states[base_after, S_FLAGS] & EXITED or _agree(h, after, base_after):
                i = subtree  # what follows an exit is the business of the trie of remainders
            else:
                stack[depth + 1, 0] = after
                stack[depth + 1, 1] = base_after
                i += 1
    return n


@helper("int64(int64[::1], int64, int64, int64)")
def _derive(h, e, note, base):
    """Build entry e of the vocabulary's trie from its built wide base, as the base less some subtrees."""
    entries, notes = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, NOTES, NOTE_WIDTH)
    nodes, tokens, exits, tries = i32x4(h, NODES), i32(h, NODE_TOKENS), i32(h, EXITS), i32xn(h, TRIES, TRIE_WIDTH)
    start = _start_of_entry(h, entries[e, E_PC], entries[e, E_ARG])
    if start < 0:
        return start
    base_start = _start_of_entry(h, notes[note, N_BASE], 0)
    if base_start < 0:
        return base_start
    n = _removed(h, start, base_start)
    if n < 0:
        return n
    entries[e, E_BASE] = base
    short = bit_rows(h, SHORT)
    slack = notes[note, N_SLACK]
    longest = np.int64(entries[e, E_ARG]) + slack  # code points
    bounded = slack >= 0 and longest < short.shape[0]
    if slack >= 0 and not bounded and h[LONGEST_TOKEN] >= short.shape[0]:
        return _build(h, e)  # a token so long that no row of SHORT knows it
    if n == 0 and not bounded:
        entries[e, E_KIND] = SAME
        entries[e, E_EXIT] = entries[base, E_EXIT]
        return 0
    whole = entries[base, E_EXIT]
    if whole >= 0 and entries[e, E_EXIT] < 0:
        # the base's exits that are in no removed subtree; both lists are sorted
        first, count = tries[whole, T_EXITS], tries[whole, T_NUM_EXITS]
        if n + count > h[CAPACITY + EXITS] - h[EXIT_LISTS]:
            return full(h, EXITS)
        left, r = 0, 0
        for k in range(count):
            x = exits[first + k]
            while r < n and nodes[exits[r], 1] <= x:
                r += 1
            if r == n or x < exits[r]:
                exits[n + left] = x
                left += 1
        if left:
            t = _remainder_trie(h, VOCABULARY, n, left)
            if t < 0:
                return t
            entries[e, E_EXIT] = t
    r = _take_row(h, e, np.int64(entries[base, E_ROW]))
    row, source = bit_rows(h, ROWS)[r], bit_rows(h, ROWS)[entries[base, E_ROW]]
    if bounded:
        for w in range(row.shape[0]):
            row[w] = source[w] & short[longest, w]
    else:
        for w in range(row.shape[0]):
            row[w] = source[w]
    for k in range(n):
        i = exits[k]
        for z in range(nodes[i, 3], nodes[nodes[i, 1], 3]):
            t = tokens[z]
            row[t >> 5] &= ~(np.uint32(1) << np.uint32(t & 31))
    entries[e, E_KIND] = WIDE_KIND
    return 0


@helper("int64(int64[::1], int64, int64, int64)")
def _find_entry(h, trie, pc, arg):
    """The entry R(trie, pc, arg), made UNBUILT if it is new; or a status."""
    entries, table = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, ENTRY_TABLE)
    x = np.uint64(pc) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(trie) * np.uint64(0xC2B2AE3D27D4EB4F)
    x ^= np.uint64(arg) * np.uint64(0x165667B19E3779F9)
    x ^= x >> np.uint64(31)
    m = h[CAPACITY + ENTRY_TABLE] - 1
    p = np.int64(x) & m
    while table[p] != 0:
        e = table[p]
        if entries[e, E_PC] == pc and entries[e, E_TRIE] == trie and entries[e, E_ARG] == arg:
            return np.int64(e)
        p = (p + 1) & m
    e = h[COUNT + ENTRIES]
    if e >= h[CAPACITY + ENTRIES]:
        return full(h, ENTRIES)
    entries[e, E_TRIE] = trie
    entries[e, E_PC] = pc
    entries[e, E_ARG] = arg
    entries[e, E_ROW] = -1
    entries[e, E_EXIT] = -1
    entries[e, E_BASE] = -1
    entries[e, E_KIND] = UNBUILT
    h[COUNT + ENTRIES] = e + 1
    table[p] = e
    return e


@helper("int64(int64[::1], int64)")
def _ensure(h, e):
    """Build entry e if it is not built. Returns 0 or a status."""
    entries, net, notes = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, NET, 5), i32xn(h, NOTES, NOTE_WIDTH)
    if entries[e, E_KIND] != UNBUILT:
        return 0
    pc = entries[e, E_PC]
    if entries[e, E_TRIE] == VOCABULARY and net[pc, 0] == LAZY:
        start = _start_of_entry(h, pc, entries[e, E_ARG])  # the note is written when the instruction is expanded
        if start < 0:
            return start
    if entries[e, E_TRIE] == VOCABULARY and net[pc, 0] == NOTE:
        note = np.int64(net[pc, 2])
        base = _find_entry(h, VOCABULARY, notes[note, N_BASE], 0)
        if base < 0:
            return base
        if entries[base, E_KIND] == UNBUILT:
            status = _build(h, base)
            if status < 0:
                return status
        if entries[base, E_KIND] == WIDE_KIND:
            return _derive(h, e, note, base)
    return _build(h, e)


@helper("int64(int64[::1], int64)")
def _resolve(h, s):
    """Find the entries whose union is the mask of state s, and keep them. Returns 0 or a status."""
    states, items, net = i32xn(h, STATES, STATE_WIDTH), i32x3(h, ITEMS), i32xn(h, NET, 5)
    rules, kernel = i32x3(h, RULES), i32x3(h, KERNEL)
    entries, parts, pending = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, PARTS), i32x2(h, PENDING)
    first = h[COUNT + PARTS]
    num_parts = 0
    pending[0, 0] = s
    pending[0, 1] = VOCABULARY
    num_pending = 1
    i = 0
    while i < num_pending:
        t, trie = pending[i, 0], pending[i, 1]
        i += 1
        base = states[t, S_ITEMS]
        for k in range(base, base + states[t, S_EXTENDED]):
            pc, origin, arg = items[k, 0], items[k, 1], np.int64(items[k, 2])
            at = pc
            while net[at, 0] == JUMP:
                at = net[at, 1]
            called = net[at, 0] == CALL  # an item that only calls a rule has the mask of the rule's start
            if called:
                e = _find_entry(h, trie, rules[net[at, 1], 0], np.int64(min(net[at, 3], h[ARG_CAP])))
            else:
                e = _find_entry(h, trie, pc, min(arg, h[ARG_CAP]))
            if e < 0:
                return e
            status = _ensure(h, e)
            if status < 0:
                return status
            if entries[e, E_KIND] == SAME:
                e = np.int64(entries[e, E_BASE])
            if entries[e, E_KIND] != NARROW or entries[e, E_TOKENS] > 0:
                known = False
                for z in range(first, first + num_parts):
                    if parts[z] == e:
                        known = True
                        break
                if not known:
                    if first + num_parts >= h[CAPACITY + PARTS]:
                        return full(h, PARTS)
                    parts[first + num_parts] = e
                    num_parts += 1
            if entries[e, E_EXIT] >= 0 and (called or origin > ROOT):
                if called:
                    kernel[0, 0] = net[at, 2]
                    kernel[0, 1] = origin
                    kernel[0, 2] = arg
                    after = intern(h, 1)
                else:
                    after = goto(h, origin, net[pc, 4])
                if after < 0:
                    return after
                if after > 0:
                    known = False
                    for z in range(num_pending):
                        if pending[z, 0] == after and pending[z, 1] == entries[e, E_EXIT]:
                            known = True
                            break
                    if not known:
                        if num_pending >= h[CAPACITY + PENDING]:
                            return full(h, PENDING)
                        pending[num_pending, 0] = after
                        pending[num_pending, 1] = entries[e, E_EXIT]
                        num_pending += 1
    states[s, S_PARTS] = first
    states[s, S_NUM_PARTS] = num_parts
    h[COUNT + PARTS] = first + num_parts
    return 0


@njit("int64(int64[::1], int64, uint32[:, ::1], int64, int32[::1])", cache=True, nogil=True)
def fill_mask(h, s, out, index, ends):
    """Write the mask of state s into row `index` of out.

    out: uint32[rows, at least num_words], every word of the row is written; ends: int32 ids that are allowed where the
    text may end (end-of-text tokens). Returns 0, or a status: the network must grow first (LAZY_PC), a table is full
    (FULL), the budget is spent (BUDGET).
    """
    states = i32xn(h, STATES, STATE_WIDTH)
    if states[s, S_NUM_PARTS] < 0:
        status = _resolve(h, s)
        if status < 0:
            return status
    entries, parts, pool = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, PARTS), i32(h, POOL)
    owner = i32x2(h, ROW_OWNER)
    first, num_parts = states[s, S_PARTS], states[s, S_NUM_PARTS]
    words = h[WORDS]
    copied = False
    for k in range(first, first + num_parts):
        e = parts[k]
        status = _ensure(h, np.int64(e))  # its row may have been given up
        if status < 0:
            return status
        r = entries[e, E_ROW]
        if r < 0:
            continue
        owner[r, 1] = 1
        row = bit_rows(h, ROWS)[r]
        if copied:
            for w in range(words):
                out[index, w] |= row[w]
        else:
            for w in range(words):
                out[index, w] = row[w]
            copied = True
    for w in range(words if copied else 0, out.shape[1]):
        out[index, w] = 0
    for k in range(first, first + num_parts):
        e = parts[k]
        if entries[e, E_KIND] == NARROW:
            start = entries[e, E_START]
            for z in range(start, start + entries[e, E_TOKENS]):
                t = pool[z]
                out[index, t >> 5] |= np.uint32(1) << np.uint32(t & 31)
    if states[s, S_FLAGS] & ACCEPTS:
        for z in range(ends.shape[0]):
            out[index, ends[z] >> 5] |= np.uint32(1) << np.uint32(ends[z] & 31)
    return 0
