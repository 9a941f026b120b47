"""Walks of a trie: which tokens live from an item, and what an item lacks of its base.

Both go depth first with the state along the path on a stack, and skip whatever a node tells of all that is below it.
Walks resume: when the network must grow first they return a status, and are called again.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    ADDRESS,
    ALLOWED,
    BELOW,
    BUDGET,
    BYTE,
    CALL,
    CALLED,
    CAPACITY,
    CLASSES,
    COMPOSED,
    COUNT,
    DEEPEST,
    END,
    EXIT_GUARDS,
    EXIT_LISTS,
    EXITED,
    EXITED_GUARDED,
    EXITS,
    FAIL,
    FIRST_BYTE,
    GUARD,
    GUARDED,
    ITEMS,
    JUMP,
    KERNEL,
    LAZY,
    LOOPS,
    NET,
    NODES,
    NOT_READY,
    PAIRS,
    PAUSE,
    PICK,
    Q_BYTE,
    Q_DEPTH,
    Q_END,
    Q_NODE,
    QUOTED,
    RANGES,
    REMOVED_ENTRY,
    REMOVED_EXITS,
    REMOVED_ROW,
    ROOT,
    ROOTED,
    ROOTS,
    RULES,
    S_FLAGS,
    S_GUARDED,
    S_ITEMS,
    S_KERNEL,
    S_NUM_GUARDED,
    SIBLING_AT,
    SIBLINGS,
    SPLIT,
    STACK,
    STATE_WIDTH,
    STATES,
    STEPS,
    STEPS_LEFT,
    SWITCHED,
    T_DEPTH,
    T_END,
    T_FIRST,
    T_GUARD,
    TOP,
    TRANS,
    TRIE_WIDTH,
    TRIES,
    VISITED,
    VOCABULARY,
    WALK_CALLS,
    WALK_ENTRY,
    WALK_EXITS,
    WALK_NODE,
    WALK_RANGES,
    full,
    helper,
    i32,
    i32x2,
    i32x3,
    i32x4,
    i32xn,
    prefetch,
    u64x4,
)  # fmt: skip
from structgen_kernels.chars import loops_below
from structgen_kernels.machine import follow, intern, step
from structgen_kernels.safe import lives_below
from structgen_kernels.singles import settled, single_lives_below, target_of

FEW_NODES = 4  # below one, that are quicker visited than asked about
ALONE = -1  # on STACK: no state, but a single item in PAIRS


@helper("int64(int64[::1], int64, int64)")
def start_of_entry(h, pc, arg):
    """The state of the single item (pc, unknown caller, arg). Rules that are only entered at the start of a text have
    one caller, the root: their states then serve as real states too."""
    kernel = i32x3(h, KERNEL)
    rule = i32xn(h, NET, 5)[pc, 4]
    kernel[0, 0] = pc
    kernel[0, 1] = ROOT if i32x3(h, RULES)[rule, 1] & ROOTED else TOP
    kernel[0, 2] = arg
    return intern(h, 1)


@helper("boolean(int64[::1], int64, int64)")
def _goes_on(h, node, guard):
    """Whether a token goes on behind a trie node with a byte outside a class."""
    nodes, classes = i32x4(h, NODES), u64x4(h, CLASSES)
    i, end = node + 1, np.int64(nodes[node, 1])
    while i < end:
        byte = nodes[i, 0]
        if (classes[guard, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0):
            return True
        i = np.int64(nodes[i, 1])
    return False


@helper("int64(int64[::1], int64, int64, int64)")
def _leave(h, node, s, n):
    """Add to EXITS[:n] the ways in which the caller's rule is complete in state s at a trie node. Returns the new n."""
    states, guarded = i32xn(h, STATES, STATE_WIDTH), i32x2(h, GUARDED)
    exits, guards = i32(h, EXITS), i32(h, EXIT_GUARDS)
    most = h[CAPACITY + EXITS] - h[EXIT_LISTS]
    if states[s, S_FLAGS] & EXITED:
        if n >= most:
            return full(h, EXITS)
        exits[n] = node
        guards[n] = -1
        return n + 1  # what is behind a guard may leave here too
    for k in range(states[s, S_GUARDED], states[s, S_GUARDED] + states[s, S_NUM_GUARDED]):
        if states[guarded[k, 1], S_FLAGS] & EXITED and _goes_on(h, node, np.int64(guarded[k, 0])):
            if n >= most:
                return full(h, EXITS)
            exits[n] = node
            guards[n] = guarded[k, 0]
            n += 1
    return n


@helper("int64(int64[::1], int64, int64, int64, int64)", linked=True)
def walk(h, trie, pc, arg, longest_left_out):
    """Walk a trie from the item (pc, unknown caller, arg): runs of alive tokens go to RANGES, nodes where the caller's
    rule completes to EXITS, nodes where the item does nothing but call a rule to CALLED, and, if its items have
    composites, nodes where it has a choice.

    As long as there is but one item, and it waits for a byte, there is no state: literals, keys and lists of values are
    walked without any. On STACK such an item is ALONE, and (pc, arg) in PAIRS.

    Where no token has more than `longest_left_out` bytes, nothing is looked at (0: all is; only for the vocabulary's).
    Resumes at WALK_NODE, WALK_EXITS, WALK_CALLS, WALK_RANGES, FIRST_BYTE. Returns 0 or a status: NOT_READY at PAUSE.
    """
    tries, nodes, below = i32xn(h, TRIES, TRIE_WIDTH), i32x4(h, NODES), u64x4(h, BELOW)
    states, trans, steps, net = i32xn(h, STATES, STATE_WIDTH), i32xn(h, TRANS, 8), i32xn(h, STEPS, 32), i32xn(h, NET, 5)
    allowed, loops, alone, called = u64x4(h, ALLOWED), u64x4(h, LOOPS), i32x2(h, PAIRS), i32x3(h, CALLED)
    stack, ranges, roots, classes = i32(h, STACK), i32x2(h, RANGES), i32(h, ROOTS), u64x4(h, CLASSES)
    kernel, exits, exit_guards = i32x3(h, KERNEL), i32(h, EXITS), i32(h, EXIT_GUARDS)
    base, end = tries[trie, T_DEPTH], np.int64(tries[trie, T_END])
    i, num_exits, num_ranges, num_called = h[WALK_NODE], h[WALK_EXITS], h[WALK_RANGES], h[WALK_CALLS]
    first_byte = h[FIRST_BYTE]
    guard = np.int64(tries[trie, T_GUARD])
    by_first_byte = tries[trie, T_FIRST] == tries[VOCABULARY, T_FIRST] and end == tries[VOCABULARY, T_END]
    siblings, at, listed = i32x2(h, SIBLINGS), i32(h, SIBLING_AT), np.int64(tries[VOCABULARY, T_END])
    deepest = i32(h, DEEPEST)
    flags = i32x3(h, RULES)[net[pc, 4], 1]
    caller, composed = ROOT if flags & ROOTED else TOP, flags & COMPOSED != 0
    begun, counter = settled(h, pc, arg)
    if begun < 0:
        return begun
    if net[begun, 0] in (BYTE, SWITCHED, PICK):
        stack[0] = ALONE
        alone[0, 0] = begun
        alone[0, 1] = counter
        w0, w1 = classes[net[begun, 1], 0], classes[net[begun, 1], 1]
        w2, w3 = classes[net[begun, 1], 2], classes[net[begun, 1], 3]
    else:
        start = start_of_entry(h, pc, arg)
        if start < 0:
            return start
        stack[0] = start
        w0, w1, w2, w3 = allowed[start, 0], allowed[start, 1], allowed[start, 2], allowed[start, 3]
    visited, pause = 0, h[PAUSE]
    status = np.int64(0)
    part_end = end
    if by_first_byte:
        part_end = i if first_byte < 0 else np.int64(nodes[roots[first_byte], 1])
    while True:
        if i >= part_end:
            if not by_first_byte:
                break
            # the next first byte that the item allows and the vocabulary has
            first_byte += 1
            while first_byte < 256:
                w = w0 if first_byte < 64 else w1 if first_byte < 128 else w2 if first_byte < 192 else w3
                if (w >> np.uint64(first_byte & 63)) & np.uint64(1) and roots[first_byte] >= 0:
                    break
                first_byte += 1
            if first_byte >= 256:
                break
            i = np.int64(roots[first_byte])
            part_end = np.int64(nodes[i, 1])
            continue
        subtree = np.int64(nodes[i, 1])
        prefetch(h[ADDRESS + NODES] + 16 * subtree)
        if longest_left_out and deepest[i] <= longest_left_out:
            i = subtree
            continue
        if visited == pause:
            status = np.int64(NOT_READY)
            break
        visited += 1
        depth = nodes[i, 2] - base
        s, byte = stack[depth], np.int64(nodes[i, 0])
        target = np.int64(-1)
        if s == ALONE:
            counter = np.int64(alone[depth, 1])
            target = target_of(h, np.int64(alone[depth, 0]), counter, byte)
            dead = target < 0
        else:
            dead = (allowed[s, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0)
        if dead or (guard >= 0 and depth == 0 and (classes[guard, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1)):
            if i >= listed:
                i = subtree
                continue
            q = at[i] + 1  # the next sibling that lives; most do not, and side by side they are a few cache lines
            while True:
                byte = np.int64(siblings[q, 0])
                if byte >= 256:
                    break
                w = classes[net[alone[depth, 0], 1], byte >> 6] if s == ALONE else allowed[s, byte >> 6]
                if (w >> np.uint64(byte & 63)) & np.uint64(1):
                    break
                q += 1
            i = np.int64(siblings[q, 1])
            continue
        last = i + 1
        if subtree > last:  # a leaf needs no state: it is alive because the byte is allowed
            op = np.int32(FAIL)
            if target >= 0:
                target, counter = settled(h, target, counter)
                if target < 0:
                    status = target
                    break
                op = net[target, 0]
            if op in (BYTE, SWITCHED, PICK):
                whole = np.int64(0)
                if op == BYTE and i < listed and subtree - i > FEW_NODES:
                    whole = single_lives_below(h, target, counter, i)
                    if whole < 0:
                        status = whole
                        break
                if whole:
                    last = subtree
                else:
                    stack[depth + 1] = ALONE
                    alone[depth + 1, 0] = target
                    alone[depth + 1, 1] = counter
            elif op == CALL or (op == END and caller == TOP) or (composed and op in (SPLIT, GUARD, LAZY)):
                if op == END:
                    if num_exits >= h[CAPACITY + EXITS] - h[EXIT_LISTS]:
                        status = full(h, EXITS)
                        break
                    exits[num_exits] = i
                    exit_guards[num_exits] = -1
                    num_exits += 1
                else:
                    if num_called >= h[CAPACITY + CALLED]:
                        status = full(h, CALLED)
                        break
                    called[num_called, 0] = i
                    called[num_called, 1] = target
                    called[num_called, 2] = counter
                    num_called += 1
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
                i = subtree  # what is below is told by others
                continue
            else:
                if s == ALONE:
                    kernel[0, 0] = target
                    kernel[0, 1] = caller
                    kernel[0, 2] = counter
                    t = intern(h, 1)
                else:
                    t = np.int64(steps[trans[s, byte >> 5], byte & 31])
                    if t == -1:
                        t = step(h, np.int64(s), byte)
                if t < 0:
                    status = t
                    break
                stack[depth + 1] = t
                whole = np.int64(
                    below[i, 0] & ~loops[t, 0] == np.uint64(0) and below[i, 1] & ~loops[t, 1] == np.uint64(0)
                    and below[i, 2] & ~loops[t, 2] == np.uint64(0) and below[i, 3] & ~loops[t, 3] == np.uint64(0)
                )  # fmt: skip
                if whole == 0 and i < listed and (byte < 0x80 or s != ALONE):
                    whole = loops_below(h, np.int64(s) if byte >= 0x80 else t, i)
                    if whole < 0:
                        status = whole
                        break
                if whole == 0 and i < listed and longest_left_out == 0:
                    whole = lives_below(h, t, i)
                    if whole < 0:
                        status = whole
                        break
                if whole:
                    last = subtree  # all that is below leaves the state as it is, or lives: the whole subtree is alive
                elif states[t, S_FLAGS] & (EXITED | EXITED_GUARDED):
                    num_exits = _leave(h, i, t, num_exits)
                    if num_exits < 0:
                        status = num_exits
                        num_exits = 0
                        break
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
    if pause >= 0:
        h[PAUSE] = pause - visited
    h[WALK_NODE] = i
    h[WALK_EXITS] = num_exits
    h[WALK_CALLS] = num_called
    h[WALK_RANGES] = num_ranges
    h[FIRST_BYTE] = first_byte
    if status == 0 and h[STEPS_LEFT] >= 0:
        h[STEPS_LEFT] = max(h[STEPS_LEFT] - visited, 0)
        if h[STEPS_LEFT] == 0:
            status = BUDGET
    return status


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


@helper("int64(int64[::1], int64, int64, int64, int64)")
def _pause(h, status, e, row, exits):
    """Note where a walk beside a base stands. Returns the status."""
    h[REMOVED_ENTRY] = e
    h[REMOVED_ROW] = row
    h[REMOVED_EXITS] = exits
    return status


@helper("int64(int64[::1], int64, int64, int64)", linked=True)
def removed(h, e, start, base_start):
    """Walk the vocabulary's trie from the item of entry e and its base at once; subtrees that only the base keeps go to
    EXITS.

    Tokens without bytes of QUOTING are left out: lengths decide on them. Of 275,000 nodes of a vocabulary of 128,000
    tokens two thousand are left (QUOTED). Returns the number of subtrees, or a status: call again to go on.
    """
    rows, exits, stack = i32x4(h, QUOTED), i32(h, EXITS), i32x2(h, PAIRS)
    allowed, states = u64x4(h, ALLOWED), i32xn(h, STATES, STATE_WIDTH)
    max_exits, end = h[CAPACITY + EXITS] - h[EXIT_LISTS], h[COUNT + QUOTED]
    n, row = 0, np.int64(0)
    if h[REMOVED_ENTRY] == e:
        n, row = h[REMOVED_EXITS], h[REMOVED_ROW]
    h[REMOVED_ENTRY] = -1
    h[WALK_ENTRY] = -1  # a walk that is not done loses its scratch tables
    stack[0, 0] = start
    stack[0, 1] = base_start
    while row < end:
        after_row, depth, byte = np.int64(rows[row, Q_END]), rows[row, Q_DEPTH], np.int64(rows[row, Q_BYTE])
        s, t = np.int64(stack[depth, 0]), np.int64(stack[depth, 1])
        if (allowed[t, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0):
            row = after_row
            continue
        if h[PAUSE] >= 0:
            if h[PAUSE] == 0:
                return _pause(h, np.int64(NOT_READY), e, row, n)
            h[PAUSE] -= 1
        h[VISITED] += 1
        if (allowed[s, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0):
            if n >= max_exits:
                return full(h, EXITS)
            exits[n] = rows[row, Q_NODE]
            n += 1
            row = after_row
            continue
        if after_row == row + 1:  # it lives, and nothing is below
            row = after_row
            continue
        after = follow(h, s, byte)
        if after < 0:
            return _pause(h, after, e, row, n)
        base_after = follow(h, t, byte)
        if base_after < 0:
            return _pause(h, base_after, e, row, n)
        if states[base_after, S_FLAGS] & EXITED or _agree(h, after, base_after):
            row = after_row  # what follows an exit is the business of the trie of remainders
        else:
            stack[depth + 1, 0] = after
            stack[depth + 1, 1] = base_after
            row += 1
    return n
