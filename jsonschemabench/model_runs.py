"""Running engines over texts that a model writes: lanes, judging, progress and the run files.

Serves ``efficiency`` and ``quality``, which differ in where tasks come from and how texts are judged and shown.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jsonschemabench.engines import Engine, EngineUnavailable, Settings, make_engine
from jsonschemabench.engines.unconstrained import UNCONSTRAINED, UnconstrainedEngine
from jsonschemabench.lane import Lane, Limits, SetUp
from jsonschemabench.model import Model
from jsonschemabench.process import describe_machine, memory_is_watched
from jsonschemabench.record import Header, RunFile, header_line
from jsonschemabench.running import RunProblem
from jsonschemabench.tokenizer import Tokenizer
from jsonschemabench.writing import Task, Writer
from jsonschemabench.written import Written, WrittenRun, file_of, written_line, written_of


@dataclass(frozen=True)
class ModelPlan:
    """Everything that is the same for all engines of a command."""

    command: str
    tasks: Sequence[Task]
    data: dict[str, Any]
    model: Model
    tokenizer: Tokenizer
    judge: Callable[[Task, Written], Written]
    """Fills in the verdict on a text; called outside everything timed."""
    max_tokens: int
    skip_forced: bool = False
    limits: Limits = field(default_factory=Limits)
    settings: Settings = field(default_factory=Settings)
    out: Path | None = None


@dataclass
class ModelResult:
    """The runs that were made, the engines that could not be, and whether the user stopped it."""

    runs: list[WrittenRun] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def make_any_engine(name: str) -> Engine:
    """An engine by name, the missing one among them."""
    return UnconstrainedEngine() if name == UNCONSTRAINED else make_engine(name)


def fitting(tasks: Sequence[Task], model: Model, max_tokens: int) -> tuple[list[Task], list[Task]]:
    """(tasks whose prompt and text fit the model's context, those that do not)."""
    fit = [task for task in tasks if model.context is None or len(task.prompt_ids) + max_tokens <= model.context]
    kept = {task.id for task in fit}
    return fit, [task for task in tasks if task.id not in kept]


def run_model(
    plan: ModelPlan, engines: Sequence[str], console: Console, factory: Callable[[str], Engine] = make_any_engine
) -> ModelResult:
    """Run engines in turn over the same tasks. Ctrl-C ends it and keeps what was measured."""
    files = {file_of(plan.out, engine) for engine in engines} if plan.out else set()
    for file in sorted(files):
        if file.exists() and file.stat().st_size:
            raise RunProblem(f"{file} exists; name another --out")
    result = ModelResult()
    for engine in engines:
        writer = Writer(plan.model, plan.max_tokens, plan.skip_forced)

        def make(engine: str = engine) -> Engine:
            plan.model.load()
            return factory(engine)

        lane = Lane(make, plan.tokenizer, writer, plan.limits, plan.settings)
        texts: list[Written] = []
        header: Header | None = None
        try:
            console.print(f"{engine}: setting up", style="dim")
            header = _header(plan, engine, lane.start())
            _write_all(plan, header, lane, texts, console)
        except EngineUnavailable as error:
            result.unavailable[engine] = str(error)
        except KeyboardInterrupt:
            result.interrupted = True
        finally:
            lane.close()
        if header is not None and texts:
            result.runs.append(WrittenRun(header, tuple(texts)))
        if result.interrupted:
            break
    return result


def _write_all(plan: ModelPlan, header: Header, lane: Lane, texts: list[Written], console: Console) -> None:
    file = RunFile(file_of(plan.out, header.engine)) if plan.out else None
    try:
        if file:
            file.write([header_line(header)])
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as progress:
            bar = progress.add_task(header.engine, total=len(plan.tasks))
            for task in plan.tasks:
                text = written_of(header.engine, task, lane.run(task))
                texts.append(plan.judge(task, text) if text.done else text)
                if file:
                    file.write([written_line(texts[-1])])
                progress.advance(bar)
    finally:
        if file:
            file.close()


def _header(plan: ModelPlan, engine: str, set_up: SetUp) -> Header:
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
        data={**plan.data, "model": plan.model.name, "max_tokens": plan.max_tokens, "skip_forced": plan.skip_forced},
        limits={**asdict(plan.limits), "memory_enforced": memory_is_watched()},
        machine=describe_machine(),
        started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        setup={"seconds": round(set_up.seconds, 2), "resident_mib": round(set_up.resident_mib, 1)},
    )
