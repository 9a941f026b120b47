"""Transformers models as `LanguageModel`s: sharing keys and values by prefix changes nothing but the work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import structgen
from structgen.decode.aligned import CARS
from structgen.decode.aligned.transformers_model import TransformersModel
from structgen.decode.models import load

PROMPT = [20, 31, 7, 99]


def plain(model: Any, prompt: list[int], prefix: list[int]) -> Any:
    with torch.inference_mode():
        logits = model.model(torch.tensor([prompt + prefix])).logits[0, -1]
    return torch.log_softmax(logits.double(), -1).numpy()


def random_prefixes(rng: np.random.Generator, num: int) -> list[list[int]]:
    """Prefixes that share beginnings."""
    kept: list[list[int]] = [[]]
    for _ in range(num):
        known = kept[rng.integers(len(kept))]
        kept.append(known[: rng.integers(len(known) + 1)] + rng.integers(2, 300, rng.integers(1, 4)).tolist())
    return kept


@pytest.mark.parametrize("max_cached_tokens", [40, 10_000])
def test_rows_are_those_of_the_model(tiny_model: Any, max_cached_tokens: int) -> None:
    model = load(tiny_model)
    wrapped = TransformersModel(model, PROMPT, max_cached_tokens=max_cached_tokens)
    rng = np.random.default_rng(0)
    for size in (1, 1, 3, 8, 8, 20):
        prefixes = random_prefixes(rng, size)
        rows = wrapped.next_logprobs(prefixes)
        assert rows.dtype == np.float64 and rows.shape[0] == len(prefixes)
        for row, prefix in zip(rows, prefixes, strict=True):
            np.testing.assert_allclose(row, plain(model, PROMPT, prefix), atol=2e-5)


def test_a_prefix_is_read_once(tiny_model: Any) -> None:
    wrapped = TransformersModel(load(tiny_model), PROMPT)
    wrapped.next_logprobs([[]])
    assert wrapped.tokens_read == len(PROMPT)
    wrapped.next_logprobs([[5], [6]])
    assert wrapped.tokens_read == len(PROMPT) + 2
    wrapped.next_logprobs([[5, 1, 2], [5, 1], [5, 1, 2, 3]])  # a chain: one row of three new tokens
    assert wrapped.tokens_read == len(PROMPT) + 5
    wrapped.next_logprobs([[5, 1, 2, 3, 4], [6, 8]])  # a rejected attempt costs its own tokens
    assert wrapped.tokens_read == len(PROMPT) + 7


def test_who_a_model_is(tiny_model: Any, tiny_assistant: Any) -> None:
    first, other = load(tiny_model), load(tiny_assistant)
    name = TransformersModel(first, PROMPT).fingerprint
    assert name == TransformersModel(first, PROMPT).fingerprint
    assert name != TransformersModel(first, PROMPT[:-1]).fingerprint
    assert name != TransformersModel(other, PROMPT).fingerprint


def test_a_prompt_that_does_not_fit_is_refused(tiny_model: Any) -> None:
    with pytest.raises(structgen.StructgenError, match="context holds 512"):
        TransformersModel(load(tiny_model), [5] * 500).next_logprobs([[7] * 13])
    with pytest.raises(ValueError):
        TransformersModel(load(tiny_model), [])


def test_samplers_run_on_it(tiny_model: Any) -> None:
    model = load(tiny_model)
    grammar = structgen.compile_regex("red|green|blue", model.vocab)
    sampler = CARS(TransformersModel(model, PROMPT), grammar, max_tokens=4, seed=1, batch_size=8)
    samples = sampler.sample(3, budget=3000)
    for sample in samples:
        assert model.vocab.decode(sample.tokens[:-1]) in (b"red", b"green", b"blue")
    again = sampler.sample(3, budget=3000)
    assert again.forward_passes <= samples.forward_passes
