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
    assert [damage.where for damage in dataset.damages] == ["bench easy/test row 3"]


CARD = """---
configs:
- config_name: Github_easy
  data_files:
  - {split: train, path: Github_easy/train-*}
  - {split: test, path: Github_easy/test-*}
- config_name: Snowplow
  data_files:
  - {split: test, path: Snowplow/test-*}
- config_name: default
  data_files:
  - {split: test, path: data/*}
---
"""


@pytest.fixture
def hub_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set laid out like epfl-dlab/JSONSchemaBench: a part a source, parquet files, two columns of text."""
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    for name in ("HF_DATASETS_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setattr(datasets.config, name, True, raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "owner" / "bench"

    def write(file: str, *rows: tuple[str, str]) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        columns = {"json_schema": [row[0] for row in rows], "unique_id": [row[1] for row in rows]}
        datasets.Dataset.from_dict(columns).to_parquet(str(folder / file))

    write("Github_easy/train-00000-of-00001.parquet", ('{"type": "null"}', "o1"), ('{"type": "string"}', "o2"))
    write("Github_easy/test-00000-of-00001.parquet", ('{"type": ', "o3"))
    write("Snowplow/test-00000-of-00001.parquet", ('{"enum": [1, "é"]}', "sp_1"))
    write("data/all.parquet", ('{"type": "null"}', "o1"))
    (folder / "README.md").write_text(CARD)
    return folder


def test_jsonschemabench_as_the_package_datasets_has_it(hub_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hub_copy.parents[1])  # where the name on the hub is a folder, the package reads that
    by_folder, by_part = load_dataset(str(hub_copy)), load_dataset("owner/bench:Snowplow")
    assert [(case.id, case.split, case.schema) for case in by_folder.cases] == [
        ("o1", "Github_easy", {"type": "null"}),
        ("o2", "Github_easy", {"type": "string"}),
        ("sp_1", "Snowplow", {"enum": [1, "é"]}),
    ]
    assert [damage.where for damage in by_folder.damages] == ["bench Github_easy/test row 0"]
    assert [(case.id, case.instances) for case in by_part.cases] == [("sp_1", ())]
    with pytest.raises(DataProblem, match="no part 'Kubernetes'; it has Github_easy, Snowplow, default"):
        load_dataset("owner/bench:Kubernetes")
    with pytest.raises(DataProblem, match="nobody/nothing cannot be loaded"):
        load_dataset("nobody/nothing")


def test_without_the_package_a_name_is_a_clear_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataProblem, match=r"pip install 'structgen\[datasets\]'"):
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
