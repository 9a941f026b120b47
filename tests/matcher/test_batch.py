"""`fill_batch`: every row is what the matcher alone writes, whatever the threads, the grammars and the limits."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen
from structgen import Limits, Matcher, fill_batch
from structgen.errors import BudgetExceeded, MatcherError
from structgen.masks.threads import share
from structgen.vocab import Vocabulary

WORDS = [f"{a}{b}".encode() for a in 'abno1 {,"' for b in 'abno1 ":},[]']
VOCAB = Vocabulary.from_bytes([b"", *[bytes((b,)) for b in range(256)], *WORDS, b'{"a":1,'], eos_token_ids=[0])
OTHER = Vocabulary.from_bytes([*[bytes((b,)) for b in range(128)], b"aa", b"<end>"], eos_token_ids=[129])
SCHEMAS: list[Any] = [
    True,  # remembers its keys
    {"type": "object", "patternProperties": {"^(a|b|ab)$": {"type": "integer"}}, "additionalProperties": False},
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 4}}, "required": ["a"]},
    {"type": "array", "items": {"enum": ["no", "on", "a"]}, "maxItems": 3},
    {"type": "string", "pattern": "^[ab]{2,5}$"},
    {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 20}, "uniqueItems": True},
    {"type": "array", "items": True, "uniqueItems": True},
    {"anyOf": [{"type": "integer"}, {"type": "object", "additionalProperties": {"type": "boolean"}}]},
]
# Its own engine for what is expected, so that no mask is in the store because it was asked for alone.
ALONE = Limits(max_mask_steps=1 << 40)


def grammar(schema: Any, limits: Limits | None, vocab: Vocabulary = VOCAB) -> structgen.CompiledGrammar:
    return structgen.compile_schema(schema, vocab, limits=limits)


def expected_rows(matchers: list[Matcher], num_words: int) -> Any:
    rows = np.zeros((len(matchers), num_words), np.int32)
    for i, matcher in enumerate(matchers):
        matcher.fill_next_token_bitmask(rows, i)
    return rows


def step(matchers: list[Matcher], rows: Any, draw: np.random.Generator) -> None:
    """Each text takes a random token that its row allows, no end of text."""
    for matcher, row in zip(matchers, rows, strict=True):
        allowed = np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))
        allowed = [token for token in allowed.tolist() if token not in matcher.grammar.vocab.eos_token_ids]
        if allowed:
            assert matcher.accept_token(int(draw.choice(allowed)))


@given(
    which=st.lists(st.integers(0, len(SCHEMAS) - 1), min_size=1, max_size=70),
    limits=st.sampled_from([None, Limits(max_row_bytes=1), Limits(max_states=700)]),
    num_threads=st.integers(1, 4),
    seed=st.integers(0, 1 << 30),
)
@settings(max_examples=25)
def test_rows_are_those_of_the_matchers(which: list[int], limits: Limits | None, num_threads: int, seed: int) -> None:
    together = [grammar(SCHEMAS[i], limits).matcher() for i in which]
    alone = [grammar(SCHEMAS[i], ALONE).matcher() for i in which]
    bitmask = np.full((len(which) + 2, VOCAB.num_words + 1), -1, np.int32)
    places = np.random.default_rng(seed).permutation(len(which) + 2)[: len(which)]
    untouched = np.setdiff1d(np.arange(len(which) + 2), places)
    for turn in range(6):
        fill_batch(together, bitmask, places.tolist(), max_threads=num_threads)
        rows = expected_rows(alone, VOCAB.num_words)
        assert (bitmask[places, :-1] == rows).all()
        assert (bitmask[places, -1] == 0).all()
        assert (bitmask[untouched] == -1).all()
        for matchers in (together, alone):
            step(matchers, rows, np.random.default_rng(seed + turn))


def test_two_vocabularies_and_the_same_matcher_twice() -> None:
    one, two = grammar(SCHEMAS[3], None).matcher(), grammar(SCHEMAS[3], None, OTHER).matcher()
    bitmask = np.full((3, VOCAB.num_words), -1, np.int32)
    fill_batch([one, two, one], bitmask)
    assert (bitmask == expected_rows([one, two, one], VOCAB.num_words)).all()
    assert (bitmask[0] == bitmask[2]).all()
    assert (bitmask[0] != bitmask[1]).any()


def test_threads_share_grammars() -> None:
    """Several threads, each with a batch of its own, all over the same grammars, none of them visited before."""
    limits = Limits(max_row_bytes=4 * VOCAB.num_words * 18)
    failures: list[BaseException] = []
    turns = threading.Barrier(4)

    def serve(seed: int) -> None:
        try:
            draw = np.random.default_rng(seed)
            which = draw.integers(0, len(SCHEMAS), 48).tolist()
            together = [grammar(SCHEMAS[i], limits).matcher() for i in which]
            alone = [grammar(SCHEMAS[i], ALONE).matcher() for i in which]
            bitmask = np.zeros((48, VOCAB.num_words), np.int32)
            for turn in range(8):
                turns.wait(60)
                fill_batch(together, bitmask, max_threads=2)
                assert (bitmask == expected_rows(alone, VOCAB.num_words)).all()
                rows = bitmask.copy()
                for matchers in (together, alone):
                    step(matchers, rows, np.random.default_rng((seed, turn)))
        except BaseException as failure:
            failures.append(failure)
            turns.abort()

    threads = [threading.Thread(target=serve, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_what_is_wrong_is_said_before_a_row_is_written() -> None:
    matchers = [grammar(SCHEMAS[0], None).matcher() for _ in range(3)]
    bitmask = np.full((3, VOCAB.num_words), -1, np.int32)
    assert matchers[1].accept_bytes(b"1")
    assert matchers[1].accept_token(0)
    with pytest.raises(MatcherError, match="matcher 1 has ended"):
        fill_batch(matchers, bitmask)
    with pytest.raises(MatcherError, match="different rows"):
        fill_batch(matchers[::2], bitmask, [1, 1])
    with pytest.raises(MatcherError, match="different rows"):
        fill_batch(matchers[::2], bitmask, [1])
    with pytest.raises(IndexError):
        fill_batch(matchers[::2], bitmask, [0, 3])
    with pytest.raises(IndexError):
        fill_batch(matchers[::2], bitmask[:1])
    with pytest.raises(MatcherError, match="int32"):
        fill_batch(matchers[::2], bitmask.astype(np.int64))
    fill_batch([], bitmask)
    assert (bitmask == -1).all()


def test_a_limit_reached_in_one_row_leaves_the_others() -> None:
    limits = Limits(max_mask_steps=40)
    easy, hard = grammar({"const": 1}, limits).matcher(), grammar({"type": "string"}, limits).matcher()
    assert hard.accept_bytes(b'"')
    bitmask = np.full((3, VOCAB.num_words), -1, np.int32)
    with pytest.raises(BudgetExceeded, match="matcher 1"):
        fill_batch([easy, hard, easy], bitmask)
    assert (bitmask[[0, 2]] == expected_rows([easy, easy], VOCAB.num_words)).all()
    assert (bitmask[1] == 0).all()


@given(n=st.integers(0, 200), num_threads=st.integers(1, 5))
def test_a_shared_loop_takes_every_step_once(n: int, num_threads: int) -> None:
    taken = np.zeros(n, int)

    def run(begin: int, end: int) -> None:
        taken[begin:end] += 1

    share(run, n, num_threads)
    assert (taken == 1).all()


@pytest.mark.parametrize("num_threads", [1, 3])
def test_what_a_shared_loop_raises_is_raised(num_threads: int) -> None:
    def run(begin: int, end: int) -> None:
        raise KeyError(begin)

    with pytest.raises(KeyError):
        share(run, 100, num_threads)
