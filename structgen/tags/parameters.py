"""Arguments of a tool written as tags instead of JSON: `<parameter=city>Paris</parameter>`, and its relatives.

An object's properties come in declared order, required ones all, others optionally. A string stands raw, without quotes
and escapes, and ends where the closing tag first does; any other value is JSON. White space may stand between
parameters and around JSON.
"""

from __future__ import annotations

from typing import Any

from structgen.automata.charset import ANY, CharSet
from structgen.automata.regular import ANY_STRING, Language, chars, complement, concat, finite, intersect, repeat
from structgen.errors import UnsupportedTagError
from structgen.grammar.regex import search_regex
from structgen.ir import Call, Node, Rule, Text, literal, optional, seq
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.schema.open_keys import OpenKeys

STYLES = {
    "qwen_xml": ("<parameter=", ">", "</parameter>"),
    "minimax_xml": ('<parameter name="', '">', "</parameter>"),
    "glm_xml": ("<arg_key>", "</arg_key><arg_value>", "</arg_value>"),
}
"""What stands before a parameter's name, behind it, and behind the value."""

_SPACE = chars(CharSet.of(" \n\t\r"))
_SPACES = Text(repeat(_SPACE, 0), "utf-8")
_STRING_KEYWORDS = {"type", "enum", "const", "minLength", "maxLength", "pattern", "description", "title", "default"}
_OBJECT_KEYWORDS = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "description",
    "title",
    "$defs",
    "$schema",
}


def parameters(schema: Any, style: str, options: SchemaOptions, pointer: str, open_keys: OpenKeys) -> Node:
    """The IR of an object's properties in one of the styles. Raises `UnsupportedTagError`.

    `open_keys` gathers what the values have the matcher remember.
    """
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise UnsupportedTagError(
            f"{style} needs a schema of type object", pointer=pointer, advice='say "type": "object", or use style json'
        )
    for keyword in schema:
        if keyword not in _OBJECT_KEYWORDS:
            raise UnsupportedTagError(f"{style} does not express it", pointer=pointer, keyword=keyword)
    if schema.get("additionalProperties", False) is not False:
        raise UnsupportedTagError(
            f"{style} has declared parameters only",
            pointer=pointer,
            keyword="additionalProperties",
            advice="leave it out, or set it to false",
        )
    before, behind, end = STYLES[style]
    required = set(schema.get("required", ()))
    missing = sorted(required - set(schema.get("properties", {})))
    if missing:
        raise UnsupportedTagError(f"{missing[0]!r} is required and not declared", pointer=pointer, keyword="required")
    parts: list[Node] = [_spaces()]
    for name, value in schema.get("properties", {}).items():
        body = _value(value, end, schema, options, f"{pointer}/properties/{name}", open_keys)
        part = seq(literal(before + name + behind), body, literal(end), _spaces())
        parts.append(part if name in required else optional(part))
    return seq(*parts)


def _spaces() -> Node:
    return Call(Rule("spaces", lambda: _SPACES, key="tag spaces", nullable=True))


def _value(schema: Any, end: str, parent: Any, options: SchemaOptions, pointer: str, open_keys: OpenKeys) -> Node:
    if not isinstance(schema, dict) or schema.get("type") != "string":
        if isinstance(schema, dict) and "$defs" in parent:
            schema = {**schema, "$defs": parent["$defs"]}
        return seq(_spaces(), compile_to_ir(schema, options, embedded=open_keys).root, _spaces())
    for keyword in schema:
        if keyword not in _STRING_KEYWORDS:
            raise UnsupportedTagError("a raw string does not express it", pointer=pointer, keyword=keyword)
    language: Language = complement(concat(ANY_STRING, finite([end]), ANY_STRING))
    if "enum" in schema or "const" in schema:
        words = [word for word in schema.get("enum", [schema.get("const")]) if isinstance(word, str)]
        language = intersect(language, finite(words))
    low, high = schema.get("minLength", 0), schema.get("maxLength")
    if low or high is not None:
        language = intersect(language, repeat(chars(ANY), low, high))
    if "pattern" in schema:
        language = intersect(language, search_regex(schema["pattern"]))
    if language.is_empty():
        raise UnsupportedTagError("no text satisfies it", pointer=pointer)
    return Call(Rule("raw", lambda: Text(language, "utf-8"), key=("raw", language.key), nullable=language.nullable))
