"""The token-mask store: which tokens survive from an item, for every item, composed into the masks of states.

Items of a set evolve independently, so the mask of a state is the union over its items (the union law). An *entry*
R(trie, pc, arg) walks a trie from the single item (pc, unknown caller, arg) and holds the tokens that stay alive
without leaving the item's rule, and `exit`: the trie of remainders, that is, what is left of the tokens after the rule
has completed into the unknown caller. Where a token comes to a place that does nothing but call a rule, what is left
of it is the business of that rule's own entries (`calls`), so that all who call it share them. Then

    mask(state, trie) = union over items (pc, origin, arg): R(trie, pc, arg).inside
                        + mask(goto(origin, rule of pc), R(trie, pc, arg).exit)
                        + mask({(pc', origin, arg')}, what is left there) over its calls (pc', arg')

starting with the vocabulary's trie. Entries do not depend on nesting and are shared by all grammars of an arena.
Kernels of this file resume: when the network must grow first they return a status, and are called again.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    BY_LENGTH,
    CALLED,
    CAPACITY,
    CLOCK,
    COUNT,
    E_ARG,
    E_BASE,
    E_CALLS,
    E_EXIT,
    E_GUARDED,
    E_KIND,
    E_NUM_PARTS,
    E_PC,
    E_ROW,
    E_SEEN,
    E_START,
    E_TOKENS,
    E_TRIE,
    ENTRIES,
    ENTRY_CALLS,
    ENTRY_TABLE,
    ENTRY_WIDTH,
    EVICTED,
    EXIT_GUARDS,
    EXIT_LISTS,
    EXITS,
    FEW_LESS,
    FIRST_BYTE,
    FOREVER,
    GUARDED_EXITS,
    LAZY,
    LESS,
    LONGER,
    LONGEST_TOKEN,
    N_BASE,
    N_SLACK,
    NARROW,
    NEEDED,
    NET,
    NODE_TOKENS,
    NODES,
    NOTE,
    NOTE_WIDTH,
    NOTES,
    POOL,
    RANGES,
    REMOVED_ENTRY,
    ROW_OWNER,
    ROWS,
    SAME,
    SHORT,
    T_EXITS,
    T_FIRST,
    T_NUM_EXITS,
    TRIE_WIDTH,
    TRIES,
    UNBUILT,
    VOCABULARY,
    WALK_CALLS,
    WALK_ENTRY,
    WALK_EXITS,
    WALK_LEFT_OUT,
    WALK_NODE,
    WALK_RANGES,
    WIDE,
    WIDE_KIND,
    bit_rows,
    full,
    helper,
    i32,
    i32x2,
    i32x3,
    i32x4,
    i32xn,
)
from structgen_kernels.hashing import HASH, ROW, folded_near, last_slot
from structgen_kernels.tries import remainder_trie
from structgen_kernels.walks import removed, start_of_entry, walk

NO_BASE = -1
FEW_BYTES = 6  # nearly all walks come across longer tokens
DONE = -2  # in EXIT_GUARDS, or for the pc in CALLED: what is in a trie already


@helper("int64(int64[::1], int64, int64, int64)")
def find_entry(h, trie, pc, arg):
    """The entry R(trie, pc, arg), made UNBUILT if it is new; or a status."""
    entries, table = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x2(h, ENTRY_TABLE)
    x = np.uint64(pc) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(trie) * np.uint64(0xC2B2AE3D27D4EB4F)
    x ^= np.uint64(arg) * np.uint64(0x165667B19E3779F9)
    near = np.uint64(pc >> 6) ^ np.uint64(trie >> 3) << np.uint64(24) ^ np.uint64(arg >> 4) << np.uint64(40)
    found, last = folded_near(x, near), last_slot(h, ENTRY_TABLE, h[COUNT + ENTRIES])
    p = found & last
    while table[p, ROW] != 0:
        e = table[p, ROW]
        if (
            table[p, HASH] == found
            and entries[e, E_PC] == pc
            and entries[e, E_TRIE] == trie
            and entries[e, E_ARG] == arg
        ):
            return np.int64(e)
        p = (p + 1) & last
    e = h[COUNT + ENTRIES]
    if e >= h[CAPACITY + ENTRIES]:
        return full(h, ENTRIES)
    entries[e, E_TRIE] = trie
    entries[e, E_PC] = pc
    entries[e, E_ARG] = arg
    entries[e, E_ROW] = -1
    entries[e, E_EXIT] = -1
    entries[e, E_BASE] = -1
    entries[e, E_GUARDED] = 0
    entries[e, E_CALLS] = 0
    entries[e, E_SEEN] = 0
    entries[e, E_NUM_PARTS] = -1
    entries[e, E_KIND] = UNBUILT
    h[COUNT + ENTRIES] = e + 1
    table[p, ROW] = e
    table[p, HASH] = found
    return e


@helper("int64(int64[::1], int64, int64)")
def take_row(h, e, keep):
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
def _keep_exits(h, e):
    """Make the tries of remainders of entry e out of EXITS[:WALK_EXITS], one a guard. Returns 0 or a status."""
    entries, links = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x2(h, GUARDED_EXITS)
    exits, guards = i32(h, EXITS), i32(h, EXIT_GUARDS)
    n, trie = h[WALK_EXITS], np.int64(entries[e, E_TRIE])
    if entries[e, E_EXIT] >= 0 or entries[e, E_GUARDED]:
        return 0  # known from before its row was given up
    first = 0
    while first < n:
        guard = np.int64(guards[first])
        count = 0
        for i in range(first, n):
            if guards[i] == guard:
                if n + count >= h[CAPACITY + EXITS] - h[EXIT_LISTS]:
                    return full(h, EXITS)
                exits[n + count] = exits[i]
                guards[i] = DONE
                count += 1
        t = remainder_trie(h, trie, n, count, guard)
        if t < 0:
            entries[e, E_EXIT] = -1
            entries[e, E_GUARDED] = 0
            return t
        if guard < 0:
            entries[e, E_EXIT] = t
        else:
            row = h[COUNT + GUARDED_EXITS]
            if row >= h[CAPACITY + GUARDED_EXITS]:
                return full(h, GUARDED_EXITS)
            links[row, 0] = t
            links[row, 1] = entries[e, E_GUARDED]
            entries[e, E_GUARDED] = row
            h[COUNT + GUARDED_EXITS] = row + 1
        while first < n and guards[first] == DONE:
            first += 1
    return 0


@helper("int64(int64[::1], int64)")
def _keep_calls(h, e):
    """Make the tries of what is left at CALLED[:WALK_CALLS] for entry e, one a call and counter. 0 or a status."""
    entries, links = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x4(h, ENTRY_CALLS)
    exits, called = i32(h, EXITS), i32x3(h, CALLED)
    n, trie = h[WALK_CALLS], np.int64(entries[e, E_TRIE])
    if entries[e, E_CALLS]:
        return 0  # known from before its row was given up
    first = 0
    while first < n:
        pc, arg = called[first, 1], called[first, 2]
        count = 0
        for i in range(first, n):
            if called[i, 1] == pc and called[i, 2] == arg:
                if count >= h[CAPACITY + EXITS] - h[EXIT_LISTS]:
                    return full(h, EXITS)
                exits[count] = called[i, 0]
                called[i, 1] = DONE
                count += 1
        t = remainder_trie(h, trie, 0, count, -1)
        if t < 0:
            entries[e, E_CALLS] = 0
            return t
        row = h[COUNT + ENTRY_CALLS]
        if row >= h[CAPACITY + ENTRY_CALLS]:
            return full(h, ENTRY_CALLS)
        links[row, 0] = t
        links[row, 1] = pc
        links[row, 2] = arg
        links[row, 3] = entries[e, E_CALLS]
        entries[e, E_CALLS] = row
        h[COUNT + ENTRY_CALLS] = row + 1
        while first < n and called[first, 1] == DONE:
            first += 1
    return 0


@helper("int64(int64[::1], int64, int64, int64)", linked=True)
def _build(h, e, base, left_out):
    """Walk entry e (new, or its row was given up). Returns 0 or a status; call again to go on.

    With a base, a wide entry that lets the same tokens of at most `left_out` bytes live, only longer ones are walked.
    """
    entries, tries = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, TRIES, TRIE_WIDTH)
    ranges, tokens = i32x2(h, RANGES), i32(h, NODE_TOKENS)
    trie = entries[e, E_TRIE]
    h[REMOVED_ENTRY] = -1  # a walk beside a base that is not done loses its scratch tables
    left_out = left_out if base >= 0 else 0
    if h[WALK_ENTRY] != e or h[WALK_LEFT_OUT] != left_out:  # its base may have been given up since it paused
        h[WALK_ENTRY] = e
        h[WALK_LEFT_OUT] = left_out
        h[WALK_NODE] = tries[trie, T_FIRST]
        h[WALK_EXITS] = 0
        h[WALK_CALLS] = 0
        h[WALK_RANGES] = 0
        h[FIRST_BYTE] = -1
    status = walk(h, trie, np.int64(entries[e, E_PC]), np.int64(entries[e, E_ARG]), left_out)
    if status < 0:
        return status
    num_ranges = h[WALK_RANGES]
    total = 0
    for k in range(num_ranges):
        total += ranges[k, 1] - ranges[k, 0]
    h[WALK_ENTRY] = -1
    if base >= 0:
        status = _add_exits(h, base, left_out)
        if status < 0:
            return status
    status = _keep_exits(h, e)
    if status < 0:
        return status
    status = _keep_calls(h, e)
    if status < 0:
        return status
    if base >= 0 or total >= h[WIDE]:
        row = bit_rows(h, ROWS)[take_row(h, e, np.int64(entries[base, E_ROW]) if base >= 0 else -1)]
        if base >= 0:
            source, by_length = bit_rows(h, ROWS)[entries[base, E_ROW]], i32(h, BY_LENGTH)
            for w in range(row.shape[0]):
                row[w] = source[w]
            for z in range(i32(h, LONGER)[left_out]):
                row[by_length[z] >> 5] &= ~(np.uint32(1) << np.uint32(by_length[z] & 31))
        else:
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


@helper("int64(int64[::1], int64, int64)")
def _add_exits(h, base, left_out):
    """Add the exits of a base behind at most `left_out` bytes to those that a walk of longer tokens met.

    The walk's are kept wherever they are: a base has none in subtrees that live anyway, where longer tokens may not.
    Returns 0 or FULL."""
    tries, nodes = i32xn(h, TRIES, TRIE_WIDTH), i32x4(h, NODES)
    exits, guards = i32(h, EXITS), i32(h, EXIT_GUARDS)
    walked, walked_guards = exits[: h[WALK_EXITS]].copy(), guards[: h[WALK_EXITS]].copy()
    first, count, n = np.int64(0), np.int64(0), 0
    whole = np.int64(i32xn(h, ENTRIES, ENTRY_WIDTH)[base, E_EXIT])
    if whole >= 0:
        first, count = np.int64(tries[whole, T_EXITS]), np.int64(tries[whole, T_NUM_EXITS])
    if len(walked) + count > h[CAPACITY + EXITS] - h[EXIT_LISTS]:
        return full(h, EXITS)
    i, j = 0, 0
    while i < len(walked) or j < count:
        if j < count and (i == len(walked) or exits[first + j] < walked[i]):
            x, guard = np.int64(exits[first + j]), np.int64(-1)
            j += 1
            if nodes[x, 2] + 1 > left_out:  # bytes up to there
                continue
        else:
            x, guard = np.int64(walked[i]), np.int64(walked_guards[i])
            i += 1
            if guard < 0 and j < count and exits[first + j] == x:
                j += 1
        exits[n] = x
        guards[n] = guard
        n += 1
    h[WALK_EXITS] = n
    return 0


@helper("int64(int64[::1], int64)", linked=True)
def _without_end(h, e):
    """The base of an entry whose counter is so large that only long tokens bring it to an end: the same with one that
    never ends. Or NO_BASE, or a status."""
    entries, net = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, NET, 5)
    pc, arg = np.int64(entries[e, E_PC]), np.int64(entries[e, E_ARG])
    if entries[e, E_TRIE] != VOCABULARY or arg >= FOREVER or arg - i32(h, NEEDED)[net[pc, 4]] <= FEW_BYTES:
        return NO_BASE
    base = find_entry(h, VOCABULARY, pc, FOREVER)
    if base < 0:
        return base
    if entries[base, E_KIND] == UNBUILT and h[WALK_ENTRY] != e:
        status = _build(h, base, NO_BASE, 0)
        if status < 0:
            return status
    plain = entries[base, E_GUARDED] == 0 and entries[base, E_CALLS] == 0
    return base if entries[base, E_KIND] == WIDE_KIND and plain else NO_BASE


@helper("int64(int64[::1], int64, int64, int64)")
def _list_lacking(h, base, n, longest):
    """Write behind POOL the tokens of a base that are in the subtrees EXITS[:n], or of more than `longest` code points
    (negative: of any number). Returns how many, or -1 where it is too many for a list."""
    nodes, tokens, exits, pool = i32x4(h, NODES), i32(h, NODE_TOKENS), i32(h, EXITS), i32(h, POOL)
    row = bit_rows(h, ROWS)[i32xn(h, ENTRIES, ENTRY_WIDTH)[base, E_ROW]]
    first = h[COUNT + POOL]
    if first + FEW_LESS > h[CAPACITY + POOL]:
        return -1
    lacks = 0
    for k in range(n):
        for z in range(nodes[exits[k], 3], nodes[nodes[exits[k], 1], 3]):
            t = tokens[z]
            if row[t >> 5] >> np.uint32(t & 31) & np.uint32(1):
                if lacks == FEW_LESS:
                    return -1
                pool[first + lacks] = t
                lacks += 1
    if longest >= 0:
        short, by_length = bit_rows(h, SHORT)[longest], i32(h, BY_LENGTH)
        for z in range(i32(h, LONGER)[longest]):  # bytes are no fewer than code points
            t = by_length[z]
            if (row[t >> 5] & ~short[t >> 5]) >> np.uint32(t & 31) & np.uint32(1):
                if lacks == FEW_LESS:
                    return -1
                pool[first + lacks] = t
                lacks += 1
    return lacks


@helper("int64(int64[::1], int64, int64, int64)", linked=True)
def _derive(h, e, note, base):
    """Build entry e of the vocabulary's trie from its built wide base, as the base less some subtrees."""
    entries, notes = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, NOTES, NOTE_WIDTH)
    nodes, tokens, exits, tries = i32x4(h, NODES), i32(h, NODE_TOKENS), i32(h, EXITS), i32xn(h, TRIES, TRIE_WIDTH)
    start = start_of_entry(h, entries[e, E_PC], entries[e, E_ARG])
    if start < 0:
        return start
    base_start = start_of_entry(h, notes[note, N_BASE], 0)
    if base_start < 0:
        return base_start
    n = removed(h, e, start, base_start)
    if n < 0:
        return n
    entries[e, E_BASE] = base
    short = bit_rows(h, SHORT)
    slack = notes[note, N_SLACK]
    longest = np.int64(entries[e, E_ARG]) + slack  # code points
    bounded = slack >= 0 and longest < short.shape[0]
    if slack >= 0 and not bounded and h[LONGEST_TOKEN] >= short.shape[0]:
        return _build(h, e, NO_BASE, 0)  # a token so long that no row of SHORT knows it
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
            t = remainder_trie(h, VOCABULARY, n, left, -1)
            if t < 0:
                return t
            entries[e, E_EXIT] = t
    lacks = _list_lacking(h, base, n, longest if bounded else np.int64(-1))
    if lacks >= 0:
        entries[e, E_START], entries[e, E_TOKENS] = h[COUNT + POOL], lacks
        h[COUNT + POOL] += lacks
        entries[e, E_KIND] = LESS
        return 0
    r = take_row(h, e, np.int64(entries[base, E_ROW]))
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


@helper("int64(int64[::1], int64)", linked=True)
def ensure(h, e):
    """Build entry e, or the base that its row comes from, if it is not built. Returns 0 or a status."""
    entries, net, notes = i32xn(h, ENTRIES, ENTRY_WIDTH), i32xn(h, NET, 5), i32xn(h, NOTES, NOTE_WIDTH)
    if entries[e, E_KIND] == LESS:
        e = np.int64(entries[e, E_BASE])
    if entries[e, E_KIND] != UNBUILT:
        return 0
    pc = entries[e, E_PC]
    if entries[e, E_TRIE] == VOCABULARY and net[pc, 0] == LAZY:
        start = start_of_entry(h, pc, entries[e, E_ARG])  # the note is written when the instruction is expanded
        if start < 0:
            return start
    if entries[e, E_TRIE] == VOCABULARY and net[pc, 0] == NOTE:
        note = np.int64(net[pc, 2])
        base = find_entry(h, VOCABULARY, notes[note, N_BASE], 0)
        if base < 0:
            return base
        if entries[base, E_KIND] == UNBUILT:
            status = _build(h, base, NO_BASE, 0)
            if status < 0:
                return status
        if entries[base, E_KIND] == WIDE_KIND and entries[base, E_GUARDED] == 0 and entries[base, E_CALLS] == 0:
            return _derive(h, e, note, base)
    base = _without_end(h, e)
    if base < NO_BASE:
        return base
    left_out = np.int64(entries[e, E_ARG] - i32(h, NEEDED)[net[pc, 4]] - 1)  # known now that the base is built
    return _build(h, e, base if left_out > 0 else np.int64(NO_BASE), left_out)
