"""Sharing a loop out to threads, for kernels that run without the GIL.

The threads are kept: starting one costs more than what it is asked to do here. A process that was forked makes its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

CHUNK = 16  # steps of the loop that a thread takes at a time

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}  # by process and number of threads


def num_processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share(run: Callable[[int, int], None], n: int, num_threads: int) -> None:
    """`run(begin, end)` over pieces of range(n), each once, in `num_threads` threads; the caller is one of them.

    Raises what `run` raised, after all pieces are done or given up.
    """
    if num_threads <= 1 or n <= CHUNK:
        run(0, n)
        return
    pieces = list(range(0, n, CHUNK))

    def work() -> None:
        while True:
            try:
                begin = pieces.pop()
            except IndexError:  # another thread took the last one
                return
            run(begin, min(begin + CHUNK, n))

    others = [_pool(num_threads - 1).submit(work) for _ in range(num_threads - 1)]
    try:
        work()
    finally:
        _wait(others)


def _wait(others: list[Future[None]]) -> None:
    for other in others:
        if not other.cancel():  # it has begun
            other.result()


def _pool(num_threads: int) -> ThreadPoolExecutor:
    key = (os.getpid(), num_threads)
    pool = _pools.get(key)
    if pool is None:
        pool = _pools.setdefault(key, ThreadPoolExecutor(num_threads, thread_name_prefix="structgen"))
    return pool
