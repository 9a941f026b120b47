"""A flattened grammar has the language of the grammar, checked against derivation by hand."""

from __future__ import annotations

import pytest
from derivation import LETTERS, TEXTS, texts_by_derivation
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.automata.regular import string
from structgen.errors import GrammarSyntaxError
from structgen.grammar.dialects import grammar_to_ir, read_grammar
from structgen.grammar.flatten import flatten
from structgen.grammar.form import Choice, Grammar, Piece, Ref, Repeat, Rule, Sequence
from structgen.grammar.lower import Lowering
from structgen.grammar.scanned import Scanned
from structgen.reference import Recognizer

NAMES = ("s", "t", "u")

_leaves = st.sampled_from([Piece(string(char)) for char in LETTERS]) | st.sampled_from([Ref(name) for name in NAMES])
_expressions = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: Sequence(tuple(parts)))
        | st.lists(inner, min_size=1, max_size=3).map(lambda parts: Choice(tuple(parts)))
        | st.tuples(inner, st.sampled_from([(0, None), (1, None), (0, 1), (2, 2), (1, 3)])).map(
            lambda pair: Repeat(pair[0], *pair[1])
        )
    ),
    max_leaves=5,
)
grammars = st.tuples(*[_expressions] * len(NAMES)).map(
    lambda bodies: Grammar("s", {name: Rule(name, body) for name, body in zip(NAMES, bodies, strict=True)})
)


@given(grammars)
@settings(max_examples=150, deadline=None)
def test_flattening_keeps_the_language(grammar: Grammar) -> None:
    expected = texts_by_derivation(grammar, 5)
    for inline in (True, False):
        flat = flatten(grammar, inline=inline)
        if flat.start is None and not flat.nullable:
            assert not expected
            continue
        recognizer = Recognizer(Lowering(Scanned(grammar.digest, grammar.start, {}, flat, {}, {})).root())
        assert {text for text in TEXTS if recognizer.accepts(text.encode())} == expected


@given(grammars)
@settings(max_examples=80, deadline=None)
def test_what_may_follow_can_be_completed(grammar: Grammar) -> None:
    flat = flatten(grammar)
    if flat.start is None:
        return
    recognizer = Recognizer(Lowering(Scanned(grammar.digest, grammar.start, {}, flat, {}, {})).root())
    expected = texts_by_derivation(grammar, 5)
    for text in TEXTS:
        if len(text) <= 3 and any(other.startswith(text) for other in expected):
            assert recognizer.viable(text.encode())


def test_precedence_ladders_vanish() -> None:
    ladder = "\n".join(f"?e{i}: e{i} OP{i} e{i + 1} | e{i + 1}" for i in range(10))
    terminals = "\n".join(f'OP{i}: "{chr(0x41 + i)}"' for i in range(10))
    flat = flatten(read_grammar(f'start: e0\n{ladder}\n?e10: "(" e0 ")" | "x"\n{terminals}\n'))
    assert len(flat.rules) <= 2
    assert flat.stats["edges"] <= 16 < flat.stats["edges_before"]


@pytest.mark.parametrize("text", ['start: start "a"', "start: a\na: b\nb: a", 'start: "x" start'])
def test_a_grammar_without_a_text_is_refused(text: str) -> None:
    with pytest.raises(GrammarSyntaxError, match="no text matches"):
        grammar_to_ir(text)


def test_unproductive_and_unreachable_rules_are_named() -> None:
    flat = flatten(read_grammar('start: "a" | dead\ndead: "b" dead\n'))
    assert flat.unproductive == ("dead",)
    recognizer = Recognizer(grammar_to_ir('start: "a" | dead\ndead: "b" dead\n'))
    assert recognizer.viable(b"a")
    assert not recognizer.viable(b"b")
