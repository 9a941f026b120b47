"""The trie of expected futures: what attempts have taught about the mass of the language below each prefix.

theta(u) bounds P(the text ends in the language, within the limit | it begins with u) from above. An unvisited prefix
has theta = 1; a visited one has the sum of P(t | u) theta(u t) over the tokens that may follow, so every visit lowers
the bounds up to the root (ASAp, "Grammar-Aligned Decoding"). Masked tokens and text cut at the length limit have no
edge: their mass is gone with the visit. Each node also keeps a lower bound, the mass of the ends already seen below it,
so that Z, the mass of the whole language, always lies in `bracket()`.

Laws: theta never falls below the truth, never rises unless nodes are forgotten, and is the truth once everything below
is visited. A trie belongs to one `key`: model, prompt, constraint, limit and sampling options together.

A node costs its allowed tokens: a value for each, and the ids of those that are allowed or of those that are not,
whichever are fewer. Child and bound are kept for edges that were looked at, and an update of the bounds costs these
(`structgen_kernels.futures` says how).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from structgen.decode.aligned.language import NO_STATE
from structgen.errors import StructgenError
from structgen_kernels import futures as kernels
from structgen_kernels.futures import END, NONE, UNSEEN

ROOT = 0
NO_NODE = -1
ID_BYTES = 4
KNOWN_BYTES = 4 + 4 + 4 + 8
NODE_BYTES = 4 + 4 + 4 + 4 + 1 + 8 * 14
DEFAULT_MAX_BYTES = 256 << 20
_KEPT_AFTER_FORGETTING = 0.75
_SUMMED_ANEW = 1.0 / 16.0
"""Below this part of what it was, the mass of unknown edges is not kept up by subtraction any more."""
_FEW = 32
"""So few edges are always summed anew: that is as fast, and exact."""

Floats = npt.NDArray[np.float64]
Values: TypeAlias = npt.NDArray[Any]  # float32 or float64
Ints = npt.NDArray[np.int32]
Kind = Literal["logits", "logprobs"]


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

    Node ids are stable until `forget`, which is called between rounds of attempts only. The edges of a node are the
    tokens that may follow, by number, in ascending order of tokens. Not safe for use by several threads at once.

    Args:
        key: what the trie is about.
        max_bytes: what `forget` brings the trie down to: nodes and edges are counted, not the slack of growing arrays.
            A round of attempts in progress holds the nodes of its own paths beside that.
        kind: what the values of edges are: float64 log-probabilities, or float32 logits before temperature.
    """

    def __init__(self, key: Key, *, max_bytes: int = DEFAULT_MAX_BYTES, kind: Kind = "logprobs") -> None:
        if max_bytes < 1:
            raise ValueError(f"max_bytes must be positive, not {max_bytes}")
        self.key = key
        self.max_bytes = max_bytes
        self.kind: Kind = kind
        self.num_nodes = 0
        self.num_edges = 0
        self.num_forgotten = 0
        self._dtype: Any = np.float32 if kind == "logits" else np.float64
        self._scale = min(1.0 / key.temperature, 1e30) if kind == "logits" else 1.0
        self._score = kernels.score_logits if kind == "logits" else kernels.score
        self._num_ids = 0
        self._num_known = 0
        self._free: list[int] = []
        self._free_known: list[int] = []
        self._clock = 0
        self._marks: npt.NDArray[np.bool_] = _none(np.bool_)
        self.parent: Ints = _none(np.int32)
        self.entry: Ints = _none(np.int32)
        self.start: npt.NDArray[np.int64] = _none(np.int64)
        self.count: npt.NDArray[np.int64] = _none(np.int64)
        self.ids_start: npt.NDArray[np.int64] = _none(np.int64)
        self.ids_count: npt.NDArray[np.int64] = _none(np.int64)
        self.is_complement: npt.NDArray[np.bool_] = _none(np.bool_)
        self.first: Ints = _none(np.int32)
        self.state: Any = _none(object)  # ints; with a memory of keys they are longer than 64 bits
        self.depth: Ints = _none(np.int32)
        self.used: npt.NDArray[np.int64] = _none(np.int64)
        self.shift: Floats = _none(np.float64)
        self.mass: Floats = _none(np.float64)
        self.top: Floats = _none(np.float64)
        self.rest: Floats = _none(np.float64)
        self.base: Floats = _none(np.float64)
        self.upper: Floats = _none(np.float64)
        self.lower: Floats = _none(np.float64)
        self.ids: Ints = _none(np.int32)
        self.values: Values = _none(self._dtype)
        self.known_edge: Ints = _none(np.int32)
        self.known_child: Ints = _none(np.int32)
        self.known_next: Ints = _none(np.int32)
        self.known_theta: Floats = _none(np.float64)
        self._allocate_nodes(64)
        self._allocate_known(128)
        self.ids = _grown(self.ids, 1024, np.int32)
        self.values = _grown(self.values, 1024, self._dtype)

    # ---- growing -----------------------------------------------------------------------------------------------

    def add(
        self,
        parent: int,
        edge: int,
        state: int,
        tokens: Ints,
        values: Values,
        ends: Sequence[int],
        *,
        width: int,
        shift: float = 0.0,
        mass: tuple[float, float] | None = None,
    ) -> int:
        """The node behind `edge` of `parent`; the root for parent `NO_NODE`.

        All other mass than that of the tokens is gone, and the bounds of its ancestors with it.

        Args:
            parent, edge: the place.
            state: of the grammar there.
            tokens: int32 [n] ascending, what may follow.
            values: [n], log-probabilities or logits, as `kind` says.
            ends: the edges that end the text.
            width: how many tokens the model's row has; `tokens` are below it.
            shift: of logits, see `structgen_kernels.futures`.
            mass: the largest log-probability of the tokens, and the sum of their probabilities relative to it, where
                they are known.
        """
        node = self.load_node(parent, edge, tokens, values, ends, width=width, shift=shift, mass=mass)
        self.state[node] = state
        self.refresh(node)
        return node

    def load_node(
        self,
        parent: int,
        edge: int,
        tokens: Ints,
        values: Values,
        ends: Sequence[int],
        *,
        width: int,
        shift: float = 0.0,
        mass: tuple[float, float] | None = None,
    ) -> int:
        """Like `add`, without a state, and with bounds that are not yet right: `refresh` makes them so."""
        node = self._free.pop() if self._free else self._new_node()
        n = len(tokens)
        is_complement = 2 * n > width
        ids = others(tokens, width) if is_complement else tokens
        first, first_id = self.num_edges, self._num_ids
        self.num_edges, self._num_ids = first + n, first_id + len(ids)
        if self.num_edges > len(self.values):
            self.values = _grown(self.values, max(self.num_edges, 2 * len(self.values)), self._dtype)
        if self._num_ids > len(self.ids):
            self.ids = _grown(self.ids, max(self._num_ids, 2 * len(self.ids)), np.int32)
        self.values[first : self.num_edges] = values
        self.ids[first_id : self._num_ids] = ids
        self.parent[node] = parent
        self.entry[node] = NONE
        self.start[node], self.count[node] = first, n
        self.ids_start[node], self.ids_count[node], self.is_complement[node] = first_id, len(ids), is_complement
        self.first[node] = NONE
        self.state[node] = NO_STATE
        self.depth[node] = 0 if parent == NO_NODE else self.depth[parent] + 1
        self.used[node] = self._clock
        self.shift[node] = shift
        self.upper[node] = 0.0
        self.lower[node] = -math.inf
        if mass is None or math.isnan(mass[1]):
            self._remain(node)
        else:
            self.top[node], self.rest[node] = mass
            self.base[node] = mass[1]
        self.mass[node] = self._remaining(node)
        for each in ends:
            self._know(node, each, END, 0.0)
        if parent != NO_NODE:
            self.entry[node] = self._know(parent, edge, node, 0.0)
        return node

    def bound(self, node: int, edge: int, theta: float) -> None:
        """Note what was learnt of an edge whose node is not kept: log of an upper bound."""
        self._know(node, edge, UNSEEN, theta)

    def _know(self, node: int, edge: int, child: int, theta: float) -> int:
        """Puts an edge on its node's list, or finds it there; returns where."""
        k = int(kernels.find(node, edge, self.first, self.known_edge, self.known_next))
        if k == NONE:
            k = self._free_known.pop() if self._free_known else self._new_known()
            self.known_edge[k] = edge
            self.known_next[k] = self.first[node]
            self.first[node] = k
            self.rest[node] -= math.exp(min(self.logp_at(node, edge) - float(self.top[node]), 0.0))
            if self.count[node] <= _FEW or not self.rest[node] >= _SUMMED_ANEW * self.base[node]:
                self._remain(node)
        self.known_child[k] = child
        self.known_theta[k] = theta
        return k

    def refresh(self, node: int, *, may_rise: bool = False) -> None:
        """Recompute a node's bounds and its ancestors'."""
        kernels.refresh(
            node,
            may_rise,
            self.parent,
            self.entry,
            self.start,
            self.values,
            self._scale,
            self.shift,
            self.first,
            self.known_edge,
            self.known_child,
            self.known_next,
            self.known_theta,
            self.top,
            self.rest,
            self.upper,
            self.lower,
        )

    def touch(self, node: int) -> None:
        """Mark a node as used in this round."""
        self.used[node] = self._clock

    def _remain(self, node: int) -> None:
        """Sum the edges of which nothing is known."""
        if len(self._marks) < self.count[node]:
            self._marks = np.zeros(max(int(self.count[node]), 2 * len(self._marks)), np.bool_)
        kernels.remain(
            node,
            self.start,
            self.count,
            self.values,
            self._scale,
            self.shift,
            self.first,
            self.known_edge,
            self.known_next,
            self.top,
            self.rest,
            self.base,
            self._marks,
        )

    def _remaining(self, node: int) -> float:
        """Log-mass of the edges of which nothing is known."""
        rest = float(self.rest[node])
        return float(self.top[node]) + math.log(rest) if rest > 0.0 else -math.inf

    # ---- reading -----------------------------------------------------------------------------------------------

    def weights(self, node: int, out: Floats, *, use_theta: bool) -> float:
        """Weights of a node's edges into out [at least its edges], the largest being 1; returns the log of their sum.

        With `use_theta` the weight of t is P(t | u) theta(u t), else P(t | u): the mass of the mask.
        """
        return float(
            self._score(
                node,
                use_theta,
                self.start,
                self.count,
                self.values,
                self._scale,
                self.shift,
                self.first,
                self.known_edge,
                self.known_next,
                self.known_theta,
                out,
            )
        )

    def logps(self, node: int) -> Floats:
        """Log-probabilities of a node's edges: float64 [n]."""
        first = int(self.start[node])
        values = self.values[first : first + int(self.count[node])].astype(np.float64)
        logps: Floats = values * self._scale + self.shift[node]
        return logps

    def tokens(self, node: int) -> Ints:
        """The tokens of a node's edges: int32 [n], ascending."""
        ids = self._ids_of(node)
        return others(ids, len(ids) + int(self.count[node])) if self.is_complement[node] else ids

    def children(self, node: int) -> Ints:
        """What is behind a node's edges: int32 [n], a node, UNSEEN or END."""
        out: Ints = np.full(int(self.count[node]), UNSEEN, np.int32)
        for k in self._list(node):
            out[self.known_edge[k]] = self.known_child[k]
        return out

    def thetas(self, node: int) -> Floats:
        """Logs of the upper bounds of a node's edges: float64 [n]."""
        out = np.zeros(int(self.count[node]))
        for k in self._list(node):
            out[self.known_edge[k]] = self.known_theta[k]
        return out

    def known(self, node: int) -> list[tuple[int, float, int]]:
        """(edge, log of its upper bound, child) of the edges of which something is known."""
        return [
            (int(self.known_edge[k]), float(self.known_theta[k]), int(self.known_child[k])) for k in self._list(node)
        ]

    def logp_at(self, node: int, edge: int) -> float:
        """The log-probability of one edge."""
        return float(self.values[self.start[node] + edge]) * self._scale + float(self.shift[node])

    def child_at(self, node: int, edge: int) -> int:
        """What is behind one edge: a node, UNSEEN or END."""
        k = kernels.find(node, edge, self.first, self.known_edge, self.known_next)
        return UNSEEN if k == NONE else int(self.known_child[k])

    def theta_at(self, node: int, edge: int) -> float:
        """Log of the upper bound of one edge."""
        k = kernels.find(node, edge, self.first, self.known_edge, self.known_next)
        return 0.0 if k == NONE else float(self.known_theta[k])

    def token_at(self, node: int, edge: int) -> int:
        """The token of one edge."""
        ids = self._ids_of(node)
        if not self.is_complement[node]:
            return int(ids[edge])
        low, high = 0, len(ids)  # how many of the ids lie below the token: those with ids[j] - j <= edge
        while low < high:
            middle = (low + high) // 2
            if ids[middle] - middle <= edge:
                low = middle + 1
            else:
                high = middle
        return edge + low

    def edge_of(self, node: int, token: int) -> int | None:
        """The number of a token among a node's edges, None if it may not follow."""
        ids = self._ids_of(node)
        at = int(np.searchsorted(ids, token))
        is_there = at < len(ids) and int(ids[at]) == token
        if not self.is_complement[node]:
            return at if is_there else None
        return token - at if not is_there and 0 <= token - at < self.count[node] else None

    def bracket(self) -> tuple[float, float]:
        """Bounds on log Z, certain ones: (lower, upper) in nats. (-inf, 0) before the first visit."""
        if self.num_nodes == 0:
            return -math.inf, 0.0
        return float(self.lower[ROOT]), float(self.upper[ROOT])

    def is_complete(self) -> bool:
        """Whether every prefix of the language is visited and kept."""
        if self.num_nodes == 0:
            return False
        return not any((self.children(node) == UNSEEN).any() for node in self.live().tolist())

    def live(self) -> npt.NDArray[np.int64]:
        """The nodes that are kept, ascending."""
        kept = np.ones(self.num_nodes, bool)
        kept[self._free] = False
        return np.flatnonzero(kept)

    def find(self, tokens: Sequence[int]) -> int | None:
        """The node of a prefix, if it was visited and is still kept."""
        if self.num_nodes == 0:
            return None
        node = ROOT
        for token in tokens:
            edge = self.edge_of(node, token)
            if edge is None:
                return None
            node = self.child_at(node, edge)
            if node < 0:
                return None
        return node

    def parent_edge(self, node: int) -> int:
        """The edge of its parent that a node other than the root is behind."""
        return int(self.known_edge[self.entry[node]])

    def tokens_of(self, node: int) -> list[int]:
        """The prefix of a node."""
        tokens: list[int] = []
        while node != ROOT:
            above = int(self.parent[node])
            tokens.append(self.token_at(above, self.parent_edge(node)))
            node = above
        return tokens[::-1]

    def num_bytes(self) -> int:
        """Bytes of nodes and edges in use."""
        num_nodes, num_known = self.num_nodes - len(self._free), self._num_known - len(self._free_known)
        values = self.num_edges * self.values.itemsize
        return num_nodes * NODE_BYTES + values + self._num_ids * ID_BYTES + num_known * KNOWN_BYTES

    def _ids_of(self, node: int) -> Ints:
        first = int(self.ids_start[node])
        return self.ids[first : first + int(self.ids_count[node])]

    def _list(self, node: int) -> list[int]:
        """Where the edges are of which something is known."""
        found = []
        k = int(self.first[node])
        while k != NONE:
            found.append(k)
            k = int(self.known_next[k])
        return found

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
        live = self.live()
        nodes = live[live != ROOT]
        # A path is touched as a whole, so no node was used before one below it: children go before their parents.
        order = nodes[np.lexsort((-self.depth[nodes], self.used[nodes]))]
        sizes = NODE_BYTES + self.values.itemsize * self.count[order] + ID_BYTES * self.ids_count[order]
        excess = self.num_bytes() - max_bytes
        victims: list[int] = []
        above: set[int] = set()
        for node, size in zip(order.tolist(), sizes.tolist(), strict=True):
            if excess <= 0:
                break
            known = self._list(node)
            excess -= size + KNOWN_BYTES * len(known)
            self._free_known.extend(known)
            k, parent = int(self.entry[node]), int(self.parent[node])
            self.known_child[k] = UNSEEN
            self.known_theta[k] = min(float(self.mass[node]), 0.0)
            above.add(parent)
            victims.append(node)
        gone = set(victims)
        self._free.extend(victims)
        self.num_forgotten += len(victims)
        kept = live[~np.isin(live, victims)]
        for start, count, pool in (
            (self.start, self.count, self.values),
            (self.ids_start, self.ids_count, self.ids),
        ):
            in_use = int(
                kernels.pack(kept[np.argsort(start[kept], kind="stable")].astype(np.int32), start, count, pool)
            )
            if pool is self.ids:
                self._num_ids = in_use
            else:
                self.num_edges = in_use
        for node in sorted(above - gone, key=lambda each: -int(self.depth[each])):
            self.refresh(node, may_rise=True)

    # ---- memory ------------------------------------------------------------------------------------------------

    def _new_node(self) -> int:
        node = self.num_nodes
        if node == len(self.parent):
            self._allocate_nodes(2 * node)
        self.num_nodes = node + 1
        return node

    def _new_known(self) -> int:
        k = self._num_known
        if k == len(self.known_edge):
            self._allocate_known(2 * k)
        self._num_known = k + 1
        return k

    def _allocate_nodes(self, size: int) -> None:
        _check_size(size)
        for name in ("parent", "entry", "first", "depth"):
            setattr(self, name, _grown(getattr(self, name), size, np.int32))
        for name in ("start", "count", "ids_start", "ids_count", "used"):
            setattr(self, name, _grown(getattr(self, name), size, np.int64))
        for name in ("shift", "mass", "top", "rest", "base", "upper", "lower"):
            setattr(self, name, _grown(getattr(self, name), size, np.float64))
        self.is_complement = _grown(self.is_complement, size, np.bool_)
        self.state = _grown(self.state, size, object, NO_STATE)

    def _allocate_known(self, size: int) -> None:
        _check_size(size)
        for name in ("known_edge", "known_child", "known_next"):
            setattr(self, name, _grown(getattr(self, name), size, np.int32))
        self.known_theta = _grown(self.known_theta, size, np.float64)


def _check_size(size: int) -> None:
    if size >= 1 << 31:
        raise StructgenError("a trie of futures holds at most 2**31 nodes", advice="lower max_bytes")


def others(tokens: Ints, width: int) -> Ints:
    """The tokens below `width` that are not in `tokens`, ascending."""
    out = np.ones(width, np.bool_)
    out[tokens] = False
    return np.flatnonzero(out).astype(np.int32)
