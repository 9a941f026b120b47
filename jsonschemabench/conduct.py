"""From a plan to the end of a command: engines run, what was measured is shown, the exit code tells the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from jsonschemabench import options as opt
from jsonschemabench.groups import Shown
from jsonschemabench.runfile import Run
from jsonschemabench.running import Plan, run_engines
from jsonschemabench.saying import finish, say_skipped
from jsonschemabench.table import Table

Told = Callable[[Sequence[Run[Any]]], tuple[list[Table], Any]]
"""The tables of runs, and the same figures as JSON."""


def conduct(plan: Plan, engines: Sequence[str], shown: Shown, told: Told) -> None:
    """Run the engines and show what ``told`` makes of their runs. Leaves by ``typer.Exit`` where something is amiss."""
    result = run_engines(plan, engines, opt.message_console())
    say_skipped((), result)
    if result.runs:
        shown.print(*told(result.runs))
    finish(result, engines)
