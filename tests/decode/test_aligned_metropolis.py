"""The transition matrix of Metropolis–Hastings, by running a step over every choice it can make."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from aligned_toys import LETTERS, UniformBits, bits_grammar, cases, chi_square, outcomes

import structgen
from structgen.decode.aligned import MetropolisHastings
from structgen.decode.aligned.attempts import Attempt, run
from structgen.decode.aligned.diagnostics import transition_matrix
from structgen.decode.aligned.metropolis import CUTS, Path
from structgen.decode.aligned.sampler import Tally

CASES = [
    (model, structgen.compile_regex(pattern, LETTERS), law, 3)
    for model, pattern, law in cases(4, seed=21, max_tokens=3, most=14)
]
BITS = (
    UniformBits(),
    bits_grammar(),
    dict.fromkeys(((0, 0, 0, 0, 0, 2), *((1, *(int(bit) for bit in f"{rest:04b}"), 2) for rest in range(16))), 1 / 32),
    5,
)


class Told:
    """A source that draws these tokens' edges, one after the other."""

    def __init__(self, space: Any, tokens: Any) -> None:
        self.edges = []
        for node, token in zip(space.walk(tokens), tokens, strict=True):
            self.edges.append(space.futures.edge_of(node, token))

    def pick(self, weights: Any) -> int:
        return int(self.edges.pop(0))


def path_of(sampler: MetropolisHastings, tokens: Any) -> Path:
    attempt = Attempt()
    run(sampler.space, Told(sampler.space, tokens), [attempt], use_theta=False, thin=False)
    assert attempt.outcome == "done"
    return Path.of(attempt, space=sampler.space)


def matrix_of(proposal: Any, model: Any, grammar: Any, law: Any, max_tokens: int) -> np.ndarray:
    """Row i: where one step goes from text i, every choice of cut, tokens and coin weighed with its probability."""
    texts = list(law)
    number = {tokens: i for i, tokens in enumerate(texts)}
    matrix = np.zeros((len(texts), len(texts)))
    sampler = MetropolisHastings(model, grammar, max_tokens=max_tokens, proposal=proposal, seed=0)
    for tokens, i in number.items():
        start = path_of(sampler, tokens)

        def step(source: Any, start: Path = start) -> tuple[int, ...]:
            sampler.source = source
            return sampler._step([start], Tally(sampler.space, 1, None))[0].tokens

        for probability, after in outcomes(step):
            matrix[i, number[after]] += probability
    return matrix


@pytest.mark.parametrize("proposal", CUTS)
@pytest.mark.parametrize("model, grammar, law, max_tokens", [BITS, *CASES])
def test_detailed_balance(proposal: Any, model: Any, grammar: Any, law: Any, max_tokens: int) -> None:
    matrix = matrix_of(proposal, model, grammar, law, max_tokens)
    target = np.array(list(law.values())) / sum(law.values())
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-12)
    flow = target[:, None] * matrix
    np.testing.assert_allclose(flow, flow.T, atol=1e-12)
    np.testing.assert_allclose(target @ matrix, target, atol=1e-12)
    reached = np.linalg.matrix_power(matrix, 4096)  # irreducible: from every text to the aligned law
    np.testing.assert_allclose(reached, np.broadcast_to(target, reached.shape), atol=1e-6)
    sampler = MetropolisHastings(model, grammar, max_tokens=max_tokens, proposal=proposal)
    worked_out = transition_matrix(sampler.space, list(law), proposal)
    np.testing.assert_allclose(worked_out, matrix, atol=1e-12)


@pytest.mark.parametrize("proposal", CUTS)
def test_long_chains_draw_from_the_aligned_law(proposal: Any) -> None:
    model, grammar, law, max_tokens = CASES[0]
    sampler = MetropolisHastings(
        model, grammar, max_tokens=max_tokens, proposal=proposal, steps=25, seed=1, batch_size=50
    )
    samples = sampler.sample(300)
    assert chi_square(Counter(sample.tokens for sample in samples), law) > 1e-4
    assert all(math.exp(sample.logp) == pytest.approx(law[sample.tokens], rel=1e-9) for sample in samples)


def test_few_steps_are_nearer_than_none() -> None:
    model, grammar, law, max_tokens = BITS
    target = np.array(list(law.values())) / sum(law.values())
    masked = np.array([0.5, *[1 / 32] * 16])
    matrix = matrix_of("uniform", model, grammar, law, max_tokens)
    distances = []
    for _ in range(8):
        distances.append(float((masked * np.log(masked / target)).sum()))
        masked = masked @ matrix
    assert distances[0] == pytest.approx(0.754, abs=5e-4)
    assert all(later < earlier for earlier, later in pairwise(distances))


def test_options_are_checked() -> None:
    model, grammar, *_ = BITS
    with pytest.raises(ValueError, match="proposal"):
        MetropolisHastings(model, grammar, max_tokens=5, proposal="anything")
    with pytest.raises(ValueError, match="steps"):
        MetropolisHastings(model, grammar, max_tokens=5, steps=-1)


def test_priority_cuts_where_the_masked_model_was_in_doubt() -> None:
    """After a 1 every bit is free and the perplexity 2; after a 0 nothing is, so 00000 is cut at its first bit only."""
    model, grammar, law, max_tokens = BITS
    sampler = MetropolisHastings(model, grammar, max_tokens=max_tokens, proposal="priority", seed=0)
    for tokens in law:
        path = path_of(sampler, tokens)
        free = [1, 0, 0, 0, 0, 0] if tokens[0] == 0 else [1, 1, 1, 1, 1, 0]
        np.testing.assert_allclose(path.spreads, free, atol=1e-12)
        np.testing.assert_allclose(CUTS["priority"](path), np.array(free) / sum(free), atol=1e-12)
    only = structgen.compile_regex("01101", grammar.vocab)
    sampler = MetropolisHastings(model, only, max_tokens=5, proposal="priority", seed=0)
    assert {sample.tokens for sample in sampler.sample(5)} == {(0, 1, 1, 0, 1, 2)}
