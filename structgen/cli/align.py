"""`structgen align`: how far masking is from what the model would say, given the grammar."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from structgen.cli.chart import line_chart
from structgen.cli.exits import reports_errors
from structgen.cli.inputs import SCHEMA_HELP, JsonOption, read_schema
from structgen.cli.output import out, print_json, progress


@reports_errors
def align(
    prompt: Annotated[str, typer.Argument(help="The prompt.")] = "",
    schema: Annotated[str | None, typer.Option(help=SCHEMA_HELP)] = None,
    regex: Annotated[str | None, typer.Option(help="A regular expression, instead of a schema.")] = None,
    model: Annotated[str | None, typer.Option(help="A name or folder; else the embedded model.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="The longest text, in tokens.")] = 32,
    budget: Annotated[int, typer.Option(min=1, help="Forward passes for each sampler and seed.")] = 2000,
    temperature: Annotated[float, typer.Option(help="Above 0.")] = 1.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest tokens of this mass.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each sampler.")] = 3,
    sampler: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Write the chart of convergence here, as SVG.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Put the prompt through the model's chat template.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure how far masking is from the model's own law given the schema, and what each sampler makes of it.

    The distance is KL(masking ‖ aligned) in nats: 0 where masking is faithful. Z is the probability that the model,
    left alone, writes a valid text; the effective size says what weighted samples of masking are worth.
    """
    if (schema is None) == (regex is None):
        raise ValueError("give either --schema or --regex")
    with progress("loading"):
        from structgen.compiler import compile_regex, compile_schema
        from structgen.decode.aligned.compare import SAMPLERS, compare
        from structgen.decode.aligned.prompted import prompted

        for name in sampler or ():
            if name not in SAMPLERS:
                raise ValueError(f"there is no sampler {name!r}; known are {', '.join(SAMPLERS)}")
        parsed = None if schema is None else read_schema(schema)
        asked = prompted(prompt, model=model, schema=parsed, chat=chat)
        grammar = compile_regex(regex or "", asked.vocab) if schema is None else compile_schema(parsed, asked.vocab)
    if asked.max_tokens is not None and max_new_tokens > asked.max_tokens:
        raise ValueError(f"the model's context has room for {asked.max_tokens} tokens behind the prompt")
    with progress("sampling"):
        found = compare(
            asked.model,
            grammar,
            max_tokens=max_new_tokens,
            budget=budget,
            seeds=range(seeds),
            samplers=tuple(sampler or SAMPLERS),
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
        )
    if plot is not None:
        plot.write_text(
            line_chart(
                "From the texts so far to the aligned law",
                "forward passes",
                "KL (nats)",
                [(run.name, [(float(x), y) for x, y in run.curve]) for run in found.runs],
            ),
            encoding="utf-8",
        )
    if as_json:
        print_json(_finite(asdict(found)))
        return
    known = "worked out" if found.is_exact else "estimated by CARS"
    log_z = found.log_z
    print(
        f"log Z {log_z.value:.4g} ± {log_z.stderr:.2g} nats, {known}; for certain between {log_z.lower:.4g} and "
        f"{log_z.upper:.4g} ({found.num_texts:,} texts seen in {found.explored:,} forward passes)"
    )
    error = "" if found.is_enumerated else f" ± {found.masking_kl_stderr:.2g}"
    print(f"KL(masking ‖ aligned) {found.masking_kl:.4g}{error} nats")
    print(f"effective size of {found.num_masked} weighted samples of masking: {found.effective_size:.1f}")
    if not math.isnan(found.asap_kl):
        error = "" if found.is_enumerated else f" ± {found.asap_kl_stderr:.2g}"
        print(f"KL(ASAp's next text ‖ aligned) after the budget: {found.asap_kl:.4g}{error} nats")
    if not math.isnan(found.acceptance):
        print(f"CARS' acceptance after the budget: {found.acceptance:.1%}")
    table = Table("sampler", "samples", "passes a sample", "KL of the samples", "own ms a sample", "note")
    for run in found.runs:
        cells = ("–", "–", "–")
        if n := run.num_samples:
            cells = (f"{run.forward_passes / n:.2f}", f"{run.curve[-1][1]:.3g}", f"{1e3 * run.seconds / n:.2f}")
        table.add_row(run.name, f"{n:,}", *cells, run.note)
    out.print(table, markup=False)


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
