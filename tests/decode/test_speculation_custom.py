"""`model.generate(custom_generate=speculative)` gives what `model.generate` gives."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from decode_schemas import PERSON, SCHEMAS
from tiny_model import make_tiny_model

import structgen
from structgen.decode import speculative
from structgen.decode.speculation.controllers import Fixed
from structgen.decode.speculation.copying import Copy
from structgen.decode.speculation.forced import Forced
from structgen.decode.speculation.loop import Plan
from structgen.decode.speculation.mixed import Mixed
from structgen.decode.speculation.sampled import ConstantBranching
from structgen.decode.speculation.trigram import Trigram
from structgen.errors import SpeculationError
from structgen.integrations.transformers import StructgenLogitsProcessor


@lru_cache(maxsize=1)
def loaded() -> tuple[Any, Any, Any]:
    model, tokenizer = make_tiny_model(seed=0)
    model.set_attn_implementation("sdpa")
    model = model.double()
    vocab = structgen.Vocabulary.from_tokenizer(tokenizer, vocab_size=model.config.vocab_size)
    return model, tokenizer, vocab


def plan() -> Plan:
    return Plan(Mixed([Forced(), Copy(), Trigram()]), Fixed(12))


def inputs(*prompts: str) -> Any:
    _, tokenizer, _ = loaded()
    tokenizer.padding_side = "left"
    return tokenizer(list(prompts), return_tensors="pt", padding=True)


@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_without_a_grammar(cache: str) -> None:
    """A region without a constraint speculates too."""
    model, _, _ = loaded()
    options: dict[str, Any] = {"max_new_tokens": 40, "do_sample": False, "cache_implementation": cache}
    for prompts in (["Go go go go"], ['{"name": "Ada", "age": 36', "Hi"]):
        wanted = model.generate(**inputs(*prompts), **options)
        got = model.generate(**inputs(*prompts), custom_generate=speculative, drafter=plan(), **options)
        assert got.tolist() == wanted.tolist()


def test_samples_of_one_seed() -> None:
    model, _, _ = loaded()
    options: dict[str, Any] = {"max_new_tokens": 30, "do_sample": True, "temperature": 0.7, "top_k": 20, "top_p": 0.9}
    for seed in range(3):
        torch.manual_seed(seed)
        wanted = model.generate(**inputs("Go go"), **options)
        torch.manual_seed(seed)
        got = model.generate(**inputs("Go go"), custom_generate=speculative, drafter=Trigram(), **options)
        assert got.tolist() == wanted.tolist()


def test_with_a_grammar_for_each_row() -> None:
    model, tokenizer, vocab = loaded()
    grammars = [structgen.compile_schema(SCHEMAS[name], vocab) for name in ("person", "either", "enum")]
    options: dict[str, Any] = {"max_new_tokens": 40, "do_sample": False}
    batch = inputs("Go", "A longer prompt than the others", "x")
    wanted = model.generate(
        **batch, logits_processor=[StructgenLogitsProcessor(grammars, max_new_tokens=40)], **options
    )
    got = model.generate(
        **batch,
        logits_processor=[StructgenLogitsProcessor(grammars, max_new_tokens=40)],
        custom_generate=speculative,
        drafter=plan(),
        **options,
    )
    assert got.tolist() == wanted.tolist()
    text = tokenizer.decode(got[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    assert text.startswith("{")


def test_drawn_drafts_and_other_processors() -> None:
    model, _, vocab = loaded()
    draft, _ = make_tiny_model(seed=1)
    draft.set_attn_implementation("sdpa")
    grammar = structgen.compile_schema(PERSON, vocab)
    out = model.generate(
        **inputs("Go"),
        logits_processor=[StructgenLogitsProcessor(grammar, max_new_tokens=40)],
        custom_generate=speculative,
        drafter=ConstantBranching(draft),
        do_sample=True,
        repetition_penalty=1.1,
        max_new_tokens=40,
        return_dict_in_generate=True,
    )
    matcher = grammar.matcher()
    new = out.sequences[0, inputs("Go")["input_ids"].shape[1] :].tolist()
    assert all(matcher.accept_token(token) for token in new)
    assert matcher.is_accepting()


@pytest.mark.parametrize("wrong", [{"num_beams": 2}, {"output_scores": True, "return_dict_in_generate": True}])
def test_what_cannot_be_served_is_refused(wrong: dict[str, Any]) -> None:
    model, _, _ = loaded()
    with pytest.raises(SpeculationError):
        model.generate(**inputs("Go"), custom_generate=speculative, max_new_tokens=4, **wrong)
