"""Cyclic garbage of a worker, collected between tasks and never while something is timed.

What a task leaves is young, and collecting the young takes as long as the task made objects. What an engine keeps from
task to task grows old; collecting that too before every task took 0.1 to 0.25 s a schema after 500 schemas, several
times what was measured. A full collection therefore waits until ``WAIT`` times its own length has passed.
"""

from __future__ import annotations

import gc
import time

WAIT = 20
"""At most a twentieth of the time goes into full collections."""

YOUNG = 1
"""The generations that a full collection is not needed for."""


class Garbage:
    """Takes this process's collector over: none is automatic from here on, and what is there now is never visited."""

    def __init__(self) -> None:
        gc.disable()
        gc.freeze()
        self._next_full = 0.0

    def collect(self) -> None:
        """Collect what the last task left; at times, what was dropped after it had grown old too."""
        begin = time.perf_counter()
        if begin < self._next_full:
            gc.collect(YOUNG)
            return
        gc.collect()
        end = time.perf_counter()
        self._next_full = end + WAIT * (end - begin)
