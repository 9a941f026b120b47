"""The workers of a run on a Ray cluster: an actor for each, with a lane of its own and a core that no other has.

Ray counts cores but binds no process to one. So every actor says which node it is on and which cores it may use, and is
given one of them that no actor of that node has; its worker is pinned there, and what supervises it is kept off the
cores that are timed, if the node has others. jsonschemabench and the engines must be installed on every node.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from jsonschemabench.engines.base import EngineUnavailable
from jsonschemabench.fleet import TaskT
from jsonschemabench.lane import HarnessError, Lane
from jsonschemabench.outcome import Outcome, SetUp
from jsonschemabench.process import keep_off

INSTALL = "pip install 'structgen[ray]'"
NEEDS = "jsonschemabench and the engines must be installed on every node"
CLOSE_S = 5.0
"""How long actors have to end their lanes before they are killed, and how long to wait for their cores after that."""


class ClusterProblem(Exception):
    """A cluster that cannot be used, and what to do about it."""


class Remote:
    """What runs in an actor: a lane that is not forked from it, for a process of Ray has threads."""

    def __init__(self, lane: Lane) -> None:
        self._lane = replace(lane, spawned=True)

    def place(self) -> tuple[str, list[int]]:
        """(the node's id, the cores that this process may use)"""
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        return str(_ray().get_runtime_context().get_node_id()), cores

    def start(self, pin: int | None, timed: Sequence[int]) -> SetUp | str:
        """Set the engine up; a string says why that cannot be done here."""
        self._lane.pin = pin
        keep_off(set(timed))
        try:
            return self._lane.start()
        except EngineUnavailable as error:
            return str(error)

    def run(self, task: Any) -> Outcome:
        return self._lane.run(task)

    def close(self) -> None:
        self._lane.close()


class RayFleet:
    """``num_workers`` actors with a lane like the given one; 0 is one for each core that the cluster has free."""

    def __init__(self, lane: Lane, address: str, num_workers: int) -> None:
        self._lane, self._address, self._num_workers = lane, address, num_workers
        self._actors: list[Any] = []
        self._is_ours = False
        self._num_free = 0

    def start(self) -> SetUp:
        ray = _ray()
        if not ray.is_initialized():
            try:
                ray.init(address=self._address, log_to_driver=False, logging_level="warning")
            except (ConnectionError, ValueError, RuntimeError, OSError) as error:
                said = " ".join(str(error).split())[:300]
                raise ClusterProblem(f"there is no Ray cluster at {self._address}: {said}") from error
            self._is_ours = True
        self._num_free = free = _free_cores(ray)
        wanted = self._num_workers or free
        if not 0 < wanted <= free:
            raise ClusterProblem(
                f"{max(1, wanted)} workers need as many free cores; the cluster has {free}: see --jobs"
            )
        try:
            set_ups, pins, num_nodes = self._set_up(ray, wanted)
        except ray.exceptions.RayError as error:
            said = " ".join(str(error).split())[-300:]
            raise ClusterProblem(f"a worker of the cluster could not be set up: {said} ({NEEDS})") from error
        for set_up in set_ups:
            if isinstance(set_up, str):
                raise EngineUnavailable(set_up)
        first: SetUp = set_ups[0]
        if any(each.version != first.version for each in set_ups):
            versions = sorted({each.version for each in set_ups})
            raise ClusterProblem(f"the cluster's nodes have several versions of the engine: {', '.join(versions)}")
        first.machine.update(pinned_to=[pin for pin in pins if pin is not None], lanes=wanted, nodes=num_nodes)
        return first

    def _set_up(self, ray: Any, wanted: int) -> tuple[list[Any], list[int | None], int]:
        """(what each worker says, its core, number of nodes)"""
        actor = ray.remote(num_cpus=1, max_restarts=0)(Remote)
        self._actors = [actor.remote(self._lane) for _ in range(wanted)]
        places = ray.get([each.place.remote() for each in self._actors])
        pins, timed = cores_of(places)
        if any(pin is None and cores for pin, (_, cores) in zip(pins, places, strict=True)):
            raise ClusterProblem("a node has fewer cores than workers, which would disturb each other: see --jobs")
        starting = [
            each.start.remote(pin, timed[node]) for each, pin, (node, _) in zip(self._actors, pins, places, strict=True)
        ]
        return ray.get(starting), pins, len({node for node, _ in places})

    def run(self, tasks: Iterator[TaskT], depth: int = 1) -> Iterator[tuple[TaskT, Outcome]]:
        ray = _ray()
        busy: dict[Any, tuple[Any, TaskT]] = {}

        def give(actor: Any) -> None:
            for task in islice(tasks, 1):
                busy[actor.run.remote(task)] = (actor, task)

        for _ in range(depth):  # one each, and again: few tasks are for all workers
            for actor in self._actors:
                give(actor)
        while busy:
            (ready,), _ = ray.wait(list(busy), num_returns=1)
            actor, task = busy.pop(ready)
            try:
                outcome: Outcome = ray.get(ready)
            except ray.exceptions.RayError as error:
                raise HarnessError(f"a worker of the cluster was lost: {error}") from error
            yield task, outcome
            give(actor)

    def close(self) -> None:
        ray = _ray()
        if not ray.is_initialized():
            return
        closing = [actor.close.remote() for actor in self._actors]
        with contextlib.suppress(ray.exceptions.RayError):
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_S) if closing else None
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        deadline = time.monotonic() + CLOSE_S  # the next engine's workers need these cores, and Ray frees them later
        while _free_cores(ray) < self._num_free and time.monotonic() < deadline:
            time.sleep(0.1)
        if self._is_ours:
            ray.shutdown()
            self._is_ours = False


def cores_of(places: Sequence[tuple[str, list[int]]]) -> tuple[list[int | None], Mapping[str, list[int]]]:
    """(a core for each place, the cores that are given away on each node).

    Two actors of a node get different cores. One on a node whose cores are not known, or that has none left, gets
    None.
    """
    given: dict[str, list[int]] = defaultdict(list)
    pins: list[int | None] = []
    for node, cores in places:
        pin = next((core for core in reversed(cores) if core not in given[node]), None)
        pins.append(pin)
        if pin is not None:
            given[node].append(pin)
    return pins, given


def _free_cores(ray: Any) -> int:
    return int(ray.available_resources().get("CPU", 0))


def _ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ClusterProblem(
            f"--ray needs the package ray, which cannot be imported here ({error}). Try: {INSTALL}"
        ) from error
