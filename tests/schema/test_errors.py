"""What is refused, where it says so, and what is unsatisfiable. Nothing is dropped silently."""

from __future__ import annotations

from typing import Any

import pytest

from structgen.errors import (
    CompileError,
    GrammarTooComplex,
    InvalidSchemaError,
    UnsatisfiableSchemaError,
    UnsupportedSchemaError,
)
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, check_schema, compile_to_ir

DEEP: dict[str, Any] = {"type": "null"}
for _ in range(600):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("schema", "error", "pointer", "keyword"),
    [
        (
            {"properties": {"a/b": {"uniqueItems": True, "minItems": 6_000}}},
            UnsupportedSchemaError,
            "/properties/a~1b",
            "uniqueItems",
        ),
        ({"items": {"pattern": r"(a)\1"}}, UnsupportedSchemaError, "/items", "pattern"),
        ({"anyOf": [True, {"format": 3}]}, InvalidSchemaError, "/anyOf/1", "format"),
        ({"$ref": "http://x/y"}, UnsupportedSchemaError, "", "$ref"),
        ({"$dynamicRef": "#a"}, InvalidSchemaError, "", "$ref"),
        ({"$dynamicAnchor": "a", "$dynamicRef": "#a"}, InvalidSchemaError, "", None),
        ({"properties": {"a": {"multipleOf": 10**401}}}, GrammarTooComplex, "/properties/a", None),
        ({"type": "text"}, InvalidSchemaError, "", "type"),
        ({"minLength": -1}, InvalidSchemaError, "", "minLength"),
        ({"maxItems": "3"}, InvalidSchemaError, "", "maxItems"),
        ({"properties": {"a": 3}}, InvalidSchemaError, "/properties/a", None),
        ({"required": True}, InvalidSchemaError, "", "required"),
        ({"$ref": "#/$defs/a"}, InvalidSchemaError, "", "$ref"),
        ({"$ref": "#"}, InvalidSchemaError, "", "$ref"),
        ({"allOf": [{"$ref": "#"}]}, InvalidSchemaError, "", None),
        ([], InvalidSchemaError, "", None),
    ],
    ids=str,
)
def test_refused(schema: Any, error: type[CompileError], pointer: str, keyword: str | None) -> None:
    with pytest.raises(error) as caught:
        compile_to_ir(schema)
    assert caught.value.pointer == pointer  # type: ignore[attr-defined]
    assert caught.value.keyword == keyword  # type: ignore[attr-defined]


def test_unreachable_definitions_are_not_refused() -> None:
    compile_to_ir(
        {"type": "null", "$defs": {"a": {"uniqueItems": True, "minItems": 6_000}, "b": {"$ref": "#/nowhere"}}}
    )


def test_all_problems_are_named() -> None:
    schema = {"properties": {"a": {"pattern": r"(a)\1"}, "b": {"minItems": -1}}}
    with pytest.raises(UnsupportedSchemaError, match=r"/properties/a.*1 more: /properties/b minItems"):
        compile_to_ir(schema)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"enum": []},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 2},
        {"type": "string", "pattern": "^a$", "minLength": 2},
        {"type": "object", "required": ["a"], "properties": {"a": False}},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "minProperties": 2, "properties": {"a": True, "b": False}, "additionalProperties": False},
        {"type": "array", "minItems": 2, "maxItems": 1},
        {"type": "array", "minItems": 1, "items": {"$ref": "#"}},
        {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}},
        {"allOf": [{"type": "string"}, {"type": "null"}]},
        {"oneOf": [{"type": "null"}, {"type": "null"}]},
        {"type": "null", "not": {"enum": [None]}},
        {"type": "array", "contains": False},
        {"const": "\ud800"},
        {"enum": [{"\udfff": 1}]},
        {"type": "object", "required": ["\ud800"]},
        {"type": "object", "patternProperties": {"": False}, "minProperties": 1},
    ],
    ids=str,
)
def test_unsatisfiable(schema: Any) -> None:
    with pytest.raises(UnsatisfiableSchemaError):
        compile_to_ir(schema)


@pytest.mark.parametrize(
    ("schema", "prefix", "ends"),
    [
        ({"properties": {"a": {"enum": []}, "b": {}}, "additionalProperties": False, "type": "object"}, '{"', "b"),
        ({"properties": {"a": {"$ref": "#"}, "b": {}}, "required": ["b"], "additionalProperties": False}, '{"', "ab"),
        (
            {"properties": {"b": {}, "a": {"type": "string", "pattern": "a", "maxLength": 0}}, "maxProperties": 1},
            '{"a',
            "a",
        ),
        ({"type": "array", "maxItems": 2, "contains": {"const": 1}, "minContains": 2}, "[", "1"),
    ],
    ids=str,
)
def test_no_dead_ends(schema: Any, prefix: str, ends: str) -> None:
    """After the prefix, of these two continuations exactly the viable ones are offered."""
    recognizer = Recognizer(compile_to_ir(schema).root)
    offered = {char for char in "ab12" if recognizer.viable((prefix + char).encode())}
    assert offered & set("ab12") == set(ends) or (prefix.endswith("a") and not recognizer.viable(b'{"a"'))


def test_deep_nesting_is_answered() -> None:
    recognizer = Recognizer(compile_to_ir(DEEP).root)
    assert recognizer.accepts(b"[[[]]]")


def test_growth_is_bounded() -> None:
    branches = [{"type": "array", "prefixItems": [{"const": i}, {"const": j}]} for i in range(9) for j in range(9)]
    schema = {"allOf": [{"anyOf": branches}, {"anyOf": branches[::-1]}, {"not": {"anyOf": branches[5:70]}}]}
    try:
        compile_to_ir(schema, SchemaOptions(max_forms=100))
    except GrammarTooComplex as error:
        assert error.advice


def test_report() -> None:
    schema = {"title": "t", "x-y": 1, "type": "string", "format": "colour", "minLength": 2}
    report = compile_to_ir(schema).report
    assert {(item.keyword, item.status) for item in report.occurrences} == {
        ("title", "annotation"),
        ("x-y", "annotation"),
        ("type", "enforced"),
        ("format", "annotation"),
        ("minLength", "enforced"),
    }
    assert check_schema({"items": {"uniqueItems": True, "minItems": 6_000}}).counts == {"enforced": 2, "refused": 1}
    ignored = check_schema(
        {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a", "type": "null"}
    )
    assert {item.keyword: item.status for item in ignored.occurrences}["type"] == "ignored"


def test_options_are_validated() -> None:
    for wrong in ({"whitespace": "some"}, {"indent": 2}, {"max_indent": -1}, {"separators": (";", ":")}):
        with pytest.raises(ValueError, match=r"must|needs"):
            SchemaOptions(**wrong)  # type: ignore[arg-type]
