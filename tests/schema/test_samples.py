"""What warms a store is valid, or it would warm nothing."""

from __future__ import annotations

import json

import jsonschema_rs

import structgen
from structgen.schema.samples import usual_values
from structgen.vocab import Vocabulary

VOCAB = Vocabulary.from_bytes([b"", *(bytes((byte,)) for byte in range(256))], eos_token_ids=[0])


def test_usual_values_are_values_of_their_schemas() -> None:
    for schema, texts in usual_values():
        grammar = structgen.compile_schema(schema, VOCAB)
        oracle = jsonschema_rs.validator_for(schema, validate_formats=True)
        for text in texts:
            matcher = grammar.matcher()
            assert matcher.accept_bytes(text.encode()) and matcher.is_accepting(), (schema, text)
            assert oracle.is_valid(json.loads(text)), (schema, text)
