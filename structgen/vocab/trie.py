"""The trie over a vocabulary's token bytes, as flat arrays in preorder.

Owns the array layout that kernels walk, and its construction. Knows nothing of tokenizers or special tokens: it sees
byte strings by token id, where an empty string means "never text".

Construction never visits single nodes. Tokens are sorted by their bytes, and the longest common prefix (LCP) of
neighbours tells how many nodes each token adds; preorder of the nodes is then the order in which tokens add them.
What needs the tree's shape (`END`, `below`) goes level by level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

BYTE: Final = 0
"""Column of `TokenTrie.nodes`: the byte on the edge into the node."""
END: Final = 1
"""Column of `TokenTrie.nodes`: index one past the node's subtree, which is also its next sibling if it has one."""
DEPTH: Final = 2
"""Column of `TokenTrie.nodes`: number of bytes before the node's own; 0 for children of the root."""
TOK: Final = 3
"""Column of `TokenTrie.nodes`: where the node's tokens start in `TokenTrie.tokens`."""

_WORDS = 4
_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TokenTrie:
    """All distinct byte strings of a vocabulary of V tokens as a trie of n nodes in preorder; m tokens are in it.

    The tokens that end at node i are `tokens[nodes[i, TOK]:nodes[i + 1, TOK]]`; those of its whole subtree are
    `tokens[nodes[i, TOK]:nodes[nodes[i, END], TOK]]`. Children of node i start at i + 1, and the sibling after child
    c is `nodes[c, END]`, while that is below `nodes[i, END]`. All arrays are C-contiguous and read-only.
    """

    nodes: npt.NDArray[np.int32]
    """int32[n + 1, 4], columns `BYTE`, `END`, `DEPTH`, `TOK`. Row n is a sentinel: `END` is n and `TOK` is m."""
    tokens: npt.NDArray[np.int32]
    """int32[m], token ids in preorder; ids with the same bytes are neighbours, in ascending order."""
    lengths: npt.NDArray[np.int32]
    """int32[m], number of bytes of each token of `tokens`."""
    root: npt.NDArray[np.int32]
    """int32[256], the node of each first byte, or -1."""
    below: npt.NDArray[np.uint64]
    """uint64[n, 4], the 256-bit set of the bytes strictly below each node: byte b is bit b % 64 of word b // 64."""
    token_length: npt.NDArray[np.int32]
    """int32[V], number of bytes by token id; 0 for ids that are never text."""
    token_start: npt.NDArray[np.int64]
    """int64[V + 1], where the bytes of each id start in `token_data`."""
    token_data: npt.NDArray[np.uint8]
    """uint8[...], the bytes of all ids, in the order of ids."""

    @property
    def num_nodes(self) -> int:
        """Number of nodes, without the sentinel."""
        return len(self.nodes) - 1

    @classmethod
    def from_tokens(cls, tokens: Sequence[bytes]) -> TokenTrie:
        """The trie of `tokens`, indexed by token id; empty strings are left out."""
        token_length = np.fromiter(map(len, tokens), np.int32, len(tokens))
        ids = sorted(np.flatnonzero(token_length).tolist(), key=tokens.__getitem__)
        ordered = np.array(ids, np.int32)
        length = token_length[ordered].astype(np.int64)
        data = _flat([tokens[token_id] for token_id in ids])
        start = _starts(length)[:-1]
        lcp = _common_prefixes(data, start, length)

        firsts = np.flatnonzero(length > lcp)  # sorted: only a repeat of the token before adds nothing to it
        start, length, lcp = start[firsts], length[firsts], lcp[firsts]
        added = length - lcp
        first_node = _starts(added)
        num_nodes = int(first_node[-1])
        string = np.repeat(np.arange(len(firsts)), added)
        depth = np.arange(num_nodes) - first_node[string] + lcp[string]
        byte = data[start[string] + depth]

        num_tokens_at = np.zeros(num_nodes, np.int64)
        num_tokens_at[first_node[1:] - 1] = np.diff(firsts, append=len(ids))

        nodes = np.zeros((num_nodes + 1, 4), np.int32)
        nodes[:-1, BYTE] = byte
        nodes[:-1, DEPTH] = depth
        nodes[:, TOK] = _starts(num_tokens_at)
        nodes[-1, END] = num_nodes
        nodes[:-1, END], below = _shape(byte, depth)

        root = np.full(256, -1, np.int32)
        tops = np.flatnonzero(depth == 0)
        root[byte[tops]] = tops
        trie = cls(
            nodes=nodes,
            tokens=ordered,
            lengths=token_length[ordered],
            root=root,
            below=below,
            token_length=token_length,
            token_start=_starts(token_length),
            token_data=_flat(tokens),
        )
        for array in vars(trie).values():
            array.flags.writeable = False
        return trie


def _flat(strings: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    return np.array(memoryview(b"".join(strings)), np.uint8)


def _starts(lengths: npt.NDArray[np.signedinteger]) -> _Int64s:
    """Offsets of consecutive runs of these lengths, and the end of the last one."""
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _common_prefixes(data: npt.NDArray[np.uint8], start: _Int64s, length: _Int64s) -> _Int64s:
    """Number of leading bytes each of the sorted strings shares with the one before it (0 for the first)."""
    lcp = np.zeros(len(start), np.int64)
    alive = np.arange(1, len(start))  # strings that agree with the one before them so far: few after some bytes
    depth = 0
    while len(alive):
        alive = alive[np.minimum(length[alive], length[alive - 1]) > depth]
        alive = alive[data[start[alive] + depth] == data[start[alive - 1] + depth]]
        depth += 1
        lcp[alive] = depth
    return lcp


def _shape(byte: npt.NDArray[np.uint8], depth: _Int64s) -> tuple[_Int64s, npt.NDArray[np.uint64]]:
    """END and the sets of bytes below, of nodes given in preorder by their bytes and depths."""
    num_nodes = len(byte)
    by_depth = np.argsort(depth, kind="stable")
    levels = np.split(by_depth, np.flatnonzero(np.diff(depth[by_depth])) + 1)
    end = np.full(num_nodes, num_nodes, np.int64)
    parent = np.full(num_nodes, -1, np.int64)
    end[levels[0]] = np.append(levels[0][1:], num_nodes)[: len(levels[0])]
    for above, level in pairwise(levels):
        parent[level] = above[np.searchsorted(above, level) - 1]
        end[level] = np.minimum(np.append(level[1:], num_nodes), end[parent[level]])

    below = np.zeros((num_nodes, _WORDS), np.uint64)
    own = np.zeros((256, _WORDS), np.uint64)
    own[np.arange(256), np.arange(256) // 64] = np.uint64(1) << (np.arange(256) % 64).astype(np.uint64)
    for level in reversed(levels[1:]):
        parents = parent[level]
        families = np.flatnonzero(np.diff(parents, prepend=-1))
        below[parents[families]] = np.bitwise_or.reduceat(below[level] | own[byte[level]], families, axis=0)
    return end, below
