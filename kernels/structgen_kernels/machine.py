"""The state machine: lazy, hash-consed Earley item sets over the byte network (Earley 1970; one state an int).

A state is born from its kernel: the sorted items (pc, origin, arg) that survived a byte. The closure predicts called
rules and completes finished ones to a fixpoint, once. Origins are ids of earlier states, which never change, so equal
kernels are equal states. Every function returns a state (0: dead) or a negative status.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    ACCEPTS,
    ACTIVE,
    ALIKE,
    ALIKE_TABLE,
    ALLOWED,
    BIRTHS,
    BYTE,
    CALL,
    CALLS,
    CAPACITY,
    CHARS,
    CLASSES,
    COUNT,
    END,
    ENDS,
    EXITED,
    EXITED_GUARDED,
    EXTRA,
    FOREVER,
    GUARD,
    GUARD_ITEMS,
    GUARDED,
    ITEMS,
    JUMP,
    KERNEL,
    LAZY,
    LAZY_PC,
    LEFT,
    LOOPS,
    MARK,
    NEEDS,
    NET,
    NOT_READY,
    NOTE,
    NUM_NEEDS,
    PICK,
    PICKS,
    REFINED,
    ROOT,
    RULES,
    S_ACTIVE,
    S_ALIKE,
    S_CALLS,
    S_EXTENDED,
    S_FLAGS,
    S_GUARDED,
    S_ITEMS,
    S_KERNEL,
    S_NUM_ACTIVE,
    S_NUM_CALLS,
    S_NUM_GUARDED,
    S_NUM_PARTS,
    SAFE,
    SEEN,
    SELF,
    SET,
    SPLIT,
    STAMP,
    STATE_TABLE,
    STATE_WIDTH,
    STATES,
    STEPS,
    SWITCH,
    SWITCHED,
    TAKE,
    TOKEN_DATA,
    TOKEN_START,
    TOP,
    TRANS,
    UNSETTLED,
    WORK,
    ZERO,
    full,
    helper,
    i32,
    i32x2,
    i32x3,
    i32x4,
    i32xn,
    i64,
    u8,
    u64x2,
    u64x3,
    u64x4,
)  # fmt: skip
from structgen_kernels.classes import union_class
from structgen_kernels.hashing import HASH, ROW, folded_near, last_slot
from structgen_kernels.jit import kernel
from structgen_kernels.members import may_add, may_end, may_go_on, may_pick, with_member
from structgen_kernels.sorting import sort_kernel

FEW = 16  # items of a closure that are compared one by one
SOME = 1 << 10  # items that are found in the first slots of SEEN, which stay in the cache
SLOTS_FOR_SOME = 1 << 12
NESTED_GUARDS = 64  # guards behind guards without a byte between


@helper("uint64(int64, int64, int64)")
def _mix(pc, origin, arg):
    x = np.uint64(pc) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(origin) * np.uint64(0xC2B2AE3D27D4EB4F)
    x ^= np.uint64(arg) * np.uint64(0x165667B19E3779F9)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(32))


@helper("int64(int64[::1], int64, int64, int64, int64)")
def _push(h, pc, origin, arg, n):
    """Add an item to the closure's queue unless it is there. Returns the new length, or FULL."""
    work, seen = i32x3(h, WORK), i32x2(h, SEEN)
    if n < FEW:  # most closures are small: no hash, no cache misses in its table
        for j in range(n):
            if work[j, 0] == pc and work[j, 1] == origin and work[j, 2] == arg:
                return n
        work[n, 0] = pc
        work[n, 1] = origin
        work[n, 2] = arg
        return n + 1
    stamp = np.int32(h[STAMP])
    m = (SLOTS_FOR_SOME if n < SOME else h[CAPACITY + SEEN]) - 1
    if n in (FEW, SOME):
        for j in range(n):
            p = np.int64(_mix(work[j, 0], work[j, 1], work[j, 2])) & m
            while seen[p, 0] == stamp and seen[p, 1] != j:
                p = (p + 1) & m
            seen[p, 0] = stamp
            seen[p, 1] = j
    p = np.int64(_mix(pc, origin, arg)) & m
    while seen[p, 0] == stamp:
        j = seen[p, 1]
        if work[j, 0] == pc and work[j, 1] == origin and work[j, 2] == arg:
            return n
        p = (p + 1) & m
    if n >= h[CAPACITY + WORK]:
        return full(h, WORK)
    seen[p, 0] = stamp
    seen[p, 1] = n
    work[n, 0] = pc
    work[n, 1] = origin
    work[n, 2] = arg
    return n + 1


@helper("int64(int64[::1], int64, int64, int64, int64, int64, int64)")
def _put_behind(h, first, end, guard, pc, origin, arg):
    """Add an item behind a guard to GUARD_ITEMS[first:end], which is sorted by guard. Returns the new end, or FULL."""
    items = i32x4(h, GUARD_ITEMS)
    if end >= h[CAPACITY + GUARD_ITEMS]:
        return full(h, GUARD_ITEMS)
    i = end
    while i > first and items[i - 1, 0] > guard:
        for c in range(4):
            items[i, c] = items[i - 1, c]
        i -= 1
    items[i, 0] = guard
    items[i, 1] = pc
    items[i, 2] = origin
    items[i, 3] = arg
    return end + 1


@helper("int64(int64[::1], int64)")
def _first_alike(h, s):
    """The first state with the same rows of CALLS as state s, which may be s.

    Whoever is called in one of them ends in the same way in the other, so its items need not tell them apart. (A loop
    of calls that may go on behind their last byte, as `piece*` with an optional end, made a state for each character.)
    """
    states, calls, table = i32xn(h, STATES, STATE_WIDTH), i32x4(h, CALLS), i32x2(h, ALIKE_TABLE)
    first, n = np.int64(states[s, S_CALLS]), np.int64(states[s, S_NUM_CALLS])
    x = np.uint64(n)
    pc = origin = np.int64(0)
    for k in range(first, first + n):
        x = x * np.uint64(0x100000001B3) ^ _mix(calls[k, 1], calls[k, 2], calls[k, 3])
        x = x * np.uint64(0x100000001B3) ^ np.uint64(calls[k, 0])
        pc, origin = max(pc, np.int64(calls[k, 1])), max(origin, np.int64(calls[k, 2]))
    found = folded_near(x, np.uint64(pc >> 7) | np.uint64(origin >> 5) << np.uint64(24))
    last = last_slot(h, ALIKE_TABLE, h[COUNT + STATES])
    p = found & last
    while table[p, ROW] != 0:
        t = table[p, ROW]
        if table[p, HASH] == found and states[t, S_NUM_CALLS] == n:
            base = states[t, S_CALLS]
            same = True
            for k in range(n):
                for c in range(4):
                    same = same and calls[base + k, c] == calls[first + k, c]
            if same:
                return t
        p = (p + 1) & last
    table[p, ROW] = s
    table[p, HASH] = found
    return s


@helper("int64(int64[::1], int64, int64)")
def _birth(h, s, num_kernel):
    """Closure of the kernel in KERNEL[:num_kernel] as state s, whose row is free. Commits counts only when complete."""
    net, work, kernel = i32xn(h, NET, 5), i32x3(h, WORK), i32x3(h, KERNEL)
    rules, classes = i32x3(h, RULES), u64x4(h, CLASSES)
    items, active, calls = i32x3(h, ITEMS), i32x3(h, ACTIVE), i32x4(h, CALLS)
    states, allowed = i32xn(h, STATES, STATE_WIDTH), u64x4(h, ALLOWED)
    h[STAMP] += 1
    if h[STAMP] >= 0x7FFFFFF0:
        i32x2(h, SEEN)[:, 0] = 0
        h[STAMP] = 1
    first_item = h[COUNT + ITEMS]
    first_active = h[COUNT + ACTIVE]
    first_call = h[COUNT + CALLS]
    num_items, num_active, num_calls = first_item, first_active, first_call
    if num_items + num_kernel > h[CAPACITY + ITEMS]:
        return full(h, ITEMS)
    n = 0
    for i in range(num_kernel):
        for c in range(3):
            items[num_items, c] = kernel[i, c]
        num_items += 1
        n = _push(h, kernel[i, 0], kernel[i, 1], kernel[i, 2], n)
        if n < 0:
            return n
    needs, num_needs, picks = i32(h, NEEDS), 0, i32x4(h, PICKS)
    first_guarded = h[COUNT + GUARD_ITEMS]
    num_guarded = first_guarded
    w0 = w1 = w2 = w3 = np.uint64(0)
    flags = 0
    alike = True
    i = 0
    while i < n:
        pc, origin, arg = work[i, 0], work[i, 1], work[i, 2]
        i += 1
        op, a, b = net[pc, 0], net[pc, 1], net[pc, 2]
        if op in (BYTE, SWITCHED):
            if num_active >= h[CAPACITY + ACTIVE]:
                return full(h, ACTIVE)
            active[num_active, 0] = pc
            active[num_active, 1] = origin
            active[num_active, 2] = arg
            num_active += 1
            w0 |= classes[a, 0]
            w1 |= classes[a, 1]
            w2 |= classes[a, 2]
            w3 |= classes[a, 3]
        elif op == SPLIT:
            n = _push(h, a, origin, arg, n)
            if n >= 0:
                n = _push(h, b, origin, arg, n)
        elif op in (JUMP, NOTE):
            n = _push(h, a, origin, arg, n)
        elif op == CALL:
            if num_calls >= h[CAPACITY + CALLS]:
                return full(h, CALLS)
            calls[num_calls, 0] = rules[a, 2]
            calls[num_calls, 1] = b
            calls[num_calls, 2] = origin
            calls[num_calls, 3] = arg
            num_calls += 1
            alike = alike and rules[a, 1] & ALIKE != 0
            n = _push(h, rules[a, 0], SELF, net[pc, 3], n)
        elif op == SET:
            n = _push(h, a, origin, b, n)
        elif op == TAKE:
            if b <= arg - 1 <= net[pc, 3]:
                n = _push(h, a, origin, arg - (arg != FOREVER), n)
        elif op == ZERO:
            if arg == 0:
                n = _push(h, a, origin, 0, n)
        elif op == GUARD:
            num_guarded = _put_behind(h, first_guarded, num_guarded, b, a, origin, arg)
            if num_guarded < 0:
                return num_guarded
        elif op == PICK:
            if num_active >= h[CAPACITY + ACTIVE]:
                return full(h, ACTIVE)
            active[num_active, 0] = pc
            active[num_active, 1] = origin
            active[num_active, 2] = arg
            num_active += 1
            for k in range(b, b + net[pc, 3]):
                if may_pick(h, -np.int64(arg), np.int64(picks[k, 2]), np.int64(picks[k, 3])):
                    byte = picks[k, 0]
                    bit = np.uint64(1) << np.uint64(byte & 63)
                    if byte < 64:
                        w0 |= bit
                    elif byte < 128:
                        w1 |= bit
                    elif byte < 192:
                        w2 |= bit
                    else:
                        w3 |= bit
        elif op == MARK:
            m = with_member(h, -np.int64(arg), np.int64(b))
            if m < 0:
                return m
            n = _push(h, a, origin, -m, n)
        elif op == ENDS:
            if may_end(h, -np.int64(arg)):
                n = _push(h, a, origin, arg, n)
        elif op == LEFT:
            if may_go_on(h, -np.int64(arg)):
                n = _push(h, a, origin, arg, n)
        elif op == EXTRA:
            if may_add(h, -np.int64(arg)):
                n = _push(h, a, origin, arg, n)
        elif op == LAZY:
            if num_needs < h[CAPACITY + NEEDS]:
                needs[num_needs] = pc
                num_needs += 1
        elif op == END:
            if origin == TOP:
                flags |= EXITED
            elif origin == ROOT:
                flags |= ACCEPTS
            elif origin != SELF:  # a rule that is nullable is bypassed where it is called, so SELF adds nothing
                for k in range(states[origin, S_CALLS], states[origin, S_CALLS] + states[origin, S_NUM_CALLS]):
                    if calls[k, 0] == a:
                        caller = origin if calls[k, 2] == SELF else calls[k, 2]
                        m = _push(h, calls[k, 1], caller, calls[k, 3], n)
                        if m < 0:
                            return m
                        if m > n:
                            if num_items >= h[CAPACITY + ITEMS]:
                                return full(h, ITEMS)
                            items[num_items, 0] = calls[k, 1]
                            items[num_items, 1] = caller
                            items[num_items, 2] = calls[k, 3]
                            num_items += 1
                        n = m
        if n < 0:
            return n
    if num_needs:  # all that this closure meets, so that one round trip expands them
        h[NUM_NEEDS] = num_needs
        return LAZY_PC
    allowed[s, 0] = w0
    allowed[s, 1] = w1
    allowed[s, 2] = w2
    allowed[s, 3] = w3
    loops = u64x4(h, LOOPS)
    for c in range(4):
        loops[s, c] = 0
    i32xn(h, TRANS, 8)[s, :] = 0
    u64x2(h, CHARS)[s, :] = 0
    u64x3(h, SAFE)[s, 2] = 0
    states[s, S_ITEMS] = first_item
    states[s, S_KERNEL] = num_kernel
    states[s, S_EXTENDED] = num_items - first_item
    states[s, S_ACTIVE] = first_active
    states[s, S_NUM_ACTIVE] = num_active - first_active
    states[s, S_CALLS] = first_call
    states[s, S_NUM_CALLS] = num_calls - first_call
    states[s, S_FLAGS] = flags | UNSETTLED if num_guarded > first_guarded else flags
    states[s, S_NUM_PARTS] = -1
    states[s, S_GUARDED] = first_guarded
    states[s, S_NUM_GUARDED] = num_guarded - first_guarded
    states[s, S_ALIKE] = _first_alike(h, s) if alike and num_calls > first_call else s
    h[COUNT + GUARD_ITEMS] = num_guarded
    h[COUNT + ITEMS] = num_items
    h[COUNT + ACTIVE] = num_active
    h[COUNT + CALLS] = num_calls
    h[BIRTHS] += 1
    return s


@helper("int64(int64[::1], int64)", linked=True)
def _find(h, n):
    """The state whose kernel is KERNEL[:n], n > 0; what is behind its guards may not be known yet."""
    if n > 1:
        n = sort_kernel(h, n)
    kernel, items = i32x3(h, KERNEL), i32x3(h, ITEMS)
    states, table = i32xn(h, STATES, STATE_WIDTH), i32x2(h, STATE_TABLE)
    x = np.uint64(n)
    pc = origin = arg = np.int64(0)
    for i in range(n):
        x = x * np.uint64(0x100000001B3) ^ _mix(kernel[i, 0], kernel[i, 1], kernel[i, 2])
        pc = max(pc, np.int64(kernel[i, 0]))
        origin = max(origin, np.int64(kernel[i, 1]))
        arg = max(arg, abs(np.int64(kernel[i, 2])))
    near = np.uint64(pc >> 7) | np.uint64(origin >> 5) << np.uint64(24) | np.uint64(arg >> 4) << np.uint64(40)
    found, last = folded_near(x, near), last_slot(h, STATE_TABLE, h[COUNT + STATES])
    p = found & last
    while table[p, ROW] != 0:
        t = table[p, ROW]
        if table[p, HASH] == found and states[t, S_KERNEL] == n:
            base = states[t, S_ITEMS]
            same = True
            for i in range(n):
                if (items[base + i, 0] != kernel[i, 0] or items[base + i, 1] != kernel[i, 1]
                        or items[base + i, 2] != kernel[i, 2]):  # fmt: skip
                    same = False
                    break
            if same:
                return t
        p = (p + 1) & last
    t = h[COUNT + STATES]
    if t >= h[CAPACITY + STATES]:
        return full(h, STATES)
    born = _birth(h, t, n)
    if born < 0:
        return born
    h[COUNT + STATES] = t + 1
    table[p, ROW] = t
    table[p, HASH] = found
    return t


@helper("int64(int64[::1], int64, int64, int64)")
def _add_guarded(h, n, guard, state):
    """Write row n of GUARDED. Returns n + 1, or FULL."""
    guarded = i32x2(h, GUARDED)
    if n >= h[CAPACITY + GUARDED]:
        return full(h, GUARDED)
    guarded[n, 0] = guard
    guarded[n, 1] = state
    return n + 1


@helper("int64(int64[::1], int64)")
def _settle(h, t):
    """Find the states behind the guards of state t.

    Items behind a guard cannot be told apart from others once a rule has returned to its caller, so they are states of
    their own: `GUARDED` lists (class, state), nested guards joined, and the byte that follows decides which of them go
    on. A guard that comes back to itself without a byte adds nothing. Returns t or a status; call again to go on.
    """
    states, guarded, behind = i32xn(h, STATES, STATE_WIDTH), i32x2(h, GUARDED), i32x4(h, GUARD_ITEMS)
    kernel, allowed, classes = i32x3(h, KERNEL), u64x4(h, ALLOWED), u64x4(h, CLASSES)
    stack = np.empty(NESTED_GUARDS, np.int64)
    stack[0] = t
    depth = 1
    while depth:
        s = stack[depth - 1]
        first = h[COUNT + GUARDED]
        n = first
        flags = 0
        deeper = False
        i = states[s, S_GUARDED]
        end = i + states[s, S_NUM_GUARDED]
        while i < end:
            guard = np.int64(behind[i, 0])
            m = 0
            while i < end and behind[i, 0] == guard:
                if m >= h[CAPACITY + KERNEL]:
                    return full(h, KERNEL)
                kernel[m, 0] = behind[i, 1]
                kernel[m, 1] = states[s, S_ALIKE] if behind[i, 2] == SELF else behind[i, 2]
                kernel[m, 2] = behind[i, 3]
                m += 1
                i += 1
            u = _find(h, m)
            if u < 0:
                return u
            if states[u, S_FLAGS] & UNSETTLED:
                known = False
                for k in range(depth):
                    known = known or stack[k] == u
                if known:
                    continue
                if depth >= NESTED_GUARDS:
                    return full(h, GUARDED)
                stack[depth] = u
                depth += 1
                deeper = True
                break
            flags |= states[u, S_FLAGS]
            for c in range(4):
                allowed[s, c] |= allowed[u, c] & ~classes[guard, c]
            n = _add_guarded(h, n, guard, u)
            if n < 0:
                return n
            for k in range(states[u, S_GUARDED], states[u, S_GUARDED] + states[u, S_NUM_GUARDED]):
                both = union_class(h, guard, np.int64(guarded[k, 0]))
                if both < 0:
                    return both
                n = _add_guarded(h, n, both, np.int64(guarded[k, 1]))
                if n < 0:
                    return n
        if deeper:
            continue
        depth -= 1
        states[s, S_GUARDED] = first
        states[s, S_NUM_GUARDED] = n - first
        h[COUNT + GUARDED] = n
        states[s, S_FLAGS] &= ~UNSETTLED
        states[s, S_FLAGS] |= flags & ACCEPTS
        if flags & (EXITED | EXITED_GUARDED):
            states[s, S_FLAGS] |= EXITED_GUARDED
    return t


@helper("int64(int64[::1], int64)", linked=True)
def intern(h, n):
    """The state whose kernel is KERNEL[:n] (any order, duplicates allowed). 0 if n is 0."""
    if n == 0:
        return 0
    t = _find(h, n)
    if t > 0 and i32xn(h, STATES, STATE_WIDTH)[t, S_FLAGS] & UNSETTLED:
        return _settle(h, t)
    return t


@helper("int64(uint64)")
def _bit_index(low):
    """Index of the only bit set."""
    i = 0
    if low >= np.uint64(1) << np.uint64(32):
        i += 32
        low >>= np.uint64(32)
    if low >= np.uint64(1) << np.uint64(16):
        i += 16
        low >>= np.uint64(16)
    if low >= np.uint64(1) << np.uint64(8):
        i += 8
        low >>= np.uint64(8)
    if low >= np.uint64(1) << np.uint64(4):
        i += 4
        low >>= np.uint64(4)
    if low >= np.uint64(1) << np.uint64(2):
        i += 2
        low >>= np.uint64(2)
    if low >= np.uint64(2):
        i += 1
    return i


@helper("int64(int64[::1], int64, int64, int64)")
def _move(h, s, byte, n):
    """Add to KERNEL[:n] the items of state s after a byte, and narrow REFINED to the bytes that move the same items."""
    net, classes, switch = i32xn(h, NET, 5), u64x4(h, CLASSES), i32x2(h, SWITCH)
    active, kernel, states = i32x3(h, ACTIVE), i32x3(h, KERNEL), i32xn(h, STATES, STATE_WIDTH)
    picks = i32x4(h, PICKS)
    word, bit = byte >> 6, np.uint64(byte & 63)
    w0, w1 = np.uint64(h[REFINED]), np.uint64(h[REFINED + 1])
    w2, w3 = np.uint64(h[REFINED + 2]), np.uint64(h[REFINED + 3])
    first = states[s, S_ACTIVE]
    for k in range(first, first + states[s, S_NUM_ACTIVE]):
        pc = active[k, 0]
        a = net[pc, 1]
        if (classes[a, word] >> bit) & np.uint64(1):
            if net[pc, 0] == BYTE:
                target = net[pc, 2]
                w0 &= classes[a, 0]
                w1 &= classes[a, 1]
                w2 &= classes[a, 2]
                w3 &= classes[a, 3]
            else:
                w0 &= classes[byte, 0]
                w1 &= classes[byte, 1]
                w2 &= classes[byte, 2]
                w3 &= classes[byte, 3]
                picking = net[pc, 0] == PICK
                low = net[pc, 2]
                high = low + net[pc, 3] - 1
                while low < high:
                    mid = (low + high) >> 1
                    if (picks[mid, 0] if picking else switch[mid, 0]) < byte:
                        low = mid + 1
                    else:
                        high = mid
                target = picks[low, 1] if picking else switch[low, 1]
                if picking and not may_pick(
                    h, -np.int64(active[k, 2]), np.int64(picks[low, 2]), np.int64(picks[low, 3])
                ):
                    continue
            if n >= h[CAPACITY + KERNEL]:
                return full(h, KERNEL)
            arg = active[k, 2]
            while net[target, 0] == SET:  # so that an item's counter shows what it is at
                arg = net[target, 2]
                target = net[target, 1]
            kernel[n, 0] = target
            kernel[n, 1] = states[s, S_ALIKE] if active[k, 1] == SELF else active[k, 1]
            kernel[n, 2] = arg
            n += 1
        else:
            w0 &= ~classes[a, 0]
            w1 &= ~classes[a, 1]
            w2 &= ~classes[a, 2]
            w3 &= ~classes[a, 3]
    h[REFINED] = np.int64(w0)
    h[REFINED + 1] = np.int64(w1)
    h[REFINED + 2] = np.int64(w2)
    h[REFINED + 3] = np.int64(w3)
    return n


@helper("int64(int64[::1], int64, int64)")
def _record(h, s, t):
    """Note that the bytes of REFINED lead from s to t. Returns 0 or FULL."""
    trans, steps = i32xn(h, TRANS, 8), i32xn(h, STEPS, 32)
    for high in range(8):
        w = np.uint64(h[REFINED + (high >> 1)]) >> np.uint64(32 * (high & 1)) & np.uint64(0xFFFFFFFF)
        if w == np.uint64(0):
            continue
        row = np.int64(trans[s, high])
        if row == 0:
            row = h[COUNT + STEPS]
            if row >= h[CAPACITY + STEPS]:
                return full(h, STEPS)
            h[COUNT + STEPS] = row + 1
            steps[row, :] = -1
            trans[s, high] = row
        for low in range(32):
            if w >> np.uint64(low) & np.uint64(1):
                steps[row, low] = t
    return 0


@helper("int64(int64[::1], int64, int64)")
def step(h, s, byte):
    """The state after one byte; the whole class of bytes that do the same is recorded."""
    states = i32xn(h, STATES, STATE_WIDTH)
    for c in range(4):
        h[REFINED + c] = -1
    n = _move(h, s, byte, 0)
    if n < 0:
        return n
    if states[s, S_NUM_GUARDED]:
        classes, guarded = u64x4(h, CLASSES), i32x2(h, GUARDED)
        for k in range(states[s, S_GUARDED], states[s, S_GUARDED] + states[s, S_NUM_GUARDED]):
            guard = guarded[k, 0]
            stops = (classes[guard, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) != np.uint64(0)
            for c in range(4):
                h[REFINED + c] &= np.int64(classes[guard, c] if stops else ~classes[guard, c])
            if not stops:
                n = _move(h, np.int64(guarded[k, 1]), byte, n)
                if n < 0:
                    return n
    t = intern(h, n)
    if t < 0:
        return t
    status = _record(h, s, t)
    if status < 0:
        return status
    if t == s:
        loops = u64x4(h, LOOPS)
        for c in range(4):
            loops[s, c] |= np.uint64(h[REFINED + c])
    return t


@helper("int64(int64[::1], int64, int64)")
def follow(h, s, byte):
    """The state after one byte, from the table if it is known."""
    t = i32xn(h, STEPS, 32)[i32xn(h, TRANS, 8)[s, byte >> 5], byte & 31]
    return step(h, s, byte) if t == -1 else np.int64(t)


@helper("boolean(int64[::1], int64, int64)")
def allows(h, s, byte):
    """Whether a byte leads anywhere from s."""
    return (u64x4(h, ALLOWED)[s, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) != np.uint64(0)


@kernel("int64(int64[::1], int64)")
def start_state(h, rule):
    """The state at the start of a text of a rule."""
    kernel = i32x3(h, KERNEL)
    kernel[0, 0] = i32x3(h, RULES)[rule, 0]
    kernel[0, 1] = ROOT
    kernel[0, 2] = 0
    return intern(h, 1)


@kernel("int64(int64[::1], int32[:, ::1])")
def state_of(h, items):
    """The state with a kernel of items: int32[items, 3], PC, ORIGIN and ARG of each."""
    kernel = i32x3(h, KERNEL)
    if items.shape[0] > h[CAPACITY + KERNEL]:
        return full(h, KERNEL)
    for i in range(items.shape[0]):
        for c in range(3):
            kernel[i, c] = items[i, c]
    return intern(h, items.shape[0])


@kernel("int64(int64[::1], int64, int64)", linked=True)
def advance_token(h, s, token):
    """The state after the bytes of a token (0: dead, also for a token without bytes)."""
    start, data = i64(h, TOKEN_START), u8(h, TOKEN_DATA)
    if token < 0 or token + 1 >= h[CAPACITY + TOKEN_START] or start[token] == start[token + 1]:
        return 0
    for i in range(start[token], start[token + 1]):
        if s < 0 or not allows(h, s, data[i]):
            return 0
        s = follow(h, s, data[i])
        if s <= 0:
            return s
    return s


@helper("int64(int64[::1], int64, int64)")
def known_after_token(h, s, token):
    """`advance_token` where all its transitions are known; NOT_READY where they are not."""
    start, data, trans, steps = i64(h, TOKEN_START), u8(h, TOKEN_DATA), i32xn(h, TRANS, 8), i32xn(h, STEPS, 32)
    if token < 0 or token + 1 >= h[CAPACITY + TOKEN_START] or start[token] == start[token + 1]:
        return 0
    for i in range(start[token], start[token + 1]):
        if not allows(h, s, data[i]):
            return 0
        s = np.int64(steps[trans[s, data[i] >> 5], data[i] & 31])
        if s <= 0:
            return NOT_READY if s < 0 else 0
    return s


@kernel("int64(int64[::1], int64, uint8[::1])")
def advance_bytes(h, s, data):
    """The state after some bytes (0: dead)."""
    for i in range(data.shape[0]):
        if not allows(h, s, data[i]):
            return 0
        s = follow(h, s, data[i])
        if s <= 0:
            return s
    return s


@kernel("int64(int64[::1], int64, int32[::1], int32[::1])")
def advance_each(h, s, tokens, out):
    """out[i] = the state after token tokens[i] (0: dead). Returns 0 or a status; call again to go on."""
    for i in range(tokens.shape[0]):
        t = advance_token(h, s, tokens[i])
        if t < 0:
            return t
        out[i] = t
    return 0


@kernel("int64(int64[::1], int64, int64[::1])")
def forced_byte(h, s, out):
    """Writes to out[0] the only byte possible in s, or -1 if there is a choice or the text may end. Returns s."""
    allowed = u64x4(h, ALLOWED)
    out[0] = -1
    if i32xn(h, STATES, STATE_WIDTH)[s, S_FLAGS] & ACCEPTS:
        return s
    found = -1
    for c in range(4):
        w = allowed[s, c]
        if w == np.uint64(0):
            continue
        if found >= 0 or w & (w - np.uint64(1)):
            return s
        found = 64 * c + _bit_index(w)
    out[0] = found
    return s


@kernel("int64(int64[::1], int64, int64)", linked=True)
def goto(h, origin, rule):
    """The state after a rule that was called in `origin` is complete (0: nobody called it there)."""
    states, calls, kernel = i32xn(h, STATES, STATE_WIDTH), i32x4(h, CALLS), i32x3(h, KERNEL)
    n = 0
    first = states[origin, S_CALLS]
    for k in range(first, first + states[origin, S_NUM_CALLS]):
        if calls[k, 0] == rule:
            if n >= h[CAPACITY + KERNEL]:
                return full(h, KERNEL)
            kernel[n, 0] = calls[k, 1]
            kernel[n, 1] = origin if calls[k, 2] == SELF else calls[k, 2]
            kernel[n, 2] = calls[k, 3]
            n += 1
    return intern(h, n)


@kernel("int64(int64[::1], int64)")
def accepts(h, s):
    """1 if the text may end in s."""
    return i32xn(h, STATES, STATE_WIDTH)[s, S_FLAGS] & ACCEPTS
