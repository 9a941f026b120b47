"""The trie of expected futures: what attempts have taught about the mass of the language below each prefix.

theta(u) bounds P(the text ends in the language, within the limit | it begins with u) from above. An unvisited prefix
has theta = 1; a visited one has the sum of P(t | u) theta(u t) over the tokens that may follow, so every visit lowers
the bounds up to the root (ASAp, "Grammar-Aligned Decoding"). Masked tokens and text cut at the length limit have no
edge: their mass is gone with the visit. Each node also keeps a lower bound, the mass of the ends already seen below it,
so that Z, the mass of the whole language, always lies in `bracket()`.

Laws: theta never falls below the truth, never rises unless nodes are forgotten, and is the truth once everything below
is visited. A trie belongs to one `key`: model, prompt, constraint, limit and sampling options together.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from structgen.decode.aligned.language import NO_STATE
from structgen.errors import StructgenError
from structgen_kernels import futures as kernels
from structgen_kernels.futures import END, UNSEEN

ROOT = 0
NO_NODE = -1
EDGE_BYTES = 4 + 4 + 8 + 8
NODE_BYTES = 4 + 4 + 8 + 8 + 8 + 8 + 8 + 8 + 8
DEFAULT_MAX_BYTES = 256 << 20
_KEPT_AFTER_FORGETTING = 0.75

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Key:
    """What a trie is about. Two tries with equal keys may be merged, and nothing else may.

    `model` names model and prompt, `constraint` the grammar together with its vocabulary.
    """

    model: str
    constraint: str
    max_tokens: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def digest(self) -> str:
        """A short name for the key, fit for a file name."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:32]


def _none(dtype: Any) -> Any:
    return np.zeros(0, dtype)


def _grown(old: Any, size: int, dtype: Any, fill: int = 0) -> Any:
    """The array in `size` rows, the new ones filled."""
    new = np.full(size, fill, dtype)
    new[: len(old)] = old
    return new


class Futures:
    """Visited prefixes as arrays; node 0 is the empty prefix, from the first `add` on.

    Node ids are stable until `forget`, which is called between rounds of attempts only. Not safe for use by several
    threads at once.

    Args:
        key: what the trie is about.
        max_bytes: what `forget` brings the trie down to: nodes and edges are counted, not the slack of growing arrays.
            A round of attempts in progress holds the nodes of its own paths beside that.
    """

    def __init__(self, key: Key, *, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be positive, not {max_bytes}")
        self.key = key
        self.max_bytes = max_bytes
        self.num_nodes = 0
        self.num_edges = 0
        self.num_forgotten = 0
        self._free: list[int] = []
        self._clock = 0
        self.parent: npt.NDArray[np.int32] = _none(np.int32)
        self.parent_edge: npt.NDArray[np.int64] = _none(np.int64)
        self.start: npt.NDArray[np.int64] = _none(np.int64)
        self.count: npt.NDArray[np.int64] = _none(np.int64)
        self.state: Any = _none(object)  # ints; with a memory of keys they are longer than 64 bits
        self.depth: npt.NDArray[np.int32] = _none(np.int32)
        self.used: npt.NDArray[np.int64] = _none(np.int64)
        self.upper: Floats = _none(np.float64)
        self.lower: Floats = _none(np.float64)
        self.token: npt.NDArray[np.int32] = _none(np.int32)
        self.child: npt.NDArray[np.int32] = _none(np.int32)
        self.logp: Floats = _none(np.float64)
        self.theta: Floats = _none(np.float64)
        self._allocate_nodes(64)
        self._allocate_edges(1024)

    # ---- growing -----------------------------------------------------------------------------------------------

    def add(self, parent: int, edge: int, state: int, tokens: npt.NDArray[np.int32], logp: Floats, ends: Flags) -> int:
        """The node behind `edge` (a number among its parent's edges) of `parent`; the root for parent `NO_NODE`.

        tokens: int32 [n] ascending, what may follow; logp: float64 [n], with which probability; ends: bool [n], which
        of them end the text. All other mass is gone, and the bounds of its ancestors with it.
        """
        node = self.load_node(parent, edge, tokens, logp, ends)
        self.state[node] = state
        self.refresh(node)
        return node

    def load_node(self, parent: int, edge: int, tokens: npt.NDArray[np.int32], logp: Floats, ends: Flags) -> int:
        """Like `add`, without a state, and with bounds that are not yet right: `refresh` makes them so."""
        node = self._free.pop() if self._free else self._new_node()
        first = self.num_edges
        self._reserve_edges(first + len(tokens))
        self.num_edges = first + len(tokens)
        rows = slice(first, self.num_edges)
        self.token[rows] = tokens
        self.logp[rows] = logp
        self.theta[rows] = 0.0
        self.child[rows] = np.where(ends, END, UNSEEN)
        self.parent[node] = parent
        self.parent_edge[node] = edge
        self.start[node] = first
        self.count[node] = len(tokens)
        self.state[node] = NO_STATE
        self.depth[node] = 0 if parent == NO_NODE else self.depth[parent] + 1
        self.used[node] = self._clock
        self.upper[node] = 0.0
        self.lower[node] = -math.inf
        if parent != NO_NODE:
            self.child[self.start[parent] + edge] = node
        return node

    def refresh(self, node: int) -> None:
        """Recompute a node's bounds and its ancestors'."""
        kernels.refresh(
            node,
            self.parent,
            self.parent_edge,
            self.start,
            self.count,
            self.upper,
            self.lower,
            self.child,
            self.logp,
            self.theta,
        )

    def touch(self, node: int) -> None:
        """Mark a node as used in this round."""
        self.used[node] = self._clock

    # ---- reading -----------------------------------------------------------------------------------------------

    def weights(self, node: int, out: Floats, *, use_theta: bool) -> float:
        """Weights of a node's edges into out [at least its edges], the largest being 1; returns the log of their sum.

        With `use_theta` the weight of t is P(t | u) theta(u t), else P(t | u): the mass of the mask.
        """
        return float(kernels.score(node, use_theta, self.start, self.count, self.logp, self.theta, out))

    def edges(self, node: int) -> slice:
        """Where a node's edges stand in `token`, `logp`, `theta` and `child`."""
        first = int(self.start[node])
        return slice(first, first + int(self.count[node]))

    def bracket(self) -> tuple[float, float]:
        """Bounds on log Z, certain ones: (lower, upper) in nats. (-inf, 0) before the first visit."""
        if self.num_nodes == 0:
            return -math.inf, 0.0
        return float(self.lower[ROOT]), float(self.upper[ROOT])

    def is_complete(self) -> bool:
        """Whether every prefix of the language is visited and kept."""
        return self.num_nodes > 0 and not any(
            (self.child[self.edges(node)] == UNSEEN).any() for node in range(self.num_nodes) if node not in self._free
        )

    def find(self, tokens: Sequence[int]) -> int | None:
        """The node of a prefix, if it was visited and is still kept."""
        if self.num_nodes == 0:
            return None
        node = ROOT
        for token in tokens:
            edge = self.edge_of(node, token)
            if edge is None:
                return None
            node = int(self.child[self.start[node] + edge])
            if node < 0:
                return None
        return node

    def edge_of(self, node: int, token: int) -> int | None:
        """The number of a token among a node's edges, None if it may not follow."""
        tokens = self.token[self.edges(node)]
        edge = int(np.searchsorted(tokens, token))
        return edge if edge < len(tokens) and tokens[edge] == token else None

    def tokens_of(self, node: int) -> list[int]:
        """The prefix of a node."""
        tokens: list[int] = []
        while node != ROOT:
            above = int(self.parent[node])
            tokens.append(int(self.token[self.start[above] + self.parent_edge[node]]))
            node = above
        return tokens[::-1]

    def num_bytes(self) -> int:
        """Bytes of nodes and edges in use."""
        return (self.num_nodes - len(self._free)) * NODE_BYTES + self.num_edges * EDGE_BYTES

    # ---- forgetting --------------------------------------------------------------------------------------------

    def new_round(self) -> None:
        """A round of attempts begins: nodes it touches are the last to be forgotten."""
        self._clock += 1
        if self.num_bytes() > self.max_bytes:
            self.forget(int(self.max_bytes * _KEPT_AFTER_FORGETTING))

    def forget(self, max_bytes: int) -> None:
        """Forget the nodes used longest ago until the trie holds at most `max_bytes`. The root stays.

        A forgotten prefix is unvisited again, but for the mass of its mask, which is known: bounds above it rise to
        what they would be without what was seen below.
        """
        live = np.ones(self.num_nodes, bool)
        live[self._free] = False
        live[ROOT] = False
        nodes = np.flatnonzero(live)
        # A path is touched as a whole, so no node was used before one below it: children go before their parents.
        order = nodes[np.lexsort((-self.depth[nodes], self.used[nodes]))]
        excess = self.num_bytes() - max_bytes
        freed = np.cumsum(NODE_BYTES + EDGE_BYTES * self.count[order])
        victims = order[: int(np.searchsorted(freed, excess)) + 1] if excess > 0 else order[:0]
        scratch = np.zeros(int(self.count.max(initial=0)))
        above = set()
        for node in victims.tolist():
            parent = int(self.parent[node])
            e = int(self.start[parent] + self.parent_edge[node])
            self.child[e] = UNSEEN
            self.theta[e] = min(self.weights(node, scratch, use_theta=False), 0.0)
            above.add(parent)
        gone = set(victims.tolist())
        self._free.extend(gone)
        self.num_forgotten += len(gone)
        kept = np.flatnonzero(live)
        kept = np.append(kept[~np.isin(kept, victims)], ROOT)
        self.num_edges = int(
            kernels.pack(
                kept[np.argsort(self.start[kept], kind="stable")].astype(np.int32),
                self.start,
                self.count,
                self.token,
                self.child,
                self.logp,
                self.theta,
            )
        )
        for node in sorted(above - gone, key=lambda each: -int(self.depth[each])):
            self.refresh(node)

    # ---- memory ------------------------------------------------------------------------------------------------

    def _new_node(self) -> int:
        node = self.num_nodes
        if node == len(self.parent):
            self._allocate_nodes(2 * node)
        self.num_nodes = node + 1
        return node

    def _reserve_edges(self, needed: int) -> None:
        if needed > len(self.token):
            self._allocate_edges(max(needed, 2 * len(self.token)))

    def _allocate_nodes(self, size: int) -> None:
        if size >= 1 << 31:
            raise StructgenError("a trie of futures holds at most 2**31 nodes", advice="lower max_bytes")
        self.parent = _grown(self.parent, size, np.int32)
        self.parent_edge = _grown(self.parent_edge, size, np.int64)
        self.start = _grown(self.start, size, np.int64)
        self.count = _grown(self.count, size, np.int64)
        self.state = _grown(self.state, size, object, NO_STATE)
        self.depth = _grown(self.depth, size, np.int32)
        self.used = _grown(self.used, size, np.int64)
        self.upper = _grown(self.upper, size, np.float64)
        self.lower = _grown(self.lower, size, np.float64)

    def _allocate_edges(self, size: int) -> None:
        self.token = _grown(self.token, size, np.int32)
        self.child = _grown(self.child, size, np.int32)
        self.logp = _grown(self.logp, size, np.float64)
        self.theta = _grown(self.theta, size, np.float64)
