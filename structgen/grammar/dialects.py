"""The dialects of grammars, by name, and the way from a grammar's text to IR.

The readers and the scanner, and with them lark, are imported only when a text is read: one that was read before, by
this process or another, comes without them.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from structgen.grammar import saved
from structgen.grammar.form import Embedded, Grammar, Piece, Rule
from structgen.grammar.indentation_lower import lines_to_ir
from structgen.grammar.lower import Lowering
from structgen.grammar.regex import parse_regex
from structgen.grammar.scanned import Lines, Scanned
from structgen.grammar.shipped import find_shipped
from structgen.ir import Node


def _read_lark(text: str, *, start: str) -> Grammar:
    from structgen.grammar.lark_reader import read_lark

    return read_lark(text, start=start)


def _read_gbnf(text: str, *, start: str) -> Grammar:
    from structgen.grammar.bnf_reader import read_gbnf

    return read_gbnf(text, start=start)


def _read_ebnf(text: str, *, start: str) -> Grammar:
    from structgen.grammar.bnf_reader import read_ebnf

    return read_ebnf(text, start=start)


def read_pattern(text: str, *, start: str = "start") -> Grammar:
    """A regular expression (ECMA-262) as a grammar of one rule."""
    digest = hashlib.blake2b(repr(("regex", text)).encode(), digest_size=16).digest()
    return Grammar(start, {start: Rule(start, Piece(parse_regex(text)))}, digest=digest)


READERS: dict[str, tuple[Callable[..., Grammar], str]] = {
    "lark": (_read_lark, "start"),
    "gbnf": (_read_gbnf, "root"),
    "ebnf": (_read_ebnf, "root"),
    "regex": (read_pattern, "start"),
}
"""How to read a dialect, and the rule it starts from unless told otherwise."""

_REMEMBERED = 32  # grammars
_WORTH_KEEPING = 0.02  # seconds; what was read in less is read again as fast as it would be found
_remembered: OrderedDict[tuple[str, str, str | None, str], Scanned | Lines] = OrderedDict()
_lock = threading.Lock()


def read_grammar(text: str, *, dialect: str = "lark", start: str | None = None) -> Grammar:
    """Read a grammar. Raises `GrammarSyntaxError`, and `ValueError` for a dialect that does not exist."""
    if dialect not in READERS:
        raise ValueError(f"dialect must be one of {', '.join(READERS)}, not {dialect!r}")
    reader, default = READERS[dialect]
    return reader(text, start=default if start is None else start)


def scanned_grammar(
    text: str, dialect: str = "lark", start: str | None = None, lexer: str = "contextual"
) -> Scanned | Lines:
    """A grammar's text with its scanner, flattened and checked. Kept in memory and on disk (`saved`), or shipped."""
    memo = (text, dialect, start, lexer)
    with _lock:
        if memo in _remembered:
            _remembered.move_to_end(memo)
            return _remembered[memo]
    found = find_shipped(*memo)
    key = None
    if found is None:
        key = saved.key_of(*memo)
        found = None if key is None else saved.find(key)
    if found is None:
        started = time.perf_counter()
        grammar = read_grammar(text, dialect=dialect, start=start)
        found = scanned(grammar, lexer=lexer)
        if grammar.imported:  # the text alone does not say what it means
            return found
        if key is not None and time.perf_counter() - started > _WORTH_KEEPING:
            saved.keep(key, found)
    with _lock:
        _remembered[memo] = found
        while len(_remembered) > _REMEMBERED:
            _remembered.popitem(last=False)
    return found


def scanned(grammar: Grammar, *, lexer: str = "contextual") -> Scanned | Lines:
    """A grammar with its scanner, flattened and checked.

    A grammar that declares `_INDENT` and `_DEDENT` is read without a scanner, whatever `lexer` says: its terminals end
    where their own look-ahead lets them (`/if(?!\\w)/`).
    """
    from structgen.grammar.dead_ends import check_guards
    from structgen.grammar.indentation import is_indented
    from structgen.grammar.indentation_lower import flat_lines
    from structgen.grammar.lexing import scan

    if is_indented(grammar):
        return flat_lines(grammar)
    found = scan(grammar, lexer=lexer)
    check_guards(grammar, found)
    return found


def grammar_to_ir(
    text: str,
    *,
    dialect: str = "lark",
    start: str | None = None,
    lexer: str = "contextual",
    resolve: Callable[[Embedded], Node] | None = None,
) -> Node:
    """The IR of a grammar's text; `resolve` says what special tokens and JSON Schemas in it are."""
    return scanned_to_ir(scanned_grammar(text, dialect, start, lexer), lexer=lexer, resolve=resolve)


def scanned_to_ir(
    grammar: Scanned | Lines, *, lexer: str = "contextual", resolve: Callable[[Embedded], Node] | None = None
) -> Node:
    """The IR of a grammar that was read with a lexer."""
    if isinstance(grammar, Lines):
        return lines_to_ir(grammar)
    return Lowering(grammar, tag=lexer, resolve=resolve).root()
