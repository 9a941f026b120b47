"""The dialects of grammars, by name, and the way from a grammar's text to IR."""

from __future__ import annotations

from collections.abc import Callable

from structgen.grammar.dead_ends import check_guards
from structgen.grammar.form import Grammar
from structgen.grammar.lark_reader import read_lark
from structgen.grammar.lexing import scan
from structgen.grammar.lower import Lowering
from structgen.ir import Node

READERS: dict[str, tuple[Callable[..., Grammar], str]] = {"lark": (read_lark, "start")}
"""How to read a dialect, and the rule it starts from unless told otherwise."""


def read_grammar(text: str, *, dialect: str = "lark", start: str | None = None) -> Grammar:
    """Read a grammar. Raises `GrammarSyntaxError`, and `ValueError` for a dialect that does not exist."""
    if dialect not in READERS:
        raise ValueError(f"dialect must be one of {', '.join(READERS)}, not {dialect!r}")
    reader, default = READERS[dialect]
    return reader(text, start=default if start is None else start)


def grammar_to_ir(text: str, *, dialect: str = "lark", start: str | None = None, lexer: str = "contextual") -> Node:
    """The IR of a grammar's text."""
    grammar = read_grammar(text, dialect=dialect, start=start)
    scanned = scan(grammar, lexer=lexer)
    check_guards(scanned)
    return Lowering(scanned, tag=lexer).root()
