"""A lane: an engine in a process of its own, and a worker forked from it that can be killed.

Three processes. The caller keeps its hands free. The *nursery* (``nursery.py``, forked from the caller) sets the
engine up once and then supervises: it sends a task to the worker, watches the clock and the worker's memory, and
answers with an ``Outcome``. The *worker* (``worker.py``, forked from the nursery) runs tasks one after another; when
it is killed or dies, the next one is forked from the engine as it was set up. A lane knows nothing of schemas: its job
is a function from a task to events, and the event named ``compiled`` ends the first of its two time limits.

Tasks may be handed over ahead. A worker that waits for its next task loses its core's caches to whatever runs there
meanwhile, and every engine's times are then 1.1 to 1.4 times as long; the next task therefore lies with the worker
before it has ended the last.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any

from jsonschemabench.engines.base import Engine, EngineUnavailable, Settings
from jsonschemabench.measure import Job
from jsonschemabench.nursery import FETCH, FORK, exit_of, nursery
from jsonschemabench.outcome import Limits, Outcome, SetUp
from jsonschemabench.tokenizer import Tokenizer

SPAWN = multiprocessing.get_context("spawn")
GONE = "the supervising process died"


class HarnessError(Exception):
    """The benchmark itself failed in a worker; carries the worker's traceback. No engine is to blame."""


@dataclass
class Lane:
    """One engine, one worker. ``start``, then ``run``, or ``submit`` and ``take`` in the same order, then ``close``.

    The nursery is forked, so that it shares what the caller has loaded. ``spawned`` starts it afresh instead: a caller
    with threads must not fork; all that the lane is made of must then be picklable.
    """

    make_engine: Callable[[], Engine]
    tokenizer: Tokenizer
    job: Job
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)
    pin: int | None = None
    spawned: bool = False
    _process: BaseProcess | None = field(default=None, init=False, repr=False)

    def start(self) -> SetUp:
        """Fork the nursery and wait until the engine is set up. Raises ``EngineUnavailable``."""
        context = SPAWN if self.spawned else FORK
        mine, theirs = context.Pipe()
        # Under fork the child has our end too, and must close it to see the caller go; under spawn it never has it.
        inherited = None if self.spawned else mine
        process = context.Process(target=nursery, args=(self, theirs, inherited), name="jsonschemabench-nursery")
        process.start()
        theirs.close()
        self.connection, self._process = mine, process
        try:
            kind, content = self.connection.recv()
        except EOFError:
            process.join()
            raise EngineUnavailable(f"the process died while it set the engine up ({exit_of(process)})") from None
        if kind != "ready":
            self.close()
            raise EngineUnavailable(content)
        set_up: SetUp = content
        return set_up

    def submit(self, task: Any) -> None:
        """Hand a task over, while others are under way too; ``connection`` is readable when an outcome is there.

        Raises ``HarnessError``.
        """
        try:
            self.connection.send_bytes(ForkingPickler.dumps(task))
        except ConnectionError:
            raise HarnessError(GONE) from None

    def take(self) -> Outcome:
        """The outcome of the earliest task that has not been taken. Raises ``HarnessError``."""
        try:
            self.connection.recv_bytes()
            self.connection.send_bytes(FETCH)
            outcome: Outcome | str = self.connection.recv()
        except (EOFError, ConnectionError):
            raise HarnessError(GONE) from None
        if isinstance(outcome, str):
            raise HarnessError(outcome)
        return outcome

    def run(self, task: Any) -> Outcome:
        """``submit`` and ``take``."""
        self.submit(task)
        return self.take()

    def close(self) -> None:
        """End nursery and worker, whatever they are doing. A lane that was never started is left as it is."""
        if self._process is None:
            return
        self.connection.close()
        if self._process.is_alive():
            self._process.terminate()
        self._process.join()
