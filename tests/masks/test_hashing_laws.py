"""Hash tables that grow in their own memory lose no row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from structgen_kernels import hashing

double = getattr(hashing._double, "py_func", hashing._double)
SLOTS = 16


def slot_of(slots: npt.NDArray[np.int32], n: int, row: int, found: int) -> int:
    """Where a look-up ends: at the row, or at the empty slot where it would be put."""
    p = found & n - 1
    while slots[p, hashing.ROW] not in (0, row):
        p = p + 1 & n - 1
    return p


def near(*places: int) -> st.SearchStrategy[int]:
    return st.sampled_from([place + step for place in places for step in (-2, -1, 0, 1)]).map(abs)


HASHES = st.lists(near(0, 5, SLOTS, 2 * SLOTS, 4 * SLOTS) | st.integers(0, (1 << 31) - 1), max_size=SLOTS // 2)


@given(HASHES)
def test_every_row_is_found_after_the_table_has_grown(hashes: list[int]) -> None:
    slots = np.zeros((4 * SLOTS, 2), np.int32)
    n = SLOTS
    for row, found in enumerate(hashes, 1):
        slots[slot_of(slots, n, row, found)] = (row, found)
    while n < len(slots):
        double(slots, n)
        n *= 2
        assert np.count_nonzero(slots[:, hashing.ROW]) == len(hashes)
        for row, found in enumerate(hashes, 1):
            assert slots[slot_of(slots, n, row, found)].tolist() == [row, found]
