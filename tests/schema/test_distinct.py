"""`uniqueItems` over finitely many values: every array of up to four items, against a validator."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from structgen.compiler import compile_schema
from structgen.errors import UnsatisfiableSchemaError
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.schema.distinct import distinct
from structgen.schema.expand import Expander
from structgen.schema.satisfiable import Satisfiability
from structgen.schema.schemas import Schemas
from structgen.vocab import Vocabulary

from .strategies import values

EXACT = SchemaOptions.exact()
WORLD: tuple[Any, ...] = (None, True, False, 0, 1, 2, "a", "b", [1], [True], {"a": 1}, {"a": 1, "b": 2})

choices = st.lists(st.sampled_from(WORLD), min_size=1, max_size=4).map(lambda found: {"enum": found})
items = st.one_of(
    choices,
    st.sampled_from(
        [
            {"type": "boolean"},
            {"type": ["null", "boolean"]},
            {"type": "integer", "minimum": 0, "maximum": 2},
            {"type": "string", "pattern": "^[ab]?$"},
            {"type": "array", "items": {"type": "boolean"}, "maxItems": 1},
            {"type": "object", "properties": {"a": {"const": 1}}, "additionalProperties": False},
        ]
    ),
)
arrays = st.fixed_dictionaries(
    {"type": st.just("array"), "uniqueItems": st.just(True), "items": items},
    optional={
        "prefixItems": st.lists(items, min_size=1, max_size=3),
        "minItems": st.integers(0, 4),
        "maxItems": st.integers(0, 4),
        "contains": items,
        "minContains": st.integers(0, 2),
        "maxContains": st.integers(0, 2),
    },
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(arrays, st.lists(st.lists(st.sampled_from(WORLD), max_size=4), min_size=1, max_size=40))
def test_agrees_with_a_validator(schema: Any, instances: list[Any]) -> None:
    oracle = jsonschema_rs.validator_for(schema)
    try:
        recognizer = Recognizer(compile_to_ir(schema, EXACT).root)
    except UnsatisfiableSchemaError:
        assert not any(map(oracle.is_valid, instances))
        return
    for value in instances:
        assert recognizer.accepts(json.dumps(value).encode()) == oracle.is_valid(value), (schema, value)


def test_no_dead_ends() -> None:
    """A first item that leaves nothing for the second is not offered."""
    schema = {"type": "array", "prefixItems": [{"enum": [1, 2]}, {"enum": [1]}], "minItems": 2, "uniqueItems": True}
    recognizer = Recognizer(compile_to_ir({**schema, "items": False}).root)
    assert recognizer.viable(b"[2") and not recognizer.viable(b"[1")
    schema = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "uniqueItems": True}
    recognizer = Recognizer(compile_to_ir(schema).root)
    accepted = [text for size in range(4) for text in product("12", repeat=size)
                if recognizer.accepts(f"[{','.join(text)}]".encode())]  # fmt: skip
    assert accepted == [("1", "2"), ("2", "1")]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "boolean"}, "minItems": 3, "uniqueItems": True},
        {"type": "array", "items": {"enum": [1, 1.0]}, "minItems": 2, "uniqueItems": True},
        {"const": [1, 1], "uniqueItems": True},
    ],
    ids=str,
)
def test_too_few_values(schema: Any) -> None:
    with pytest.raises(UnsatisfiableSchemaError):
        compile_to_ir(schema)


def test_a_thousand_values() -> None:
    schema = {"type": "array", "items": {"enum": [f"v{number}" for number in range(1000)]}, "uniqueItems": True}
    vocab = Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)
    matcher = compile_schema(schema, vocab).matcher()
    matcher.accept_bytes(b'["v7", "v77", "v77')
    assert set(matcher.allowed_bytes()) == set(b"0123456789")


def test_items_that_differ_anyway() -> None:
    schema = {"type": "array", "prefixItems": [{"type": "string"}, {"type": "number"}], "items": False}
    recognizer = Recognizer(compile_to_ir({**schema, "uniqueItems": True}).root)
    assert recognizer.accepts(b'["a",1]') and not recognizer.accepts(b'["a","a"]')


@settings(max_examples=30, deadline=None)
@given(st.lists(values(), max_size=3))
def test_at_most_one_item(instance: list[Any]) -> None:
    assume(all(not isinstance(value, float) for value in instance))
    recognizer = Recognizer(compile_to_ir({"type": "array", "uniqueItems": True, "maxItems": 1}).root)
    assert recognizer.accepts(json.dumps(instance).encode()) == (len(instance) < 2)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(arrays, st.lists(st.tuples(choices, st.integers(0, 2), st.integers(0, 3)), max_size=2))
def test_what_can_end_is_what_a_search_finds(schema: Any, more: list[tuple[Any, int, int]]) -> None:
    """`Distinct.live` counts values that are alike; here every set of values that an array may have is looked at."""
    rules = [{"contains": term, "minContains": low, "maxContains": low + room} for term, low, room in more]
    schemas = Schemas({**schema, "allOf": rules} if rules else schema, EXACT)
    expander = Expander(schemas)
    ask = Satisfiability(expander).term
    for form in expander.shape(schemas.root_term()).arrays:
        automaton = distinct(form, expander, ask)
        assume(automaton is not None and len(automaton.values) <= 10)
        assert automaton is not None
        known: dict[Any, bool] = {}

        def ends(state: Any, automaton: Any = automaton, known: dict[Any, bool] = known) -> bool:
            if state not in known:
                each = [ends(after) for _, after in automaton._moves(state)]
                known[state] = automaton.may_end(state) or any(each)
            return known[state]

        ends(automaton.start)
        assert all(automaton.live(state) == found for state, found in known.items())
