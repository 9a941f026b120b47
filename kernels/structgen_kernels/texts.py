"""Instructions in bulk: JSON strings other than a list of words.

Additional keys run beside declared ones in most states of most objects, so these are most of a schema's instructions.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    BYTE,
    CAPACITY,
    COUNT,
    JUMP,
    NET,
    NOTE,
    SPLIT,
    SWITCH,
    SWITCHED,
    full,
    helper,
    i32x2,
    i32xn,
)
from structgen_kernels.classes import class_of
from structgen_kernels.jit import kernel

# the second argument of `other_texts`
P_RULE = 0
P_OTHER = 1  # pc at which any string goes on, before its closing quote
P_HIGH = 2  # pc before a character outside ASCII, then P_OTHER
P_HEX = 3  # pcs before 1, 2, 3 and 4 hex digits of an escape, then P_OTHER (three: not for surrogates; four: any)
P_SURROGATE = 7  # pc after the hex digit D of an escape
P_END = 8  # pc before the closing quote
P_NOTE = 9  # row of NOTES for the items at the start and between characters, or -1
NUM_P = 10


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


@kernel("int64(int64[::1], uint8[::1], int32[::1], int64[::1])")
def other_texts(h, data, starts, params):
    """Write the instructions of the JSON strings, with their closing quote, that are none of some words.

    data: uint8, the words one after the other: printable ASCII without quote and backslash; starts: int32 [words + 1],
    where each begins; the words are sorted and differ. params: int64 [NUM_P]. Returns the pc of the start, or FULL.
    """
    rule, other = params[P_RULE], params[P_OTHER]
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
    if n + 24 * num + 8 * num > h[CAPACITY + NET]:
        return full(h, NET)
    if row + num > h[CAPACITY + SWITCH]:
        return full(h, SWITCH)
    zero = np.uint64(0)
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
        pc = params[P_HIGH]
        if starts[lows[i] + 1] - starts[lows[i]] > depths[i]:
            n = _put(h, n, SPLIT, params[P_END], pc, 0, rule)
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
        start = params[P_HEX + 3]
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
            n = _or_else(h, n, rest_low, rest_high, params[P_HEX], third, rule)
            third = n - 1
            n = _put(h, n, BYTE, 48, third, 0, rule)
            n = _or_else(
                h, n, np.uint64(0x03FE000000000000), np.uint64(0x0000007E0000007E), params[P_HEX + 1], n - 1, rule
            )
            n = _put(h, n, BYTE, 48, n - 1, 0, rule)
            n = _or_else(
                h, n, np.uint64(0x03FE000000000000), np.uint64(0x0000006E0000006E), params[P_HEX + 2], n - 1, rule
            )
            n = _or_else(h, n, zero, np.uint64(0x0000001000000010), params[P_SURROGATE], n - 1, rule)
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
        if params[P_NOTE] >= 0:
            _put(h, base + i, NOTE, n - 1, params[P_NOTE], 0, rule)
        else:
            _put(h, base + i, JUMP, n - 1, 0, 0, rule)
    h[COUNT + NET] = n
    h[COUNT + SWITCH] = row
    return base
