"""The fast ways of masking logits agree with the slow one, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from structgen_kernels.bitmask import apply_bitmask, apply_bitmask_reference, apply_bitmask_torch

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def _case(width: int, words: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(width * 1000 + words)
    mask = rng.integers(-(2**31), 2**31, size=(5, words), dtype=np.int64).astype(np.int32)
    mask[1], mask[2] = 0, -1
    logits = torch.from_numpy(rng.normal(size=(5, width))).to(dtype)
    return logits, torch.from_numpy(mask)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("width", "words"), [(1, 1), (31, 1), (32, 1), (33, 2), (100, 4), (100, 2), (70, 4)])
@pytest.mark.parametrize("apply", [apply_bitmask, apply_bitmask_torch])
def test_agrees_with_the_reference(apply, width: int, words: int, dtype: torch.dtype) -> None:
    logits, mask = _case(width, words, dtype)
    expected = logits.clone()
    apply_bitmask_reference(expected, mask)
    apply(logits, mask)
    assert torch.equal(logits, expected)


def test_rows_of_a_larger_tensor_and_numpy_masks() -> None:
    logits, mask = _case(64, 2, torch.float32)
    wide = torch.cat([logits, logits], 1)
    expected = wide.clone()
    apply_bitmask_reference(expected[:, :64], mask)
    apply_bitmask(wide[:, :64], mask.numpy())
    assert torch.equal(wide, expected)


def test_wrong_shapes_and_types_are_refused() -> None:
    logits = torch.zeros(2, 40)
    with pytest.raises(ValueError, match="alike"):
        apply_bitmask(logits, torch.zeros(1, 2, dtype=torch.int32))
    with pytest.raises(ValueError, match="int32"):
        apply_bitmask(logits, torch.zeros(2, 2, dtype=torch.int64))
