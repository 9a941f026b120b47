"""What is known of a grammar goes with it, and not before; those that come after it have the masks they would have
alone."""

from __future__ import annotations

import gc
import itertools
import json
import random
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen
from structgen import Limits, Matcher, compiler
from structgen.compiler import CompiledGrammar
from structgen.vocab import Vocabulary

WORDS = [b'{"', b'":', b'", "', b'"}', b"tr", b"ue", b'a"', b"12", b"[1", b", ", b"name", b"abc", b"\xc3\xa9x"]
VOCAB = Vocabulary.from_bytes([b"", *[bytes((b,)) for b in range(256)], *WORDS], eos_token_ids=[0])
SCHEMA: Any = {
    "properties": {
        "name": {"type": "string", "pattern": "^[a-c]+[0-9]{2}$"},
        "next": {"$ref": "#"},
        "list": {"type": "array", "items": {"properties": {"a": {"enum": [1, "x"]}}, "required": ["a"]}},
    },
    "additionalProperties": {"type": "array", "items": {"type": "integer", "minimum": 3}},
    "required": ["name"],
}
TEXT = json.dumps({"name": "abc12", "next": {"name": "a00", "list": [{"a": "x"}, {"b": 1, "a": 1}]}, "more": [3, 44]})


def schema_of(number: int) -> Any:
    """A schema none of whose objects another has."""
    member = {"type": "object", "properties": {f"k{number}x{i}": {"type": "integer"} for i in range(5)}}
    return {
        "type": "object",
        "properties": {f"m{number}x{i}": member for i in range(5)},
        "additionalProperties": {"anyOf": [member, {"type": "array", "items": member}]},
    }


def masks(matcher: Matcher, text: bytes) -> list[bytes]:
    """The masks before each byte of a text, and behind it."""
    row, found = np.zeros((1, VOCAB.num_words), np.int32), []
    for byte in text:
        matcher.fill_next_token_bitmask(row)
        found.append(row.tobytes())
        assert matcher.accept_bytes(bytes((byte,)))
    matcher.fill_next_token_bitmask(row)
    return [*found, row.tobytes()]


def scope_of(grammar: CompiledGrammar) -> weakref.ref[Any]:
    return weakref.ref(grammar.binding().scope)


@pytest.mark.parametrize("begun", [False, True], ids=["untouched", "in the middle of a text"])
def test_nothing_of_a_grammar_stays(begun: bool) -> None:
    grammar = structgen.compile_schema(SCHEMA, VOCAB)
    scope = scope_of(grammar)
    if begun:
        masks(grammar.matcher(), TEXT.encode()[:40])
    del grammar
    gc.collect()
    assert scope() is None


def test_a_matcher_holds_its_grammar() -> None:
    expected = masks(structgen.compile_schema(SCHEMA, VOCAB, limits=Limits(max_states=70_001)).matcher(), TEXT.encode())
    grammar = structgen.compile_schema(SCHEMA, VOCAB)
    matcher, scope = grammar.matcher(), scope_of(grammar)
    half = masks(matcher, TEXT.encode()[:30])
    del grammar
    gc.collect()
    for number in range(30):  # that come between
        structgen.compile_schema(schema_of(number), VOCAB)
    assert scope() is not None
    assert [*half[:-1], *masks(matcher, TEXT.encode()[30:])] == expected


def test_a_grammar_outlives_the_states_of_its_engine() -> None:
    grammar = structgen.compile_schema(SCHEMA, VOCAB, limits=Limits(max_states=220))
    expected = masks(structgen.compile_schema(SCHEMA, VOCAB, limits=Limits(max_states=70_002)).matcher(), TEXT.encode())
    scope, generation = scope_of(grammar), grammar.binding().generation
    for number in range(40):
        other = structgen.compile_schema(schema_of(number), VOCAB, limits=Limits(max_states=220))
        text = json.dumps({f"m{number}x{i}": {f"k{number}x{i}": i} for i in range(5)}).encode()
        masks(other.matcher(), text)
        assert masks(grammar.matcher(), TEXT.encode()) == expected
    assert grammar.binding().generation > generation, "the limit was never reached"
    assert scope() is grammar.binding().scope or scope() is None


def test_what_python_holds_of_grammars_does_not_add_up() -> None:
    """What stays of a schema is in caches of a limited size; 13 KB of each stayed when the network named its nodes."""

    def run(numbers: range) -> int:
        for number in numbers:
            grammar = structgen.compile_schema(schema_of(number), VOCAB)
            masks(grammar.matcher(), b'{"m%dx0": {"k%dx3": 12}, "abc": [{"abc": [' % (number, number))
        del grammar
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    run(range(1000, 1020))
    tracemalloc.start()
    try:
        before = run(range(1020, 1040))
        after = run(range(1040, 1140))
    finally:
        tracemalloc.stop()
    assert (after - before) / 100 < 8_000


EMPTY = itertools.count(600_000)


def test_a_part_of_a_grammar_that_has_gone_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may have asked for it."""
    monkeypatch.setattr(compiler, "_PARTS_AHEAD", 1)
    grammar = structgen.compile_schema(schema_of(77), VOCAB)
    engine, scope = grammar.binding().engine, scope_of(grammar)
    parts = [*grammar.binding().scope.parts]
    assert parts
    del grammar
    gc.collect()
    assert scope() is None
    before = engine.statistics()["instructions"]
    for pc in parts:
        engine.expand(pc)
    assert engine.statistics()["instructions"] == before


def test_threads_may_drop_grammars_while_others_compile() -> None:
    limits, numbers = Limits(max_states=2_500), range(24)
    texts = [b'{"m%dx0": {"k%dx3": 12}, "abc": [{"abc": [' % (number, number) for number in numbers]
    alone = Limits(max_states=70_003)
    expected = [
        masks(structgen.compile_schema(schema_of(number), VOCAB, limits=alone).matcher(), texts[number])
        for number in numbers
    ]

    def work(seed: int) -> list[int]:
        order = random.Random(seed)
        live: list[tuple[int, CompiledGrammar]] = []
        wrong = []
        for _ in range(40):
            number = order.choice(numbers)
            live.append((number, structgen.compile_schema(schema_of(number), VOCAB, limits=limits)))
            if len(live) > 3:
                del live[order.randrange(4)]
            number, grammar = order.choice(live)
            if masks(grammar.matcher(), texts[number]) != expected[number]:
                wrong.append(number)
        return wrong

    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(work, range(4))] == [[]] * 4


KEYS = ("a", "ab", "abc", "name")
VALUES = (
    {"type": "string"},
    {"type": "string", "pattern": "^a*b$"},
    {"type": "string", "maxLength": 3},
    {"type": "integer", "minimum": 12},
    {"enum": [True, "a", [1]]},
    {"type": "array", "items": {"type": "string", "minLength": 2}},
    {"type": "object", "additionalProperties": {"type": "null"}},
    {"$ref": "#"},
    True,
)
SCHEMAS = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=3),
        "additionalProperties": st.sampled_from((*VALUES, False)),
        "required": st.lists(st.sampled_from(KEYS), max_size=1),
    }
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(SCHEMAS, st.integers(0, 3)), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_masks_do_not_depend_on_grammars_that_ended(schemas: list[tuple[Any, int]], random: Any) -> None:
    """Texts drawn from the masks; the other engine has one grammar at a time, in an empty arena."""
    live: list[CompiledGrammar] = []
    for schema, keep in schemas:
        try:
            grammar = structgen.compile_schema(schema, VOCAB)
        except structgen.UnsatisfiableSchemaError:
            continue
        alone = Matcher(structgen.compile_schema(schema, VOCAB, limits=Limits(max_instructions=next(EMPTY))))
        matcher, row, other = grammar.matcher(), *np.zeros((2, 1, VOCAB.num_words), np.int32)
        for _ in range(12):
            matcher.fill_next_token_bitmask(row)
            alone.fill_next_token_bitmask(other)
            assert row.tobytes() == other.tobytes()
            tokens = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
            token = int(random.choice([t for t in tokens.tolist() if t] or [0]))
            if token == 0:
                break
            assert matcher.accept_token(token) and alone.accept_token(token)
        live = [*live, grammar][-keep:] if keep else []
        del matcher, grammar
