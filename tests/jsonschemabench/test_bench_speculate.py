"""`speculate`: texts are compared with those without drafts, and a slow drafter gets fewer schemas than a quick one."""

from __future__ import annotations

from typing import Any

import pytest

from jsonschemabench.speculate import PLAIN, Figures, Tally, measure, tables
from structgen.decode.speculation import Forced, TokenRecycling

SCHEMAS: list[tuple[str, Any]] = [
    ("a", {"type": "object", "properties": {"name": {"const": "Ada"}}, "required": ["name"]}),
    ("b", {"enum": ["red", "green"]}),
    ("c", {"type": "string", "pattern": "(a)\\1"}),  # refused
    ("d", {"type": "boolean"}),
]


@pytest.fixture(scope="module")
def figures() -> Figures:
    makers = {"forced": Forced, "recycling": TokenRecycling}
    return measure(SCHEMAS, makers, ways=("told", "untold"), max_tokens=16, num_nodes=4, each_s=1e9)


def test_every_drafter_writes_the_texts_there_are_without_it(figures: Figures) -> None:
    assert (figures.num_schemas, figures.num_skipped) == (3, 1)
    for (drafter, way), tally in figures.tallies.items():
        assert tally.same == tally.texts == 3, (drafter, way)
        assert tally.tokens == tally.plain_tokens == figures.tally(PLAIN, "told").tokens
        assert tally.passes <= figures.tally(PLAIN, "told").passes
    assert figures.tally("forced", "told").accepted > 0
    (table,) = tables(figures)
    assert len(table.rows) == 5


def test_a_drafter_stops_where_its_time_is_spent() -> None:
    makers = {"forced": Forced, "recycling": TokenRecycling}
    figures = measure(SCHEMAS, makers, ways=("told",), max_tokens=8, num_nodes=4, each_s=1e-9)
    assert figures.num_schemas == 1  # one each, and then none is left
    assert figures.tally("forced", "told").texts == figures.tally("recycling", "told").texts == 1


def test_a_speed_up_is_over_the_same_texts() -> None:
    assert Tally(tokens=10, seconds=1.0, plain_tokens=10, plain_seconds=3.0).speedup == pytest.approx(3.0)
