"""AWRS: for constraints that can only be asked, token by token."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from structgen.decode.aligned import particles as populations
from structgen.decode.aligned.futures import Floats
from structgen.decode.aligned.language import GrammarPredicate, Predicate
from structgen.decode.aligned.model import LanguageModel, Rows, Shape
from structgen.decode.aligned.particles import Particle, samples_of
from structgen.decode.aligned.result import LogZ, Sample, Samples
from structgen.decode.aligned.smc import check_options
from structgen.decode.aligned.source import Random, Source

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.decode.aligned.ahead import Ahead
    from structgen.decode.speculation.entry import Speculate

KEPT_ROW_BYTES = 64 << 20


class AWRS:
    """Adaptive weighted rejection sampling: tokens are drawn from the model and a black box is asked about each, those
    it rejects being put aside, until it has taken one; what it took to find two tells, without bias, the mass of all
    that it would take.

    Guarantees: each run's estimate of Z is unbiased and its particles are properly weighted, as `SMC`'s are, though no
    mask is ever computed. With `correct`, texts are kept with the probability of their weight (it is at most 1), and
    samples are independent draws from the aligned law, at `Rejection`'s rate.

    Cost: one forward pass a token and particle, and about two rejected tokens' worth of questions each; where next
    to nothing is allowed, up to the whole vocabulary. Answers are remembered within a step, not beyond.

    Source: "Fast Controlled Generation from Language Models with Adaptive Weighted Rejection Sampling". The estimate
    is the Rao–Blackwell form of "was the first draw allowed", given which tokens were rejected in which order:
    1 / sum over i of 1 / (1 - r_i), r_i being the mass of the first i of them.

    Args:
        model: a `LanguageModel`, with its prompt.
        constraint: a `Predicate` (`TextPredicate` asks about text), or a `CompiledGrammar`, asked token by token.
        max_tokens: the longest text; its end-of-text token is not counted.
        eos_token_ids: which tokens end a text; None: the grammar's.
        correct: see above; else particles are resampled by `ess_threshold` (see `SMC`).
        particles: texts under way at once; None: as many as are asked for.
        temperature, top_k, top_p, seed, source, speculate: see `Sampler`.
    """

    def __init__(
        self,
        model: LanguageModel,
        constraint: CompiledGrammar | Predicate,
        *,
        max_tokens: int,
        eos_token_ids: Iterable[int] | None = None,
        correct: bool = False,
        particles: int | None = None,
        ess_threshold: float = 0.5,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        source: Source | None = None,
        speculate: Speculate = None,
    ) -> None:
        check_options(particles, ess_threshold)
        self.model = model
        if isinstance(constraint, Predicate):
            if eos_token_ids is None:
                raise ValueError("a predicate does not say which tokens end a text: pass eos_token_ids")
            self.predicate: Predicate = constraint
        else:
            self.predicate = GrammarPredicate(constraint)
            eos_token_ids = constraint.vocab.eos_token_ids if eos_token_ids is None else eos_token_ids
        self.ends = frozenset(eos_token_ids)
        self.max_tokens = max_tokens
        self.correct = correct
        self.particles = particles
        self.ess_threshold = ess_threshold
        self.shape = Shape(temperature=temperature, top_k=top_k, top_p=top_p)
        self.source: Source = source if source is not None else Random(seed)
        self.forward_passes = self.forward_calls = self.checks = 0
        self._rows: OrderedDict[tuple[int, ...], Floats] = OrderedDict()
        self._ahead: Ahead | None = None
        if speculate is not None:
            from structgen.decode.aligned.ahead import Ahead

            self._ahead = Ahead(
                model,
                None if isinstance(constraint, Predicate) else constraint,
                max_tokens=max_tokens,
                ends=self.ends,
                shape=self.shape,
                speculate=speculate,
                seed=seed,
            )

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """Draws texts: with `correct` n of them, else whole runs as `SMC.sample` does. For the budget see `Sampler`."""
        if n < 1 or (budget is not None and budget < 1):
            raise ValueError(f"n and budget must be at least 1, not {n} and {budget}")
        passes, calls, checks = self.forward_passes, self.forward_calls, self.checks
        drafted = 0 if self._ahead is None else self._ahead.num_drafted
        limit = math.inf if budget is None else budget
        size = self.particles or n
        found: list[Sample] = []
        estimates: list[float] = []
        runs = tried = cost = 0
        failures = 0
        while max(self.forward_passes - passes, failures) < limit:
            before = self.forward_passes
            population, log_z = populations.run(
                [Particle() for _ in range(size)],
                self._extend,
                self.source,
                ess_threshold=0.0 if self.correct else self.ess_threshold,
            )
            if self._ahead is not None:
                self._ahead.settle()
            runs += 1
            failures += sum(each.outcome == "failed" for each in population)
            if not self.correct:
                estimates.append(log_z)
                found += samples_of(population, self.forward_passes - before)
            else:
                estimates += [0.0 if each.outcome == "done" else -math.inf for each in population]
                for each in population:
                    tried, cost = tried + 1, cost + each.forward_passes
                    if each.outcome == "done":
                        found.append(Sample(tuple(each.tokens), each.logp, 0.0, tried, cost))
                        tried = cost = 0
            if (len(found) >= n) if self.correct else (runs >= math.ceil(n / size) and bool(found)):
                break
        complete = len(found) >= n if self.correct else runs >= math.ceil(n / size) and bool(found)
        return Samples(
            items=tuple(found[:n] if self.correct else found),
            status="complete" if complete else "budget",
            log_z=LogZ.of(estimates, (-math.inf, 0.0)),
            attempts=runs * size,
            forward_passes=self.forward_passes - passes,
            forward_calls=self.forward_calls - calls,
            checks=self.checks - checks,
            num_drafted=0 if self._ahead is None else self._ahead.num_drafted - drafted,
        )

    def _extend(self, going: Sequence[Particle]) -> None:
        """A token for each particle, and its weight."""
        for each, row, is_new in zip(going, *self._rows_after([tuple(each.tokens) for each in going]), strict=True):
            each.forward_passes += is_new
            token, log_mass = self._draw(each.tokens, row)
            if token is None or (self.correct and not self.source.coin(log_mass)):
                each.outcome = "failed"
                each.log_weight = -math.inf
                continue
            if not self.correct:
                each.log_weight += log_mass
            each.logp += float(row[token])
            each.tokens.append(token)
            if token in self.ends:
                each.outcome = "done"

    def _draw(self, prefix: Sequence[int], row: Floats) -> tuple[int | None, float]:
        """An allowed token, drawn by the model's law among them, and the log of an estimate of their mass.

        (None, -inf) if none is allowed.
        """
        weights = np.exp(row)
        if len(prefix) >= self.max_tokens:  # the length limit is part of the constraint, and needs no question
            ends = [token for token in self.ends if token < len(weights)]
            weights[np.delete(np.arange(len(weights)), ends)] = 0.0
        taken: int | None = None
        left = float(weights.sum())
        inverse = 1.0 / left if left > 0.0 else math.inf  # the sum of 1 / (1 - r_i) so far
        while weights.any():
            token = self.source.pick(weights)
            if token != taken and not self._allows(prefix, token):
                weights[token] = 0.0
                left = float(weights.sum())  # anew: subtracting would leave the last ones to rounding
                inverse += 1.0 / left if left > 0.0 else math.inf
                continue
            if taken is not None:
                return taken, min(-math.log(inverse), 0.0)
            taken = token
        return None, -math.inf

    def _allows(self, prefix: Sequence[int], token: int) -> bool:
        self.checks += 1
        return self.predicate.allows(prefix, token)

    def _rows_after(self, prefixes: Sequence[tuple[int, ...]]) -> tuple[list[Floats], list[bool]]:
        """The model's rows [V] after prefixes, and which of them it had to be asked about."""
        unseen = [prefix for prefix in dict.fromkeys(prefixes) if prefix not in self._rows]
        known = {prefix: self._rows[prefix] for prefix in prefixes if prefix in self._rows}
        if unseen:
            rows = self.shape.apply(self._ask(unseen))
            self.forward_passes += len(unseen)
            for prefix, row in zip(unseen, rows, strict=True):
                known[prefix] = self._rows[prefix] = row
            while len(self._rows) * rows[0].nbytes > KEPT_ROW_BYTES and len(self._rows) > 1:
                self._rows.popitem(last=False)
        asked = set(unseen)
        fresh = []
        for prefix in prefixes:
            fresh.append(prefix in asked)
            asked.discard(prefix)
        return [known[prefix] for prefix in prefixes], fresh

    def _ask(self, prefixes: Sequence[tuple[int, ...]]) -> Rows:
        """The model's rows after prefixes: float64 [n, V]."""
        if self._ahead is None:
            self.forward_calls += 1
            return self.model.next_logprobs(prefixes)
        calls = self._ahead.forward_calls
        rows: Rows = self._ahead.rows(prefixes)
        self.forward_calls += self._ahead.forward_calls - calls
        return rows
