"""Masks of grammars with guards (a scanner's longest match), against the executable specification."""

from __future__ import annotations

from itertools import product
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from structgen.compiler import CompiledGrammar
from structgen.ir import Bytes, Call, Guard, Literal, Node, Rule, Star, alt, byte_set, literal, optional, seq
from structgen.reference import Recognizer
from structgen.types import Limits
from structgen.vocab import Vocabulary

ALPHABET = b"ab1= ("
TOKENS = [b""] + [bytes(word) for n in (1, 2, 3) for word in product(ALPHABET, repeat=n) if n < 3 or word[1] != word[2]]
EOS = 0
VOCAB = Vocabulary.from_bytes(TOKENS, eos_token_ids=[EOS])
LETTERS, WORD = byte_set(b"ab"), byte_set(b"ab1")
SPACES = Star(Literal(b" "))


def guarded(node: Node, stops: Bytes, *, ignore: Node = SPACES) -> Node:
    return seq(node, Guard(stops.mask), ignore)


TERMINALS: list[Node] = [
    guarded(seq(LETTERS, Star(WORD)), WORD),
    guarded(literal("a"), WORD),
    guarded(literal("ab"), WORD),
    guarded(seq(literal("1"), Star(literal("1"))), byte_set(b"1a")),
    guarded(literal("="), byte_set(b"=")),
    guarded(literal("=="), byte_set(b"=")),
    seq(literal("("), SPACES),
    guarded(seq(guarded(literal("b"), byte_set(b"b"), ignore=seq()), optional(literal("="))), byte_set(b"1")),
]


@st.composite
def grammars(draw: st.DrawFn) -> Node:
    """A few rules that call each other, some of which have composites; terminals are rules of their own or written out;
    each rule has a way out."""
    names = range(draw(st.integers(1, 4)))
    alike = draw(st.booleans())
    shared = [Rule(f"T{i}", lambda node=node: node, alike=alike) for i, node in enumerate(TERMINALS)]
    rules: list[Rule] = []
    leaf = st.one_of(st.sampled_from(TERMINALS), st.sampled_from(shared).map(Call))
    bodies = [
        draw(
            st.lists(
                st.lists(st.one_of(leaf, leaf, st.sampled_from(names)), min_size=1, max_size=3), min_size=0, max_size=2
            )
        )
        for _ in names
    ]
    ways_out = [draw(st.lists(leaf, min_size=1, max_size=2)) for _ in names]

    def body(i: int) -> Node:
        parts = [seq(*(Call(rules[p]) if isinstance(p, int) else p for p in option)) for option in bodies[i]]
        return alt(*parts, seq(*ways_out[i]))

    composed = draw(st.lists(st.booleans(), min_size=4, max_size=4))
    rules.extend(Rule(f"R{i}", lambda i=i: body(i), composed=composed[i], alike=alike) for i in names)
    return Call(rules[0])


def allowed(row: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())


@given(grammars(), st.data())
def test_masks_of_guarded_grammars_are_what_brute_force_allows(root: Node, data: st.DataObject) -> None:
    check_masks(CompiledGrammar(root, VOCAB, report=None), root, data)


@given(grammars(), st.data())
def test_masks_whose_rows_are_given_up_are_made_again(root: Node, data: st.DataObject) -> None:
    """Nearly every mask is a bit row here, and there are sixteen."""
    with patch("structgen.masks.engine.WIDE_TOKENS", 4):
        grammar = CompiledGrammar(root, VOCAB, report=None, limits=Limits(max_row_bytes=1))
    check_masks(grammar, root, data)


def check_masks(grammar: CompiledGrammar, root: Node, data: st.DataObject) -> None:
    """Masks along a drawn text, and once more from its start, are those of the specification."""
    recognizer = Recognizer(root)
    matcher = grammar.matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    text, rows = b"", []
    for _ in range(6):
        matcher.fill_next_token_bitmask(row)
        ids = allowed(row[0])
        expected = recognizer.mask(text, TOKENS) | ({EOS} if recognizer.accepts(text) else set())
        assert ids == expected, text
        rows.append(row.copy())
        if not ids - {EOS}:
            break
        token = data.draw(st.sampled_from(sorted(ids - {EOS})))
        assert matcher.accept_token(token)
        text += TOKENS[token]
    grammar.matcher().fill_next_token_bitmask(row)
    assert (row == rows[0]).all()


@given(grammars(), st.data())
def test_shortest_completions_of_guarded_grammars_complete_the_text(root: Node, data: st.DataObject) -> None:
    grammar, recognizer = CompiledGrammar(root, VOCAB, report=None), Recognizer(root)
    matcher = grammar.matcher()
    text = b""
    for _ in range(5):
        rest = matcher.shortest_completion()
        assert rest is not None
        assert recognizer.accepts(text + rest), (text, rest)
        assert not any(
            recognizer.accepts(text + bytes(shorter))
            for n in range(min(len(rest), 4))
            for shorter in product(ALPHABET, repeat=n)
        )
        choices = matcher.allowed_bytes()
        if not choices:
            break
        byte = bytes((data.draw(st.sampled_from(sorted(choices))),))
        assert matcher.accept_bytes(byte)
        text += byte


def test_a_keyword_needs_a_break_and_the_end_is_one() -> None:
    word = Rule("word", lambda: guarded(seq(LETTERS, Star(WORD)), WORD))
    root = seq(guarded(literal("a"), WORD), optional(Call(word)))
    matcher = CompiledGrammar(root, VOCAB, report=None).matcher()
    assert matcher.accept_bytes(b"a")
    assert matcher.is_accepting()
    assert matcher.allowed_bytes() == b" "
    assert matcher.accept_bytes(b" b1")
    assert matcher.is_accepting()
    assert not matcher.accept_bytes(b"=")
