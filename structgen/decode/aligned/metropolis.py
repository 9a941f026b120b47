"""Metropolis–Hastings: a chain of valid texts whose law tends to the aligned one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from structgen.decode.aligned import attempts
from structgen.decode.aligned.attempts import Attempt
from structgen.decode.aligned.futures import Floats
from structgen.decode.aligned.result import Sample, Samples
from structgen.decode.aligned.sampler import Sampler, Tally
from structgen.decode.aligned.space import START, Place, Space

Proposal = Literal["uniform", "priority", "prefix", "restart"]


@dataclass(frozen=True, eq=False)
class Path:
    """A text of n tokens with its end, and what was met on the way; position i is the prefix of i tokens.

    places: where the prefixes are; logp: float64 [n], of each token under the model; log_masses: float64 [n], of the
    mask at each prefix; spreads: float64 [n], perplexity less 1 of the masked model at each prefix (0 where one token
    alone may follow), or empty where nobody asked for it.
    """

    tokens: tuple[int, ...]
    places: tuple[Place, ...]
    logp: Floats
    log_masses: Floats
    spreads: Floats

    @classmethod
    def along(cls, space: Space, tokens: Sequence[int]) -> Path:
        """The path of a text of the language; its prefixes are visited where they are not known."""
        futures, places, logp, masses, spreads = space.futures, [START], [], [], []
        for node, token in zip(space.walk(tokens), tokens, strict=True):
            edge = futures.edge_of(node, token)
            if edge is None:
                raise ValueError(f"{list(tokens)} is not in the language, at token {token}")
            places.append((node, edge))
            logp.append(futures.logp_at(node, edge))
            masses.append(futures.weights(node, space.scratch, use_theta=False))
            spreads.append(spread(space, node))
        return cls(tuple(tokens), tuple(places[:-1]), np.array(logp), np.array(masses), np.array(spreads))

    @classmethod
    def of(cls, attempt: Attempt, kept: int = 0, old: Path | None = None, space: Space | None = None) -> Path:
        """The path of a finished attempt under plain masking, which began after the first `kept` tokens of `old`.

        `space` is where it was walked, if `spreads` are wanted.
        """
        steps, sums = np.array(attempt.steps), np.array(attempt.sums)
        spreads = np.array([] if space is None else [spread(space, space.node(place)) for place in attempt.places])
        if old is None:
            return cls(tuple(attempt.tokens), tuple(attempt.places), steps, sums, spreads)
        return cls(
            (*old.tokens[:kept], *attempt.tokens),
            (*old.places[:kept], *attempt.places),
            np.concatenate((old.logp[:kept], steps)),
            np.concatenate((old.log_masses[:kept], sums)),
            np.concatenate((old.spreads[:kept], spreads)),
        )

    def log_remake(self) -> Floats:
        """Log-probability that masking writes the rest of the text after i tokens: float64 [n]."""
        rest: Floats = np.cumsum((self.logp - self.log_masses)[::-1])[::-1]
        return rest


def spread(space: Space, node: int) -> float:
    """The perplexity, less 1, of what masking draws from at a node."""
    log_mass = space.futures.weights(node, space.scratch, use_theta=False)
    if log_mass == -math.inf:
        return 0.0
    logp = space.futures.logps(node) - log_mass
    return math.expm1(max(-float((np.exp(logp) * logp).sum()), 0.0))


def cut_uniform(path: Path) -> Floats:
    """Every position alike."""
    return np.full(len(path.tokens), 1.0 / len(path.tokens))


def cut_by_priority(path: Path) -> Floats:
    """In proportion to the perplexity, less 1, of what was drawn from there: never where there was no choice."""
    total = float(path.spreads.sum())
    return path.spreads / total if total > 0.0 else cut_at_start(path)  # no choice anywhere: there is but one text


def cut_by_prefix(path: Path) -> Floats:
    """In proportion to the model's probability of the prefix that is kept: doubtful beginnings are written anew."""
    before = np.concatenate(([0.0], np.cumsum(path.logp)[:-1]))
    weights = np.exp(before)
    out: Floats = weights / weights.sum()
    return out


def cut_at_start(path: Path) -> Floats:
    """Always the whole text."""
    out: Floats = np.zeros(len(path.tokens))
    out[0] = 1.0
    return out


CUTS: dict[Proposal, Callable[[Path], Floats]] = {
    "uniform": cut_uniform,
    "priority": cut_by_priority,
    "prefix": cut_by_prefix,
    "restart": cut_at_start,
}


def log_proposal(old: Path, new: Path, cut: Callable[[Path], Floats]) -> float:
    """Log-probability that `new`, another text, is proposed from `old`: over every position that could be cut."""
    shared = next(i for i, (a, b) in enumerate(zip(old.tokens, new.tokens, strict=False)) if a != b)
    with np.errstate(divide="ignore"):
        terms = np.log(cut(old)[: shared + 1]) + new.log_remake()[: shared + 1]
    top = terms.max()
    return float(top + np.log(np.exp(terms - top).sum())) if top > -math.inf else -math.inf


def log_acceptance(old: Path, new: Path, cut: Callable[[Path], Floats]) -> float:
    """Log-probability with which a proposed text takes the place of the old one."""
    if old.tokens == new.tokens:
        return 0.0
    ahead = float(old.logp.sum()) + log_proposal(old, new, cut)
    back = float(new.logp.sum()) + log_proposal(new, old, cut)
    return min(0.0, back - ahead)


class MetropolisHastings(Sampler):
    """Each sample is where a chain of its own stands after `steps` steps, begun with a text from plain masking.

    A step cuts the text somewhere, lets masking write a new ending, and takes the new text or keeps the old one, so
    that detailed balance holds with the aligned law. An ending that runs into the length limit keeps the old text.

    Proposals: "uniform" cuts anywhere; "priority" where the masked model was in doubt, in proportion to its perplexity
    less 1; "restart" rewrites all (independence Metropolis–Hastings): these are the paper's three. "prefix" cuts in
    proportion to the model's probability of what is kept.

    Guarantees: every text is in the language; samples are independent of each other, and their law tends to the aligned
    law as `steps` grows. After any fixed number of steps it is still biased, and nothing says by how much.

    Cost: `steps` endings a sample; prefixes met before are free. Chains run in batches.

    Source: "Constrained Sampling for Language Models Should Be Easy: An MCMC Perspective". As there, the probability of
    a proposal counts every cut that could have led to it, not only the one drawn.
    """

    def __init__(self, *args: Any, steps: int = 10, proposal: Proposal = "uniform", **options: Any) -> None:
        """`steps` and `proposal`, and the arguments of `Sampler`."""
        super().__init__(*args, **options)
        if steps < 0:
            raise ValueError(f"steps must not be negative, not {steps}")
        if proposal not in CUTS:
            raise ValueError(f"proposal must be one of {', '.join(CUTS)}, not {proposal!r}")
        self.steps = steps
        self.cut = CUTS[proposal]
        self._spread_in = self.space if proposal == "priority" else None

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """See `Sampler.sample`. Z is estimated from the texts that chains begin with."""
        tally = Tally(self.space, n, budget)
        found: list[Sample] = []
        while (status := tally.status(len(found))) is None:
            self.futures.new_round()
            before, tried = tally.forward_passes, tally.attempts
            chains = self._begin(min(self.batch_size, n - len(found)), tally)
            for _ in range(self.steps):
                chains = self._step(chains, tally)
            passes, tried = tally.forward_passes - before, tally.attempts - tried
            for i, chain in enumerate(chains):
                share = [(total * (i + 1)) // len(chains) - (total * i) // len(chains) for total in (tried, passes)]
                found.append(Sample(chain.tokens, float(chain.logp.sum()), 0.0, *share))
        return tally.samples(found, status)

    def _begin(self, num: int, tally: Tally) -> list[Path]:
        """Texts from plain masking, fewer than `num` if the budget ends."""
        paths: list[Path] = []
        while len(paths) < num and tally.status(0) is None:
            batch = [Attempt() for _ in range(num - len(paths))]
            attempts.run(self.space, self.source, batch, use_theta=False, thin=False)
            tally.attempts += len(batch)
            for each in batch:
                tally.estimate(each.logp - each.log_q if each.outcome == "done" else -math.inf)
            paths += [Path.of(each, space=self._spread_in) for each in batch if each.outcome == "done"]
        return paths

    def _step(self, chains: list[Path], tally: Tally) -> list[Path]:
        """One step of every chain."""
        kept = [self.source.pick(self.cut(chain)) for chain in chains]
        batch = [Attempt(place=chain.places[i]) for chain, i in zip(chains, kept, strict=True)]
        attempts.run(self.space, self.source, batch, use_theta=False, thin=False)
        tally.attempts += len(batch)
        after = []
        for chain, i, each in zip(chains, kept, batch, strict=True):
            if each.outcome == "done":
                new = Path.of(each, i, chain, self._spread_in)
                if self.source.coin(log_acceptance(chain, new, self.cut)):
                    chain = new
            after.append(chain)
        return after
