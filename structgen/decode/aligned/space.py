"""The space that samplers walk: a model, a language and what was learnt of both, prefix by prefix.

Owns visits: the one call into the model for a batch of prefixes, the masks, the length limit, and the count of forward
passes. A prefix that is in the trie costs nothing to visit again, whoever visited it first.
"""

from __future__ import annotations

import uuid
import weakref
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from structgen.decode.aligned.futures import DEFAULT_MAX_BYTES, NO_NODE, ROOT, Floats, Futures, Key, Kind, Values
from structgen.decode.aligned.language import NO_STATE, Masked
from structgen.decode.aligned.model import LanguageModel, LogitsModel, Shape, broken_row
from structgen.decode.aligned.source import Source
from structgen.errors import SpeculationError
from structgen_kernels import futures as kernels
from structgen_kernels.futures import END, UNSEEN

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.decode.aligned.ahead import Ahead
    from structgen.decode.speculation.entry import Speculate

Place = tuple[int, int]
"""(node, number of an edge): the prefix behind that edge. (NO_NODE, 0) is the empty prefix."""

START: Place = (NO_NODE, 0)


class Space:
    """The prefixes of a language under a model, visited as far as anyone has gone.

    Args:
        model: what the next token is drawn from.
        grammar: the language.
        max_tokens: the longest text, its end-of-text token not counted.
        shape: temperature, top-k and top-p, applied before anything is recorded.
        futures: a trie with the same key to go on from; None: a new one, of `max_bytes`.
        constraint: a name for the grammar that outlives this process; None: the object's identity.
        speculate: what `ahead` drafts with; None: nothing is drafted.
        learn_drafts: whether drafted prefixes go to the trie at once, and not when a text comes to them.
        seed: of drafters that draw.
    """

    def __init__(
        self,
        model: LanguageModel,
        grammar: CompiledGrammar,
        *,
        max_tokens: int,
        shape: Shape | None = None,
        futures: Futures | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        constraint: str | None = None,
        speculate: Speculate = None,
        learn_drafts: bool = False,
        seed: int | None = None,
    ) -> None:
        if max_tokens < 0:
            raise ValueError(f"max_tokens must not be negative, not {max_tokens}")
        self.model = model
        self.grammar = grammar
        self.max_tokens = max_tokens
        self.shape = shape or Shape()
        self.language = Masked(grammar)
        key = key_of(model, grammar, max_tokens, self.shape, constraint)
        kind = kind_of(model)
        if futures is None:
            futures = Futures(key, max_bytes=max_bytes, kind=kind)
        elif futures.key != key:
            raise ValueError(f"these futures are about {futures.key}, not {key}")
        elif futures.kind != kind:
            raise ValueError(f"these futures hold {futures.kind}, and the model gives {kind}")
        self.futures = futures
        self.forward_passes = 0
        """Prefixes that texts were the first to come to. A batch of n counts n; drafted ones count when reached."""
        self.forward_calls = 0
        """Calls into the model; one may ask about many prefixes."""
        self.asked: set[Place] = set()
        """The places that the last visit was the first to come to."""
        size = grammar.vocab.vocab_size
        self._tokens = np.zeros(size, np.int32)
        self._values: Values = np.zeros(size, np.float32 if kind == "logits" else np.float64)
        self._found: Floats = np.zeros(3)
        self._ends = np.array(sorted(self.language.ends), np.int32)
        self.scratch: Floats = np.zeros(size)
        self._ahead: Ahead | None = None
        self._learn_drafts = learn_drafts
        self._unreached: set[int] = set()
        self._num_forgotten = 0
        if speculate is not None:
            self._ahead = _make_ahead(self, speculate, learn_drafts, seed)

    @property
    def num_drafted(self) -> int:
        """Prefixes that the model read beside those asked for, for speculation."""
        return 0 if self._ahead is None else self._ahead.num_drafted

    # ---- visiting ----------------------------------------------------------------------------------------------

    def node(self, place: Place) -> int:
        """The node at a place, or UNSEEN; END where the edge ends the text."""
        parent, edge = place
        if parent == NO_NODE:
            return ROOT if self.futures.num_nodes else UNSEEN
        return self.futures.child_at(parent, edge)

    def visit(self, places: Sequence[Place]) -> list[int]:
        """The nodes at places that are no ends; those not seen before are asked of the model, in one call."""
        unseen = [place for place in dict.fromkeys(places) if self.node(place) == UNSEEN]
        asked, prefixes = [], []
        self.asked = set()
        if self._unreached:
            self._reach(places)
        for place in unseen:
            prefix = self.prefix(place)
            state = self._state(place, prefix)
            state, mask = self.language.mask(state, prefix, ends_only=len(prefix) >= self.max_tokens)
            if mask.any():
                asked.append((place, state, mask))
                prefixes.append(prefix)
            else:  # nothing may follow: the model need not be asked
                self.futures.add(*place, state, self._tokens[:0], self._values[:0], (), width=0)
        if prefixes:
            rows = self._rows(prefixes)
            self._check(rows.shape, len(prefixes))
            self.forward_passes += len(prefixes)
            for (place, state, mask), row in zip(asked, rows, strict=True):
                self.asked.add(place)
                self._add(place, state, mask, row)
            if self._learn_drafts:
                self._learn()
        nodes = [self.node(place) for place in places]
        for node in nodes:
            self.futures.touch(node)
        return nodes

    def draw(self, node: int, source: Source) -> int:
        """The number of an edge of a node, drawn by the weights in `scratch` (see `Futures.weights`)."""
        weights = self.scratch[: int(self.futures.count[node])]
        if self._ahead is not None and self._ahead.draws:
            offered = self._ahead.offered(tuple(self.futures.tokens_of(node)))
            if offered is not None:
                return self._ahead.choose(offered, self.futures.tokens(node), weights, source)
        return source.pick(weights)

    def settle(self) -> None:
        """The texts under way have ended."""
        if self._ahead is not None:
            self._ahead.settle()

    def prefix(self, place: Place) -> list[int]:
        """The tokens of a place."""
        parent, edge = place
        if parent == NO_NODE:
            return []
        return [*self.futures.tokens_of(parent), self.futures.token_at(parent, edge)]

    def walk(self, tokens: Sequence[int]) -> list[int]:
        """The nodes of every prefix of `tokens`, visited as needed; it ends early where a token may not follow.

        An end-of-text token at the end of `tokens` has no node of its own.
        """
        nodes = self.visit([START])
        for token in tokens:
            edge = self.futures.edge_of(nodes[-1], token)
            if edge is None or self.node((nodes[-1], edge)) == END:
                break
            nodes += self.visit([(nodes[-1], edge)])
        return nodes

    def logp(self, tokens: Sequence[int]) -> float:
        """The log-probability of a text with its end-of-text token; -inf if it is not in the language."""
        nodes = self.walk(tokens)
        if not tokens or len(nodes) != len(tokens) or tokens[-1] not in self.language.ends:
            return -np.inf
        total = 0.0
        for node, token in zip(nodes, tokens, strict=True):
            edge = self.futures.edge_of(node, token)
            if edge is None:
                return -np.inf
            total += self.futures.logp_at(node, edge)
        return total

    def ask(self, prefixes: Sequence[Sequence[int]]) -> Values:
        """What the model says after prefixes, as it says it: logits or log-probabilities, [n, V]."""
        if isinstance(self.model, LogitsModel):
            return np.ascontiguousarray(self.model.next_logits(prefixes), np.float32)
        return np.ascontiguousarray(self.model.next_logprobs(prefixes), np.float64)

    def _rows(self, prefixes: Sequence[Sequence[int]]) -> Values:
        """`ask`, or what was asked ahead."""
        if self._ahead is None:
            self.forward_calls += 1
            return self.ask(prefixes)
        calls = self._ahead.forward_calls
        rows: Values = self._ahead.rows([tuple(prefix) for prefix in prefixes])
        self.forward_calls += self._ahead.forward_calls - calls
        return rows

    def _add(self, place: Place, state: int, mask: npt.NDArray[np.uint32], row: Values) -> int:
        """The node of a place, from what the model said: tempered and cut, then masked."""
        shift, mass = 0.0, None
        if self.futures.kind == "logits":
            shape = self.shape
            n = int(
                kernels.gather(
                    row.ctypes.data,
                    len(row),
                    mask,
                    shape.temperature,
                    shape.top_k or 0,
                    1.0 if shape.top_p is None else shape.top_p,
                    self._tokens,
                    self._values,
                    self._found,
                )
            )
            if n == kernels.BROKEN_ROW:
                raise broken_row()
            shift, top, rest = self._found.tolist()
            mass = (top, rest)
        else:
            shaped = self.shape.apply(row[None])[0]
            n = int(kernels.allowed(np.ascontiguousarray(shaped), mask, self._tokens, self._values))
        tokens = self._tokens[:n]
        at = np.searchsorted(tokens, self._ends)
        ends = [int(i) for i, end in zip(at, self._ends, strict=True) if i < n and tokens[i] == end]
        return self.futures.add(*place, state, tokens, self._values[:n], ends, width=len(row), shift=shift, mass=mass)

    def _learn(self) -> None:
        """Puts the drafted prefixes of the last call into the trie."""
        assert self._ahead is not None
        for prefix, row in self._ahead.fresh:
            parent = self.futures.find(prefix[:-1])
            edge = None if parent is None else self.futures.edge_of(parent, prefix[-1])
            if parent is None or edge is None or self.node((parent, edge)) != UNSEEN:
                continue
            place = (parent, edge)
            state = self._state(place, list(prefix))
            state, mask = self.language.mask(state, prefix, ends_only=len(prefix) >= self.max_tokens)
            self._unreached.add(self._add(place, state, mask, row))

    def _reach(self, places: Sequence[Place]) -> None:
        """Texts come to places of which some were learnt from drafts."""
        assert self._ahead is not None
        if self._num_forgotten != self.futures.num_forgotten:  # nodes may be others by now
            self._num_forgotten = self.futures.num_forgotten
            self._unreached.clear()
        for place in places:
            node = self.node(place)
            if node in self._unreached:
                self._unreached.discard(node)
                self._ahead.reached(tuple(self.prefix(place)))
                self._ahead.num_used += 1
                self.forward_passes += 1
                self.asked.add(place)

    def _state(self, place: Place, prefix: list[int]) -> int:
        parent, _ = place
        if parent == NO_NODE:
            return NO_STATE
        return self.language.after(int(self.futures.state[parent]), prefix[:-1], prefix[-1])

    def _check(self, shape: tuple[int, ...], num_prefixes: int) -> None:
        size = self.grammar.vocab.vocab_size
        if len(shape) != 2 or shape[0] != num_prefixes or shape[1] > size:
            raise ValueError(f"the model gave rows of shape {shape} for {num_prefixes} prefixes and {size} tokens")


def _make_ahead(space: Space, speculate: Speculate, learn_drafts: bool, seed: int | None) -> Ahead:
    from structgen.decode.aligned.ahead import Ahead

    ahead = Ahead(
        space.model,
        space.grammar,
        max_tokens=space.max_tokens,
        ends=space.language.ends,
        shape=space.shape,
        speculate=speculate,
        seed=seed,
        ask=space.ask,
    )
    if learn_drafts and ahead.draws:
        # What is drafted would move the weights that a drafted token is tested against: no rule is exact then.
        raise SpeculationError(
            f"{type(ahead.plan.drafter).__name__} draws its nodes, and a trie that learns from them is not exact",
            advice="leave out learn_drafts, or use a deterministic drafter",
        )
    return ahead


def key_of(
    model: LanguageModel, grammar: CompiledGrammar, max_tokens: int, shape: Shape, constraint: str | None = None
) -> Key:
    """The key of what is learnt about a model (with its prompt), a grammar, a limit and sampling options.

    `constraint` names the grammar for good. A model without a `fingerprint`, and a grammar without a name, are known by
    their identity: what is learnt about them is found again by the same objects of this process, and by nothing else.
    """
    fingerprint: str | None = getattr(model, "fingerprint", None)
    name = constraint if constraint is not None else _identity(grammar)
    return Key(
        model=fingerprint if fingerprint is not None else _identity(model),
        constraint=f"{name} over {grammar.vocab.fingerprint}",
        max_tokens=max_tokens,
        temperature=shape.temperature,
        top_k=shape.top_k,
        top_p=shape.top_p,
    )


def kind_of(model: LanguageModel) -> Kind:
    """What the trie of a model records."""
    return "logits" if isinstance(model, LogitsModel) else "logprobs"


_process = uuid.uuid4().hex
_identities: dict[int, tuple[Any, int]] = {}
_numbers = count()


def _identity(thing: object) -> str:
    """A name for an object that no other object ever has, in this process or another."""
    known = _identities.get(id(thing))
    if known is not None and known[0]() is thing:
        return f"object {known[1]} of {_process}"
    number = next(_numbers)
    key = id(thing)
    with suppress(TypeError):  # what cannot be referred to weakly gets a new name each time: nothing is shared
        _identities[key] = (weakref.ref(thing, lambda _: _identities.pop(key, None)), number)
    return f"object {number} of {_process}"
