"""What a caller may ask for, and what comes of it."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import pytest
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from typing_extensions import TypedDict

from structgen.decode.targets import target
from structgen.errors import InvalidSchemaError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: float
    y: float = 0.0


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


Pet = Annotated[Union[Cat, Dog], Field(discriminator="kind")]  # noqa: UP007


@dataclass
class Person:
    name: str
    age: int


class Movie(TypedDict):
    title: str


SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.mark.parametrize("spec", [SCHEMA, json.dumps(SCHEMA), "  " + json.dumps(SCHEMA)])
def test_a_schema_is_itself_and_gives_plain_data(spec: Any) -> None:
    goal = target(spec)
    assert goal.schema == SCHEMA
    assert goal.parse('{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("spec", [True, "true", " true "])
def test_boolean_schemas(spec: Any) -> None:
    assert target(spec).schema is True


def test_paths(tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(SCHEMA))
    assert target(file).schema == target(str(file)).schema == SCHEMA


@pytest.mark.parametrize(
    ("spec", "text", "value"),
    [
        (Point, '{"x": 1, "y": 2}', Point(x=1, y=2)),
        (Person, '{"name": "Ada", "age": 36}', Person("Ada", 36)),
        (Movie, '{"title": "M"}', {"title": "M"}),
        (Literal["a", "b"], '"b"', "b"),
        (Colour, '"red"', Colour.RED),
        (list[int], "[1, 2]", [1, 2]),
        (tuple[int, str], '[1, "x"]', (1, "x")),
        (dict[str, Point], '{"p": {"x": 1, "y": 0}}', {"p": Point(x=1)}),
        (int | None, "null", None),
        (TypeAdapter(list[Colour]), '["blue"]', [Colour.BLUE]),
        (Pet, '{"kind": "cat", "lives": 9}', Cat(kind="cat", lives=9)),
        (Tree, '{"value": 1, "children": [{"value": 2}]}', Tree(value=1, children=[Tree(value=2)])),
    ],
    ids=str,
)
def test_types_give_instances(spec: Any, text: str, value: Any) -> None:
    assert target(spec).parse(text) == value


def test_a_types_own_keys_are_all_its_keys() -> None:
    assert target(Point).schema["additionalProperties"] is False
    assert target(Open).schema["additionalProperties"] is True
    assert target(dict[str, int]).schema["additionalProperties"] == {"type": "integer"}
    assert target(Tree).schema["$defs"]["Tree"]["additionalProperties"] is False


def test_data_in_a_schema_is_left_alone() -> None:
    class Preset(BaseModel):
        settings: dict[str, Any] = Field(default={"properties": {"a": 1}})

    assert target(Preset).schema["properties"]["settings"]["default"] == {"properties": {"a": 1}}


def test_a_discriminated_union_becomes_any_of() -> None:
    schema = target(Pet).schema
    assert "oneOf" not in schema
    assert "discriminator" not in schema
    assert len(schema["anyOf"]) == 2


@pytest.mark.parametrize("text", ["{", '{"type": }', "{}x"])
def test_broken_schema_text(text: str) -> None:
    with pytest.raises(InvalidSchemaError, match="not JSON"):
        target(text)


def test_a_missing_file_says_so() -> None:
    with pytest.raises(FileNotFoundError):
        target("no/such/schema.json")


def test_a_file_that_is_no_schema(tmp_path: Path) -> None:
    file = tmp_path / "list.json"
    file.write_text("[1]")
    with pytest.raises(InvalidSchemaError, match="an object or a boolean, not list"):
        target(file)


@pytest.mark.parametrize("spec", [3, object(), [SCHEMA]])
def test_what_nobody_understands(spec: Any) -> None:
    with pytest.raises(TypeError, match="is not a target"):
        target(spec)
