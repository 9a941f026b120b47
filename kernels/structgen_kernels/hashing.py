"""Hash tables of the arena: int32 [slots, 2], the row that stands in a slot (0: none) and its hash.

They start small and grow with what they index: a row that is born at random in a table at its limit touches a page of
its own, and most processes never come near the limit. COUNT is the number of slots in use, CAPACITY that allocated.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import CAPACITY, COUNT, helper, i32x2

ROW, HASH = 0, 1
_GROWTH = 4


@helper("int64(uint64)")
def folded(x):
    """31 bits of a hash of 64."""
    return np.int64((x ^ (x >> np.uint64(31))) & np.uint64(0x7FFFFFFF))


@helper("int64(int64[::1], int64, int64)")
def last_slot(h, table, rows):
    """The number of a hash table's slots less one, after it has grown so that `rows` rows and one more half fill it."""
    n = h[COUNT + table]
    if 2 * rows + 2 > n and n < h[CAPACITY + table]:
        slots = i32x2(h, table)
        old = slots[:n].copy()
        slots[:n] = 0
        n = min(_GROWTH * n, h[CAPACITY + table])
        for i in range(len(old)):
            if old[i, ROW] != 0:
                p = old[i, HASH] & n - 1
                while slots[p, ROW] != 0:
                    p = p + 1 & n - 1
                slots[p, ROW] = old[i, ROW]
                slots[p, HASH] = old[i, HASH]
        h[COUNT + table] = n
    return n - 1
