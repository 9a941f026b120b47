"""The CPU kernels of `structgen_kernels.verify`: survey rows, walk down draft trees, write out a distribution."""

from __future__ import annotations

import math

import numpy as np

from structgen_kernels.jit import kernel
from structgen_kernels.rows import (
    BLOCK,
    BROKEN,
    KNOWN,
    MAX,
    UNCONSTRAINED,
    kept_tokens,
    load_block,
    mass_of_kept,
    pick,
    scale_of,
    survey_row,
)

# Where the logits are: int64 [4].
ADDRESS, KIND, STRIDE, WIDTH = 0, 1, 2, 3  # of row 0; a kind of `rows`; bytes from row to row; tokens


@kernel("int64(int32[::1], int64[::1], int32[::1])")
def tree_depths(parents, offsets, depths):
    """Writes the depth of every row (0: a root) and returns the largest, or -1 - row for a row with a wrong parent."""
    deepest = 0
    for t in range(offsets.shape[0] - 1):
        first, end = offsets[t], offsets[t + 1]
        for row in range(first, end):
            parent = np.int64(parents[row])
            if row == first:
                if parent != -1:
                    return -1 - row
                depths[row] = 0
                continue
            if parent < 0 or parent >= row - first:
                return -1 - row
            depths[row] = depths[first + parent] + 1
            deepest = max(deepest, np.int64(depths[row]))
    return deepest


@kernel("void(int64[::1], uint32[:, ::1], int32[::1], float64[::1], int64, int64, float32[:, :, ::1], "
        "float64[:, ::1])")  # fmt: skip
def survey_rows(logits, masks, row_ids, temperatures, first, end, blocks, summaries):
    """Surveys rows [first, end), the mass of all tokens included. temperatures: one a row."""
    buffer = np.empty(BLOCK, np.float32)
    for row in range(first, end):
        r = np.int64(row_ids[row])
        address, scale = logits[ADDRESS] + row * logits[STRIDE], scale_of(temperatures[row])
        survey_row(address, logits[KIND], logits[WIDTH], masks[max(r, 0)], r != UNCONSTRAINED, scale, True,
                   blocks[row], summaries[row], buffer)  # fmt: skip


@kernel("void(int64[::1], uint32[:, ::1], int32[::1], int32[::1], int32[::1], int64[::1], float64[::1], int64[::1], "
      "float64[::1], float64[:, ::1], int64, int64, float32[:, :, ::1], float64[:, ::1], int32[:, ::1], int32[::1], "
      "int32[::1], float64[:, ::1])")  # fmt: skip
def walk_trees(logits, masks, row_ids, parents, tokens, offsets, temperatures, top_ks, top_ps, uniforms, first, end,
               blocks, summaries, paths, lengths, next_tokens, logprobs):  # fmt: skip
    """Walks down trees [first, end): draws a token at the root, goes to the child that holds it, and so on.

    temperatures, top_ks, top_ps: one a tree. Rows are surveyed when they are reached, unless they were before.
    """
    buffer = np.empty(BLOCK, np.float32)
    logprob = np.empty(1)
    for t in range(first, end):
        base = offsets[t]
        row = base
        depth = 0
        while True:
            r = np.int64(row_ids[row])
            address = logits[ADDRESS] + row * logits[STRIDE]
            if summaries[row, KNOWN] == 0:
                survey_row(address, logits[KIND], logits[WIDTH], masks[max(r, 0)], r != UNCONSTRAINED,
                           scale_of(temperatures[t]), False, blocks[row], summaries[row], buffer)  # fmt: skip
            token = pick(address, logits[KIND], logits[WIDTH], masks[max(r, 0)], r != UNCONSTRAINED, temperatures[t],
                         top_ks[t], top_ps[t], uniforms[t, depth], blocks[row], summaries[row], buffer,
                         logprob)  # fmt: skip
            logprobs[t, depth] = logprob[0]
            child = np.int64(-1)
            if token >= 0:
                for i in range(row + 1, offsets[t + 1]):
                    if parents[i] == row - base and tokens[i] == token:
                        child = i
                        break
            if child < 0:
                lengths[t] = depth
                next_tokens[t] = token
                break
            paths[t, depth] = child - base
            row = child
            depth += 1


@kernel("void(int64[::1], uint32[:, ::1], int64, int64, float64, int64, float64, float64[::1])")  # fmt: skip
def write_probabilities(logits, masks, row, row_id, temperature, top_k, top_p, out):
    """out: float64 [WIDTH], written: the distribution that a row is drawn from; zeros: it has none, NaN: broken."""
    width = logits[WIDTH]
    num_blocks = (width + BLOCK - 1) // BLOCK
    blocks = np.empty((num_blocks, 2), np.float32)
    summary = np.empty(KNOWN + 1)
    buffer = np.empty(BLOCK, np.float32)
    words = masks[max(row_id, 0)]
    constrained = row_id != UNCONSTRAINED
    scale = scale_of(temperature)
    address = logits[ADDRESS] + row * logits[STRIDE]
    survey_row(address, logits[KIND], width, words, constrained, scale, False, blocks, summary, buffer)
    out[:] = np.nan if summary[BROKEN] > 0 else 0.0
    if summary[BROKEN] > 0 or summary[MAX] == -np.inf:
        return
    if top_k <= 0 or top_k > width:
        top_k = width
    if temperature == 0.0:
        logprob = np.empty(1)
        token = pick(address, logits[KIND], width, words, constrained, 0.0, 0, 1.0, 0.0, blocks, summary, buffer,
                     logprob)  # fmt: skip
        out[token] = 1.0
        return
    total = 0.0
    if top_k == width and top_p >= 1.0:
        for b in range(num_blocks):
            if blocks[b, 0] == -np.inf:
                continue
            load_block(address, logits[KIND], width, b, words, constrained, buffer)
            for j in range(min(BLOCK, width - b * BLOCK)):
                if buffer[j] > -np.inf:
                    mass = math.exp((buffer[j] - summary[MAX]) * scale)
                    out[b * BLOCK + j] = mass
                    total += mass
    else:
        kept = np.empty(width, np.int64)
        n = kept_tokens(address, logits[KIND], width, words, constrained, scale, top_k, top_p, blocks, summary, buffer,
                        kept)  # fmt: skip
        for i in range(n):
            mass = mass_of_kept(kept[i], scale, summary)
            out[kept[i] >> 32] = mass
            total += mass
    for i in range(width):
        out[i] /= total
