"""Law: a text is accepted exactly if an independent validator accepts the value it spells."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from structgen.errors import GrammarTooComplex, UnsatisfiableSchemaError, UnsupportedSchemaError
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir

from .strategies import schemas, values

STYLES: tuple[dict[str, Any], ...] = ({}, {"separators": (",", ":")}, {"indent": 2}, {"indent": 4})
SLOW = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def accepted(schema: Any, value: Any, options: SchemaOptions, style: dict[str, Any]) -> bool:
    """What structgen says; `assume`s away what it refuses."""
    try:
        root = compile_to_ir(schema, options).root
        return Recognizer(root).accepts(json.dumps(value, ensure_ascii=False, **style).encode())
    except UnsatisfiableSchemaError:
        return False
    except (GrammarTooComplex, UnsupportedSchemaError):
        assume(False)
        raise


@SLOW
@given(schemas(), st.lists(values(), min_size=1, max_size=6), st.sampled_from(STYLES))
def test_any_order_agrees_with_a_validator(schema: Any, instances: list[Any], style: dict[str, Any]) -> None:
    """In the any-order profile the two agree, both ways."""
    oracle = jsonschema_rs.validator_for(schema)
    options = SchemaOptions(property_order="any")
    for value in instances:
        assert accepted(schema, value, options, style) == oracle.is_valid(value), (schema, value)


@SLOW
@given(schemas(), st.lists(values(), min_size=1, max_size=6))
def test_declared_order_accepts_nothing_invalid(schema: Any, instances: list[Any]) -> None:
    """The default profile only ever leaves out."""
    oracle = jsonschema_rs.validator_for(schema)
    for value in instances:
        if accepted(schema, value, SchemaOptions(), {}):
            assert oracle.is_valid(value), (schema, value)
