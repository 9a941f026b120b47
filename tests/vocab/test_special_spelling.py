"""Special tokens have private spellings: only a grammar that names one allows it, and no text spells it."""

from __future__ import annotations

import numpy as np
import pytest

from structgen.compiler import CompiledGrammar
from structgen.errors import TokenizerError
from structgen.ir import Literal, Star, alt, byte_range, seq
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

SINGLE = [bytes((byte,)) for byte in range(256)]
EOS, CALL, END_CALL = 256, 257, 258
VOCAB = Vocabulary.from_bytes(
    [*SINGLE, b"<eos>", b"<call>", b"</call>", b"ab", b"\xff\x80"],
    eos_token_ids=EOS,
    special_token_ids=[CALL, END_CALL],
)
ROOT = seq(
    Star(byte_range(0x61, 0x7A)),
    Literal(VOCAB.special_spelling(CALL)),
    alt(Literal(b"x"), Literal(b"ab")),
    Literal(VOCAB.special_spelling(END_CALL)),
)


def allowed(grammar: CompiledGrammar, tokens: list[int]) -> set[int]:
    matcher = grammar.matcher()
    assert all(matcher.accept_token(token) for token in tokens)
    bitmask = np.zeros((1, VOCAB.num_words), np.int32)
    matcher.fill_next_token_bitmask(bitmask)
    return set(np.flatnonzero(np.unpackbits(bitmask.view(np.uint8), bitorder="little")).tolist())


def test_masks_allow_a_special_token_exactly_where_the_grammar_names_it() -> None:
    grammar = CompiledGrammar(ROOT, VOCAB, report=None)
    letters = set(range(0x61, 0x7B))
    assert allowed(grammar, []) == letters | {CALL, 259}
    assert allowed(grammar, [0x61, 259]) == letters | {CALL, 259}
    assert allowed(grammar, [CALL]) == {ord("x"), ord("a"), 259}
    assert allowed(grammar, [CALL, 259]) == {END_CALL}
    assert allowed(grammar, [CALL, 259, END_CALL]) == {EOS}


def test_masks_equal_those_of_the_reference() -> None:
    grammar = CompiledGrammar(ROOT, VOCAB, report=None)
    recognizer = Recognizer(ROOT)
    for tokens in ([], [0x62], [CALL], [CALL, ord("x")], [CALL, 259, END_CALL]):
        text = b"".join(VOCAB.spelled_tokens[token] for token in tokens)
        assert allowed(grammar, tokens) - {EOS} == recognizer.mask(text, VOCAB.spelled_tokens)


def test_no_text_token_spells_a_special_one() -> None:
    grammar = CompiledGrammar(ROOT, VOCAB, report=None)
    matcher = grammar.matcher()
    assert not matcher.accept_token(0xFF)
    assert not matcher.accept_token(260)
    assert VOCAB.spelled_tokens[0xFF] == VOCAB.spelled_tokens[260] == b""
    assert VOCAB.tokens[0xFF] == b"\xff"


def test_completions_are_spelled_with_special_tokens() -> None:
    matcher = CompiledGrammar(ROOT, VOCAB, report=None).matcher()
    ending = matcher.shortest_completion()
    assert ending is not None
    assert VOCAB.spell(ending) == [CALL, ord("x"), END_CALL]
    assert matcher.closing_tokens() == 4
    assert VOCAB.spell(b"a\xffb") == VOCAB.encode(b"a\xffb")


def test_only_special_tokens_that_do_not_end_a_text_have_a_spelling() -> None:
    with pytest.raises(TokenizerError, match="ends a text"):
        VOCAB.special_spelling(EOS)
    with pytest.raises(TokenizerError, match="not special"):
        VOCAB.special_spelling(0x61)
