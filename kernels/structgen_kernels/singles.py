"""Single items: as long as there is but one, and it waits for a byte, a walk follows it without any state."""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    BELOW,
    BYTE,
    CLASSES,
    DEEPEST,
    ENDS,
    EXTRA,
    FOREVER,
    JUMP,
    LEFT,
    MARK,
    NET,
    NODES,
    NOTE,
    PICKS,
    SET,
    SWITCH,
    SWITCHED,
    TAKE,
    ZERO,
    helper,
    i32,
    i32x2,
    i32x4,
    i32xn,
    u64x4,
)
from structgen_kernels.members import may_add, may_end, may_go_on, may_pick, with_member

FAIL_PC = 0  # the pc of FAIL
MOST_JUMPS = 64  # instructions without a byte that an item is followed over; more of them make a state


@helper("UniTuple(int64, 2)(int64[::1], int64, int64)")
def settled(h, pc, arg):
    """Where the single item (pc, arg) stands once all is done that takes no byte and leaves no choice: (pc, arg).

    FAIL_PC where it cannot go on; a status for pc where a table is full.
    """
    net = i32xn(h, NET, 5)
    for _ in range(MOST_JUMPS):
        op, a, b = net[pc, 0], np.int64(net[pc, 1]), np.int64(net[pc, 2])
        if op in (JUMP, NOTE):
            pc = a
        elif op == SET:
            pc, arg = a, b
        elif op == TAKE:
            if not b <= arg - 1 <= net[pc, 3]:
                return np.int64(FAIL_PC), arg
            pc, arg = a, arg - (arg != FOREVER)
        elif op == ZERO:
            if arg != 0:
                return np.int64(FAIL_PC), arg
            pc = a
        elif op == MARK:
            m = with_member(h, -arg, b)
            if m < 0:
                return m, arg
            pc, arg = a, -m
        elif op in (ENDS, LEFT, EXTRA):
            if not (may_end(h, -arg) if op == ENDS else may_go_on(h, -arg) if op == LEFT else may_add(h, -arg)):
                return np.int64(FAIL_PC), arg
            pc = a
        else:
            break
    return pc, arg


@helper("int64(int32[:, ::1], int64, int64, int64)")
def _row_of(rows, low, count, byte):
    """The row for a byte that is among `count` rows from `low` on, which are sorted by their first column."""
    high = low + count - 1
    while low < high:
        mid = (low + high) >> 1
        if rows[mid, 0] < byte:
            low = mid + 1
        else:
            high = mid
    return low


@helper("int64(int64[::1], int64, int64, int64)")
def target_of(h, pc, arg, byte):
    """The pc behind a byte of an item that waits for one; -1 if it does not take this byte."""
    net, classes = i32xn(h, NET, 5), u64x4(h, CLASSES)
    op, a, low = net[pc, 0], net[pc, 1], np.int64(net[pc, 2])
    if (classes[a, byte >> 6] >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0):
        return -1
    if op == BYTE:
        return low
    if op == SWITCHED:
        switch = i32x2(h, SWITCH)
        return np.int64(switch[_row_of(switch, low, np.int64(net[pc, 3]), byte), 1])
    picks = i32x4(h, PICKS)
    low = _row_of(picks, low, np.int64(net[pc, 3]), byte)
    if not may_pick(h, -arg, np.int64(picks[low, 2]), np.int64(picks[low, 3])):
        return -1
    return np.int64(picks[low, 1])


@helper("int64(int64[::1], int64, int64, int64)")
def single_lives_below(h, pc, arg, node):
    """Whether all that stands below a node of the vocabulary's trie is alive, from the single item (pc, arg) behind it,
    which waits for a byte: 1 or 0, or a status. 0 also where that does not show. See `safe`."""
    net, below, classes = i32xn(h, NET, 5), u64x4(h, BELOW), u64x4(h, CLASSES)
    longest = i32(h, DEEPEST)[node] - i32x4(h, NODES)[node, 2] - 1
    for _ in range(longest):
        if net[pc, 0] != BYTE:
            return 0
        kind = net[pc, 1]
        for c in range(4):
            if below[node, c] & ~classes[kind, c] != np.uint64(0):
                return 0
        before, counter = pc, arg
        pc, arg = settled(h, np.int64(net[pc, 2]), arg)
        if pc < 0:
            return pc
        if pc == before and arg == counter:
            break
    return 1
