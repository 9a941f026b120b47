"""Running cases under one engine: lanes, progress, the run file, and going on where an earlier run stopped.

Serves ``masks`` and ``suite``, which differ only in where cases come from and how records are shown.
"""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jsonschemabench.case import Case
from jsonschemabench.engines import Engine, EngineUnavailable, Settings, make_engine
from jsonschemabench.lane import Lane, Limits, Outcome, SetUp
from jsonschemabench.measure import measure_case
from jsonschemabench.process import describe_machine, keep_off, memory_is_watched
from jsonschemabench.record import Header, Record, Run, RunFile, header_line, read_runs, record_line, record_of
from jsonschemabench.tokenizer import Tokenizer


class RunProblem(Exception):
    """A run that cannot be started as asked, and what to do about it."""


@dataclass(frozen=True)
class Plan:
    """Everything that is the same for all engines of a command."""

    command: str
    cases: Sequence[Case]
    data: dict[str, Any]
    tokenizer: Tokenizer
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)
    pins: Sequence[int] = ()
    num_lanes: int = 1
    out: Path | None = None
    resume: bool = False


@dataclass
class Result:
    """The runs that were made, the engines that could not be, and whether the user stopped it."""

    runs: list[Run] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def run_engines(
    plan: Plan,
    engines: Sequence[str],
    console: Console,
    factory: Callable[[str], Engine] = make_engine,
) -> Result:
    """Run engines in turn over the same cases. Ctrl-C ends it and keeps what was measured."""
    if plan.pins:
        keep_off(set(plan.pins))
    earlier = _earlier_runs(plan, engines)
    result = Result()
    for engine in engines:
        records: dict[str, Record] = {}
        lanes = [
            Lane(
                functools.partial(factory, engine),
                plan.tokenizer,
                measure_case,
                plan.limits,
                plan.settings,
                plan.pins[index] if index < len(plan.pins) else None,
            )
            for index in range(plan.num_lanes)
        ]
        header: Header | None = None
        try:
            console.print(f"{engine}: setting up", style="dim")  # no spinner: its thread must not run while we fork
            set_ups = [lane.start() for lane in lanes]
            header = _header(plan, engine, set_ups[0])
            records = _kept(earlier.get(engine), header, plan)
            _measure(plan, header, lanes, records, new=engine not in earlier, console=console)
        except EngineUnavailable as error:
            result.unavailable[engine] = str(error)
        except KeyboardInterrupt:
            result.interrupted = True
        finally:
            for lane in lanes:
                lane.close()
        if header is not None and records:
            wanted = {case.id for case in plan.cases}
            result.runs.append(Run(header, tuple(each for each in records.values() if each.id in wanted)))
        if result.interrupted:
            break
    return result


def _measure(
    plan: Plan, header: Header, lanes: Sequence[Lane], records: dict[str, Record], *, new: bool, console: Console
) -> None:
    todo = [case for case in plan.cases if case.id not in records]
    file = RunFile(_file_of(plan.out, header.engine)) if plan.out else None
    try:
        if file and new:
            file.write([header_line(header)])
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[tally]}"),
        )
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
            bar = progress.add_task(header.engine, total=len(plan.cases), completed=len(records), tally="")
            for case, outcome in run_cases(lanes, todo):
                record = record_of(header.engine, case.id, case.split, outcome, plan.limits.compile_s)
                records[case.id] = record
                if file:
                    file.write([record_line(record)])
                progress.update(bar, advance=1, tally=_tally(records))
    finally:
        if file:
            file.close()


def run_cases(lanes: Sequence[Lane], cases: Sequence[Case]) -> Iterator[tuple[Case, Outcome]]:
    """Spread cases over started lanes; outcomes come as they are ready."""
    waiting = iter(cases)
    busy: dict[Any, tuple[Lane, Case]] = {}

    def give(lane: Lane) -> None:
        case = next(waiting, None)
        if case is not None:
            lane.submit(case)
            busy[lane.connection] = (lane, case)

    for lane in lanes:
        give(lane)
    while busy:
        for connection in wait(list(busy)):
            lane, case = busy.pop(connection)
            outcome = lane.take()
            give(lane)
            yield case, outcome


def _tally(records: dict[str, Record]) -> str:
    counts: dict[str, int] = {}
    for record in records.values():
        counts[record.category] = counts.get(record.category, 0) + 1
    return ", ".join(f"{count} {category}" for category, count in sorted(counts.items(), key=lambda item: -item[1]))


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
        machine={**describe_machine(), "pinned_to": list(plan.pins), "lanes": plan.num_lanes},
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        setup={"seconds": round(set_up.seconds, 2), "resident_mib": round(set_up.resident_mib, 1)},
    )


# --- the files of a run ---------------------------------------------------------------------------------------------


def _file_of(out: Path, engine: str) -> Path:
    return out if out.suffix == ".jsonl" else out / f"{engine}.jsonl"


def _earlier_runs(plan: Plan, engines: Sequence[str]) -> dict[str, Run]:
    """What the output files already hold. Raises ``RunProblem`` where they hold something and ``resume`` is off."""
    earlier: dict[str, Run] = {}
    if plan.out is None:
        return earlier
    for file in sorted({_file_of(plan.out, engine) for engine in engines}):
        if not file.exists() or file.stat().st_size == 0:
            continue
        if not plan.resume:
            raise RunProblem(f"{file} exists; go on with it by --resume, or name another --out")
        earlier.update({run.header.engine: run for run in read_runs(file)})
    return earlier


def _kept(earlier: Run | None, header: Header, plan: Plan) -> dict[str, Record]:
    """The records that need not be measured again. Raises ``RunProblem`` where they are of another kind of run."""
    if earlier is None:
        return {}
    before, now = earlier.header.identity(), header.identity()
    other = [f"{name} was {before[name]!r} and is {now[name]!r}" for name in now if before.get(name) != now[name]]
    if other:
        raise RunProblem(f"cannot go on with the run of {header.engine}: {'; '.join(other)}")
    wanted = {case.id for case in plan.cases}
    return {record.id: record for record in earlier.records if record.id in wanted}
