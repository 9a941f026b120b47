"""The `grammars` command: corpora, oracles, mutations, and both engines on a handful of texts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jsonschemabench.cli import app
from jsonschemabench.grammar_corpus import CorpusProblem, mutations, oracle, statements, texts
from jsonschemabench.grammars import without_look_ahead


def test_texts_are_files_of_the_language(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    (tmp_path / "b.txt").write_text("no")
    (tmp_path / "c.json").write_bytes(b"\xff")
    (tmp_path / "d.json").write_text("[" + "1," * 100 + "1]")
    assert list(texts("json", [tmp_path], max_bytes=100, seed=0)) == [("a.json", "[1]")]
    with pytest.raises(CorpusProblem, match=r"\*.go"):
        list(texts("go", [tmp_path], max_bytes=100, seed=0))


def test_statements() -> None:
    assert list(statements("SELECT ';';\nSELECT 2\n;\nSELECT")) == ["SELECT ';';", "SELECT 2\n;"]


@pytest.mark.parametrize(
    ("grammar", "good", "bad"),
    [
        ("python", "x = 1\n", "x = \n"),
        ("json", "[1]", "[NaN]"),
        ("sql", "SELECT a FROM b;", "SELECT FROM b;"),
        ("arithmetic", "1 + 2", "1 +"),
    ],
)
def test_oracles(grammar: str, good: str, bad: str) -> None:
    import structgen

    _, takes = oracle(grammar, structgen.load_grammar(grammar))
    assert takes(good)
    assert not takes(bad)


def test_mutations_are_refused_by_the_oracle() -> None:
    _, takes = oracle("json", "")
    found = list(mutations('{"a": [1, 2, {"b": null}]}', takes, random.Random(1), 30))
    assert len(found) == 30
    assert not any(map(takes, found))


def test_patterns_without_look_ahead() -> None:
    source = r"A: /(?!(if|else)\b)[a-z(]+(?![)\]])/" + "\nB: /\\(?x(?=[(])/\n"
    assert without_look_ahead(source) == "A: /[a-z(]+/\nB: /\\(?x/\n"


def test_the_command(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.json").write_text('{"a": [1, 2, "x\\n", null], "b": {}}' + " " * number)
    arguments = ["grammars", "-g", "json", "-f", str(tmp_path), "--mutations", "8", "--markdown"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 of 3 (100.00 %)" in result.output
    assert "8 of 8 (100.00 %)" in result.output
    assert "llguidance" in result.output
