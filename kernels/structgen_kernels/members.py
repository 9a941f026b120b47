"""Which members of an object are behind: rows of MEMBERS, hash-consed, so that an item can carry one as its counter.

In any order a row is the set of keys not yet written; in declared order it is a position, and the keys that may come
next are those up to the first required one. Keys are numbered in the order of their bytes: the keys below a branch of
their trie are then a range, and whether the branch is open is whether a bit of that range is set.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    CAPACITY,
    COUNT,
    K_DECLARED,
    K_REQUIRED,
    K_SORTED,
    M_BITS,
    M_LEFT,
    M_OBJECT,
    M_OWED,
    M_POSITION,
    MEMBER_BITS,
    MEMBER_TABLE,
    MEMBER_WIDTH,
    MEMBERS,
    O_EXTRAS,
    O_FIRST,
    O_KEYS,
    O_ORDERED,
    OBJECT_KEYS,
    OBJECT_WIDTH,
    OBJECTS,
    full,
    helper,
    i32x2,
    i32x3,
    i32xn,
    u64,
)
from structgen_kernels.hashing import HASH, ROW, folded_near, last_slot
from structgen_kernels.jit import kernel


@helper("int64(int64[::1], int64, int64, int64, int64, int64)")
def _find(h, obj, position, owed, left, start):
    """The row of an object whose bits are MEMBER_BITS[start:], just written behind all others; or FULL."""
    objects, members, bits = i32xn(h, OBJECTS, OBJECT_WIDTH), i32xn(h, MEMBERS, MEMBER_WIDTH), u64(h, MEMBER_BITS)
    table = i32x2(h, MEMBER_TABLE)
    words = (objects[obj, O_KEYS] + 63) >> 6
    x = np.uint64(obj) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(position) * np.uint64(0xC2B2AE3D27D4EB4F)
    for w in range(words):
        x = (x ^ bits[start + w]) * np.uint64(0xBF58476D1CE4E5B9)
        x ^= x >> np.uint64(29)
    found = folded_near(x, np.uint64(obj >> 4) | np.uint64(left >> 4) << np.uint64(24))
    last = last_slot(h, MEMBER_TABLE, h[COUNT + MEMBERS])
    p = found & last
    while table[p, ROW] != 0:
        m = table[p, ROW]
        if table[p, HASH] == found and members[m, M_OBJECT] == obj and members[m, M_POSITION] == position:
            same = True
            for w in range(words):
                if bits[members[m, M_BITS] + w] != bits[start + w]:
                    same = False
                    break
            if same:
                return np.int64(m)
        p = (p + 1) & last
    m = h[COUNT + MEMBERS]
    if m >= h[CAPACITY + MEMBERS]:
        return full(h, MEMBERS)
    members[m, M_OBJECT] = obj
    members[m, M_POSITION] = position
    members[m, M_BITS] = start
    members[m, M_OWED] = owed
    members[m, M_LEFT] = left
    h[COUNT + MEMBERS] = m + 1
    h[COUNT + MEMBER_BITS] = start + words
    table[p, ROW] = m
    table[p, HASH] = found
    return m


@helper("int64(int64[::1], int64, int64, int64, int64)")
def _at(h, obj, position, owed, start):
    """The row of an object in declared order with `position` keys behind; or FULL."""
    objects, keys, bits = i32xn(h, OBJECTS, OBJECT_WIDTH), i32x3(h, OBJECT_KEYS), u64(h, MEMBER_BITS)
    num_keys, first = objects[obj, O_KEYS], objects[obj, O_FIRST]
    for w in range((num_keys + 63) >> 6):
        bits[start + w] = 0
    for place in range(position, num_keys):
        i = keys[first + place, K_SORTED]
        bits[start + (i >> 6)] |= np.uint64(1) << np.uint64(i & 63)
        if keys[first + i, K_REQUIRED]:
            break
    return _find(h, obj, position, owed, num_keys - position, start)


@kernel("int64(int64[::1], int64)")
def no_members(h, obj):
    """The row of an object of which nothing is written yet; or FULL."""
    objects, keys, bits = i32xn(h, OBJECTS, OBJECT_WIDTH), i32x3(h, OBJECT_KEYS), u64(h, MEMBER_BITS)
    num_keys, first = np.int64(objects[obj, O_KEYS]), np.int64(objects[obj, O_FIRST])
    start = h[COUNT + MEMBER_BITS]
    words = (num_keys + 63) >> 6
    if start + words > h[CAPACITY + MEMBER_BITS]:
        return full(h, MEMBER_BITS)
    owed = 0
    for i in range(num_keys):
        owed += keys[first + i, K_REQUIRED]
    if objects[obj, O_ORDERED]:
        return _at(h, obj, 0, owed, start)
    for w in range(words):
        bits[start + w] = ~np.uint64(0)
    if num_keys & 63:
        bits[start + words - 1] = (np.uint64(1) << np.uint64(num_keys & 63)) - np.uint64(1)
    return _find(h, obj, 0, owed, num_keys, start)


@kernel("int64(int64[::1], int64, int64)", linked=True)
def with_member(h, m, key):
    """The row after one more member: a sorted key that may come next, or -1, an additional one; or FULL."""
    objects, members = i32xn(h, OBJECTS, OBJECT_WIDTH), i32xn(h, MEMBERS, MEMBER_WIDTH)
    keys, bits = i32x3(h, OBJECT_KEYS), u64(h, MEMBER_BITS)
    obj = np.int64(members[m, M_OBJECT])
    num_keys, first = np.int64(objects[obj, O_KEYS]), np.int64(objects[obj, O_FIRST])
    start = h[COUNT + MEMBER_BITS]
    words = (num_keys + 63) >> 6
    if start + words > h[CAPACITY + MEMBER_BITS]:
        return full(h, MEMBER_BITS)
    if key < 0:
        if objects[obj, O_ORDERED] == 0 or members[m, M_POSITION] == num_keys:
            return m
        return _at(h, obj, num_keys, 0, start)
    owed = np.int64(members[m, M_OWED]) - keys[first + key, K_REQUIRED]
    if objects[obj, O_ORDERED]:
        return _at(h, obj, np.int64(keys[first + key, K_DECLARED]) + 1, owed, start)
    source = np.int64(members[m, M_BITS])
    for w in range(words):
        bits[start + w] = bits[source + w]
    bits[start + (key >> 6)] &= ~(np.uint64(1) << np.uint64(key & 63))
    return _find(h, obj, 0, owed, np.int64(members[m, M_LEFT]) - 1, start)


@helper("boolean(int64[::1], int64, int64, int64)")
def may_pick(h, m, low, high):
    """Whether one of the sorted keys [low, high) may come next."""
    bits = u64(h, MEMBER_BITS)
    start = np.int64(i32xn(h, MEMBERS, MEMBER_WIDTH)[m, M_BITS])
    first, last = low >> 6, (high - 1) >> 6
    for w in range(first, last + 1):
        word = bits[start + w]
        if w == first:
            word &= ~np.uint64(0) << np.uint64(low & 63)
        if w == last and high & 63:
            word &= (np.uint64(1) << np.uint64(high & 63)) - np.uint64(1)
        if word:
            return True
    return False


@helper("boolean(int64[::1], int64)")
def may_end(h, m):
    """Whether no required key is missing."""
    return i32xn(h, MEMBERS, MEMBER_WIDTH)[m, M_OWED] == 0


@helper("boolean(int64[::1], int64)")
def may_add(h, m):
    """Whether an additional key may come next."""
    members, objects = i32xn(h, MEMBERS, MEMBER_WIDTH), i32xn(h, OBJECTS, OBJECT_WIDTH)
    obj = members[m, M_OBJECT]
    return objects[obj, O_EXTRAS] != 0 and (objects[obj, O_ORDERED] == 0 or members[m, M_OWED] == 0)


@helper("boolean(int64[::1], int64)")
def may_go_on(h, m):
    """Whether another member may follow."""
    return i32xn(h, MEMBERS, MEMBER_WIDTH)[m, M_LEFT] > 0 or may_add(h, m)
