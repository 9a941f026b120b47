"""`generate(…, sampler=…)`: values drawn from the model's law given the schema."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

import structgen
from structgen import embedded
from structgen.decode.aligned.generate import SAMPLERS

COLOURS = {"enum": ["red", "green", "blue", "grey"]}
LIST = {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 2}


@pytest.mark.skipif(
    not (embedded.model_path() / "config.json").is_file(), reason="the embedded model is not in this checkout"
)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_gives_valid_values(sampler: str) -> None:
    """With the embedded model, which writes a valid text often enough for rejection."""
    values = structgen.generate("A colour", schema=COLOURS, n=3, max_new_tokens=8, seed=1, sampler=sampler)
    assert len(values) == 3
    for value in values:
        jsonschema.validate(value, COLOURS)


def test_a_second_call_goes_on_from_the_first(tiny_model: Any) -> None:
    arguments = {"schema": COLOURS, "model": tiny_model, "max_new_tokens": 6, "sampler": "asap", "return_result": True}
    first = structgen.generate("A colour, please", n=40, seed=1, **arguments)
    again = structgen.generate("A colour, please", n=40, seed=2, **arguments)
    other = structgen.generate("A colour, perhaps", n=40, seed=2, **arguments)
    assert first[0].samples.forward_passes > 3 * again[0].samples.forward_passes
    assert other[0].samples.forward_passes > 3 * again[0].samples.forward_passes
    assert again[0].samples.log_z.lower <= again[0].samples.log_z.upper
    assert first[0].sample.tokens[-1] in first[0].token_ids
    assert all(result.finish == "eos" and result.value in COLOURS["enum"] for result in first)


def test_one_value_a_list_and_a_batch(tiny_model: Any) -> None:
    arguments = {"model": tiny_model, "max_new_tokens": 12, "sampler": "asap", "seed": 3}
    assert structgen.generate("x", regex="[ab]{2}", **arguments) in {"aa", "ab", "ba", "bb"}
    batch = structgen.generate(["x", "y"], schema=LIST, n=2, **arguments)
    assert [len(values) for values in batch] == [2, 2]
    for values in batch:
        for value in values:
            jsonschema.validate(value, LIST)


def test_what_cannot_be_done_is_said(tiny_model: Any) -> None:
    arguments: dict[str, Any] = {"model": tiny_model, "regex": "a{9}b{9}"}
    with pytest.raises(structgen.Truncated, match="no text fits 2 tokens"):
        structgen.generate("x", sampler="asap", max_new_tokens=2, **arguments)
    with pytest.raises(structgen.Truncated, match="0 of 5 texts were found within"):
        structgen.generate("x", sampler="rejection", n=5, budget=20, **arguments)
    for wrong in ({"n": 2}, {"budget": 5}, {"sampler": "best"}, {"sampler": "asap", "stream": True}):
        with pytest.raises(ValueError):
            structgen.generate("x", **wrong, **arguments)
    with pytest.raises(ValueError, match="n must be"):
        structgen.generate("x", sampler="asap", n=0, **arguments)
