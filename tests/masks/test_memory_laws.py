"""No object repeats a key, however it is spelled, and nothing else is forbidden."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import structgen
from structgen.compiler import CompiledGrammar
from structgen.matcher import Matcher
from structgen.vocab import Vocabulary

EOS = 0
PIECES = (
    r"""{" "} ":_ ": ",_" "a ab "ab" \u00 \u006 61 \" 1, ]} }} [] [1 a" a":_1 "a":1 "b":_ ,"a" ,"b":1 {"a":1 "":""
"":1,"a" ":1,"a" ","," ","a":1,"b {}, "\u0061" \u0061": b" b": aa :1,_" é \u00e9 \ud83d \ude00 1}, 1,"a"""
    + '":[{"'
)
TOKENS = [b"", *(bytes((b,)) for b in range(256)), *(piece.replace("_", " ").encode() for piece in PIECES.split())]
VOCAB = Vocabulary.from_bytes(TOKENS, eos_token_ids=[EOS])
KEYS = ["a", "b", "ab", "", "é", "😀", '"', "\n", "c"]

INTEGER = {"type": "integer"}
OPEN: list[Any] = [
    {"type": "object", "additionalProperties": INTEGER},
    {"type": "object", "properties": {"a": INTEGER}, "required": ["a"], "additionalProperties": INTEGER},
    {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": INTEGER}},
    {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "object"}}},
    {"type": "object", "minProperties": 3, "additionalProperties": INTEGER},
    {"type": "object", "patternProperties": {"^a": INTEGER}, "additionalProperties": {"type": "string"}},
    {"anyOf": [{"type": "object", "required": ["b"]}, {"type": "object", "maxProperties": 2}]},
    True,
]
THIN: list[Any] = [
    {"type": "object", "patternProperties": {"^(a|b|ab)$": INTEGER}, "additionalProperties": False},
    {"type": "object", "propertyNames": {"pattern": "^(a|b.*)$"}, "additionalProperties": INTEGER},
    {"type": "object", "patternProperties": {"^(ab?|b+)$": INTEGER}, "additionalProperties": False, "minProperties": 3},
    {"type": "object", "propertyNames": {"maxLength": 1}, "additionalProperties": INTEGER},
    {"type": "object", "properties": {"a": True}, "propertyNames": {"pattern": '^(a.|"|😀b*)$'}, "minProperties": 2},
]


def repeats(text: bytes) -> bool:
    """Whether a key that has ended in the beginning of a JSON text was there before, read anew."""
    data, at = text.decode("utf-8", "ignore"), 0
    objects: list[set[str] | None] = []
    at_key = False
    while at < len(data):
        char = data[at]
        if char == '"':
            try:
                value, at = json.decoder.scanstring(data, at + 1)
            except ValueError:
                return False  # it has not ended
            if at_key:
                keys = objects[-1]
                assert keys is not None
                if value in keys:
                    return True
                keys.add(value)
            at_key = False
            continue
        if char in "{[":
            objects.append(set() if char == "{" else None)
            at_key = char == "{"
        elif char in "}]":
            objects.pop()
            at_key = False
        elif char == ",":
            at_key = objects[-1] is not None
        at += 1
    return False


def allowed(matcher: Matcher) -> list[int]:
    row = np.zeros((1, VOCAB.num_words), np.int32)
    matcher.fill_next_token_bitmask(row)
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def plain(grammar: CompiledGrammar) -> CompiledGrammar:
    """The same grammar without a memory."""
    return CompiledGrammar(grammar.root, VOCAB, report=None)


WALK = st.lists(st.integers(0, 1 << 16), max_size=12)
KEY_TOKENS = [
    t for t, token in enumerate(TOKENS) if b'"' in token or token in (b"a", b"b", b"{", b"}", b",", b":", b"1")
]


def step(tokens: list[int], choice: int) -> int:
    """One of the tokens, mostly one that matters."""
    likely = [token for token in tokens if token in KEY_TOKENS]
    return (likely or tokens)[choice % len(likely or tokens)] if choice % 8 else tokens[choice % len(tokens)]


@given(st.sampled_from(OPEN), WALK)
def test_a_mask_is_the_network_s_without_what_repeats_a_key(schema: Any, walk: list[int]) -> None:
    grammar = structgen.compile_schema(schema, VOCAB)
    matcher, without = grammar.matcher(), plain(grammar).matcher()
    text = b""
    for choice in [*walk, 0]:
        tokens = allowed(matcher)
        assert tokens == [token for token in allowed(without) if token == EOS or not repeats(text + TOKENS[token])]
        tokens = [token for token in tokens if token != EOS]
        if not tokens:
            break
        token = step(tokens, choice)
        assert matcher.accept_token(token)
        assert without.accept_token(token)
        text += TOKENS[token]


@given(st.sampled_from([*OPEN, *THIN]), WALK)
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
            assert fork.accept_token(token) == (token in tokens)
            assert (grammar.advance(state, token) != grammar.DEAD) == (token in tokens)
        single = {TOKENS.index(bytes((byte,))) for byte in matcher.allowed_bytes()}
        assert single == {token for token in tokens if 1 <= token <= 256}
        tokens = [token for token in tokens if token != EOS]
        if not tokens:
            break
        token = step(tokens, choice)
        assert matcher.accept_token(token)
        state = grammar.advance(state, token)
    while masks and matcher.num_tokens:
        matcher.rollback()
        assert allowed(matcher) == masks[matcher.num_tokens]


@given(st.sampled_from([*OPEN, *THIN]), WALK)
def test_every_text_can_be_completed(schema: Any, walk: list[int]) -> None:
    """There is no dead end, and what completes a text is valid and repeats no key."""
    matcher = structgen.compile_schema(schema, VOCAB).matcher()
    text = b""
    validator = jsonschema_rs.validator_for(schema)
    for choice in [*walk, 0]:
        rest = matcher.shortest_completion()
        assert rest is not None
        fork = matcher.fork()
        assert fork.accept_bytes(rest)
        assert fork.is_accepting()
        assert not repeats(text + rest)
        assert validator.is_valid(json.loads(text + rest))
        forced = matcher.forced_bytes(64)
        assert matcher.fork().accept_bytes(forced)
        tokens = [token for token in allowed(matcher) if token != EOS]
        if not tokens:
            break
        token = step(tokens, choice)
        assert matcher.accept_token(token)
        text += TOKENS[token]


@given(st.sampled_from([*OPEN[:6], *THIN]), st.lists(st.sampled_from(KEYS), max_size=4), st.data())
def test_texts(schema: Any, keys: list[str], data: st.DataObject) -> None:
    """An object in any spelling is accepted exactly if it is valid and its keys differ."""
    value: dict[str, Any] = dict.fromkeys(keys, 1)
    spelled = [json.dumps(key, ensure_ascii=data.draw(st.booleans())) for key in keys]
    if data.draw(st.booleans()):
        spelled = ['"' + "".join(f"\\u{ord(c):04X}" if ord(c) < 0x10000 else c for c in key) + '"' for key in keys]
    text = "{" + ", ".join(f"{key}: 1" for key in spelled) + "}"
    matcher = structgen.compile_schema(schema, VOCAB, options=structgen.SchemaOptions(literal_escapes="any")).matcher()
    taken = matcher.accept_bytes(text.encode()) and matcher.is_accepting()
    assert taken == (len(value) == len(keys) and jsonschema_rs.validator_for(schema).is_valid(value)), text


@given(st.sampled_from([OPEN[4], THIN[2], THIN[4]]), WALK, st.integers(0, 3))
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


def test_only_open_keys_need_a_memory() -> None:
    closed = {"type": "object", "properties": {"a": INTEGER, "b": {"type": "array", "items": INTEGER}}}
    assert structgen.compile_schema({**closed, "additionalProperties": False}, VOCAB).open_keys is None
    assert structgen.compile_schema(closed, VOCAB).open_keys is not None
    assert structgen.compile_schema({"type": "array"}, VOCAB).open_keys is not None
    assert structgen.compile_schema({"type": "string"}, VOCAB).open_keys is None


def test_a_new_generation_remembers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that fill up start a new generation, and the keys of the text are known there."""
    monkeypatch.setattr("structgen.masks.memory.MAX_CELLS", 64)
    limits = structgen.Limits(max_states=1 << 12)
    matcher = structgen.compile_schema(OPEN[0], VOCAB, limits=limits).matcher()
    text = "{" + ", ".join(f'"k{i}": {i}' for i in range(9))
    for byte in text.encode():
        assert matcher.accept_bytes(bytes((byte,)))
    other = structgen.compile_schema(OPEN[0], VOCAB, limits=limits).matcher()
    for byte in b'{"other key": 1, "and one more": 2':
        assert other.accept_bytes(bytes((byte,)))
    assert matcher.accept_bytes(b', "k')
    assert not matcher.accept_bytes(b'8"')
    assert matcher.accept_bytes(b'9"')


def test_a_beginning_whose_other_keys_are_all_forbidden() -> None:
    """It goes on in many ways as far as the pattern says, and by name they are forbidden, all but the beginning."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    key = "abcdefghijkl"
    schema = {
        "type": "object",
        "propertyNames": {
            "pattern": "^[a-z0-9]{12}([a-z0-9]{2})?$",
            "not": {"enum": [key + first + second for first in letters for second in letters]},
        },
        "additionalProperties": INTEGER,
    }
    matcher = structgen.compile_schema(schema, VOCAB).matcher()
    assert matcher.accept_bytes(f'{{"{key}":1,"{key[:-1]}'.encode())
    following = {TOKENS[token] for token in allowed(matcher)}
    assert b"m" in following
    assert b"l" not in following


@pytest.mark.parametrize("known", ["a", "c"])
def test_a_token_that_ends_an_escaped_key_and_then_another(known: str) -> None:
    """Its first quote belongs to an escape that began in the token before (found by the table of kernels)."""
    both = b'"":1,"a"'
    vocab = Vocabulary.from_bytes([*TOKENS, both], eos_token_ids=[EOS])
    matcher = structgen.compile_schema({"type": "object", "additionalProperties": INTEGER}, vocab).matcher()
    assert matcher.accept_bytes(b'{"%b":1,"b\\' % known.encode())
    row = np.zeros((1, vocab.num_words), np.int32)
    matcher.fill_next_token_bitmask(row)
    token = len(TOKENS)
    assert bool(row[0, token >> 5] >> (token & 31) & 1) == (known == "c") == matcher.accept_token(token)
