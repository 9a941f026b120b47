"""The table of kernels: for each that Python may call, what it is called on and what the same comes to by other means.

`test_kernel_table.py` reads it twice: every row is held against its oracle, on a small vocabulary, and every row is
timed, on a real one (`make bench-kernels`). A kernel without a row fails a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from kernel_scene import Scene


class Trial(NamedTuple):
    """A kernel and what it is called on."""

    run: Callable[[], Any]
    """Calls the kernel, as often as one likes; this is timed."""
    found: Callable[[Any], Any]
    """What `run` returned, or left behind, as it is compared."""
    expected: Callable[[], Any]
    """The same, slowly and without the kernel."""
    calls: int = 1
    """Calls of the kernel in a run."""


class Row(NamedTuple):
    """A row of the table."""

    kernel: str
    """Module and name."""
    oracle: str
    """What says it a second time."""
    make: Callable[[Scene], Trial]


class Rows(dict[str, Row]):
    """Rows by kernel, added by decorating what makes the trial; its docstring says what the oracle is."""

    def __call__(self, kernel: str) -> Callable[[Callable[[Scene], Trial]], Callable[[Scene], Trial]]:
        def add(make: Callable[[Scene], Trial]) -> Callable[[Scene], Trial]:
            assert kernel not in self and make.__doc__
            self[kernel] = Row(kernel, make.__doc__, make)
            return make

        return add
