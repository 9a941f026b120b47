"""Masking logits: every logit whose bit is not set becomes -inf, in place.

A bitmask is int32 [rows, words]; token t is bit t % 32 of word t // 32, 1 means allowed. Logits may be wider than the
bitmask (padding: not allowed) or narrower (the further bits are ignored).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import int16, int32, int64

from structgen_kernels.jit import kernel

# -inf by the width of the float, as the bits of an integer of that width: numpy has no bfloat16, the kernel needs none.
_AS_INTEGER = {
    torch.float32: (torch.int32, np.int32(np.float32(-np.inf).view(np.int32))),
    torch.float64: (torch.int64, np.int64(np.float64(-np.inf).view(np.int64))),
    torch.float16: (torch.int16, np.int16(np.float16(-np.inf).view(np.int16))),
    torch.bfloat16: (torch.int16, np.int16(np.uint16(0xFF80).view(np.int16))),
}


def apply_bitmask(logits: Any, bitmask: Any) -> None:
    """Sets logits [rows, V] to -inf, in place, where the bit in bitmask [rows, words] is 0.

    `logits` is a float tensor; `bitmask` an int32 tensor on any device, or a numpy array.
    """
    if isinstance(bitmask, np.ndarray):
        bitmask = torch.from_numpy(bitmask)
    if logits.ndim != 2 or bitmask.ndim != 2 or logits.shape[0] != bitmask.shape[0]:
        raise ValueError(f"logits {tuple(logits.shape)} and bitmask {tuple(bitmask.shape)} must be [rows, …] alike")
    if bitmask.dtype != torch.int32:
        raise ValueError(f"a bitmask is int32, not {bitmask.dtype}")
    if logits.device.type == "cpu" and logits.dtype in _AS_INTEGER and logits.is_contiguous():
        integer, minus_infinity = _AS_INTEGER[logits.dtype]
        _apply(logits.detach().view(integer).numpy(), bitmask.cpu().contiguous().numpy(), minus_infinity)
    else:
        apply_bitmask_torch(logits, bitmask)


# Signatures are given, and compiled in this order by every process: numba's cache may mix up overloads of a function
# that several processes compile at once in different orders (numba issue 4807).
@kernel(*((each[:, ::1], int32[:, ::1], each) for each in (int32, int16, int64)))
def _apply(logits: Any, bitmask: Any, minus_infinity: Any) -> None:
    """logits: int view of floats [rows, V]; bitmask: int32 [rows, words]; whole words of one kind need no bit tests."""
    rows, width = logits.shape
    words = bitmask.shape[1]
    for row in range(rows):
        for word in range((width + 31) // 32):
            bits = bitmask[row, word] if word < words else np.int32(0)
            if bits == -1:
                continue
            start = word * 32
            end = min(start + 32, width)
            if bits == 0:
                for token in range(start, end):
                    logits[row, token] = minus_infinity
                continue
            for token in range(start, end):
                if (bits >> (token - start)) & 1 == 0:
                    logits[row, token] = minus_infinity


def apply_bitmask_torch(logits: Any, bitmask: Any) -> None:
    """`apply_bitmask` in torch operations, for any device."""
    bits = torch.arange(32, dtype=torch.int32, device=logits.device)
    allowed = ((bitmask.to(logits.device).unsqueeze(-1) >> bits) & 1).bool().flatten(1)
    width = logits.shape[1]
    if allowed.shape[1] < width:
        allowed = torch.nn.functional.pad(allowed, (0, width - allowed.shape[1]))
    logits.masked_fill_(~allowed[:, :width], float("-inf"))


def apply_bitmask_reference(logits: Any, bitmask: Any) -> None:
    """`apply_bitmask`, one token at a time."""
    rows, width = logits.shape
    for row in range(rows):
        for token in range(width):
            word = token // 32
            allowed = word < bitmask.shape[1] and (int(bitmask[row, word]) >> (token % 32)) & 1
            if not allowed:
                logits[row, token] = float("-inf")
