"""No two items of an array are equal where the schema says so, in any spelling, and nothing else is forbidden."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import structgen
from structgen.compiler import CompiledGrammar
from structgen.matcher import Matcher
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

PIECES = (
    r"""{" "} ":_ ": ",_" "a ab "ab" \u00 \u006 61 \" 1, ]} }} [] [1 a" a":_1 "a":1 "b":_ ,"a" "a","b ","a" 1,1 1,2"""
    r""" [1,1] ,1 0.0 10 11 true e1 e+ .0 0, "," "," ","a 1] ]] ],[ ],[1 null,n 0,1 [] [0] {"a":0} },{ },{"a":0} t"""
)
TOKENS = [b"", *(bytes((b,)) for b in range(256)), *(piece.replace("_", " ").encode() for piece in PIECES.split())]
VOCAB = Vocabulary.from_bytes(TOKENS, eos_token_ids=[0])
STRING, INTEGER, BOOLEAN = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
COMPACT = structgen.SchemaOptions(whitespace="compact")


def unique(items: Any = True, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, "uniqueItems": True, **more}


RECORD = {
    "type": "object",
    "properties": {"a": INTEGER, "b": BOOLEAN},
    "required": ["a"],
    "additionalProperties": False,
}
FAT: list[Any] = [
    unique(STRING),
    unique(STRING, minItems=3),
    unique({"type": "string", "minLength": 2, "pattern": "^a"}, maxItems=3),
    {"type": "object", "properties": {"a": unique(STRING), "b": {"type": "array", "items": STRING}}},
]
THIN: list[Any] = [
    unique(),
    unique(INTEGER),
    unique({"type": ["boolean", "integer", "null"]}, minItems=2),
    unique(RECORD),
    unique(unique(INTEGER, minItems=1)),
    unique({"type": "array", "items": BOOLEAN}),
    unique({"type": "string", "maxLength": 1, "pattern": "^[^ab]?$"}),
    unique({"type": "number", "minimum": 0, "maximum": 1}),
    unique({"anyOf": [{"type": "string", "pattern": "^(a|ab*)$"}, {"const": 1}]}, minItems=2),
    {"type": "array", "prefixItems": [INTEGER, {"enum": [0, 1]}], "items": False, "uniqueItems": True},
    {"type": "array", "prefixItems": [STRING, {"enum": [1, 2]}, {"const": "a"}], "uniqueItems": True},
    unique(contains={"const": "a"}),
    {"anyOf": [unique(), {"type": "array", "items": INTEGER}]},
    {"type": "object", "additionalProperties": unique({"type": "object", "additionalProperties": {"enum": [0, 1]}})},
    {"$defs": {"t": {"anyOf": [INTEGER, unique({"$ref": "#/$defs/t"})]}}, "$ref": "#/$defs/t"},
]
ITEMS: list[Any] = [0, 1, 10, True, None, "", "a", "ab", [], [0], [1, 0], {"a": 0}, {"a": 0, "b": True}, {"b": True}]


def allowed(matcher: Matcher) -> list[int]:
    row = np.zeros((1, VOCAB.num_words), np.int32)
    matcher.fill_next_token_bitmask(row)
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def step(tokens: list[int], choice: int) -> int:
    """One of the tokens, mostly one that matters."""
    likely = [token for token in tokens if len(TOKENS[token]) > 1 or TOKENS[token] in b'[]{},:"01ab']
    return (likely or tokens)[choice % len(likely or tokens)] if choice % 8 else tokens[choice % len(tokens)]


def plain(grammar: CompiledGrammar) -> CompiledGrammar:
    """The same grammar without a memory."""
    return CompiledGrammar(grammar.root, VOCAB, report=None)


WALK = st.lists(st.integers(0, 1 << 16), max_size=14)


@st.composite
def spelled(draw: Any, value: Any) -> str:
    """A value in one of its spellings."""
    blank = st.sampled_from(["", "", "", " ", "\n "])
    if isinstance(value, list):
        return "[" + ",".join(draw(blank) + draw(spelled(item)) + draw(blank) for item in value) + "]"
    if isinstance(value, dict):
        members = draw(st.permutations(list(value.items())))
        return "{" + ",".join(f"{draw(spelled(key))}:{draw(blank)}{draw(spelled(item))}" for key, item in members) + "}"
    if isinstance(value, str):
        return '"' + "".join(draw(st.sampled_from([c, c, f"\\u{ord(c):04X}"])) for c in value) + '"'
    if isinstance(value, int) and not isinstance(value, bool):
        digits = str(value)
        ways = [digits, digits, f"{digits}.0", f"-{digits}"]
        if abs(value) < 10:  # one digit before an exponent: others are not written
            ways += [f"{digits}e0", f"{digits}.00E+0"]
        return draw(st.sampled_from(ways))
    return json.dumps(value)


def is_valid(validator: Any, text: bytes) -> bool:
    """Whether a text is valid; also where its numbers are too large for the validator."""
    return re.search(rb"[eE][+]?[0-9]{3}", text) is not None or validator.is_valid(json.loads(text))


@given(st.sampled_from([*FAT, *THIN]), st.lists(st.sampled_from(ITEMS), max_size=5), st.data())
def test_texts(schema: Any, items: list[Any], data: st.DataObject) -> None:
    """An array in any spelling is accepted exactly if it is valid."""
    value: Any = items
    if schema.get("type") == "object":
        value = {"a": items}
    elif data.draw(st.booleans()) and "$ref" in schema:
        value = [items, 1]
    text = data.draw(spelled(value))
    matcher = structgen.compile_schema(schema, VOCAB, options=structgen.SchemaOptions.exact()).matcher()
    taken = matcher.accept_bytes(text.encode()) and matcher.is_accepting()
    assert taken == Recognizer(matcher.grammar.root).accepts(text.encode())
    assert taken == jsonschema_rs.validator_for(schema).is_valid(json.loads(text)), text


@given(st.sampled_from([*FAT, *THIN]), st.booleans(), WALK)
def test_every_text_can_be_completed(schema: Any, exact: bool, walk: list[int]) -> None:
    """There is no dead end, and what completes a text is valid."""
    options = structgen.SchemaOptions.exact() if exact else COMPACT
    matcher = structgen.compile_schema(schema, VOCAB, options=options).matcher()
    text = b""
    validator = jsonschema_rs.validator_for(schema)
    for choice in [*walk, 0]:
        rest = matcher.shortest_completion()
        assert rest is not None, text
        fork = matcher.fork()
        assert fork.accept_bytes(rest)
        assert fork.is_accepting()
        assert is_valid(validator, text + rest), text + rest
        assert matcher.fork().accept_bytes(matcher.forced_bytes(64))
        tokens = [token for token in allowed(matcher) if token]
        if not tokens:
            break
        token = step(tokens, choice)
        assert matcher.accept_token(token)
        text += TOKENS[token]


@given(st.sampled_from([*FAT, *THIN]), WALK)
def test_mask_commit_and_functional_form_agree(schema: Any, walk: list[int]) -> None:
    grammar = structgen.compile_schema(schema, VOCAB)
    matcher, state = grammar.matcher(), grammar.start
    masks = []
    for choice in walk:
        tokens = allowed(matcher)
        masks.append(tokens)
        assert np.flatnonzero(np.unpackbits(grammar.mask(state).view(np.uint8), bitorder="little")).tolist() == tokens
        for token in range(len(TOKENS)):
            fork = matcher.fork()
            assert fork.accept_token(token) == (token in tokens), (matcher._past, TOKENS[token])
            assert (grammar.advance(state, token) != grammar.DEAD) == (token in tokens)
        assert {TOKENS.index(bytes((byte,))) for byte in matcher.allowed_bytes()} == {
            t for t in tokens if 1 <= t <= 256
        }
        tokens = [token for token in tokens if token]
        if not tokens:
            break
        token = step(tokens, choice)
        assert matcher.accept_token(token)
        state = grammar.advance(state, token)
    while masks and matcher.num_tokens:
        matcher.rollback()
        assert allowed(matcher) == masks[matcher.num_tokens]


def completions(matcher: Matcher, depth: int) -> list[bytes]:
    """What ends a text within a few bytes, as the network alone has it; of the letters of a string only some."""
    found, level = [], [(b"", matcher)]
    for _ in range(depth):
        deeper = []
        for written, at in level:
            if at.is_accepting():
                found.append(written)
            for byte in at.allowed_bytes():
                if byte in b'[]{},:"01abtruefalsn.-' and len(deeper) < 3_000:
                    fork = at.fork()
                    fork.accept_bytes(bytes((byte,)))
                    deeper.append((written + bytes((byte,)), fork))
        level = deeper
    return found


def repeats(text: bytes) -> bool:
    """Whether an object in a JSON text has a key twice, which `json.loads` passes over."""
    found = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        found.append(len(dict(pairs)) < len(pairs))

    json.loads(text, object_pairs_hook=note)
    return any(found)


@given(st.sampled_from([*FAT, *THIN]), WALK)
def test_what_is_forbidden_has_no_completion(schema: Any, walk: list[int]) -> None:
    """Tokens of the network that the mask leaves out: no short text goes on from them (all texts are tried).

    Integers may be spelled as the oracle reads them: `1e+0` is one.
    """
    grammar = structgen.compile_schema(schema, VOCAB, options=replace(COMPACT, integer_fractions=True))
    matcher, without = grammar.matcher(), plain(grammar).matcher()
    text = b""
    validator = jsonschema_rs.validator_for(schema)
    for choice in walk:
        tokens = allowed(matcher)
        wide = allowed(without)
        assert set(tokens) <= set(wide)
        missing = [token for token in wide if token not in set(tokens)]
        if missing:
            token = missing[choice % len(missing)]
            fork = without.fork()
            assert fork.accept_token(token)
            for rest in completions(fork, 7):
                whole = text + TOKENS[token] + rest
                assert repeats(whole) or not validator.is_valid(json.loads(whole)), (text, TOKENS[token], rest)
        tokens = [token for token in tokens if token]
        if not tokens:
            break
        token = step(tokens, choice)
        assert matcher.accept_token(token)
        assert without.accept_token(token)
        text += TOKENS[token]


@pytest.mark.parametrize(
    ("schema", "text", "token", "may"),
    [
        (unique(INTEGER), "[1,1", "0", True),
        (unique(INTEGER), "[1,1", ",", False),
        (unique(INTEGER), "[1,", "1", True),
        (unique({"type": ["boolean", "integer"]}), "[true,false", ",", True),
        (unique({"type": ["boolean", "integer"]}), "[true,", "t", False),
        (unique(RECORD), '[{"a":1},{"a":1', "}", False),
        (unique(RECORD), '[{"a":1},{"a":1,"b":true},{"a":1', ",", True),
        (unique(RECORD), '[{"a":1},{"a":1,"b":true},{"a":1,"b":false},{"a":1', ",", False),
        (unique(RECORD), '[{"a":1},{"a":1,"b":true},{"a":1,"b":', "t", False),
        (unique({"type": "array", "items": BOOLEAN, "maxItems": 14}), "[[true],[true", "]", False),
        (unique(STRING), '["a","b', "a", True),
        (unique(STRING), '["a","b"', ',"a"', False),
        (unique(STRING), '["a"', ',"a', True),
        (unique(STRING), "[", '"a","', True),
        (unique(unique(INTEGER, minItems=1)), "[[1],[1", "]", False),
        (unique(unique(INTEGER, minItems=1)), "[[1],[1", ",", True),
        (THIN[9], "[0", ",", True),
        (THIN[9], "[0,", "0", False),
        (THIN[10], '["a"', ",", True),
        (THIN[10], '["a",1', ",", False),
    ],
)
def test_cases(schema: Any, text: str, token: str, may: bool) -> None:
    matcher = structgen.compile_schema(schema, VOCAB, options=COMPACT).matcher()
    assert matcher.accept_bytes(text.encode())
    assert matcher.accept_bytes(token.encode()) == may


@given(st.sampled_from([FAT[1], THIN[2], THIN[8]]), WALK, st.integers(0, 3))
def test_budgets_hold(schema: Any, walk: list[int], spare: int) -> None:
    matcher, row = structgen.compile_schema(schema, VOCAB).matcher(), np.zeros((1, VOCAB.num_words), np.int32)
    needed = matcher.closing_tokens()
    assert needed is not None
    budget = needed + spare
    for choice in [*walk, *range(40)]:
        assert matcher.fill_closing_bitmask(row, 0, budget)
        tokens = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()
        assert matcher.accept_token(step(tokens, choice))
        budget -= 1
        if matcher.is_terminated():
            break
    assert matcher.is_terminated()
    assert budget >= 0


@given(
    st.sampled_from([*FAT, *THIN]), WALK, st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1 << 16)), max_size=6)
)
def test_draft_trees(schema: Any, walk: list[int], nodes: list[tuple[int, int]]) -> None:
    """A tree's rows are what the matcher says after the tokens that lead there."""
    matcher = structgen.compile_schema(schema, VOCAB).matcher()
    for choice in walk:
        tokens = [token for token in allowed(matcher) if token]
        if not tokens or not matcher.accept_token(step(tokens, choice)):
            break
    forks: list[Matcher | None] = [matcher]
    drafted, parents = [], []
    for at, choice in nodes:
        parent = at % len(forks)
        here = forks[parent]
        tokens = allowed(plain(matcher.grammar).matcher()) if here is None else allowed(here)
        token = step([t for t in tokens if t] or [5], choice) if choice % 5 else choice % len(TOKENS) or 1
        fork = None if here is None else here.fork()
        drafted.append(token)
        parents.append(parent)
        forks.append(fork if fork is not None and fork.accept_token(token) else None)
    rows = np.zeros((len(forks), VOCAB.num_words), np.int32)
    legal = matcher.traverse_draft_tree(np.array(drafted, np.int32), np.array(parents, np.int32), rows)
    assert legal.tolist() == [fork is not None for fork in forks[1:]]
    for fork, row in zip(forks, rows, strict=True):
        tokens = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()
        assert tokens == ([] if fork is None else allowed(fork))


def test_only_items_without_end_need_a_memory() -> None:
    assert structgen.compile_schema(unique({"enum": [1, 2, 3]}), VOCAB).open_keys is None
    assert structgen.compile_schema(unique(STRING, maxItems=1), VOCAB).open_keys is None
    keys = structgen.compile_schema(unique(STRING), VOCAB).open_keys
    assert keys is not None
    assert (keys.distinct, keys.thin & 3) == (True, 0)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "prefixItems": [STRING, {"const": "a"}], "minItems": 2, "uniqueItems": True},
        unique(contains={"type": "boolean"}, minContains=3),
        unique(minItems=6_000),
    ],
)
def test_what_needs_foresight_is_refused(schema: Any) -> None:
    with pytest.raises(structgen.UnsupportedSchemaError) as error:
        structgen.compile_schema(schema, VOCAB)
    assert error.value.keyword == "uniqueItems"


def test_a_new_generation_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that fill up start a new generation, and the values of the text are known there."""
    monkeypatch.setattr("structgen.masks.values.MAX_NODES", 400)
    limits = structgen.Limits(max_states=1 << 12)
    schema = unique(STRING)
    matcher = structgen.compile_schema(schema, VOCAB, limits=limits).matcher()
    for byte in ("[" + ", ".join(f'"k{i}"' for i in range(9))).encode():
        assert matcher.accept_bytes(bytes((byte,)))
    other = structgen.compile_schema(schema, VOCAB, limits=limits).matcher()
    for byte in ("[" + ", ".join(f'"other {i}"' for i in range(9))).encode():
        assert other.accept_bytes(bytes((byte,)))
    assert matcher.accept_bytes(b', "k')
    assert not matcher.accept_bytes(b'8"')
    assert matcher.accept_bytes(b'9"')
    with pytest.raises(structgen.BudgetExceeded):
        matcher.accept_bytes(b', "' + b"ab" * 400)
    assert matcher.accept_bytes(b', "a"')
