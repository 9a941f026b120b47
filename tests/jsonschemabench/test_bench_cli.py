"""The command line as a user meets it, and the adapters of the engines that are installed."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from bench_fakes import FakeEngine
from typer.testing import CliRunner

import jsonschemabench.engines as engines_package
from jsonschemabench.cli import app
from jsonschemabench.engines import EngineUnavailable, engine_names, make_engine
from jsonschemabench.engines.packages import require
from jsonschemabench.groups import Kept, Where, grouped

runner = CliRunner()


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def invoke(*arguments: str) -> Any:
    return runner.invoke(app, list(arguments), catch_exceptions=False)


@pytest.mark.skipif(not installed("llguidance"), reason="llguidance is not installed")
def test_masks_runs_llguidance_over_the_embedded_set(tokenizer_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["masks", "--engine", "llguidance", "--tokenizer", str(tokenizer_file), "--json", "--out", str(out)]
    figures = json.loads(invoke(*arguments, "--slowest", "2").stdout)
    counts = figures["engines"]["llguidance"]["all"]["counts"]
    assert counts["schemas"] >= 40
    assert counts["passing"] >= counts["schemas"] - 5
    assert counts["invalid accepted"] == counts["crash"] == counts["timeout"] == 0
    assert counts["valid rejected"] <= 1  # properties in another order than the schema's
    assert sum(figures["engines"]["llguidance"]["refused"].values()) == counts["refused"]
    assert len(figures["engines"]["llguidance"]["slowest"]) == 2
    again = invoke(*arguments[:-3], "--sample", "5", "--baseline", str(out))
    assert again.exit_code == 0
    assert "llguidance (baseline)" in again.stdout


def test_an_engine_that_is_not_there_is_a_message_and_not_a_trace(
    tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "outlines_core", None)
    result = invoke("masks", "--engine", "outlines-core", "--tokenizer", str(tokenizer_file), "--sample", "1")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert "outlines-core was not run" in message
    assert "pip install" in message
    assert "Traceback" not in result.output


def test_names_and_values_that_do_not_exist() -> None:
    for arguments in (
        ("masks", "--engine", "nothing"),
        ("masks", "--profile", "fast"),
        ("masks", "--data", "nowhere.jsonl"),
        ("masks", "--tokenizer", "nowhere.json"),
        ("masks", "--baseline", "nowhere"),
        ("masks", "--pin", "9999"),
        ("masks", "--without", "nothing"),
        ("scale", "--sizes", "0"),
        ("scale", "--family", "nothing"),
        ("scale", "--sizes", "ten"),
        ("scale", "--ray", "auto", "--pin", "0"),
        ("masks", "--ray", "auto", "--interleave"),
        ("suite", "nowhere.tar.gz"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 2, arguments
        assert "Traceback" not in result.output


def test_engines_lists_all_and_a_third_party_s(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name, value = "third", "somewhere:Engine"

        def load(self) -> type:
            return FakeEngine

    class Broken(Point):
        name = "unloadable"

        def load(self) -> type:
            raise ImportError("no such module")

    monkeypatch.setattr(engines_package, "entry_points", lambda group: [Point(), Broken()])
    assert engine_names()[-2:] == ["third", "unloadable"]
    assert make_engine("third").options() == "brute force"
    with pytest.raises(EngineUnavailable, match="no such module"):
        make_engine("unloadable")
    with pytest.raises(EngineUnavailable, match="there is no engine"):
        make_engine("fourth")
    listed = invoke("engines").stdout
    assert "third" in listed and "brute force" in listed and "no such module" in listed
    with pytest.raises(EngineUnavailable, match=r"pip install 'structgen\[bench\]'"):
        require("x", "no_such_module_at_all", "no-such-module")


THIRD = """
import numpy as np

class Anything:
    "Takes every schema and allows every text: an engine is no more than this."
    name = "anything"
    def version(self): return "3.1"
    def options(self): return "none at all"
    def setup(self, tokenizer, settings): pass
    def compile(self, schema): return self
    def start(self): return self
    def mask(self, bitmask): bitmask[:] = np.int32(-1)
    def commit(self, token_id): return True
    def may_end(self): return True
    def error(self): return ""
"""


def test_a_third_party_adds_an_engine_by_one_class_and_an_entry_point(tokenizer_file: Path, tmp_path: Path) -> None:
    (tmp_path / "third.py").write_text(THIRD)
    about = tmp_path / "third_engines-3.1.dist-info"  # what installing a package leaves behind
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: third-engines\nVersion: 3.1\n")
    (about / "entry_points.txt").write_text("[jsonschemabench.engines]\nanything = third:Anything\n")
    rows = [{"id": "one", "schema": {}, "tests": [{"valid": True, "data": 1}, {"valid": False, "data": 2}]}]
    data = tmp_path / "data.jsonl"
    data.write_text("\n".join([json.dumps(row) for row in rows] + ["{"]))
    command = [sys.executable, "-m", "jsonschemabench", "masks", "--engine", "anything", "--json"]
    path = os.pathsep.join([str(tmp_path), str(Path(engines_package.__file__).parents[2]), *filter(None, sys.path)])
    done = subprocess.run(
        [*command, "--data", str(data), "--tokenizer", str(tokenizer_file)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    (name, figures), *others = json.loads(done.stdout)["engines"].items()
    assert (name, figures["version"], figures["options"], others) == ("anything", "3.1", "none at all", [])
    counts = figures["all"]["counts"]
    assert (counts["schemas"], counts["valid instances tried"], counts["invalid accepted"]) == (1, 1, 1)
    assert "skipped data.jsonl line 2" in done.stderr


def test_importing_the_command_line_loads_no_engine() -> None:
    heavy = ["structgen", "torch", "transformers", "llguidance", "xgrammar", "outlines_core", "tokenizers"]
    code = f"import sys, jsonschemabench.cli; print([m for m in sys.modules if m.split('.')[0] in {heavy}])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_options_of_a_group_are_read_one_by_one() -> None:
    seen: list[Any] = []

    def command(kept: Kept, where: Where, more: Annotated[int, typer.Option("--more")] = 3) -> None:
        seen.append((kept, where, more))

    app = typer.Typer()
    app.command()(grouped(command))
    done = runner.invoke(app, ["--out", "x", "--resume", "--more", "4", "--jobs", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert seen == [(Kept(Path("x"), True), Where(jobs=2), 4)]
    assert runner.invoke(app, [], catch_exceptions=False).exit_code == 0
    assert seen[1] == (Kept(), Where(), 3)

    def twice(kept: Kept, also: Kept) -> None: ...

    with pytest.raises(ValueError, match="duplicate parameter name"):
        grouped(twice)
