"""The command line: `structgen generate | compile | check | explain | warmup`.

One module a command; `inputs` reads what they are given, `output` writes what they say, `exits` holds the exit codes. A
schema is a file, `-` for standard input, or JSON text; `--json` writes one JSON document for machines, also for errors.
torch and transformers are loaded by the commands that need them only.
"""

from __future__ import annotations

import typer

from structgen.cli.align import align
from structgen.cli.check import check
from structgen.cli.compile import compile_
from structgen.cli.exits import EPILOG
from structgen.cli.explain import explain
from structgen.cli.generate import generate
from structgen.cli.warmup import warmup

app = typer.Typer(
    name="structgen",
    help="Structured generation: JSON Schema and regular expressions as exact token masks.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command()(generate)
app.command("compile")(compile_)
app.command()(check)
app.command()(explain)
app.command()(align)
app.command()(warmup)


def main() -> None:
    """The console script."""
    app()
