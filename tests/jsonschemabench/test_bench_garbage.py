"""A worker's garbage: that of a task is gone before the next, the old at times, and neither takes the run's time."""

from __future__ import annotations

import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from jsonschemabench.garbage import WAIT, Garbage


class Node:
    """Can be in a cycle."""

    def __init__(self) -> None:
        self.other: Node | None = None


def dropped_cycle() -> weakref.ref[Node]:
    node, other = Node(), Node()
    node.other, other.other = other, node
    return weakref.ref(node)


class Clock:
    """A clock that only its test moves, and a collector that takes ``full_s`` to collect everything."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, full_s: float) -> None:
        self.now, self.num_full = 0.0, 0
        collect = gc.collect

        def taking_time(generation: int = 2) -> int:
            if generation == 2:
                self.now += full_s
                self.num_full += 1
            return collect(generation)

        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(gc, "collect", taking_time)


@pytest.fixture
def taken_over() -> Iterator[Garbage]:
    try:
        yield Garbage()
    finally:
        gc.unfreeze()
        gc.enable()


def test_the_garbage_of_a_task_is_gone_before_the_next(taken_over: Garbage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, full_s=1.0)
    taken_over.collect()
    seen = dropped_cycle()
    assert seen() is not None
    taken_over.collect()
    assert seen() is None
    assert clock.num_full == 1


def test_what_grew_old_goes_with_a_full_collection(taken_over: Garbage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, full_s=1.0)
    kept = Node()
    kept.other = kept
    seen = weakref.ref(kept)
    taken_over.collect()  # it is old from here on
    del kept
    taken_over.collect()
    assert seen() is not None
    clock.now += WAIT
    taken_over.collect()
    assert seen() is None


def test_full_collections_take_a_small_share(taken_over: Garbage, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, full_s=0.3)
    for _ in range(1000):
        clock.now += 0.02
        taken_over.collect()
    assert clock.num_full > 1
    assert clock.num_full * 0.3 <= 0.3 + clock.now / WAIT
