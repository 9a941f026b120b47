"""Verification kernels: tokens, log-masses and distributions agree with the slow reference; every row is defined."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from structgen_kernels import reference_verify as reference
from structgen_kernels.verify import masked_argmax, masked_probabilities, masked_sample, verify_tree

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SAMPLINGS = [(0.0, None, None), (1.0, None, None), (0.7, None, 0.9), (1.3, 7, None), (1.0, 20, 0.8), (0.2, 1, None)]
WIDTHS = [1, 5, 33, 1024, 3000]


def make_masks(rng: np.random.Generator, words: int) -> np.ndarray:
    """Six rows: nothing, everything, random, nearly everything, nearly nothing, one word."""
    masks = rng.integers(-(2**31), 2**31, size=(6, words)).astype(np.int32)
    masks[0], masks[1], masks[5] = 0, -1, 0
    masks[3] |= masks[2]
    masks[4] &= masks[2] & masks[3]
    masks[5, rng.integers(words)] = -1
    return masks


def make_logits(rng: np.random.Generator, n: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(rng.normal(size=(n, width)) * 3).to(dtype)


def distribution(logits: torch.Tensor, masks: np.ndarray, row_id: int, sampling: tuple) -> np.ndarray | None:
    allowed = reference.allowed_tokens(masks, row_id, logits.shape[-1])
    return reference.distribution(logits.double().numpy(), allowed, *sampling)


def agrees(probabilities: np.ndarray | None, u: float, token: int) -> bool:
    """Whether u picks the token, up to rounding at the borders."""
    if probabilities is None or token < 0:
        return probabilities is None and token < 0
    above = float(probabilities[: token + 1].sum())
    return probabilities[token] > 0 and above - probabilities[token] - 1e-5 <= u <= above + 1e-5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("sampling", SAMPLINGS, ids=str)
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_agree_with_the_reference(dtype: torch.dtype, sampling: tuple, width: int) -> None:
    rng = np.random.default_rng(width)
    n = 12
    logits = make_logits(rng, n, width, dtype)
    masks = make_masks(rng, max((width + 31) // 32 - (width == 3000), 1))  # 3000: logits wider than the masks
    ids, uniforms = rng.integers(-1, 6, size=n).astype(np.int32), rng.random(n)
    temperature, top_k, top_p = sampling
    choice = masked_sample(
        logits, masks, ids, temperature=temperature, top_k=top_k, top_p=top_p, uniforms=uniforms, with_log_mass=True
    )
    lazy = masked_sample(
        logits, torch.from_numpy(masks), ids, temperature=temperature, top_k=top_k, top_p=top_p, uniforms=uniforms
    )
    assert lazy.log_mass is None
    assert (lazy.tokens == choice.tokens).all()
    for row in range(n):
        expected = distribution(logits[row], masks, ids[row], sampling)
        token = int(choice.tokens[row])
        allowed = reference.allowed_tokens(masks, ids[row], width)
        mass = reference.log_mass(logits[row].double().numpy(), allowed, temperature)
        assert choice.log_mass[row] == pytest.approx(mass, abs=1e-5)
        found = masked_probabilities(
            logits, masks, row, int(ids[row]), temperature=temperature, top_k=top_k, top_p=top_p
        )
        if expected is None:
            assert token == -1
            assert choice.logprobs[row] == -np.inf
            assert not found.any()
            continue
        assert np.abs(found - expected).max() < 1e-12
        if temperature == 0.0:
            at_one = distribution(logits[row], masks, ids[row], (1.0, None, None))
            assert token == expected.argmax()
            assert choice.logprobs[row] == pytest.approx(np.log(at_one[token]), abs=1e-5)
        else:
            assert agrees(expected, uniforms[row], token)
            assert choice.logprobs[row] == pytest.approx(np.log(expected[token]), abs=1e-5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_every_value_of_a_half_is_read_as_torch_reads_it(dtype: torch.dtype) -> None:
    if dtype == torch.float32:
        bits = np.random.default_rng(0).integers(-(2**31), 2**31, size=4096).astype(np.int32)
        values = torch.from_numpy(bits).view(dtype)
    else:
        values = torch.arange(-(2**15), 2**15, dtype=torch.int16).view(dtype)
    finite = values[values.float().isfinite()]
    order = torch.randperm(len(finite), generator=torch.Generator().manual_seed(0))
    for part in finite[order].split(37)[:200]:
        line = part[None]
        choice = masked_argmax(line, None, [-1])
        assert int(choice.tokens[0]) == int(torch.argmax(line.float()))


def test_the_first_of_equal_maxima_wins() -> None:
    zeros = torch.tensor([[-1.0, -0.0, 0.0, -0.0]])
    assert masked_argmax(zeros, None, [-1]).tokens[0] == 1
    far = torch.full((1, 5000), -1.0)
    far[0, 1500], far[0, 4000] = -0.0, 0.0
    assert masked_argmax(far, None, [-1]).tokens[0] == 1500


@pytest.mark.parametrize("bad", [float("nan"), -float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_logits_are_reported_where_they_are_allowed(bad: float, temperature: float) -> None:
    logits = torch.zeros(2, 40)
    logits[:, 7] = bad
    masks = np.array([[-1, -1], [~(1 << 7), -1]], np.int32)
    choice = masked_sample(logits, masks, [0, 1], temperature=temperature, uniforms=[0.5, 0.5], with_log_mass=True)
    assert choice.tokens[0] == -1
    assert np.isnan(choice.logprobs[0])
    assert choice.tokens[1] == (0 if temperature == 0.0 else 20)
    assert np.isnan(choice.log_mass).all()


def test_extreme_logits() -> None:
    logits = torch.tensor([[-3e38, 3e38, 3e38, -float("inf")], [-float("inf")] * 4, [0.0, -200.0, -300.0, -400.0]])
    masks = np.array([[0b1001], [0b1110]], np.int32)
    choice = masked_sample(logits, masks, [-1, -1, 1], temperature=1.0, uniforms=[0.6, 0.1, 0.999], with_log_mass=True)
    assert choice.tokens.tolist() == [2, -1, 1]
    assert choice.log_mass[2] == pytest.approx(-200.0, abs=1e-4)  # far below what a float32 sum of all could hold
    assert masked_sample(logits, masks, [0, 0, 0], temperature=1e-30, uniforms=[0.9] * 3).tokens.tolist() == [0, -1, 0]


@st.composite
def batches(draw: st.DrawFn) -> tuple:
    seed = draw(st.integers(0, 2**32 - 1))
    sizes = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5))
    return np.random.default_rng(seed), sizes, draw(st.sampled_from(DTYPES)), draw(st.sampled_from([3, 40, 1100]))


@given(batches())
def test_trees_agree_with_the_reference(batch: tuple) -> None:
    rng, sizes, dtype, width = batch
    offsets = np.cumsum([0, *sizes])
    n = int(offsets[-1])
    # few distinct likely tokens, so that walks go down
    logits = make_logits(rng, n, width, dtype)
    logits[:, : min(3, width)] += 9
    masks = make_masks(rng, (width + 31) // 32)
    masks[2:, 0] |= 3
    ids = rng.choice([-1, 0, 1, 2, 3], size=n, p=[0.2, 0.05, 0.25, 0.25, 0.25]).astype(np.int32)
    parents = np.concatenate([[-1, *(rng.integers(0, i) for i in range(1, size))] for size in sizes])
    tokens = rng.integers(0, 3, size=n)
    chosen = [SAMPLINGS[i] for i in rng.integers(0, len(SAMPLINGS), size=len(sizes))]
    uniforms = rng.random((len(sizes), 13))
    verdict = verify_tree(
        logits, masks, ids, parents, tokens, offsets=offsets,
        temperature=[t for t, _, _ in chosen], top_k=[k or 0 for _, k, _ in chosen],
        top_p=[p or 1.0 for _, _, p in chosen], uniforms=uniforms, with_log_mass=bool(rng.integers(2)),
    )  # fmt: skip
    for b, (first, end) in enumerate(pairwise(offsets)):
        path = verdict.paths[b, : verdict.lengths[b]].tolist()
        emitted = [int(tokens[first + row]) for row in path] + [int(verdict.next_tokens[b])]
        followed = []
        for row, token, u in zip([0, *path], emitted, uniforms[b], strict=False):
            assert agrees(distribution(logits[first + row], masks, ids[first + row], chosen[b]), u, token)
            children = [i for i in range(row + 1, end - first) if parents[first + i] == row]
            followed += [i for i in children if tokens[first + i] == token][:1]
        assert path == followed  # every token that a child holds was followed, and the last one nobody holds
        assert (verdict.paths[b, verdict.lengths[b] :] == -1).all()
        assert np.isnan(verdict.logprobs[b, verdict.lengths[b] + 1 :]).all()


def test_strided_rows_and_threads() -> None:
    rng = np.random.default_rng(1)
    wide = torch.from_numpy(rng.normal(size=(64, 2100))).to(torch.bfloat16)
    masks, ids = make_masks(rng, 63), rng.integers(-1, 6, size=64)
    one = masked_sample(wide[:, 50:2050], masks, ids, uniforms=np.full(64, 0.3), with_log_mass=True, num_threads=1)
    copied = wide[:, 50:2050].contiguous()
    three = masked_sample(copied, masks, ids, uniforms=np.full(64, 0.3), with_log_mass=True, num_threads=3)
    assert (one.tokens == three.tokens).all()
    assert np.array_equal(one.log_mass, three.log_mass, equal_nan=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row_ids": [0, 2]}, "row ids"),
        ({"row_ids": [0]}, "shape"),
        ({"parents": [-1, 1]}, "row 1"),
        ({"parents": [0, 0]}, "row 0"),
        ({"offsets": [0, 1, 1, 2]}, "offsets"),
        ({"uniforms": None}, "uniforms"),
        ({"uniforms": np.zeros((1, 1))}, "uniforms"),
        ({"temperature": -1.0}, "temperatures"),
        ({"top_p": 0.0}, "top-p"),
        ({"logits": torch.zeros(2, 8, dtype=torch.float64)}, "logits"),
        ({"logits": torch.zeros(8, 2).T}, "contiguous"),
    ],
)
def test_wrong_arguments_are_refused(change: dict, message: str) -> None:
    arguments = {
        "logits": torch.zeros(2, 8), "masks": np.full((2, 1), -1, np.int32), "row_ids": [0, 1], "parents": [-1, 0],
        "tokens": [0, 3], "temperature": 1.0, "uniforms": np.zeros((1, 2)),
    }  # fmt: skip
    assert verify_tree(**arguments).next_tokens.tolist() == [0]
    with pytest.raises(ValueError, match=message):
        verify_tree(**(arguments | change))
