"""Pages of growing tables, asked for before a kernel touches them.

A table's memory comes a page at a time, when the page is touched first: that is an interrupt, and on a virtual machine
3 to 6 µs, as much as a mask. Pages asked for by the dozen cost about 2 (Linux, MADV_POPULATE_WRITE, since 5.14;
elsewhere nothing is done).
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

_POPULATE_WRITE = 23  # of Linux's <sys/mman.h>; Python's mmap does not name it
AHEAD = 1 << 16  # bytes behind the last row in use that are there
_AT_FIRST = 1 << 18  # and of every table before it is used
_ALL = np.iinfo(np.int64).max
_CHUNK = 1 << 15  # bytes asked for at once: a dozen pages save most of what there is to save, and nobody waits long


class Ahead:
    """Keeps the next `AHEAD` bytes of every table there."""

    def __init__(
        self, tables: Sequence[npt.NDArray[np.generic]], counts: npt.NDArray[np.int64], taken: npt.NDArray[np.int64]
    ) -> None:
        """counts: of each table, where in the header a number stands; taken: how many rows each one of it takes."""
        self._counts = counts
        self._row_bytes = taken * np.array([table.nbytes // max(len(table), 1) for table in tables])
        self._memory = [_memory_of(table) for table in tables]
        self._sizes = [table.nbytes if memory else 0 for table, memory in zip(tables, self._memory, strict=True)]
        self._there = np.where(np.array(self._sizes) == 0, _ALL, 0)  # bytes
        self._enough = self._there.copy()  # counts up to which that leaves `AHEAD` bytes

    def begin(self, header: npt.NDArray[np.int64]) -> None:
        """Ask for what a first text takes."""
        self._ask(header, range(len(self._there)), _AT_FIRST)

    def ask(self, header: npt.NDArray[np.int64]) -> None:
        """Ask for what is missing, as the header's counts are now."""
        short = (header.take(self._counts) > self._enough).nonzero()[0]
        if len(short):
            self._ask(header, short.tolist(), AHEAD)

    def _ask(self, header: npt.NDArray[np.int64], tables: Iterable[int], ahead: int) -> None:
        for table in tables:
            start = int(self._there[table])
            needed = int(header[self._counts[table]] * self._row_bytes[table]) + ahead
            if needed <= start:
                continue
            end = min(max(needed + _CHUNK, start) & -mmap.PAGESIZE, self._sizes[table])
            try:
                self._memory[table].madvise(_POPULATE_WRITE, start, end - start)
            except (OSError, ValueError):  # no such advice here, or no memory: whoever touches a page gets it, or fails
                self._there[:] = self._enough[:] = _ALL
                return
            self._there[table] = end if end < self._sizes[table] else _ALL
            self._enough[table] = (int(self._there[table]) - AHEAD) // max(int(self._row_bytes[table]), 1)


def _memory_of(table: npt.NDArray[np.generic]) -> mmap.mmap | None:
    """The mapping that an array is a view of, if it is one."""
    base: object = table
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) and hasattr(base, "madvise") else None
