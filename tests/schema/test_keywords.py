"""A table per keyword: texts that are accepted and texts that are not, in the default profile."""

from __future__ import annotations

from typing import Any

import pytest

from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir

D4 = "http://json-schema.org/draft-04/schema#"
D7 = "http://json-schema.org/draft-07/schema#"
NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "additionalProperties": False}

Case = tuple[Any, list[str], list[str]]

TYPES: list[Case] = [
    (True, ["null", "1e5", '{"a":[1,{"b":null}]}'], ["", "nul", "[1,]", "01"]),
    ({}, ['"x"'], ["x"]),
    ({"type": "integer"}, ["0", "-12", "123456789012345678901234567890"], ["1.0", "1e3", "01", "+1", "-"]),
    ({"type": "number"}, ["0", "-0.5", "1e-7", "1.5E+10"], [".5", "1.", "--1", "1e"]),
    ({"type": ["null", "boolean"]}, ["null", "true", "false"], ["1", '"null"']),
    ({"type": "string"}, ['""', '"\\u0041\\n/\\/"', '"é😀"'], ['"', '"\n"', '"\\x"', '"\\ud800"']),
    ({"title": "t", "x-unknown": {"type": "nonsense"}, "default": 1, "type": "null"}, ["null"], ["1"]),
]
VALUES: list[Case] = [
    (
        {"const": {"b": [1, None], "a": "x"}},
        ['{"b":[1,null],"a":"x"}', '{"b": [1, null], "a": "x"}'],
        ['{"b":[1],"a":"x"}'],
    ),
    ({"enum": ["a", 1, 2.5, None, []]}, ['"a"', "1", "2.5", "null", "[]", "[ ]"], ['"b"', "2", "true", "[1]"]),
    ({"enum": [1, 2, 3], "minimum": 2}, ["2", "3"], ["1"]),
    ({"enum": ["a", "bb"], "minLength": 2}, ['"bb"'], ['"a"']),
    ({"const": 0}, ["0"], ["-0", "false", "null"]),
    ({"$schema": D4, "const": 1}, ["1", "2"], []),
]
STRINGS: list[Case] = [
    (
        {"type": "string", "minLength": 2, "maxLength": 3},
        ['"ab"', '"\\n\\u0041"', '"é😀x"'],
        ['"a"', '"abcd"', '"\\u0041"'],
    ),
    ({"type": "string", "pattern": "^a.c$"}, ['"abc"', '"\\u0061b\\u0063"', '"a\\"c"'], ['"abcd"', '"a\\nc"']),
    ({"pattern": "b", "maxLength": 2, "type": "string"}, ['"ab"', '"b"'], ['"abb"', '"a"']),
    ({"pattern": "^x"}, ['"x"', "1", "null"], ['"y"']),
    (
        {"type": "string", "format": "date"},
        ['"2024-02-29"', '"2024\\u002d02-29"'],
        ['"2023-02-29"', '"2024-2-29"', '"x"'],
    ),
    ({"type": "string", "format": "no-such-format"}, ['"x"'], ["1"]),
]
NUMBERS: list[Case] = [
    ({"type": "integer", "minimum": 3, "maximum": 11}, ["3", "10", "11"], ["2", "12", "-3", "1", "03", "110"]),
    ({"type": "integer", "minimum": 0}, ["0", "7"], ["-1", "-0"]),
    ({"type": "integer", "exclusiveMinimum": -1.5, "maximum": 0.5}, ["-1", "0", "-0"], ["-2", "1"]),
    ({"$schema": D4, "type": "integer", "minimum": 1, "exclusiveMinimum": True}, ["2", "10"], ["1", "0"]),
    (
        {"minimum": 0.1, "exclusiveMaximum": 1e3},
        ["0.1", "999.99", "1e2", "9.9e2", "1e-1"],
        ["0.09", "1000", "1e3", "1e-2"],
    ),
    ({"type": "number", "minimum": 0}, ["0", "1e-400", "0.1e9", "12"], ["-1", "-1e-9"]),
    ({"type": "integer", "maximum": 12345678901234567890}, ["12345678901234567890"], ["12345678901234567891"]),
    ({"type": "integer", "multipleOf": 5}, ["0", "-15", "100"], ["1", "12"]),
    ({"type": "number", "multipleOf": 0.01}, ["0.07", "1.1", "3", "0.070"], ["0.075", "1e-3"]),
    ({"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 30}, ["0", "7", "28"], ["1", "35"]),
    ({"type": "number", "not": {"multipleOf": 1}}, ["0.5"], ["1", "2.0"]),
]
ARRAYS: list[Case] = [
    (
        {"type": "array", "items": {"type": "integer"}},
        ["[]", "[ ]", "[1, 2]", "[\n  1,\n  2\n]"],
        ['["a"]', "[1,]", "[1 ,2]"],
    ),
    (
        {"prefixItems": [{"type": "null"}, True], "items": False},
        ["[]", "[null]", "[null,1]", "3"],
        ["[1]", "[null,1,2]"],
    ),
    ({"type": "array", "minItems": 2, "maxItems": 3, "items": {"type": "null"}}, ["[null,null]"], ["[]", "[null]"]),
    ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
    (
        {"$schema": D7, "items": [{"type": "null"}], "additionalItems": {"type": "integer"}},
        ["[null,1,2]"],
        ["[1]", "[null,null]"],
    ),
    ({"type": "array", "prefixItems": [True, False]}, ["[]", "[1]"], ["[1,1]"]),
    ({"type": "array", "contains": {"const": 1}, "maxContains": 2}, ["[1]", "[0,1,1]"], ["[]", "[0]", "[1,1,1]"]),
    ({"type": "array", "contains": {"const": 1}, "minContains": 2}, ["[1,0,1]"], ["[1]", "[1,0]"]),
    ({"uniqueItems": False}, ["[1,1]"], []),
    ({"not": {"uniqueItems": True, "maxItems": 1}}, ["[1,2]"], ["[]", "[1]", "1"]),
]
OBJECTS: list[Case] = [
    (
        {"properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"], "type": "object"},
        [
            '{"b":null}',
            '{"a":null,"b":null}',
            '{"b":null,"a":null}',
            '{"c":1,"b":null}',
            '{\n    "a": null,\n    "b": null\n}',
        ],
        ["{}", '{"a":null}', '{"b":1}', '{"b":null,"b":null}'],
    ),
    ({"type": "object", "required": ["x"]}, ['{"x":1}', '{"x":1,"y":2}'], ["{}", '{"y":1}']),
    ({"type": "object", "properties": {"a": True}, "additionalProperties": False}, ["{}", '{"a":1}'], ['{"b":1}']),
    (
        {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}},
        ['{"b":1}', '{"a":null,"aa":1}', '{"":1}'],
        ['{"a":1}', '{"\\u0061":1}', '{"b":null}'],
    ),
    ({"type": "object", "properties": {"a": False}}, ["{}", '{"b":1}'], ['{"a":1}', '{"\\u0061":1}']),
    ({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, ['{"xa":null,"b":1}'], ['{"x":1}']),
    (
        {"patternProperties": {"a": {"type": "integer"}, "b": {"minimum": 5}}, "type": "object"},
        ['{"a":1,"ab":5,"b":"s"}'],
        ['{"ab":1}', '{"ab":"s"}'],
    ),
    ({"type": "object", "minProperties": 1, "properties": {"a": True}}, ['{"a":1}', '{"z":1}'], ["{}"]),
    (
        {"type": "object", "maxProperties": 1, "properties": {"a": True}},
        ["{}", '{"a":1}', '{"z":1}'],
        ['{"a":1,"z":1}'],
    ),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, ['{"a":1}'], ['{"ab":1}']),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, ["{}", '{"b":1}', '{"b":1,"a":1}'], ['{"a":1}']),
    ({"$schema": D7, "dependencies": {"a": {"required": ["b"]}}}, ['{"a":1,"b":1}', "1"], ['{"a":1}']),
    (
        {"type": "object", "properties": {'q"\n': {"type": "null"}}, "additionalProperties": False},
        ['{"q\\"\\n":null}'],
        ["{}1"],
    ),
]
COMBINATIONS: list[Case] = [
    ({"anyOf": [{"type": "null"}, {"minimum": 3}], "type": ["null", "integer"]}, ["null", "3"], ["2", '"a"']),
    ({"allOf": [{"minimum": 1}, {"maximum": 2}], "type": "integer"}, ["1", "2"], ["0", "3"]),
    ({"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]}, ["1", "2.5"], ["2", "1.5"]),
    (
        {"oneOf": [{"required": ["a"]}, {"required": ["b"]}], "type": "object"},
        ['{"a":1}', '{"b":1}'],
        ["{}", '{"a":1,"b":1}'],
    ),
    ({"not": {"type": "object", "required": ["a"]}}, ["1", "{}", '{"b":1}'], ['{"a":1}']),
    ({"not": {"properties": {"a": {"type": "null"}}}}, ['{"a":1}'], ["{}", '{"a":null}', "1"]),
    (
        {"type": "object", "if": {"properties": {"k": {"const": 1}}, "required": ["k"]}, "then": {"required": ["v"]}},
        ["{}", '{"k":2}', '{"k":1,"v":0}'],
        ['{"k":1}'],
    ),
    ({"$ref": "#/$defs/a", "maxLength": 1, "$defs": {"a": {"type": "string"}}}, ['"x"'], ['"xy"', "1"]),
    (
        {"$schema": D7, "$ref": "#/definitions/a", "maxLength": 1, "definitions": {"a": {"type": "string"}}},
        ['"xy"'],
        ["1"],
    ),
    ({"$ref": "#/$defs/node", "$defs": {"node": NODE}}, ["{}", '{"next":{"next":{}}}'], ['{"next":1}', '{"x":1}']),
    ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "null"}}}, ["null"], ["1"]),
    ({"type": "array", "items": {"$ref": "#"}}, ["[]", "[[],[[]]]"], ["1", "[1]"]),
    ({"$ref": "#x", "$defs": {"a": {"$anchor": "x", "type": "null"}}}, ["null"], ["1"]),
    ({"$id": "http://a/b", "$ref": "c", "$defs": {"c": {"$id": "c", "type": "null"}}}, ["null"], ["1"]),
    ({"properties": {"a": {"$ref": "#", "required": ["a"]}}, "type": "object"}, ["{}"], ['{"a":{}}', '{"a":{"a":{}}}']),
]
TABLE = [*TYPES, *VALUES, *STRINGS, *NUMBERS, *ARRAYS, *OBJECTS, *COMBINATIONS]


@pytest.mark.parametrize(("schema", "good", "bad"), TABLE, ids=lambda value: str(value)[:60])
def test_table(schema: Any, good: list[str], bad: list[str]) -> None:
    recognizer = Recognizer(compile_to_ir(schema).root)
    for text in good:
        assert recognizer.accepts(text.encode()), text
    for text in bad:
        assert not recognizer.accepts(text.encode()), text


def test_exact_profile_spells_everything() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": 1000}, "b": {"enum": ["x"]}}}
    recognizer = Recognizer(compile_to_ir(schema, SchemaOptions.exact()).root)
    for text in ('{"\\u0061" :1.0 , "b":"\\u0078"}', '\t{"b":"x","z":0,"a":1e3}\n', '{"a":-0}', '{"a":-0.0e5}'):
        assert recognizer.accepts(text.encode()), text
    for text in ('{"a":1.5}', '{"a":1001}', '{"a":1.0001e3}', '{"b":"y"}', '{"a":1,"\\u0061":1}'):
        assert not recognizer.accepts(text.encode()), text


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [
        (SchemaOptions(whitespace="compact"), ['{"a":[1,2]}', "{}"], ['{"a": [1,2]}', "{ }", '{"a":[1, 2]}']),
        (SchemaOptions(whitespace="any"), [' { "a"\n:\t[ 1 ,2 ] } ', "{  }"], ["{\v}"]),
        (SchemaOptions(whitespace="fixed"), ['{"a": [1, 2]}', "{}"], ['{"a":[1, 2]}', "{ }"]),
        (
            SchemaOptions(whitespace="fixed", indent=2),
            ['{\n  "a": [\n    1,\n    2\n  ]\n}', "{}", '{\n  "a": []\n}'],
            ['{"a": [1, 2]}', '{\n  "a": [\n  1\n  ]\n}', "{\n}"],
        ),
        (SchemaOptions(max_indent=2), ['{\n  "a":[\n 1]}'], ['{\n   "a":[]}', '{\n\n"a":[]}', '{  "a":[]}']),
    ],
    ids=["compact", "any", "fixed", "indent", "max_indent"],
)
def test_whitespace(options: SchemaOptions, good: list[str], bad: list[str]) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}
    recognizer = Recognizer(compile_to_ir(schema | {"additionalProperties": False}, options).root)
    for text in good:
        assert recognizer.accepts(text.encode()), text
    for text in bad:
        assert not recognizer.accepts(text.encode()), text
