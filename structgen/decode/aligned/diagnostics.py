"""How far a law is from the aligned one."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from structgen.decode.aligned.futures import Floats
from structgen.decode.aligned.metropolis import CUTS, Path, Proposal, log_acceptance, log_proposal
from structgen.decode.aligned.space import Space

Text = TypeVar("Text", bound=Hashable)


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


def transition_matrix(space: Space, texts: Sequence[tuple[int, ...]], proposal: Proposal) -> Floats:
    """Metropolis–Hastings' transition probabilities between all texts of a language: float64 [n, n], rows from."""
    paths = [Path.along(space, tokens) for tokens in texts]
    cut = CUTS[proposal]
    matrix: Floats = np.zeros((len(texts), len(texts)))
    for i, old in enumerate(paths):
        for j, new in enumerate(paths):
            if i != j:
                matrix[i, j] = math.exp(log_proposal(old, new, cut) + log_acceptance(old, new, cut))
        matrix[i, i] = 1.0 - matrix[i].sum()
    return matrix
