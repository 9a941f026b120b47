"""Character sets, strings and regular languages as lists of numbers and texts, and back.

A language is a graph of terms with much in common, so each term is written once, behind those it is made of, and named
by its place in the list. What comes back are the same terms: the constructors here are those that make nodes as they
are told to, none that would make them better.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from structgen.automata import regular_nodes as nodes
from structgen.automata.charset import CharSet
from structgen.automata.regular_nodes import EMPTY_STRING, NOTHING, Kind, Language, Words, children

Row = list[Any]


class NotKept(Exception):
    """There is a term that can only be made by the code that made it."""


class TermWriter:
    """Collects character sets and terms; `charset` and `term` give the number under which each can be read again."""

    def __init__(self) -> None:
        self.charsets: list[Row] = []
        self.terms: list[Row] = []
        self.words: list[Row] = []
        self.bodies: list[Row] = []
        self._charsets: dict[CharSet, int] = {}
        self._terms: dict[Language, int] = {}
        self._words: dict[Words, int] = {}
        self._bodies: list[Language] = []

    def charset(self, charset: CharSet) -> int:
        """The number of a character set."""
        found = self._charsets.get(charset)
        if found is None:
            found = self._charsets[charset] = len(self.charsets)
            self.charsets.append([end for span in charset.ranges for end in span])
        return found

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
                self._terms[top] = len(self.terms)
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
                self._words[words] = len(self.words)
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


def read_charsets(rows: list[Row]) -> list[CharSet]:
    """The character sets of these rows."""
    return [CharSet(zip(row[::2], row[1::2], strict=True)) for row in rows]


def read_terms(rows: list[Row], words: list[Row], bodies: list[Row], charsets: list[CharSet]) -> list[Language]:
    """The languages of these rows."""
    tries = [nodes.trie_root(tuple(items)) for items in words]
    out: list[Language] = []
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
    for loop, body in bodies:
        out[loop].args[1].body = out[body]
    return out


_MADE_OF_TERMS: dict[int, Callable[..., Language]] = {
    Kind.NOTHING: lambda: NOTHING,
    Kind.EMPTY: lambda: EMPTY_STRING,
    Kind.CONCAT: nodes.concat_pair,
    Kind.UNION: lambda *parts: nodes.union_of(parts),
    Kind.INTERSECT: lambda *parts: nodes.intersection_of(parts),
    Kind.COMPLEMENT: nodes.complement_of,
    Kind.BEHIND: nodes.behind,
}
