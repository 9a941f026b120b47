"""Laws measured against draws are what they are measured against the whole list; log Z from acceptances is Z."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from aligned_toys import LETTERS, UniformBits, bits_grammar, cases

import structgen
from structgen.decode.aligned import CARS, ASAp, LogZ, Recorded, Reference, Rejection
from structgen.decode.aligned.model import Shape

MAX_TOKENS = 4
CASES = [(model, structgen.compile_regex(pattern, LETTERS), law) for model, pattern, law in cases(5, seed=44)]


def reference(model: Any, grammar: Any, max_tokens: int, **options: Any) -> Reference:
    defaults = {"list_budget": 500, "num_draws": 800, "budget": 10**6}
    return Reference(Recorded(model), grammar, max_tokens=max_tokens, shape=Shape(), **{**defaults, **options})


@pytest.mark.parametrize("model, grammar, law", [(UniformBits(), bits_grammar(), None), *CASES])
def test_draws_measure_what_the_list_does(model: Any, grammar: Any, law: Any) -> None:
    """KL of masking, and of ASAp as it learns: summed over all texts, and estimated from draws alone."""
    max_tokens = 5 if law is None else MAX_TOKENS
    listed = reference(model, grammar, max_tokens)
    drawn = reference(model, grammar, max_tokens, list_budget=1, seed=7)
    assert listed.is_listed and listed.is_exact and not drawn.is_listed and not drawn.is_exact
    assert drawn.log_z.lower <= listed.log_z.value <= drawn.log_z.upper
    assert abs(drawn.log_z.value - listed.log_z.value) < 5 * drawn.log_z.stderr + 1e-9
    if law is None:
        assert listed.kl() == (pytest.approx(0.754, abs=5e-4), 0.0)
    sampler = ASAp(model, grammar, max_tokens=max_tokens, seed=1, batch_size=1)
    for futures in (None, sampler.futures, sampler.futures, sampler.futures):
        truth, _ = listed.kl(futures)
        value, stderr = drawn.kl(futures)
        assert abs(value - truth) < 5 * stderr + 1e-3
        assert stderr < 0.2
        sampler.sample(2)


@pytest.mark.parametrize("kind", [CARS, Rejection])
def test_acceptances_tell_z(kind: Any) -> None:
    """Over many short calls, that know nothing when they begin: near Z on average, and as far off as they say."""
    for model, grammar, law in CASES[:3]:
        z, errors = sum(law.values()), []
        for seed in range(25):
            samples = kind(model, grammar, max_tokens=MAX_TOKENS, seed=seed).sample(15)
            assert samples.log_z.lower - 1e-9 <= samples.log_z.value <= samples.log_z.upper + 1e-9
            errors.append((math.exp(samples.log_z.value) - z) / z)
        assert abs(np.mean(errors)) < 0.15


def test_a_first_bound_of_one_does_not_spoil_a_tiny_z() -> None:
    """Twelve a's, of a model that likes others: Z is 1e-9. After one rejection the bound is nearly Z."""

    class Hates:
        def next_logprobs(self, prefixes: Any) -> Any:
            row = np.full(6, math.log(0.8 / 5))
            row[0] = math.log(0.2)
            return np.stack([row] * len(prefixes))

    samples = CARS(Hates(), structgen.compile_regex("a{12}", LETTERS), max_tokens=12, seed=0).sample(30)
    log_z = 12 * math.log(0.2) + math.log(0.8 / 5)
    assert samples.log_z.value == pytest.approx(log_z, abs=1e-9)
    assert LogZ.of_acceptance([], [], (-math.inf, 0.0)).value != 0.0
    assert LogZ.of_acceptance([False, False], [0.0, 0.0], (-math.inf, 0.0)).value == -math.inf
    half = LogZ.of_acceptance([True, False] * 50, [0.0] * 100, (-math.inf, 0.0))
    assert (half.value, half.stderr) == (pytest.approx(math.log(0.5)), pytest.approx(0.1))
