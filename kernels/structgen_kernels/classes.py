"""Byte classes: sets of bytes as ids, equal sets as one id. The class of a single byte is the byte itself."""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import CAPACITY, CLASS_TABLE, CLASSES, COUNT, full, helper, i32x2, u64x4
from structgen_kernels.hashing import HASH, ROW, folded, last_slot
from structgen_kernels.jit import kernel


@kernel("int64(int64[::1], uint64, uint64, uint64, uint64)")
def class_of(h, w0, w1, w2, w3):
    """The id of the class of the bytes whose bits are set (bytes 0 to 63 in the first word, and so on); or FULL."""
    classes, table = u64x4(h, CLASSES), i32x2(h, CLASS_TABLE)
    x = w0 * np.uint64(0x9E3779B97F4A7C15) ^ w1 * np.uint64(0xC2B2AE3D27D4EB4F)
    x ^= w2 * np.uint64(0x165667B19E3779F9) ^ w3 * np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(29)
    found, last = folded(x), last_slot(h, CLASS_TABLE, h[COUNT + CLASSES])
    p = found & last
    while table[p, ROW] != 0:
        k = table[p, ROW] - 1
        if classes[k, 0] == w0 and classes[k, 1] == w1 and classes[k, 2] == w2 and classes[k, 3] == w3:
            return np.int64(k)
        p = (p + 1) & last
    k = h[COUNT + CLASSES]
    if k >= h[CAPACITY + CLASSES]:
        return full(h, CLASSES)
    classes[k, 0] = w0
    classes[k, 1] = w1
    classes[k, 2] = w2
    classes[k, 3] = w3
    h[COUNT + CLASSES] = k + 1
    table[p, ROW] = k + 1
    table[p, HASH] = found
    return k


@helper("int64(int64[::1], int64, int64)")
def union_class(h, a, b):
    """The byte class of all bytes of two classes."""
    classes = u64x4(h, CLASSES)
    return class_of(
        h,
        classes[a, 0] | classes[b, 0],
        classes[a, 1] | classes[b, 1],
        classes[a, 2] | classes[b, 2],
        classes[a, 3] | classes[b, 3],
    )


@kernel("int64(int64[::1])")
def single_bytes(h):
    """Make the classes of the single bytes, in a table without classes."""
    zero, one = np.uint64(0), np.uint64(1)
    last = 0
    for b in range(256):
        bit = one << np.uint64(b & 63)
        last = class_of(
            h, bit if b < 64 else zero, bit if 64 <= b < 128 else zero, bit if 128 <= b < 192 else zero,
            bit if b >= 192 else zero,
        )  # fmt: skip
    return last
