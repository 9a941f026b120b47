"""What is emitted before a text gets there changes no mask, and no error comes earlier for it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import structgen
from structgen import Limits, compiler
from structgen.automata.network import Network
from structgen.automata.regular import LanguageTooComplex
from structgen.compiler import CompiledGrammar
from structgen.errors import GrammarTooComplex
from structgen.ir import Lazy, Node, alt, literal, seq
from structgen.vocab import Vocabulary

WORDS = [b'{"', b'":', b'", "', b'"}', b"tr", b"ue", b'a"', b"12", b"[1", b", ", b"name", b"abc", b"\xc3\xa9x"]
VOCAB = Vocabulary.from_bytes([b"", *[bytes((b,)) for b in range(256)], *WORDS], eos_token_ids=[0])
SCHEMA: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 9},
        "mail": {"type": "string", "format": "email", "minLength": 5, "maxLength": 30},
        "tags": {"type": "array", "items": {"enum": ["a", "ab", 12, None]}, "uniqueItems": True},
        "next": {"$ref": "#"},
        "size": {"anyOf": [{"type": "integer", "minimum": 3, "maximum": 70}, {"type": "object", "maxProperties": 1}]},
    },
    "patternProperties": {"^x[a-c]+$": {"type": "boolean"}},
    "required": ["name"],
}
TEXT = json.dumps(
    {
        "name": "abc",
        "mail": "a@b.cd",
        "tags": ["ab", 12],
        "xab": True,
        "next": {"size": {"é": [1]}, "name": "é\n", "next": {"name": "12", "size": 12}},
        "more": {"a": 1.5e3},
    }
)
REJECTED = TEXT.replace('"xab": true', '"xab": 1')


def masks(schema: Any, text: str, limits: Limits, more: int) -> list[bytes]:
    """The masks before each byte as far as the text goes."""
    grammar = structgen.compile_schema(schema, VOCAB, limits=limits)
    if more:
        grammar.emit_ahead(more)
    matcher, row, out = grammar.matcher(), np.zeros((1, VOCAB.num_words), np.int32), []
    for byte in text.encode():
        matcher.fill_next_token_bitmask(row)
        out.append(row.tobytes())
        if not matcher.accept_bytes(bytes((byte,))):
            break
    return out


@pytest.mark.parametrize("text", [TEXT, REJECTED], ids=["accepted", "rejected"])
def test_masks_do_not_depend_on_what_is_emitted_ahead(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(number: int) -> Limits:  # an engine of its own
        return Limits(max_states=50_000 + number)

    monkeypatch.setattr(compiler, "_PARTS_AHEAD", 0)  # nor is the mask behind what opens an object found then
    expected = masks(SCHEMA, text, limits(0), 0)
    assert (len(expected) == len(text.encode())) == (text is TEXT)
    for parts in (1, 2, 3, 10, 1000):
        monkeypatch.setattr(compiler, "_PARTS_AHEAD", parts)
        assert masks(SCHEMA, text, limits(parts), 0) == expected
        monkeypatch.setattr(compiler, "_PARTS_AHEAD", 0)
        assert masks(SCHEMA, text, limits(2000 + parts), parts) == expected


def test_all_of_a_finite_grammar_can_be_emitted_ahead() -> None:
    schema = {"properties": {f"k{i}": {"enum": [i, {"a": str(i)}, [i]]} for i in range(40)}, "required": ["k1"]}
    schema |= {"type": "object", "additionalProperties": False}
    grammar = structgen.compile_schema(schema, VOCAB, limits=Limits(max_states=40_000))
    grammar.emit_ahead(1000)
    emitted = grammar.binding().engine.statistics()["instructions"]
    grammar.emit_ahead(1000)
    matcher = grammar.matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    for byte in b'{"k1": {"a": "1"}, "k39": [39], "k20": 20}':
        matcher.fill_next_token_bitmask(row)
        assert matcher.accept_bytes(bytes((byte,)))
    assert matcher.is_accepting()
    assert grammar.binding().engine.statistics()["instructions"] == emitted


def test_parts_are_emitted_ahead_after_states_were_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_PARTS_AHEAD", 2)
    limits = Limits(max_states=1_600)
    schema = {"properties": {f"k{i}": {"enum": [i, {"a": str(i)}, [i]]} for i in range(40)}, "type": "object"}
    grammar = structgen.compile_schema(schema, VOCAB, limits=limits)
    generation, number = grammar.binding().generation, 0
    while grammar.binding().generation == generation:
        number += 1
        structgen.compile_schema({"const": "x" * 200 + str(number)}, VOCAB, limits=limits).matcher().accept_bytes(
            b'"' + b"x" * 200
        )
    before = grammar.binding().engine.statistics()["instructions"]
    grammar.emit_ahead(20)
    assert grammar.binding().engine.statistics()["instructions"] > before


def test_eight_light_parts_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = {f"k{i:03}": {"type": "array", "items": {"const": i}} for i in range(200)}
    wide = {"properties": properties, "type": "object", "additionalProperties": False}
    monkeypatch.setattr(compiler, "_PARTS_AHEAD", 2)
    grammar = structgen.compile_schema(wide, VOCAB, limits=Limits(max_states=41_000))
    grammar.emit_ahead(2)  # as far as the object; its members are put off, a few instructions each
    before = grammar.binding().engine.statistics()["instructions"]
    grammar.emit_ahead(10)
    assert 2 * 80 <= grammar.binding().engine.statistics()["instructions"] - before <= 4 * 80


@pytest.mark.parametrize("allowed_s", [0.0, 1000.0])
def test_sixteen_parts_are_emitted_when_the_time_is_up(allowed_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def chain(i: int) -> Node:
        return alt(literal("!"), seq(literal("a"), Lazy(lambda: made.append(i) or chain(i + 1))))

    monkeypatch.setattr(compiler, "_AHEAD_S", allowed_s)
    CompiledGrammar(chain(0), VOCAB, report=None, limits=Limits(max_states=42_000))
    least = 15  # and the root
    assert len(made) == least if allowed_s == 0 else len(made) > 2 * least


def failing(where: list[str], error: Exception) -> Node:
    def fail() -> Node:
        raise error

    def good(name: str) -> Node:
        return seq(literal(name), Lazy(lambda: where.append(name) or literal(f"<{name}>")))

    return alt(good("a"), seq(literal("b"), Lazy(fail)), good("c"))


TOO_MUCH = [GrammarTooComplex("too much", pointer="/here"), LanguageTooComplex("too much"), RecursionError("too much")]


@pytest.mark.parametrize("error", TOO_MUCH, ids=lambda error: type(error).__name__)
def test_a_part_that_is_too_complex_raises_when_a_text_gets_there(error: Exception) -> None:
    made: list[str] = []
    grammar = CompiledGrammar(failing(made, error), VOCAB, report=None, limits=Limits(max_states=30_000))
    grammar.emit_ahead(100)
    row = np.zeros((1, VOCAB.num_words), np.int32)
    for text in (b"a<a>", b"c<c>"):
        matcher = grammar.matcher()
        assert matcher.accept_bytes(text)
        assert matcher.is_accepting()
    matcher = grammar.matcher()
    matcher.fill_next_token_bitmask(row)
    for _ in range(2):
        with pytest.raises(type(error), match="too much"):
            grammar.matcher().accept_bytes(b"b<")
    assert sorted(made) == ["a", "c"]


def test_states_are_forgotten_when_a_grammar_is_compiled() -> None:
    limits = Limits(max_states=1500)
    grammar = structgen.compile_schema(SCHEMA, VOCAB, limits=limits)
    matcher = grammar.matcher()
    row, expected = np.zeros((1, VOCAB.num_words), np.int32), np.zeros((1, VOCAB.num_words), np.int32)
    half = TEXT.encode()[: len(TEXT) // 2]
    assert matcher.accept_bytes(half)
    matcher.fill_next_token_bitmask(expected)
    engine, generation = grammar.binding().engine, grammar.binding().generation
    number = 0
    while not engine.states_are_nearly_full:
        number += 1
        assert grammar.matcher().accept_bytes(b'{"next": ' * number)
        assert grammar.binding().engine is engine, "the table was full before it was nearly full"
    structgen.compile_schema({"const": number}, VOCAB, limits=limits)
    assert grammar.binding().generation == generation + 1
    assert not grammar.binding().engine.states_are_nearly_full
    matcher.fill_next_token_bitmask(row)
    assert (row == expected).all()
    assert matcher.accept_bytes(TEXT.encode()[len(half) :])
    assert matcher.is_accepting()


def instructions(schema: Any, limits: Limits, text: bytes) -> int:
    """Of an engine of its own, after the masks of a text."""
    grammar = structgen.compile_schema(schema, VOCAB, limits=limits)
    matcher, row = grammar.matcher(), np.zeros((1, VOCAB.num_words), np.int32)
    for byte in text:
        matcher.fill_next_token_bitmask(row)
        assert matcher.accept_bytes(bytes((byte,)))
    return grammar.binding().engine.statistics()["instructions"]


def test_no_grammar_is_refused_for_what_is_emitted_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = {"type": "object", "properties": {f"k{i}": {"enum": [f"{i}-{j}" for j in range(99)]} for i in range(9)}}
    schema |= {"additionalProperties": False}
    ahead = instructions(schema, Limits(max_states=30_001), b"")
    with monkeypatch.context() as lazy:
        lazy.setattr(compiler, "_PARTS_AHEAD", 0)
        needed = instructions(schema, Limits(max_states=30_002), b'{"k3": "3-77"}')
    assert needed < ahead
    assert instructions(schema, Limits(max_instructions=needed), b'{"k3": "3-77"}') <= needed


def test_no_grammar_is_refused_for_a_mask_that_is_found_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    def outcomes() -> list[bool]:
        found = []
        for states in (2, 4, 6, 8, 12, 20, 40):
            try:
                structgen.compile_schema(SCHEMA, VOCAB, limits=Limits(max_states=states))
            except structgen.BudgetExceeded:
                found.append(False)
            else:
                found.append(True)
        return found

    ahead = outcomes()
    monkeypatch.setattr(compiler, "_PARTS_AHEAD", 0)
    assert outcomes() == ahead
    assert True in ahead and False in ahead


def test_rules_that_a_mask_needs_are_emitted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    emit = Network.expand_needed
    monkeypatch.setattr(Network, "expand_needed", lambda net: calls.append(net) or emit(net))
    monkeypatch.setattr(compiler, "_PARTS_AHEAD", 4)

    def alternative(i: int) -> Any:
        properties = {"kind": {"const": f"k{i}"}, f"field{i}": {"type": "integer"}}
        return {"properties": properties, "required": [*properties], "additionalProperties": False, "type": "object"}

    tokens = [b"", *[bytes((b,)) for b in range(256)], b'": "', b'":"k']  # that begin what follows the key
    vocab = Vocabulary.from_bytes(tokens, eos_token_ids=[0])
    schema = {"anyOf": [alternative(i) for i in range(60)]}
    matcher = structgen.compile_schema(schema, vocab).matcher()
    assert matcher.accept_bytes(b'{"kind')
    row = np.zeros((1, vocab.num_words), np.int32)
    calls.clear()
    matcher.fill_next_token_bitmask(row)
    assert len(calls) < 10
    assert matcher.accept_bytes(b'": "k59", "field59": 1}') and matcher.is_accepting()
