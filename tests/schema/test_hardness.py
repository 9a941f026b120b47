"""Schemas that are large, deep or adversarial: answered, or refused with a pointer. Never a hang or RecursionError."""

from __future__ import annotations

from functools import reduce
from typing import Any

import pytest

from structgen.compiler import CompiledGrammar
from structgen.errors import GrammarTooComplex, InvalidSchemaError
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.vocab import Vocabulary

BYTES = Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)
LEAF: dict[str, Any] = {"type": "object", "required": ["a"]}


def accepts(schema: Any, text: str) -> bool:
    grammar = CompiledGrammar(compile_to_ir(schema, SchemaOptions(property_order="declared")).root, BYTES, report=None)
    state = grammar.start
    for byte in text.encode():
        state = grammar.advance(state, byte)
        if state == grammar.DEAD:
            return False
    return grammar.is_accepting(state)


def wrapped(keyword: str, times: int) -> Any:
    """A schema so deep inside of applicators."""
    listed = keyword in ("allOf", "anyOf", "oneOf")
    return reduce(lambda inner, _: {keyword: [inner] if listed else inner}, range(times), LEAF)


def chain(length: int) -> Any:
    """References that lead on and on."""
    links: dict[str, Any] = {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}]} for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**links, f"d{length}": {"type": "null"}}}


OBJECT = {"type": "object"}
NAMED = {f"k{number}": {"type": "integer"} for number in range(20_000)}

ANSWERED: dict[str, tuple[Any, str, str]] = {
    "allOf 500 deep": (wrapped("allOf", 500), '{"a":1}', "{}"),
    "anyOf 500 deep": (wrapped("anyOf", 500), '{"a":1}', "{}"),
    "oneOf 500 deep": (wrapped("oneOf", 500), '{"a":1}', "{}"),
    "not 500 deep": (wrapped("not", 500), '{"a":1}', "{}"),
    "if 500 deep": (wrapped("if", 500), '{"a":1}', "{]"),
    "properties 500 deep": (
        reduce(lambda inner, _: {"properties": {"a": inner}}, range(500), {"type": "null"}), '{"a":{"a":1}}', '{"a"}'
    ),
    "references 1000 deep": (chain(1000), "null", "1"),
    "oneOf of 200 bare required": (
        {"oneOf": [{"required": [f"k{i}"]} for i in range(200)]}, '{"k7":1}', '{"k7":1,"k8":1}'
    ),
    "oneOf of 200 closed objects": (
        {"oneOf": [{"properties": {f"k{i}": True}, "required": [f"k{i}"], "additionalProperties": False, **OBJECT}
                   for i in range(200)]},
        '{"k7":1}', '{"k7":1,"k8":1}',
    ),
    "20,000 properties": ({"type": "object", "properties": NAMED}, '{"k7":1,"k19999":2}', '{"k7":"x"}'),
    "20,000 properties, many required": (
        {"type": "object", "properties": NAMED, "required": ["k9", "k19999"]}, '{"k9":1,"k19999":1}', '{"k9":1}'
    ),
    "100,000 strings": ({"enum": [f"v{number}" for number in range(100_000)]}, '"v99999"', '"v100000"'),
    "100,000 numbers": ({"enum": list(range(100_000))}, "99999", "100000"),
    "maxLength 1,000,000": ({"type": "string", "maxLength": 1_000_000}, '"abc"', '"'),
    "maxItems 1,000,000,000": ({"type": "array", "maxItems": 10**9}, "[1,2]", "[1"),
    "minLength 10,000": ({"type": "string", "minLength": 10_000}, '"' + "x" * 10_000 + '"', '"x"'),
    "twelve choices of three": (
        {"allOf": [{"anyOf": [{"properties": {f"k{i}": {"const": j}}, "required": [f"k{i}"]} for j in range(3)]}
                   for i in range(12)]},
        "{" + ",".join(f'"k{i}":2' for i in range(12)) + "}", '{"k0":1}',
    ),
    "a divisor of sixteen digits": ({"multipleOf": 1234567891234567}, "1234567891234567", "1234567891234568"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERED)
def test_answered(name: str) -> None:
    schema, good, bad = ANSWERED[name]
    assert accepts(schema, good)
    assert not accepts(schema, bad)


REFUSED: dict[str, Any] = {
    "minLength": {"type": "string", "minLength": 1 << 31},
    "minItems": {"type": "array", "minItems": 1 << 31},
    "minProperties": {"type": "object", "minProperties": 1 << 31},
    "patterns": {"patternProperties": {f"^a.{{{i}}}b": {"type": "integer"} for i in range(14)}, "type": "object"},
    "minContains": {"type": "array", "contains": {"const": 1}, "minContains": 1_000_000},
    "unevaluated": {
        "anyOf": [{"properties": {f"k{i}": True}, "required": [f"k{i}"]} for i in range(30)],
        "unevaluatedProperties": False,
    },
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_pointer(name: str) -> None:
    with pytest.raises(GrammarTooComplex) as caught:
        compile_to_ir({"properties": {"x/y": REFUSED[name]}, "required": ["x/y"], "type": "object"})
    assert caught.value.pointer == "/properties/x~1y"


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"oneOf": [{"$ref": "#"}]}}},
        {"not": {"$ref": "#"}},
        {"unevaluatedItems": False, "oneOf": [{"$ref": "#"}]},
    ],
    ids=str,
)  # fmt: skip
def test_schemas_that_apply_themselves(schema: Any) -> None:
    with pytest.raises(InvalidSchemaError):
        compile_to_ir(schema)


def test_what_is_said_twice_is_one_thing() -> None:
    """Branches of `oneOf` that share most of what they say: only where they differ is there anything to combine."""

    def branch(number: int) -> Any:
        own = {f"k{number}": {"type": "string", "description": f"of {number}"}}
        shared = {f"s{i}": {"type": "array", "items": {"type": "integer"}, "title": str(number)} for i in range(6)}
        return {"type": "object", "properties": {**own, **shared}, "required": [f"k{number}"]}

    schema = {"items": {"oneOf": [branch(number) for number in range(12)]}, "type": "array"}
    assert accepts(schema, '[{"k3":"a","s0":[1],"s5":[]},{"k11":"b"}]')
    assert accepts(schema, '[{"k3":"a","k4":1}]')
    assert not accepts(schema, '[{"k3":"a","k4":"b"}]')
    assert not accepts(schema, '[{"s0":[1]}]')


def test_what_stands_around_one_of_tells_its_branches_apart() -> None:
    def branch(number: int) -> Any:
        return {"properties": {"kind": {"enum": [f"kind {number}"]}, "value": {"minimum": number, "type": "integer"}}}

    branches = {"oneOf": [branch(number) for number in range(40)]}
    for schema in (
        {"type": "object", "required": ["kind"], **branches},
        {"type": "object", "required": ["kind"], "allOf": [{"title": "nothing"}, branches]},
        {"type": "object", "required": ["kind"], "oneOf": [{**branches, "minProperties": 1}, {"type": "null"}]},
    ):
        assert accepts(schema, '{"kind":"kind 7","value":7}')
        assert not accepts(schema, '{"kind":"kind 7","value":6}')
        assert not accepts(schema, '{"value":7}')


def test_many_dependencies_are_demands_on_one_object() -> None:
    kinds = [f"kind {number}" for number in range(20)]
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": kinds}, **{f"k{number}": {"type": "integer"} for number in range(20)}},
        "dependencies": {f"k{n}": {"properties": {"kind": {"enum": kinds[n : n + 2]}}} for n in range(20)},
    }
    assert accepts(schema, '{"kind":"kind 3","k2":1,"k3":1}')
    assert accepts(schema, '{"k2":1,"k3":1}')
    assert not accepts(schema, '{"kind":"kind 3","k2":1,"k4":1}')


@pytest.mark.parametrize("name", ["alternatives", "demands", "within items"])
def test_refused_before_a_text_begins(name: str) -> None:
    """What is deep inside, and what only a text would get to, is refused with its pointer when it is compiled."""
    choice = [{"type": "string", "pattern": f"^a{{{number}}}$"} for number in range(2100)]
    several = [
        {"contains": {"multipleOf": number}, "minContains": 3, "maxContains": 5, "$comment": name}
        for number in (2, 3, 5)
    ]
    schema = {
        "alternatives": {"type": "array", "items": {"anyOf": choice}},
        "demands": {
            "allOf": [
                {"anyOf": [{"required": [f"k{(7 * i + j * j) % 60}"]} for j in range(1, 9)] + [{"maxProperties": i}]}
                for i in range(40)
            ]
        },
        "within items": {"type": "array", "items": {"enum": list(range(40))}, "uniqueItems": True, "allOf": several},
    }[name]
    with pytest.raises(GrammarTooComplex) as caught:
        compile_to_ir({"type": "object", "properties": {"a": {"properties": {"b": schema}}}})
    assert caught.value.pointer.startswith("/properties/a/properties/b")
