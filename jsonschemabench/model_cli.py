"""The commands that run a model: ``efficiency`` and ``quality``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from jsonschemabench import options as opt
from jsonschemabench import quality as reasoning
from jsonschemabench.dataset import Damage, DataProblem, load_dataset
from jsonschemabench.efficiency import efficiency_json, efficiency_tables, prompt_for, schema_judge, tasks_of
from jsonschemabench.engines.unconstrained import UNCONSTRAINED
from jsonschemabench.judge import Judge
from jsonschemabench.lane import Limits
from jsonschemabench.model import TransformersModel
from jsonschemabench.model_runs import ModelPlan, ModelResult, fitting, run_model
from jsonschemabench.sample import sample_cases
from jsonschemabench.table import Table, show
from jsonschemabench.writing import Task

ModelName = Annotated[
    str | None, typer.Option("--model", help="A transformers model: name or folder. Default: structgen's own.")
]
Threads = Annotated[int, typer.Option("--threads", min=1, help="Threads of the model on a CPU.")]
Chat = Annotated[bool, typer.Option("--chat", help="Put the prompt through the tokenizer's chat template.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Cut texts here.")]
SkipForced = Annotated[
    bool, typer.Option("--skip-forced", help="Take a token without alternative without asking the model: same text.")
]
Alone = Annotated[bool, typer.Option("--unconstrained/--no-unconstrained", help="Run the model alone, too.")]
SchemaLimit = Annotated[float, typer.Option("--limit-schema-s", min=0.01, help="Limit for a schema with its text.")]

MODEL_LIMITS = Limits(compile_s=20, schema_s=120, memory_gib=16)
"""The worker's memory is counted with the model in it."""


def efficiency(
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    model: ModelName = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="JSON lines (or gzipped), a MaskBench folder, or owner/name[:config] on the hub."),
    ] = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="So many schemas, stratified by split.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample and of the order.")] = 0,
    max_tokens: MaxTokens = 256,
    skip_forced: SkipForced = False,
    unconstrained: Alone = True,
    threads: Threads = 1,
    chat: Chat = False,
    out: opt.Out = None,
    limit_compile_s: opt.CompileLimit = MODEL_LIMITS.compile_s,
    limit_schema_s: SchemaLimit = MODEL_LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = MODEL_LIMITS.memory_gib,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """With a model: compile time, time to first token, time per token beside the model alone, and valid texts."""
    engines = _engines(engine, compare, unconstrained)
    judge = Judge()
    dataset = load_dataset(data)
    _say_damages(dataset.damages)
    loaded = TransformersModel(model, num_threads=threads, chat=chat)
    tasks = tasks_of(sample_cases(dataset.cases, sample, seed), loaded, prompt_for(loaded.name))
    plan = ModelPlan(
        command="efficiency",
        tasks=_fitting(tasks, loaded, max_tokens),
        data={"source": dataset.source, "digest": dataset.digest, "sampled": len(tasks), "seed": seed},
        model=loaded,
        tokenizer=loaded.tokenizer,
        judge=schema_judge(judge),
        max_tokens=max_tokens,
        skip_forced=skip_forced,
        limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
        out=out,
    )
    result = run_model(plan, engines, opt.message_console())
    if result.runs:
        _print(efficiency_tables(result.runs), efficiency_json(result.runs), as_json, as_markdown)
    _finish(result, engines)


def quality(
    task: Annotated[str, typer.Argument(help=f"One of {', '.join(reasoning.TASKS)}.")],
    data: Annotated[
        str, typer.Option("--data", help="JSON lines of question, answer[, reasoning]; or owner/name[:config].")
    ],
    engine: opt.Engines = None,
    compare: opt.Compare = "",
    model: ModelName = None,
    sample: Annotated[int | None, typer.Option("--sample", min=1, help="The first so many questions.")] = None,
    shots: Annotated[int, typer.Option("--shots", min=0, help="Worked examples in the prompt, from the data.")] = 0,
    max_tokens: MaxTokens = 512,
    skip_forced: SkipForced = False,
    unconstrained: Alone = True,
    threads: Threads = 1,
    chat: Chat = False,
    out: opt.Out = None,
    limit_compile_s: opt.CompileLimit = MODEL_LIMITS.compile_s,
    limit_schema_s: SchemaLimit = MODEL_LIMITS.schema_s,
    limit_mem_gb: opt.MemoryLimit = MODEL_LIMITS.memory_gib,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Right answers with and without constraints, on the three reasoning tasks of the JSONSchemaBench paper."""
    if task not in reasoning.TASKS:
        raise typer.BadParameter(f"there is no task {task!r}; known are: {', '.join(reasoning.TASKS)}")
    engines = _engines(engine, compare, unconstrained)
    questions, damages = reasoning.load_questions(task, data)
    _say_damages(damages)
    loaded = TransformersModel(model, num_threads=threads, chat=chat)
    asked = reasoning.tasks_of(task, questions, shots, loaded, loaded.is_embedded)[:sample]
    plan = ModelPlan(
        command=f"quality {task}",
        tasks=_fitting(asked, loaded, max_tokens),
        data={"source": data, "digest": f"{task}/{len(questions)}", "sampled": len(asked), "shots": shots},
        model=loaded,
        tokenizer=loaded.tokenizer,
        judge=reasoning.answer_judge(task, questions),
        max_tokens=max_tokens,
        skip_forced=skip_forced,
        limits=Limits(limit_compile_s, limit_schema_s, limit_mem_gb),
        out=out,
    )
    result = run_model(plan, engines, opt.message_console())
    if result.runs:
        figures = reasoning.quality_json(task, result.runs)
        _print([reasoning.quality_table(task, result.runs)], figures, as_json, as_markdown)
    _finish(result, engines)


def _engines(engine: list[str] | None, compare: str, unconstrained: bool) -> list[str]:
    return [*([UNCONSTRAINED] if unconstrained else []), *opt.engines_of(engine, compare)]


def _say(text: str, style: str) -> None:
    opt.message_console().print(text, style=style, markup=False, highlight=False)


def _say_damages(damages: Sequence[Damage]) -> None:
    for damage in damages:
        _say(f"skipped {damage.where}: {damage.reason}", "yellow")


def _fitting(tasks: Sequence[Task], model: TransformersModel, max_tokens: int) -> list[Task]:
    """The tasks that fit the model's context; says how many do not. Raises ``DataProblem`` where none does."""
    fit, too_long = fitting(tasks, model, max_tokens)
    limit = f"{model.context} tokens that {model.name} can read"
    if not fit:
        raise DataProblem(f"no prompt with {max_tokens} tokens of text fits the {limit}; try a smaller --max-tokens")
    if too_long:
        _say(f"left out {len(too_long)} of {len(tasks)}: prompt and text do not fit the {limit}", "yellow")
    return fit


def _print(tables: Sequence[Table], figures: dict[str, Any], as_json: bool, as_markdown: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures, indent=1, ensure_ascii=False))
    else:
        show(tables, markdown=as_markdown, console=opt.output_console(), write=typer.echo)


def _finish(result: ModelResult, engines: Sequence[str]) -> None:
    for name, reason in result.unavailable.items():
        _say(f"{name} was not run: {reason}", "red")
    if result.interrupted:
        _say("interrupted; what was measured is kept", "yellow")
        raise typer.Exit(130)
    if result.unavailable:
        raise typer.Exit(2 if len(result.unavailable) == len(engines) else 1)
