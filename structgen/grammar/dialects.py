"""The dialects of grammars, by name, and the way from a grammar's text to IR."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache

from structgen.grammar.bnf_reader import read_ebnf, read_gbnf
from structgen.grammar.dead_ends import check_guards
from structgen.grammar.form import Embedded, Grammar, Piece, Rule
from structgen.grammar.indentation import is_indented
from structgen.grammar.indentation_lower import Lines, flat_lines, lines_to_ir
from structgen.grammar.lark_reader import read_lark
from structgen.grammar.lexing import Scanned, scan
from structgen.grammar.lower import Lowering
from structgen.grammar.regex import parse_regex
from structgen.ir import Node


def read_pattern(text: str, *, start: str = "start") -> Grammar:
    """A regular expression (ECMA-262) as a grammar of one rule."""
    digest = hashlib.blake2b(repr(("regex", text)).encode(), digest_size=16).digest()
    return Grammar(start, {start: Rule(start, Piece(parse_regex(text)))}, digest=digest)


READERS: dict[str, tuple[Callable[..., Grammar], str]] = {
    "lark": (read_lark, "start"),
    "gbnf": (read_gbnf, "root"),
    "ebnf": (read_ebnf, "root"),
    "regex": (read_pattern, "start"),
}
"""How to read a dialect, and the rule it starts from unless told otherwise."""


def read_grammar(text: str, *, dialect: str = "lark", start: str | None = None) -> Grammar:
    """Read a grammar. Raises `GrammarSyntaxError`, and `ValueError` for a dialect that does not exist."""
    if dialect not in READERS:
        raise ValueError(f"dialect must be one of {', '.join(READERS)}, not {dialect!r}")
    reader, default = READERS[dialect]
    return reader(text, start=default if start is None else start)


@lru_cache(maxsize=32)
def scanned_grammar(
    text: str, dialect: str = "lark", start: str | None = None, lexer: str = "contextual"
) -> Scanned | Lines:
    """A grammar's text with its scanner, flattened and checked. Kept: a grammar used again costs nothing.

    A grammar that declares `_INDENT` and `_DEDENT` is read without a scanner, whatever `lexer` says: its terminals end
    where their own look-ahead lets them (`/if(?!\\w)/`).
    """
    grammar = read_grammar(text, dialect=dialect, start=start)
    if is_indented(grammar):
        return flat_lines(grammar)
    scanned = scan(grammar, lexer=lexer)
    check_guards(scanned)
    return scanned


def grammar_to_ir(
    text: str,
    *,
    dialect: str = "lark",
    start: str | None = None,
    lexer: str = "contextual",
    resolve: Callable[[Embedded], Node] | None = None,
) -> Node:
    """The IR of a grammar's text; `resolve` says what special tokens and JSON Schemas in it are."""
    read = scanned_grammar(text, dialect, start, lexer)
    if isinstance(read, Lines):
        return lines_to_ir(read)
    return Lowering(read, tag=lexer, resolve=resolve).root()
