"""A flattened grammar has the language of the grammar, checked against derivation by hand."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.automata.regular import string
from structgen.errors import GrammarSyntaxError
from structgen.grammar.dialects import grammar_to_ir, read_grammar
from structgen.grammar.flatten import flatten
from structgen.grammar.form import Choice, Expression, Grammar, Piece, Ref, Repeat, Rule, Sequence
from structgen.grammar.lexing import Scanned
from structgen.grammar.lower import Lowering
from structgen.reference import Recognizer

LETTERS = "ab"
TEXTS = ["".join(letters) for length in range(6) for letters in product(LETTERS, repeat=length)]
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


def texts_by_derivation(grammar: Grammar, longest: int) -> set[str]:
    """All texts up to a length: the least sets that satisfy the rules."""
    found: dict[str, set[str]] = {name: set() for name in grammar.rules}

    def of(node: Expression) -> set[str]:
        if isinstance(node, Ref):
            return found[node.name]
        if isinstance(node, Piece):
            return {text for text in LETTERS if node.language.matches(text)}
        if isinstance(node, Choice):
            return set().union(*map(of, node.parts))
        if isinstance(node, Sequence):
            out = {""}
            for part in node.parts:
                out = joined(out, of(part))
            return out
        assert isinstance(node, Repeat)
        body, out = of(node.body), {""}
        for _ in range(node.min):
            out = joined(out, body)
        rounds = longest + 1 if node.max is None else node.max - node.min
        for _ in range(rounds):
            out |= joined(out, body)
        return out

    def joined(left: set[str], right: set[str]) -> set[str]:
        return {a + b for a in left for b in right if len(a) + len(b) <= longest}

    while True:
        following = {name: of(rule.body) for name, rule in grammar.rules.items()}
        if following == found:
            return found[grammar.start]
        found = following


@given(grammars)
@settings(max_examples=150, deadline=None)
def test_flattening_keeps_the_language(grammar: Grammar) -> None:
    expected = texts_by_derivation(grammar, 5)
    for inline in (True, False):
        flat = flatten(grammar, inline=inline)
        if flat.start is None and not flat.nullable:
            assert not expected
            continue
        recognizer = Recognizer(Lowering(Scanned(grammar, flat, {}, {})).root())
        assert {text for text in TEXTS if recognizer.accepts(text.encode())} == expected


@given(grammars)
@settings(max_examples=80, deadline=None)
def test_what_may_follow_can_be_completed(grammar: Grammar) -> None:
    flat = flatten(grammar)
    if flat.start is None:
        return
    recognizer = Recognizer(Lowering(Scanned(grammar, flat, {}, {})).root())
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
