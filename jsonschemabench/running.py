"""Running engines over tasks: workers, progress, the run file, and going on where an earlier run stopped.

Serves every command that compares engines. They differ in their tasks, in what a worker does with one (the lane's job),
and in the row that is kept of it; the defaults of ``Plan`` are those of ``masks`` and ``suite``.
"""

from __future__ import annotations

import datetime
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jsonschemabench.engines import Engine, EngineUnavailable, Settings, make_engine
from jsonschemabench.fleet import Fleet, LocalFleet
from jsonschemabench.lane import Lane
from jsonschemabench.measure import Job, measure_case
from jsonschemabench.outcome import Limits, Outcome, SetUp
from jsonschemabench.process import memory_is_watched
from jsonschemabench.record import RECORDS, record_of
from jsonschemabench.runfile import Header, Kind, Run, RunFile, file_of, header_line, read_runs, row_line
from jsonschemabench.tokenizer import Tokenizer

DEPTH = 4
"""Tasks at hand for each worker, where what is skipped does not follow from what was measured: see ``lane``."""


class RunProblem(Exception):
    """A run that cannot be started as asked, and what to do about it."""


class Task(Protocol):
    """What a worker is given; its name is the same from run to run."""

    @property
    def id(self) -> str: ...


def never(task: Any, rows: Mapping[str, Any]) -> bool:
    """Skip nothing."""
    return False


@dataclass(frozen=True)
class Plan:
    """Everything that is the same for all engines of a command."""

    command: str
    tasks: Sequence[Any]
    """Each has an ``id``; see ``Task``."""
    data: dict[str, Any]
    tokenizer: Tokenizer
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)
    pins: Sequence[int] = ()
    num_lanes: int = 1
    interleave: bool = False
    """Engines take turns, task by task, each in workers of its own that wait while another is timed."""
    cluster: str | None = None
    """The address of a Ray cluster to run on; ``num_lanes`` 0 is then a worker for each of its cores."""
    spawned: bool = False
    """Workers begin without what this process has loaded: what they hold is then theirs."""
    out: Path | None = None
    resume: bool = False
    job: Job = measure_case
    kind: Kind[Any] = RECORDS
    row: Callable[[str, Any, Outcome, Limits], Any] = record_of
    """(engine, task, outcome, limits) to the row that is kept; called outside everything timed."""
    skip: Callable[[Any, Mapping[str, Any]], bool] = never
    """Whether a task need not be run, given the rows so far by their ids."""
    make_engine: Callable[[str], Engine] = make_engine


@dataclass
class Result:
    """The runs that were made, the engines that could not be, and whether the user stopped it."""

    runs: list[Run[Any]] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def run_engines(plan: Plan, engines: Sequence[str], console: Console) -> Result:
    """Run engines over the same tasks, one after the other or in turns. Ctrl-C ends it and keeps what was measured."""
    earlier = _earlier_runs(plan, engines)
    entrants = [_Entrant(plan, engine, earlier.get(engine)) for engine in engines]
    result = Result()
    for together in [entrants] if plan.interleave else [[entrant] for entrant in entrants]:
        try:
            for entrant in together:
                console.print(f"{entrant.engine}: setting up", style="dim")  # no spinner: it has a thread, and we fork
                try:
                    entrant.start()
                except EngineUnavailable as error:
                    result.unavailable[entrant.engine] = str(error)
            _measure(plan, [entrant for entrant in together if entrant.header is not None], console)
        except KeyboardInterrupt:
            result.interrupted = True
        finally:
            for entrant in together:
                entrant.close()
        result.runs += [Run(each.header, tuple(each.rows.values())) for each in together if each.header and each.rows]
        if result.interrupted:
            break
    return result


def _measure(plan: Plan, entrants: Sequence[_Entrant], console: Console) -> None:
    """All tasks under all entrants; who is first changes from turn to turn."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[tally]}"))
    size = max(1, plan.num_lanes) if len(entrants) > 1 else max(1, len(plan.tasks))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
        for entrant in entrants:
            entrant.show(progress)
        for turn, begin in enumerate(range(0, len(plan.tasks), size)):
            for place in range(len(entrants)):
                entrants[(turn + place) % len(entrants)].measure(plan.tasks[begin : begin + size])


class _Entrant:
    """An engine in a run: its workers, its rows so far, its file and its bar."""

    header: Header | None = None
    """None until it is set up."""

    def __init__(self, plan: Plan, engine: str, earlier: Run[Any] | None) -> None:
        self.engine = engine
        self.rows: dict[str, Any] = {}
        self._plan, self._earlier = plan, earlier
        self._fleet = _fleet(plan, engine)
        self._file: RunFile | None = None

    def start(self) -> None:
        """Set the engine up and take over the rows of an earlier run. Raises ``EngineUnavailable``, ``RunProblem``."""
        plan = self._plan
        header = _header(plan, self.engine, self._fleet.start())
        self.rows = _kept(self._earlier, header, plan)
        self.header = header
        if plan.out:
            self._file = RunFile(file_of(plan.out, self.engine))
            if self._earlier is None:
                self._file.write([header_line(header)])

    def show(self, progress: Progress) -> None:
        self._progress = progress
        self._tally = Counter(row.category for row in self.rows.values())
        total, done = len(self._plan.tasks), len(self.rows)
        self._bar = progress.add_task(self.engine, total=total, completed=done, tally=_said(self._tally))

    def measure(self, tasks: Sequence[Any]) -> None:
        """Run those of the tasks that have no row yet and are not skipped."""
        depth = DEPTH if self._plan.skip is never else 1
        for task, outcome in self._fleet.run(self._todo(tasks), depth):
            row = self._plan.row(self.engine, task, outcome, self._plan.limits)
            self.rows[task.id] = row
            if self._file:
                self._file.write([row_line(self._plan.kind, row)])
            self._tally[row.category] += 1
            self._progress.update(self._bar, advance=1, tally=_said(self._tally))

    def _todo(self, tasks: Sequence[Any]) -> Iterator[Any]:
        for task in [task for task in tasks if task.id not in self.rows]:
            if self._plan.skip(task, self.rows):
                self._progress.update(self._bar, advance=1)
            else:
                yield task

    def close(self) -> None:
        self._fleet.close()
        if self._file:
            self._file.close()


def _fleet(plan: Plan, engine: str) -> Fleet:
    def lane(pin: int | None) -> Lane:
        make = functools.partial(plan.make_engine, engine)
        return Lane(make, plan.tokenizer, plan.job, plan.limits, plan.settings, pin, plan.spawned)

    if plan.cluster is not None:
        from jsonschemabench.ray_fleet import RayFleet

        return RayFleet(lane(None), plan.cluster, plan.num_lanes)
    return LocalFleet([lane(plan.pins[index] if plan.pins else None) for index in range(plan.num_lanes)])


def _said(tally: Counter[str]) -> str:
    return ", ".join(f"{count} {category}" for category, count in tally.most_common())


def _header(plan: Plan, engine: str, set_up: SetUp) -> Header:
    return Header(
        command=plan.command,
        engine=engine,
        version=set_up.version,
        options=set_up.options,
        tokenizer={
            "file": plan.tokenizer.path.name,
            "digest": plan.tokenizer.digest,
            "vocab_size": plan.tokenizer.vocab_size,
        },
        data=plan.data,
        limits={**asdict(plan.limits), "memory_enforced": memory_is_watched()},
        machine={**set_up.machine, "interleaved": True} if plan.interleave else set_up.machine,
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        setup={
            "seconds": round(set_up.seconds, 2),
            "resident_mib": round(set_up.resident_mib, 1),
            "before_mib": round(set_up.before_mib, 1),
            "yardstick": {name: round(value, 3) for name, value in set_up.yardstick.items()},
        },
    )


# --- going on -------------------------------------------------------------------------------------------------------


def _earlier_runs(plan: Plan, engines: Sequence[str]) -> dict[str, Run[Any]]:
    """What the output files already hold. Raises ``RunProblem`` where they hold something and ``resume`` is off."""
    earlier: dict[str, Run[Any]] = {}
    if plan.out is None:
        return earlier
    for file in sorted({file_of(plan.out, engine) for engine in engines}):
        if not file.exists() or file.stat().st_size == 0:
            continue
        if not plan.resume:
            raise RunProblem(f"{file} exists; go on with it by --resume, or name another --out")
        earlier.update({run.header.engine: run for run in read_runs(file, plan.kind)})
    return earlier


def _kept(earlier: Run[Any] | None, header: Header, plan: Plan) -> dict[str, Any]:
    """The rows that need not be measured again. Raises ``RunProblem`` where they are of another kind of run."""
    if earlier is None:
        return {}
    before, now = earlier.header.identity(), header.identity()
    other = [f"{name} was {before.get(name)!r} and is {now[name]!r}" for name in now if before.get(name) != now[name]]
    if other:
        raise RunProblem(f"cannot go on with the run of {header.engine}: {'; '.join(other)}")
    wanted = {task.id for task in plan.tasks}
    return {row.id: row for row in earlier.rows if row.id in wanted}
