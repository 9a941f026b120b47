"""One token out of a masked row."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch

from structgen.decode import sampling as sampling_module
from structgen.decode.chance import Chance
from structgen.decode.sampling import Sampling, choose
from structgen.errors import MatcherError

INF = float("inf")
OPEN = torch.tensor([0.0, 1.0, 3.0, 2.0, 9.0, 1.5])
MASK = np.array([[0b101011]], np.int32)
LOGITS = torch.tensor([0.0, 1.0, -INF, 2.0, -INF, 1.5])


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1}, {"temperature": math.nan}, {"temperature": INF}, {"top_k": 0}, {"top_p": 0}, {"top_p": 1.1}],
)
def test_wrong_values_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Sampling(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("least", [0, 1 << 14])  # by the kernel, by torch
def test_greedy_is_the_argmax_of_what_is_allowed(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling_module, "MIN_GREEDY_ON_CPU", least)
    ((token, logprob),) = choose(OPEN[None], MASK, Sampling(), [Chance()])
    assert token == 3
    assert logprob == pytest.approx(float(torch.log_softmax(LOGITS, -1)[3]))
    ties = torch.tensor([[0.0, 2.0, 5.0, 2.0, 5.0, 2.0]])
    assert choose(ties, MASK, Sampling(), [Chance()])[0][0] == 1


def _distribution(sampling: Sampling) -> dict[int, float]:
    """The distribution in the order of transformers' own warpers."""
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    ids, scores = torch.zeros(1, 1, dtype=torch.long), LOGITS[None]
    scores = TemperatureLogitsWarper(sampling.temperature)(ids, scores)
    if sampling.top_k:
        scores = TopKLogitsWarper(sampling.top_k)(ids, scores)
    if sampling.top_p:
        scores = TopPLogitsWarper(sampling.top_p)(ids, scores)
    probabilities = torch.softmax(scores[0], -1)
    return {i: float(p) for i, p in enumerate(probabilities) if p > 0}


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0, seed=1),
        Sampling(temperature=0.5, seed=1),
        Sampling(temperature=1.0, top_k=2, seed=1),
        Sampling(temperature=2.0, top_p=0.7, seed=1),
        Sampling(temperature=1.0, top_k=3, top_p=0.6, seed=1),
        Sampling(temperature=1.0, top_k=50, seed=1),
        Sampling(temperature=1.0, top_p=1e-9, seed=1),
    ],
    ids=str,
)
def test_draws_follow_the_distribution_of_transformers(sampling: Sampling) -> None:
    expected = _distribution(sampling)
    chance = sampling.chance(0)
    counts: Counter[int] = Counter()
    for _ in range(2000):
        ((token, logprob),) = choose(OPEN[None], MASK, sampling, [chance])
        counts[token] += 1
        assert logprob == pytest.approx(math.log(expected[token]), abs=1e-5)
    assert counts.keys() == expected.keys()
    for token, probability in expected.items():
        assert counts[token] / 2000 == pytest.approx(probability, abs=0.05)


def test_seeds_repeat_and_rows_differ() -> None:
    sampling = Sampling(temperature=1.0, seed=7)

    def draws(*rows: int) -> list[list[int]]:
        chances = [sampling.chance(row) for row in rows]
        each = (choose(OPEN.expand(len(rows), -1), np.repeat(MASK, len(rows), 0), sampling, chances) for _ in range(20))
        return [list(tokens) for tokens in zip(*([token for token, _ in drawn] for drawn in each), strict=True)]

    assert draws(0) == draws(0)
    assert draws(0) != draws(1)
    assert draws(1, 0) == [*draws(1), *draws(0)]  # whatever stands beside them


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1.0)])
@pytest.mark.parametrize("logits", [torch.full((4,), -INF), torch.tensor([math.nan, 1.0, 2.0, -INF])])
def test_no_finite_logit_is_an_error(sampling: Sampling, logits: torch.Tensor) -> None:
    with pytest.raises(MatcherError, match="finite"):
        choose(logits[None], np.array([[15]], np.int32), sampling, [sampling.chance(0)])
