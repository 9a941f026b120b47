"""``jsonschemabench align``: how near samplers come to the model's own law given a grammar, and at what cost.

Tasks have the form of those of the Grammar-Aligned Decoding paper: string transformations and bit-vector programs as in
SyGuS, and constituency parses, with small grammars written for this project; and schemas of a data set. The truth is
worked out where the budget allows, else log Z is estimated by CARS. What is measured is a table, a row a task.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from jsonschemabench import options as opt
from jsonschemabench.dataset import load_dataset
from jsonschemabench.sample import sample_cases
from jsonschemabench.table import Table, show


@dataclass(frozen=True)
class AlignTask:
    """A prompt and what its answer must be: a Lark grammar, or a JSON Schema."""

    name: str
    prompt: str
    max_tokens: int
    grammar: str | None = None
    schema: Any = None


STRINGS = r"""
start: string
string: NAME | LITERAL | "(str.++ " string " " string ")" | "(str.at " string " " number ")"
    | "(str.substr " string " " number " " number ")"
number: DIGIT | "(str.len " string ")" | "(+ " number " " number ")"
NAME: "name"
LITERAL: "\" \"" | "\".\"" | "\"-\""
DIGIT: /[0-3]/
"""
"""Programs over strings, as in the SLIA track of SyGuS."""

BITS = r"""
start: vector
vector: NAME | CONSTANT | "(bvnot " vector ")" | "(bvneg " vector ")" | "(bvand " vector " " vector ")"
    | "(bvor " vector " " vector ")" | "(bvadd " vector " " vector ")" | "(bvlshr " vector " " vector ")"
NAME: "s" | "t"
CONSTANT: "#x0" | "#x7" | "#x8" | "#xf"
"""
"""Programs over vectors of four bits, as in the invertibility conditions of INV-BV4."""

PARSES = r"""
start: sentence
sentence: "(S " noun " " verb ")"
noun: "(NP (DT " DETERMINER ") (NN " NOUN "))" | "(NP (NNP " PERSON "))"
verb: "(VP (VBZ " VERB "))" | "(VP (VBZ " VERB ") " noun ")" | "(VP (VBZ " VERB ") (PP (IN " PLACE ") " noun "))"
DETERMINER: "the" | "a"
NOUN: "cat" | "dog" | "house"
PERSON: "Ann" | "Tom"
VERB: "sees" | "sleeps" | "waits"
PLACE: "in" | "with"
"""
"""Constituency parses of small sentences, as in the CP task."""

TASKS = (
    AlignTask("strings", "Write a program that gives the initials of name:\n", 12, grammar=STRINGS),
    AlignTask("bit vectors", "Write t such that (bvand s t) = s:\n", 12, grammar=BITS),
    AlignTask("parses", 'Parse "the cat sees Tom":\n', 40, grammar=PARSES),
)


def align(
    data: Annotated[
        str | None,
        typer.Option("--data", help="JSON lines (or gzipped), a MaskBench folder, or owner/name[:config] on the hub."),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", min=0, help="So many schemas of the data beside the tasks.")] = 4,
    model: Annotated[
        str | None, typer.Option("--model", help="A transformers model; default: structgen's own.")
    ] = None,
    budget: Annotated[int, typer.Option("--budget", min=1, help="Forward passes for each sampler and seed.")] = 500,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Runs of each sampler.")] = 2,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest text for schemas.")] = 24,
    seed: Annotated[int, typer.Option("--seed", help="Of the sample of schemas.")] = 0,
    nearer: Annotated[
        int,
        typer.Option(
            "--nearer",
            min=0,
            help="Instead: forward passes to a tenth of masking's distance, for so many schemas that can be listed.",
        ),
    ] = 0,
    nearer_drawn: Annotated[
        int, typer.Option("--nearer-drawn", min=0, help="And for so many that cannot, by draws.")
    ] = 0,
    list_budget: Annotated[int, typer.Option("--list-budget", min=1, help="Passes for listing a language.")] = 2500,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Samplers beside masking: KL to the model's law given the grammar, passes per sample, samples per second."""
    from structgen import StructgenError

    messages = opt.message_console()
    if nearer or nearer_drawn:
        from jsonschemabench import nearer as nearer_

        options = nearer_.Options(max_tokens=max_tokens, list_budget=list_budget, budget=budget, seeds=range(seeds))

        def say(line: str) -> None:
            messages.print(line, style="dim", markup=False, highlight=False)

        found, left_out = nearer_.collect(data, nearer, nearer_drawn, model, options, say)
        if as_json:
            typer.echo(json.dumps({"schemas": [asdict(each) for each in found], "left_out": left_out}, indent=1))
        else:
            drawn = nearer_.tables(found, left_out)
            show(drawn, markdown=as_markdown, console=opt.output_console(), write=typer.echo)
        return
    chosen = [*TASKS, *schema_tasks(data, sample, seed, max_tokens)]
    done = []
    for task in chosen:
        try:
            done.append((task, measure(task, model, budget, range(seeds))))
        except StructgenError as refused:
            messages.print(f"{task.name}: {refused}", style="yellow", markup=False, highlight=False)
    if as_json:
        compared = [{"task": task.name, **asdict(comparison)} for task, comparison in done]
        typer.echo(json.dumps(_finite(compared), indent=1, ensure_ascii=False))
    else:
        show(tables(done), markdown=as_markdown, console=opt.output_console(), write=typer.echo)


def schema_tasks(data: str | None, sample: int, seed: int, max_tokens: int) -> Iterator[AlignTask]:
    """Schemas of a data set, the sample's."""
    if sample:
        for case in sample_cases(load_dataset(data).cases, sample, seed):
            yield AlignTask(case.id, "", max_tokens, schema=case.schema)


def measure(task: AlignTask, model: str | None, budget: int, seeds: Sequence[int]) -> Any:
    """The comparison of all samplers on a task."""
    import structgen

    asked = structgen.aligned.prompted(task.prompt, model=model, schema=task.schema)
    if task.grammar is not None:
        grammar = structgen.compile_grammar(task.grammar, asked.vocab, lexer="dynamic")
    else:
        grammar = structgen.compile_schema(task.schema, asked.vocab)
    room = task.max_tokens if asked.max_tokens is None else min(task.max_tokens, asked.max_tokens)
    if room < 1:
        raise structgen.StructgenError("the prompt fills the model's context", advice="leave this schema out")
    return structgen.aligned.compare(
        asked.model, grammar, max_tokens=room, budget=budget, num_masked=100, seeds=seeds, explore_budget=4 * budget
    )


def tables(done: Sequence[tuple[AlignTask, Any]]) -> list[Table]:
    """Two tables: how far masking is off, and what each sampler gives."""
    off, runs = [], []
    for task, found in done:
        error = "" if found.is_enumerated else f" ± {found.masking_kl_stderr:.2g}"
        asap_error = "" if found.is_enumerated else f" ± {found.asap_kl_stderr:.2g}"
        off.append(
            (
                task.name,
                f"{found.log_z.value:.3f}" + ("" if found.is_exact else f" ± {found.log_z.stderr:.2g}"),
                "all texts" if found.is_enumerated else "yes" if found.is_exact else "no",
                f"{found.masking_kl:.3g}{error}",
                "–" if math.isnan(found.asap_kl) else f"{found.asap_kl:.3g}{asap_error}",
                f"{found.acceptance:.1%}",
                f"{found.effective_size:.1f} of {found.num_masked}",
            )
        )
        for run in found.runs:
            n = run.num_samples
            cells = ("–", "–", "–")
            if n:
                passes, rate = f"{run.forward_passes / n:.2f}", f"{n / max(run.seconds, 1e-9):,.0f}"
                cells = (f"{run.curve[-1][1]:.3g}", passes, rate)
            runs.append((task.name, run.name, f"{n:,}", *cells, run.note))
    return [
        Table(
            "Masking beside the aligned law",
            ("task", "log Z", "worked out", "KL masking", "KL ASAp's next", "CARS accepts", "effective size"),
            off,
            note="KL in nats, to the model's law given the grammar; ASAp and CARS after the budget.",
        ),
        Table(
            "Samplers",
            ("task", "sampler", "samples", "KL of samples", "passes a sample", "samples a second", "note"),
            runs,
            note="KL of the weighted samples; n exact draws are about (texts - 1) / 2n away. The model's rows are "
            "recorded, so its time is not counted.",
            text_columns=frozenset({0, 1, 6}),
        ),
    ]


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
