"""The CPU kernel of `structgen_kernels.verify_drawn`: down trees of drawn children, by recursive rejection."""

from __future__ import annotations

import math

import numpy as np

from structgen_kernels.jit import helper, kernel
from structgen_kernels.rows import BLOCK, SUMMARY_WIDTH, UNCONSTRAINED, pick, scale_of, survey_row
from structgen_kernels.walk_trees import ADDRESS, KIND, STRIDE, WIDTH, write_probabilities

NO_RESIDUAL = 1e-14  # less mass than this is rounding: it is reached with a probability of just its mass


@helper("int64(float64[::1], float64)")
def _draw(weights, u):
    """The first index whose cumulative weight exceeds u times the sum; the last with a weight if rounding has none."""
    total = 0.0
    for i in range(weights.shape[0]):
        total += weights[i]
    target = u * total
    cumulative = 0.0
    last = np.int64(-1)
    for i in range(weights.shape[0]):
        if weights[i] > 0.0:
            last = i
            cumulative += weights[i]
            if cumulative > target:
                break
    return last


@helper("void(float64[::1], float64[::1])")
def _leave_residual(p, q):
    """p = norm((p - q)+); p stays where nothing would be left, which a rejection reaches by rounding only."""
    total = 0.0
    for i in range(p.shape[0]):
        total += max(p[i] - q[i], 0.0)
    if total > NO_RESIDUAL:
        for i in range(p.shape[0]):
            p[i] = max(p[i] - q[i], 0.0) / total


@helper("float64(float64[::1], float32[::1], float64[::1])")
def _inside(p, drawn_from, q):
    """q = drawn_from inside the support of p, made to sum to 1 if anything is there; returns what the sum was."""
    total = 0.0
    for i in range(p.shape[0]):
        q[i] = drawn_from[i] if p[i] > 0.0 else 0.0
        total += q[i]
    if total > 0.0:
        for i in range(p.shape[0]):
            q[i] /= total
    return total


@kernel("void(int64[::1], uint32[:, ::1], int32[::1], int32[::1], int32[::1], int64[::1], float64[::1], int64[::1], "
        "float64[::1], float64[:, ::1], float32[:, ::1], int32[::1], boolean, int64, int64, int32[:, ::1], int32[::1], "
        "int32[::1], float64[:, ::1], int32[:, ::1])")  # fmt: skip
def walk_drawn_trees(logits, masks, row_ids, parents, tokens, offsets, temperatures, top_ks, top_ps, uniforms, q_rows,
                     q_of_row, replacement, first, end, paths, lengths, next_tokens, logprobs, used):  # fmt: skip
    """Walks down trees [first, end): children are tested in the order in which they stand, then the rest is drawn from.

    A row whose children were not drawn (`q_of_row` -1), or has none, draws its token as `walk_trees` does. A child is
    tested with one uniform number, a token is drawn with one; used[t, d] counts those of the first d + 1 tokens.
    """
    width = logits[WIDTH]
    blocks = np.empty(((width + BLOCK - 1) // BLOCK, 2), np.float32)
    summary = np.empty(SUMMARY_WIDTH)
    buffer = np.empty(BLOCK, np.float32)
    logprob = np.empty(1)
    p = np.empty(width)
    left = np.empty(width)
    q = np.empty(width)
    for t in range(first, end):
        base = offsets[t]
        row = base
        depth = 0
        number = np.int64(0)
        while True:
            r = np.int64(row_ids[row])
            has_drawn = False
            if q_of_row[row] >= 0:
                for i in range(row + 1, offsets[t + 1]):
                    if parents[i] == row - base:
                        has_drawn = True
                        break
            token = np.int64(-1)
            child = np.int64(-1)
            if not has_drawn:
                address = logits[ADDRESS] + row * logits[STRIDE]
                survey_row(address, logits[KIND], width, masks[max(r, 0)], r != UNCONSTRAINED,
                           scale_of(temperatures[t]), False, blocks, summary, buffer)  # fmt: skip
                token = pick(address, logits[KIND], width, masks[max(r, 0)], r != UNCONSTRAINED, temperatures[t],
                             top_ks[t], top_ps[t], uniforms[t, number], blocks, summary, buffer,
                             logprob)  # fmt: skip
                logprobs[t, depth] = logprob[0]
                if token >= 0:
                    number += 1
                    for i in range(row + 1, offsets[t + 1]):
                        if parents[i] == row - base and tokens[i] == token:
                            child = i
                            break
            else:
                write_probabilities(logits, masks, row, r, temperatures[t], top_ks[t], top_ps[t], p)
                total = 0.0
                for i in range(width):
                    total += p[i]
                if not total > 0.0:
                    logprobs[t, depth] = np.nan if math.isnan(total) else -np.inf
                else:
                    is_open = _inside(p, q_rows[q_of_row[row]], q) > 0.0
                    is_whole = True  # p less nothing yet
                    for i in range(row + 1, offsets[t + 1]):
                        if not is_open:
                            break
                        drafted = np.int64(tokens[i])
                        if parents[i] != row - base or drafted < 0 or q[drafted] == 0.0:
                            continue
                        now = p if is_whole else left
                        accepted = uniforms[t, number] < now[drafted] / q[drafted]
                        number += 1
                        if accepted:
                            token, child = drafted, np.int64(i)
                            break
                        if is_whole:
                            left[:] = p
                            is_whole = False
                        _leave_residual(left, q)
                        if not replacement:
                            q[drafted] = 0.0
                            rest = 0.0
                            for k in range(width):
                                rest += q[k]
                            if not rest > 0.0:  # fewer legal tokens than draws
                                break
                            for k in range(width):
                                q[k] /= rest
                    if token < 0:
                        token = _draw(p if is_whole else left, uniforms[t, number])
                        number += 1
                    logprobs[t, depth] = math.log(p[token])
            used[t, depth] = number
            if child < 0:
                lengths[t] = depth
                next_tokens[t] = token
                break
            paths[t, depth] = child - base
            row = child
            depth += 1
