"""Command-line options that several commands share, and how their texts become values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jsonschemabench.engines import engine_names
from jsonschemabench.outcome import Limits
from jsonschemabench.tokenizer import Tokenizer, default_tokenizer_path

Engines = Annotated[
    list[str] | None, typer.Option("--engine", "-e", help="An engine to run; may be given several times.")
]
Compare = Annotated[
    str, typer.Option("--compare", help="Engines to run in turn, separated by commas; ratios are to the first.")
]
TokenizerPath = Annotated[
    Path | None,
    typer.Option("--tokenizer", help="A tokenizer.json, also gzipped, or its folder. Default: structgen's own."),
]
Eos = Annotated[str | None, typer.Option("--eos", help="The end-of-text token, where the usual names do not tell it.")]
CompileLimit = Annotated[float, typer.Option("--limit-compile-s", min=0.01, help="Limit for compile + first mask.")]
SchemaLimit = Annotated[float, typer.Option("--limit-schema-s", min=0.01, help="Limit for a schema and its instances.")]
MemoryLimit = Annotated[float, typer.Option("--limit-mem-gb", min=0.01, help="Resident memory of the worker, GiB.")]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="JSON lines (or gzipped), a MaskBench folder, a data set's folder, or its owner/name[:config] on the hub.",
    ),
]
Sample = Annotated[int | None, typer.Option("--sample", min=1, help="So many schemas, stratified by split.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the sample and of the order.")]
Without = Annotated[
    list[str] | None, typer.Option("--without", help="Leave out the schema with this id; may be given several times.")
]
Out = Annotated[Path | None, typer.Option("--out", "-o", help="Where to keep the results, as JSON lines.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what --out already holds.")]
Pin = Annotated[
    str, typer.Option("--pin", help="Core that the worker runs on (several, with commas, for several --jobs).")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Workers side by side: here 1 (with more, times disturb each other), on a cluster one for each core.",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option("--ray", help="Address of a Ray cluster to spread schemas over, each worker alone on a core."),
]
Interleave = Annotated[
    bool,
    typer.Option(
        "--interleave", help="Engines take turns schema by schema: a machine whose speed changes treats them alike."
    ),
]
Profile = Annotated[str, typer.Option("--profile", help="default or exact, for engines that have both.")]
AsJson = Annotated[bool, typer.Option("--json", help="Figures as JSON on standard output.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Tables as Markdown.")]

DEFAULT_ENGINE = "structgen"
LIMITS = Limits()


def engines_of(engines: list[str] | None, compare: str) -> list[str]:
    """The engines asked for, each once, in order. Raises ``typer.BadParameter`` for a name that is not known."""
    asked = [*(engines or []), *(name.strip() for name in compare.split(",") if name.strip())] or [DEFAULT_ENGINE]
    known = engine_names()
    for name in asked:
        if name not in known:
            raise typer.BadParameter(f"there is no engine {name!r}; known are: {', '.join(known)}")
    return list(dict.fromkeys(asked))


def profile_of(profile: str) -> str:
    """The profile. Raises ``typer.BadParameter``."""
    if profile not in ("default", "exact"):
        raise typer.BadParameter(f"--profile is default or exact, not {profile!r}")
    return profile


def workers_of(pin: str, jobs: int | None, ray: str | None, interleave: bool) -> dict[str, Any]:
    """The fields of a ``Plan`` that say where workers run. Raises ``typer.BadParameter``."""
    if ray is None:
        return {"pins": _pins_of(pin, jobs or 1), "num_lanes": jobs or 1, "interleave": interleave}
    if interleave:
        raise typer.BadParameter("--interleave is for workers on this machine; on a cluster each has a core for itself")
    if pin:
        raise typer.BadParameter("--pin is for workers on this machine; with --ray each finds a core for itself")
    return {"cluster": ray, "num_lanes": jobs or 0}


def _pins_of(pin: str, num_jobs: int) -> list[int]:
    if not pin:
        return []
    try:
        cpus = [int(part) for part in pin.split(",")]
    except ValueError:
        raise typer.BadParameter(f"--pin takes core numbers, not {pin!r}") from None
    if hasattr(os, "sched_getaffinity") and not set(cpus) <= os.sched_getaffinity(0):
        raise typer.BadParameter(f"this process may use the cores {sorted(os.sched_getaffinity(0))}, not {pin}")
    if len(cpus) < num_jobs:
        raise typer.BadParameter(f"--jobs {num_jobs} needs as many cores after --pin")
    return cpus[:num_jobs]


def tokenizer_of(path: Path | None, eos: str | None) -> Tokenizer:
    """The tokenizer asked for, or structgen's own."""
    return Tokenizer(path or default_tokenizer_path(), eos=eos)


def output_console() -> Console:
    """For tables: as wide as they need where standard output is not a terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def message_console() -> Console:
    """For progress and messages, on standard error."""
    return Console(stderr=True)
