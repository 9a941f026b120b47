"""Counters in masks: long tokens end them, short ones do not; and characters of several bytes leave states as they are.

A mask is put together from what the store knows of a counter that never ends, of long tokens, of subtrees that need not
be looked at. The law is that it says of each token what following the token's bytes says.
"""

from __future__ import annotations

import random
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen
from structgen.vocab import Vocabulary

_CHARACTERS = [*"abz09 _-.", "é", "ß", "Ж", "\u00a0", "\u2003", "中", "文", "\ud7ff", "\ue000", "🎉", "\U0010ffff"]


def _tokens() -> list[bytes]:
    rng = random.Random(7)
    tokens = [bytes((byte,)) for byte in range(256)]
    for length, count in ((2, 600), (3, 900), (4, 400), (7, 200), (12, 80), (20, 40), (40, 12), (64, 3)):
        for _ in range(count):
            alphabet = rng.choice([_CHARACTERS, _CHARACTERS[:6], ["a", " "], ["中", "文", "🎉"]])
            text = "".join(rng.choice(alphabet) for _ in range(length)).encode()
            start = rng.choice([0, 0, 0, 1])
            tokens.append(text[start : len(text) - rng.choice([0, 0, 0, 1])])
    for _ in range(400):  # what ends the text, or nearly does
        text = "".join(rng.choice(_CHARACTERS) for _ in range(rng.randrange(12)))
        tokens.append((text + rng.choice(['"', '", "', "\\n", "\\u00e9", '\\"', '"}'])).encode())
    tokens += [
        b"\xff\xfea",
        b"\xe4\xb8",
        b"\xed\xa0\x80",
        b"a\xc0\xafb",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b" " * 90,
    ]
    return [b"", *dict.fromkeys(tokens)]


VOCAB = Vocabulary.from_bytes(_tokens(), eos_token_ids=[0])
PATTERNS = [
    r"^(?:\S+\s+){0,3}\S+$",
    r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
    r"^\w+( \w+)*$",
    r"^[^ ]*$",
    r"^\S*$",
    r"^[\u4e00-\u9fff]+z?$",
    r"^([ab]|中文)*$",
    r"(?=.*a)^[^\u2003]{2,}$",
    r"^.*[0-9]$",
    r"^[^\ud7ff]*(z|🎉🎉)$",
]


def allowed(row: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(PATTERNS), st.sampled_from([None, 1, 4, 9, 14, 23, 40, 70, 140, 300]), st.integers(0, 3), st.data()
)
def test_a_mask_says_what_the_bytes_of_each_token_say(
    pattern: str, longest: int | None, shortest: int, data: Any
) -> None:
    schema = {"type": "string", "pattern": pattern, "minLength": shortest}
    if longest is not None:
        schema["maxLength"] = longest
    try:
        grammar = structgen.compile_schema(schema, VOCAB)
    except structgen.errors.UnsatisfiableSchemaError:
        return
    matcher = grammar.matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    for _ in range(6):
        matcher.fill_next_token_bitmask(row)
        mask = allowed(row[0])
        expected = {t for t in range(1, VOCAB.vocab_size) if matcher.fork().accept_token(t)}
        assert mask - {0} == expected
        assert (0 in mask) == matcher.is_accepting()
        going_on = sorted(t for t in expected if b'"' not in VOCAB.token_bytes(t)[1:])
        if not going_on:
            break
        assert matcher.accept_token(data.draw(st.sampled_from(going_on)))


@pytest.mark.parametrize("pattern", [r"^(?:\S+\s+){0,9}\S+$", r"^[^\u2003]*$"])
@pytest.mark.parametrize("longest", [None, 30, 60, 120])
def test_short_and_long_tokens_of_a_real_vocabulary(pattern: str, longest: int | None, tokenizers_path: Any) -> None:
    vocab = Vocabulary.from_file(tokenizers_path / "llama3.tokenizer.json.gz")
    schema = {"type": "string", "pattern": pattern} | ({"maxLength": longest} if longest else {})
    matcher = structgen.compile_schema(schema, vocab).matcher()
    row = np.zeros((1, vocab.num_words), np.int32)
    rng = np.random.default_rng(1)
    for token in vocab.encode('"Up to 24 hours, 中文 на'):
        matcher.fill_next_token_bitmask(row)
        bits = np.unpackbits(row.view(np.uint8), bitorder="little")[: vocab.vocab_size]
        long = [t for t in range(vocab.vocab_size) if len(vocab.token_bytes(t)) > 16]
        for other in [*rng.choice(vocab.vocab_size, 2000).tolist(), *rng.choice(long, 1000).tolist()]:
            if other not in vocab.eos_token_ids:
                assert matcher.fork().accept_token(other) == bits[other], vocab.token_bytes(other)
        assert matcher.accept_token(token)


# Long tokens of which a beginning is one part and the rest another, below nodes where every short token lives anyway.
_PARTED = [f"{first}bd{'c' * count}" for first in "cd" for count in range(3, 28)]
_WORDS = ["".join(text) for length in range(1, 7) for text in product("abcd", repeat=length)]
PARTED = Vocabulary.from_bytes(
    [b"", *(bytes((b,)) for b in range(256) if b not in b"abcd"), *(text.encode() for text in [*_WORDS, *_PARTED])],
    eos_token_ids=[0],
)


@pytest.mark.parametrize("longest", [9, 14, 20, 24])
@pytest.mark.parametrize("letters", ["[a-d]", "([ab] | [cd])", "([ab] | [cd] [a-d])"])
def test_what_ends_below_a_node_where_all_short_tokens_live(letters: str, longest: int) -> None:
    # A base that never ends tells nothing of exits in subtrees that live anyway; what a counter ends leaves by them.
    text = f'root ::= "x" a b\na ::= {letters}{{1,{longest}}} | "y" a\nb ::= "bd" [c]{{30}} "!"'
    grammar = structgen.compile_grammar(text, PARTED, dialect="gbnf")
    row = np.zeros((1, PARTED.num_words), np.int32)
    for prefix in (b"x", b"xaa", b"xcb", b"xaaaaaa", b"xaaaaaaaaaaa"):
        matcher = grammar.matcher()
        if not matcher.accept_bytes(prefix):
            continue
        matcher.fill_next_token_bitmask(row)
        expected = {0} if matcher.is_accepting() else set()
        for token in range(1, 256 - 4 + 1 + len(_WORDS) + len(_PARTED)):
            if matcher.accept_token(token):
                expected.add(token)
                matcher.rollback(1)
        assert allowed(row[0]) == expected
