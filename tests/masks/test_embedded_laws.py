"""JSON within other text: no object repeats a key, no array an item that must differ, and nothing else is forbidden."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import structgen
from structgen.compiler import CompiledGrammar
from structgen.matcher import Matcher
from structgen.vocab import Vocabulary

PIECES = (
    r"""{" "} ":_ ": ",_" "a ab "ab" \u0061 ": b" "a":1 ,"a" "a", ","a 1,1 {"a":1 <t> </t> "],[ [{ }] <t>{" 1}"""
    " }</t> [1"
)
TOKENS = [b"", *(bytes((b,)) for b in range(256)), *(piece.replace("_", " ").encode() for piece in PIECES.split())]
VOCAB = Vocabulary.from_bytes(TOKENS, eos_token_ids=[0])
INTEGER = {"type": "integer"}
OBJECT = {"type": "object", "properties": {"a": INTEGER, "ab": {}}, "additionalProperties": INTEGER}
THIN = {"type": "object", "propertyNames": {"pattern": "^(a|b)?$"}, "additionalProperties": INTEGER}
UNIQUE = {"type": "array", "items": {"type": ["string", "integer"]}, "uniqueItems": True}
SCHEMAS: list[Any] = [
    OBJECT,
    THIN,
    UNIQUE,
    {"type": "array", "items": THIN, "uniqueItems": True},
    {"type": "object", "additionalProperties": {"anyOf": [UNIQUE, OBJECT]}},
    True,
]


def lark(schema: Any) -> CompiledGrammar:
    text = f'start: TEXT? "<t>" value "</t>" TEXT\nvalue: %json {json.dumps(schema)}\nTEXT: /[^<]+/\n'
    return structgen.compile_grammar(text, VOCAB)


def tag(schema: Any) -> CompiledGrammar:
    inner = {"type": "tag", "begin": "<t>", "content": {"type": "json_schema", "json_schema": schema}, "end": "</t>"}
    return structgen.compile_structural_tag({"type": "triggered_tags", "triggers": ["<t>"], "tags": [inner]}, VOCAB)


def allowed(matcher: Matcher) -> list[int]:
    row = np.zeros((1, VOCAB.num_words), np.int32)
    matcher.fill_next_token_bitmask(row)
    return np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist()


def no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


READER = json.JSONDecoder(object_pairs_hook=no_repeats)


@pytest.mark.parametrize("embed", [lark, tag])
@pytest.mark.parametrize(
    ("schema", "text", "cut"),
    [
        (OBJECT, '{"b":1,"b":2}', '{"b":1,"b'),
        (OBJECT, '{"b":1,"\\u0062":2}', '{"b":1,"\\u0062'),
        (OBJECT, '{"ab":{"c":1,"c":1}}', '{"ab":{"c":1,"c'),
        (OBJECT, '{"ab":[{"c":1},{"c":1}],"c":1}', None),
        (OBJECT, '{"a":1,"b":1,"ba":1}', None),
        (THIN, '{"a":1,"b":1,"":1}', None),
        (THIN, '{"a":1,"b":1,"":1,', '{"a":1,"b":1,"":1'),
        (UNIQUE, '["a","\\u0061"]', '["a","\\u0061'),
        (UNIQUE, '["a",1,"1",11]', None),
        (UNIQUE, "[1,1,2]", "[1,1"),
        (SCHEMAS[3], '[{"a":1},{"a":1}]', '[{"a":1},{"a":1'),
        (True, '{"a":{"a":[1,1]},"b":{"a":1}}', None),
        (True, '[{"a":1,"a', '[{"a":1,"a'),
        (True, '[{"a":1,"a":1', '[{"a":1,"a'),
    ],
)
def test_cases(embed: Any, schema: Any, text: str, cut: str | None) -> None:
    matcher = embed(schema).matcher()
    assert matcher.accept_bytes(b'it has "{[, <t>'.replace(b"<t>", b"") + b"<t>")
    taken = 0
    for byte in text.encode():
        if not matcher.accept_bytes(bytes((byte,))):
            break
        taken += 1
    assert text[:taken] == (text if cut is None else cut)
    if cut is None:
        assert matcher.accept_bytes(b'</t> and {"a":1,"a":1')
        assert matcher.is_accepting()


@given(st.sampled_from([lark, tag]), st.sampled_from(SCHEMAS), st.lists(st.integers(0, 1 << 16), max_size=14))
def test_masks(embed: Any, schema: Any, walk: list[int]) -> None:
    """Mask, commit, the functional form and rollback agree; every text can be completed, and says nothing twice."""
    grammar = embed(schema)
    matcher, state = grammar.matcher(), grammar.start
    text, masks = b"", []
    for choice in [0, *walk]:
        tokens = allowed(matcher)
        masks.append(tokens)
        assert np.flatnonzero(np.unpackbits(grammar.mask(state).view(np.uint8), bitorder="little")).tolist() == tokens
        for token in range(len(TOKENS)):
            assert matcher.fork().accept_token(token) == (token in tokens), (text, TOKENS[token])
        rest = matcher.shortest_completion()
        assert rest is not None
        assert matcher.fork().accept_bytes(rest)
        written = (text + rest).removeprefix(b"<t>").decode().lstrip()
        if text:
            value, _ = READER.raw_decode(written)
            if schema in (UNIQUE, SCHEMAS[3]):
                assert all(value.count(item) == 1 for item in value), text + rest
        spelled = [token for token in tokens if TOKENS[token]]
        going_on = [token for token in spelled if len(TOKENS[token]) > 1 or TOKENS[token] in b'[]{},:"01ab'] or spelled
        if not going_on:
            break
        token = going_on[choice % len(going_on)] if text else TOKENS.index(b"<t>")
        assert matcher.accept_token(token)
        state = grammar.advance(state, token)
        text += TOKENS[token]
    while masks and matcher.num_tokens:
        matcher.rollback()
        assert allowed(matcher) == masks[matcher.num_tokens]


def test_closed_schemas_need_no_memory() -> None:
    closed = {"type": "object", "properties": {"a": INTEGER}, "additionalProperties": False}
    assert lark(closed).open_keys is None
    assert tag(closed).open_keys is None
    keys = tag(OBJECT).open_keys
    assert keys is not None
    assert keys.embedded
