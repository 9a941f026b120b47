"""The order of an object's members: any order is the standard's, declared order leaves out and adds nothing."""

from __future__ import annotations

import json
from itertools import permutations
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.errors import UnsatisfiableSchemaError
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir

NAMES = ("a", "b", "c", "d")
INTEGER = {"type": "integer"}
CONSTRAINTS: list[dict[str, Any]] = [
    {"required": ["c", "a"]},
    {"required": ["d"]},
    {"additionalProperties": False},
    {"additionalProperties": INTEGER},
    {"minProperties": 2},
    {"maxProperties": 2},
    {"minProperties": 3, "maxProperties": 3},
    {"dependentRequired": {"a": ["b"], "d": ["a", "c"]}},
    {"dependentSchemas": {"b": {"properties": {"a": {"minimum": 1}}, "required": ["a"]}}},
    {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"oneOf": [{"properties": {"a": {"const": 0}}}, {"properties": {"c": {"const": 0}}}]},
    {"anyOf": [{"required": ["a", "b"]}, {"required": ["c", "d"]}, {"maxProperties": 1}]},
    {"not": {"required": ["a", "b"]}},
    {"if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
    {"patternProperties": {"^[cd]": {"type": "integer", "maximum": 1}}},
    {"propertyNames": {"pattern": "^[a-c]$"}},
]
PROPERTIES = [{}, {"a": INTEGER}, {"b": INTEGER, "a": INTEGER}, {"c": True, "a": INTEGER, "b": {"type": "integer"}}]


@given(
    st.sampled_from(PROPERTIES),
    st.lists(st.sampled_from(CONSTRAINTS), min_size=1, max_size=3),
    st.lists(st.sampled_from(NAMES), max_size=4, unique=True),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_any_order_is_the_validator_s(
    properties: dict[str, Any], constraints: list[dict[str, Any]], keys: list[str], numbers: list[int]
) -> None:
    """Members in any order: accepted exactly if the validator accepts."""
    schema = {"type": "object", "properties": properties, "allOf": constraints}
    value = dict(zip(keys, numbers, strict=False))
    try:
        recognizer = Recognizer(compile_to_ir(schema).root)
        accepted = recognizer.accepts(json.dumps(value).encode())
    except UnsatisfiableSchemaError:
        accepted = False
    assert accepted == jsonschema_rs.validator_for(schema).is_valid(value), (schema, value)


SCHEMA = {"properties": {"b": INTEGER, "a": INTEGER, "c": INTEGER}, "required": ["a"], "type": "object"}


@pytest.mark.parametrize("order", list(permutations("abcx", 3)))
def test_declared_order(order: tuple[str, ...]) -> None:
    """Declared keys as the schema has them, and additional ones after them."""
    text = json.dumps(dict.fromkeys(order, 1)).encode()
    names = [name for name in order if name in "abc"]
    in_place = names == [name for name in "bac" if name in names] and "x" not in order[:-1]
    declared = Recognizer(compile_to_ir(SCHEMA, SchemaOptions(property_order="declared")).root)
    anyhow = Recognizer(compile_to_ir(SCHEMA, SchemaOptions(property_order="any")).root)
    assert anyhow.accepts(text) == ("a" in order)
    assert declared.accepts(text) == ("a" in order and in_place)
