"""Texts that cannot go wrong: where all that is below a trie node is alive, whatever states it leads through.

A state that loops on a byte shows it (see `LOOPS`); but many a language goes round in more than one state: what
matches `[a-z-]*[a-z]` tells whether a letter came last, base64 counts to four, a counter goes down. Each of these
walked a hundred thousand nodes of letters. So of a state it is found out, for a set of bytes, how long a text over it
may be with none that dies: a subtree that has no other bytes, and is no deeper, is alive as it is. What completes there
does not matter: it could only add tokens that are in.

Nothing is emitted for this: where it would have to be, less is known. So a state is looked at when it is met for the
second time: what tokens come to behind it is there by then. (Looking again whenever the network has grown costs more
than it saves: an email's mask 5 ms instead of 3.)
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    ALLOWED,
    BELOW,
    CLASSES,
    DEEPEST,
    LAZY_PC,
    NODES,
    QUOTING,
    REFINED,
    SAFE,
    helper,
    i32,
    i32x4,
    u64x3,
    u64x4,
)
from structgen_kernels.machine import allows, follow

_WORTH = 64  # nodes below one that make it worth while to look at a state
_MOST_TARGETS = 6  # states that a state leads to by one byte; of one that leads to more nothing is known
_MOST_STATES = 24  # that a text over the set may lead through
_LONGEST = 10  # bytes of a text that is followed where the states do not come back to themselves
_ANY_LENGTH = 1 << 20
_MET, _KNOWN = 1, 2  # in SAFE: met once; known, plus the length


@helper("boolean(int64[::1], int64, uint64, uint64)")
def _has_all(h, s, low, high):
    """Whether s allows all bytes of an ASCII set."""
    allowed = u64x4(h, ALLOWED)
    return low & ~allowed[s, 0] == np.uint64(0) and high & ~allowed[s, 1] == np.uint64(0)


@helper("int64(int64[::1], int64, uint64, uint64)")
def _alive_for(h, s, low, high):
    """How many bytes of an ASCII set may follow from s, whichever they are: breadth first. Or a status.

    Behind what is not emitted yet nothing is known.
    """
    seen = np.empty(_MOST_STATES, np.int64)
    seen[0] = s
    first, num = 0, 1
    for length in range(_LONGEST):
        end = num
        for at in range(first, end):
            if not _has_all(h, seen[at], low, high):
                return length
        if length + 1 == _LONGEST:
            break
        for at in range(first, end):
            before = np.int64(-1)
            for byte in range(128):
                if ((low if byte < 64 else high) >> np.uint64(byte & 63)) & np.uint64(1) == np.uint64(0):
                    continue
                t = follow(h, seen[at], byte)
                if t == LAZY_PC:
                    return length + 1
                if t < 0:
                    return t
                if t == before:
                    continue
                before = t
                known = False
                for k in range(num):
                    known |= seen[k] == t
                if not known:
                    if num == _MOST_STATES:
                        return length + 1
                    seen[num] = t
                    num += 1
        if num == end:
            return _ANY_LENGTH
        first = end
    return _LONGEST


@helper("int64(int64[::1], int64)")
def _learn(h, s):
    """Write SAFE of a state: of the bytes that lead to one state each, those, the most first, that go together.
    Returns 0 or a status."""
    safe, classes = u64x3(h, SAFE), u64x4(h, CLASSES)
    targets = np.empty(_MOST_TARGETS, np.int64)
    lows, highs = np.zeros(_MOST_TARGETS, np.uint64), np.zeros(_MOST_TARGETS, np.uint64)
    sizes = np.zeros(_MOST_TARGETS, np.int64)
    skipped_low, skipped_high = classes[QUOTING, 0], classes[QUOTING, 1]
    num = 0
    for byte in range(128):
        bit = np.uint64(1) << np.uint64(byte & 63)
        if not allows(h, s, byte) or (skipped_low if byte < 64 else skipped_high) & bit:
            continue
        t = follow(h, s, byte)
        if t == LAZY_PC:  # and so it is for all bytes that do the same
            skipped_low |= np.uint64(h[REFINED])
            skipped_high |= np.uint64(h[REFINED + 1])
            continue
        if t < 0:
            return t
        at = 0
        while at < num and targets[at] != t:
            at += 1
        if at == num:
            if num == _MOST_TARGETS:
                num = 0
                break
            targets[num] = t
            num += 1
        if byte < 64:
            lows[at] |= bit
        else:
            highs[at] |= bit
        sizes[at] += 1
    low, high, longest = np.uint64(0), np.uint64(0), np.int64(0)
    for _ in range(num):
        most = 0
        for at in range(1, num):
            if sizes[at] > sizes[most]:
                most = at
        sizes[most] = 0
        length = _alive_for(h, s, low | lows[most], high | highs[most])
        if length < 0:
            return length
        if length >= _LONGEST or longest == 0:
            low |= lows[most]
            high |= highs[most]
            longest = length
    safe[s, 0] = low
    safe[s, 1] = high
    safe[s, 2] = np.uint64(_KNOWN + longest)
    return 0


@helper("int64(int64[::1], int64, int64)", linked=True)
def lives_below(h, s, node):
    """Whether all that stands below a node of the vocabulary's trie is alive, from the state s behind it: 1 or 0, or a
    status. 0 also where that does not show."""
    below, safe, nodes = u64x4(h, BELOW), u64x3(h, SAFE), i32x4(h, NODES)
    if safe[s, 2] < _KNOWN:
        if nodes[node, 1] - node <= _WORTH:
            return 0
        if safe[s, 2] != _MET:
            safe[s, 2] = _MET
            return 0
        status = _learn(h, s)
        if status < 0:
            return status
    longest = np.uint64(i32(h, DEEPEST)[node] - nodes[node, 2] - 1)
    return np.int64(
        below[node, 2] | below[node, 3] == np.uint64(0)
        and below[node, 0] & ~safe[s, 0] == np.uint64(0)
        and below[node, 1] & ~safe[s, 1] == np.uint64(0)
        and longest + np.uint64(_KNOWN) <= safe[s, 2]
    )
