"""Edges that come with a form are the derivatives themselves."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

import structgen
from structgen.automata.regular import Language, complement, finite, intersect, repeat
from structgen.automata.regular_derive import live_edges
from structgen.grammar import derived, forms, saved, shipped
from structgen.grammar.lexemes import read_lexemes
from structgen.grammar.saved_terms import TermReader, TermWriter

NAME = next(lexeme.language for lexeme in read_lexemes(r"[a-zé-ü_]\w*"))


def states(language: Language) -> list[Language]:
    found = [language]
    seen = {language}
    for state in found:
        for _, target in state.edges():
            if target not in seen:
                seen.add(target)
                found.append(target)
    return found


def forget(found: list[Language]) -> None:
    for state in found:
        state._edges = state._raw = None


def assert_recalled(language: Language) -> int:
    """What `recall` says of each state is what deriving says; how many states it spoke of."""
    found = states(language)
    forget(found)
    derived.recall(language)
    recalled = {state: state._edges for state in found if state._edges is not None}
    forget(found)
    for state, edges in recalled.items():
        assert edges == live_edges(state)
    return len(recalled)


@given(st.sets(st.text("abé", min_size=1, max_size=4), min_size=3, max_size=12), st.booleans())
def test_blocks_are_derivatives(words: set[str], short: bool) -> None:
    language = intersect(NAME, complement(finite(words)))
    if short:
        language = intersect(language, repeat(NAME, 0, 3))
    writer = TermWriter()
    writer.term(language)
    blocks = derived.write_blocks([language, NAME], writer)
    reader = TermReader(writer.tables())
    derived.read_blocks(blocks, reader)
    costly = [state for state in states(language) if not state.plain]
    assert assert_recalled(language) == (len(costly) if len(costly) >= derived._LEAST else 0)


@pytest.mark.parametrize("name", structgen.list_grammars())
def test_the_blocks_that_ship_are_derivatives(name: str) -> None:
    form = forms.kept_form(shipped.forms_folder(), name)
    assert form is not None
    grammar = saved.load(form)
    languages = [language for language in set(saved._languages(grammar)) if language in derived._unread]
    assert all(assert_recalled(language) >= derived._LEAST for language in languages)
    assert languages or name not in ("c", "go", "java", "javascript", "python", "sql")


def test_what_nobody_holds_is_forgotten() -> None:
    language = intersect(NAME, complement(finite([f"unheard{number}" for number in range(9)])))
    writer = TermWriter()
    number = writer.term(language)
    blocks = derived.write_blocks([language], writer)
    assert blocks
    reader = TermReader(writer.tables())
    del language, writer
    derived.read_blocks(blocks, reader)
    gc.collect()
    known = len(derived._unread)
    assert reader.terms[number] in derived._unread
    del reader
    gc.collect()
    assert len(derived._unread) < known
