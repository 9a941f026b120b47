"""Grammars that were read before: the flattened form in JSON, and the folder where forms are kept.

A form holds what `scanned` describes and nothing else: no code, no pickle, no vocabulary. Its key is a digest of the
grammar's text and options and of everything that decides what becomes of them: the source files of the packages that
read grammars, and the versions of lark, regex and Python. A form of other code is therefore never found. (The forms of
the grammars that ship come with the package: see `shipped`.)
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from structgen.automata.charset import CharSet
from structgen.automata.regular import Language
from structgen.cache import Cache
from structgen.grammar.automaton import Automaton, Symbol
from structgen.grammar.derived import read_blocks, write_blocks
from structgen.grammar.form import Embedded, Piece, Place, Ref, Term
from structgen.grammar.saved_terms import NotKept, Row, TermReader, TermWriter
from structgen.grammar.scanned import Counted, Deeper, Flat, Lexed, Lines, Scanned, Token

FORMS = Cache("grammars", max_bytes=64 << 20)
"""The forms of the grammars that were read, some 15 to 250 KB each."""

DECIDING = ("grammar/*.py", "automata/*.py", "ir/*.py", "errors.py")
"""The source files, under the package, that decide what form a grammar has."""

_LIBRARIES = ("lark", "regex")


@cache
def _code() -> bytes | None:
    return code_digest(Path(__file__).resolve().parents[1])


def sources_digest(package: Path) -> bytes | None:
    """A digest of the source files that decide the form of a grammar; None where they cannot be seen."""
    files = sorted(file for pattern in DECIDING for file in package.glob(pattern))
    if package / "grammar" / Path(__file__).name not in files:
        return None
    digest = hashlib.blake2b(digest_size=32)
    try:
        for file in files:
            data = file.read_bytes()
            digest.update(f"{file.relative_to(package).as_posix()} {len(data)}\n".encode() + data)
    except OSError:
        return None
    return digest.digest()


@cache
def own_sources() -> bytes | None:
    """`sources_digest` of this package as it was when first asked."""
    return sources_digest(Path(__file__).resolve().parents[1])


def code_digest(package: Path) -> bytes | None:
    """A digest of what decides the form of a grammar, besides its text; None where the sources cannot be seen."""
    from importlib.metadata import PackageNotFoundError, version

    sources = sources_digest(package)
    if sources is None:
        return None
    try:
        versions = [sys.version_info[:3], *(version(library) for library in _LIBRARIES)]
    except PackageNotFoundError:
        return None
    return hashlib.blake2b(sources + repr(versions).encode()).digest()


def key_of(*what: object) -> str | None:
    """The key of the form of a grammar with these text and options; None if forms cannot be kept."""
    code = _code()
    if code is None:
        return None
    return hashlib.blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=24, key=code).hexdigest()


def keep(key: str, grammar: Scanned | Lines) -> None:
    """Keep a grammar's form for the next process."""
    with suppress(NotKept):
        FORMS.write(key, dump(grammar))


def find(key: str) -> Scanned | Lines | None:
    """The grammar with this key, if its form has been kept and is sound."""
    data = FORMS.read(key)
    return None if data is None else load_sound(data)


def load_sound(data: bytes) -> Scanned | Lines | None:
    """The grammar of a form; None for what is none: written by something else, under our name."""
    try:
        return load(data)
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def dump(grammar: Scanned | Lines) -> bytes:
    """A grammar's form. Raises `NotKept` where something in it can only be made by code."""
    return _Dump().grammar(grammar)


def load(data: bytes) -> Scanned | Lines:
    """The grammar of a form. Raises one of the errors that wrong data raise."""
    return _Load(json.loads(data)).grammar()


def _languages(grammar: Scanned | Lines) -> Iterator[Language]:
    """The languages whose texts are emitted as they are."""
    if isinstance(grammar, Lines):
        yield from (language for texts in grammar.words.values() for language, _ in texts)
        return
    for tokens in (*grammar.tokens.values(), *grammar.ignored.values()):
        yield from (token.language for token in tokens)
    for automaton in grammar.flat.rules.values():
        yield from (symbol.language for edges in automaton.edges for symbol in edges if isinstance(symbol, Piece))


class _Dump:
    def __init__(self) -> None:
        self.terms = TermWriter()
        self.symbols: list[Row] = []
        self._symbols: dict[Symbol, int] = {}
        self.tokens: list[Row] = []
        self._tokens: dict[Token, int] = {}

    def grammar(self, grammar: Scanned | Lines) -> bytes:
        flat = grammar.flat
        rules = [[name, *self.automaton(automaton)] for name, automaton in flat.rules.items()]
        out: dict[str, Any] = {
            "digest": grammar.digest.hex(),
            "flat": [flat.start, flat.nullable, flat.unproductive, flat.unreachable, flat.stats],
            "rules": rules,
        }
        if isinstance(grammar, Scanned):
            out["name"] = grammar.name
            out["declared"] = [[name, place.line, place.column] for name, place in grammar.declared.items()]
            out["lexed"] = [[self.symbol(label), self.all(tokens)] for label, tokens in grammar.tokens.items()]
            out["ignored"] = [[context, self.all(tokens)] for context, tokens in grammar.ignored.items()]
            out["foreign"] = [self.symbol(symbol) for symbol in grammar.foreign]
            out["tokens"] = self.tokens
        else:
            out["words"] = [
                [name, [[self.terms.term(language), self.terms.charset(unless)] for language, unless in texts]]
                for name, texts in grammar.words.items()
            ]
            out["ignored"] = grammar.ignored
            out["placed"] = sorted(grammar.placed)
        out["symbols"] = self.symbols
        out["blocks"] = write_blocks(_languages(grammar), self.terms)
        out["terms"] = self.terms.tables()
        return json.dumps(out, separators=(",", ":")).encode()

    def automaton(self, automaton: Automaton) -> tuple[Row, list[Row]]:
        """(final states, for each state symbols and targets in turn)."""
        return list(automaton.final), [
            [
                number
                for symbol, targets in edges.items()
                for target in targets
                for number in (self.symbol(symbol), target)
            ]
            for edges in automaton.edges
        ]

    def symbol(self, symbol: Symbol | None) -> int:
        found = self._symbols.get(symbol)
        if found is None:
            found = self._symbols[symbol] = len(self.symbols)
            self.symbols.append(self._symbol(symbol))
        return found

    def _symbol(self, symbol: Symbol | None) -> Row:
        if isinstance(symbol, Piece):
            return ["piece", self.terms.term(symbol.language)]
        if isinstance(symbol, Embedded):
            return ["embedded", symbol.kind, symbol.text, symbol.place.line, symbol.place.column]
        for kind, (made, names) in _SYMBOLS.items():
            if isinstance(symbol, made):
                return [kind, *(getattr(symbol, name) for name in names)]
        raise TypeError(f"not a symbol of a flattened grammar: {symbol!r}")

    def all(self, tokens: tuple[Token, ...]) -> Row:
        return [self.token(token) for token in tokens]

    def token(self, token: Token) -> int:
        found = self._tokens.get(token)
        if found is None:
            term, charset = self.terms.term, self.terms.charset
            row = [
                term(token.language), [charset(guard) for guard in token.guards], term(token.longer),
                charset(token.unless), charset(token.follow), token.inner, token.open,
            ]  # fmt: skip
            found = self._tokens[token] = len(self.tokens)
            self.tokens.append(row)
        return found


class _Load:
    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.reader = reader = TermReader(data["terms"])
        self.charsets: list[CharSet] = reader.charsets
        self.terms: list[Language] = reader.terms
        read_blocks(data["blocks"], reader)
        self.symbols = [self.symbol(*row) for row in data["symbols"]]

    def grammar(self) -> Scanned | Lines:
        data = self.data
        start, nullable, unproductive, unreachable, stats = data["flat"]
        rules = {name: self.automaton(final, edges) for name, final, edges in data["rules"]}
        flat = Flat(start, nullable, rules, tuple(unproductive), tuple(unreachable), stats)
        digest = bytes.fromhex(data["digest"])
        if "words" in data:
            words = {
                name: tuple((self.terms[language], self.charsets[unless]) for language, unless in texts)
                for name, texts in data["words"]
            }
            return Lines(digest, words, tuple(data["ignored"]), frozenset(data["placed"]), flat, self.reader)
        declared = {name: Place(line, column) for name, line, column in data["declared"]}
        known = [self.token(*row) for row in data["tokens"]]
        tokens = {self.lexed(label): tuple(known[one] for one in found) for label, found in data["lexed"]}
        ignored = {context: tuple(known[one] for one in found) for context, found in data["ignored"]}
        foreign = tuple(self.foreign(number) for number in data["foreign"])
        return Scanned(digest, data["name"], declared, flat, tokens, ignored, foreign, self.reader)

    def automaton(self, final: Row, rows: list[Row]) -> Automaton:
        symbols = self.symbols
        edges: list[dict[Symbol | None, dict[int, None]]] = []
        for row in rows:
            state: dict[Symbol | None, dict[int, None]] = {}
            for symbol, target in zip(row[::2], row[1::2], strict=True):
                state.setdefault(symbols[symbol], {})[target] = None
            edges.append(state)
        return Automaton(edges, dict.fromkeys(final))

    def lexed(self, label: int) -> Lexed:
        symbol = self.symbols[label]
        if not isinstance(symbol, Lexed):
            raise ValueError(f"not a terminal: {symbol!r}")
        return symbol

    def foreign(self, number: int) -> Lexed | Embedded:
        symbol = self.symbols[number]
        return symbol if isinstance(symbol, Embedded) else self.lexed(number)

    def symbol(self, kind: str, *row: Any) -> Symbol:
        if kind == "piece":
            return Piece(self.terms[row[0]])
        if kind == "embedded":
            return Embedded(row[0], row[1], Place(row[2], row[3]))
        made: Symbol = _SYMBOLS[kind][0](*row)
        return made

    def token(
        self, language: int, guards: Row, longer: int, unless: int, follow: int, inner: bool, open: bool
    ) -> Token:
        sets = self.charsets
        return Token(
            self.terms[language], tuple(sets[guard] for guard in guards), self.terms[longer], sets[unless],
            sets[follow], inner, open,
        )  # fmt: skip


_SYMBOLS: dict[str, tuple[type, tuple[str, ...]]] = {
    "lexed": (Lexed, ("name", "before", "after")),
    "rule": (Ref, ("name",)),
    "counted": (Counted, ("name", "min", "max")),
    "deeper": (Deeper, ("name",)),
    "terminal": (Term, ("name",)),
}
"""Symbols that are plain data: the class of each, and its fields in order."""
