"""The workers of a run: lanes in processes of this machine. ``ray_fleet`` has the same on a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    def run(self, tasks: Iterator[TaskT]) -> Iterator[tuple[TaskT, Outcome]]:
        """Outcomes as they are ready. A task is taken from ``tasks`` when a worker is free. Raises ``HarnessError``."""

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

    def run(self, tasks: Iterator[TaskT]) -> Iterator[tuple[TaskT, Outcome]]:
        busy: dict[Any, tuple[Lane, TaskT]] = {}

        def give(lane: Lane) -> None:
            for task in tasks:
                lane.submit(task)
                busy[lane.connection] = (lane, task)
                return

        for lane in self._lanes:
            give(lane)
        while busy:
            for connection in wait(list(busy)):
                lane, task = busy.pop(connection)
                yield task, lane.take()
                give(lane)

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()
