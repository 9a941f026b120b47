"""Options that go together, as one parameter of a command.

A command declares a parameter of a group's type, with the group itself as default; ``grouped`` makes of it the function
that typer reads, in which the options of the group stand one by one under their own names.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import typer

from jsonschemabench import options as opt
from jsonschemabench.case import Case
from jsonschemabench.dataset import Dataset, load_dataset
from jsonschemabench.outcome import Limits
from jsonschemabench.sample import sample_cases
from jsonschemabench.saying import print_figures, say_skipped
from jsonschemabench.table import Table
from jsonschemabench.tokenizer import Tokenizer


@dataclass(frozen=True)
class Which:
    """Which engines."""

    engine: opt.Engines = None
    compare: opt.Compare = ""

    def engines(self) -> list[str]:
        return opt.engines_of(self.engine, self.compare)


@dataclass(frozen=True)
class Cut:
    """How texts are cut into tokens."""

    tokenizer: opt.TokenizerPath = None
    eos: opt.Eos = None

    def load(self) -> Tokenizer:
        return opt.tokenizer_of(self.tokenizer, self.eos)


@dataclass(frozen=True)
class Cases:
    """Which schemas."""

    data: opt.Data = None
    sample: opt.Sample = None
    seed: opt.Seed = 0
    without: opt.Without = None

    def load(self) -> tuple[list[Case], dict[str, Any]]:
        """(the schemas to be run, what a header tells of them). Says what could not be read."""
        dataset = load_dataset(self.data)
        say_skipped(dataset.damages)
        cases = self._chosen(dataset)
        return cases, {
            "source": dataset.source,
            "digest": dataset.digest,
            "schemas": len(dataset.cases),
            "sampled": len(cases),
            "seed": self.seed,
            "skipped": len(dataset.damages),
        }

    def _chosen(self, dataset: Dataset) -> list[Case]:
        """The sample, less what is left out, so that it is otherwise the same."""
        without = set(self.without or ())
        unknown = without - {case.id for case in dataset.cases}
        if unknown:
            raise typer.BadParameter(f"--without: the data has no {', '.join(sorted(unknown))}")
        return [case for case in sample_cases(dataset.cases, self.sample, self.seed) if case.id not in without]


@dataclass(frozen=True)
class Kept:
    """Where results go."""

    out: opt.Out = None
    resume: opt.Resume = False

    def fields(self, below: str = "") -> dict[str, Any]:
        """The fields of a ``Plan``; ``below`` is a folder in ``out`` for a command that makes several runs."""
        out: Path | None = self.out / below if self.out and below else self.out
        return {"out": out, "resume": self.resume}


@dataclass(frozen=True)
class Bounds:
    """How long and how large."""

    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s
    limit_mem_gb: opt.MemoryLimit = opt.LIMITS.memory_gib

    def limits(self) -> Limits:
        return Limits(self.limit_compile_s, self.limit_schema_s, self.limit_mem_gb)


@dataclass(frozen=True)
class Where:
    """Where workers run."""

    pin: opt.Pin = ""
    jobs: opt.Jobs = None
    ray: opt.Ray = None
    interleave: opt.Interleave = False

    def fields(self) -> dict[str, Any]:
        return opt.workers_of(self.pin, self.jobs, self.ray, self.interleave)


@dataclass(frozen=True)
class Shown:
    """In which form figures are printed."""

    as_json: opt.AsJson = False
    as_markdown: opt.AsMarkdown = False

    def print(self, tables: list[Table], figures: Any) -> None:
        print_figures(tables, figures, self.as_json, self.as_markdown)


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose groups are taken apart into their options, in their places."""
    signature, hints = inspect.signature(command), get_type_hints(command, include_extras=True)
    groups = {name: hints[name] for name in signature.parameters if dataclasses.is_dataclass(hints[name])}
    annotations: dict[str, Any] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        if name not in groups:
            annotations[name] = hints[name]
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        inner = get_type_hints(groups[name], include_extras=True)
        for each in dataclasses.fields(groups[name]):
            annotations[each.name] = inner[each.name]
            kind = inspect.Parameter.KEYWORD_ONLY
            parameters.append(inspect.Parameter(each.name, kind, default=each.default, annotation=inner[each.name]))

    @functools.wraps(command)
    def flat(**given: Any) -> None:
        made = {
            name: group(**{each.name: given.pop(each.name) for each in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        command(**made, **given)

    flat.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {**annotations, "return": None}
    del flat.__wrapped__
    return flat
