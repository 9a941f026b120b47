"""Random schemas over a small world of names and values, so that keywords meet, and values that nearly fit them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "ab", "ba", "")
SCALARS: tuple[Any, ...] = (None, True, False, 0, 1, 2, 3, -1, 2.5, 0.5, 10, "", "a", "b", "ab", "ba", "aa", 'é"', "\n")
PATTERNS = ("^a", "b$", "a.b|b", "^$", "^[ab]+$", "^.{2}$")
TYPES = ("null", "boolean", "integer", "number", "string", "array", "object")

names = st.sampled_from(NAMES)
scalars = st.sampled_from(SCALARS)


def values(depth: int = 2) -> st.SearchStrategy[Any]:
    """JSON values with few names and scalars."""
    if depth == 0:
        return scalars
    inner = values(depth - 1)
    return st.one_of(
        scalars,
        st.lists(inner, max_size=3),
        st.dictionaries(names, inner, max_size=3),
    )


def schemas(depth: int = 2) -> st.SearchStrategy[Any]:
    """Schemas of every supported keyword, at most `depth` deep."""
    small = st.integers(0, 3)
    bound = st.sampled_from((-1, 0, 1, 2, 2.5, 3))
    leaf: dict[str, st.SearchStrategy[Any]] = {
        "type": st.one_of(st.sampled_from(TYPES), st.lists(st.sampled_from(TYPES), min_size=1, unique=True)),
        "enum": st.lists(values(1), min_size=1, max_size=4),
        "const": values(1),
        "minimum": bound,
        "maximum": bound,
        "exclusiveMinimum": bound,
        "exclusiveMaximum": bound,
        "multipleOf": st.sampled_from((1, 2, 0.5)),
        "minLength": small,
        "maxLength": small,
        "pattern": st.sampled_from(PATTERNS),
        "minItems": small,
        "maxItems": small,
        "minProperties": small,
        "maxProperties": small,
        "required": st.lists(names, max_size=2, unique=True),
        "dependentRequired": st.dictionaries(names, st.lists(names, max_size=2, unique=True), max_size=2),
    }
    if depth == 0:
        return st.one_of(st.booleans(), of_keywords(leaf))
    inner = schemas(depth - 1)
    some = st.lists(inner, min_size=1, max_size=3)
    branches: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(names, inner, max_size=3),
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), inner, max_size=2),
        "additionalProperties": inner,
        "propertyNames": inner,
        "items": inner,
        "prefixItems": some,
        "contains": inner,
        "minContains": small,
        "maxContains": small,
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": inner,
        "if": inner,
        "then": inner,
        "else": inner,
        "unevaluatedProperties": inner,
        "unevaluatedItems": inner,
        "dependentSchemas": st.dictionaries(names, inner, max_size=2),
    }
    return st.one_of(st.booleans(), of_keywords(leaf | branches))


def of_keywords(table: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with a few of these keywords."""
    chosen = st.lists(st.sampled_from(sorted(table)), min_size=1, max_size=4, unique=True)
    return chosen.flatmap(lambda keys: st.fixed_dictionaries({key: table[key] for key in keys}))
