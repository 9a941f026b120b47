"""``speculate``: what drafts are worth, drafter by drafter, with the grammar and without.

Every drafter writes a text for every schema, with structgen's own target and draft model, in three ways:

- **told**: the text is constrained, and the drafter knows the grammar;
- **untold**: the text is constrained, and the drafter does not know it, as in stacks where the mask comes after;
- **free**: nothing is constrained.

Texts are greedy; told and untold texts are compared with those of decoding without drafts. All ways of one schema are
run one after the other, so that a busy machine disturbs them alike.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from jsonschemabench import options as opt
from jsonschemabench.table import Table, show

Way = Literal["told", "untold", "free"]
WAYS: tuple[Way, ...] = ("told", "untold", "free")
PLAIN = "none"
ANYTHING = r"[\s\S]*"


class SpeculateProblem(Exception):
    """A run that cannot be made, and why."""


@dataclass
class Tally:
    """Sums over texts. ``seconds`` is from the first forward pass to the last token, compilation left out.

    ``plain_tokens`` and ``plain_seconds`` are of the same texts without drafts: a drafter may have been given fewer
    schemas than others.
    """

    texts: int = 0
    same: int = 0
    tokens: int = 0
    passes: int = 0
    drafted: int = 0
    accepted: int = 0
    seconds: float = 0.0
    forward_s: float = 0.0
    plain_tokens: int = 0
    plain_seconds: float = 0.0

    def add(self, result: Any, plain: Any) -> None:
        stats = result.stats
        self.texts += 1
        self.same += list(result.token_ids) == list(plain.token_ids)
        self.plain_tokens += plain.stats.num_tokens
        self.plain_seconds += plain.stats.total_s - plain.stats.compile_s
        self.tokens += stats.num_tokens
        self.passes += stats.num_forward_passes
        self.drafted += stats.num_draft_tokens
        self.accepted += stats.num_accepted_tokens
        self.seconds += stats.total_s - stats.compile_s
        self.forward_s += stats.forward_s

    @property
    def accepted_per_pass(self) -> float:
        return self.accepted / max(self.passes, 1)

    @property
    def ms_per_token(self) -> float:
        return 1e3 * self.seconds / max(self.tokens, 1)

    @property
    def speedup(self) -> float:
        """Time a token without drafts, over that with them."""
        plain = 1e3 * self.plain_seconds / max(self.plain_tokens, 1)
        return plain / self.ms_per_token if self.ms_per_token else 1.0


@dataclass
class Figures:
    """All tallies by (drafter, way), and how many schemas they are of."""

    num_schemas: int = 0
    num_skipped: int = 0
    tallies: dict[tuple[str, Way], Tally] = field(default_factory=dict)

    def tally(self, drafter: str, way: Way) -> Tally:
        return self.tallies.setdefault((drafter, way), Tally())

    def as_json(self) -> dict[str, Any]:
        return {
            "schemas": self.num_schemas,
            "skipped": self.num_skipped,
            "runs": [
                {"drafter": drafter, "way": way, **vars(tally), "accepted_per_pass": tally.accepted_per_pass}
                for (drafter, way), tally in self.tallies.items()
            ],
        }


def drafters() -> dict[str, Callable[[], Any]]:
    """Every drafter by name; each call makes a fresh one."""
    import torch
    from transformers import AutoModelForCausalLM

    from structgen import embedded
    from structgen.decode.speculation import (
        ConstantBranching,
        Copy,
        DraftModel,
        Forced,
        HeadDrafter,
        LayerSkip,
        Mixed,
        Outline,
        StochasticBeam,
        TokenRecycling,
        Trigram,
        load_head,
    )

    def load(path: Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    draft, target = load(embedded.draft_path()), load(embedded.model_path())
    return {
        "forced": Forced,
        "outline": Outline,
        "copy": Copy,
        "recycling": TokenRecycling,
        "trigram": Trigram,
        "mixed": lambda: Mixed([Forced(), Outline(), Copy(), TokenRecycling(), Trigram()]),
        "draft-model": lambda: DraftModel(draft),
        "rsd-c": lambda: ConstantBranching(draft),
        "rsd-s": lambda: StochasticBeam(draft),
        "layer-skip": lambda: LayerSkip(target),
        "head": lambda: HeadDrafter(target, load_head(embedded.head_path(), target)),
        "mixed+model": lambda: Mixed([Forced(), Outline(), Copy(), TokenRecycling(), Trigram(), DraftModel(draft)]),
    }


def held_out_schemas(path: Path, *, max_prompt_tokens: int) -> Iterator[tuple[str, Any]]:
    """(id, schema) of the schemas that structgen's own models were not trained on and whose prompts fit."""
    from transformers import AutoTokenizer

    from structgen import embedded
    from structgen.embedded import data

    tokenizer = AutoTokenizer.from_pretrained(embedded.tokenizer_path())
    for row in data.split_rows(data.read_rows(path))[1]:
        prompt = embedded.format_prompt(row["schema"])
        if len(prompt) < 16 * max_prompt_tokens and len(tokenizer(prompt)["input_ids"]) <= max_prompt_tokens:
            yield row["id"], row["schema"]


def measure(
    schemas: Sequence[tuple[str, Any]],
    makers: dict[str, Callable[[], Any]],
    *,
    ways: Sequence[Way] = WAYS,
    max_tokens: int = 96,
    num_nodes: int = 32,
    deadline_s: float | None = None,
    each_s: float | None = None,
    said: Callable[[Figures], None] = lambda figures: None,
) -> Figures:
    """Run every drafter in every way over the schemas; stops after ``deadline_s`` seconds with what it has.

    A drafter that has used ``each_s`` seconds of processor time gets no further schemas; all its ways have the same.
    """
    import structgen
    from structgen import embedded
    from structgen.decode.speculation import Fixed, Plan

    figures = Figures()
    plans = {
        (name, way): Plan(make(), Fixed(num_nodes), constrain=way == "told")
        for name, make in makers.items()
        for way in ways
    }
    used_s = dict.fromkeys(makers, 0.0)
    started = time.perf_counter()
    for _, schema in schemas:
        going = {(name, way): plan for (name, way), plan in plans.items() if each_s is None or used_s[name] < each_s}
        if not going:
            break
        if deadline_s is not None and time.perf_counter() - started > deadline_s:
            break

        def write(way: Way, plan: Any, schema: Any = schema) -> Any:
            common: dict[str, Any] = {"max_new_tokens": max_tokens, "return_result": True, "speculate": plan}
            if way == "free":
                return structgen.generate(embedded.format_prompt(schema), regex=ANYTHING, **common)
            return structgen.generate("", schema=schema, **common)

        try:
            write("told", None)  # compiles the grammar and fills its masks
            plain = {
                way: write(way, None) for way in dict.fromkeys("free" if way == "free" else "told" for way in ways)
            }
        except structgen.StructgenError:
            figures.num_skipped += 1
            continue
        for way, result in plain.items():
            figures.tally(PLAIN, way).add(result, result)
        for (name, way), plan in going.items():
            before = time.process_time()
            result = write(way, plan)
            used_s[name] += time.process_time() - before
            figures.tally(name, way).add(result, plain["free" if way == "free" else "told"])
        figures.num_schemas += 1
        said(figures)
    return figures


def tables(figures: Figures) -> list[Table]:
    """Acceptance and time, a row for each drafter and way."""
    rows = []
    for (drafter, way), tally in figures.tallies.items():
        rows.append(
            (
                drafter,
                way,
                f"{tally.accepted_per_pass:.2f}",
                f"{tally.tokens / max(tally.passes, 1):.2f}",
                f"{tally.accepted / max(tally.tokens, 1):.0%}",
                f"{tally.accepted / max(tally.drafted, 1):.0%}",
                f"{tally.ms_per_token:.1f}",
                f"{tally.speedup:.2f}",
                f"{tally.same}/{tally.texts}",
            )
        )
    columns = (
        "drafter", "way", "accepted/pass", "tokens/pass", "of the tokens", "of the drafts", "ms/token", "speed-up",
        "same",
    )  # fmt: skip
    note = (
        f"{figures.num_schemas} held-out schemas, greedy; {figures.num_skipped} skipped (refused, or too long). "
        "The last column: how many texts are those without drafts, of how many that were written."
    )
    return [Table("Speculation", columns, rows, note=note, text_columns=frozenset({0, 1}))]


def speculate(
    data: Annotated[Path, typer.Option("--data", help="maskbench.jsonl.gz; its held-out part is used.")],
    drafter: Annotated[
        list[str] | None, typer.Option("--drafter", help="A drafter; may be given several times. Default: all.")
    ] = None,
    way: Annotated[list[str] | None, typer.Option("--way", help="told, untold or free. Default: all three.")] = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="At most so many schemas.")] = 200,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Cut texts here.")] = 96,
    nodes: Annotated[int, typer.Option("--nodes", min=1, help="Nodes of a tree at most.")] = 32,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", min=1, help="Longer prompts are left out.")] = 512,
    each_s: Annotated[
        float | None,
        typer.Option("--each-s", min=1, help="A drafter gets no more schemas after so many seconds of processor time."),
    ] = None,
    limit_s: Annotated[float | None, typer.Option("--limit-s", min=1, help="Stop after so many seconds.")] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the models.")] = 1,
    as_json: opt.AsJson = False,
    as_markdown: opt.AsMarkdown = False,
) -> None:
    """Accepted tokens per pass and time per token of every drafter, with the grammar and without."""
    import torch

    torch.set_num_threads(threads)
    if not data.is_file():
        raise SpeculateProblem(f"there is no file {data}")
    makers = drafters()
    for name in drafter or ():
        if name not in makers:
            raise typer.BadParameter(f"there is no drafter {name!r}; known are: {', '.join(makers)}")
    for name in way or ():
        if name not in WAYS:
            raise typer.BadParameter(f"there is no way {name!r}; known are: {', '.join(WAYS)}")
    chosen = {name: make for name, make in makers.items() if not drafter or name in drafter}
    schemas = list(held_out_schemas(data, max_prompt_tokens=prompt_tokens))[:sample]
    messages = opt.message_console()

    def said(figures: Figures) -> None:
        if figures.num_schemas % 20 == 0:
            messages.print(f"{figures.num_schemas} of {len(schemas)} schemas", style="dim")

    figures = measure(
        schemas,
        chosen,
        ways=[each for each in WAYS if not way or each in way],
        max_tokens=max_tokens,
        num_nodes=nodes,
        deadline_s=limit_s,
        each_s=each_s,
        said=said,
    )
    if not figures.num_schemas:
        raise SpeculateProblem("no schema could be run")
    if as_json:
        typer.echo(json.dumps(figures.as_json(), indent=1))
    else:
        show(tables(figures), markdown=as_markdown, console=opt.output_console(), write=typer.echo)
