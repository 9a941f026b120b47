"""The `grammars` command: corpora, oracles, mutations, and both engines on a handful of texts."""

from __future__ import annotations

import random
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from subprocess import CalledProcessError

import pytest
from typer.testing import CliRunner

from jsonschemabench.cli import app
from jsonschemabench.grammar_corpus import CorpusProblem, mutations, oracle, statements, texts
from jsonschemabench.grammar_texts import Deriver
from jsonschemabench.llguidance_lark import CannotExpress, adapted
from structgen import list_grammars, load_grammar


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


def test_lark_for_llguidance() -> None:
    source = (
        "start: pair{A} pair{word} // twice\n"
        "?word: A\n"
        'pair{x}: x "{" pair{x}? "}"\n'
        r"A.2: /(?!(if|else)\b)[a-z(]+(?![)\]])/" + "\nB: /\\\\(?x(?=[(])/\nC: /(?!0)[0-9]+/i\n%ignore /[ ]/\n"
    )
    found = adapted(source)
    assert found.dropped == ("look-ahead", "priorities") or found.dropped == ("priorities", "look-ahead")
    assert found.text.splitlines() == [
        '%llguidance {"allow_initial_skip": true}',
        "start: pair_of_a pair_of_word ",
        "?word: A",
        "A: (/[a-z(]+/ & ~/(if|else)/)",
        r"B: /\\(?x/",
        "C: /[0-9]+/i",
        "%ignore /[ ]/",
        'pair_of_a: A "{" pair_of_a? "}"',
        'pair_of_word: word "{" pair_of_word? "}"',
    ]
    with pytest.raises(CannotExpress, match="indentation"):
        adapted("%declare _INDENT\n")


@pytest.mark.parametrize(
    "grammar", ["arithmetic", "csv", "first_order_logic", "graphql", "regex", "s_expression", "xml"]
)
def test_derived_texts_are_of_the_language(grammar: str) -> None:
    import structgen

    source = structgen.load_grammar(grammar)
    _, takes = oracle(grammar, source)
    drawn = list(islice(Deriver(source, seed=3, num_terminals=30).texts(), 40))
    assert len(set(drawn)) > 20
    assert sum(map(takes, drawn)) > 10
    assert drawn == list(islice(Deriver(source, seed=3, num_terminals=30).texts(), 40))


@pytest.mark.parametrize("grammar", [name for name in list_grammars() if name != "python"])
def test_llguidance_takes_the_grammars_that_ship(grammar: str) -> None:
    llguidance = pytest.importorskip("llguidance")
    text = llguidance.LLMatcher.grammar_from_lark(adapted(load_grammar(grammar)).text)
    assert not llguidance.LLMatcher(llguidance.LLTokenizer("byte"), text, log_level=0).get_error()


def test_the_comparison(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, 2, "x\\n", null], "b": {}}')
    arguments = ["grammars", "--compare", "-g", "json", "-g", "arithmetic", "-g", "markdown_table", "-g", "python"]
    result = CliRunner().invoke(app, [*arguments, "-f", str(tmp_path), "--sample", "2", "--markdown"])
    assert result.exit_code == 0, result.output
    assert [line.split("|")[1].strip() for line in result.output.splitlines() if line.startswith("| ")][
        1:
    ] == arguments[3::2]
    if find_spec("llguidance"):
        assert "reads 1 of 1" in result.output
    assert "cannot express it: %declare: indentation" in result.output or "no texts" in result.output


def test_the_command(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.json").write_text('{"a": [1, 2, "x\\n", null], "b": {}}' + " " * number)
    arguments = ["grammars", "-g", "json", "-f", str(tmp_path), "--mutations", "8", "--markdown"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "3 of 3 (100.00 %)" in result.output
    assert "8 of 8 (100.00 %)" in result.output
    assert "llguidance" in result.output


def test_the_time_to_the_first_mask() -> None:
    result = CliRunner().invoke(app, ["grammars", "--first", "2", "-g", "json", "-g", "arithmetic", "--markdown"])
    assert result.exit_code == 0, result.output
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.output.splitlines() if "json" in line]
    name, middle, least, most, again, read = rows[0]
    assert (name, read) == ("json", "no")
    assert float(least) <= float(middle) <= float(most)
    assert 0 < float(again) < float(most)


def test_a_first_mask_that_fails_is_one_message() -> None:
    result = CliRunner().invoke(app, ["grammars", "--first", "1", "-g", "nosuch"])
    assert result.exit_code == 1
    assert "nosuch" in result.output
    assert "Traceback" not in result.output
    assert not isinstance(result.exception, CalledProcessError)
