"""What commands say: messages on standard error, figures on standard output, the exit code that tells how it went."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer

from jsonschemabench import options as opt
from jsonschemabench.dataset import Damage
from jsonschemabench.running import Result
from jsonschemabench.table import Table, show

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130


def say(text: str, style: str = "yellow") -> None:
    """One message, as it is."""
    opt.message_console().print(text, style=style, markup=False, highlight=False)


def say_skipped(damages: Iterable[Damage], result: Result | None = None) -> None:
    """The rows of the data, and the lines of earlier results, that could not be read."""
    for damage in damages:
        say(f"skipped {damage.where}: {damage.reason}")
    for run in result.runs if result else ():
        for line in run.damages:
            say(f"skipped {line}")


def print_figures(tables: Sequence[Table], figures: Any, as_json: bool, as_markdown: bool) -> None:
    """The tables, or the same figures as JSON."""
    if as_json:
        typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
    else:
        show(tables, markdown=as_markdown, console=opt.output_console(), write=typer.echo)


def finish(result: Result, engines: Sequence[str]) -> None:
    """Say what could not be run, and leave with the exit code that tells it."""
    for name, reason in result.unavailable.items():
        say(f"{name} was not run: {reason}", "red")
    if result.interrupted:
        say("interrupted; what was measured is kept")
        raise typer.Exit(EXIT_INTERRUPTED)
    if result.unavailable:
        raise typer.Exit(EXIT_USAGE if len(result.unavailable) == len(engines) else EXIT_FAILED)
