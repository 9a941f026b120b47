"""Law: with `unevaluatedProperties` and `unevaluatedItems` around branches, ours and a validator's verdicts agree."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from structgen.errors import GrammarTooComplex, UnsatisfiableSchemaError
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir

from .strategies import PATTERNS, names, of_keywords, schemas, values

ANY_ORDER = SchemaOptions(property_order="any")
leaves = schemas(0)


def branches(depth: int) -> st.SearchStrategy[Any]:
    """Schemas whose keywords evaluate something, or hide what others evaluate."""
    table: dict[str, st.SearchStrategy[Any]] = {
        "properties": st.dictionaries(names, leaves, min_size=1, max_size=2),
        "patternProperties": st.dictionaries(st.sampled_from(PATTERNS), leaves, max_size=1),
        "additionalProperties": leaves,
        "required": st.lists(names, max_size=2, unique=True),
        "prefixItems": st.lists(leaves, min_size=1, max_size=2),
        "items": leaves,
        "contains": leaves,
        "minContains": st.integers(0, 2),
        "unevaluatedProperties": leaves,
        "unevaluatedItems": leaves,
        "type": st.sampled_from(("object", "array")),
    }
    if depth:
        inner = branches(depth - 1)
        some = st.lists(inner, min_size=1, max_size=3)
        table |= dict.fromkeys(("allOf", "anyOf", "oneOf"), some) | dict.fromkeys(("if", "then", "else", "not"), inner)
        table["dependentSchemas"] = st.dictionaries(names, inner, max_size=2)
    return of_keywords(table)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    branches(2),
    st.sampled_from(("unevaluatedProperties", "unevaluatedItems")),
    st.sampled_from((False, {"type": "integer"})),
    st.lists(values(), min_size=1, max_size=6),
)
def test_agrees_with_a_validator(schema: Any, keyword: str, rest: Any, instances: list[Any]) -> None:
    schema = {**schema, keyword: rest}
    oracle = jsonschema_rs.validator_for(schema)
    try:
        recognizer = Recognizer(compile_to_ir(schema, ANY_ORDER).root)
    except UnsatisfiableSchemaError:
        assert not any(map(oracle.is_valid, instances))
        return
    except GrammarTooComplex:
        assume(False)
        raise
    for value in instances:
        text = json.dumps(value, ensure_ascii=False).encode()
        assert recognizer.accepts(text) == oracle.is_valid(value), (schema, value)


TREE = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "$id": "http://x/tree",
    "$recursiveAnchor": True,
    "type": "object",
    "properties": {"data": True, "children": {"type": "array", "items": {"$recursiveRef": "#"}}},
}
STRICT_TREE = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "$id": "http://x/strict-tree",
    "$recursiveAnchor": True,
    "$ref": "tree",
    "unevaluatedProperties": False,
}
LIST_OF = {
    "$id": "http://x/list",
    "type": "array",
    "items": {"$dynamicRef": "#item"},
    "$defs": {"item": {"$dynamicAnchor": "item"}},
}
LIST_OF_NULLS = {
    "$id": "http://x/nulls",
    "$ref": "list",
    "$defs": {"item": {"$dynamicAnchor": "item", "type": "null"}},
}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (TREE, ['{"children": [{"daat": 1}]}'], ['{"children": [1]}']),
        (STRICT_TREE, ['{"children": [{"data": 1}]}'], ['{"daat": 1}', '{"children": [{"daat": 1}]}']),
        (LIST_OF, ["[null, 1]"], ["1"]),
        (LIST_OF_NULLS, ["[null, null]"], ["[null, 1]"]),
    ],
    ids=["tree", "strict tree", "list", "list of nulls"],
)
def test_dynamic_references(schema: Any, good: list[str], bad: list[str]) -> None:
    registry = {document["$id"]: document for document in (TREE, LIST_OF)}
    recognizer = Recognizer(compile_to_ir(schema, registry=registry).root)
    for text in good:
        assert recognizer.accepts(text.encode()), text
    for text in bad:
        assert not recognizer.accepts(text.encode()), text
