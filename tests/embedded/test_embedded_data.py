"""Laws of the training data: held-out schemas stay out, and every pair's instance satisfies its schema."""

from __future__ import annotations

import random
from typing import Any

import pytest

pytest.importorskip("jsonschema_rs")

from structgen.embedded import data

PERSON = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "title": "A person",
    "type": "object",
    "properties": {
        "title": {"type": "string", "description": "Of the person"},
        "age": {"type": "integer", "minimum": 0},
        "home": {"$ref": "#/definitions/place"},
        "tags": {"type": "array", "items": {"type": "object", "properties": {"t": {"enum": ["a", "b"]}}}},
    },
    "required": ["title", "home"],
    "definitions": {
        "place": {"type": "object", "properties": {"at": {"$ref": "#/definitions/point"}}, "required": ["at"]},
        "point": {"type": "array", "items": {"type": "number"}},
        "unused": {"type": "null"},
    },
}
ANNA = {"title": "Dr", "age": 41, "home": {"at": [1.5, 2]}, "tags": [{"t": "a"}, {"t": "b"}]}


def rows(num_rows: int) -> list[dict[str, Any]]:
    return [
        {
            "id": f"row{index}",
            "schema": {**PERSON, "title": f"A person {index}"},
            "tests": [{"valid": True, "data": ANNA}, {"valid": False, "data": 1}],
        }
        for index in range(num_rows)
    ]


def test_split_is_by_schema_and_drops_twins() -> None:
    all_rows = rows(400)
    train, held_out = data.split_rows(all_rows)
    assert 5 <= len(held_out) <= 40
    assert len(train) + len(held_out) == 400
    twin = {**all_rows[0], "id": "twin", "schema": dict(reversed(held_out[0]["schema"].items()))}
    assert not data.is_held_out("twin")
    assert twin not in data.split_rows([*all_rows, twin])[0]


def test_every_pair_is_valid_and_drawing_repeats() -> None:
    corpus = data.build_corpus(rows(3))
    assert corpus.whole
    assert corpus.sub
    assert corpus.parts
    drawn = [data.draw_pair(corpus, random.Random(seed)) for seed in range(100)]
    assert drawn == [data.draw_pair(corpus, random.Random(seed)) for seed in range(100)]
    for seed, pair in enumerate(drawn):
        for shorter in data.shorter_pairs(pair, random.Random(seed)):
            assert data.satisfies(shorter.schema, shorter.instance)


def test_annotations_go_and_names_stay() -> None:
    stripped = data.strip_annotations(PERSON)
    assert "title" not in stripped
    assert "description" not in stripped["properties"]["title"]
    assert stripped["properties"].keys() == PERSON["properties"].keys()


def test_definitions_follow_references() -> None:
    assert data.prune_definitions(PERSON)["definitions"].keys() == {"place", "point"}
    alone = data.with_definitions(PERSON["properties"]["home"], PERSON)
    assert data.satisfies(alone, {"at": [1]})
    assert not data.satisfies(alone, {"at": ["x"]})


def test_references_outside_the_schema_are_not_fetched() -> None:
    assert not data.satisfies({"$ref": "http://127.0.0.1:9/schema.json"}, 1)
