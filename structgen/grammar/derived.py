"""What the automata of a grammar's terminals are, kept with its form, so that nobody derives them again.

A terminal that keywords are taken out of, or that looks ahead, is an intersection or a complement; to say which of its
derivatives are empty is the most that a first mask costs. A *block* holds the edges of such a terminal's states. It is
read when a text first gets to the terminal: most texts never see most terminals.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary, ref

from structgen.automata.regular import Language
from structgen.errors import StructgenError
from structgen.grammar.saved_terms import NotKept, Row, TermReader, TermWriter

_LEAST = 2  # states; one is derived as fast as it is read
_MOST = 1_000

_unread: WeakKeyDictionary[Language, tuple[ref[TermReader], Row]] = WeakKeyDictionary()


def recall(language: Language) -> None:
    """Let the states of a language's automaton know their edges, where a form that was read holds them."""
    found = _unread.pop(language, None)  # once: another thread derives what this one reads, with the same result
    before = found and found[0]()
    if found and before is not None:
        _read(before, *found[1])


def write_blocks(languages: Iterable[Language], writer: TermWriter) -> list[Row]:
    """A block for each of the languages that is worth one: [its number, what is new in it, edges].

    The languages must have been written; `writer` stays as it is.
    """
    out = []
    for language in dict.fromkeys(languages):
        states = _costly(language)
        if len(states) < _LEAST:
            continue
        block = TermWriter(writer)
        try:
            edges = [
                [
                    block.term(state),
                    *(number for chars, to in state.edges() for number in (block.charset(chars), block.term(to))),
                ]
                for state in states
            ]
        except NotKept:
            continue
        out.append([writer.term(language), block.tables(), edges])
    return out


def read_blocks(blocks: list[Row], reader: TermReader) -> None:
    """Remember blocks for `recall`, as long as the reader lives."""
    for number, *block in blocks:
        _unread[reader.terms[number]] = ref(reader), block


def _read(reader: TermReader, tables: list[list[Row]], edges: list[Row]) -> None:
    inner = TermReader(tables, reader)
    for state, *row in edges:
        node = inner.terms[state]
        if node._edges is None:
            node._edges = tuple(
                (inner.charsets[chars], inner.terms[to]) for chars, to in zip(row[::2], row[1::2], strict=True)
            )


def _costly(language: Language) -> list[Language]:
    """The states of a language's automaton that may be empty for all one sees; [] if there are too many."""
    if language.plain:
        return []
    found = [language]
    seen = {language}
    try:
        for state in found:
            for _, target in state.edges():
                if target not in seen and not target.plain:
                    seen.add(target)
                    found.append(target)
            if len(found) > _MOST:
                return []
    except StructgenError:  # too complex to tell which of its states are empty
        return []
    return found
