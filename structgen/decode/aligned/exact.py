"""Exact: the aligned law worked out, for languages that are small under their limit."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from structgen.decode.aligned.futures import Floats
from structgen.decode.aligned.language import NO_STATE, Masked
from structgen.decode.aligned.model import LanguageModel, Shape
from structgen.decode.aligned.result import LogZ, Sample, Samples
from structgen.decode.aligned.source import Random, Source
from structgen.errors import BudgetExceeded
from structgen_kernels import futures as kernels

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar

_CHUNK = 64  # prefixes in one call into the model
_ENDED = -1


@dataclass(eq=False)
class _Node:
    """Prefixes that are alike: same length, same state, same context. `next` is an index of the next level."""

    tokens: npt.NDArray[np.int32]
    logp: Floats
    next: npt.NDArray[np.int64]
    log_mass: float = -math.inf
    """Of the language below; known once the level after this one is."""


class Exact:
    """Enumeration or dynamic programming: every prefix of the language within the limit is visited, once.

    Prefixes of equal length, equal state of the grammar and equal `context` of the model (see `ContextModel`) are one
    node; for a model without contexts that is enumeration, for a Markov model it is small at any length.

    Guarantees: samples are independent draws from the aligned law, `log_z` is exact. It is exact or refused: what
    needs more than `max_nodes` nodes, `max_edges` edges or the budget raises `BudgetExceeded`.

    Cost: one forward pass a node, paid by the first call; samples are free afterwards.

    Source: textbook (backward sums, forward draws).

    Args:
        model, grammar, max_tokens, temperature, top_k, top_p, seed, source: see `Sampler`.
        max_nodes, max_edges: what may be visited.
    """

    def __init__(
        self,
        model: LanguageModel,
        grammar: CompiledGrammar,
        *,
        max_tokens: int,
        max_nodes: int = 1 << 18,
        max_edges: int = 1 << 24,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        source: Source | None = None,
    ) -> None:
        if max_tokens < 0:
            raise ValueError(f"max_tokens must not be negative, not {max_tokens}")
        self.model = model
        self.grammar = grammar
        self.max_tokens = max_tokens
        self.max_nodes = max_nodes
        self.max_edges = max_edges
        self.shape = Shape(temperature=temperature, top_k=top_k, top_p=top_p)
        self.source: Source = source if source is not None else Random(seed)
        self.forward_passes = self.forward_calls = 0
        self._levels: list[list[_Node]] = []

    def solve(self, *, budget: int | None = None) -> float:
        """log Z, exactly. Raises `BudgetExceeded` where a limit is passed; nothing is kept then."""
        if not self._levels:
            levels = self._expand(math.inf if budget is None else budget)
            for depth in range(len(levels) - 1, -1, -1):
                below = np.array([node.log_mass for node in levels[depth + 1]] if depth + 1 < len(levels) else [0.0])
                for node in levels[depth]:
                    node.log_mass = _log_sum(node.logp + np.where(node.next == _ENDED, 0.0, below[node.next]))
            self._levels = levels
        return self._levels[0][0].log_mass

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """Draws n texts; the first call visits the language, within `budget` forward passes or not at all."""
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        passes, calls = self.forward_passes, self.forward_calls
        log_z = self.solve(budget=budget)
        spent = self.forward_passes - passes
        found = [self._draw(spent if i == 0 else 0) for i in range(n)] if log_z > -math.inf else []
        return Samples(
            items=tuple(found),
            status="complete" if found else "empty",
            log_z=LogZ(log_z, 0.0, log_z, log_z),
            attempts=len(found),
            forward_passes=spent,
            forward_calls=self.forward_calls - calls,
        )

    def texts(self) -> Iterator[tuple[tuple[int, ...], float]]:
        """Every text of the language with its end-of-text token, and its log-probability under the model."""
        self.solve()
        yield from self._below(0, 0, (), 0.0)

    def num_texts(self) -> int:
        """How many texts `texts` gives."""
        self.solve()
        counts = [0]
        for level in reversed(self._levels):
            counts = [
                sum(
                    1 if after == _ENDED else counts[after]
                    for after, logp in zip(node.next.tolist(), node.logp.tolist(), strict=True)
                    if logp > -math.inf
                )
                for node in level
            ]
        return counts[0]

    def _below(
        self, depth: int, index: int, prefix: tuple[int, ...], logp: float
    ) -> Iterator[tuple[tuple[int, ...], float]]:
        node = self._levels[depth][index]
        for token, step, after in zip(node.tokens.tolist(), node.logp.tolist(), node.next.tolist(), strict=True):
            if after == _ENDED:
                yield (*prefix, token), logp + step
            else:
                yield from self._below(depth + 1, after, (*prefix, token), logp + step)

    def _draw(self, forward_passes: int) -> Sample:
        tokens: list[int] = []
        logp, index, depth = 0.0, 0, 0
        while index != _ENDED:
            node = self._levels[depth][index]
            weights = np.exp(node.logp + self._masses(depth + 1, node.next) - node.log_mass)
            edge = self.source.pick(weights)
            tokens.append(int(node.tokens[edge]))
            logp += float(node.logp[edge])
            index = int(node.next[edge])
            depth += 1
        return Sample(tuple(tokens), logp, 0.0, 1, forward_passes)

    def _masses(self, depth: int, indices: npt.NDArray[np.int64]) -> Floats:
        """Log-mass behind edges: 0 for ends."""
        return np.array([0.0 if index == _ENDED else self._levels[depth][index].log_mass for index in indices.tolist()])

    # ---- visiting ----------------------------------------------------------------------------------------------

    def _expand(self, budget: float) -> list[list[_Node]]:
        """All levels; the prefix of a node stands for all that are alike."""
        language = Masked(self.grammar)
        context: Callable[[Sequence[int]], Hashable] = getattr(self.model, "context", tuple)
        frontier: list[tuple[int, tuple[int, ...]]] = [(NO_STATE, ())]
        levels: list[list[_Node]] = []
        spent = num_nodes = num_edges = 0
        for depth in range(self.max_tokens + 1):
            if not frontier:
                break
            level: list[_Node] = []
            known: dict[tuple[int, Hashable], int] = {}
            following: list[tuple[int, tuple[int, ...]]] = []
            num_nodes += len(frontier)
            if num_nodes > self.max_nodes:
                raise self._too_big(f"{self.max_nodes} prefixes")
            for at in range(0, len(frontier), _CHUNK):
                some = frontier[at : at + _CHUNK]
                masks = [language.mask(state, prefix, ends_only=depth == self.max_tokens) for state, prefix in some]
                asked = [i for i, (_, mask) in enumerate(masks) if mask.any()]
                spent += len(asked)
                if spent > budget:
                    raise self._too_big(f"a budget of {budget} forward passes")
                rows = self._rows([some[i][1] for i in asked])
                nodes = [_Node(np.zeros(0, np.int32), np.zeros(0), np.zeros(0, np.int64)) for _ in some]
                for i, row in zip(asked, rows, strict=True):
                    nodes[i] = self._node(language, masks[i], some[i][1], row, known, following, context)
                    num_edges += len(nodes[i].tokens)
                if num_edges > self.max_edges:
                    raise self._too_big(f"{self.max_edges} edges")
                level += nodes
            levels.append(level)
            frontier = following
        return levels

    def _node(
        self,
        language: Masked,
        place: tuple[int, npt.NDArray[np.uint32]],
        prefix: tuple[int, ...],
        row: Floats,
        known: dict[tuple[int, Hashable], int],
        following: list[tuple[int, tuple[int, ...]]],
        context: Callable[[Sequence[int]], Hashable],
    ) -> _Node:
        """The node of a prefix; what follows it is numbered in `known` and put on `following`."""
        state, mask = place
        tokens, logp = np.zeros(len(row), np.int32), np.zeros(len(row))
        n = int(kernels.allowed(np.ascontiguousarray(row), mask, tokens, logp))
        next_ = np.full(n, _ENDED, np.int64)
        for k, token in enumerate(tokens[:n].tolist()):
            if token in language.ends:
                continue
            longer = (*prefix, token)
            after = language.after(state, prefix, token)
            key = (after, context(longer))
            if key not in known:
                known[key] = len(following)
                following.append((after, longer))
            next_[k] = known[key]
        return _Node(tokens[:n].copy(), logp[:n].copy(), next_)

    def _rows(self, prefixes: Sequence[tuple[int, ...]]) -> Floats:
        if not prefixes:
            return np.zeros((0, 0))
        self.forward_passes += len(prefixes)
        self.forward_calls += 1
        return self.shape.apply(self.model.next_logprobs(prefixes))

    def _too_big(self, limit: str) -> BudgetExceeded:
        return BudgetExceeded(
            f"the language within {self.max_tokens} tokens takes more than {limit} to work out",
            advice="raise the limit, lower max_tokens, or use CARS, which is exact without visiting all",
        )


def _log_sum(logs: Floats) -> float:
    top = logs.max(initial=-math.inf)
    return float(top + np.log(np.exp(logs - top).sum())) if top > -math.inf else -math.inf
