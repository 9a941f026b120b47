"""Particles: weighted texts that grow in step and are resampled where their weights drift apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from structgen.decode.aligned.attempts import Attempt
from structgen.decode.aligned.futures import Floats
from structgen.decode.aligned.result import Sample, log_mean
from structgen.decode.aligned.source import Source


@dataclass(eq=False)
class Particle(Attempt):
    """An attempt with a weight: the mean of the particles' weights is an unbiased estimate of Z at every moment."""

    log_weight: float = 0.0

    def copy(self, log_weight: float) -> Particle:
        """Another particle that stands where this one does."""
        return replace(self, tokens=list(self.tokens), log_weight=log_weight, places=[], steps=[], sums=[])


def run(
    particles: list[Particle], extend: Callable[[Sequence[Particle]], None], source: Source, *, ess_threshold: float
) -> tuple[list[Particle], float]:
    """Carries particles to their ends; returns them and the log of the estimate of Z.

    `extend` gives each going particle one token more and multiplies its weight by an unbiased estimate of the mass of
    what may follow (a proper weighting). Particles are resampled when their effective number falls below
    `ess_threshold` times their number; finished ones take part with the weight they have.
    """
    while going := [each for each in particles if each.outcome == "going"]:
        extend(going)
        logs = np.array([each.log_weight for each in particles])
        if logs.max() == -math.inf:
            break
        weights = np.exp(logs - logs.max())
        effective = weights.sum() ** 2 / (weights**2).sum()
        if effective < ess_threshold * len(particles) and any(each.outcome == "going" for each in particles):
            mean, _ = log_mean(logs)
            particles = [particles[i].copy(mean) for i in systematic(weights / weights.sum(), source)]
    return particles, log_mean([each.log_weight for each in particles])[0]


def systematic(weights: Floats, source: Source) -> list[int]:
    """Indices of as many offspring as there are weights (which sum to 1): one point, moved by equal steps.

    Offspring i is picked floor or ceil of n w_i times, n w_i on average.
    """
    n = len(weights)
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    # Between the breaks, the offspring are the same wherever the point lies.
    breaks = np.unique(np.concatenate(([0.0, 1.0], (cumulative * n) % 1.0)))
    points = (source.point(breaks) + np.arange(n)) / n
    index = np.searchsorted(cumulative, points, side="right").clip(max=n - 1)
    return [int(i) for i in index]


def samples_of(particles: Sequence[Particle], forward_passes: int) -> list[Sample]:
    """The finished particles of a run; attempts and forward passes are shared out over them.

    Weights of several runs may be put together: each is of the size of its run's estimate of Z.
    """
    done = [each for each in particles if each.outcome == "done" and each.log_weight > -math.inf]
    found = []
    for i, each in enumerate(done):
        tried, passes = (
            total * (i + 1) // len(done) - total * i // len(done) for total in (len(particles), forward_passes)
        )
        found.append(Sample(tuple(each.tokens), each.logp, each.log_weight, tried, passes))
    return found
