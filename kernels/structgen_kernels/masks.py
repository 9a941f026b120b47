"""Masks of states: the union of store entries, found once a state and then kept with it.

Kernels of this file resume: when the network must grow first they return a status, and are called again.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    ACCEPTS,
    APART,
    ARG_CAP,
    ASKED,
    ASKS,
    BUSY,
    CALL,
    CAPACITY,
    CLASSES,
    COMPOSED,
    COMPOSING,
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
    END,
    ENDING,
    ENDS,
    ENTRIES,
    ENTRY_CALLS,
    ENTRY_WIDTH,
    EXITED,
    EXTRA,
    FAIL,
    FOREVER,
    GENERATION,
    GUARD,
    GUARDED,
    GUARDED_EXITS,
    ITEMS,
    JUMP,
    KERNEL,
    LAZY,
    LAZY_PC,
    LEAVES,
    LEFT,
    LESS,
    MARK,
    NARROW,
    NEEDS,
    NET,
    NOT_READY,
    NOTE,
    NUM_NEEDS,
    NUM_WANTED,
    PARTS,
    PAUSE,
    PENDING,
    POOL,
    QUICK,
    ROOT,
    ROW_OWNER,
    ROWS,
    RULES,
    S_ALIKE,
    S_EXTENDED,
    S_FLAGS,
    S_GUARDED,
    S_ITEMS,
    S_KERNEL,
    S_NUM_GUARDED,
    S_NUM_PARTS,
    S_PARTS,
    SAME,
    SET,
    SPLIT,
    STATE_WIDTH,
    STATES,
    TAKE,
    TOP,
    UNBUILT,
    VOCABULARY,
    WANTED,
    WANTED_FOR,
    WORDS,
    ZERO,
    bit_row_at,
    bit_rows,
    full,
    header_at,
    helper,
    i32,
    i32x2,
    i32x3,
    i32x4,
    i32xn,
    u64x4,
)
from structgen_kernels.classes import union_class
from structgen_kernels.composites import add_exit, add_less, built, compose
from structgen_kernels.jit import kernel
from structgen_kernels.keys import CELL_TABLE, CELL_WIDTH, CELLS, REPEATED, forbid_keys, read_token
from structgen_kernels.machine import advance_token, goto, intern, known_after_token
from structgen_kernels.members import may_add, may_end, may_go_on, with_member
from structgen_kernels.store import ensure, find_entry
from structgen_kernels.tries import guarded_trie
from structgen_kernels.walks import start_of_entry

FEW_ASKED = 16  # rows of PENDING that are compared one by one


@helper("int64(int64, int64)")
def _asked_at(state, trie):
    x = np.uint64(state) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(trie) * np.uint64(0xC2B2AE3D27D4EB4F)
    return np.int64((x ^ (x >> np.uint64(31))) & np.uint64(0x7FFFFFFF))


@helper("int64(int64[::1], int64, int64, int64, int64)")
def _ask(h, state, trie, added_only, n):
    """Add a mask to PENDING[:n] unless it is there. Returns the new n, or FULL."""
    pending = i32x3(h, PENDING)
    if n < FEW_ASKED:
        for z in range(n):
            if pending[z, 0] == state and pending[z, 1] == trie and pending[z, 2] <= added_only:
                return n
    else:
        asked, stamp, m = i32x2(h, ASKED), np.int32(h[ASKS]), h[CAPACITY + ASKED] - 1
        if n >= h[CAPACITY + PENDING]:
            return full(h, PENDING)
        if n == FEW_ASKED:
            for z in range(n):
                p = _asked_at(pending[z, 0], pending[z, 1]) & m
                while asked[p, 0] == stamp:
                    p = (p + 1) & m
                asked[p, 0] = stamp
                asked[p, 1] = z
        p = _asked_at(state, trie) & m
        while asked[p, 0] == stamp:
            z = np.int64(asked[p, 1])
            if pending[z, 0] == state and pending[z, 1] == trie and pending[z, 2] <= added_only:
                return n
            p = (p + 1) & m
        asked[p, 0] = stamp
        asked[p, 1] = n
    pending[n, 0] = state
    pending[n, 1] = trie
    pending[n, 2] = added_only
    return n + 1


@helper("boolean(int64[::1], int64)")
def _is_full(h, guard):
    """Whether a class holds every byte: no token passes such a guard."""
    classes, all_bytes = u64x4(h, CLASSES), ~np.uint64(0)
    full_words = 0
    for c in range(4):
        full_words += classes[guard, c] == all_bytes
    return full_words == 4


@helper("int64(int64[::1], int64, int64)", linked=True)
def _leaves(h, pc, arg):
    """Take an item apart into LEAVES: what it becomes without a byte. Returns their number (0: better left whole), or a
    status.

    It is taken apart where it may call a rule, because the rule's own entry serves every place that calls it.
    """
    net, leaves = i32xn(h, NET, 5), i32x3(h, LEAVES)
    limit = h[CAPACITY + LEAVES]
    n, i = 1, 0
    calls = 0
    leaves[0, 0] = pc
    leaves[0, 1] = arg
    leaves[0, 2] = -1
    while i < n:
        pc, arg = np.int64(leaves[i, 0]), np.int64(leaves[i, 1])
        op, a, b = net[pc, 0], np.int64(net[pc, 1]), np.int64(net[pc, 2])
        if op == JUMP:
            leaves[i, 0] = a
            continue
        if op == SPLIT:
            if n >= limit:
                return 0
            leaves[i, 0] = a
            leaves[n, 0] = b
            leaves[n, 1] = arg
            leaves[n, 2] = leaves[i, 2]
            n += 1
            continue
        if op == GUARD:
            guard = b if leaves[i, 2] < 0 else union_class(h, b, np.int64(leaves[i, 2]))
            if guard < 0:
                return guard
            leaves[i, 0] = a
            leaves[i, 2] = guard
            continue
        if op == SET:
            leaves[i, 0] = a
            leaves[i, 1] = b
            continue
        if op == MARK:
            m = with_member(h, -arg, b)
            if m < 0:
                return m
            leaves[i, 0] = a
            leaves[i, 1] = -m
            continue
        if (
            (op == ENDS and may_end(h, -arg))
            or (op == LEFT and may_go_on(h, -arg))
            or (op == EXTRA and may_add(h, -arg))
        ):
            leaves[i, 0] = a
            continue
        if op == LAZY:
            return start_of_entry(h, pc, arg)  # all that its closure meets is emitted first
        if op in (TAKE, ZERO) and n > 1:
            return 0  # repeats are walked whole
        if op in (TAKE, ZERO, NOTE, FAIL) and n == 1:
            return 0
        if op in (ENDS, LEFT, EXTRA, END, FAIL):
            n -= 1
            for c in range(3):
                leaves[i, c] = leaves[n, c]
            continue
        calls += op == CALL
        i += 1
    return n if calls else 0


@helper("int64(int64[::1], int64, int64, int64)")
def _add_part(h, e, first, n):
    """Add entry e to PARTS[first : first + n] unless it is there or empty. Returns the new n, or FULL."""
    entries, parts = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, PARTS)
    if entries[e, E_KIND] == NARROW and entries[e, E_TOKENS] == 0:
        return n
    if entries[e, E_SEEN] == h[ASKS]:
        return n
    entries[e, E_SEEN] = h[ASKS]
    if first + n >= h[CAPACITY + PARTS]:
        return full(h, PARTS)
    parts[first + n] = e
    return n + 1


@helper("int64(int64[::1], int64, int64, int64)")
def _entry(h, trie, pc, arg):
    """The built entry R(trie, pc, arg); or a status."""
    entries = i32xn(h, ENTRIES, ENTRY_WIDTH)
    e = find_entry(h, trie, pc, arg if arg < h[ARG_CAP] else np.int64(FOREVER))
    if e < 0:
        return e
    status = ensure(h, e)
    if status < 0:
        return status
    return np.int64(entries[e, E_BASE]) if entries[e, E_KIND] == SAME else e


@helper("int64(int64[::1], int64, int64, int64)")
def _ask_behind(h, e, after, n):
    """Add to PENDING[:n] what is left of entry e's tokens in the state that its rule is left for."""
    entries, links = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x2(h, GUARDED_EXITS)
    if after == 0:
        return n
    if entries[e, E_EXIT] >= 0:
        n = _ask(h, after, np.int64(entries[e, E_EXIT]), 0, n)
    link = entries[e, E_GUARDED]
    while link and n >= 0:
        n = _ask(h, after, np.int64(links[link, 0]), 0, n)
        link = links[link, 1]
    return n


@helper("int64(int64[::1], int64, int64, int64)")
def _composite(h, trie, pc, arg):
    """The composite C(trie, pc, arg), in WANTED if its parts are not known; or a status."""
    entries, wanted = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, WANTED)
    e = find_entry(h, trie, ~pc, arg if arg < h[ARG_CAP] else np.int64(FOREVER))
    if e < 0:
        return e
    if entries[e, E_KIND] == UNBUILT and entries[e, E_NUM_PARTS] < 0 and entries[e, E_SEEN] != h[ASKS]:
        entries[e, E_SEEN] = h[ASKS]
        n = h[NUM_WANTED]
        if n >= h[CAPACITY + WANTED]:
            return full(h, WANTED)
        wanted[n] = e
        h[NUM_WANTED] = n + 1
    return e


@helper("int64(int64[::1], int64, int64)")
def _add_exits(h, c, e):
    """Add to composite c what is left of the tokens of entry e when its rule, which is that of c, is. 0 or FULL."""
    entries, links = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x2(h, GUARDED_EXITS)
    status = 0
    if entries[e, E_EXIT] >= 0:
        status = add_exit(h, c, np.int64(entries[e, E_EXIT]))
    link = entries[e, E_GUARDED]
    while link and status == 0:
        status = add_exit(h, c, np.int64(links[link, 0]))
        link = links[link, 1]
    return status


@helper("int64(int64[::1], int64, int64)")
def _need_callee(h, call, n):
    """Write to NEEDS[n] the start of the rule that the instruction `call` calls, if it is one and the start is not
    emitted yet: one by one each would take a round trip, and a look at all before it. Returns the new n."""
    net, needs = i32xn(h, NET, 5), i32(h, NEEDS)
    if net[call, 0] == CALL and n < h[CAPACITY + NEEDS]:
        start = i32x3(h, RULES)[net[call, 1], 0]
        if net[start, 0] == LAZY:
            needs[n] = start
            return n + 1
    return n


@helper("int64(int64[::1], int64, int64, int64)", linked=True)
def _resolve(h, s, whole, c):
    """Find the entries whose union is the mask of state s over a trie, and keep them with it (c: -1); or, if its only
    item is that of composite c, with c.

    Returns 0; the number of composites without which nothing is kept, which are now in WANTED; or a status.

    What stands behind a guard in the rule of an item is in the item's own entry; of the states behind guards only the
    callers that are resumed there are asked, for the tokens that pass the guard.
    """
    states, items, net = i32xn(h, STATES, STATE_WIDTH), i32x3(h, ITEMS), i32xn(h, NET, 5)
    rules, kernel, guarded, leaves = i32x3(h, RULES), i32x3(h, KERNEL), i32x2(h, GUARDED), i32x3(h, LEAVES)
    entries, pending, links = i32xn(h, ENTRIES, ENTRY_WIDTH), i32x3(h, PENDING), i32x4(h, ENTRY_CALLS)
    first = h[COUNT + PARTS]
    num_wanted = h[NUM_WANTED]
    h[ASKS] += 1
    if h[ASKS] >= 0x7FFFFFF0:
        entries[:, E_SEEN] = 0
        i32x2(h, ASKED)[:, 0] = 0
        h[ASKS] = 1
    num_parts = 0
    num_needs = np.int64(0)
    num_pending = _ask(h, s, whole, 0, 0)
    i = 0
    while i < num_pending:
        t, asked, added_only = np.int64(pending[i, 0]), np.int64(pending[i, 1]), pending[i, 2]
        i += 1
        itself = c >= 0 and i == 1  # what is left of a token behind no byte of it is no business of its composite
        if added_only == 0:
            if c >= 0 and not itself and states[t, S_FLAGS] & EXITED:
                status = add_exit(h, c, asked)
                if status < 0:
                    return status
            for k in range(states[t, S_GUARDED], states[t, S_GUARDED] + states[t, S_NUM_GUARDED]):
                u = np.int64(guarded[k, 1])
                exited = c >= 0 and not itself and states[u, S_FLAGS] & EXITED != 0
                added = states[u, S_EXTENDED] > states[u, S_KERNEL]
                if (added or exited) and not _is_full(h, np.int64(guarded[k, 0])):
                    rest = guarded_trie(h, asked, np.int64(guarded[k, 0]))
                    if rest < 0:
                        return rest
                    if exited:
                        status = add_exit(h, c, rest)
                        if status < 0:
                            return status
                    if added:
                        num_pending = _ask(h, u, rest, 1, num_pending)
                        if num_pending < 0:
                            return num_pending
        base = states[t, S_ITEMS]
        for k in range(base + (states[t, S_KERNEL] if added_only else 0), base + states[t, S_EXTENDED]):
            pc, origin, arg = np.int64(items[k, 0]), np.int64(items[k, 1]), np.int64(items[k, 2])
            composite = np.int64(0)
            num_leaves = np.int64(0)
            if rules[net[pc, 4], 1] & COMPOSED and not itself:
                composite = _composite(h, asked, pc, arg)
                if composite < 0:
                    return composite
                if entries[composite, E_KIND] == COMPOSING:
                    composite = np.int64(0)
                elif entries[composite, E_NUM_PARTS] < 0:
                    continue
            if composite == 0:
                num_leaves = _leaves(h, pc, arg)
                if num_leaves < 0:
                    return num_leaves
            for leaf in range(max(num_leaves, 1)):
                trie, guard = asked, np.int64(-1)
                if num_leaves:
                    pc, arg, guard = np.int64(leaves[leaf, 0]), np.int64(leaves[leaf, 1]), np.int64(leaves[leaf, 2])
                    if guard >= 0:
                        if _is_full(h, guard):
                            continue
                        trie = guarded_trie(h, asked, guard)
                        if trie < 0:
                            return trie
                # an item that only calls a rule has the mask of the rule's start
                called = net[pc, 0] == CALL and composite == 0
                if called and num_needs:
                    n = _need_callee(h, pc, num_needs)
                    if n > num_needs:
                        num_needs = n
                        continue
                here = np.int64(states[t, S_ALIKE])
                if called and guard >= 0:  # behind a guard: t does not know of this call
                    kernel[0, 0] = pc
                    kernel[0, 1] = origin
                    kernel[0, 2] = arg
                    here = intern(h, 1)
                    if here < 0:
                        return here
                    here = np.int64(states[here, S_ALIKE])
                if called and rules[net[pc, 1], 1] & APART:
                    kernel[0, 0] = rules[net[pc, 1], 0]
                    kernel[0, 1] = here
                    kernel[0, 2] = net[pc, 3]
                    inside = intern(h, 1)
                    if inside < 0:
                        return inside
                    num_pending = _ask(h, inside, trie, 0, num_pending)
                    if num_pending < 0:
                        return num_pending
                    continue
                e = composite
                if called:
                    start, count = np.int64(rules[net[pc, 1], 0]), np.int64(net[pc, 3])
                    if rules[net[pc, 1], 1] & COMPOSED:
                        e = _composite(h, trie, start, count)
                        if e >= 0 and entries[e, E_KIND] == COMPOSING:
                            e = np.int64(0)
                        elif e >= 0 and entries[e, E_NUM_PARTS] < 0:
                            continue
                    if e == 0:
                        e = _entry(h, trie, start, count)
                elif e == 0:
                    e = _entry(h, trie, pc, arg)
                if e == LAZY_PC and called and num_needs == 0 and net[rules[net[pc, 1], 0], 0] == LAZY:
                    num_needs = h[NUM_NEEDS]  # from here on those of all rules that are called
                    continue
                if e < 0:
                    return e
                part = np.int64(entries[e, E_BASE]) if entries[e, E_KIND] == SAME else e
                num_parts = _add_part(h, part, first, num_parts)
                if num_parts < 0:
                    return num_parts
                if c >= 0 and not called and origin == TOP:
                    status = _add_exits(h, c, e)
                    if status < 0:
                        return status
                elif (entries[e, E_EXIT] >= 0 or entries[e, E_GUARDED]) and (called or origin > ROOT):
                    if called:
                        kernel[0, 0] = net[pc, 2]
                        kernel[0, 1] = origin
                        kernel[0, 2] = arg
                        after = intern(h, 1)
                    else:
                        after = goto(h, origin, np.int64(net[pc, 4]))
                    if after < 0:
                        return after
                    num_pending = _ask_behind(h, e, after, num_pending)
                    if num_pending < 0:
                        return num_pending
                link = np.int64(entries[e, E_CALLS])
                while link:
                    n = _need_callee(h, np.int64(links[link, 1]), num_needs) if num_needs else num_needs
                    if n == num_needs:
                        kernel[0, 0] = links[link, 1]
                        kernel[0, 1] = here if called else origin
                        kernel[0, 2] = links[link, 2]
                        u = intern(h, 1)
                        if u == LAZY_PC and num_needs == 0:
                            n = h[NUM_NEEDS]
                        elif u < 0:
                            return u
                        else:
                            num_pending = _ask(h, u, np.int64(links[link, 0]), 0, num_pending)
                            if num_pending < 0:
                                return num_pending
                    num_needs = n
                    link = np.int64(links[link, 3])
    if num_needs:
        h[NUM_NEEDS] = num_needs
        return LAZY_PC
    if h[NUM_WANTED] > num_wanted:
        return h[NUM_WANTED] - num_wanted
    if c >= 0:
        return compose(h, c, first, num_parts)
    states[s, S_PARTS] = first
    states[s, S_NUM_PARTS] = num_parts
    h[COUNT + PARTS] = first + num_parts
    return 0


@helper("int64(int64[::1], int64)", linked=True)
def _find_mask(h, s):
    """`_resolve` state s, behind the composites that it lacks, and those that they lack. Returns 0 or a status."""
    entries, wanted = i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, WANTED)
    if h[WANTED_FOR] != s:  # otherwise the network has grown meanwhile, and it goes on where it stood
        for k in range(h[NUM_WANTED]):
            if entries[wanted[k], E_KIND] == COMPOSING:
                entries[wanted[k], E_KIND] = UNBUILT
        h[NUM_WANTED] = 0
        h[WANTED_FOR] = s
    while True:
        while h[NUM_WANTED]:
            c = np.int64(wanted[h[NUM_WANTED] - 1])
            status = 0
            if entries[c, E_NUM_PARTS] < 0:
                entries[c, E_KIND] = COMPOSING
                status = start_of_entry(h, ~np.int64(entries[c, E_PC]), np.int64(entries[c, E_ARG]))
                if status >= 0:
                    status = _resolve(h, status, np.int64(entries[c, E_TRIE]), c)
            if status == 0:
                h[NUM_WANTED] -= 1
            if status < 0:
                return status
        status = _resolve(h, s, VOCABULARY, -1)
        if status <= 0:
            return status


@helper("boolean(int64[::1], int64, uint32[:, ::1], int64, boolean)")
def add_row(h, e, out, index, begun):
    """Add the bit row of a built entry to row `index` of out, or write it there if that was not `begun`. Whether it is
    begun now."""
    entries = i32xn(h, ENTRIES, ENTRY_WIDTH)
    if entries[e, E_KIND] == LESS:
        add_less(h, e, out[index], begun)
        return True
    r = entries[e, E_ROW]
    if r < 0:
        return begun
    i32x2(h, ROW_OWNER)[r, 1] = 1
    row, words = bit_rows(h, ROWS)[r], h[WORDS]
    if begun:
        for w in range(words):
            out[index, w] |= row[w]
    else:
        for w in range(words):
            out[index, w] = row[w]
    return True


@helper("void(int64[::1], int64, uint32[:, ::1], int64, boolean)")
def add_tokens(h, s, out, index, begun):
    """Write to row `index` of out what of the mask of state s is not in bit rows: zeros behind these, single tokens."""
    states, entries = i32xn(h, STATES, STATE_WIDTH), i32xn(h, ENTRIES, ENTRY_WIDTH)
    parts, pool = i32(h, PARTS), i32(h, POOL)
    rest = out[index, h[WORDS] :] if begun else out[index]
    for w in range(rest.shape[0]):  # from 0 on: LLVM scattered what it could not see to be side by side
        rest[w] = 0
    for k in range(states[s, S_PARTS], states[s, S_PARTS] + states[s, S_NUM_PARTS]):
        e = parts[k]
        if entries[e, E_KIND] == NARROW:
            start = entries[e, E_START]
            for z in range(start, start + entries[e, E_TOKENS]):
                t = pool[z]
                out[index, t >> 5] |= np.uint32(1) << np.uint32(t & 31)
    if states[s, S_FLAGS] & ACCEPTS:
        ends = i32(h, ENDING)
        for z in range(h[COUNT + ENDING]):
            out[index, ends[z] >> 5] |= np.uint32(1) << np.uint32(ends[z] & 31)


@helper("int64(int64[::1], int64, uint32[:, ::1], int64)", linked=True)
def fill_mask(h, s, out, index):
    """Write the mask of state s into row `index` of out, uint32 [rows, at least WORDS]: every word of it.

    Returns 0, or a status: the network must grow first (LAZY_PC), a table is full (FULL), the budget is spent (BUDGET).
    """
    states, parts = i32xn(h, STATES, STATE_WIDTH), i32(h, PARTS)
    if states[s, S_NUM_PARTS] < 0:
        status = _find_mask(h, s)
        if status < 0:
            return status
    begun = False
    for k in range(states[s, S_PARTS], states[s, S_PARTS] + states[s, S_NUM_PARTS]):
        status = built(h, np.int64(parts[k]))  # its row may have been given up
        if status < 0:
            return status
        begun = add_row(h, np.int64(parts[k]), out, index, begun)
    add_tokens(h, s, out, index, begun)
    return 0


@helper("boolean(int64[::1], int64)")
def is_found(h, s):
    """Whether the mask of state s is in the store, so that it need only be copied."""
    states, entries, parts = i32xn(h, STATES, STATE_WIDTH), i32xn(h, ENTRIES, ENTRY_WIDTH), i32(h, PARTS)
    if states[s, S_NUM_PARTS] < 0:
        return False
    for k in range(states[s, S_PARTS], states[s, S_PARTS] + states[s, S_NUM_PARTS]):
        kind = entries[parts[k], E_KIND]
        if kind == LESS:
            kind = entries[entries[parts[k], E_BASE], E_KIND]
        if kind == UNBUILT:
            return False
    return True


@helper("void(int64[::1], int64, uint32[:, ::1], int64)", linked=True)
def copy_mask(h, s, out, index):
    """`fill_mask` where the mask `is_found`."""
    states, parts = i32xn(h, STATES, STATE_WIDTH), i32(h, PARTS)
    begun = False
    for k in range(states[s, S_PARTS], states[s, S_PARTS] + states[s, S_NUM_PARTS]):
        begun = add_row(h, np.int64(parts[k]), out, index, begun)
    add_tokens(h, s, out, index, begun)


# ---- texts: a state, and the memory of the keys that its objects have (see `keys`; 0: none) --------------------------


@kernel("int64(int64[::1], int64, int64, uint32[:, ::1], int64)")
def fill_text(h, s, memory, out, index):
    """`fill_mask`, less the tokens that would repeat a key."""
    status = fill_mask(h, s, out, index)
    return forbid_keys(h, memory, out[index]) if status == 0 and memory != 0 else status


@kernel("int64(int64, int64, int64, int64, int64, int64)", nogil=False)
def fill_found(header, generation, s, memory, row, words):
    """`fill_text` without the lock, while nobody holds it: of a state of a generation.

    header, row: addresses, of the header and of uint32 [words]. It keeps the GIL, so it is short: a mask that is not
    found yet visits at most QUICK nodes of tries. Returns 0, or a status: ask again with the lock, which goes on from
    there.
    """
    h = header_at(header)
    if h[BUSY] or h[GENERATION] != generation:
        return NOT_READY
    out = bit_row_at(row, words)
    if is_found(h, s):
        copy_mask(h, s, out, 0)
    elif h[QUICK] == 0:
        return NOT_READY
    else:
        h[PAUSE] = h[QUICK]
        status = fill_mask(h, s, out, 0)
        h[PAUSE] = -1
        if status < 0:
            return status
    return forbid_keys(h, memory, out[0]) if memory != 0 else 0


@helper("UniTuple(int64, 2)(int64[::1], int64, int64, int64)")
def _remember(h, t, memory, token):
    """The state and the memory after a token, of which the state is t."""
    if memory == 0 or t <= 0:
        return t, np.int64(0)
    after = read_token(h, i32xn(h, CELLS, CELL_WIDTH), i32(h, CELL_TABLE), memory, token)
    if after < 0:
        return after, np.int64(0)
    return np.int64(0) if after == REPEATED else t, after


@kernel("UniTuple(int64, 2)(int64[::1], int64, int64, int64)")
def advance_text(h, s, memory, token):
    """The state and the memory after a token. State 0: dead, also where the token repeats a key; or a status."""
    return _remember(h, advance_token(h, s, token), memory, token)


@kernel("UniTuple(int64, 2)(int64, int64, int64, int64, int64)", nogil=False)
def advance_found(header, generation, s, memory, token):
    """`advance_text` without the lock, while nobody holds it; it keeps the GIL. State below 0: ask with the lock.

    header: its address.
    """
    h = header_at(header)
    if h[BUSY] or h[GENERATION] != generation:
        return np.int64(NOT_READY), np.int64(0)
    t = known_after_token(h, s, token)
    if t < 0:
        t = advance_token(h, s, token)
    return _remember(h, t, memory, token)
