"""Values of unfinished text only grow, and end as the value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.decode.partial import NOTHING, partial_value

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def grows(before: Any, after: Any) -> bool:
    """Whether `after` keeps all that `before` showed."""
    if before is NOTHING:
        return True
    if isinstance(before, str):
        return isinstance(after, str) and after.startswith(before)
    if isinstance(before, list):
        return isinstance(after, list) and len(after) >= len(before) and all(map(grows, before, after))
    if isinstance(before, dict):
        same_order = list(after)[: len(before)] == list(before) if isinstance(after, dict) else False
        return same_order and all(grows(value, after[key]) for key, value in before.items())
    return type(before) is type(after) and before == after


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", NOTHING),
        (" \n", NOTHING),
        ("{", {}),
        ('{"a', {}),
        ('{"a"', {}),
        ('{"a":', {}),
        ('{"a": "', {"a": ""}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\u00', {"a": "x"}),
        ('{"a": "x\\ud83d', {"a": "x"}),
        ('{"a": "x\\ud83d\\ude42', {"a": "x🙂"}),
        ('{"a": 1', {}),
        ('{"a": 1,', {"a": 1}),
        ('{"a": tru', {}),
        ('{"a": true}', {"a": True}),
        ("[[1, 2], [3", [[1, 2], []]),
        ("[[1, 2], [3,", [[1, 2], [3]]),
        ("-1.5e3", NOTHING),
        ("nul", NOTHING),
        ('"ab', "ab"),
    ],
)
def test_table(text: str, value: Any) -> None:
    assert partial_value(text) == value or (partial_value(text) is value)


def test_a_number_at_the_end_counts_when_finished() -> None:
    assert partial_value("12", finished=True) == 12


def test_nesting_deeper_than_the_stack() -> None:
    value = partial_value("[" * 50_000)
    depth = 1
    while value:
        value, depth = value[0], depth + 1
    assert depth == 50_000


@given(JSON, st.booleans(), st.sampled_from([None, 1]))
def test_values_grow_to_the_value(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    before: Any = NOTHING
    for end in range(len(text) + 1):
        now = partial_value(text[:end])
        assert grows(before, now), (before, now)
        before = now
    assert partial_value(text, finished=True) == value
