"""In the nursery: the engine set up once, a worker forked from it, and an eye on the worker's clock and memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from jsonschemabench.engines.base import EngineUnavailable
from jsonschemabench.exchange import Exchange
from jsonschemabench.measure import Bench
from jsonschemabench.outcome import Outcome, SetUp
from jsonschemabench.process import (
    current_mib,
    describe_machine,
    die_with_parent,
    give_back,
    one_thread,
    pin_to,
    resident_mib,
    stderr_to_file,
)
from jsonschemabench.worker import work
from jsonschemabench.yardstick import yardstick

if TYPE_CHECKING:
    from jsonschemabench.lane import Lane

POLL_S = 0.02

THERE = b"task"
"""What tells a worker that there is one."""

FETCH = b""
"""In place of a pickled task: the caller asks for the next outcome."""

NOTE = b"outcome"
"""What tells the caller that there is one."""

FORK = multiprocessing.get_context("fork")


def nursery(lane: Lane, caller: Connection, inherited: Connection | None) -> None:
    """Set the engine up, say so, and supervise tasks until the caller hangs up. ``inherited`` is the caller's end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    if inherited is not None:
        inherited.close()
    one_thread()
    if lane.spawned:  # a fork would copy every page that the collector looks at
        lane.tokenizer.token_bytes  # noqa: B018, the harness's own, whatever the engine asks for first
        give_back()
    before_mib = current_mib()
    begin = time.perf_counter()
    try:
        engine = lane.make_engine()
        engine.version()
        bench = Bench.set_up(engine, lane.tokenizer, lane.settings)
        seconds = time.perf_counter() - begin
        set_up = SetUp(
            version=engine.version(),
            options=engine.options(),
            seconds=seconds,
            resident_mib=current_mib(),
            before_mib=before_mib,
            machine=describe_machine(),
            yardstick=_yardstick(lane.pin),
        )
    except EngineUnavailable as error:
        caller.send(("unavailable", str(error)))
        return
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(last.filename)}:{last.lineno}"
        caller.send(("unavailable", f"its set-up failed: {type(error).__name__}: {error} ({where})"))
        return
    caller.send(("ready", set_up))
    worker: _Worker | None = None
    desk = _Desk(caller)
    try:
        while True:
            while not desk.tasks:
                desk.attend()
            worker = worker or _Worker(lane, bench)
            outcome = worker.supervise(desk)
            desk.tasks.popleft()
            desk.report(outcome)
            if not (isinstance(outcome, Outcome) and outcome.ended == "done"):
                worker.kill()
                worker = None
    except (EOFError, ConnectionError):
        pass  # the caller closed the lane
    finally:
        if worker:
            worker.kill()


def _yardstick(pin: int | None) -> dict[str, float]:
    """The yardstick of the worker's core, by a process that leaves no memory behind."""
    mine, theirs = FORK.Pipe(duplex=False)

    def measure() -> None:
        if pin is not None:
            pin_to(pin)
        theirs.send(yardstick())

    process = FORK.Process(target=measure)
    process.start()
    theirs.close()
    with mine, contextlib.suppress(EOFError):
        measured: dict[str, float] = mine.recv()
        process.join()
        return measured
    process.join()
    return {}


class _Desk:
    """The caller as its nursery sees it: tasks that came and were not ended, outcomes that were not fetched.

    An outcome is sent when it is asked for. Were it sent at once, both ends could wait for the other to read: a caller
    that hands over a long task, and a nursery with a long outcome.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.tasks: deque[bytes] = deque()
        self._outcomes: deque[Outcome | str] = deque()

    def attend(self) -> None:
        """Wait for the caller's next message and do what it asks. Raises EOFError when it has closed the lane."""
        if message := self.connection.recv_bytes():
            self.tasks.append(message)
        else:
            self.connection.send(self._outcomes.popleft())
            self._note()

    def report(self, outcome: Outcome | str) -> None:
        """Keep an outcome, or a traceback of the harness, and let the caller know."""
        self._outcomes.append(outcome)
        if len(self._outcomes) == 1:  # of others it hears when it has fetched those before
            self._note()

    def _note(self) -> None:
        if self._outcomes:
            self.connection.send_bytes(NOTE)


class _Worker:
    """A forked worker as its supervisor sees it."""

    def __init__(self, lane: Lane, bench: Bench) -> None:
        self._limits = lane.limits
        self._connection, theirs = FORK.Pipe()
        self._exchange = Exchange()
        self._noise = stderr_to_file()
        self._process = FORK.Process(
            target=work, args=(bench, lane.job, lane.pin, theirs, self._connection, self._exchange, self._noise)
        )
        self._process.start()
        theirs.close()
        self._num_ended = 0
        self._num_sent = 0
        """How many of the first tasks it has been sent and has not ended."""

    def supervise(self, desk: _Desk) -> Outcome | str:
        """Run the first of the tasks within the limits. A string is a traceback of the harness."""
        tasks, caller = desk.tasks, desk.connection
        begin = time.perf_counter()
        compiled, peak_mib = False, 0.0

        def ended(how: str, detail: str, **told: Any) -> Outcome:
            events = self._exchange.told(self._num_ended)
            return Outcome(how, events, detail, time.perf_counter() - begin, peak_mib, **told)

        try:
            if not self._num_sent:
                self._send(tasks)
        except ConnectionError:
            return ended("crash", f"the worker was gone before the schema ({exit_of(self._process)})")
        while True:
            if self._num_sent == 1 < len(tasks):
                with contextlib.suppress(ConnectionError):  # it died; what it said of the first task is read below
                    self._send(tasks)
            ready = wait([self._connection, caller], timeout=POLL_S)
            if caller in ready:
                desk.attend()
            peak_mib = max(peak_mib, resident_mib(self._process.pid))
            if self._connection in ready:
                try:
                    end: dict[str, Any] | str = self._connection.recv()
                except (EOFError, ConnectionError):
                    self._process.join()
                    killed = self._process.exitcode == -signal.SIGKILL
                    detail = " ".join([exit_of(self._process), self._last_words()]).strip()
                    return ended("memory" if killed else "crash", detail)
                if isinstance(end, str):
                    return end
                peak_mib = max(peak_mib, end.pop("peak_mib"))
                outcome = ended(end.pop("ended"), end.pop("detail"), **end)
                self._num_sent -= 1
                self._num_ended += 1
                return outcome
            if peak_mib > self._limits.memory_gib * 1024:
                return ended("memory", f"passed {self._limits.memory_gib:g} GiB")
            seconds = time.perf_counter() - begin
            if seconds > min(self._limits.compile_s, self._limits.schema_s):
                compiled = compiled or self._has_compiled()
                what = "the schema" if compiled else "compile + first mask"
                limit = self._limits.schema_s if compiled else self._limits.compile_s
                if seconds > limit:
                    return ended("timeout", f"{what} passed {limit:g} s")

    def _has_compiled(self) -> bool:
        return any(event["event"] == "compiled" for event in self._exchange.told(self._num_ended))

    def _send(self, tasks: deque[bytes]) -> None:
        self._exchange.hand_over(self._num_ended + self._num_sent, tasks[self._num_sent])
        self._connection.send_bytes(THERE)
        self._num_sent += 1

    def _last_words(self) -> str:
        self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, self._noise.tell() - 4096))
        lines = [line for line in self._noise.read().decode(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-3:])[:300]

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._exchange.close()
        self._noise.close()


def exit_of(process: BaseProcess) -> str:
    """How a process that has ended did so."""
    code = process.exitcode
    return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"
