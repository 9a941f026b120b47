"""Instructions in bulk: the keys of a list of members, and JSON strings other than a list of words.

Additional keys run beside declared ones in most states of most objects, so these are most of a schema's instructions.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    BYTE,
    CALL,
    CAPACITY,
    CLASSES,
    COUNT,
    FULL,
    FULL_TABLE,
    JUMP,
    NET,
    NOTE,
    PICK,
    PICKS,
    SPLIT,
    SWITCH,
    SWITCHED,
    full,
    helper,
    i32x2,
    i32x4,
    i32xn,
)
from structgen_kernels.classes import class_of
from structgen_kernels.jit import kernel

# the fourth argument of `other_texts`: rules, namely the tail that goes on with any string, and ways into it
W_TAIL = 0
W_HEX = 1  # before 1, 2, 3 and 4 hex digits of an escape (three: not of surrogates; four: of any)
W_SURROGATE = 5  # behind the hex digit D of an escape
W_LEADS = 6  # from here on: a class of first bytes of characters outside ASCII, and the way in behind them


@helper("int64(int64[::1], int64, int64, int64, int64, int64, int64)")
def _put(h, n, op, a, b, c, rule):
    """Write instruction n. Returns n + 1."""
    net = i32xn(h, NET, 5)
    net[n, 0] = op
    net[n, 1] = a
    net[n, 2] = b
    net[n, 3] = c
    net[n, 4] = rule
    return n + 1


@helper("uint64(int64)")
def _hex_low(digit):
    """Bits of bytes 0 to 63 that spell a hex digit."""
    return np.uint64(1) << np.uint64(48 + digit) if digit < 10 else np.uint64(0)


@helper("uint64(int64)")
def _hex_high(digit):
    """Bits of bytes 64 to 127 that spell a hex digit, of either case."""
    return np.uint64(0x200000002) << np.uint64(digit - 10) if digit >= 10 else np.uint64(0)


@helper("int64(int64[::1], int64, uint64, uint64, int64, int64, int64)")
def _or_else(h, n, low, high, target, other, rule):
    """Instructions n and n + 1: one byte of an ASCII set, then target; or what stands at pc other. The pc is n + 1."""
    kind = class_of(h, low, high, np.uint64(0), np.uint64(0))
    _put(h, n, BYTE, kind, target, 0, rule)
    return _put(h, n + 1, SPLIT, n, other, 0, rule)


@helper("int64(int64[::1], int64, uint8[::1], int64, int64, int64, int64)")
def _chain(h, n, data, start, end, target, rule):
    """Write the bytes data[start:end], then target, from instruction n on. The pc of the first is what is before the
    one returned, or target where there are no bytes."""
    for at in range(end - 1, start - 1, -1):
        n = _put(h, n, BYTE, data[at], target, 0, rule)
        target = n - 1
    return n


@kernel("int64(int64[::1], uint8[::1], int32[::1], int32[::1], int64)")
def picks(h, data, starts, targets, rule):
    """Write the trie of the keys of a list of members. Where it branches, branches to keys that are all behind are
    closed, and so is its first byte.

    data: uint8, the keys one after the other; starts: int32 [keys + 1], where each begins; the keys are sorted, and
    none is the beginning of another. targets: int32 [keys], the pc behind each. Returns the pc of the start, or FULL.
    """
    num_keys = targets.shape[0]
    n, row = h[COUNT + NET], h[COUNT + PICKS]
    if n + data.shape[0] + 2 * num_keys > h[CAPACITY + NET]:
        return full(h, NET)
    if row + 2 * num_keys > h[CAPACITY + PICKS]:
        return full(h, PICKS)
    rows = i32x4(h, PICKS)
    lows, highs = np.empty(num_keys, np.int64), np.empty(num_keys, np.int64)  # of each place where it branches
    depths, pcs = np.empty(num_keys, np.int64), np.empty(num_keys, np.int64)
    lows[0], highs[0], depths[0], pcs[0] = 0, num_keys, 0, n
    n += 1
    num = 1
    i = 0
    while i < num:
        at, high, depth, first_row = lows[i], highs[i], depths[i], row
        union = np.zeros(4, np.uint64)
        while at < high:
            byte = data[starts[at] + depth]
            union[byte >> 6] |= np.uint64(1) << np.uint64(byte & 63)
            end = at + 1
            while end < high and data[starts[end] + depth] == byte:
                end += 1
            begin = starts[at] + depth + 1
            if end == at + 1:
                target, until = np.int64(targets[at]), np.int64(starts[end])
            else:  # the keys are sorted: what the first and the last share, all share
                until, last = np.int64(begin), starts[end - 1] + depth + 1
                while data[until] == data[last]:
                    until += 1
                    last += 1
                lows[num], highs[num], depths[num], pcs[num] = at, end, until - starts[at], n
                num += 1
                target = n
                n += 1
            if until > begin:
                n = _chain(h, n, data, begin, until, target, rule)
                target = n - 1
            rows[row, 0], rows[row, 1], rows[row, 2], rows[row, 3] = byte, target, at, end
            row += 1
            at = end
        kind = class_of(h, union[0], union[1], union[2], union[3])
        if kind < 0:
            return kind
        _put(h, pcs[i], PICK, kind, first_row, row - first_row, rule)
        i += 1
    h[COUNT + NET] = n
    h[COUNT + PICKS] = row
    return pcs[0]


@kernel("int64(int64[::1], uint8[::1], int32[::1], int64[::1], int64, int64, int64)")
def other_texts(h, data, starts, ways_in, rule, after, note):
    """Write the instructions of the JSON strings, with their closing quote, that are none of some words.

    data: uint8, the words one after the other: printable ASCII without quote and backslash; starts: int32 [words + 1],
    where each begins; the words are sorted and differ. ways_in: int64, see `W_TAIL`. after: the pc behind the closing
    quote; note: row of NOTES for the items at the start and between characters, or -1. Returns the pc of the start, or
    FULL.
    """
    num_words = starts.shape[0] - 1
    most = data.shape[0] + 1
    lows, highs, depths = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    firsts, counts, codes = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    lows[0], highs[0], depths[0] = 0, num_words, 0
    num = 1
    i = 0
    while i < num:  # the trie of the words, breadth first: the children of a node are a run of nodes
        low, high, depth = lows[i], highs[i], depths[i]
        at = low
        while at < high and starts[at + 1] - starts[at] == depth:
            at += 1
        firsts[i] = num
        while at < high:
            code = data[starts[at] + depth]
            end = at + 1
            while end < high and data[starts[end] + depth] == code:
                end += 1
            lows[num], highs[num], depths[num], codes[num] = at, end, depth + 1, code
            num += 1
            at = end
        counts[i] = num - firsts[i]
        i += 1
    base = h[COUNT + NET]
    n = base + num  # the first instructions are the nodes' own, so that their pcs are known
    switch, row = i32x2(h, SWITCH), h[COUNT + SWITCH]
    if n + 24 * num + 8 * num + 7 + 2 * ways_in.shape[0] > h[CAPACITY + NET]:
        return full(h, NET)
    if row + num > h[CAPACITY + SWITCH]:
        return full(h, SWITCH)
    h[FULL_TABLE] = NET
    zero = np.uint64(0)
    quote, other, digits, surrogate = n, n + 1, n + W_HEX, n + 1 + W_SURROGATE  # digits + d: before d hex digits
    n = _put(h, n, BYTE, 0x22, after, 0, rule)
    for way in range(W_LEADS):
        n = _put(h, n, CALL, ways_in[way], after, 0, rule)
    # A lead byte is read before the tail is entered: two texts that run side by side may both call the tail where they
    # stand, and what completes it cannot tell a call of the whole tail from one of a way into it.
    outside = np.int64(-1)
    for way in range(W_LEADS, ways_in.shape[0], 2):
        n = _put(h, n, CALL, ways_in[way + 1], after, 0, rule)
        n = _put(h, n, BYTE, ways_in[way], n - 1, 0, rule)
        if outside >= 0:
            n = _put(h, n, SPLIT, n - 1, outside, 0, rule)
        outside = n - 1
    for i in range(num):
        low, high = np.uint64(0xFFFFFFFB00000000), np.uint64(0xFFFFFFFFEFFFFFFF)  # ASCII as itself
        letters_low = np.uint64(0x0000800400000000)  # quote and slash
        union_low, union_high = zero, zero
        slash = -1
        for child in range(firsts[i], firsts[i] + counts[i]):
            code = codes[child]
            if code < 64:
                union_low |= np.uint64(1) << np.uint64(code)
            else:
                union_high |= np.uint64(1) << np.uint64(code - 64)
            if code == 0x2F:
                slash = child
                letters_low = np.uint64(0x0000000400000000)
        low &= ~union_low
        high &= ~union_high
        # a character as itself
        pc = outside
        if starts[lows[i] + 1] - starts[lows[i]] > depths[i]:
            n = _put(h, n, SPLIT, quote, pc, 0, rule)
            pc = n - 1
        n = _or_else(h, n, low, high, other, pc, rule)
        pc = n - 1
        if counts[i] > 2:
            kind = class_of(h, union_low, union_high, zero, zero)
            n = _put(h, n, SWITCHED, kind, row, counts[i], rule)
            for child in range(firsts[i], firsts[i] + counts[i]):
                switch[row, 0] = codes[child]
                switch[row, 1] = base + child
                row += 1
            n = _put(h, n, SPLIT, n - 1, pc, 0, rule)
            pc = n - 1
        else:
            for child in range(firsts[i], firsts[i] + counts[i]):
                n = _put(h, n, BYTE, codes[child], base + child, 0, rule)
                n = _put(h, n, SPLIT, n - 1, pc, 0, rule)
                pc = n - 1
        # its code in hex digits, from the last digit to the first
        start = digits + 4
        if counts[i]:
            third = np.int64(-1)
            rest_low, rest_high = np.uint64(0x03FF000000000000), np.uint64(0x0000007E0000007E)
            child = firsts[i]
            end = firsts[i] + counts[i]
            while child < end:
                digit = codes[child] >> 4
                fourth = np.int64(-1)
                last_low, last_high = np.uint64(0x03FF000000000000), np.uint64(0x0000007E0000007E)
                while child < end and codes[child] >> 4 == digit:
                    d = codes[child] & 15
                    last_low &= ~_hex_low(d)
                    last_high &= ~_hex_high(d)
                    kind = class_of(h, _hex_low(d), _hex_high(d), zero, zero)
                    n = _put(h, n, BYTE, kind, base + child, 0, rule)
                    if fourth >= 0:
                        n = _put(h, n, SPLIT, n - 1, fourth, 0, rule)
                    fourth = n - 1
                    child += 1
                if last_low or last_high:
                    n = _or_else(h, n, last_low, last_high, other, fourth, rule)
                    fourth = n - 1
                rest_low &= ~_hex_low(digit)
                n = _put(h, n, BYTE, 48 + digit, fourth, 0, rule)
                if third >= 0:
                    n = _put(h, n, SPLIT, n - 1, third, 0, rule)
                third = n - 1
            n = _or_else(h, n, rest_low, rest_high, digits + 1, third, rule)
            third = n - 1
            n = _put(h, n, BYTE, 48, third, 0, rule)
            n = _or_else(h, n, np.uint64(0x03FE000000000000), np.uint64(0x0000007E0000007E), digits + 2, n - 1, rule)
            n = _put(h, n, BYTE, 48, n - 1, 0, rule)
            n = _or_else(h, n, np.uint64(0x03FE000000000000), np.uint64(0x0000006E0000006E), digits + 3, n - 1, rule)
            n = _or_else(h, n, zero, np.uint64(0x0000001000000010), surrogate, n - 1, rule)
            start = n - 1
        # its other escapes
        n = _put(h, n, BYTE, 0x75, start, 0, rule)
        # backslash, b, f, n, r, t
        n = _or_else(h, n, letters_low, np.uint64(0x0014404410000000), other, n - 1, rule)
        if slash >= 0:
            n = _put(h, n, BYTE, 0x2F, base + slash, 0, rule)
            n = _put(h, n, SPLIT, n - 1, n - 2, 0, rule)
        n = _put(h, n, BYTE, 0x5C, n - 1, 0, rule)
        n = _put(h, n, SPLIT, n - 1, pc, 0, rule)
        if note >= 0:
            _put(h, base + i, NOTE, n - 1, note, 0, rule)
        else:
            _put(h, base + i, JUMP, n - 1, 0, 0, rule)
    if h[FULL_TABLE] == CLASSES:  # some class was one too many
        return np.int64(FULL)
    h[COUNT + NET] = n
    h[COUNT + SWITCH] = row
    return base
