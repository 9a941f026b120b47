"""Reading cases, whatever is wrong with them, and choosing among them."""

from __future__ import annotations

import gzip
import json
import random
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import good_case
from hypothesis import given
from hypothesis import strategies as st

from jsonschemabench.case import instance_text, split_of_id
from jsonschemabench.dataset import EMBEDDED, DataProblem, load_dataset
from jsonschemabench.sample import apportion, sample_cases

ROW = {"id": "one", "split": "s", "schema": {"type": "string"}, "tests": [{"valid": True, "data": "x"}]}


def row(**changes: Any) -> str:
    return json.dumps({**ROW, **changes})


def test_a_damaged_line_is_named_and_skipped(tmp_path: Path) -> None:
    lines = [row(), "", row(id="two")[:-9], row(id="three", tests=[{"data": 1}]), "[]", row(), row(id="six")]
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(lines))
    dataset = load_dataset(str(path))
    assert [case.id for case in dataset.cases] == ["one", "six"]
    assert [damage.where for damage in dataset.damages] == [f"data.jsonl line {number}" for number in (3, 4, 5, 6)]
    assert "tests[0]" in dataset.damages[1].reason
    assert "seen before" in dataset.damages[3].reason


def test_gzip_and_plain_are_the_same_data(tmp_path: Path) -> None:
    text = "\n".join(row(id=str(number)) for number in range(50))
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    plain, zipped = load_dataset(str(tmp_path / "a.jsonl")), load_dataset(str(tmp_path / "a.jsonl.gz"))
    assert plain.cases == zipped.cases
    assert plain.digest == zipped.digest


def test_a_gzip_file_that_was_cut_off_keeps_what_it_has(tmp_path: Path) -> None:
    noise = random.Random(1)
    text = "\n".join(row(id=str(number), note=noise.random()) for number in range(2000))
    whole = gzip.compress(text.encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    dataset = load_dataset(str(tmp_path / "cut.jsonl.gz"))
    assert 0 < len(dataset.cases) < 2000
    assert any("ends early or is damaged" in damage.reason for damage in dataset.damages)


def test_a_maskbench_folder(tmp_path: Path) -> None:
    for name in ("Github_easy---o1", "BFCL_java_1"):
        (tmp_path / f"{name}.json").write_text(json.dumps({"schema": {}, "tests": [{"valid": False, "data": 1}]}))
    (tmp_path / "broken.json").write_text("{")
    dataset = load_dataset(str(tmp_path))
    assert [(case.id, case.split) for case in dataset.cases] == [
        ("BFCL_java_1", "BFCL"),
        ("Github_easy---o1", "Github_easy"),
    ]
    assert [damage.where for damage in dataset.damages] == ["broken.json"]


def test_a_data_set_on_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"json_schema": '{"type": "null"}', "unique_id": f"u{number}"} for number in range(3)]
    hub = types.ModuleType("datasets")
    hub.get_dataset_config_names = lambda name: ["default", "easy"]  # type: ignore[attr-defined]
    hub.load_dataset = lambda name, config: {"test": [*rows, {"json_schema": "{"}]}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", hub)
    dataset = load_dataset("some/bench")
    assert next((case.id, case.split, case.schema) for case in dataset.cases) == ("u0", "easy", {"type": "null"})
    assert [damage.where for damage in dataset.damages] == ["some/bench easy/test row 3"]


def test_without_the_package_a_name_is_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataProblem, match="pip install datasets"):
        load_dataset("some/bench")
    with pytest.raises(DataProblem, match="there is no file or folder"):
        load_dataset("nowhere.jsonl")


def test_texts_are_maskbench_s_unless_a_surrogate_forces_escapes() -> None:
    assert instance_text({"ä": [1, "☃"]}) == '{"ä": [1, "☃"]}'
    assert instance_text("\ud800ä") == '"\\ud800\\u00e4"'
    assert split_of_id("JME_0") == "JME"


def test_the_embedded_set_is_judged_by_jsonschema_rs() -> None:
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    dataset = load_dataset(None)
    assert dataset.damages == ()
    assert len(dataset.cases) >= 40
    for case in dataset.cases:
        validator = jsonschema_rs.validator_for(case.schema, validate_formats=True)
        for instance in case.instances:
            assert validator.is_valid(json.loads(instance.text)) == instance.valid, (case.id, instance)
        verdicts = {instance.valid for instance in case.instances}
        assert True in verdicts and (False in verdicts or case.schema == {}), case.id
    assert all(json.loads(line)["id"] for line in EMBEDDED.read_text(encoding="utf-8").splitlines())


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 200), min_size=1), st.data())
def test_apportion_is_proportional_and_whole(sizes: dict[str, int], data: st.DataObject) -> None:
    whole = sum(sizes.values())
    total = data.draw(st.integers(0, whole))
    shares = apportion(sizes, total)
    assert sum(shares.values()) == total
    for name, size in sizes.items():
        assert abs(shares[name] - size * total / whole) < 1
        assert shares[name] <= size


def test_a_sample_is_stratified_and_depends_on_the_seed_alone() -> None:
    cases = [
        good_case(f"{split}{number}", split)
        for split, size in (("a", 60), ("b", 30), ("c", 10))
        for number in range(size)
    ]
    chosen = sample_cases(cases, 20, seed=7)
    assert Counter(case.split for case in chosen) == {"a": 12, "b": 6, "c": 2}
    assert len({case.id for case in chosen}) == 20
    assert sample_cases(cases[::-1], 20, seed=7) == chosen
    assert sample_cases(cases, 20, seed=8) != chosen
    assert sorted(case.id for case in sample_cases(cases, None, 7)) == sorted(case.id for case in cases)
    assert len(sample_cases(cases, 1000, 7)) == 100
