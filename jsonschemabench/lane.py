"""A lane: an engine in a process of its own, and a worker forked from it that can be killed.

Three processes. The caller keeps its hands free. The *nursery* (forked from the caller) sets the engine up once and
then supervises: it sends a task to the worker, watches the clock and the worker's memory, and answers with an
``Outcome``. The *worker* (forked from the nursery) runs tasks one after another; when it is killed or dies, the next
one is forked from the engine as it was set up. A lane knows nothing of schemas: its job is a function from a task to
events, and the event named ``compiled`` ends the first of its two time limits.
"""

from __future__ import annotations

import contextlib
import faulthandler
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from jsonschemabench.engines.base import Engine, EngineUnavailable, Settings
from jsonschemabench.garbage import Garbage
from jsonschemabench.measure import Bench, Event, Job
from jsonschemabench.process import (
    current_mib,
    describe_machine,
    die_with_parent,
    involuntary_switches,
    one_thread,
    pin_to,
    reset_peak,
    resident_mib,
    stderr_to_file,
)
from jsonschemabench.tokenizer import Tokenizer

POLL_S = 0.02

FORK, SPAWN = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a schema may take to its first mask, with its instances, and how much memory its worker may hold."""

    compile_s: float = 20.0
    schema_s: float = 40.0
    memory_gib: float = 4.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a task. ``ended`` is done, timeout, crash or memory; the events are those before that end."""

    ended: str
    events: Sequence[Event] = ()
    detail: str = ""
    seconds: float = 0.0
    peak_mib: float = 0.0
    begin_mib: float = 0.0
    """What the worker held before and after the task; 0 where it did not live to tell."""
    end_mib: float = 0.0
    switches: int = 0


@dataclass(frozen=True, slots=True)
class SetUp:
    """What the nursery says when it is ready."""

    version: str
    options: str
    seconds: float
    resident_mib: float
    machine: dict[str, Any] = field(default_factory=dict)


class HarnessError(Exception):
    """The benchmark itself failed in a worker; carries the worker's traceback. No engine is to blame."""


@dataclass
class Lane:
    """One engine, one worker. ``start``, then ``run`` or ``submit`` and ``take``, then ``close``.

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
        process = context.Process(target=_nursery, args=(self, theirs, inherited), name="jsonschemabench-nursery")
        process.start()
        theirs.close()
        self.connection, self._process = mine, process
        try:
            kind, content = self.connection.recv()
        except EOFError:
            process.join()
            raise EngineUnavailable(f"the process died while it set the engine up ({_exit(process)})") from None
        if kind != "ready":
            self.close()
            raise EngineUnavailable(content)
        set_up: SetUp = content
        return set_up

    def submit(self, task: Any) -> None:
        """Hand a task over; ``connection`` becomes readable when its outcome is there."""
        self.connection.send(task)

    def take(self) -> Outcome:
        """The outcome of the task that was submitted. Raises ``HarnessError``."""
        try:
            kind, content = self.connection.recv()
        except EOFError:
            raise HarnessError("the supervising process died") from None
        if kind == "harness":
            raise HarnessError(content)
        outcome: Outcome = content
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


def _exit(process: BaseProcess) -> str:
    code = process.exitcode
    return f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit status {code}"


# --- in the nursery -------------------------------------------------------------------------------------------------


def _nursery(lane: Lane, caller: Connection, inherited: Connection | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    if inherited is not None:
        inherited.close()
    one_thread()
    begin = time.perf_counter()
    try:
        engine = lane.make_engine()
        engine.version()
        bench = Bench.set_up(engine, lane.tokenizer, lane.settings)
        seconds = time.perf_counter() - begin
        set_up = SetUp(engine.version(), engine.options(), seconds, current_mib(), describe_machine())
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
    try:
        while True:
            task = caller.recv()
            worker = worker or _Worker(lane, bench)
            outcome = worker.supervise(task, caller)
            if isinstance(outcome, Outcome):
                caller.send(("outcome", outcome))
                alive = outcome.ended == "done"
            else:
                caller.send(("harness", outcome))
                alive = False
            if not alive:
                worker.kill()
                worker = None
    except (EOFError, BrokenPipeError):
        pass  # the caller closed the lane
    finally:
        if worker:
            worker.kill()


class _Worker:
    """A forked worker as its supervisor sees it."""

    def __init__(self, lane: Lane, bench: Bench) -> None:
        self._limits = lane.limits
        self._connection, theirs = FORK.Pipe()
        self._noise = stderr_to_file()
        self._process = FORK.Process(target=_work, args=(lane, bench, theirs, self._connection, self._noise))
        self._process.start()
        theirs.close()

    def supervise(self, task: Any, caller: Connection) -> Outcome | str:
        """Run one task within the limits. A string is a traceback of the harness."""
        begin = time.perf_counter()
        deadline, what = begin + self._limits.compile_s, f"compile + first mask passed {self._limits.compile_s:g} s"
        events: list[Event] = []
        peak_mib = 0.0

        def ended(how: str, detail: str, **told: Any) -> Outcome:
            return Outcome(how, events, detail, time.perf_counter() - begin, peak_mib, **told)

        try:
            self._connection.send(task)
        except BrokenPipeError:
            return ended("crash", f"the worker was gone before the schema ({_exit(self._process)})")
        while True:
            ready = wait([self._connection, caller], timeout=POLL_S)
            if caller in ready:
                raise EOFError  # nothing is ever sent while a task runs: the caller closed the lane
            peak_mib = max(peak_mib, resident_mib(self._process.pid))
            if self._connection in ready:
                try:
                    event = self._connection.recv()
                except (EOFError, ConnectionResetError):
                    self._process.join()
                    killed = self._process.exitcode == -signal.SIGKILL
                    detail = " ".join([_exit(self._process), self._last_words()]).strip()
                    return ended("memory" if killed else "crash", detail)
                if event["event"] == "end":
                    peak_mib = max(peak_mib, event["peak_mib"])
                    told = {name: event[name] for name in ("begin_mib", "end_mib", "switches")}
                    return ended(event["ended"], event["detail"], **told)
                if event["event"] == "harness":
                    return str(event["traceback"])
                events.append(event)
                if event["event"] == "compiled":
                    deadline, what = begin + self._limits.schema_s, f"the schema passed {self._limits.schema_s:g} s"
            if peak_mib > self._limits.memory_gib * 1024:
                return ended("memory", f"passed {self._limits.memory_gib:g} GiB")
            if time.perf_counter() > deadline:
                return ended("timeout", what)

    def _last_words(self) -> str:
        self._noise.seek(0, os.SEEK_END)
        self._noise.seek(max(0, self._noise.tell() - 4096))
        lines = [line for line in self._noise.read().decode(errors="replace").splitlines() if line.strip()]
        return " | ".join(lines[-3:])[:300]

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()
        self._noise.close()


# --- in the worker --------------------------------------------------------------------------------------------------


def _work(lane: Lane, bench: Bench, supervisor: Connection, theirs: Connection, noise: Any) -> None:
    theirs.close()
    die_with_parent()
    for stream in (1, 2):
        os.dup2(noise.fileno(), stream)
    if lane.pin is not None:
        pin_to(lane.pin)
    garbage = Garbage()
    faulthandler.disable()  # a crash leaves the engine's own last words, not ours
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task = supervisor.recv()
            garbage.collect()
            noise.seek(0)
            noise.truncate()
            reset_peak()
            begin_mib, switches = current_mib(), involuntary_switches()
            ended, detail = "done", ""
            try:
                for event in lane.job(bench, task):
                    supervisor.send(event)
            except MemoryError as error:
                ended, detail = "memory", f"MemoryError {error}".strip()
            except (EOFError, BrokenPipeError):
                raise
            except BaseException:
                supervisor.send({"event": "harness", "traceback": traceback.format_exc()})
                continue
            supervisor.send(
                {
                    "event": "end",
                    "ended": ended,
                    "detail": detail,
                    "peak_mib": resident_mib(os.getpid(), peak=True),
                    "begin_mib": begin_mib,
                    "end_mib": current_mib(),
                    "switches": involuntary_switches() - switches,
                }
            )
