"""SMC: a population of texts under plain masking, kept close to the aligned law by resampling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from structgen.decode.aligned import particles as populations
from structgen.decode.aligned.particles import Particle, samples_of
from structgen.decode.aligned.result import Sample, Samples, Status
from structgen.decode.aligned.sampler import Sampler, Tally
from structgen_kernels.futures import END


class SMC(Sampler):
    """Sequential Monte Carlo: masking proposes tokens, the mask's mass is the weight, resampling is systematic.

    Guarantees: every text is in the language; each run's estimate of Z is unbiased, and so is the weighted sum of any
    function over its particles (up to Z). The law of one particle tends to the aligned law as `particles`
    grows. Particles of one run are not independent, and may be copies.

    Cost: one forward pass a token and particle, in one call a step; prefixes met before are free.

    Source: "Syntactic and Semantic Control of Large Language Models via Sequential Monte Carlo".

    Args:
        particles: texts in a run; None: as many as are asked for.
        ess_threshold: resample when fewer than this fraction of the particles count.
    """

    def __init__(self, *args: Any, particles: int | None = None, ess_threshold: float = 0.5, **options: Any) -> None:
        """`particles` and `ess_threshold`, and the arguments of `Sampler` (`batch_size` is without effect)."""
        super().__init__(*args, **options)
        check_options(particles, ess_threshold)
        self.particles = particles
        self.ess_threshold = ess_threshold

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """See `Sampler.sample`. Whole runs are given: ceil(n / particles) of them, less the particles that died.

        `log_z` averages the runs; its error needs two of them.
        """
        tally = Tally(self.space, n, budget)
        size = self.particles or n
        runs_needed = math.ceil(n / size)
        found: list[Sample] = []
        while True:
            complete = tally.attempts >= runs_needed * size and bool(found)
            status: Status | None = "complete" if complete else tally.status(0)
            if status is not None:
                tally.n = len(found)
                return tally.samples(found, status)
            self.futures.new_round()
            before = tally.forward_passes
            population, log_z = populations.run(
                [Particle() for _ in range(size)], self._extend, self.source, ess_threshold=self.ess_threshold
            )
            self.space.settle()
            tally.attempts += size
            tally.estimate(log_z)
            found += samples_of(population, tally.forward_passes - before)

    def _extend(self, going: Sequence[Particle]) -> None:
        """A token for each particle, drawn under the mask; the mask's mass goes to the weight."""
        space, futures = self.space, self.futures
        for each, node in zip(going, space.visit([each.place for each in going]), strict=True):
            if each.place in space.asked:
                space.asked.discard(each.place)
                each.forward_passes += 1
            log_mass = futures.weights(node, space.scratch, use_theta=False)
            each.log_weight += log_mass
            if log_mass == -math.inf:
                each.outcome = "failed"
                continue
            edge = space.draw(node, self.source)
            each.logp += futures.logp_at(node, edge)
            each.tokens.append(futures.token_at(node, edge))
            if futures.child_at(node, edge) == END:
                each.outcome = "done"
            else:
                each.place = (node, edge)


def check_options(particles: int | None, ess_threshold: float) -> None:
    """Raises `ValueError` for options of a population that make no sense."""
    if particles is not None and particles < 1:
        raise ValueError(f"particles must be at least 1, not {particles}")
    if not 0.0 <= ess_threshold <= 1.0:
        raise ValueError(f"ess_threshold must be in [0, 1], not {ess_threshold}")
