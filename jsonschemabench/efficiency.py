"""``efficiency``: what engines cost where a model runs, and what the texts are worth. Tasks, judging and tables."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from jsonschemabench.case import Case
from jsonschemabench.engines.unconstrained import UNCONSTRAINED
from jsonschemabench.judge import Judge
from jsonschemabench.model import EMBEDDED_NAME, Model
from jsonschemabench.record import REFUSED
from jsonschemabench.runfile import about
from jsonschemabench.table import Table, microseconds, number, ratio
from jsonschemabench.times import Times, nearest_rank
from jsonschemabench.writing import Task
from jsonschemabench.written import Written, WrittenRun, common_ids

PLAIN_PROMPT = "Write one JSON value that is valid against this JSON Schema, and nothing else.\nSchema: {schema}\nJSON:"


def prompt_for(model_name: str) -> Callable[[Any], str]:
    """The prompt for a schema: the embedded model has one that it was trained on."""
    from structgen.embedded import compact_json, format_prompt

    if model_name == EMBEDDED_NAME:
        return format_prompt
    return lambda schema: PLAIN_PROMPT.replace("{schema}", compact_json(schema))


def tasks_of(cases: Sequence[Case], model: Model, prompt: Callable[[Any], str]) -> list[Task]:
    """A text for every schema; the instances of a case are not used."""
    return [Task(case.id, case.split, case.schema, tuple(model.encode(prompt(case.schema)))) for case in cases]


def schema_judge(judge: Judge) -> Callable[[Task, Written], Written]:
    """Judges a whole text by its schema. One that was cut is judged like any other."""

    def judged(task: Task, text: Written) -> Written:
        verdict = judge.judge(task.schema, text.text.encode(errors="surrogateescape"))
        return dataclasses.replace(text, is_json=verdict.is_json, valid=verdict.valid, error=verdict.error)

    return judged


# --- figures --------------------------------------------------------------------------------------------------------


def percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else math.nan


def figures(texts: Sequence[Written]) -> dict[str, float]:
    """The figures of an engine: counts, times in µs, shares in percent."""
    done = [text for text in texts if text.done]
    judged = [text for text in done if text.valid is not None]
    complete = [text for text in judged if text.complete]
    num_tokens, num_passes = (sum(getattr(text, name) for text in done) for name in ("num_tokens", "num_passes"))
    steps = Times.of(text.step_ns for text in done)
    engine = Times.of(text.engine_ns for text in done)
    return {
        "schemas": len(texts),
        "refused": sum(text.ended == REFUSED for text in texts),
        "timeout, crash, memory": sum(not text.done and text.ended != REFUSED for text in texts),
        "texts": len(done),
        "tokens": num_tokens,
        **_spread("compile", [text.compile_ns for text in done]),
        **_spread("time to first token", [text.ttft_ns for text in done]),
        "time per later token µs, mean": steps.mean_us,
        "time per later token µs, p50": steps.percentiles_us[1],
        "time per later token µs, p99": steps.percentiles_us[5],
        "— of it the engine's (mask, commit), mean": engine.mean_us,
        "— of it the engine's (mask, commit), p50": engine.percentiles_us[1],
        "— of it the engine's (mask, commit), p99": engine.percentiles_us[5],
        "tokens per forward pass": num_tokens / num_passes if num_passes else math.nan,
        "tokens without alternative %": percent(sum(text.num_forced for text in done), num_tokens),
        "ended %": percent(sum(text.complete for text in done), len(done)),
        "truncated %": percent(sum(text.truncated for text in done), len(done)),
        "stuck %": percent(sum(text.stuck for text in done), len(done)),
        "strict JSON %": percent(sum(bool(text.is_json) for text in done), len(done)),
        "valid %": percent(sum(bool(text.valid) for text in judged), len(judged)),
        "valid % of those that ended": percent(sum(bool(text.valid) for text in complete), len(complete)),
        "not judged": len(done) - len(judged),
    }


def _spread(name: str, times_ns: Sequence[int | None]) -> dict[str, float]:
    known = sorted(time for time in times_ns if time is not None)
    middle, late = (
        (known[nearest_rank(len(known), each)] / 1000 for each in (50, 99)) if known else (math.nan, math.nan)
    )
    return {f"{name} µs, p50": middle, f"{name} µs, p99": late}


def efficiency_tables(runs: Sequence[WrittenRun]) -> list[Table]:
    """The figures of each engine, and the ratios to the model alone on the schemas for which all wrote a text."""
    tables = [_figures_table("A model under each engine", runs, None, _about(runs))]
    if len(runs) > 1:
        common = common_ids(runs)
        title = f"The {len(common):,} schemas for which all wrote a text"
        if any(len(run.rows) > len(common) for run in runs):
            tables.append(_figures_table(title, runs, common, "What an engine refuses does not count here."))
        if (alone := _alone(runs)) is not None:
            tables.append(_ratio_table(runs, alone, common))
    wrong = [row for run in runs if run.header.engine != UNCONSTRAINED for row in _invalid(run)]
    if wrong:
        note = "The engine let the model end a text that its schema's validator, with formats, does not take."
        columns = ("engine", "schema", "why", "text")
        tables.append(Table("Texts that ended and are not valid", columns, wrong[:50], note, frozenset(range(4))))
    return tables


def _about(runs: Sequence[WrittenRun]) -> str:
    data = runs[0].header.data
    lines = about(run.header for run in runs)
    skip = ", tokens without alternative skip the model" if data.get("skip_forced") else ""
    lines.append(f"Model {data['model']}, greedy, at most {data['max_tokens']} tokens a text{skip}.")
    lines.append("A step is mask + forward pass + choice + commit; the time to the first token has the compile in it.")
    return "\n".join(lines)


def _figures_table(title: str, runs: Sequence[WrittenRun], ids: frozenset[str] | None, note: str = "") -> Table:
    each = [figures([text for text in run.rows if ids is None or text.id in ids]) for run in runs]
    rows = [(name, *(_cell(name, part[name]) for part in each)) for name in each[0]]
    return Table(title, ("metric", *(run.header.engine for run in runs)), rows, note)


def _cell(name: str, value: float) -> str:
    if "µs" in name or name.startswith("—"):
        return microseconds(value)
    if "%" in name:
        return "—" if math.isnan(value) else f"{value:.1f}"
    return f"{value:.2f}" if name == "tokens per forward pass" else number(value)


def _alone(runs: Sequence[WrittenRun]) -> WrittenRun | None:
    return next((run for run in runs if run.header.engine == UNCONSTRAINED), None)


def _ratio_table(runs: Sequence[WrittenRun], alone: WrittenRun, ids: frozenset[str]) -> Table:
    base = figures([text for text in alone.rows if text.id in ids])
    others = [run for run in runs if run is not alone]
    each = [figures([text for text in run.rows if text.id in ids]) for run in others]
    names = [name for name in base if "token µs" in name]
    rows = [(name, microseconds(base[name]), *(ratio(part[name], base[name]) for part in each)) for name in names]
    return Table(
        f"Times on these {len(ids):,} schemas ÷ times of the model alone",
        ("metric", "alone µs", *(run.header.engine for run in others)),
        rows,
        "1.00× costs nothing. Texts differ from engine to engine, and a longer one has a longer past to attend to.",
    )


def _invalid(run: WrittenRun) -> list[tuple[str, str, str, str]]:
    return [
        (run.header.engine, text.id, text.error, text.text[:80])
        for text in run.rows
        if text.complete and text.valid is False
    ]


def efficiency_json(runs: Sequence[WrittenRun]) -> dict[str, Any]:
    """The figures for machines, unrounded. At least one run."""
    ids = common_ids(runs)
    header = runs[0].header
    shared = ("command", "tokenizer", "data", "limits", "machine", "started")
    engines = {
        run.header.engine: {
            "version": run.header.version,
            "options": run.header.options,
            "setup": run.header.setup,
            "all": _plain(figures(run.rows)),
            "common": _plain(figures([text for text in run.rows if text.id in ids])),
        }
        for run in runs
    }
    return {**{name: getattr(header, name) for name in shared}, "engines": engines}


def _plain(named: dict[str, float]) -> dict[str, float | None]:
    return {name.removeprefix("— "): None if math.isnan(value) else value for name, value in named.items()}
