"""What a dialect's vocabularies and a schema's annotations change, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest

import structgen
from structgen.schema.options import SchemaOptions
from structgen.schema.schemas import OF_TYPE, Schemas
from structgen.vocab import Vocabulary

VOCAB = Vocabulary.from_bytes([b"", *(bytes((byte,)) for byte in range(256))], eos_token_ids=[0])
VOCABULARIES = "https://json-schema.org/draft/2020-12/vocab/"
META: Any = {  # without the keywords of validation, `type` among them
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "https://example.org/meta",
    "$vocabulary": {VOCABULARIES + "core": True, VOCABULARIES + "applicator": True},
}


@pytest.mark.parametrize(
    ("schema", "around"),
    [
        ({"type": "string"}, "%s"),
        ({"properties": {"b": {"type": "string"}}, "additionalProperties": False}, '{"b": %s}'),
    ],
    ids=["root", "member"],
)
def test_no_key_is_repeated_where_type_says_nothing(schema: Any, around: str) -> None:
    registry = {"https://example.org/meta": META}
    grammar = structgen.compile_schema({"$schema": "https://example.org/meta", **schema}, VOCAB, registry=registry)
    for text, accepted in (('{"a": 1, "c": 2}', True), ('{"a": 1, "a": 2}', False)):
        matcher = grammar.matcher()
        assert (matcher.accept_bytes((around % text).encode()) and matcher.is_accepting()) == accepted


def test_a_type_with_annotations_is_the_type_where_schemas_are_combined() -> None:
    schema = {"allOf": [{"type": "string", "writeOnly": True}, {"type": "object", "definitions": {}}]}
    schemas = Schemas(schema, SchemaOptions())
    schemas.merge_equal()
    terms = [schemas.term(one, schemas.main, "") for one in schema["allOf"]]
    assert terms == [OF_TYPE["string"], OF_TYPE["object"]]
