"""Inside `model.generate`: greedy, sampling, beams, assisted, batches, re-use."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
import torch

import structgen
from structgen.integrations.transformers import StructgenLogitsProcessor

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "ok": {"type": "boolean"},
    },
    "required": ["name", "age", "ok"],
    "additionalProperties": False,
}
COLOURS: dict[str, Any] = {"type": "array", "items": {"enum": ["red", "green"]}, "minItems": 1, "maxItems": 3}
MAX_NEW_TOKENS = 64


@pytest.fixture(scope="module")
def vocab(tiny_model: Any) -> structgen.Vocabulary:
    model, tokenizer = tiny_model
    return structgen.Vocabulary.from_tokenizer(tokenizer, vocab_size=model.config.vocab_size)


@pytest.fixture(scope="module")
def person(vocab: structgen.Vocabulary) -> structgen.CompiledGrammar:
    return structgen.compile_schema(PERSON, vocab)


@pytest.fixture(scope="module")
def colours(vocab: structgen.Vocabulary) -> structgen.CompiledGrammar:
    return structgen.compile_schema(COLOURS, vocab)


def _texts(tiny_model: Any, prompts: list[str], processor: Any, **options: Any) -> list[str]:
    model, tokenizer = tiny_model
    inputs = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    inputs.pop("token_type_ids", None)
    out = model.generate(**inputs, logits_processor=[processor], **{"max_new_tokens": MAX_NEW_TOKENS, **options})
    return tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


MODES: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True, "temperature": 1.3},
    "beams": {"do_sample": False, "num_beams": 3},
    "beam sampling": {"do_sample": True, "num_beams": 3},
    "many beams": {"do_sample": False, "num_beams": 8, "num_return_sequences": 8},
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prompts", [["Hello"], ["Hello", "A longer prompt, with a comma"]], ids=["one", "two"])
def test_every_text_is_valid(tiny_model: Any, person: Any, mode: str, prompts: list[str]) -> None:
    torch.manual_seed(0)
    processor = StructgenLogitsProcessor(person, max_new_tokens=MAX_NEW_TOKENS)
    texts = _texts(tiny_model, prompts, processor, **MODES[mode])
    assert len(texts) == len(prompts) * MODES[mode].get("num_return_sequences", 1)
    for text in texts:
        jsonschema.validate(json.loads(text), PERSON)


@pytest.mark.parametrize("sample", [False, True])
def test_assisted(tiny_model: Any, tiny_assistant: Any, person: Any, sample: bool) -> None:
    torch.manual_seed(0)
    processor = StructgenLogitsProcessor(person, max_new_tokens=MAX_NEW_TOKENS)
    texts = _texts(tiny_model, ["Hello"], processor, do_sample=sample, assistant_model=tiny_assistant[0])
    jsonschema.validate(json.loads(texts[0]), PERSON)
    if not sample:
        assert texts == _texts(tiny_model, ["Hello"], StructgenLogitsProcessor(person, max_new_tokens=MAX_NEW_TOKENS),
                               do_sample=False)  # fmt: skip


def test_prompt_lookup_drafts_that_are_illegal(tiny_model: Any, person: Any) -> None:
    processor = StructgenLogitsProcessor(person, max_new_tokens=MAX_NEW_TOKENS)
    prompt = '{"name": "x", {"name" {"name": {"name": 12, true, {'
    texts = _texts(tiny_model, [prompt], processor, do_sample=False, prompt_lookup_num_tokens=4)
    jsonschema.validate(json.loads(texts[0]), PERSON)


def test_one_grammar_for_each_prompt(tiny_model: Any, person: Any, colours: Any) -> None:
    for beams in (1, 3):
        processor = StructgenLogitsProcessor([person, colours], max_new_tokens=MAX_NEW_TOKENS)
        first, second = _texts(tiny_model, ["One", "Two, longer"], processor, do_sample=False, num_beams=beams)
        jsonschema.validate(json.loads(first), PERSON)
        jsonschema.validate(json.loads(second), COLOURS)


def test_it_may_be_used_again(tiny_model: Any, person: Any) -> None:
    processor = StructgenLogitsProcessor(person, max_new_tokens=MAX_NEW_TOKENS)
    first = _texts(tiny_model, ["Hello"], processor, do_sample=False)
    assert _texts(tiny_model, ["Hello"], processor, do_sample=False) == first
    turn = f"Hello{first[0]} and another one:"
    jsonschema.validate(json.loads(_texts(tiny_model, [turn], processor, do_sample=False)[0]), PERSON)
    processor.reset()
    assert _texts(tiny_model, ["Hello"], processor, do_sample=False) == first


def test_it_agrees_with_generate(tiny_model: Any, person: Any) -> None:
    """Where the budget is ample both are the argmax under the same masks."""
    processor = StructgenLogitsProcessor(person)
    text = _texts(tiny_model, ["Hello"], processor, do_sample=False)[0]
    assert json.loads(text) == structgen.generate("Hello", schema=PERSON, model=tiny_model, max_new_tokens=400)


def _row(*token_ids: int) -> torch.Tensor:
    return torch.tensor([token_ids])


def _allowed(processor: Any, row: torch.Tensor, width: int) -> set[int]:
    return set(torch.isfinite(processor(row, torch.zeros(1, width))[0]).nonzero().flatten().tolist())


def test_order_of_calls_does_not_matter(vocab: structgen.Vocabulary, person: Any) -> None:
    """Every prefix of a text gives its own mask: forwards, backwards, twice, and with the prompt's length given."""
    text = vocab.encode('{"name": "Ada", "age": 36, "ok": true}')
    prompt = [5, 6, 7]
    matcher, expected = person.matcher(), []
    bitmask = torch.zeros(1, vocab.num_words, dtype=torch.int32)
    for token in [*text, None]:
        matcher.fill_next_token_bitmask(bitmask, 0)
        bits = (bitmask[0][:, None] >> torch.arange(32)) & 1
        expected.append(set(bits.flatten().nonzero().flatten().tolist()))
        if token is not None:
            assert matcher.accept_token(token)
    rows = [_row(*prompt, *text[:i]) for i in range(len(text) + 1)]
    processor = StructgenLogitsProcessor(person)
    for i in [*range(len(rows)), *reversed(range(len(rows))), 3, 3, 0, 5]:
        assert _allowed(processor, rows[i], vocab.vocab_size) == expected[i]
    known = StructgenLogitsProcessor(person, prompt_length=len(prompt))
    for i in reversed(range(len(rows))):
        assert _allowed(known, rows[i], vocab.vocab_size) == expected[i]


def test_rows_that_left_the_grammar_or_ended_may_only_end(vocab: structgen.Vocabulary, person: Any) -> None:
    processor = StructgenLogitsProcessor(person, prompt_length=1)
    ends = set(vocab.eos_token_ids)
    (wrong,) = vocab.encode("]")
    assert _allowed(processor, _row(9, wrong), vocab.vocab_size) == ends
    assert _allowed(processor, _row(9, wrong, wrong), vocab.vocab_size) == ends
    text = vocab.encode('{"name": "A", "age": 1, "ok": true}')
    pad = min(vocab.special_token_ids - ends)
    for tail in ([], [min(ends)], [min(ends), pad], [min(ends), pad, pad]):
        assert _allowed(processor, _row(9, *text, *tail), vocab.vocab_size) == ends


def test_wrong_use_is_refused(person: Any, colours: Any) -> None:
    with pytest.raises(ValueError, match="no grammar"):
        StructgenLogitsProcessor([])
    with pytest.raises(ValueError, match="3 rows"):
        StructgenLogitsProcessor([person, colours])(torch.zeros(3, 1, dtype=torch.long), torch.zeros(3, 400))


@pytest.mark.parametrize("mode", MODES)
def test_texts_close_within_max_new_tokens(tiny_model: Any, vocab: structgen.Vocabulary, mode: str) -> None:
    """Also where one token, `{`, would commit the text to more than there is room for."""
    names = [f"a_rather_long_name_{i}" for i in range(12)]
    long = {"type": "object", "properties": {key: {"type": "boolean"} for key in names}, "required": names}
    schema = {"anyOf": [{"type": "array", "items": {"type": "integer"}}, long]}
    grammar = structgen.compile_schema(schema, vocab)
    torch.manual_seed(0)
    for max_new_tokens in (6, 20):
        processor = StructgenLogitsProcessor(grammar, max_new_tokens=max_new_tokens)
        for text in _texts(tiny_model, ["Hi"], processor, max_new_tokens=max_new_tokens, **MODES[mode]):
            assert isinstance(json.loads(text), list)
