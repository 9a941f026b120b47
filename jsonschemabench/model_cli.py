"""The commands that run a model: ``efficiency`` and ``quality``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from jsonschemabench import options as opt
from jsonschemabench import quality as reasoning
from jsonschemabench.dataset import DataProblem, load_dataset
from jsonschemabench.efficiency import efficiency_json, efficiency_tables, prompt_for, schema_judge, tasks_of
from jsonschemabench.engines.unconstrained import UNCONSTRAINED
from jsonschemabench.judge import Judge
from jsonschemabench.lane import Limits
from jsonschemabench.model import TransformersModel
from jsonschemabench.running import Result, run_engines
from jsonschemabench.sample import sample_cases
from jsonschemabench.saying import finish, print_figures, say, say_skipped
from jsonschemabench.writing import Task
from jsonschemabench.written import Written
from jsonschemabench.written_plan import fitting, writing_data, writing_plan

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
    data: opt.Data = None,
    sample: opt.Sample = None,
    seed: opt.Seed = 0,
    max_tokens: MaxTokens = 256,
    skip_forced: SkipForced = False,
    unconstrained: Alone = True,
    threads: Threads = 1,
    chat: Chat = False,
    out: opt.Out = None,
    resume: opt.Resume = False,
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
    say_skipped(dataset.damages)
    loaded = TransformersModel(model, num_threads=threads, chat=chat)
    tasks = tasks_of(sample_cases(dataset.cases, sample, seed), loaded, prompt_for(loaded.name))
    about = {"source": dataset.source, "digest": dataset.digest, "sampled": len(tasks), "seed": seed}
    about |= writing_data(loaded, max_tokens, skip_forced)
    limits = Limits(limit_compile_s, limit_schema_s, limit_mem_gb)
    result = _run("efficiency", engines, loaded, tasks, schema_judge(judge), about, limits, out, resume)
    if result.runs:
        print_figures(efficiency_tables(result.runs), efficiency_json(result.runs), as_json, as_markdown)
    finish(result, engines)


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
    resume: opt.Resume = False,
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
    say_skipped(damages)
    loaded = TransformersModel(model, num_threads=threads, chat=chat)
    asked = reasoning.tasks_of(task, questions, shots, loaded, loaded.is_embedded)[:sample]
    about = {"source": data, "digest": reasoning.digest_of(questions), "sampled": len(asked), "shots": shots}
    about |= writing_data(loaded, max_tokens, skip_forced)
    limits = Limits(limit_compile_s, limit_schema_s, limit_mem_gb)
    judged = reasoning.answer_judge(task, questions)
    result = _run(f"quality {task}", engines, loaded, asked, judged, about, limits, out, resume)
    if result.runs:
        table = reasoning.quality_table(task, result.runs)
        print_figures([table], reasoning.quality_json(task, result.runs), as_json, as_markdown)
    finish(result, engines)


def _run(
    command: str,
    engines: Sequence[str],
    model: TransformersModel,
    tasks: Sequence[Task],
    judged: Callable[[Task, Written], Written],
    data: dict[str, Any],
    limits: Limits,
    out: Path | None,
    resume: bool,
) -> Result:
    """Run the engines over the tasks that fit the model. ``data`` has what ``writing_data`` asks for."""
    fit = _fitting(tasks, model, data["max_tokens"])
    plan = writing_plan(command, fit, model, judged, data, limits=limits, out=out, resume=resume)
    result = run_engines(plan, engines, opt.message_console())
    say_skipped((), result)
    return result


def _engines(engine: list[str] | None, compare: str, unconstrained: bool) -> list[str]:
    return [*([UNCONSTRAINED] if unconstrained else []), *opt.engines_of(engine, compare)]


def _fitting(tasks: Sequence[Task], model: TransformersModel, max_tokens: int) -> list[Task]:
    """The tasks that fit the model's context; says how many do not. Raises ``DataProblem`` where none does."""
    fit, too_long = fitting(tasks, model, max_tokens)
    limit = f"{model.context} tokens that {model.name} can read"
    if not fit:
        raise DataProblem(f"no prompt with {max_tokens} tokens of text fits the {limit}; try a smaller --max-tokens")
    if too_long:
        say(f"left out {len(too_long)} of {len(tasks)}: prompt and text do not fit the {limit}")
    return fit
