"""Character sets, strings and regular languages as lists of numbers and texts, and back.

A language is a graph of terms with much in common, so each term is written once, behind those it is made of, and named
by its place in the list. What comes back are the same terms: the constructors here are those that make nodes as they
are told to, none that would make them better.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from structgen.automata import regular_nodes as nodes
from structgen.automata.charset import CharSet, join_ascii, split_ascii
from structgen.automata.regular_nodes import EMPTY_STRING, NOTHING, Kind, Language, Words, children

Row = list[Any]


class NotKept(Exception):
    """There is a term that can only be made by the code that made it."""


class TermWriter:
    """Collects character sets and terms; `charset` and `term` give the number under which each can be read again.

    With `before`, it goes on where another writer is now, whose numbers it uses, too.
    """

    def __init__(self, before: TermWriter | None = None) -> None:
        self.charsets: list[Row] = []
        self.above: list[Row] = []
        self.terms: list[Row] = []
        self.words: list[Row] = []
        self.bodies: list[Row] = []
        self._charsets: dict[CharSet, int] = dict(before._charsets) if before else {}
        self._above: dict[CharSet, int] = dict(before._above) if before else {}
        self._terms: dict[Language, int] = dict(before._terms) if before else {}
        self._words: dict[Words, int] = dict(before._words) if before else {}
        self._bodies: list[Language] = []

    def charset(self, charset: CharSet) -> int:
        """The number of a character set."""
        found = self._charsets.get(charset)
        if found is None:
            found = self._charsets[charset] = len(self._charsets)
            bits, above = split_ascii(charset)  # what is above is much, and the same for most
            if above not in self._above:
                self._above[above] = len(self._above)
                self.above.append([end for span in above.ranges for end in span])
            self.charsets.append([bits, self._above[above]])
        return found

    def tables(self) -> list[list[Row]]:
        """All that was written, as `TermReader` takes it."""
        return [self.above, self.charsets, self.terms, self.words, self.bodies]

    def term(self, language: Language) -> int:
        """The number of a language. Raises `NotKept`."""
        self._write(language)
        while self._bodies:
            loop = self._bodies.pop()
            self._write(loop.args[1].body)
            self.bodies.append([self._terms[loop], self._terms[loop.args[1].body]])
        return self._terms[language]

    def _write(self, language: Language) -> None:
        todo = [language]
        while todo:
            top = todo[-1]
            if top not in self._terms:
                missing = [child for child in children(top) if child not in self._terms]
                if missing:
                    todo.extend(missing)
                    continue
                row = self._row(top)
                self._terms[top] = len(self._terms)
                self.terms.append(row)
            todo.pop()

    def _row(self, top: Language) -> Row:
        kind, args, known = top.kind, top.args, self._terms
        if kind == Kind.CLASS:
            return [kind, self.charset(args[0]), args[1], args[2]]
        if kind == Kind.WORD:
            return [kind, args[0]]
        if kind == Kind.TRIE:
            words = args[0]
            if words not in self._words:
                self._words[words] = len(self._words)
                self.words.append(list(words.items))
            return [kind, self._words[words], *args[1:]]
        if kind == Kind.REPEAT:
            return [kind, known[args[0]], args[1], args[2]]
        if kind == Kind.CONTEXT:
            return [kind, known[args[0]], [[known[old], known[now]] for old, now in args[1]], top.nullable]
        if kind == Kind.LOOP:
            self._bodies.append(top)
            return [kind, known[args[0]], args[1].name.hex(), top.located]
        if kind == Kind.MACHINE:
            raise NotKept
        return [kind, *(known[part] for part in args)]


class TermReader:
    """The character sets and languages that a writer has written; with `before`, behind those of another reader."""

    __slots__ = ("__weakref__", "above", "charsets", "terms", "tries")

    def __init__(self, tables: list[list[Row]], before: TermReader | None = None) -> None:
        above, charsets, terms, words, bodies = tables
        self.above: list[CharSet] = list(before.above) if before else []
        self.above += [CharSet(zip(row[::2], row[1::2], strict=True)) for row in above]
        self.charsets: list[CharSet] = list(before.charsets) if before else []
        self.charsets += [join_ascii(bits, self.above[number]) for bits, number in charsets]
        self.tries: list[Language] = list(before.tries) if before else []
        self.tries += [nodes.trie_root(tuple(items)) for items in words]
        self.terms: list[Language] = list(before.terms) if before else []
        _read_terms(terms, self.tries, self.charsets, self.terms)
        for loop, body in bodies:
            self.terms[loop].args[1].body = self.terms[body]


def _read_terms(rows: list[Row], tries: list[Language], charsets: list[CharSet], out: list[Language]) -> None:
    """Add the languages of these rows."""
    for kind, *row in rows:
        if kind in _MADE_OF_TERMS:
            made = _MADE_OF_TERMS[kind](*[out[part] for part in row])
        elif kind == Kind.CLASS:
            made = nodes.class_run(charsets[row[0]], row[1], row[2])
        elif kind == Kind.WORD:
            made = nodes.word(row[0])
        elif kind == Kind.TRIE:
            which, low, high, depth = row
            root = tries[which]
            whole = (low, high, depth) == tuple(root.args[1:])
            made = root if whole else nodes.trie(root.args[0], low, high, depth)
        elif kind == Kind.REPEAT:
            made = nodes.counted(out[row[0]], row[1], row[2])
        elif kind == Kind.CONTEXT:
            made = nodes.context_of(out[row[0]], tuple((out[old], out[now]) for old, now in row[1]), row[2])
        elif kind == Kind.LOOP:
            made, _ = nodes.loop(out[row[0]], bytes.fromhex(row[1]), located=row[2])
        else:
            raise ValueError(f"not a kind of term: {kind!r}")
        out.append(made)


_MADE_OF_TERMS: dict[int, Callable[..., Language]] = {
    Kind.NOTHING: lambda: NOTHING,
    Kind.EMPTY: lambda: EMPTY_STRING,
    Kind.CONCAT: nodes.concat_pair,
    Kind.UNION: lambda *parts: nodes.union_of(parts),
    Kind.INTERSECT: lambda *parts: nodes.intersection_of(parts),
    Kind.COMPLEMENT: nodes.complement_of,
    Kind.BEHIND: nodes.behind,
}
