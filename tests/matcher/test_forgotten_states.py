"""When the table of states is full only states are forgotten: texts of any length go on, and rollback still works."""

from __future__ import annotations

import numpy as np
import pytest

import structgen
from structgen import Limits, Matcher
from structgen.matcher.matcher import LOST
from structgen.vocab import Vocabulary

GRAMMAR = r"""
start: value
value: "[" value ("," value)* "]" | WORD
WORD: /[a-z]+/
%ignore / +/
"""
WORDS = [b"ab", b"[[", b"]]", b", ", b" [", b"],"]
VOCAB = Vocabulary.from_bytes([*(bytes((byte,)) for byte in range(256)), *WORDS, b"<end>"], eos_token_ids=262)
LIMITS = Limits(max_states=200)  # far fewer than the texts below have


def nested(depth: int) -> bytes:
    return b"[" * depth + b"ab, c" + b"], x" * (depth - 1) + b"]"


def masks(matcher: Matcher, tokens: list[int]) -> list[bytes]:
    """The mask before each token."""
    row = np.zeros((1, VOCAB.num_words), np.int32)
    found = []
    for token in tokens:
        matcher.fill_next_token_bitmask(row)
        found.append(row.tobytes())
        assert matcher.accept_token(token)
    return found


@pytest.fixture(scope="module")
def grammar() -> structgen.CompiledGrammar:
    return structgen.compile_grammar(GRAMMAR, VOCAB, limits=LIMITS)


def test_masks_are_those_of_a_larger_table(grammar: structgen.CompiledGrammar) -> None:
    roomy = structgen.compile_grammar(GRAMMAR, VOCAB).matcher()
    generation = grammar.binding().generation
    for depth in (3, 20, 45, 20):
        tokens = VOCAB.encode(nested(depth))
        matcher = grammar.matcher()
        assert masks(matcher, tokens) == masks(roomy, tokens)
        assert matcher.is_accepting()
        roomy.reset()
    assert grammar.binding().generation > generation, "the limit was never reached"


def test_the_mask_store_stays(grammar: structgen.CompiledGrammar) -> None:
    matcher = grammar.matcher()
    masks(matcher, VOCAB.encode(nested(45)))
    engine = grammar.binding().engine
    before = engine.statistics()
    while grammar.binding().engine is engine:
        masks(grammar.matcher(), VOCAB.encode(nested(1 + before["states"] % 40)))
        before = engine.statistics() if not engine.retired else before
        masks(grammar.matcher(), VOCAB.encode(nested(44)))
    after = grammar.binding().engine.statistics()
    assert after["entries"] >= before["entries"]
    assert after["instructions"] >= before["instructions"]


def test_rollback_reaches_what_was_forgotten(grammar: structgen.CompiledGrammar) -> None:
    tokens = VOCAB.encode(nested(45))
    matcher = grammar.matcher()
    expected = masks(matcher, tokens)
    assert LOST in {state for state, _, _ in matcher._past}
    for steps in (len(tokens) - 5, 5, 1):
        matcher.rollback(steps)
        at = matcher.num_tokens
        assert masks(matcher, tokens[at:]) == expected[at:]
    fork = matcher.fork()
    matcher.reset()
    assert masks(matcher, tokens[:7]) == expected[:7]
    assert fork.is_accepting()


def test_two_texts_take_turns(grammar: structgen.CompiledGrammar) -> None:
    """Each ends generations in which the other has its state, and is replayed."""
    tokens = VOCAB.encode(nested(45))
    expected = masks(grammar.matcher(), tokens)
    one, other = grammar.matcher(), grammar.matcher()
    for at in range(0, len(tokens), 20):
        assert masks(one, tokens[at : at + 20]) == expected[at : at + 20]
        assert masks(other, tokens[at : at + 20]) == expected[at : at + 20]
    assert one.is_accepting()
    assert other.is_accepting()


def test_bytes_in_one_step_may_need_more_states_than_there_are(grammar: structgen.CompiledGrammar) -> None:
    matcher = grammar.matcher()
    text = b"[" + b"ab, [c, [d]]," * 2_000 + b"x]"
    assert matcher.accept_bytes(text)
    assert matcher.is_accepting()
    assert not matcher.accept_bytes(b"," * 10_000)
    assert matcher.is_accepting()
    matcher.rollback()
    assert matcher.num_tokens == 0
    assert matcher.accept_bytes(b"ab")
