"""Reading the official suite in its three forms, its tables, and the growth curves."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import FakeEngine
from rich.console import Console

from jsonschemabench.comparison import Column
from jsonschemabench.engines import Refused
from jsonschemabench.lane import Limits
from jsonschemabench.record import Record, Verdict
from jsonschemabench.runfile import Header, Run
from jsonschemabench.running import Plan, run_engines
from jsonschemabench.scale import Point, broke_before, points_of, probe, probes_of, scale_json, scale_tables, verdict_of
from jsonschemabench.scale_families import FAMILIES, family_case
from jsonschemabench.suite_source import SuiteProblem, load_suite
from jsonschemabench.suite_table import keyword_cell, suite_json, suite_tables
from jsonschemabench.tokenizer import Tokenizer


def group(schema: object, *tests: tuple[object, bool]) -> dict[str, object]:
    return {
        "description": "what",
        "schema": schema,
        "tests": [{"description": "", "data": data, "valid": valid} for data, valid in tests],
    }


FILES = {
    "tests/draft7/type.json": [group({"type": "null"}, (None, True), ("ä", False)), group(True, (1, True))],
    "tests/draft7/optional/bignum.json": [group({"type": "integer"}, (10**30, True))],
    "tests/draft7/optional/format/date.json": [group({"$schema": "x", "format": "date"}, ("no", False))],
    "tests/draft2020-12/type.json": [group({}, (1, True))],
    "remotes/draft7/integer.json": {"type": "integer"},
}


def write_folder(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return folder


def write_tar(path: Path, root: str) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in FILES.items():
            raw = json.dumps(content).encode()
            member = tarfile.TarInfo(root + name)
            member.size = len(raw)
            archive.addfile(member, io.BytesIO(raw))
    return path


def test_folder_and_tar_files_hold_the_same(tmp_path: Path) -> None:
    folder = load_suite(write_folder(tmp_path / "checkout"), "7")
    assert load_suite(write_tar(tmp_path / "a.tar.gz", ""), "7") == folder
    assert load_suite(write_tar(tmp_path / "b.tar.gz", "Suite-main/"), "7") == folder
    assert [case.split for case in folder.cases] == ["type", "type"]
    assert folder.cases[0].schema == {"$schema": "http://json-schema.org/draft-07/schema#", "type": "null"}
    assert [(i.valid, i.text) for i in folder.cases[0].instances] == [(True, "null"), (False, '"ä"')]
    assert folder.cases[1].schema is True
    assert folder.remotes == {"http://localhost:1234/draft7/integer.json": {"type": "integer"}}


def test_optional_tests_come_when_they_are_asked_for(tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    assert {case.split for case in load_suite(folder, "7", optional=True).cases} == {"type", "optional/bignum"}
    formats = load_suite(folder, "7", formats=True).cases
    assert {case.split for case in formats} == {"type", "optional/format/date"}
    assert formats[0].schema["$schema"] == "x"


def test_what_cannot_be_read_is_a_clear_message(tmp_path: Path) -> None:
    with pytest.raises(SuiteProblem, match="known are 4"):
        load_suite(tmp_path, "5")
    with pytest.raises(SuiteProblem, match="has no tests/draft4; it has draft2020-12, draft7"):
        load_suite(write_folder(tmp_path / "x"), "4")
    with pytest.raises(SuiteProblem, match="neither a folder nor"):
        load_suite(tmp_path / "nothing.tar.gz", "7")


def test_counts_are_over_groups_that_compiled() -> None:
    def verdicts(*pairs: tuple[bool, bool]) -> tuple[Verdict, ...]:
        return tuple(Verdict(valid, accepted, 1, 1) for valid, accepted in pairs)

    records = (
        Record("e", "type/000", "type", "done", verdicts=verdicts((True, True), (False, False))),
        Record("e", "type/001", "type", "done", verdicts=verdicts((True, False), (False, True), (False, True))),
        Record("e", "type/002", "type", "refused", detail="other"),
        Record("e", "type/003", "type", "timeout", verdicts=verdicts((True, True))),
    )
    assert keyword_cell(records) == "2/4; 2, 1 vr, 2 ia"
    column = Column("e", Run(Header("suite", "e", "1", "", {}, {}, {}, {}, ""), records))
    totals, by_file, why = suite_tables([column], "7")
    assert why.rows == [("other", "1")]
    assert ("groups compiled and all verdicts right", "1") in [tuple(row) for row in totals.rows]
    assert by_file.rows == [("type", "2/4; 2, 1 vr, 2 ia")]
    assert suite_json([column], "7")["engines"]["e"]["all"]["groups lost (timeout, crash, memory)"] == 1


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


class LengthEngine(FakeEngine):
    """Takes the maxLength family up to 100 and refuses from there on."""

    def compile(self, schema: dict[str, object]) -> object:  # type: ignore[override]
        limit = schema.get("maxLength")
        if not isinstance(limit, int) or limit > 100:
            raise Refused(f"no more than 100, not {limit}")
        return super().compile({"texts": [family_case("maxLength", limit).instances[0].text]})


SIZES = [10, 100, 1000, 10_000]


def scale_plan(tokenizer: Tokenizer, **changes: Any) -> Plan:
    return Plan(
        command="scale",
        tasks=probes_of(["maxLength", "enum"], SIZES, 20),
        data={"digest": "d"},
        tokenizer=tokenizer,
        limits=Limits(10, 20),
        job=probe,
        skip=broke_before,
        make_engine=lambda name: LengthEngine(),
        **changes,
    )


def test_a_curve_stops_where_it_breaks(tokenizer: Tokenizer, tmp_path: Path) -> None:
    plan = scale_plan(tokenizer, out=tmp_path / "run.jsonl")
    runs = run_engines(plan, ["length"], Console(quiet=True)).runs
    points = points_of(runs)
    assert [(point.family, point.size, point.ended, point.cut) for point in points] == [
        ("maxLength", 10, "done", False),
        ("maxLength", 100, "done", True),
        ("maxLength", 1000, "refused", False),
        ("enum", 10, "refused", False),
    ]
    assert points[1].num_masks == 19
    verdicts, *families = scale_tables(runs)
    assert "length: version 1.0; brute force" in verdicts.note and "Limits: 10 s to the first mask" in verdicts.note
    assert runs[0].header.where() in verdicts.note
    assert [row[0] for row in families[1].rows] == ["10", "100", "1,000"]
    assert [table.rows[2][1] for table in families] == ["—", "refused"]
    assert "breaks at 1,000: refused (no more than 100, not 1000)" in dict(verdicts.rows)["maxLength"]
    json.loads(json.dumps(scale_json(runs), allow_nan=False))
    again = run_engines(scale_plan(tokenizer, out=tmp_path / "run.jsonl", resume=True), ["length"], Console(quiet=True))
    assert again.runs[0].rows == runs[0].rows  # nothing was tried again, and nothing beyond a break


def test_bends_are_faster_than_the_size() -> None:
    def point(size: int, ttfm: float, mean: float) -> Point:
        return Point("e", "enum", size, "done", "", ttfm, mean, mean, 1, False, 1.0)

    straight = [point(10, 10, 1), point(100, 100, 1), point(1000, 1400, 2)]
    assert verdict_of(straight) == "holds to 1,000"
    bent = [point(10, 10, 1), point(100, 100, 30), point(1000, 1000, 900)]
    assert verdict_of(bent) == "bends at 100 (mean mask ×30); holds to 1,000"
    assert verdict_of([]) == "—"
