"""A head of the Hydra kind learns what its model says, and drafts without changing the text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from decode_schemas import PERSON
from tiny_model import make_tiny_model

import structgen
from structgen import embedded
from structgen.decode.speculation.controllers import Fixed
from structgen.decode.speculation.heads import HeadDrafter, HydraHead, load_head, save_head, train_head
from structgen.decode.speculation.loop import Plan
from structgen.errors import SpeculationError

PROMPTS = ["Hi", 'A longer prompt: {"name": "Ada"', "x"]


@pytest.fixture(scope="module")
def target() -> tuple[Any, Any]:
    model, tokenizer = make_tiny_model(seed=0)
    model.set_attn_implementation("sdpa")
    return model.double(), tokenizer


def _run(target: tuple[Any, Any], head: Any) -> tuple[list[list[int]], int]:
    plan = Plan(HeadDrafter(target[0], head), Fixed(8))
    results = structgen.generate(
        PROMPTS, schema=PERSON, model=target, max_new_tokens=32, return_result=True, speculate=plan
    )
    return [each.token_ids for each in results], sum(each.stats.num_accepted_tokens for each in results)


def test_a_trained_head_accepts_more_and_changes_nothing(target: tuple[Any, Any]) -> None:
    model, _ = target
    plain = structgen.generate(PROMPTS, schema=PERSON, model=target, max_new_tokens=32, return_result=True)
    wanted = [each.token_ids for each in plain]
    untrained, none = _run(target, HydraHead(32).double())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    head = train_head(model, [ids * 2 for ids in wanted], steps=150)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    trained, some = _run(target, head)
    assert untrained == trained == wanted
    assert some > none


def test_texts_must_be_long_enough(target: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="no text has more"):
        train_head(target[0], [[1, 2, 3]], steps=1)


def test_a_head_is_kept_and_found_again(target: tuple[Any, Any], tmp_path: Path) -> None:
    head = train_head(target[0], [[3, 4, 5, 6, 7, 8, 9, 10]] * 3, starts=[2, 3, 4], steps=3, batch=2, width=24)
    save_head(head, tmp_path / "head.safetensors", dtype=torch.float64)
    again = load_head(tmp_path / "head.safetensors", target[0])
    assert again.inner.weight.shape == (24, 64)
    for name, value in head.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_the_embedded_head_drafts_for_the_embedded_target(target: tuple[Any, Any]) -> None:
    from transformers import AutoModelForCausalLM

    assert embedded.head_path().stat().st_size < 2_000_000
    model = AutoModelForCausalLM.from_pretrained(embedded.model_path(), dtype=torch.float32).eval()
    plan = Plan(HeadDrafter(model, load_head(embedded.head_path(), model)), Fixed(16))
    options: dict[str, Any] = {"schema": PERSON, "max_new_tokens": 48, "return_result": True}
    plain, drafted = structgen.generate("", **options), structgen.generate("", speculate=plan, **options)
    assert drafted.token_ids == plain.token_ids
    assert drafted.stats.num_accepted_tokens >= drafted.stats.num_forward_passes / 2
    with pytest.raises(SpeculationError, match="hidden states of 192"):
        load_head(embedded.head_path(), target[0])
