"""Five fair bits; the language is 00000 and all that begins with 1. Everything is known: Z = 17/32, masking writes
00000 half of the time where it should one time in 17, and is 0.754 nats from the aligned law."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from aligned_toys import UniformBits, bits_grammar, outcomes

from structgen.decode.aligned import AWRS, CARS, GCD, SMC, ASAp, Exact, MetropolisHastings, Rejection
from structgen.decode.aligned.diagnostics import kl_divergence

ZEROS = (0, 0, 0, 0, 0, 2)
Z = 17 / 32
GRAMMAR = bits_grammar()
KL = 0.5 * math.log(0.5 / (1 / 17)) + 0.5 * math.log((1 / 32) / (1 / 17))


def make(kind: Any, source: Any = None, **options: Any) -> Any:
    return kind(UniformBits(), GRAMMAR, max_tokens=5, source=source, **options)


def first_law(kind: Any, *, given: Any = None, **options: Any) -> dict[tuple[int, ...] | None, float]:
    """The exact law of the result of one attempt, None where it fails; `given` is what to learn before."""

    def run(source: Any) -> tuple[int, ...] | None:
        sampler = make(kind, source, batch_size=1, **options)
        if given is not None:
            sampler.space.walk(given)
        sampler.futures.new_round()
        samples = sampler.sample(1, budget=1)
        return samples[0].tokens if len(samples) else None

    law: dict[tuple[int, ...] | None, float] = defaultdict(float)
    for probability, tokens in outcomes(run):
        law[tokens] += probability
    assert sum(law.values()) == pytest.approx(1.0, abs=1e-12)
    return law


def test_masking_writes_zeros_half_of_the_time_and_says_so() -> None:
    law = first_law(GCD)
    assert law[ZEROS] == pytest.approx(1 / 2, abs=1e-12)
    assert len(law) == 17
    target = dict.fromkeys(law, 1 / 17)
    assert kl_divergence(law, target) == pytest.approx(KL, abs=1e-12)
    assert pytest.approx(0.754, abs=5e-4) == KL
    for sample in make(GCD, seed=0).sample(40):
        expected = 1 / 16 if sample.tokens == ZEROS else 1.0
        assert math.exp(sample.log_weight) == pytest.approx(expected, abs=1e-12)
        assert math.exp(sample.logp) == pytest.approx(1 / 32, abs=1e-12)


def test_asap_is_exact_after_one_visit_to_the_zeros() -> None:
    assert first_law(ASAp)[ZEROS] == pytest.approx(1 / 2, abs=1e-12)
    law = first_law(ASAp, given=ZEROS)
    assert len(law) == 17
    for probability in law.values():
        assert probability == pytest.approx(1 / 17, abs=1e-12)


@pytest.mark.parametrize(("kind", "given", "accepted"), [(Rejection, None, Z), (CARS, None, Z), (CARS, ZEROS, 1.0)])
def test_rejection_and_cars_accept_each_text_alike(kind: Any, given: Any, accepted: float) -> None:
    """With the zeros visited theta of the empty prefix is Z already, and CARS rejects nothing."""
    law = first_law(kind, given=given)
    assert len([tokens for tokens in law if tokens is not None]) == 17
    for tokens, probability in law.items():
        assert probability == pytest.approx(1 - accepted if tokens is None else accepted / 17, abs=1e-12)


def test_awrs_corrected_accepts_each_text_alike() -> None:
    law: dict[Any, float] = defaultdict(float)
    for probability, samples in outcomes(lambda source: make(AWRS, source, correct=True).sample(1, budget=1)):
        law[samples[0].tokens if len(samples) else None] += probability
    for tokens, probability in law.items():
        assert probability == pytest.approx(1 - Z if tokens is None else 1 / 32, abs=1e-12)


@pytest.mark.parametrize(("kind", "particles"), [(SMC, 2), (AWRS, 1)])
def test_the_estimate_of_z_is_right_on_average(kind: Any, particles: int) -> None:
    mean = 0.0
    weights: dict[Any, float] = defaultdict(float)
    for probability, samples in outcomes(lambda source: make(kind, source, particles=particles).sample(1, budget=1)):
        mean += probability * math.exp(samples.log_z.value)
        for sample in samples:
            weights[sample.tokens] += probability * math.exp(sample.log_weight) / particles
    assert mean == pytest.approx(Z, abs=1e-12)
    assert len(weights) == 17
    for weight in weights.values():
        assert weight == pytest.approx(1 / 32, abs=1e-12)


@pytest.mark.parametrize("proposal", ["uniform", "priority", "prefix", "restart"])
def test_a_chain_tends_to_the_aligned_law(proposal: Any) -> None:
    zeros = sum(
        sample.tokens == ZEROS
        for sample in make(MetropolisHastings, seed=1, steps=30, proposal=proposal, batch_size=50).sample(100)
    )
    assert abs(zeros - 100 / 17) < 4 * math.sqrt(100 * 16) / 17


def test_exact() -> None:
    exact = make(Exact, seed=3)
    assert math.exp(exact.solve()) == pytest.approx(Z, abs=1e-12)
    assert exact.num_texts() == 17
    assert {tokens: math.exp(logp) for tokens, logp in exact.texts()} == pytest.approx(
        {tokens: 1 / 32 for tokens, _ in exact.texts()}, abs=1e-12
    )
    samples = exact.sample(3400)
    zeros = sum(sample.tokens == ZEROS for sample in samples)
    assert abs(zeros - 200) < 4 * math.sqrt(3400 * 16) / 17
    assert samples.log_z.value == samples.log_z.lower == samples.log_z.upper


@pytest.mark.parametrize("kind", [GCD, ASAp, CARS, Rejection, MetropolisHastings, SMC])
def test_the_bracket_holds_z_and_closes_on_it(kind: Any) -> None:
    sampler = make(kind, seed=5)
    for n in (1, 1, 2, 4, 60 if kind is MetropolisHastings else 400):
        samples = sampler.sample(n)
        low, high = np.exp([samples.log_z.lower, samples.log_z.upper])
        assert low - 1e-12 <= Z <= high + 1e-12
    assert (low, high) == pytest.approx((Z, Z), abs=1e-12)
