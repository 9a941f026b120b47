"""The commands that need no model: ``masks``, ``suite``, ``scale`` and ``memory``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from jsonschemabench import memory as residency
from jsonschemabench import options as opt
from jsonschemabench.case import Case
from jsonschemabench.comparison import Column, columns_of, comparison_json, mask_tables
from jsonschemabench.dataset import Dataset, load_dataset
from jsonschemabench.engines import Settings
from jsonschemabench.lane import Limits
from jsonschemabench.record import RECORDS, MaskRun
from jsonschemabench.runfile import read_runs
from jsonschemabench.running import Plan, Result, RunProblem, run_engines
from jsonschemabench.sample import sample_cases
from jsonschemabench.saying import finish, print_figures, say_skipped
from jsonschemabench.scale import SIZES, broke_before, probe, probes_of, scale_json, scale_tables
from jsonschemabench.scale_families import FAMILIES
from jsonschemabench.suite_source import load_suite
from jsonschemabench.suite_table import suite_json, suite_tables, wrong_verdicts


def masks(
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    tokenizer: opt.TokenizerPath = None,
    eos: opt.Eos = None,
    data: opt.Data = None,
    sample: opt.Sample = None,
    seed: opt.Seed = 0,
    without: opt.Without = None,
    out: opt.Out = None,
    resume: opt.Resume = False,
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="An earlier --out, to be shown beside and compared with.")
    ] = None,
    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s,
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = opt.LIMITS.memory_gib,
    pin: opt.Pin = "",
    jobs: opt.Jobs = None,
    ray: opt.Ray = None,
    profile: opt.Profile = "default",
    slowest: Annotated[int, typer.Option("--slowest", min=0, help="List so many slowest masks an engine.")] = 0,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Time to the first mask, time of every later mask, and right and wrong verdicts, without a model."""
    engines = opt.engines_of(engine, compare)
    earlier = _baseline(baseline)
    dataset = load_dataset(data)
    say_skipped(dataset.damages)
    cases = _chosen(dataset, without, sample, seed)
    plan = Plan(
        command="masks",
        tasks=cases,
        data=_about(dataset, len(cases), seed),
        tokenizer=opt.tokenizer_of(tokenizer, eos),
        limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
        settings=Settings(profile=opt.profile_of(profile)),
        out=out,
        resume=resume,
        **opt.workers_of(pin, jobs, ray),
    )
    result = run_engines(plan, engines, opt.message_console())
    say_skipped((), result)
    if result.runs:
        columns = columns_of(result.runs, earlier)
        print_figures(mask_tables(columns, slowest), comparison_json(columns, slowest), as_json, as_markdown)
    finish(result, engines)


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
    jobs: opt.Jobs = None,
    ray: opt.Ray = None,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """The official JSON Schema Test Suite: what compiles, and which verdicts are right, by keyword."""
    engines = opt.engines_of(engine, compare)
    chosen = opt.tokenizer_of(tokenizer, eos)
    figures: list[dict[str, Any]] = []
    whole = Result()
    for each in draft or ["4", "7", "2020-12"]:
        tests = load_suite(source, each, optional=optional, formats=formats)
        plan = Plan(
            command=f"suite draft {each}",
            tasks=tests.cases,
            data={"source": source.name, "digest": tests.digest, "groups": len(tests.cases)},
            tokenizer=chosen,
            limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
            settings=Settings(profile=opt.profile_of(profile), registry=tests.remotes if remotes else {}),
            out=out / f"draft{each}" if out else None,
            resume=resume,
            **opt.workers_of(pin, jobs, ray),
        )
        result = run_engines(plan, [name for name in engines if name not in whole.unavailable], opt.message_console())
        say_skipped((), result)
        whole.unavailable.update(result.unavailable)
        whole.interrupted = result.interrupted
        columns = [Column(run.header.engine, run) for run in result.runs]
        if columns and as_json:
            figures.append(suite_json(columns, each))
        elif columns:
            shown = suite_tables(columns, each) + (
                [wrong_verdicts(column, wrong) for column in columns] if wrong else []
            )
            print_figures(shown, None, False, as_markdown)
        if whole.interrupted:
            break
    if as_json:
        print_figures([], figures, True, False)
    finish(whole, engines)


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
    resume: opt.Resume = False,
    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s,
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = opt.LIMITS.memory_gib,
    pin: opt.Pin = "",
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Growth curves on generated schemas: where does each engine bend or break?"""
    engines = opt.engines_of(engine, compare)
    for name in family or []:
        if name not in FAMILIES:
            raise typer.BadParameter(f"there is no family {name!r}; known are: {', '.join(FAMILIES)}")
    try:
        steps = sorted({int(part) for part in sizes.split(",")})
    except ValueError:
        raise typer.BadParameter(f"--sizes takes whole numbers with commas, not {sizes!r}") from None
    if steps[0] < 1:
        raise typer.BadParameter("--sizes are from 1 on")
    plan = Plan(
        command="scale",
        tasks=probes_of(family or list(FAMILIES), steps, max_tokens),
        data={"source": "generated", "digest": "families 1", "max_tokens": max_tokens},
        tokenizer=opt.tokenizer_of(tokenizer, eos),
        limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
        out=out,
        resume=resume,
        job=probe,
        skip=broke_before,
        **opt.workers_of(pin, 1, None),
    )
    result = run_engines(plan, engines, opt.message_console())
    say_skipped((), result)
    if result.runs:
        print_figures(scale_tables(result.runs), scale_json(result.runs), as_json, as_markdown)
    finish(result, engines)


def memory(
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    tokenizer: opt.TokenizerPath = None,
    eos: opt.Eos = None,
    data: opt.Data = None,
    sample: opt.Sample = None,
    seed: opt.Seed = 0,
    without: opt.Without = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Hold every compiled schema to the end, as a server's cache may.")
    ] = False,
    out: opt.Out = None,
    limit_compile_s: opt.CompileLimit = opt.LIMITS.compile_s,
    limit_schema_s: opt.SchemaLimit = opt.LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = 16.0,
    profile: opt.Profile = "default",
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """What one process holds after it has compiled and run every schema, and how much of that is each schema's."""
    engines = opt.engines_of(engine, compare)
    dataset = load_dataset(data)
    say_skipped(dataset.damages)
    cases = _chosen(dataset, without, sample, seed)
    plan = Plan(
        command="memory",
        tasks=cases,
        data={**_about(dataset, len(cases), seed), "keep": keep},
        tokenizer=opt.tokenizer_of(tokenizer, eos),
        limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
        settings=Settings(profile=opt.profile_of(profile)),
        out=out,
        job=residency.Holding() if keep else Plan.job,
    )
    result = run_engines(plan, engines, opt.message_console())
    if result.runs:
        print_figures(residency.memory_tables(result.runs), residency.memory_json(result.runs), as_json, as_markdown)
    finish(result, engines)


def _chosen(dataset: Dataset, without: list[str] | None, sample: int | None, seed: int) -> list[Case]:
    """The sample, without some that would be in it, so that it is otherwise the same."""
    unknown = set(without or ()) - {case.id for case in dataset.cases}
    if unknown:
        raise typer.BadParameter(f"--without: the data has no {', '.join(sorted(unknown))}")
    return [case for case in sample_cases(dataset.cases, sample, seed) if case.id not in (without or ())]


def _about(dataset: Dataset, num_sampled: int, seed: int) -> dict[str, Any]:
    return {
        "source": dataset.source,
        "digest": dataset.digest,
        "schemas": len(dataset.cases),
        "sampled": num_sampled,
        "seed": seed,
        "skipped": len(dataset.damages),
    }


def _baseline(path: Path | None) -> list[MaskRun]:
    if path is None:
        return []
    if not path.exists():
        raise RunProblem(f"there is no baseline {path}")
    runs = read_runs(path, RECORDS)
    if not runs:
        raise RunProblem(f"{path} holds no run that can be read")
    return runs
