"""Making draft trees: node by node, from chains, or best first; and taking nodes out again."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from structgen.decode.speculation.tree import DraftTree

Path = tuple[int, ...]
"""The tokens from the root to a node; empty for the root."""


class TreeBuilder:
    """A tree that grows. Rows are those of `DraftTree`: 0 is the root, `1 + i` node i."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._parents: list[int] = []
        self._depths = [0]
        self._confidence: list[float] = []
        self._children: list[dict[int, int]] = [{}]
        self._q: dict[int, npt.NDArray[np.float32]] = {}

    @property
    def num_nodes(self) -> int:
        """Nodes so far, the root not counted."""
        return len(self._tokens)

    def add(self, parent: int, token: int, confidence: float = 1.0, *, again: bool = False) -> int:
        """The row of this child of `parent`: a new node, or the one that is there, with the greater confidence.

        `again`: a new node in any case (drawn with replacement).
        """
        found = self._children[parent].get(token)
        if found is not None and not again:
            self._confidence[found - 1] = max(self._confidence[found - 1], confidence)
            return found
        self._tokens.append(token)
        self._parents.append(parent)
        self._depths.append(self._depths[parent] + 1)
        self._confidence.append(confidence)
        self._children.append({})
        row = len(self._tokens)
        self._children[parent][token] = row
        return row

    def drawn_from(self, row: int, q: npt.NDArray[np.float32]) -> None:
        """Says that the children of `row` were drawn from q, float32 [V]."""
        self._q[row] = q

    def path(self, row: int) -> Path:
        """The tokens from the root to a row."""
        tokens = []
        while row:
            tokens.append(self._tokens[row - 1])
            row = self._parents[row - 1]
        return tuple(reversed(tokens))

    def chances(self) -> list[float]:
        """By row, the product of the confidences from the root."""
        found = [1.0]
        for parent, given in zip(self._parents, self._confidence, strict=True):
            found.append(found[parent] * given)
        return found

    def parent(self, row: int) -> int:
        """The row of a node's parent."""
        return self._parents[row - 1]

    def depth(self, row: int) -> int:
        """0 for the root."""
        return self._depths[row]

    def tree(self, kind: type[DraftTree] = DraftTree) -> DraftTree:
        """The tree as arrays; `kind` says how its children were drawn."""
        n = len(self._tokens)
        q_of_row = np.full(n + 1, -1, np.int32)
        for i, row in enumerate(self._q):
            q_of_row[row] = i
        return kind(
            tokens=np.array(self._tokens, np.int32),
            parents=np.array(self._parents, np.int32),
            depths=np.array(self._depths[1:], np.int32),
            q_rows=np.stack(list(self._q.values())) if self._q else None,
            q_of_row=q_of_row,
            confidence=np.array(self._confidence, np.float32),
        )


def empty_tree() -> DraftTree:
    """A proposal of nothing."""
    return TreeBuilder().tree()


def from_chains(chains: Iterable[Sequence[int]], budget: int, confidence: Sequence[float] = ()) -> DraftTree:
    """Chains of tokens below the root, merged where they begin alike; at most `budget` nodes, earlier chains first.

    `confidence[d]` is that of a node at depth d + 1; the last one holds for all that are deeper.
    """
    builder = TreeBuilder()
    for chain in chains:
        row = 0
        for depth, token in enumerate(chain):
            if builder.num_nodes >= budget:
                return builder.tree()
            row = builder.add(row, int(token), confidence[min(depth, len(confidence) - 1)] if confidence else 1.0)
    return builder.tree()


def best_first(
    children: Callable[[Path], Iterable[tuple[int, float]]],
    budget: int,
    max_depth: int,
    *,
    least: float = 0.0,
) -> DraftTree:
    """The tree of the `budget` most probable nodes, greedily: always the likeliest node that is not yet in it.

    `children(path)` gives (token, probability given the path) of candidates below a node, and is asked once for each
    node taken. Candidates less probable than `least` (as whole paths) are left out. ("DySpec: Faster Speculative
    Decoding with Dynamic Token Tree Structure" shows that this maximises the expected number of accepted tokens.)
    """
    builder = TreeBuilder()
    queue: list[tuple[float, int, int, int, float]] = []
    order = 0

    def offer(row: int, probability: float) -> None:
        nonlocal order
        for token, given in children(builder.path(row)):
            if probability * given > least:
                order += 1
                heapq.heappush(queue, (-probability * given, order, row, token, given))

    if budget > 0 and max_depth > 0:
        offer(0, 1.0)
    while queue and builder.num_nodes < budget:
        negated, _, parent, token, given = heapq.heappop(queue)
        row = builder.add(parent, token, given)
        if builder.depth(row) < max_depth and builder.num_nodes < budget:
            offer(row, -negated)
    return builder.tree()


def keep_nodes(tree: DraftTree, kept: npt.NDArray[np.bool_]) -> DraftTree:
    """The tree with these nodes only (bool [n]); a node goes with its parent, and the order stays.

    From children that were drawn, those may be taken that the grammar forbids, and all below a row together; no others
    (see `drawn`).
    """
    alive = np.concatenate(([True], kept))
    for i, parent in enumerate(tree.parents.tolist()):
        if not alive[parent]:
            alive[i + 1] = False
    if alive.all():
        return tree
    new_row = np.cumsum(alive) - 1
    nodes = np.flatnonzero(alive[1:])
    return replace(
        tree,
        tokens=tree.tokens[nodes],
        parents=new_row[tree.parents[nodes]].astype(np.int32),
        depths=tree.depths[nodes],
        q_of_row=tree.q_of_row[alive],
        confidence=None if tree.confidence is None else tree.confidence[nodes],
    )


def likeliest(tree: DraftTree, num_nodes: int) -> DraftTree:
    """The `num_nodes` nodes with the most probable paths, the likeliest first."""
    children: dict[int, list[int]] = {}
    for i, parent in enumerate(tree.parents.tolist()):
        children.setdefault(parent, []).append(i)
    given = [1.0] * tree.num_nodes if tree.confidence is None else tree.confidence.tolist()
    builder = TreeBuilder()
    row_of = {0: 0}
    queue = [(-given[i], i, given[i]) for i in children.get(0, ())]
    heapq.heapify(queue)
    while queue and builder.num_nodes < num_nodes:
        _, i, probability = heapq.heappop(queue)
        row_of[i + 1] = builder.add(row_of[int(tree.parents[i])], int(tree.tokens[i]), given[i])
        for child in children.get(i + 1, ()):
            heapq.heappush(queue, (-probability * given[child], child, probability * given[child]))
    return builder.tree()
