"""The trie's arrays against a trie of dicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.vocab import TokenTrie, Vocabulary
from structgen.vocab.trie import BYTE, DEPTH, END, TOK

few_bytes = st.binary(max_size=6) | st.lists(st.sampled_from([0, 1, 97, 98, 255]), max_size=7).map(bytes)
vocabularies = st.lists(few_bytes, max_size=40)


def brute_force(tokens: list[bytes]) -> tuple[list[tuple[int, int, int, int]], list[int], list[set[int]]]:
    """Rows of `nodes` (with the sentinel), `tokens`, and the set of bytes below each node, by plain recursion."""
    tree: dict[Any, Any] = {}
    for token_id, token in enumerate(tokens):
        node = tree
        for byte in token:
            node = node.setdefault(byte, {})
        if token:
            node.setdefault("ids", []).append(token_id)
    rows: list[tuple[int, int, int, int]] = []
    ids: list[int] = []
    below: list[set[int]] = []

    def visit(node: dict[Any, Any], depth: int) -> set[int]:
        seen: set[int] = set()
        for byte in sorted(key for key in node if key != "ids"):
            index = len(rows)
            rows.append((byte, 0, depth, len(ids)))
            below.append(set())
            ids.extend(node[byte].get("ids", []))
            below[index] = visit(node[byte], depth + 1)
            rows[index] = (byte, len(rows), depth, rows[index][3])
            seen |= {byte} | below[index]
        return seen

    visit(tree, 0)
    rows.append((0, len(rows), 0, len(ids)))
    return rows, ids, below


def bits(words: np.ndarray) -> set[int]:
    return {64 * i + bit for i, word in enumerate(words.tolist()) for bit in range(64) if word >> bit & 1}


@given(vocabularies)
def test_arrays_equal_brute_force(tokens: list[bytes]) -> None:
    trie = TokenTrie.from_tokens(tokens)
    rows, ids, below = brute_force(tokens)
    assert trie.nodes.tolist() == [list(row) for row in rows]
    assert trie.tokens.tolist() == ids
    assert [bits(words) for words in trie.below] == below
    assert trie.lengths.tolist() == [len(tokens[i]) for i in ids]
    tops = {rows[i][BYTE]: i for i in range(len(rows) - 1) if rows[i][DEPTH] == 0}
    assert trie.root.tolist() == [tops.get(byte, -1) for byte in range(256)]


@given(vocabularies)
def test_flat_bytes_by_id(tokens: list[bytes]) -> None:
    trie = TokenTrie.from_tokens(tokens)
    assert trie.token_length.tolist() == [len(token) for token in tokens]
    for i, token in enumerate(tokens):
        assert trie.token_data[trie.token_start[i] : trie.token_start[i + 1]].tobytes() == token


@given(vocabularies)
def test_dfs_ranges_spell_the_tokens(tokens: list[bytes]) -> None:
    trie = TokenTrie.from_tokens(tokens)
    nodes = trie.nodes
    path: list[int] = []
    for i in range(trie.num_nodes):
        path[nodes[i, DEPTH] :] = [nodes[i, BYTE]]
        text = bytes(path)
        own = trie.tokens[nodes[i, TOK] : nodes[i + 1, TOK]].tolist()
        assert own == [j for j, token in enumerate(tokens) if token == text]
        subtree = trie.tokens[nodes[i, TOK] : nodes[nodes[i, END], TOK]].tolist()
        assert sorted(subtree) == [j for j, token in enumerate(tokens) if token.startswith(text)]


def test_dtypes_shapes_and_immutability() -> None:
    trie = TokenTrie.from_tokens([b"ab", b"", b"a", b"ab"])
    expected = {
        "nodes": (np.int32, (3, 4)),
        "tokens": (np.int32, (3,)),
        "lengths": (np.int32, (3,)),
        "root": (np.int32, (256,)),
        "below": (np.uint64, (2, 4)),
        "token_length": (np.int32, (4,)),
        "token_start": (np.int64, (5,)),
        "token_data": (np.uint8, (5,)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(trie, name)
        assert (array.dtype, array.shape) == (dtype, shape), name
        assert array.flags.c_contiguous, name
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("tokens", [[], [b""], [b"", b""]])
def test_a_vocabulary_without_text(tokens: list[bytes]) -> None:
    trie = TokenTrie.from_tokens(tokens)
    assert trie.nodes.tolist() == [[0, 0, 0, 0]]
    assert trie.tokens.size == trie.below.size == trie.token_data.size == 0
    assert set(trie.root.tolist()) == {-1}


def test_long_tokens() -> None:
    tokens = [b"x" * 3000, b"x" * 2999 + b"y", b"\x00" * 300]
    trie = TokenTrie.from_tokens(tokens)
    assert trie.num_nodes == 3001 + 300
    assert trie.tokens.tolist() == [2, 0, 1]


@given(vocabularies, st.sets(st.integers(0, 39)), st.integers(0, 70))
def test_specials_and_padding_are_never_in_it(tokens: list[bytes], specials: set[int], padding: int) -> None:
    size = len(tokens) + padding
    special = [i for i in specials if i < size]
    vocab = Vocabulary.from_bytes(tokens, eos_token_ids=special[:1], special_token_ids=special[1:], vocab_size=size)
    assert sorted(vocab.trie.tokens.tolist()) == [i for i, t in enumerate(tokens) if t and i not in specials]
    assert len(vocab.trie.token_length) == vocab.vocab_size == size


def test_a_real_trie_spells_its_tokens(real: Vocabulary) -> None:
    trie = real.trie
    text_ids = [i for i, token in enumerate(real.tokens) if token]
    assert sorted(trie.tokens.tolist()) == text_ids
    ordered = [real.tokens[i] for i in trie.tokens.tolist()]
    assert ordered == sorted(ordered)
    nodes = trie.nodes
    for token_id in text_ids[::23]:
        node, end = 0, trie.num_nodes
        for depth, byte in enumerate(real.tokens[token_id]):
            while nodes[node, BYTE] != byte:
                node = nodes[node, END]
                assert node < end
            assert nodes[node, DEPTH] == depth
            last, node, end = node, node + 1, nodes[node, END]
        assert token_id in trie.tokens[nodes[last, TOK] : nodes[last + 1, TOK]]
