"""Masks of a draft tree are those of its paths, one token at a time; the row store hands out the same masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import structgen
from structgen.decode.speculation.row_store import RowStore
from structgen.errors import BudgetExceeded, MatcherError
from structgen.vocab import Vocabulary

BYTES = [bytes((byte,)) for byte in range(256)]
WORDS = [
    b'{"',
    b'": ',
    b'"}',
    b"ab",
    b"}]",
    b"12",
    b"tru",
    b'a":1',
    b'":1,"',
    b'b":1,"a',
    b'"ab":',
    b"\\u006",
    b'","a":',
]
VOCAB = Vocabulary.from_bytes([b"", *BYTES, *WORDS], eos_token_ids=[0])
SCHEMAS: list[Any] = [
    {},
    {"type": "array", "items": {"enum": [1, 12, 121]}},
    {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False},
    {"type": "string", "pattern": "^(ab|a12)*$"},
    {"type": "object", "propertyNames": {"pattern": "^[ab]*$"}, "additionalProperties": {"enum": [1, "x"]}},
    {"type": "object", "propertyNames": {"pattern": "^(a|ab?|ba{2,})$"}, "additionalProperties": {"const": 1}},  # thin
]
GRAMMARS = [structgen.compile_schema(schema, VOCAB) for schema in SCHEMAS]


def allowed(mask: Any) -> list[int]:
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()


def grow_tree(rng: np.random.Generator, grammar: Any, prefix: list[int], n: int) -> tuple[list[int], list[int]]:
    """A tree of tokens, most of them legal, some not."""
    tokens, parents = [], []
    paths = [prefix]
    for _ in range(n):
        parent = int(rng.integers(len(paths)))
        choices = allowed(mask_after(grammar, paths[parent])[0])
        token = int(rng.choice(choices)) if choices and rng.random() < 0.8 else int(rng.integers(-1, 300))
        tokens.append(token)
        parents.append(parent)
        paths.append([*paths[parent], token])
    return tokens, parents


def mask_after(grammar: Any, path: list[int]) -> tuple[Any, bool]:
    """The mask after a path by the matcher's own steps (zeros if illegal or ended), and whether it is legal."""
    matcher, mask = grammar.matcher(), np.zeros((1, VOCAB.num_words), np.int32)
    legal = all(matcher.accept_token(token) for token in path)
    if legal and not matcher.is_terminated():
        matcher.fill_next_token_bitmask(mask)
    return mask[0], legal


@given(st.integers(0, 2**32 - 1), st.sampled_from(range(len(SCHEMAS))), st.integers(0, 12))
def test_masks_of_a_tree_are_those_of_its_paths(seed: int, which: int, n: int) -> None:
    rng, grammar = np.random.default_rng(seed), GRAMMARS[which]
    matcher, prefix = grammar.matcher(), []
    if which > 3:  # keys are there, to be repeated
        written = (b'{"a":1', b'{"a":1,"', b'{"ab":1,"\\u0061":1,', b'{"baa":1,"a":1,"ba')[rng.integers(4)]
        prefix += [1 + byte for byte in written]
        assert all(map(matcher.accept_token, prefix))
    for _ in range(rng.integers(5)):
        token = int(rng.choice(allowed(mask_after(grammar, prefix)[0])))
        if token == 0:
            break
        prefix.append(token)
        assert matcher.accept_token(token)
    tokens, parents = grow_tree(rng, grammar, prefix, n)
    bitmask = np.full((n + 3, VOCAB.num_words + 1), 0x55, np.int32)
    legal = matcher.traverse_draft_tree(tokens, parents, bitmask)
    store = RowStore(VOCAB.num_words, max_bytes=4 * VOCAB.num_words * (n + 2))
    store.begin()
    ids = store.ids(matcher, tokens, parents)
    store.begin()
    again = store.ids(matcher, tokens, parents)
    paths = [prefix]
    for i, (token, parent) in enumerate(zip(tokens, parents, strict=True)):
        paths.append([*paths[parent], token])
        assert legal[i] == mask_after(grammar, paths[-1])[1]
    for i, path in enumerate(paths):
        expected, _ = mask_after(grammar, path)
        assert (bitmask[i, :-1] == expected).all()
        assert bitmask[i, -1] == 0
        assert (store.rows[again[i]].numpy() == expected).all()
        assert ids[i] == again[i]
    assert (bitmask[n + 1 :] == 0x55).all()
    assert matcher.num_tokens == len(prefix)


def test_after_the_end_nothing_is_legal() -> None:
    matcher = structgen.compile_schema({"const": 1}, VOCAB).matcher()
    assert matcher.accept_bytes(b"1")
    assert matcher.accept_token(0)
    bitmask = torch.full((3, VOCAB.num_words), -1, dtype=torch.int32)
    assert not matcher.traverse_draft_tree([50, 0], [0, 0], bitmask).any()
    assert not bitmask.any()
    store = RowStore(VOCAB.num_words)
    assert store.ids(matcher, [50, 0], [0, 0]).tolist() == [0, 0, 0]


@pytest.mark.parametrize("parents", [[1], [-1], [0, 0], [[0]]])
def test_wrong_trees_are_refused(parents: Any) -> None:
    matcher = GRAMMARS[0].matcher()
    with pytest.raises(MatcherError):
        matcher.traverse_draft_tree([50], parents, np.zeros((3, VOCAB.num_words), np.int32))
    with pytest.raises(MatcherError, match="2 rows"):
        matcher.traverse_draft_tree([50], [0], np.zeros((1, VOCAB.num_words), np.int32))


def test_a_new_generation_in_the_middle_of_a_tree() -> None:
    limits = structgen.Limits(max_states=150)
    chain = range(63)
    bitmask, expected = (np.zeros((64, VOCAB.num_words), np.int32) for _ in range(2))
    store = RowStore(VOCAB.num_words, max_bytes=4 * VOCAB.num_words * 100)
    turned = [0, 0]
    for i in range(12):
        letter = chr(98 + i)
        schema = {"enum": [letter * 60 + str(j) for j in range(3)]}
        small, large = (structgen.compile_schema(schema, VOCAB, limits=each) for each in (limits, None))
        text = [1 + b for b in b'"' + letter.encode() * 60 + b'1"']
        assert large.matcher().traverse_draft_tree(text, chain, expected).all()
        matcher = small.matcher()
        assert matcher.accept_token(text[0])
        generation = small._host.generation
        plain = i % 4 < 2
        if plain:
            assert matcher.traverse_draft_tree(text[1:], chain[:-1], bitmask).all()
            assert (bitmask[:-1] == expected[1:]).all()
        else:
            store.begin()
            ids = store.ids(matcher, text[1:], chain[:-1])
            assert (store.rows[ids].numpy() == expected[1:]).all()
        turned[plain] += small._host.generation > generation
    assert all(turned), "no generation ended within a tree"


def test_a_mask_over_its_budget_is_refused_and_not_kept() -> None:
    limits = structgen.Limits(max_mask_steps=3)
    grammar = structgen.compile_schema({"type": "string", "pattern": "^[a-f]*[g-k]x$"}, VOCAB, limits=limits)
    matcher, store = grammar.matcher(), RowStore(VOCAB.num_words)
    for _ in range(2):
        with pytest.raises(BudgetExceeded):
            matcher.traverse_draft_tree([1 + ord('"')], [0], np.zeros((2, VOCAB.num_words), np.int32))
        with pytest.raises(BudgetExceeded):
            store.ids(matcher, [1 + ord('"')], [0])


def test_rows_are_kept_across_steps_and_the_least_recently_used_goes() -> None:
    grammar = structgen.compile_schema({"const": "abcdef"}, VOCAB)
    text = [1 + b for b in b'"abcdef"']
    chain = list(range(len(text)))
    store = RowStore(VOCAB.num_words, max_bytes=4 * VOCAB.num_words * 6)  # five rows besides the empty one
    matcher = grammar.matcher()
    store.begin()
    store.ids(matcher, text[:3], chain[:3])
    assert store.num_filled == 4
    store.begin()
    store.ids(matcher, text[:2], chain[:2])
    assert store.num_filled == 4
    matcher.accept_token(text[0])
    store.begin()
    ids = store.ids(matcher, text[1:4], chain[:3])  # states 1 … 4, of which 4 is new
    assert store.num_filled == 5
    once = store.put(store.rows[ids[:1]].numpy())  # state 0 was used longest ago
    assert (store.rows[once[0]] == store.rows[ids[0]]).all()
    assert not set(once) & set(ids)
    with pytest.raises(BudgetExceeded, match="row store"):
        store.ids(matcher, text[1:6], chain[:5])
    store.begin()
    again = store.ids(matcher, text[1:5], chain[:4])  # state 5 takes the row that was used once
    assert store.num_filled == 6
    assert (again[:4] == ids).all()
    for i, row_id in enumerate(again):
        assert (store.rows[row_id].numpy() == mask_after(grammar, text[: i + 1])[0]).all()


def test_a_store_that_is_not_on_the_host_uploads_what_is_new() -> None:
    grammar = structgen.compile_schema({"const": "abc"}, VOCAB)
    store = RowStore(VOCAB.num_words)
    store._on_host = False  # as on another device, whose memory kernels cannot write to
    text = [1 + b for b in b'"abc"']
    ids = store.ids(grammar.matcher(), text[:2], [0, 1])
    assert not store._rows.any()
    put = store.put(np.full((1, VOCAB.num_words), 7, np.int32))
    for i in range(3):
        assert (store.rows[ids[i]].numpy() == mask_after(grammar, text[:i])[0]).all()
    assert (store.rows[put[0]] == 7).all()
    assert not store._staged


def test_nothing_is_legal_below_a_repeated_key_not_even_the_end() -> None:
    matcher = GRAMMARS[0].matcher()
    assert matcher.accept_bytes(b'{"a":1,"a')
    tokens = [1 + b for b in b'":1}'] + [0]
    bitmask = np.full((6, VOCAB.num_words), -1, np.int32)
    assert not matcher.traverse_draft_tree(tokens, range(5), bitmask).any()
    assert not bitmask[1:].any()
