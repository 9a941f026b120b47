"""`generate` with no model named: the embedded one."""

from __future__ import annotations

import jsonschema
import pytest
from decode_schemas import SCHEMAS
from pydantic import BaseModel

import structgen
from structgen import embedded

pytestmark = pytest.mark.skipif(
    not (embedded.model_path() / "config.json").is_file(), reason="the embedded model is not in this checkout"
)


class Book(BaseModel):
    title: str
    author: str
    year: int


@pytest.mark.parametrize("name", SCHEMAS)
def test_valid_for_every_schema(name: str) -> None:
    value = structgen.generate("An example.", schema=SCHEMAS[name], max_new_tokens=100)
    jsonschema.validate(value, SCHEMAS[name])


def test_a_type() -> None:
    book = structgen.generate("A book about whales.", schema=Book, max_new_tokens=120)
    assert isinstance(book, Book)


def test_a_batch_and_a_regex() -> None:
    values = structgen.generate(["one", "two"], schema=SCHEMAS["person"], max_new_tokens=100)
    for value in values:
        jsonschema.validate(value, SCHEMAS["person"])
    assert structgen.generate("A colour:", regex="red|green|blue") in ("red", "green", "blue")
