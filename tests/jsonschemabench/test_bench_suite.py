"""Reading the official suite in its three forms, and its tables."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from jsonschemabench.comparison import Column
from jsonschemabench.record import Record, Verdict
from jsonschemabench.runfile import Header, Run
from jsonschemabench.suite_source import SuiteProblem, load_suite
from jsonschemabench.suite_table import keyword_cell, suite_json, suite_tables


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
