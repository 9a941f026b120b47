"""Percentiles by nearest rank, and that merging runs loses nothing."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jsonschemabench.times import PERCENTILES, Times, nearest_rank


@pytest.mark.parametrize(
    ("num", "percent", "index"),
    [
        (1, 25, 0),
        (4, 25, 0),
        (4, 50, 1),
        (4, 75, 2),
        (5, 50, 2),
        (1000, 99.9, 998),
        (1001, 99.9, 999),
        (828, 99.9, 827),
    ],
)
def test_nearest_rank(num: int, percent: float, index: int) -> None:
    assert nearest_rank(num, percent) == index


@given(st.lists(st.integers(0, 10**9), min_size=1), st.sampled_from(PERCENTILES))
def test_a_percentile_is_the_smallest_value_with_enough_at_or_below(values: list[int], percent: float) -> None:
    found = sorted(values)[nearest_rank(len(values), percent)]
    assert sum(value <= found for value in values) * 1000 >= len(values) * round(percent * 10)
    smaller = [value for value in values if value < found]
    assert len(smaller) * 1000 < len(values) * round(percent * 10)


@given(st.lists(st.lists(st.integers(0, 10**12))))
def test_merged_percentiles_are_those_of_all_values(parts: list[list[int]]) -> None:
    whole = [value for part in parts for value in part]
    merged, direct = Times.of(parts), Times.of([whole])
    assert merged.num == len(whole)
    if whole:
        assert merged == direct
        assert merged.percentiles_us[-1] == max(whole) / 1000
    else:
        assert math.isnan(merged.mean_us)
        assert all(math.isnan(value) for value in direct.percentiles_us)
