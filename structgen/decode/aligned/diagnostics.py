"""How far a law is from the aligned one."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from structgen.decode.aligned.futures import ROOT, Floats, Futures, Ints
from structgen.decode.aligned.language import NO_STATE, Masked
from structgen.decode.aligned.metropolis import CUTS, Path, Proposal, log_acceptance, log_proposal
from structgen.decode.aligned.model import LanguageModel, LogitsModel, Rows
from structgen.decode.aligned.result import Sample, log_mean
from structgen.decode.aligned.space import START, Place, Space
from structgen_kernels.futures import END

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar

Text = TypeVar("Text", bound=Hashable)

_EXPLORED_AT_ONCE = 32


class Recorded:
    """A model whose rows are kept: several samplers can be compared on it while each row is worked out once."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self._rows: dict[tuple[int, ...], Any] = {}
        self._logits: dict[tuple[int, ...], Any] = {}
        if isinstance(model, LogitsModel):
            self.next_logits = partial(_kept_rows, self._logits, model.next_logits)

    def next_logprobs(self, prefixes: Sequence[Sequence[int]]) -> Rows:
        """See `LanguageModel.next_logprobs`."""
        rows: Rows = _kept_rows(self._rows, self.model.next_logprobs, prefixes)
        return rows


def _kept_rows(kept: dict[tuple[int, ...], Any], ask: Callable[..., Any], prefixes: Sequence[Sequence[int]]) -> Any:
    keys = [tuple(prefix) for prefix in prefixes]
    unseen = [key for key in dict.fromkeys(keys) if key not in kept]
    if unseen:
        kept.update(zip(unseen, ask(unseen), strict=True))
    return np.stack([kept[key] for key in keys])


def kl_divergence(law: Mapping[Text, float], target: Mapping[Text, float]) -> float:
    """KL(law ‖ target) in nats; either is made to sum to 1. Infinite where the law has what the target has not."""
    total, whole = math.fsum(law.values()), math.fsum(target.values())
    terms = []
    for text, p in law.items():
        if p > 0.0:
            q = target.get(text, 0.0)
            if q <= 0.0:
                return math.inf
            terms.append(p / total * math.log(p / total * whole / q))
    return math.fsum(terms)


def empirical_kl(samples: Iterable[Sample], log_z: float) -> float:
    """KL(the weighted law of these samples ‖ the aligned law) in nats.

    Even draws from the aligned law itself are about (texts - 1) / (2 n) away from it.
    """
    found = list(samples)
    logs = np.array([sample.log_weight for sample in found])
    weights = np.exp(logs - logs.max())
    law: dict[tuple[int, ...], float] = {}
    target = {}
    for sample, weight in zip(found, (weights / weights.sum()).tolist(), strict=True):
        law[sample.tokens] = law.get(sample.tokens, 0.0) + weight
        target[sample.tokens] = sample.logp - log_z
    return math.fsum(p * (math.log(p) - target[tokens]) for tokens, p in law.items() if p > 0.0)


def explore(space: Space, *, budget: int, gap: float = 1e-9) -> tuple[float, float]:
    """Visit prefixes, those of the greatest mass first, until log Z is known within `gap`; returns its bracket.

    What is left out has at most exp(upper) - exp(lower) of the model's mass. A negative gap visits everything. `budget`
    counts forward passes.
    """
    futures = space.futures
    order: list[tuple[float, Place]] = [(0.0, START)]
    before = space.forward_passes
    while order and space.forward_passes - before < budget:
        low, high = futures.bracket()
        if high - low <= gap:
            break
        some = [heapq.heappop(order) for _ in range(min(len(order), _EXPLORED_AT_ONCE))]
        for (mass, place), node in zip(some, space.visit([place for _, place in some]), strict=True):
            reach = -mass
            masses = reach + futures.logps(node)
            for edge in np.flatnonzero((futures.children(node) != END) & (masses > -math.inf)).tolist():
                heapq.heappush(order, (-float(masses[edge]), (node, edge)))
            assert place == START or node != ROOT
    return futures.bracket()


def count_prefixes(grammar: CompiledGrammar, *, max_tokens: int, limit: int) -> int | None:
    """How many prefixes of texts of the language there are, the empty one included; None: more than `limit`.

    They are counted by state, without a model: so many forward passes would list the language, at most.
    """
    language = Masked(grammar)
    level: dict[int, tuple[int, tuple[int, ...]]] = {NO_STATE: (1, ())}  # how many prefixes, and one of them
    total = 0
    if limit < 1:
        return None
    for depth in range(max_tokens + 1):
        total += sum(number for number, _ in level.values())
        grown = 0
        below: dict[int, tuple[int, tuple[int, ...]]] = {}
        for known, (number, prefix) in level.items():
            state, mask = language.mask(known, prefix, ends_only=depth == max_tokens)
            tokens = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()
            tokens = [token for token in tokens if token not in language.ends]
            grown += number * len(tokens)
            if total + grown > limit:
                return None
            for token in tokens:
                after = language.after(state, prefix, token)
                before = below.get(after, (0, (*prefix, token)))
                below[after] = before[0] + number, before[1]
        level = below
    return total


@dataclass(frozen=True, eq=False)
class Ends:
    """Texts of a trie: tokens with the end, log-probability under the model and under another law, float64 [n] each."""

    texts: list[tuple[int, ...]]
    logp: Floats
    log_q: Floats

    def kl(self) -> float:
        """KL(the other law ‖ the model's law) in nats, each made to sum to 1 over these texts: all must be there."""
        q = self.log_q - log_mean(self.log_q)[0] - math.log(len(self.log_q))
        p = self.logp - log_mean(self.logp)[0] - math.log(len(self.logp))
        return float((np.exp(q) * (q - p)).sum())


def ends(known: Futures, learnt: Futures | None = None) -> Ends:
    """The texts of a trie, with their law under masking, or under ASAp with the bounds of another trie.

    `known` was explored (see `explore`); `learnt` belongs to an ASAp sampler over the same model. Where that has not
    been, its theta is 1: it masks.
    """
    texts: list[tuple[int, ...]] = []
    logp: list[float] = []
    log_q: list[float] = []
    for tokens, p, q in _walk(known, learnt, ROOT, None if learnt is None else learnt.find([]), (), 0.0, 0.0):
        texts.append(tokens)
        logp.append(p)
        log_q.append(q)
    return Ends(texts, np.array(logp), np.array(log_q))


def _walk(
    known: Futures, learnt: Futures | None, node: int, twin: int | None, prefix: tuple[int, ...], p: float, q: float
) -> Iterator[tuple[tuple[int, ...], float, float]]:
    logps, tokens = known.logps(node), known.tokens(node)
    weights = logps
    below: Ints | None = None
    if learnt is not None and twin is not None:
        weights = weights + learnt.thetas(twin)
        below = learnt.children(twin)
    if not len(weights) or weights.max() == -math.inf:
        return
    top = float(weights.max())
    log_sum = top + math.log(float(np.exp(weights - top).sum()))
    children = known.children(node)
    for edge in np.flatnonzero((children == END) | (children >= 0)).tolist():
        after = int(children[edge])
        longer = (*prefix, int(tokens[edge]))
        p_after, q_after = p + float(logps[edge]), q + float(weights[edge]) - log_sum
        if after == END:
            yield longer, p_after, q_after
            continue
        behind = -1 if below is None else int(below[edge])
        yield from _walk(known, learnt, after, behind if behind >= 0 else None, longer, p_after, q_after)


def transition_matrix(space: Space, texts: Sequence[tuple[int, ...]], proposal: Proposal) -> Floats:
    """Metropolis–Hastings' transition probabilities between all texts of a language: float64 [n, n], rows from."""
    paths = [Path.along(space, tokens) for tokens in texts]
    cut: Callable[[Path], Floats] = CUTS[proposal]
    matrix: Floats = np.zeros((len(texts), len(texts)))
    for i, old in enumerate(paths):
        for j, new in enumerate(paths):
            if i != j:
                matrix[i, j] = math.exp(log_proposal(old, new, cut) + log_acceptance(old, new, cut))
        matrix[i, i] = 1.0 - matrix[i].sum()
    return matrix
