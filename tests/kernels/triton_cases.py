"""Run by `test_triton_verify.py` with TRITON_INTERPRET=1: Triton kernels agree with the reference and with numba."""

from __future__ import annotations

import os
from itertools import pairwise

import numpy as np
import pytest
import torch
from test_verify import DTYPES, SAMPLINGS, agrees, distribution, make_logits, make_masks

from structgen_kernels import verify as v

assert os.environ["TRITON_INTERPRET"] == "1"


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("width", [5, 300, 700])
def test_trees_agree(dtype: torch.dtype, width: int) -> None:
    rng = np.random.default_rng(width)
    sizes = [1, 3, 7, 2, 5, 4]
    offsets = np.cumsum([0, *sizes])
    n = int(offsets[-1])
    logits = make_logits(rng, n, width, dtype)
    logits[:, :3] += 7
    masks = make_masks(rng, max((width + 31) // 32 - (width == 700), 1))
    masks[2:, 0] |= 3
    ids = rng.choice([-1, 0, 1, 2, 3], size=n, p=[0.2, 0.05, 0.25, 0.25, 0.25]).astype(np.int32)
    parents = np.concatenate([[-1, *(rng.integers(0, i) for i in range(1, size))] for size in sizes])
    tokens = rng.integers(0, 3, size=n)
    uniforms = rng.random((len(sizes), 8))
    chosen = [SAMPLINGS[i % len(SAMPLINGS)] for i in range(len(sizes))]
    options = {
        "offsets": offsets, "temperature": [t for t, _, _ in chosen], "top_k": [k or 0 for _, k, _ in chosen],
        "top_p": [p or 1.0 for _, _, p in chosen], "uniforms": uniforms,
    }  # fmt: skip
    found = v.verify_tree(logits, masks, ids, parents, tokens, **options, with_log_mass=True)
    batch = v._batch(logits, masks, ids, parents, tokens, *options.values())
    numba = v._verify_tree_numba(logits, masks, batch, True, 1)
    assert np.allclose(found.log_mass, numba.log_mass, atol=1e-5, equal_nan=True)
    for b, (first, _) in enumerate(pairwise(offsets)):
        path = found.paths[b, : found.lengths[b]].tolist()
        emitted = [int(tokens[first + row]) for row in path] + [int(found.next_tokens[b])]
        for row, token, u in zip([0, *path], emitted, uniforms[b], strict=False):
            assert agrees(distribution(logits[first + row], masks, ids[first + row], chosen[b]), u, token)
        same = int(numba.next_tokens[b]) == emitted[-1] and numba.lengths[b] == found.lengths[b]
        if same:  # else u lies on a border
            assert np.allclose(found.logprobs[b], numba.logprobs[b], atol=1e-5, equal_nan=True)
            assert (found.paths[b] == numba.paths[b]).all()
        elif chosen[b][0] == 0.0:
            raise AssertionError("greedy paths differ")


def test_ties_and_broken_rows() -> None:
    logits = torch.zeros(7, 300)
    logits[1, 250] = -0.0
    logits[2, 280] = float("nan")
    logits[3, 280] = float("inf")
    logits[4] = -float("inf")
    masks = np.full((2, 10), -1, np.int32)
    masks[1, 8] &= ~(1 << 24)  # token 280
    ids = [0, 0, 0, 1, 0, 0, 1]
    argmax = v.masked_argmax(logits, masks, ids)
    assert argmax.tokens.tolist() == [0, 0, -1, 0, -1, 0, 0]
    assert np.isnan(argmax.logprobs[2])
    assert argmax.logprobs[4] == -np.inf
    # of equal logits the first are kept
    kept = v.masked_sample(logits[:2], masks, [0, 0], temperature=1.0, top_k=3, uniforms=[0.99, 0.4])
    assert kept.tokens.tolist() == [2, 1]
    nucleus = v.masked_sample(logits[:2], masks, [0, 0], temperature=1.0, top_p=0.0099, uniforms=[0.99, 0.4])
    assert nucleus.tokens.tolist() == [2, 1]
