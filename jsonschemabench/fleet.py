"""The workers of a run: lanes in processes of this machine. ``ray_fleet`` has the same on a cluster."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from multiprocessing.connection import wait
from typing import Any, Protocol, TypeVar

from jsonschemabench.lane import Lane
from jsonschemabench.outcome import Outcome, SetUp
from jsonschemabench.process import keep_off

TaskT = TypeVar("TaskT")


class Fleet(Protocol):
    """Workers of one engine. ``start``, then ``run``, then ``close``, whatever happened between."""

    def start(self) -> SetUp:
        """Set the engine up in every worker; what the first one says. Raises ``EngineUnavailable``."""

    def run(self, tasks: Iterator[TaskT], depth: int = 1) -> Iterator[tuple[TaskT, Outcome]]:
        """Outcomes as they are ready. Raises ``HarnessError``.

        Each worker has up to ``depth`` tasks at hand. With one, a task is taken from ``tasks`` when a worker is free
        and after the outcomes before it were looked at; with more, workers do not wait between tasks.
        """

    def close(self) -> None:
        """End every worker, whatever it is doing."""


class LocalFleet:
    """Lanes side by side; with ``pins``, each worker on a core of its own and everything else off those cores."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    def start(self) -> SetUp:
        pins = [lane.pin for lane in self._lanes if lane.pin is not None]
        if pins:
            keep_off(set(pins))
        first, *others = [lane.start() for lane in self._lanes]
        first.machine.update(pinned_to=pins, lanes=1 + len(others))
        return first

    def run(self, tasks: Iterator[TaskT], depth: int = 1) -> Iterator[tuple[TaskT, Outcome]]:
        lanes: dict[Any, Lane] = {lane.connection: lane for lane in self._lanes}
        given: dict[Any, deque[TaskT]] = {connection: deque() for connection in lanes}

        def give(connection: Any) -> None:
            for task in islice(tasks, 1):
                lanes[connection].submit(task)
                given[connection].append(task)

        for _ in range(depth):  # one each, and again: few tasks are for all workers
            for connection in given:
                give(connection)
        while busy := [connection for connection in given if given[connection]]:
            for connection in wait(busy):
                outcome = lanes[connection].take()
                yield given[connection].popleft(), outcome
                give(connection)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
