"""The command line: ``python -m jsonschemabench masks | suite | scale | …``: its commands, and what becomes of faults.

The commands are in ``mask_cli``, ``model_cli``, ``align`` and ``speculate``, the report is in ``report.command``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import typer

from jsonschemabench import options as opt
from jsonschemabench.align import align
from jsonschemabench.dataset import DataProblem
from jsonschemabench.engines import EngineUnavailable, engine_names, make_engine
from jsonschemabench.grammar_corpus import CorpusProblem
from jsonschemabench.grammars import grammars
from jsonschemabench.groups import grouped
from jsonschemabench.judge import JudgeMissing
from jsonschemabench.lane import HarnessError
from jsonschemabench.mask_cli import masks, memory, scale, suite
from jsonschemabench.model import ModelProblem
from jsonschemabench.model_cli import efficiency, quality
from jsonschemabench.ray_fleet import ClusterProblem
from jsonschemabench.report.command import report
from jsonschemabench.report.results import ReportProblem
from jsonschemabench.running import RunProblem
from jsonschemabench.saying import EXIT_FAILED, EXIT_USAGE, say
from jsonschemabench.speculate import SpeculateProblem, speculate
from jsonschemabench.suite_source import SuiteProblem
from jsonschemabench.table import Table, show
from jsonschemabench.tokenizer import TokenizerProblem

EXPECTED = (
    DataProblem,
    TokenizerProblem,
    RunProblem,
    ClusterProblem,
    SuiteProblem,
    EngineUnavailable,
    ModelProblem,
    JudgeMissing,
    ReportProblem,
    SpeculateProblem,
    CorpusProblem,
)

app = typer.Typer(
    help="Measures engines for constrained decoding by JSON Schema on one machine, with one harness for all.",
    no_args_is_help=True,
    add_completion=False,
)


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Expected faults become one clear message and an exit code."""

    @functools.wraps(command)
    def guarded(**arguments: Any) -> None:
        try:
            command(**arguments)
        except EXPECTED as problem:
            say(str(problem), "red")
            raise typer.Exit(EXIT_USAGE) from problem
        except HarnessError as error:
            say(f"the benchmark itself failed:\n{error}", "red")
            raise typer.Exit(EXIT_FAILED) from error

    return guarded


def engines() -> None:
    """The engines that are known, and which of them can run here."""
    rows = []
    for name in engine_names():
        try:
            found = make_engine(name)
            rows.append((name, found.version(), found.options()))
        except EngineUnavailable as error:
            rows.append((name, "—", str(error)))
    table = Table("Engines", ("engine", "version", "options"), rows, text_columns=frozenset({0, 1, 2}))
    show([table], markdown=False, console=opt.output_console(), write=typer.echo)


for _command in (masks, suite, scale, memory, efficiency, quality, align, speculate, grammars, report, engines):
    app.command()(_plain_errors(grouped(_command)))


def main() -> None:
    """The console script."""
    app(prog_name="jsonschemabench")
