"""The command line: ``python -m jsonschemabench masks | suite | scale | …``. It parses, calls, and prints.

The commands that run a model are in ``model_cli`` and ``speculate``, the report is in ``report.command``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from jsonschemabench import options as opt
from jsonschemabench.align import align
from jsonschemabench.comparison import Column, columns_of, comparison_json, mask_tables
from jsonschemabench.dataset import DataProblem, load_dataset
from jsonschemabench.engines import EngineUnavailable, Settings, engine_names, make_engine
from jsonschemabench.judge import JudgeMissing
from jsonschemabench.lane import HarnessError, Limits
from jsonschemabench.model import ModelProblem
from jsonschemabench.model_cli import efficiency, quality
from jsonschemabench.record import Run, read_runs
from jsonschemabench.report.command import report
from jsonschemabench.report.results import ReportProblem
from jsonschemabench.running import Plan, Result, RunProblem, run_engines
from jsonschemabench.sample import sample_cases
from jsonschemabench.scale import SIZES, Point, point_json, run_scale, scale_tables, write_points
from jsonschemabench.scale_families import FAMILIES
from jsonschemabench.speculate import SpeculateProblem, speculate
from jsonschemabench.suite_source import SuiteProblem, load_suite
from jsonschemabench.suite_table import suite_json, suite_tables, wrong_verdicts
from jsonschemabench.table import Table, show
from jsonschemabench.tokenizer import TokenizerProblem

EXPECTED = (
    DataProblem,
    TokenizerProblem,
    RunProblem,
    SuiteProblem,
    EngineUnavailable,
    ModelProblem,
    JudgeMissing,
    ReportProblem,
    SpeculateProblem,
)
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130

app = typer.Typer(
    help="Measures engines for constrained decoding by JSON Schema on one machine, with one harness for all.",
    no_args_is_help=True,
    add_completion=False,
)


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Expected faults become one clear message and an exit code."""

    @functools.wraps(command)
    def guarded(**arguments: Any) -> None:
        messages = opt.message_console()
        try:
            command(**arguments)
        except EXPECTED as problem:
            messages.print(str(problem), style="red", markup=False, highlight=False)
            raise typer.Exit(EXIT_USAGE) from problem
        except HarnessError as error:
            messages.print(f"the benchmark itself failed:\n{error}", style="red", markup=False, highlight=False)
            raise typer.Exit(EXIT_FAILED) from error

    return guarded


@app.command()
@_plain_errors
def masks(
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    tokenizer: opt.TokenizerPath = None,
    eos: opt.Eos = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="JSON lines (or gzipped), a MaskBench folder, or owner/name[:config] on the hub."),
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="So many schemas, stratified by split.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample and of the order.")] = 0,
    out: opt.Out = None,
    resume: opt.Resume = False,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="An earlier --out, to be shown beside and compared with.")
    ] = None,
    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s,
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = opt.LIMITS.memory_gib,
    pin: opt.Pin = "",
    jobs: opt.Jobs = 1,
    profile: opt.Profile = "default",
    slowest: Annotated[int, typer.Option("--slowest", min=0, help="List so many slowest masks an engine.")] = 0,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Time to the first mask, time of every later mask, and right and wrong verdicts, without a model."""
    messages = opt.message_console()
    engines = opt.engines_of(engine, compare)
    earlier = _baseline(baseline)
    dataset = load_dataset(data)
    for damage in dataset.damages:
        messages.print(f"skipped {damage.where}: {damage.reason}", style="yellow", markup=False, highlight=False)
    cases = sample_cases(dataset.cases, sample, seed)
    plan = Plan(
        command="masks",
        cases=cases,
        data={
            "source": dataset.source,
            "digest": dataset.digest,
            "schemas": len(dataset.cases),
            "sampled": len(cases),
            "seed": seed,
            "skipped": len(dataset.damages),
        },
        tokenizer=opt.tokenizer_of(tokenizer, eos),
        limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
        settings=Settings(profile=_profile(profile)),
        pins=opt.pins_of(pin, jobs),
        num_lanes=jobs,
        out=out,
        resume=resume,
    )
    result = run_engines(plan, engines, messages)
    columns = columns_of(result.runs, earlier)
    for column in columns:
        for line in column.run.damages:
            messages.print(f"skipped {line}", style="yellow", markup=False, highlight=False)
    if result.runs:
        if as_json:
            typer.echo(json.dumps(comparison_json(columns, slowest), indent=1, ensure_ascii=False))
        else:
            _show(mask_tables(columns, slowest), as_markdown)
    _finish(result, engines, messages)


@app.command()
@_plain_errors
def suite(
    source: Annotated[Path, typer.Argument(help="The test suite: .tar.gz, folder or git checkout.")],
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    tokenizer: opt.TokenizerPath = None,
    eos: opt.Eos = None,
    draft: Annotated[list[str] | None, typer.Option("--draft", help="4, 7 or 2020-12; may be repeated.")] = None,
    optional: Annotated[bool, typer.Option("--optional", help="The optional tests too.")] = False,
    formats: Annotated[bool, typer.Option("--formats", help="The tests of optional/format too.")] = False,
    remotes: Annotated[bool, typer.Option(help="Give the suite's remote documents to engines that take any.")] = True,
    profile: opt.Profile = "default",
    wrong: Annotated[int, typer.Option("--wrong", min=0, help="List so many wrong verdicts an engine.")] = 0,
    out: opt.Out = None,
    resume: opt.Resume = False,
    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s,
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = opt.LIMITS.memory_gib,
    pin: opt.Pin = "",
    jobs: opt.Jobs = 1,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """The official JSON Schema Test Suite: what compiles, and which verdicts are right, by keyword."""
    messages = opt.message_console()
    engines = opt.engines_of(engine, compare)
    chosen = opt.tokenizer_of(tokenizer, eos)
    figures = []
    whole = Result()
    for each in draft or ["4", "7", "2020-12"]:
        tests = load_suite(source, each, optional=optional, formats=formats)
        plan = Plan(
            command=f"suite draft {each}",
            cases=tests.cases,
            data={"source": source.name, "digest": f"{each}/{len(tests.cases)}", "groups": len(tests.cases)},
            tokenizer=chosen,
            limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
            settings=Settings(profile=_profile(profile), registry=tests.remotes if remotes else {}),
            pins=opt.pins_of(pin, jobs),
            num_lanes=jobs,
            out=out / f"draft{each}" if out else None,
            resume=resume,
        )
        result = run_engines(plan, [name for name in engines if name not in whole.unavailable], messages)
        whole.unavailable.update(result.unavailable)
        whole.interrupted = result.interrupted
        columns = [Column(run.header.engine, run) for run in result.runs]
        if columns and as_json:
            figures.append(suite_json(columns, each))
        elif columns:
            tables = suite_tables(columns, each)
            _show(tables + ([wrong_verdicts(column, wrong) for column in columns] if wrong else []), as_markdown)
        if whole.interrupted:
            break
    if as_json:
        typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
    _finish(whole, engines, messages)


@app.command()
@_plain_errors
def scale(
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    tokenizer: opt.TokenizerPath = None,
    eos: opt.Eos = None,
    family: Annotated[
        list[str] | None, typer.Option("--family", help=f"One of {', '.join(FAMILIES)}; may be given several times.")
    ] = None,
    sizes: Annotated[str, typer.Option("--sizes", help="Sizes to try, with commas.")] = ",".join(map(str, SIZES)),
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Cut longer texts here.")] = 5000,
    out: opt.Out = None,
    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s,
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = opt.LIMITS.memory_gib,
    pin: opt.Pin = "",
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Growth curves on generated schemas: where does each engine bend or break?"""
    messages = opt.message_console()
    engines = opt.engines_of(engine, compare)
    for name in family or []:
        if name not in FAMILIES:
            raise typer.BadParameter(f"there is no family {name!r}; known are: {', '.join(FAMILIES)}")
    try:
        steps = sorted({int(part) for part in sizes.split(",")})
    except ValueError:
        raise typer.BadParameter(f"--sizes takes whole numbers with commas, not {sizes!r}") from None
    pins = opt.pins_of(pin, 1)
    limits = Limits(limit_compile_s, limit_schema_s, limit_mem_gb)
    points: list[Point] = []
    interrupted = False
    curves = run_scale(
        engines,
        opt.tokenizer_of(tokenizer, eos),
        family or list(FAMILIES),
        steps,
        limits,
        max_tokens,
        messages,
        pins[0] if pins else None,
    )
    try:
        for point in curves:
            points.append(point)
            if out:
                write_points(out, points)
    except KeyboardInterrupt:
        interrupted = True
    finally:
        curves.close()
    if as_json:
        typer.echo(json.dumps([point_json(point) for point in points], indent=1))
    else:
        _show(scale_tables(points, engines, steps), as_markdown)
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)


@app.command()
@_plain_errors
def engines() -> None:
    """The engines that are known, and which of them can run here."""
    rows = []
    for name in engine_names():
        try:
            found = make_engine(name)
            rows.append((name, found.version(), found.options()))
        except EngineUnavailable as error:
            rows.append((name, "—", str(error)))
    _show([Table("Engines", ("engine", "version", "options"), rows, text_columns=frozenset({0, 1, 2}))], False)


for _command in (efficiency, quality, report, align, speculate):
    app.command()(_plain_errors(_command))


def _show(tables: Sequence[Table], markdown: bool) -> None:
    show(tables, markdown=markdown, console=opt.output_console(), write=typer.echo)


def _profile(profile: str) -> str:
    if profile not in ("default", "exact"):
        raise typer.BadParameter(f"--profile is default or exact, not {profile!r}")
    return profile


def _baseline(path: Path | None) -> list[Run]:
    if path is None:
        return []
    if not path.exists():
        raise RunProblem(f"there is no baseline {path}")
    runs = read_runs(path)
    if not runs:
        raise RunProblem(f"{path} holds no run that can be read")
    return runs


def _finish(result: Result, engines: Sequence[str], messages: Console) -> None:
    """Say what could not be run, and leave with the exit code that tells it."""
    for name, reason in result.unavailable.items():
        messages.print(f"{name} was not run: {reason}", style="red", markup=False, highlight=False)
    if result.interrupted:
        messages.print("interrupted; what was measured is kept", style="yellow")
        raise typer.Exit(EXIT_INTERRUPTED)
    if result.unavailable:
        raise typer.Exit(EXIT_USAGE if len(result.unavailable) == len(engines) else EXIT_FAILED)


def main() -> None:
    """The console script."""
    app(prog_name="jsonschemabench")
