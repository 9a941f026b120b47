"""The growth curves: their schemas, where they stop, and what is said of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import make_fake
from rich.console import Console

from jsonschemabench.outcome import Limits
from jsonschemabench.running import Plan, never, run_engines
from jsonschemabench.scale import Point, broke_before, points_of, probe, probes_of, scale_json, scale_tables, verdict_of
from jsonschemabench.scale_families import FAMILIES, family_case
from jsonschemabench.tokenizer import Tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_the_text_of_every_family_is_valid_and_grows(family: str) -> None:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    small, large = family_case(family, 3), family_case(family, 70)
    for case in (small, large):
        (instance,) = case.instances
        assert jsonschema_rs.validator_for(case.schema).is_valid(json.loads(instance.text))
    assert len(str(large.schema)) + len(large.instances[0].text) > len(str(small.schema)) + len(small.instances[0].text)


def test_the_largest_size_is_made_without_recursion() -> None:
    for family in ("nesting", "recursion"):
        assert len(family_case(family, 20 * sys.getrecursionlimit()).instances[0].text) > 100_000


SIZES = [10, 100, 1000, 10_000]


def scale_plan(tokenizer: Tokenizer, **changes: Any) -> Plan:
    return Plan(
        command="scale",
        tasks=probes_of(["maxLength", "enum"], SIZES, 20),
        data={"digest": "d"},
        tokenizer=tokenizer,
        limits=Limits(10, 20),
        job=probe,
        make_engine=make_fake,
        **{"skip": broke_before, **changes},
    )


def test_a_curve_stops_where_it_breaks(tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = scale_plan(tokenizer, out=tmp_path / "run.jsonl")
    runs = run_engines(plan, ["length"], Console(quiet=True)).runs
    points = points_of(runs)
    assert [(point.family, point.size, point.ended, point.cut) for point in points] == [
        ("maxLength", 10, "done", False),
        ("enum", 10, "refused", False),
        ("maxLength", 100, "done", True),
        ("maxLength", 1000, "refused", False),
    ]
    assert points[2].num_masks == 19
    verdicts, *families = scale_tables(runs)
    assert "length: version 1.0; brute force" in verdicts.note and "Limits: 10 s to the first mask" in verdicts.note
    assert runs[0].header.where() in verdicts.note
    assert [row[0] for row in families[1].rows] == ["10", "100", "1,000"]
    assert [table.rows[2][1] for table in families] == ["—", "refused"]
    assert "breaks at 1,000: refused (no more than 100, not 1000)" in dict(verdicts.rows)["maxLength"]
    json.loads(json.dumps(scale_json(runs), allow_nan=False))
    again = run_engines(scale_plan(tokenizer, out=tmp_path / "run.jsonl", resume=True), ["length"], Console(quiet=True))
    assert again.runs[0].rows == runs[0].rows  # nothing was tried again, and nothing beyond a break


def test_workers_side_by_side_tell_the_same_curves(tokenizer: Tokenizer) -> None:
    """Sizes beyond a break, which another worker had in hand already, do not count."""
    quiet = Console(quiet=True)
    (alone,) = run_engines(scale_plan(tokenizer), ["length"], quiet).runs
    (beyond,) = run_engines(scale_plan(tokenizer, skip=never, num_lanes=2), ["length"], quiet).runs
    assert len(beyond.rows) == 8 > len(alone.rows)
    told = [[(point.family, point.size, point.ended) for point in points_of([run])] for run in (alone, beyond)]
    assert sorted(told[0]) == sorted(told[1])
    assert scale_tables([beyond])[0].rows == scale_tables([alone])[0].rows


def test_bends_are_faster_than_the_size() -> None:
    def point(size: int, ttfm: float, mean: float) -> Point:
        return Point("e", "enum", size, "done", "", ttfm, mean, mean, 1, False, 1.0)

    straight = [point(10, 10, 1), point(100, 100, 1), point(1000, 1400, 2)]
    assert verdict_of(straight) == "holds to 1,000"
    bent = [point(10, 10, 1), point(100, 100, 30), point(1000, 1000, 900)]
    assert verdict_of(bent) == "bends at 100 (mean mask ×30); holds to 1,000"
    assert verdict_of([]) == "—"
