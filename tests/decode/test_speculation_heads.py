"""A head of the Hydra kind learns what its model says, and drafts without changing the text."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from decode_schemas import PERSON
from tiny_model import make_tiny_model

import structgen
from structgen.decode.speculation.controllers import Fixed
from structgen.decode.speculation.heads import HeadDrafter, HydraHead, train_head
from structgen.decode.speculation.loop import Plan

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
