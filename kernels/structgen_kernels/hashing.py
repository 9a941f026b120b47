"""Hash tables of the arena: int32 [slots, 2], the row that stands in a slot (0: none) and its hash.

They start small and grow with what they index: in a table at its limit few rows would share a page, and most processes
never come near the limit. COUNT is the number of slots in use, CAPACITY that allocated.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import CAPACITY, COUNT, helper, i32x2

ROW, HASH = 0, 1
_PAGE_BITS = 9  # of slots: 4 KiB


@helper("int64(uint64)")
def folded(x):
    """31 bits of a hash of 64."""
    return np.int64((x ^ (x >> np.uint64(31))) & np.uint64(0x7FFFFFFF))


@helper("int64(uint64, uint64)")
def folded_near(x, near):
    """31 bits of a hash of 64 that say first where: rows with the same `near` are in the same page, or behind it.

    What a text needs was made shortly before, so a look-up at random waits for memory that one nearby finds at hand.
    """
    near *= np.uint64(0x9E3779B97F4A7C15)
    near = (near ^ near >> np.uint64(32)) * np.uint64(0xC2B2AE3D27D4EB4F)
    within = (x ^ (x >> np.uint64(31))) & np.uint64((1 << _PAGE_BITS) - 1)
    return np.int64(near >> np.uint64(33 + _PAGE_BITS) << np.uint64(_PAGE_BITS) | within)


@helper("void(int32[:, ::1], int64)", linked=True)
def _double(slots, n):
    """Spread the first n slots over 2 n, in their own memory and in their order: a copy would be as many pages again.

    Rows at the front may have come there from the end; they are put in last. Each of the others then finds a slot no
    later than its own, or behind the first n, and never passes a row that is still to be moved.
    """
    front = np.int64(0)
    while slots[front, ROW] != 0:
        front += 1
    first = slots[:front].copy()
    slots[:front] = 0
    for i in range(front, n + front):
        row, found = slots[i, ROW], slots[i, HASH]
        if i >= n:
            row, found = first[i - n, ROW], first[i - n, HASH]
        if row == 0:
            continue
        if i < n:
            slots[i, ROW] = 0
        p = found & 2 * n - 1
        while slots[p, ROW] != 0:
            p = p + 1 & 2 * n - 1
        slots[p, ROW] = row
        slots[p, HASH] = found


@helper("int64(int64[::1], int64, int64)")
def last_slot(h, table, rows):
    """The number of a hash table's slots less one, after it has grown so that `rows` rows and one more half fill it."""
    n = h[COUNT + table]
    if 2 * rows + 2 > n and n < h[CAPACITY + table]:
        _double(i32x2(h, table), n)
        n *= 2
        h[COUNT + table] = n
    return n - 1
