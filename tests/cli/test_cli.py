"""The command line: what it prints, and how it exits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from structgen import embedded, list_grammars, load_grammar
from structgen.cli import app
from structgen.grammar import saved

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
UNSUPPORTED = {"type": "string", "pattern": r"(a)\1"}
UNSATISFIABLE = {"type": "string", "enum": [1]}
INVALID = {"type": "strnig"}

has_model = pytest.mark.skipif(
    not (embedded.model_path() / "config.json").is_file(), reason="the embedded model is not in this checkout"
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    from tiny_model import make_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    make_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model_folder(tiny_model: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("model")
    for part in tiny_model:
        part.save_pretrained(folder)
    return str(folder)


def run(*arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    result = CliRunner().invoke(app, list(arguments), input=stdin)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


def test_help_names_every_command_and_the_exit_codes() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for word in ("generate", "compile", "check", "explain", "warmup", "unsatisfiable"):
        assert word in out


@pytest.mark.parametrize(
    ("schema", "code", "kind"),
    [
        (UNSUPPORTED, 3, "UnsupportedSchemaError"),
        (UNSATISFIABLE, 4, "UnsatisfiableSchemaError"),
        (INVALID, 5, "InvalidSchemaError"),
    ],
)
def test_exit_codes_of_schemas(schema: Any, code: int, kind: str) -> None:
    exited, out, err = run("check", json.dumps(schema))
    assert (exited, out) == (code, "")
    assert err.startswith(f"{kind}: ")
    exited, out, err = run("check", json.dumps(schema), "--json")
    assert (exited, err) == (code, "")
    assert json.loads(out)["error"]["type"] == kind


def test_exit_codes_of_usage(tmp_path: Path) -> None:
    assert run("check", str(tmp_path / "missing.json"))[0] == 2
    assert run("check", "{")[0] == 5
    assert run("check")[0] == 2
    assert run("compile")[0] == 2
    assert run("explain", json.dumps(SCHEMA), "--regex", "a")[0] == 2


def test_check_files_and_standard_input(tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA))
    good, other, bad, broken = (tmp_path / name for name in ("good.json", "other.json", "bad.json", "broken.json"))
    good.write_text('{"name": "Ada", "age": 36}\n')
    other.write_text('{"age": 36.0, "name": "Ada"}')
    bad.write_text('{"name": "Ada", "age": "36"}')
    broken.write_text('{"name": ')
    code, out, _ = run("check", str(schema), str(good), str(other))
    assert code == 0
    assert "good.json: valid\n" in out
    assert "other.json: valid, but spelled otherwise" in out
    code, out, _ = run("check", "-", str(good), str(other), str(bad), str(broken), "--json", stdin=json.dumps(SCHEMA))
    assert code == 1
    verdicts = json.loads(out)["instances"]
    assert [verdict["valid"] for verdict in verdicts] == [True, True, False, False]
    assert [verdict["generable"] for verdict in verdicts] == [True, False, False, False]
    assert verdicts[2]["byte_offset"] == len('{"name": "Ada", "age": ')


def test_check_reports_every_keyword(tmp_path: Path) -> None:
    schema = {
        "title": "t",
        "anyOf": [{"type": "null"}, {"enum": []}],
        "properties": {"a": {"default": 1, "format": "x"}},
    }
    code, out, _ = run("check", json.dumps(schema), "--report")
    assert code == 0
    lines = out.splitlines()
    assert "annotation /title" in lines
    assert "enforced /anyOf/0/type" in lines
    assert "annotation /properties/a/format: an unknown format" in lines
    assert "warning /anyOf/1: no value takes this branch" in lines
    assert any(line.startswith("warning /properties/a/default") for line in lines)
    code, out, _ = run("check", json.dumps(schema), "--report", "--json")
    keywords = json.loads(out)["keywords"]
    assert keywords["counts"]["annotation"] == 3
    assert len(keywords["occurrences"]) == sum(keywords["counts"].values())
    code, _, err = run("check", json.dumps({"items": UNSUPPORTED, "title": "t"}))
    assert code == 3
    assert "refused /items/pattern" in err and "annotation /title" in err


def test_compile(tokenizer: str) -> None:
    code, out, _ = run("compile", json.dumps(SCHEMA), "--tokenizer", tokenizer, "--json")
    assert code == 0
    report = json.loads(out)
    assert report["vocab_size"] >= 256
    assert report["first_tokens"] >= 1
    code, out, _ = run("compile", "--regex", "[ab]+", "--tokenizer", tokenizer)
    assert code == 0
    assert "tokens allowed" in out


def test_explain_what_may_come_next(tokenizer: str) -> None:
    code, out, _ = run(
        "explain", json.dumps(SCHEMA), "--prefix", '{"name": "Ada", "age": 3', "--tokenizer", tokenizer, "--json"
    )
    assert code == 0
    report = json.loads(out)
    assert report["allowed"]
    assert not report["may_end"]
    assert len(report["tokens"]) == report["num_tokens"]
    assert '"0"-"9"' in report["next_bytes"]
    code, out, _ = run("explain", json.dumps(SCHEMA), "--prefix", '{"name": "', "--tokenizer", tokenizer)
    assert code == 0
    assert "tokens allowed" in out


def test_explain_why_a_token_may_not(tokenizer: str) -> None:
    arguments = ("explain", "--regex", "[0-9]{2,3}", "--tokenizer", tokenizer)
    assert run(*arguments, "--token", "7")[0] in (0, 1)
    assert run(*arguments, "--prefix", "1", "--token", "x")[0] == 1
    code, out, _ = run(*arguments, "--prefix", "12", "--token", "x", "--json")
    assert code == 1
    report = json.loads(out)
    assert not report["allowed"]
    assert report["byte_offset"] == 0
    assert report["expected"] == '"0"-"9", or the end'
    code, out, _ = run(*arguments, "--prefix", "1", "--token", "<|end|>")
    assert code == 1
    assert "the text may not end here" in out
    code, out, _ = run(*arguments, "--prefix", "12", "--token", "<|end|>")
    assert code == 0
    assert "allowed" in out


def test_explain_a_prefix_that_is_dead(tokenizer: str) -> None:
    code, out, _ = run("explain", "--regex", "abc", "--prefix", "abd", "--tokenizer", tokenizer)
    assert code == 1
    assert 'byte 2 is "d", expected "c"' in out


def test_warmup(tokenizer: str) -> None:
    code, out, _ = run("warmup", "--tokenizer", tokenizer, "--json")
    assert code == 0
    assert json.loads(out)["seconds"] >= 0
    assert json.loads(out)["grammars"] == list_grammars()
    code, out, _ = run("warmup", "--tokenizer", tokenizer, "--grammar", "go", "--grammar", "c", "--json")
    assert code == 0
    assert json.loads(out)["grammars"] == ["go", "c"]
    code, out, _ = run("warmup", "--tokenizer", tokenizer, "--grammar", "none", "--json")
    assert json.loads(out)["grammars"] == []
    code, _, error = run("warmup", "--tokenizer", tokenizer, "--grammar", "cobol")
    assert code != 0
    assert "'cobol'" in error


def test_warmup_keeps_a_grammar_of_ones_own(tokenizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRUCTGEN_CACHE", str(tmp_path / "cache"))
    text = load_grammar("go") + "\n// of one's own\n"
    (tmp_path / "own.lark").write_text(text)
    (tmp_path / "own.gbnf").write_text('root ::= "a"')
    files = [str(tmp_path / "own.lark"), str(tmp_path / "own.gbnf")]
    code, out, _ = run("warmup", "--tokenizer", tokenizer, "--grammar", files[0], "--grammar", files[1], "--json")
    assert code == 0
    assert json.loads(out)["grammars"] == files
    key = saved.key_of(text, "lark", None, "contextual")
    assert key is not None and saved.find(key) is not None


def test_generate_with_a_named_model(model_folder: str) -> None:
    arguments = ("--schema", json.dumps(SCHEMA), "--model", model_folder, "--max-new-tokens", "60")
    code, out, _ = run("generate", "Hi", *arguments)
    assert code == 0
    value = json.loads(out)
    assert value.keys() == {"name", "age"}
    code, out, _ = run("generate", "-", *arguments, "--json", stdin="Hi")
    assert code == 0
    assert json.loads(out)["value"] == value
    code, out, _ = run("generate", "Hi", *arguments, "--stream")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) > 1
    assert lines[-1] == value
    code, out, _ = run("generate", "Hi", "--regex", "yes|no", "--model", model_folder)
    assert (code, out.strip() in ("yes", "no")) == (0, True)


def test_generate_truncated(model_folder: str) -> None:
    arguments = ("--schema", json.dumps(SCHEMA), "--model", model_folder, "--max-new-tokens", "2")
    code, out, err = run("generate", "Hi", *arguments)
    assert (code, out) == (7, "")
    assert "Truncated" in err
    code, out, _ = run("generate", "Hi", *arguments, "--json")
    assert code == 7
    assert json.loads(out)["error"]["partial"].startswith("{")


@has_model
def test_generate_with_the_embedded_model() -> None:
    code, out, _ = run("generate", "A person.", "--schema", json.dumps(SCHEMA))
    assert code == 0
    assert json.loads(out).keys() == {"name", "age"}


LIST = 'start: "[" [item ("," item)*] "]"\nitem: /[0-9]+/ | start\nunused: "x"\n%ignore " "\n'


def test_check_reads_a_grammar_and_texts(tmp_path: Path) -> None:
    grammar, good, bad = tmp_path / "list.lark", tmp_path / "good", tmp_path / "bad"
    grammar.write_text(LIST)
    good.write_text("[1, [2]]")
    bad.write_text("[1,\n2]")
    done = CliRunner().invoke(app, ["check", str(grammar), str(good), str(bad), "--json"])
    assert done.exit_code == 1
    report = json.loads(done.stdout)
    assert report["unreachable"] == ["unused"]
    assert [text["accepted"] for text in report["texts"]] == [True, False]
    assert (report["texts"][1]["line"], report["texts"][1]["column"]) == (1, 4)


@pytest.mark.parametrize(
    ("text", "suffix", "code"),
    [
        ("start: a", "lark", 5),
        ('root ::= "a', "gbnf", 5),
        ('start: start "a"', "lark", 5),
        ("start: /a(?!bc)/", "lark", 5),
    ],
)
def test_check_says_why_a_grammar_is_refused(tmp_path: Path, text: str, suffix: str, code: int) -> None:
    path = tmp_path / f"grammar.{suffix}"
    path.write_text(text)
    done = CliRunner().invoke(app, ["check", str(path)])
    assert done.exit_code == code
    assert "line 1, column" in done.stderr


def test_explain_and_compile_take_a_grammar(tmp_path: Path, tokenizer: str) -> None:
    path = tmp_path / "root.gbnf"
    path.write_text('root ::= "a" [0-9]{2}\n')
    done = CliRunner().invoke(app, ["explain", "--grammar", str(path), "--prefix", "a", "--tokenizer", tokenizer])
    assert done.exit_code == 0
    assert "0" in done.stdout
    done = CliRunner().invoke(app, ["compile", "--grammar", str(path), "--tokenizer", tokenizer, "--json"])
    assert json.loads(done.stdout)["first_tokens"] >= 1
