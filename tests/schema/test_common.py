"""Laws of values that are one rule for all schemas: texts are judged as if each were alone, and equal ones meet."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import structgen
from structgen.errors import GrammarTooComplex
from structgen.ir import Call, Lazy, Members, Node, Rule
from structgen.schema import SchemaOptions, common, compile_to_ir
from structgen.schema.expand import Expander
from structgen.schema.forms import Shape, Term
from structgen.vocab import Vocabulary

from .strategies import values

BYTES = Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)

_LEAVES = st.one_of(
    st.sampled_from(
        [
            True,
            False,
            {},
            {"description": "anything"},
            *({"type": name} for name in ("null", "boolean", "integer", "number", "string", "array", "object")),
            {"type": ["string", "null"]},
            {"type": ["array", "integer"]},
        ]
    ),
    st.fixed_dictionaries({"enum": st.lists(st.sampled_from([None, 0, 1, "a", "b"]), min_size=1, unique=True)}),
    st.fixed_dictionaries({"type": st.just("string"), "maxLength": st.integers(0, 2)}),
    st.fixed_dictionaries({"type": st.just("number"), "minimum": st.integers(0, 2)}),
)


def _containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    small = st.integers(0, 2)
    lists = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "minItems": small,
            "maxItems": small,
            "uniqueItems": st.booleans(),
        },
    )
    maps = st.fixed_dictionaries(
        {"type": st.just("object")}, optional={"additionalProperties": inner, "maxProperties": small}
    )
    return st.one_of(lists, maps, st.builds(lambda *branches: {"anyOf": list(branches)}, inner, lists))


VALUES = st.recursive(_LEAVES, _containers, max_leaves=6)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(VALUES, min_size=2, max_size=5), st.lists(values(3), min_size=1, max_size=6))
@example([{"type": "array", "items": {"enum": [1]}}, {"type": "array", "items": {"enum": [1, "a"]}}], [[1], ["a"], [0]])
@example([{"type": "array", "maxItems": 1}, {"type": "array"}], [[1], [1, 2]])
@example([{"type": "object", "additionalProperties": {"maxLength": 1}}, {"type": "object"}], [{"a": "ab"}, {"a": 1}])
@example([{"prefixItems": [{"type": "null"}], "type": "array"}, {"items": {"type": "null"}}], [[None], [None, 1]])
@example([{"type": "array", "items": {"type": "integer"}, "uniqueItems": True}], [[1, 1], [1, 2]])
@example([{"type": "array", "items": {"type": "string", "minLength": 2, "maxLength": 1}}], [[], ["a"]])
def test_schemas_in_one_process_do_not_mind_each_other(members: list[Any], instances: list[Any]) -> None:
    for member in members:
        schema = {"type": "object", "properties": {"k": member}, "additionalProperties": False}
        oracle = jsonschema_rs.validator_for(schema)
        grammar = structgen.compile_schema(schema, BYTES)
        for value in instances:
            text = json.dumps({"k": value}, ensure_ascii=False)
            matcher = grammar.matcher()
            accepted = all(matcher.accept_token(byte) for byte in text.encode()) and matcher.is_accepting()
            assert accepted == oracle.is_valid({"k": value}), (schema, value)


def test_items_that_cannot_be_are_not_begun() -> None:
    value = {"type": "array", "items": {"type": "array", "minItems": 1, "items": False}}
    matcher = structgen.compile_schema({"type": "object", "properties": {"k": value}}, BYTES).matcher()
    assert all(matcher.accept_token(byte) for byte in b'{"k": [')
    assert not matcher.accept_token(ord("[")) and matcher.accept_token(ord("]"))


def test_an_item_that_is_too_complex_is_said_to_the_text_that_gets_there(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Expander.shape

    def shape(expander: Expander, term: Term) -> Shape:
        if any(expander.schemas.atoms[literal >> 1].schema.get("title") == "complex" for literal in term):
            raise GrammarTooComplex("too much", pointer="/there")
        return plain(expander, term)

    monkeypatch.setattr(Expander, "shape", shape)
    items = {"type": "array", "items": {"title": "complex", "maxLength": 3}}
    schema = {"type": "object", "properties": {"a": items, "b": {"type": "integer"}}}
    matcher = structgen.compile_schema(schema, BYTES).matcher()
    assert all(matcher.accept_token(byte) for byte in b'{"b": 1}') and matcher.is_accepting()
    matcher.reset()
    with pytest.raises(GrammarTooComplex, match="/there"):
        all(matcher.accept_token(byte) for byte in b'{"a": ["x"]}')


def _member(value: Any, name: str = "k") -> Rule:
    """The rule of the value of an object's only key."""
    schema = {"type": "object", "properties": {name: value}, "additionalProperties": False}
    (found,) = _calls(compile_to_ir(schema, SchemaOptions()).root)
    return found


def _calls(node: Node) -> set[Rule]:
    """The rules of members' values."""
    if isinstance(node, Lazy):
        return _calls(node.force())
    if isinstance(node, Members):
        rests = [key.rest for key in node.keys]
        calls = [rest.force() if isinstance(rest, Lazy) else rest for rest in rests]
        return {call.rule for call in calls if isinstance(call, Call)}
    return {rule for part in getattr(node, "parts", ()) for rule in _calls(part)}


@pytest.mark.parametrize(
    "value",
    [
        {"type": "array", "items": {"type": "string"}, "description": "one"},
        {"type": "array", "items": {"type": "integer", "minimum": 3}, "maxItems": 4},
        {"type": "object", "additionalProperties": {"type": "array", "items": {"enum": ["a", "b"]}}},
        {"type": "array", "items": {"type": "object"}},
    ],
    ids=["strings", "numbers", "map-of-lists", "objects"],
)
def test_equal_values_of_two_schemas_are_one_rule(value: dict[str, Any]) -> None:
    other = {**value, "description": "another"}
    assert _member(value) is _member(other, "l")


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common, "_MOST", 3)
    first = {"type": "array", "items": {"maxLength": 11}}
    before = _member(first)
    for length in range(12, 20):
        _member({"type": "array", "items": {"maxLength": length}})
    assert _member(first) is not before
