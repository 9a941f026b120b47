"""`generate` on a model that says anything it is let: what comes out satisfies what was asked for."""

from __future__ import annotations

import enum
import itertools
import re
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema
import pytest
from decode_schemas import PERSON, SCHEMAS, TREE
from pydantic import BaseModel
from test_partial import grows

import structgen
from structgen.decode.partial import NOTHING
from structgen.decode.result import Result


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_text_is_valid(tiny_model: Any, name: str, temperature: float) -> None:
    for seed in range(1 if temperature == 0 else 3):
        value = structgen.generate(
            "Say it:", schema=SCHEMAS[name], model=tiny_model, max_new_tokens=60, temperature=temperature, seed=seed
        )
        jsonschema.validate(value, SCHEMAS[name])


@pytest.mark.parametrize("pattern", ["[a-c]{3}", "(yes|no)", "[0-9]+", "(東京|Größe)+!"])
def test_regex_gives_text(tiny_model: Any, pattern: str) -> None:
    text = structgen.generate("Go", regex=pattern, model=tiny_model, max_new_tokens=20)
    assert re.fullmatch(pattern, text)


def test_types_come_back_as_instances(tiny_model: Any) -> None:
    class Size(enum.Enum):
        S = "s"
        L = "l"

    class Shirt(BaseModel):
        size: Size
        price: float

    @dataclass
    class Point:
        x: int
        y: int

    assert isinstance(structgen.generate("", schema=Shirt, model=tiny_model, max_new_tokens=60), Shirt)
    assert isinstance(structgen.generate("", schema=Point, model=tiny_model, max_new_tokens=60), Point)
    assert structgen.generate("", schema=Size, model=tiny_model) in list(Size)
    assert structgen.generate("", schema=Literal[1, "x"], model=tiny_model) in (1, "x")
    many = structgen.generate("", schema=list[Point], model=tiny_model, max_new_tokens=60)
    assert all(isinstance(point, Point) for point in many)


def test_a_result_is_consistent(tiny_model: Any) -> None:
    result = structgen.generate("Hello", schema=PERSON, model=tiny_model, max_new_tokens=80, return_result=True)
    assert isinstance(result, Result)
    assert result.finish in ("eos", "complete")
    assert len(result.token_ids) == len(result.logprobs) == len(result.raw_logprobs) == result.stats.num_tokens
    assert all(raw <= masked + 1e-4 for raw, masked in zip(result.raw_logprobs, result.logprobs, strict=True))
    assert all(logprob <= 1e-6 for logprob in result.logprobs)
    _model, tokenizer = tiny_model
    text_ids = [token for token in result.token_ids if token != tokenizer.eos_token_id]
    assert tokenizer.decode(text_ids) == result.text
    stats = result.stats
    assert stats.num_prompt_tokens == len(tokenizer("Hello")["input_ids"])
    assert stats.num_forward_passes == stats.num_tokens
    assert 0 < stats.forward_s < stats.total_s
    assert 0 < stats.mask_us <= stats.max_mask_us


def test_logprobs_are_the_models(tiny_model: Any) -> None:
    """The raw ones are checked against one forward pass over the whole text, without a cache."""
    import torch

    model, tokenizer = tiny_model
    result = structgen.generate("Hello", schema=TREE, model=tiny_model, max_new_tokens=40, return_result=True)
    prompt_ids = tokenizer("Hello")["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([prompt_ids + result.token_ids])).logits[0].float()
    logp = torch.log_softmax(logits, -1)
    expected = [float(logp[len(prompt_ids) - 1 + i, token]) for i, token in enumerate(result.token_ids)]
    assert result.raw_logprobs == pytest.approx(expected, abs=1e-3)


PROMPTS = ["Hi", "A much longer prompt than the first one, with many words.", "Third", ""]


@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_a_batch_gives_what_single_prompts_give(tiny_model: Any, temperature: float) -> None:
    schemas = [PERSON, TREE, {"enum": ["x", "y"]}, PERSON]
    options: dict[str, Any] = {"model": tiny_model, "max_new_tokens": 48, "temperature": temperature}
    together = structgen.generate(PROMPTS, schema=schemas, seed=3, return_result=True, **options)
    for i, (prompt, schema) in enumerate(zip(PROMPTS, schemas, strict=True)):
        alone = structgen.generate(prompt, schema=schema, seed=3 + i, return_result=True, **options)
        assert together[i].text == alone.text
        assert together[i].token_ids == alone.token_ids
        assert together[i].logprobs == pytest.approx(alone.logprobs, abs=1e-3)
        assert together[i].stats.num_forward_passes == alone.stats.num_forward_passes


def test_one_schema_for_a_whole_batch(tiny_model: Any) -> None:
    values = structgen.generate(PROMPTS, schema=PERSON, model=tiny_model, max_new_tokens=60)
    assert len(values) == len(PROMPTS)
    for value in values:
        jsonschema.validate(value, PERSON)
    assert structgen.generate([], schema=PERSON, model=tiny_model) == []
    assert structgen.generate(["a", "b"], regex=["x", "y"], model=tiny_model) == ["x", "y"]


def test_seeds_repeat(tiny_model: Any) -> None:
    def text(seed: int) -> str:
        return structgen.generate(
            "Go", schema={"type": "string"}, model=tiny_model, max_new_tokens=24, temperature=1.5, seed=seed
        )

    assert text(5) == text(5)
    assert len({text(seed) for seed in range(4)}) > 1


@pytest.mark.parametrize("cut", [{"top_k": 1}, {"top_p": 1e-9}])
def test_the_narrowest_cut_is_greedy(tiny_model: Any, cut: dict[str, Any]) -> None:
    options: dict[str, Any] = {"schema": PERSON, "model": tiny_model, "max_new_tokens": 60}
    assert structgen.generate("Go", temperature=1.0, **cut, **options) == structgen.generate("Go", **options)


@pytest.mark.parametrize("name", ["person", "tree", "string", "number", "integers"])
def test_streams_grow_to_the_value(tiny_model: Any, name: str) -> None:
    options: dict[str, Any] = {"schema": SCHEMAS[name], "model": tiny_model, "max_new_tokens": 60}
    values = list(structgen.generate("Go", stream=True, **options))
    before: Any = NOTHING
    for value in values:
        assert grows(before, value), values
        before = NOTHING if value is None else value
    assert values[-1] == structgen.generate("Go", **options)
    assert name == "number" or len(values) > 1


def test_streams_of_batches_results_types_and_regexes(tiny_model: Any) -> None:
    class Word(BaseModel):
        word: str

    options: dict[str, Any] = {"model": tiny_model, "max_new_tokens": 30, "stream": True}
    batch = list(structgen.generate(["a", "b"], schema=PERSON, **options))
    assert all(len(values) == 2 for values in batch)
    jsonschema.validate(batch[-1][1], PERSON)
    results = list(structgen.generate("a", schema=PERSON, return_result=True, **options))
    assert [len(result.token_ids) for result in results[:-1]] == list(range(1, len(results)))
    assert results[0].finish is None
    assert results[-1].finish is not None
    words = list(structgen.generate("a", schema=Word, **options))
    assert isinstance(words[0], dict)
    assert isinstance(words[-1], Word)
    texts = list(structgen.generate("a", regex="[a-z]{20}", **options))
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "exactly one of schema="),
        ({"schema": True, "regex": "a"}, "exactly one of schema="),
        ({"grammar": "start: x", "regex": "x"}, "exactly one of"),
        ({"schema": True, "max_new_tokens": 0}, "max_new_tokens"),
        ({"schema": True, "temperature": -1.0}, "temperature"),
        ({"schema": [True, True]}, "a list of schema needs a list of prompts"),
    ],
)
def test_wrong_arguments_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        structgen.generate("x", **wrong)


def test_wrong_batches_and_models_are_refused(tiny_model: Any) -> None:
    with pytest.raises(ValueError, match="2 prompts, but 1 schema"):
        structgen.generate(["a", "b"], schema=[True], model=tiny_model)
    with pytest.raises(TypeError, match="model must be"):
        structgen.generate("a", schema=True, model=3)
    with pytest.raises(ValueError, match="context holds 512"):
        structgen.generate("word " * 600, schema=True, model=tiny_model)


def test_refusals_come_before_the_model_runs(tiny_model: Any) -> None:
    with pytest.raises(structgen.UnsatisfiableSchemaError):
        structgen.generate("a", schema={"type": "string", "enum": [1]}, model=tiny_model)
    with pytest.raises(structgen.InvalidSchemaError):
        structgen.generate("a", schema='{"type": ', model=tiny_model)


def test_the_chat_template_is_used_only_if_asked(tiny_model: Any) -> None:
    _model, tokenizer = tiny_model
    tokenizer.chat_template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    try:
        options: dict[str, Any] = {"schema": PERSON, "model": tiny_model, "max_new_tokens": 60, "return_result": True}
        plain = structgen.generate("Hi", **options)
        chat = structgen.generate("Hi", chat=True, **options)
        same = structgen.generate("<user>Hi<assistant>", **options)
    finally:
        tokenizer.chat_template = None
    assert chat.token_ids == same.token_ids
    assert plain.stats.num_prompt_tokens < chat.stats.num_prompt_tokens


SUM = 'start: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]{1,3}/\n'


def test_a_grammar_gives_text(tiny_model: Any) -> None:
    for grammar in (SUM, structgen.GrammarText('root ::= [0-9]{1,3} ("+" [0-9]{1,3})*', dialect="gbnf")):
        text = structgen.generate("Add", grammar=grammar, model=tiny_model, max_new_tokens=12)
        assert re.fullmatch(r"[0-9]{1,3}(\+[0-9]{1,3})*", text)
    tag = {"type": "structural_tag", "format": {"type": "const_string", "value": "yes"}}
    assert structgen.generate("Go", grammar=tag, model=tiny_model) == "yes"


@pytest.mark.parametrize("style", ["hermes", "function", "qwen_coder", "llama"])
def test_tools_give_calls(tiny_model: Any, style: str) -> None:
    parameters = {"type": "object", "properties": {"n": {"enum": [1, 2]}, "s": {"type": "string", "maxLength": 3}}}
    tools = [{"type": "function", "function": {"name": "pick", "parameters": {**parameters, "required": ["n", "s"]}}}]
    result = structgen.generate(
        "Pick", tools=tools, tool_choice="required", tool_format=style, model=tiny_model, max_new_tokens=200,
        return_result=True, temperature=1.0, seed=1,
    )  # fmt: skip
    assert result.value["tool_calls"], result.text
    for call in result.value["tool_calls"]:
        assert call["name"] == "pick"
        jsonschema.validate(call["arguments"], {**parameters, "required": ["n", "s"]})
    growing = list(
        structgen.generate("Pick", tools=tools, tool_format=style, model=tiny_model, max_new_tokens=30, stream=True)
    )
    assert growing[-1].keys() == {"text", "tool_calls"}
