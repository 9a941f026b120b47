"""Trains the tokenizer, the target and the draft from maskbench.jsonl.gz.

    python -m structgen.embedded.train --data maskbench.jsonl.gz --out DIR --model tokenizer
    python -m structgen.embedded.train --data maskbench.jsonl.gz --out DIR --model target --minutes 66
    python -m structgen.embedded.train --data maskbench.jsonl.gz --out DIR --model draft --minutes 27 \\
        --teacher DIR/target

DIR gets `target/` and `draft/`, each a folder for `from_pretrained`. A batch depends on the data, the seed, its number
and the share of the run that is gone. `--minutes` measures the run by the clock (what a stopped run had used counts);
with `--steps` it depends on nothing but data, seed and library versions. `DIR/<model>.state.pt` is saved every few
minutes, and a run with the same DIR goes on from there.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from structgen.embedded import compact_json, data, format_prompt
from structgen.embedded.muon import Muon
from structgen.embedded.tokenizer import CONTEXT_TOKENS, VOCAB_SIZE, load_tokenizer, save_tokenizer, train_tokenizer

SHAPES = {
    "target": {
        "hidden_size": 192,
        "intermediate_size": 448,
        "num_hidden_layers": 4,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
    },
    "draft": {
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
STEP_TOKENS = 2560
# (share of the run until which it holds, the greatest lengths of an example, each as likely): copying a name from the
# schema is learnt sooner from short examples, of which a step sees more.
CURRICULUM = [(0.35, (128,)), (0.70, (128, 256)), (1.0, (256, 512, 512, CONTEXT_TOKENS))]
MAX_CHARS_PER_TOKEN = 5  # of a schema: a longer text is not tokenized to find that it does not fit
MIN_WIDTH_SHARE = 0.6  # of a padded batch's longest example, which its shortest one fills at least
SCHEMA_SHARE, SCHEMA_WEIGHT = 0.5, 0.3  # the schema's tokens that are predicted too, and their weight in the loss
MUON_LR, ADAM_LR, WARMUP_SHARE = 0.02, 4e-3, 0.01
TEACHER_SHARE = 0.7  # of the draft's loss
SAVE_EVERY_S = 240.0


class Example(NamedTuple):
    """Token ids, and for each the weight of its prediction in the loss."""

    ids: list[int]
    weights: list[float]


@dataclass
class Progressed:
    """How far a run is; saved with the weights."""

    step: int = 0
    seconds: float = 0.0
    num_tokens: int = 0
    losses: list[float] = field(default_factory=list)


def encode(pair: data.Pair, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> Example:
    """The prompt, then the instance in one of JSON's spellings (mostly `json.dumps`'s), then the end."""
    instruction = ""
    if rng.random() < 0.1 and isinstance(pair.schema, dict):
        described = pair.schema.get("description") or pair.schema.get("title")
        instruction = described[:200] if isinstance(described, str) else ""
    spelling = rng.random()
    if spelling < 0.85:
        text = data.dumps(pair.instance)
    elif spelling < 0.95:
        text = compact_json(pair.instance)
    else:
        text = data.dumps(pair.instance, indent=2)
    prompt_ids = tokenizer.encode(format_prompt(pair.schema, instruction), verbose=False)
    answer_ids = [*tokenizer.encode(text, verbose=False), tokenizer.eos_token_id]
    weights = [SCHEMA_WEIGHT if rng.random() < SCHEMA_SHARE else 0.0 for _ in prompt_ids]
    return Example(prompt_ids + answer_ids, weights + [1.0] * len(answer_ids))


def draw_example(corpus: data.Corpus, tokenizer: PreTrainedTokenizerFast, rng: random.Random, limit: int) -> Example:
    """An example of at most `limit` tokens; a pair that is too long is shortened, or given up if that does not help."""
    while True:
        for pair in data.shorter_pairs(data.draw_pair(corpus, rng), rng):
            if len(compact_json(pair.schema)) > MAX_CHARS_PER_TOKEN * limit:
                continue
            example = encode(pair, tokenizer, rng)
            if len(example.ids) <= limit:
                return example


def draw_batches(
    corpus: data.Corpus, tokenizer: PreTrainedTokenizerFast, *, seed: int, step: int, share: float
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Step `step`'s (ids, weights), each [rows, width], `share` of the run gone: batches of similar lengths."""
    rng = random.Random(f"{seed}:{step}")
    limits = next(limits for until, limits in CURRICULUM if share <= until)
    examples: list[Example] = []
    while sum(len(example.ids) for example in examples) < STEP_TOKENS:
        examples.append(draw_example(corpus, tokenizer, rng, rng.choice(limits)))
    examples.sort(key=lambda example: len(example.ids))
    groups: list[list[Example]] = []
    for example in examples:
        if not groups or len(groups[-1][0].ids) < MIN_WIDTH_SHARE * len(example.ids):
            groups.append([])
        groups[-1].append(example)
    return [_pad(group, tokenizer.pad_token_id) for group in groups]


def new_model(name: str, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A fresh Llama of one of `SHAPES`."""
    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        max_position_embeddings=CONTEXT_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **SHAPES[name],
    )
    return LlamaForCausalLM(config)


def save_model(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write the model in bfloat16, greedy by default, with its tokenizer."""
    copy = LlamaForCausalLM(model.config)
    copy.load_state_dict(model.state_dict())
    copy.to(torch.bfloat16)
    copy.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    copy.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    save_tokenizer(tokenizer, folder)


def weighted_loss(
    model: LlamaForCausalLM, teacher: LlamaForCausalLM | None, ids: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """(loss, plain cross entropy), both summed over the predicted tokens by weight; the head runs for those alone."""
    chosen = weights[:, 1:] > 0
    weight = weights[:, 1:][chosen]
    logits = model.lm_head(model.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][chosen])
    cross_entropy = (functional.cross_entropy(logits, ids[:, 1:][chosen], reduction="none") * weight).sum()
    if teacher is None:
        return cross_entropy, cross_entropy.detach()
    with torch.no_grad():
        taught = teacher.lm_head(teacher.model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1][chosen])
    divergence = functional.kl_div(
        functional.log_softmax(logits, -1), functional.log_softmax(taught, -1), reduction="none", log_target=True
    )
    taught_loss = (divergence.sum(-1) * weight).sum()
    return TEACHER_SHARE * taught_loss + (1 - TEACHER_SHARE) * cross_entropy, cross_entropy.detach()


def train(
    *,
    name: str,
    corpus: data.Corpus,
    tokenizer: PreTrainedTokenizerFast,
    out: Path,
    minutes: float | None,
    steps: int | None,
    seed: int,
    teacher: LlamaForCausalLM | None = None,
    bf16: bool = False,
) -> None:
    """Train `name` for `minutes` or `steps`, saving to `out` as it goes; go on from `out`'s state, if there is one."""
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    model = new_model(name, tokenizer).train()
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    others = [model.model.embed_tokens.weight, *(p for p in model.parameters() if p.ndim == 1)]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(matrices, lr=MUON_LR, weight_decay=0.05),
        torch.optim.AdamW(others, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    done = Progressed()
    state_file = out / f"{name}.state.pt"
    if state_file.exists():
        state = torch.load(state_file)
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        done = Progressed(**state["done"])

    def save() -> None:
        state = {
            "model": model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "done": vars(done),
        }
        torch.save(state, state_file.with_suffix(".new"))
        state_file.with_suffix(".new").replace(state_file)
        save_model(model, tokenizer, out / name)

    def share_done() -> float:
        return done.step / steps if steps else done.seconds / (60 * minutes) if minutes else 1.0

    last_save = time.monotonic()
    with _progress_bar() as progress:
        bar = progress.add_task(name, total=1.0, note="")
        while share_done() < 1:
            started = time.monotonic()
            scale = min(1.0, share_done() / WARMUP_SHARE + 0.02) * (0.5 + 0.5 * math.cos(math.pi * share_done()))
            for optimizer, lr in zip(optimizers, (MUON_LR, ADAM_LR), strict=True):
                optimizer.param_groups[0]["lr"] = lr * scale
            batches = draw_batches(corpus, tokenizer, seed=seed, step=done.step, share=share_done())
            total_weight = sum(float(weights[:, 1:].sum()) for _, weights in batches)
            step_loss = 0.0
            for ids, weights in batches:
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    loss, plain = weighted_loss(model, teacher, ids, weights)
                (loss / total_weight).backward()
                step_loss += float(plain) / total_weight
                done.num_tokens += ids.numel()
            torch.nn.utils.clip_grad_norm_(others, 1.0)
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            done.losses.append(round(step_loss, 4))
            done.step += 1
            done.seconds += time.monotonic() - started
            recent = sum(done.losses[-50:]) / len(done.losses[-50:])
            note = f"step {done.step}, {done.num_tokens / 1e6:.2f} M tokens, loss {recent:.3f}"
            progress.update(bar, completed=min(share_done(), 1.0), note=note)
            if done.step % 50 == 0 and not progress.console.is_terminal:
                print(f"{name}: {note}, {done.seconds:.0f} s", flush=True)
            if time.monotonic() - last_save > SAVE_EVERY_S:
                save()
                last_save = time.monotonic()
    save()


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m structgen.embedded.train", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="maskbench.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, help="folder for target/, draft/ and the saved states")
    parser.add_argument("--model", choices=["tokenizer", "target", "draft"], required=True)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="length of the run by the clock")
    length.add_argument("--steps", type=int, help="length of the run in steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", type=Path, help="a trained model's folder, whose distribution is learnt too")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16, where the processor is fast at it")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)

    rows, _ = data.split_rows(data.read_rows(options.data))
    if options.model == "tokenizer":
        tokenizer = train_tokenizer(data.tokenizer_texts(rows))
        for name in SHAPES:
            save_tokenizer(tokenizer, options.out / name)
        return
    if options.minutes is None and options.steps is None:
        parser.error("a model needs --minutes or --steps")
    teacher = LlamaForCausalLM.from_pretrained(options.teacher, dtype=torch.float32).eval() if options.teacher else None
    train(
        name=options.model,
        corpus=data.build_corpus(rows),
        tokenizer=load_tokenizer(options.out / options.model),
        out=options.out,
        minutes=options.minutes,
        steps=options.steps,
        seed=options.seed,
        teacher=teacher,
        bf16=options.bf16,
    )


def _pad(group: list[Example], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded on the right, where a causal model needs no mask; a pad's weight is zero."""
    width = max(len(example.ids) for example in group)
    ids = torch.tensor([example.ids + [pad_id] * (width - len(example.ids)) for example in group])
    weights = torch.tensor([example.weights + [0.0] * (width - len(example.weights)) for example in group])
    return ids, weights


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[note]}")
    )


if __name__ == "__main__":
    main()
