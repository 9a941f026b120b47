"""Bounded memory: generations, evicted rows, budgets. Whatever the limits, masks are the same or an error is raised."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import structgen
from structgen import Limits
from structgen.vocab import Vocabulary

WORDS = [f"{a}{b}".encode() for a in 'abcdefghijklmnopqrstuvwxyz ,"' for b in 'abcdefghijklmnopqrstuvwxyz ":}']
VOCAB = Vocabulary.from_bytes([b"", *[bytes((b,)) for b in range(256)], *WORDS], eos_token_ids=[0])
SCHEMA = {
    "type": "object",
    "properties": {k: {"type": "string", "maxLength": 20} for k in ("one", "two", "three")},
    "required": ["one", "two", "three"],
}
TEXT = json.dumps({"one": "first value", "two": "second", "three": "third", "more": ["x", 1.5]})


def masks(limits: Limits | None) -> list[Any]:
    matcher = structgen.compile_schema(SCHEMA, VOCAB, limits=limits).matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    out = []
    for token in VOCAB.encode(TEXT):
        matcher.fill_next_token_bitmask(row)
        out.append(row.copy())
        assert matcher.accept_token(token)
    assert matcher.is_accepting()
    return out


@pytest.fixture(scope="module")
def expected() -> list[Any]:
    return masks(None)


@pytest.mark.parametrize("max_states", [400, 700, 1200])
def test_a_matcher_carries_over_to_a_new_generation(expected: list[Any], max_states: int) -> None:
    limits = Limits(max_states=max_states)
    first = structgen.compile_schema(SCHEMA, VOCAB, limits=limits)
    matcher = first.matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    generations = set()
    for token, mask in zip(VOCAB.encode(TEXT), expected, strict=True):
        matcher.fill_next_token_bitmask(row)
        assert (row == mask).all()
        other = structgen.compile_schema(
            {"type": "object", "properties": {f"k{len(generations)}": {"const": TEXT}}}, VOCAB, limits=limits
        )
        filler = other.matcher()
        for step in (b'{"k', TEXT.encode()):
            filler.accept_bytes(step)
        assert matcher.accept_token(token)
        generations.add(first.binding().generation)
    assert matcher.is_accepting()
    if max_states == 400:
        assert len(generations) > 1, "the limit was never reached"


def test_states_of_a_gone_generation_are_refused() -> None:
    grammar = structgen.compile_schema(SCHEMA, VOCAB, limits=Limits(max_states=100))
    state = grammar.start
    with pytest.raises(structgen.MatcherError, match="generation"):
        for token in VOCAB.encode(TEXT):
            grammar.mask(state)
            state = grammar.advance(state, token)
    assert grammar.advance(grammar.start, VOCAB.encode("{")[0])


def test_a_grammar_that_fits_no_generation_raises() -> None:
    with pytest.raises(structgen.BudgetExceeded, match="max_states"):
        masks(Limits(max_states=16))
    with pytest.raises(structgen.BudgetExceeded, match="max_instructions"):
        masks(Limits(max_instructions=64))


def test_rows_are_given_up_and_computed_again() -> None:
    schema = {
        "type": "object",
        "properties": {f"k{c}": {"pattern": f"^[^{c}]*$", "type": "string"} for c in "abcdefghijklmnopqrst"},
    }
    text = json.dumps(dict.fromkeys(schema["properties"], "xyz"))
    grammar = structgen.compile_schema(schema, VOCAB, limits=Limits(max_row_bytes=1))  # the least number of rows
    reference = structgen.compile_schema(schema, VOCAB)
    for _ in range(2):
        a, b = grammar.matcher(), reference.matcher()
        rows = np.zeros((2, VOCAB.num_words), np.int32)
        for byte in text.encode():
            a.fill_next_token_bitmask(rows, 0)
            b.fill_next_token_bitmask(rows, 1)
            assert (rows[0] == rows[1]).all()
            assert a.accept_bytes(bytes((byte,)))
            assert b.accept_bytes(bytes((byte,)))
    assert grammar.binding().engine.statistics()["rows_evicted"] > 0


def test_a_mask_budget_raises_and_leaves_the_matcher_usable() -> None:
    matcher = structgen.compile_schema(SCHEMA, VOCAB, limits=Limits(max_mask_steps=3)).matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    assert matcher.accept_bytes(TEXT[:12].encode())
    with pytest.raises(structgen.BudgetExceeded, match="max_mask_steps"):
        matcher.fill_next_token_bitmask(row)
    assert matcher.accept_bytes(TEXT[12:].encode())
    assert matcher.is_accepting()


@pytest.mark.parametrize("value", [0, -1, 1.5])
def test_limits_are_validated(value: Any) -> None:
    with pytest.raises(structgen.StructgenError, match="max_states"):
        Limits(max_states=value)
