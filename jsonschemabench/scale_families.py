"""Schemas that grow in one direction each, with a valid text for every size. Pure: a size in, a case out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jsonschemabench.case import Case, Instance, instance_text

NUM_SPREAD = 50
"""How many of many optional properties or enum values the text uses, evenly spread."""
WORDS = "the quick brown fox jumps over the lazy dog and runs on "


def _spread(size: int) -> list[int]:
    """At most ``NUM_SPREAD`` indices below ``size``, the first and the last among them."""
    if size <= NUM_SPREAD:
        return list(range(size))
    return [index * (size - 1) // (NUM_SPREAD - 1) for index in range(NUM_SPREAD)]


def _properties(size: int) -> tuple[Any, str]:
    kinds: list[tuple[dict[str, Any], Any]] = [
        ({"type": "string"}, "text"),
        ({"type": "integer"}, 7),
        ({"type": "boolean"}, True),
        ({"type": "array", "items": {"type": "number"}}, [1.5]),
    ]
    schema = {
        "type": "object",
        "properties": {f"property{index}": kinds[index % 4][0] for index in range(size)},
        "additionalProperties": False,
    }
    return schema, instance_text({f"property{index}": kinds[index % 4][1] for index in _spread(size)})


def _required(size: int) -> tuple[Any, str]:
    names = [f"property{index}" for index in range(size)]
    schema = {
        "type": "object",
        "properties": {name: {"type": "integer"} for name in names},
        "required": names,
        "additionalProperties": False,
    }
    return schema, instance_text(dict.fromkeys(names, 7))


def _enum(size: int) -> tuple[Any, str]:
    values = [f"value {index * 7919 % 1_000_003} of {size}" for index in range(size)]
    schema = {"type": "array", "items": {"enum": values}}
    return schema, instance_text([values[index] for index in _spread(size)])


def _nesting(size: int) -> tuple[Any, str]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(size):
        schema = {"type": "object", "properties": {"in": schema}, "required": ["in"], "additionalProperties": False}
    return schema, '{"in": ' * size + "7" + "}" * size


def _max_length(size: int) -> tuple[Any, str]:
    text = (WORDS * (size // len(WORDS) + 1))[:size]
    return {"type": "string", "maxLength": size}, instance_text(text)


def _any_of(size: int) -> tuple[Any, str]:
    def alternative(index: int) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"kind": {"const": f"kind{index}"}, f"field{index}": {"type": "integer"}},
            "required": ["kind", f"field{index}"],
            "additionalProperties": False,
        }

    schema = {"type": "array", "items": {"anyOf": [alternative(index) for index in range(size)]}}
    return schema, instance_text([{"kind": f"kind{index}", f"field{index}": 7} for index in _spread(size)])


def _recursion(size: int) -> tuple[Any, str]:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {"value": {"type": "integer"}, "next": {"$ref": "#/$defs/node"}},
                "required": ["value"],
                "additionalProperties": False,
            }
        },
    }
    return schema, '{"value": 7, "next": ' * size + '{"value": 7}' + "}" * size


FAMILIES: dict[str, tuple[str, Callable[[int], tuple[Any, str]]]] = {
    "properties": ("optional properties of an object; the text uses 50", _properties),
    "required": ("required properties of an object; the text has all", _required),
    "enum": ("values of an enum; the text uses 50", _enum),
    "nesting": ("objects inside objects, each by a schema of its own", _nesting),
    "maxLength": ("maxLength of a string; the text is as long", _max_length),
    "anyOf": ("alternatives of an anyOf, told apart by a const; the text uses 50", _any_of),
    "recursion": ("depth of the text under one recursive $ref", _recursion),
}
"""Name → (what grows, how to make it)."""


def family_case(family: str, size: int) -> Case:
    """The case of a family at a size."""
    schema, text = FAMILIES[family][1](size)
    return Case(f"{family}/{size}", family, schema, (Instance(True, text),))
