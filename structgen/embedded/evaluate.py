"""Measures target and draft on schemas that they never saw: loss, and what they write when nothing constrains them.

    python -m structgen.embedded.evaluate --data maskbench.jsonl.gz [--n 200] [--json]

A held-out pair counts if its prompt and instance fit the context, and the validator accepts it. Losses are over the
instance and the end token, of every such pair; the outputs are greedy, one for each of `--n` such schemas, drawn by
seed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from structgen.embedded import compact_json, data, draft_path, format_prompt, model_path
from structgen.embedded.tokenizer import CONTEXT_TOKENS, load_tokenizer

MAX_OUTPUT_TOKENS = 512
BATCH_ROWS = 8


class Held(NamedTuple):
    """A held-out pair as tokens; `answer_ids` ends with the end token."""

    pair: data.Pair
    prompt_ids: list[int]
    answer_ids: list[int]


@dataclass(frozen=True)
class Report:
    """One model's figures; shares are of the outputs, `ended` those that the model ended by itself."""

    model: str
    num_parameters: int
    safetensors_bytes: int
    num_pairs: int
    nats_per_token: float
    bits_per_byte: float
    num_outputs: int
    ended: float
    json: float
    schema: float
    agreement: float


def held_out_pairs(rows: list[dict[str, object]], tokenizer: PreTrainedTokenizerFast) -> list[Held]:
    """The held-out pairs that count, in the data's order."""
    held = []
    for pair in data.valid_pairs(data.split_rows(rows)[1]):
        prompt = format_prompt(pair.schema)
        if len(prompt) > 16 * CONTEXT_TOKENS:
            continue
        prompt_ids = tokenizer.encode(prompt, verbose=False)
        answer_ids = [*tokenizer.encode(data.dumps(pair.instance), verbose=False), tokenizer.eos_token_id]
        if len(prompt_ids) + len(answer_ids) <= CONTEXT_TOKENS and data.satisfies(pair.schema, pair.instance):
            held.append(Held(pair, prompt_ids, answer_ids))
    return held


def loss(model: LlamaForCausalLM, held: list[Held]) -> tuple[float, float]:
    """(nats a token, bits a byte) over the answers of `held`."""
    nats, num_tokens, num_bytes = 0.0, 0, 0
    for pair, prompt_ids, answer_ids in track(held, "loss", transient=True):
        logits = _answer_logits(model, prompt_ids, answer_ids)
        nats += float(functional.cross_entropy(logits, torch.tensor(answer_ids), reduction="sum"))
        num_tokens += len(answer_ids)
        num_bytes += len(data.dumps(pair.instance).encode())
    return nats / num_tokens, nats / num_bytes / math.log(2)


def outputs(model: LlamaForCausalLM, prompts: list[list[int]], pad_id: int) -> list[list[int]]:
    """The greedy continuation of each prompt, with its end token where the model came to one."""
    found: dict[int, list[int]] = {}
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    batches = [order[start : start + BATCH_ROWS] for start in range(0, len(order), BATCH_ROWS)]
    for batch in track(batches, "outputs", transient=True):
        width = max(len(prompts[index]) for index in batch)
        ids = torch.tensor([[pad_id] * (width - len(prompts[index])) + prompts[index] for index in batch])
        mask = torch.tensor([[0] * (width - len(prompts[index])) + [1] * len(prompts[index]) for index in batch])
        room = min(MAX_OUTPUT_TOKENS, CONTEXT_TOKENS - width)
        written = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=room)[:, width:]
        for index, row in zip(batch, written.tolist(), strict=True):
            found[index] = [token for token in row if token != pad_id]
    return [found[index] for index in range(len(prompts))]


def agreement(model: LlamaForCausalLM, prompts: list[list[int]], answers: list[list[int]]) -> float:
    """The share of the answers' tokens that the model too would choose, given what goes before."""
    agreed, total = 0, 0
    for prompt, answer in zip(prompts, answers, strict=True):
        if not answer:
            continue
        agreed += int((_answer_logits(model, prompt, answer).argmax(-1) == torch.tensor(answer)).sum())
        total += len(answer)
    return agreed / max(total, 1)


def is_json(text: str) -> bool:
    """Whether `text` parses as JSON, in which NaN and infinities are not numbers."""
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def report(
    name: str, folder: Path, held: list[Held], chosen: list[Held], target_answers: list[list[int]] | None
) -> tuple[Report, list[list[int]]]:
    """The figures of the model in `folder` and its outputs for `chosen`; agreement is with `target_answers`."""
    tokenizer = load_tokenizer(folder)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    nats, bits = loss(model, held)
    prompts = [one.prompt_ids for one in chosen]
    answers = outputs(model, prompts, tokenizer.pad_token_id)
    texts = [tokenizer.decode(answer, skip_special_tokens=True) for answer in answers]
    parsed = [is_json(text) for text in texts]
    satisfied = [
        ok and data.satisfies(one.pair.schema, json.loads(text))
        for ok, one, text in zip(parsed, chosen, texts, strict=True)
    ]
    ended = [tokenizer.eos_token_id in answer for answer in answers]
    return (
        Report(
            model=name,
            num_parameters=model.num_parameters(),
            safetensors_bytes=(folder / "model.safetensors").stat().st_size,
            num_pairs=len(held),
            nats_per_token=nats,
            bits_per_byte=bits,
            num_outputs=len(chosen),
            ended=_share(ended),
            json=_share(parsed),
            schema=_share(satisfied),
            agreement=agreement(model, prompts, answers if target_answers is None else target_answers),
        ),
        answers,
    )


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m structgen.embedded.evaluate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="maskbench.jsonl.gz")
    parser.add_argument("--n", type=int, default=200, help="outputs of each model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path, default=model_path())
    parser.add_argument("--draft", type=Path, default=draft_path())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--show", type=int, default=0, help="print this many prompts with the target's outputs")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)

    tokenizer = load_tokenizer(options.target)
    held = held_out_pairs(data.read_rows(options.data), tokenizer)
    by_schema = list({compact_json(one.pair.schema): one for one in reversed(held)}.values())
    chosen = random.Random(options.seed).sample(by_schema, min(options.n, len(by_schema)))
    with torch.inference_mode():
        target, answers = report("target", options.target, held, chosen, None)
        reports = [target]
        if (options.draft / "model.safetensors").exists():
            reports.append(report("draft", options.draft, held, chosen, answers)[0])
    if options.json:
        print(json.dumps([asdict(one) for one in reports], indent=2))
        return
    Console().print(_table(reports))
    for one, answer in list(zip(chosen, answers, strict=True))[: options.show]:
        print(f"\n{format_prompt(one.pair.schema)}{tokenizer.decode(answer)}")


def _answer_logits(model: LlamaForCausalLM, prompt_ids: list[int], answer_ids: list[int]) -> torch.Tensor:
    """[len(answer_ids), vocab]: what the model expects in place of each token of the answer."""
    ids = torch.tensor([prompt_ids + answer_ids])
    hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state[0, len(prompt_ids) - 1 : -1]
    logits: torch.Tensor = model.lm_head(hidden)
    return logits


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _share(flags: list[bool]) -> float:
    return sum(flags) / max(len(flags), 1)


def _table(reports: list[Report]) -> Table:
    table = Table("", *(one.model for one in reports), title="Held-out schemas")
    lines: dict[str, Callable[[Report], str]] = {
        "parameters": lambda one: f"{one.num_parameters:,}",
        "safetensors, MB": lambda one: f"{one.safetensors_bytes / 1e6:.2f}",
        "pairs": lambda one: str(one.num_pairs),
        "loss, nats/token": lambda one: f"{one.nats_per_token:.3f}",
        "loss, bits/byte": lambda one: f"{one.bits_per_byte:.3f}",
        "greedy outputs": lambda one: str(one.num_outputs),
        "ended by themselves": lambda one: f"{one.ended:.1%}",
        "valid JSON": lambda one: f"{one.json:.1%}",
        "valid for the schema": lambda one: f"{one.schema:.1%}",
        "agrees with the target's output": lambda one: f"{one.agreement:.1%}",
    }
    for label, show in lines.items():
        table.add_row(label, *(show(one) for one in reports))
    return table


if __name__ == "__main__":
    main()
