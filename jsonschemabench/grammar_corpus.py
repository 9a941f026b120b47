"""Real texts of a language: where they are, whether an oracle takes them, and texts with one mistake in them.

An oracle is the parser that the language's users trust: CPython's for Python, sqlite3 for SQL, tree-sitter for Go,
Java, JavaScript and C, Python's for JSON; for any other grammar lark, reading the very grammar. It knows no engine.
"""

from __future__ import annotations

import ast
import json
import random
import sqlite3
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch

from jsonschemabench.engines.packages import require

Oracle: TypeAlias = Callable[[str], bool]

SUFFIXES = {
    "python": (".py",),
    "go": (".go",),
    "java": (".java",),
    "javascript": (".js", ".mjs"),
    "c": (".c", ".h"),
    "json": (".json",),
    "sql": (".sql",),
    "csv": (".csv",),
    "xml": (".xml", ".html"),
    "graphql": (".graphql",),
    "markdown_table": (".md",),
    "s_expression": (".el", ".lisp", ".scm"),
}
TREE_SITTER = ("go", "java", "javascript", "c")
_SYNTAX = ("syntax error", "unrecognized token", "incomplete input")
_EDITS = "()[]{};,.:=+-*/<>\"'\\ \n\tab01_#@%&|!"


class CorpusProblem(Exception):
    """Texts or an oracle that cannot be had, and why."""


def texts(grammar: str, folders: Sequence[Path], *, max_bytes: int, seed: int) -> Iterator[tuple[str, str]]:
    """(name, text) of the files of a language below some folders, in random order; of SQL each statement is a text.

    Files that are not UTF-8 are left out, and so are those of more than `max_bytes` bytes.
    """
    suffixes = SUFFIXES.get(grammar, (".txt",))
    found = {path for folder in folders for path in ([folder] if folder.is_file() else folder.rglob("*"))}
    files = sorted(path for path in found if path.suffix in suffixes and path.is_file())
    if not files:
        raise CorpusProblem(f"no file {' or '.join('*' + suffix for suffix in suffixes)} below {folders[0]}")
    random.Random(seed).shuffle(files)
    for path in files:
        if path.stat().st_size > max_bytes:
            continue
        try:
            text = path.read_bytes().decode()
        except (OSError, UnicodeDecodeError):
            continue
        if grammar == "sql":
            yield from ((f"{path.name}:{number}", one) for number, one in enumerate(statements(text)))
        else:
            yield path.name, text


def statements(text: str) -> Iterator[str]:
    """The statements of an SQL script."""
    begun = ""
    for line in text.splitlines(keepends=True):
        begun += line
        if sqlite3.complete_statement(begun):
            yield begun.strip()
            begun = ""


def oracle(grammar: str, source: str) -> tuple[str, Oracle]:
    """The name of a language's oracle, and whether it takes a text. `source` is the grammar, for lark."""
    if grammar == "python":
        return "CPython's ast", _python
    if grammar == "json":
        return "Python's json", _json
    if grammar == "sql":
        return f"SQLite {sqlite3.sqlite_version}", _sqlite(sqlite3.connect(":memory:"))
    if grammar in TREE_SITTER:
        tree_sitter = require("the oracle", "tree_sitter", "tree-sitter")
        language = require("the oracle", f"tree_sitter_{grammar}", f"tree-sitter-{grammar}")
        parser = tree_sitter.Parser(tree_sitter.Language(language.language()))
        return "tree-sitter", lambda text: not parser.parse(text.encode()).root_node.has_error
    reader, refusal = lark_reader(source)
    return "lark", lambda text: _reads(reader, refusal, text)


def lark_reader(source: str) -> tuple[Any, type[Exception]]:
    """lark's parser of a grammar, LALR with the contextual lexer, and what it raises for a text it does not take.

    Raises `CorpusProblem` where it cannot read the grammar.
    """
    lark = require("the oracle", "lark", "lark")
    with patch.object(lark.lexer, "has_interegular", False):  # it would look for collisions, for minutes with Unicode
        try:
            return lark.Lark(source, parser="lalr", lexer="contextual"), lark.exceptions.UnexpectedInput
        except lark.exceptions.GrammarError as error:
            raise CorpusProblem(f"lark cannot read the grammar: {str(error).splitlines()[0]}") from error


def _python(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return False
    return True


def _json(text: str) -> bool:
    try:
        json.loads(text, parse_constant=lambda name: json.loads(f"not {name}"))
    except (ValueError, RecursionError):
        return False
    return True


def _sqlite(connection: sqlite3.Connection) -> Oracle:
    def prepares(text: str) -> bool:
        try:
            connection.execute(f"EXPLAIN {text}")
        except sqlite3.Error as error:  # a table that is not there is not a matter of syntax
            return not any(mistake in str(error) for mistake in _SYNTAX)
        except sqlite3.Warning:  # several statements
            return False
        return True

    return prepares


def _reads(reader: Any, refusal: type[Exception], text: str) -> bool:
    try:
        reader.parse(text)
    except refusal:
        return False
    return True


def mutations(text: str, takes: Oracle, rng: random.Random, count: int) -> Iterator[str]:
    """At most `count` texts that an oracle refuses, each a small edit away from one that it takes."""
    for _ in range(4 * count):
        if count <= 0 or not text:
            return
        mutated = _mutated(text, rng)
        if not takes(mutated):
            count -= 1
            yield mutated


def _mutated(text: str, rng: random.Random) -> str:
    at = rng.randrange(len(text))
    match rng.randrange(4):
        case 0:  # a character is gone
            return text[:at] + text[at + 1 :]
        case 1:  # one too many
            return text[:at] + rng.choice(_EDITS) + text[at:]
        case 2:  # another one
            return text[:at] + rng.choice(_EDITS) + text[at + 1 :]
        case _:  # some are gone
            return text[:at] + text[at + rng.randint(2, 12) :]
