"""Where a text of JSON stands, which declared keys may come there, and that outlines draft them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from test_speculation_loop import target

import structgen
from structgen.decode.models import load
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.drafter import Context
from structgen.decode.speculation.names import Names, Where
from structgen.decode.speculation.outline import Outline

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"\\{,', max_size=3), inner, max_size=3),
    max_leaves=8,
)


def bodies(value: Any, keys: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], str, bool]]:
    """(last keys of the containers around, text, whether it is a key) of every string, in the order of the text."""
    if isinstance(value, str):
        return [(keys, value, False)]
    found, last = [], ""
    if isinstance(value, list):
        for each in value:
            found += bodies(each, (*keys, ""))
    elif isinstance(value, dict):
        for key, each in value.items():
            found += [((*keys, last), key, True), *bodies(each, (*keys, key))]
            last = key
    return found


@given(VALUES)
def test_it_stands_where_a_parser_would(value: Any) -> None:
    where, found = Where(), []
    for byte in json.dumps(value).encode():
        after = where.after(bytes((byte,)))
        if where.string is not None and after.string is None:
            keys = tuple(json.loads(b'"' + key + b'"') for key in where.keys)
            found.append((keys, json.loads(b'"' + where.string + b'"'), where.is_key))
        where = after
    assert found == bodies(value)
    assert where == Where().after(json.dumps(value).encode())
    assert (where.keys, where.is_object, where.string) == ((), (), None)


SCHEMA: dict[str, Any] = {
    "$defs": {"place": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "allOf": [{"properties": {"id": {"type": "integer"}}}],
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "places": {"type": "array", "items": {"$ref": "#/$defs/place"}},
        "next": {"$ref": "#"},
        'a "b"': {},
    },
}


def test_the_keys_declared_behind_the_last_one_come_first() -> None:
    names = Names(SCHEMA)

    def after(text: str) -> list[bytes]:
        return [rest for _, rest in names.candidates(Where().after(text.encode()))]

    assert after('{"') == [b'name"', b'places"', b'next"', b'a \\"b\\""', b'id"']
    assert after('{"name": "x", "') == [b'places"', b'next"', b'a \\"b\\""']
    assert after('{"name": "x", "p') == [b'laces"']
    assert after('{"places": [{"') == [b'street"', b'city"']
    assert after('{"places": [{"street": "", "') == [b'city"']
    assert after('{"next": {"na') == [b'me"']
    assert after('{"name": "') == after('{"name"') == after("") == after('{"unknown": {"x": 1, "') == []
    assert not Names(True)


def test_an_outline_drafts_the_next_declared_key_where_any_may_come() -> None:
    loaded = load(target())
    vocab = loaded.vocab
    grammar = structgen.compile_schema(SCHEMA, vocab)
    matcher, outline = grammar.matcher(), Outline()
    text = b'{"name": "x", "'
    tokens = vocab.encode(text)
    assert all(map(matcher.accept_token, tokens))
    context = Context(tokens, 0, matcher, 32, Sampling(), None)
    state = outline.begin([])
    tree = outline.propose(context, state, 64)
    paths: list[tuple[int, ...]] = [()]
    for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
        paths.append((*paths[parent], token))
    drafted = [vocab.decode(path) for path in paths]
    assert any(each.startswith(b'places":') for each in drafted)
    assert any(each.startswith(b'next":') for each in drafted)
    assert not any(each.startswith(b'name"') for each in drafted), "a repeated key"
    below = outline.extend(context, state, tuple(vocab.encode(b"ne")), 64)
    assert below.num_nodes
    further = matcher.fork()
    assert all(map(further.accept_token, [*vocab.encode(b"ne"), int(below.tokens[0])]))
    assert vocab.token_bytes(int(below.tokens[0])) in b'xt":'
