"""The plan of a command in which a model writes: ``efficiency`` and ``quality``, which differ in tasks and judging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jsonschemabench.engines import Engine, make_engine
from jsonschemabench.engines.unconstrained import UNCONSTRAINED, UnconstrainedEngine
from jsonschemabench.model import Model
from jsonschemabench.outcome import Limits, Outcome
from jsonschemabench.running import Plan
from jsonschemabench.writing import Task, Writer
from jsonschemabench.written import WRITTEN, Written, written_of


def fitting(tasks: Sequence[Task], model: Model, max_tokens: int) -> tuple[list[Task], list[Task]]:
    """(tasks whose prompt and text fit the model's context, those that do not)."""
    fit = [task for task in tasks if model.context is None or len(task.prompt_ids) + max_tokens <= model.context]
    kept = {task.id for task in fit}
    return fit, [task for task in tasks if task.id not in kept]


def writing_data(model: Model, max_tokens: int, skip_forced: bool) -> dict[str, Any]:
    """What a header tells of the writing; runs that differ in it are not continued one by the other."""
    return {"model": model.name, **model.settings, "max_tokens": max_tokens, "skip_forced": skip_forced}


@dataclass(frozen=True)
class MakeBeside:
    """Makes an engine where the model is: loads it first, so that every worker shares its memory. Picklable."""

    model: Model
    make: Callable[[str], Engine]

    def __call__(self, name: str) -> Engine:
        self.model.load()
        return UnconstrainedEngine() if name == UNCONSTRAINED else self.make(name)


def writing_plan(
    command: str,
    tasks: Sequence[Task],
    model: Model,
    judged: Callable[[Task, Written], Written],
    data: dict[str, Any],
    make: Callable[[str], Engine] = make_engine,
    **common: Any,
) -> Plan:
    """One text for every task under every engine. ``judged`` fills in the verdict on a text that was written.

    ``data`` holds what ``writing_data`` tells; ``common`` are further fields of the plan.
    """

    def row(engine: str, task: Task, outcome: Outcome, limits: Limits) -> Written:
        text = written_of(engine, task, outcome, limits)
        return judged(task, text) if text.done else text

    return Plan(
        command=command,
        tasks=tasks,
        data=data,
        tokenizer=model.tokenizer,
        job=Writer(model, data["max_tokens"], data["skip_forced"]),
        kind=WRITTEN,
        row=row,
        make_engine=MakeBeside(model, make),
        **common,
    )
