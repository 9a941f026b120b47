"""Trains the head that drafts for the embedded target model (Hydra's kind) from maskbench.jsonl.gz.

    python -m structgen.decode.speculation.train_embedded_head --data maskbench.jsonl.gz --out head.safetensors

It learns, from the training part only, what the target says up to `--depth` tokens ahead in instances that follow
their schemas. `--minutes` are of processor time, on one thread.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

from structgen.decode.speculation.heads import save_head, train_head
from structgen.embedded import data, format_prompt, model_path
from structgen.embedded.tokenizer import load_tokenizer

MAX_STEPS = 1_000_000
MAX_CHARS_PER_TOKEN = 5


def training_texts(path: Path, *, max_tokens: int, count: int, seed: int) -> tuple[list[list[int]], list[int]]:
    """Token ids of schemas with their instances, and where the instances begin, of the training part."""
    tokenizer = load_tokenizer(model_path())
    pairs = data.valid_pairs(data.split_rows(data.read_rows(path))[0])
    random.Random(seed).shuffle(pairs)
    texts: list[list[int]] = []
    starts: list[int] = []
    for pair in pairs:
        prompt, answer = format_prompt(pair.schema), data.dumps(pair.instance)
        if len(prompt) + len(answer) > MAX_CHARS_PER_TOKEN * max_tokens:
            continue
        prompt_ids = tokenizer.encode(prompt, verbose=False)
        ids = [*prompt_ids, *tokenizer.encode(answer, verbose=False), tokenizer.eos_token_id]
        if len(ids) <= max_tokens:
            texts.append(ids)
            starts.append(len(prompt_ids))
        if len(texts) == count:
            break
    return texts, starts


def main(argv: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m structgen.decode.speculation.train_embedded_head", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="maskbench.jsonl.gz")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--minutes", type=float, default=6.0, help="of processor time")
    parser.add_argument("--texts", type=int, default=6000)
    parser.add_argument("--max-tokens", type=int, default=256, help="of a schema and its instance")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)

    texts, starts = training_texts(options.data, max_tokens=options.max_tokens, count=options.texts, seed=options.seed)
    model = LlamaForCausalLM.from_pretrained(model_path(), dtype=torch.float32).eval()
    losses: list[float] = []

    def said(step: int, loss: float) -> None:
        losses.append(loss)
        if step % 50 == 49:
            print(f"step {step + 1}: {sum(losses[-50:]) / 50:.3f} nats a token", flush=True)

    head = train_head(
        model,
        texts,
        starts=starts,
        steps=MAX_STEPS,
        batch=options.batch,
        width=options.width,
        depth=options.depth,
        lr=options.lr,
        seed=options.seed,
        deadline_s=60 * options.minutes,
        said=said,
    )
    save_head(head, options.out)
    print(f"{len(texts)} texts, {len(losses)} steps of {options.batch}, {options.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
