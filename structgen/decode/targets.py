"""Targets: what the caller asked for, as a JSON Schema and a function from the finished text to a value.

A target is given as a JSON Schema (dict, bool, JSON text, path of a file), or as anything Pydantic describes: a model,
a dataclass, a TypedDict, `Literal[…]`, an `Enum`, `list[int]`, a `TypeAdapter`. Knows nothing of tokens and engines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from structgen.errors import InvalidSchemaError
from structgen.tags import read_calls

JsonSchema: TypeAlias = "dict[str, Any] | bool"


@dataclass(frozen=True)
class Target:
    """`schema` is what the text must satisfy; `parse` turns the finished text into the caller's value.

    `growing` turns an unfinished text into what it says already; None where it is JSON.
    """

    schema: JsonSchema
    parse: Callable[[str], Any]
    growing: Callable[[str], Any] | None = None


@dataclass(frozen=True)
class GrammarText:
    """A grammar for `generate`, in a dialect; a plain string means Lark's. Arguments as for `compile_grammar`."""

    text: str
    dialect: str = "lark"
    start: str | None = None
    lexer: str = "contextual"


TEXT = Target(True, str, str)
"""A text as it stands: what a regular expression or a grammar gives."""


def tools_target(tools: Sequence[Any], style: str) -> Target:
    """What a text with calls of tools is: its text, and the calls in it."""

    def parse(text: str) -> dict[str, Any]:
        plain, calls = read_calls(text, tools, style)
        return {"text": plain, "tool_calls": calls}

    return Target(True, parse, parse)


def target(spec: Any) -> Target:
    """The target a caller named. A `str` that starts with `{` (or is `true` or `false`) is a schema, any other a path.

    Raises `InvalidSchemaError` for text that is not JSON, `TypeError` for what neither we nor Pydantic understand.
    """
    if isinstance(spec, Path):
        return Target(_read_schema(spec.read_text(encoding="utf-8")), json.loads)
    if isinstance(spec, str):
        if spec.lstrip().startswith("{") or spec.strip() in ("true", "false"):
            return Target(_read_schema(spec), json.loads)
        return target(Path(spec))
    if isinstance(spec, bool):
        return Target(spec, json.loads)
    if isinstance(spec, dict):
        return Target(spec, json.loads)
    return _typed(spec)


def _read_schema(text: str) -> JsonSchema:
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise InvalidSchemaError(f"not JSON: {error}", pointer="") from error
    if not isinstance(schema, (dict, bool)):
        raise InvalidSchemaError(f"a schema is an object or a boolean, not {type(schema).__name__}", pointer="")
    return schema


def _typed(spec: Any) -> Target:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

    try:
        adapter: TypeAdapter[Any] = spec if isinstance(spec, TypeAdapter) else TypeAdapter(spec)
        schema = adapter.json_schema(mode="validation")
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise TypeError(
            f"{spec!r} is not a target: pass a JSON Schema (dict, text or path) or a type that Pydantic describes"
        ) from error
    return Target(_as_declared(schema), adapter.validate_json)


# Where a schema holds schemas, by shape. Anything else (defaults, examples, enum values) is data and stays as it is.
_HOLDS_ONE = ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else")
_HOLDS_LIST = ("prefixItems", "anyOf", "oneOf")
_HOLDS_MAP = ("$defs", "properties", "patternProperties", "dependentSchemas")


def _as_declared(schema: Any) -> Any:
    """A schema that Pydantic wrote, closed: a type's own keys are all the keys there are.

    Pydantic ignores unknown keys unless told otherwise, and says so by leaving `additionalProperties` out; text spent
    on them would be thrown away. `extra="allow"` sets it to true, which stands. A union with a discriminator is written
    as `oneOf`, whose branches the discriminator keeps apart: `anyOf` says the same.
    """
    if not isinstance(schema, dict):
        return schema
    closed: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword in _HOLDS_ONE:
            value = _as_declared(value)
        elif keyword in _HOLDS_LIST and isinstance(value, list):
            value = [_as_declared(each) for each in value]
        elif keyword in _HOLDS_MAP and isinstance(value, dict):
            value = {name: _as_declared(each) for name, each in value.items()}
        closed[keyword] = value
    if "properties" in closed and not {"additionalProperties", "allOf", "$ref"} & closed.keys():
        closed["additionalProperties"] = False
    if closed.pop("discriminator", None) is not None and "oneOf" in closed and "anyOf" not in closed:
        closed["anyOf"] = closed.pop("oneOf")
    return closed
