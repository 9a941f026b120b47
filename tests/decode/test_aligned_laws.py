"""The laws of the samplers, on random Markov models and languages whose texts can all be counted."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import pytest
from aligned_toys import LETTERS, PAIR, cases, chi_square, outcomes, same_law

import structgen
from structgen.decode.aligned import AWRS, CARS, GCD, SMC, ASAp, Exact, MetropolisHastings, Rejection
from structgen.decode.aligned.diagnostics import kl_divergence

MAX_TOKENS = 4
CASES = [(model, structgen.compile_regex(pattern, LETTERS), law) for model, pattern, law in cases(5, seed=11)]
SMALL = [
    (model, structgen.compile_regex(pattern, PAIR), law)
    for model, pattern, law in cases(3, seed=5, max_tokens=2, least=2, vocab=PAIR)
]
P_VALUE = 1e-4


def counts(samples: Any) -> Counter[tuple[int, ...]]:
    return Counter(sample.tokens for sample in samples)


@pytest.mark.parametrize("model, grammar, law", CASES)
@pytest.mark.parametrize("kind", [Rejection, CARS, Exact, AWRS])
def test_independent_samplers_draw_from_the_aligned_law(kind: Any, model: Any, grammar: Any, law: Any) -> None:
    options = {"correct": True, "particles": 32} if kind is AWRS else {}
    for seed in (1, 2):
        samples = kind(model, grammar, max_tokens=MAX_TOKENS, seed=seed, **options).sample(600)
        assert samples.status == "complete" and len(samples) == 600
        assert chi_square(counts(samples), law) > P_VALUE
        for sample in samples:
            assert math.exp(sample.logp) == pytest.approx(law[sample.tokens], rel=1e-9)
            assert sample.log_weight == 0.0


@pytest.mark.parametrize("batch_size", [1, 7])
@pytest.mark.parametrize("model, grammar, law", CASES)
def test_what_cars_learns_does_not_bend_its_law(model: Any, grammar: Any, law: Any, batch_size: int) -> None:
    """First draws of many samplers that know nothing, and draws of one that has seen all before, have one law."""
    first: Counter[tuple[int, ...]] = Counter()
    for seed in range(300):
        sampler = CARS(model, grammar, max_tokens=MAX_TOKENS, seed=seed, batch_size=batch_size)
        first.update(counts(sampler.sample(2)))
    sampler = CARS(model, grammar, max_tokens=MAX_TOKENS, seed=0, batch_size=batch_size)
    halves = counts(sampler.sample(500)), counts(sampler.sample(500))
    assert chi_square(first, law) > P_VALUE
    assert same_law(*halves) > P_VALUE
    assert same_law(first, halves[1]) > P_VALUE


def test_the_chi_square_sees_what_masking_does() -> None:
    """The test above can fail: masking does not pass it, and its true law is where the oracle says."""
    p_values = [
        chi_square(counts(GCD(model, grammar, max_tokens=MAX_TOKENS, seed=1).sample(2000)), law)
        for model, grammar, law in CASES
    ]
    assert min(p_values) < 1e-9
    assert sum(p_value < P_VALUE for p_value in p_values) >= 3


@pytest.mark.parametrize("model, grammar, law", CASES)
def test_asap_ends_at_the_aligned_law(model: Any, grammar: Any, law: Any) -> None:
    sampler = ASAp(model, grammar, max_tokens=MAX_TOKENS, seed=1)
    for tokens in law:
        sampler.space.walk(tokens)
    sampler.sample(3000)  # the prefixes that lead nowhere
    low, high = sampler.futures.bracket()
    if low == pytest.approx(high, abs=1e-12):
        samples = sampler.sample(800)
        assert chi_square(counts(samples), law) > P_VALUE
        assert all(sample.log_weight == pytest.approx(high, abs=1e-9) for sample in samples)
    assert low - 1e-12 <= math.log(sum(law.values())) <= high + 1e-12


@pytest.mark.parametrize("model, grammar, law", CASES)
@pytest.mark.parametrize("kind", [GCD, ASAp, SMC])
def test_weights_make_up_for_the_sampler(kind: Any, model: Any, grammar: Any, law: Any) -> None:
    samples = kind(model, grammar, max_tokens=MAX_TOKENS, seed=3).sample(4000)
    weighted: dict[tuple[int, ...], float] = defaultdict(float)
    for sample, weight in zip(samples, samples.weights(), strict=True):
        weighted[sample.tokens] += weight
    assert kl_divergence(weighted, law) < 40 * len(law) / samples.effective_size()
    z = sum(law.values())
    if not math.isnan(samples.log_z.stderr):
        assert abs(math.exp(samples.log_z.value) - z) < 5 * samples.log_z.stderr * z + 1e-9


@pytest.mark.parametrize("model, grammar, law", SMALL)
@pytest.mark.parametrize("kind, options", [(SMC, {"particles": 2, "ess_threshold": 0.9}), (AWRS, {"particles": 1})])
def test_populations_are_right_on_average(kind: Any, options: Any, model: Any, grammar: Any, law: Any) -> None:
    """Over every choice the sampler can make: the estimate of Z, and the weight that each text gets."""
    mean, total = 0.0, 0.0
    weights: dict[tuple[int, ...], float] = defaultdict(float)

    def run(source: Any) -> Any:
        return kind(model, grammar, max_tokens=2, source=source, **options).sample(1, budget=1)

    for probability, samples in outcomes(run):
        total += probability
        mean += probability * math.exp(samples.log_z.value)
        for sample in samples:
            weights[sample.tokens] += probability * math.exp(sample.log_weight) / options["particles"]
    assert total == pytest.approx(1.0, abs=1e-9)
    assert mean == pytest.approx(sum(law.values()), abs=1e-9)
    assert weights == pytest.approx(law, abs=1e-9)


@pytest.mark.parametrize("kind, options", [(SMC, {"particles": 5}), (AWRS, {"particles": 5})])
@pytest.mark.parametrize("model, grammar, law", CASES[:3])
def test_the_mean_over_many_runs_is_z(kind: Any, options: Any, model: Any, grammar: Any, law: Any) -> None:
    samples = kind(model, grammar, max_tokens=MAX_TOKENS, seed=8, **options).sample(1500)
    z = sum(law.values())
    assert abs(math.exp(samples.log_z.value) - z) < 5 * samples.log_z.stderr * z


@pytest.mark.parametrize("model, grammar, law", CASES)
def test_exact_is_exact(model: Any, grammar: Any, law: Any) -> None:
    exact = Exact(model, grammar, max_tokens=MAX_TOKENS)
    assert math.exp(exact.solve()) == pytest.approx(sum(law.values()), rel=1e-12)
    assert {tokens: math.exp(logp) for tokens, logp in exact.texts()} == pytest.approx(law, rel=1e-12)
    assert exact.num_texts() == len(law)


def test_exact_needs_few_nodes_where_contexts_merge() -> None:
    model, grammar, _ = CASES[0]
    grammar = structgen.compile_regex("[abc]*a", LETTERS)
    exact = Exact(model, grammar, max_tokens=40)
    assert exact.solve() < 0.0
    assert exact.forward_passes < 41 * 12
    with pytest.raises(structgen.BudgetExceeded, match="20 forward passes"):
        Exact(model, grammar, max_tokens=40).sample(1, budget=20)


@pytest.mark.parametrize(
    "shape", [{"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.7}, {"temperature": 2.0, "top_p": 0.9}]
)
def test_the_law_is_that_of_the_shaped_model(shape: Any) -> None:
    """Temperature and cuts are part of the model before the language is: the oracle shapes each row by hand."""
    for model, grammar, law in CASES[:2]:
        shaped: dict[tuple[int, ...], float] = {}
        for tokens in law:
            p = 1.0
            for i, token in enumerate(tokens):
                row = [math.exp(each / shape.get("temperature", 1.0)) for each in model.next_logprobs([tokens[:i]])[0]]
                ranked = sorted(range(len(row)), key=lambda t: (-row[t], t))
                if "top_k" in shape:
                    ranked = ranked[: shape["top_k"]]
                if "top_p" in shape:
                    kept, before = [], 0.0
                    for t in ranked:
                        if before < shape["top_p"] * sum(row):
                            kept.append(t)
                        before += row[t]
                    ranked = kept
                p *= row[token] / sum(row[t] for t in ranked) if token in ranked else 0.0
            if p > 0.0:
                shaped[tokens] = p
        exact = Exact(model, grammar, max_tokens=MAX_TOKENS, **shape)
        assert {tokens: math.exp(logp) for tokens, logp in exact.texts()} == pytest.approx(shaped, rel=1e-9)
        if shaped:
            samples = CARS(model, grammar, max_tokens=MAX_TOKENS, seed=1, **shape).sample(300)
            assert chi_square(counts(samples), shaped) > P_VALUE


def test_a_language_without_texts_is_found_out() -> None:
    model, *_ = CASES[0]
    grammar = structgen.compile_regex("c{9}", LETTERS)  # nine tokens at least
    for kind in (GCD, ASAp, CARS, Rejection, SMC, MetropolisHastings, Exact):
        samples = kind(model, grammar, max_tokens=3, seed=0).sample(2)
        assert (samples.status, len(samples)) == ("empty", 0), kind
    assert AWRS(model, grammar, max_tokens=3, seed=0).sample(2, budget=200).status == "budget"


def test_a_budget_ends_the_call() -> None:
    model, grammar, _ = CASES[0]
    for kind in (GCD, ASAp, CARS, Rejection, SMC, MetropolisHastings, AWRS):
        options = {"particles": 4} if kind in (SMC, AWRS) else {}
        samples = kind(model, grammar, max_tokens=MAX_TOKENS, seed=0, **options).sample(10**6, budget=1)
        assert samples.status == "budget"
        assert samples.forward_passes >= 1
        for wrong in ({"n": 0}, {"n": 1, "budget": 0}):
            with pytest.raises(ValueError):
                kind(model, grammar, max_tokens=MAX_TOKENS).sample(**wrong)


@pytest.mark.parametrize("kind", [GCD, ASAp, CARS, Rejection, SMC, MetropolisHastings, AWRS, Exact])
def test_a_seed_repeats(kind: Any) -> None:
    model, grammar, _ = CASES[1]
    first, second = (kind(model, grammar, max_tokens=MAX_TOKENS, seed=4).sample(20) for _ in range(2))
    assert [sample.tokens for sample in first] == [sample.tokens for sample in second]
