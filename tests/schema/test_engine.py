"""Law: over schemas of every keyword, the engine's transitions accept exactly the texts that the reference accepts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from structgen.compiler import CompiledGrammar
from structgen.errors import GrammarTooComplex, UnsatisfiableSchemaError, UnsupportedSchemaError
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.vocab import Vocabulary

from .strategies import schemas, values

BYTES = Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)
OPTIONS = (SchemaOptions(property_order="any"), SchemaOptions(property_order="declared"), SchemaOptions.exact())


def accepts(grammar: CompiledGrammar, text: bytes) -> bool:
    """Whether the engine takes the whole text."""
    state = grammar.start
    for byte in text:
        state = grammar.advance(state, byte)
        if state == grammar.DEAD:
            return False
    return grammar.is_accepting(state)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(schemas(), st.lists(values(), min_size=1, max_size=6), st.sampled_from(OPTIONS))
def test_engine_agrees_with_the_reference(schema: Any, instances: list[Any], options: SchemaOptions) -> None:
    try:
        root = compile_to_ir(schema, options).root
    except (GrammarTooComplex, UnsatisfiableSchemaError, UnsupportedSchemaError):
        assume(False)
        raise
    grammar, recognizer = CompiledGrammar(root, BYTES, report=None), Recognizer(root)
    for value in instances:
        text = json.dumps(value, ensure_ascii=False).encode()
        assert accepts(grammar, text) == recognizer.accepts(text), (schema, text)


@pytest.mark.parametrize("text", ['{"foo": "q", "bar": 2}', '{"x": 1, "foo": "q", "bar": 2}', '{"bar": 1, "foo": "q"}'])
def test_keys_of_alternatives_side_by_side(text: str) -> None:
    """Found: two sets of excluded keys that run side by side completed each other's texts."""
    schema = {
        "dependentSchemas": {"bar": {"properties": {"foo": {"type": "integer"}, "bar": {"type": "integer"}}}},
        "type": "object",
    }
    grammar = CompiledGrammar(compile_to_ir(schema, SchemaOptions(property_order="any")).root, BYTES, report=None)
    assert not accepts(grammar, text.encode())
    assert accepts(grammar, text.replace('"q"', "1").encode())
