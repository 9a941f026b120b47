"""Loops over the trie of expected futures: rows of a model gathered under a mask, bounds drawn from and refreshed.

The trie is arrays (see `structgen.decode.aligned.futures`, which owns them). Node u is a visited prefix; its edges
0 … count[u] - 1 are the tokens that may follow, in ascending order, and

values[start[u] + e] * scale + shift[u]   is the log-probability of edge e after u, in nats.

Values are float32 logits as the model gave them (scale: 1 / temperature; shift: less the log of the sum over all
tokens), or float64 log-probabilities (scale 1, shift 0). Of most edges nothing more is known: the mass of the language
below them is at most 1. Those of which more is known are a list, from first[u] on by k_next (-1 ends it):

k_edge    int32, the edge
k_child   int32, the node behind it; UNSEEN: not visited (any more); END: the token ends the text
k_theta   float64, log of an upper bound on the mass of the language below the token, given that it was drawn

All other edges together have the mass rest[u] * exp(top[u]), kept up by subtraction and summed anew before
cancellation could show: base[u] is what it was when it was summed last. So an update costs what is known, not what is
allowed.

Everything is in logarithms: the mass of one long text is below the smallest double.
"""

from __future__ import annotations

import math

import numpy as np

from structgen_kernels.jit import kernel
from structgen_kernels.rows import (
    ALL_BROKEN,
    ALL_MAX,
    ALL_SUM,
    BLOCK,
    BROKEN,
    FLOAT32,
    MAX,
    SUM,
    SUMMARY_WIDTH,
    _exp,
    kept_tokens,
    load_block,
    mass_of_kept,
    scale_of,
    survey_row,
)

UNSEEN = -1
END = -2
NONE = -1  # ends a list

BROKEN_ROW = -1  # of `gather`

# Where `gather` leaves what it found: the shift of the row; the largest log-probability of the allowed tokens and the
# sum of their probabilities, relative to it.
SHIFT, TOP, REST = 0, 1, 2

_LIST = "int32[::1], int32[::1], int32[::1]"  # first, k_edge, k_next


@kernel("int64(float64[::1], uint32[::1], int32[::1], float64[::1])")
def allowed(logp, mask, tokens_out, logp_out):  # type: ignore[no-untyped-def]
    """The tokens that a mask allows and the model can say, ascending; returns how many.

    logp: float64 [V]; mask: uint32 [words], bit t % 32 of word t // 32; tokens_out: int32 [V]; logp_out: float64 [V].
    """
    n = 0
    width = logp.shape[0]
    for word in range(min(mask.shape[0], (width + 31) // 32)):
        bits = mask[word]
        if bits == 0:
            continue
        for bit in range(32):
            token = word * 32 + bit
            if token < width and (bits >> np.uint32(bit)) & np.uint32(1) != 0 and logp[token] > -np.inf:
                tokens_out[n] = token
                logp_out[n] = logp[token]
                n += 1
    return n


@kernel("int64(int64, int64, uint32[::1], float64, int64, float64, int32[::1], float32[::1], float64[::1])")
def gather(address, width, mask, temperature, top_k, top_p, tokens_out, values_out, found):  # type: ignore[no-untyped-def]
    """The logits of the tokens that a mask allows, ascending; returns how many, or BROKEN_ROW.

    The row is read once, its normaliser and the mask's mass come of the same pass (see `rows`); the allowed blocks are
    then read again. Temperature, top-k and top-p are the model's: they cut the row before the mask does.

    address: of float32 [width]; mask: uint32 [words]; top_k: 0 for none; top_p: 1.0 for none; tokens_out: int32
    [width]; values_out: float32 [width]; found: float64 [3], see SHIFT, TOP and REST.
    """
    blocks = np.empty(((width + BLOCK - 1) // BLOCK, 2), np.float32)
    summary = np.empty(SUMMARY_WIDTH)
    buffer = np.empty(BLOCK, np.float32)
    scale = scale_of(temperature)
    found[SHIFT], found[TOP], found[REST] = 0.0, -np.inf, 0.0
    if top_k <= 0 or top_k > width:
        top_k = width
    n = 0
    if top_k == width and top_p >= 1.0:
        survey_row(address, FLOAT32, width, mask, True, scale, True, blocks, summary, buffer)
        if summary[ALL_BROKEN] > 0 or summary[ALL_MAX] == -np.inf:
            return BROKEN_ROW
        found[SHIFT] = -(summary[ALL_MAX] * scale + math.log(summary[ALL_SUM]))
        if summary[MAX] == -np.inf:
            return 0
        found[TOP] = summary[MAX] * scale + found[SHIFT]
        found[REST] = summary[SUM]
        for b in range(blocks.shape[0]):
            if blocks[b, 0] == -np.inf:
                continue
            load_block(address, FLOAT32, width, b, mask, True, buffer)
            for j in range(min(BLOCK, width - b * BLOCK)):
                # without a branch: where half the tokens are allowed it took twice as long with one
                tokens_out[n] = b * BLOCK + j
                values_out[n] = buffer[j]
                n += buffer[j] > -np.inf
        return n
    survey_row(address, FLOAT32, width, mask, False, scale, False, blocks, summary, buffer)
    if summary[BROKEN] > 0 or summary[MAX] == -np.inf:
        return BROKEN_ROW
    kept = np.empty(width, np.int64)
    num_kept = kept_tokens(address, FLOAT32, width, mask, False, scale, top_k, top_p, blocks, summary, buffer, kept)
    total = 0.0
    inside = 0.0
    largest = 0.0
    for i in range(num_kept):
        mass = mass_of_kept(kept[i], scale, summary)
        total += mass
        token = kept[i] >> 32
        word = token // 32
        if word < mask.shape[0] and (mask[word] >> np.uint32(token % 32)) & np.uint32(1) != 0:
            tokens_out[n] = token
            inside += mass
            largest = max(largest, mass)
            n += 1
    found[SHIFT] = -(summary[MAX] * scale + math.log(total))
    first = 0
    for i in range(n):  # in ascending order both: the blocks are read once
        token = np.int64(tokens_out[i])
        if i == 0 or token // BLOCK != first:
            first = token // BLOCK
            load_block(address, FLOAT32, width, first, mask, False, buffer)
        values_out[i] = buffer[token % BLOCK]
    if inside > 0.0:
        found[TOP] = math.log(largest) - math.log(total)
        found[REST] = inside / largest
    elif n:  # less than the smallest double beside the likeliest: summed by whoever needs it
        found[REST] = np.nan
    return n


def _both(text):  # type: ignore[no-untyped-def]
    """A signature for either kind of values."""
    return text.format("float32[::1]"), text.format("float64[::1]")


@kernel(*_both("void(int64, int64[::1], int64[::1], {}, float64, float64[::1], " + _LIST
               + ", float64[::1], float64[::1], float64[::1], boolean[::1])"))  # fmt: skip
def remain(node, start, count, values, scale, shift, first, k_edge, k_next, top, rest, base, marks):  # type: ignore[no-untyped-def]
    """Sum the edges of a node of which nothing is known anew. marks: boolean [at least count[node]], all false."""
    at, n, c = start[node], count[node], shift[node]
    k = first[node]
    while k != NONE:
        marks[k_edge[k]] = True
        k = k_next[k]
    largest = -np.inf
    for e in range(n):
        if not marks[e]:
            largest = max(largest, values[at + e] * scale + c)
    total = 0.0
    if largest > -np.inf:
        for e in range(n):
            if not marks[e]:
                total += math.exp(values[at + e] * scale + c - largest)
    k = first[node]
    while k != NONE:
        marks[k_edge[k]] = False
        k = k_next[k]
    top[node] = largest
    rest[node] = total
    base[node] = total


@kernel("float64(int64, boolean, int64[::1], int64[::1], float64[::1], float64, float64[::1], " + _LIST
        + ", float64[::1], float64[::1])")  # fmt: skip
def score(node, use_theta, start, count, values, scale, shift, first, k_edge, k_next, k_theta, out):  # type: ignore[no-untyped-def]
    """Weights of a node's edges, scaled so that the largest is 1, into out [count]; returns the log of their sum.

    The weight of an edge is P(t | u) theta(u t) with `use_theta`, else P(t | u).
    """
    at, n, c = start[node], count[node], shift[node]
    for e in range(n):
        out[e] = values[at + e] * scale + c
    if use_theta:
        k = first[node]
        while k != NONE:
            out[k_edge[k]] += k_theta[k]
            k = k_next[k]
    top = -np.inf
    for e in range(n):
        top = max(top, out[e])
    if top == -np.inf:
        for e in range(n):
            out[e] = 0.0
        return -np.inf
    total = 0.0
    for e in range(n):
        out[e] = math.exp(out[e] - top)
        total += out[e]
    return top + math.log(total)


@kernel("float64(int64, boolean, int64[::1], int64[::1], float32[::1], float64, float64[::1], " + _LIST
        + ", float64[::1], float64[::1])")  # fmt: skip
def score_logits(node, use_theta, start, count, values, scale, shift, first, k_edge, k_next, k_theta, out):  # type: ignore[no-untyped-def]
    """`score` for values that are float32 logits, with the exponential of `rows`: to 2 ulp of float32."""
    at, n, c = start[node], count[node], shift[node]
    for e in range(n):
        out[e] = values[at + e] * scale + c
    if use_theta:
        k = first[node]
        while k != NONE:
            out[k_edge[k]] += k_theta[k]
            k = k_next[k]
    top = -np.inf
    for e in range(n):
        top = max(top, out[e])
    if top == -np.inf:
        for e in range(n):
            out[e] = 0.0
        return -np.inf
    total = 0.0
    for e in range(n):
        out[e] = _exp(np.float32(out[e] - top))
        total += out[e]
    return top + math.log(total)


@kernel(*_both("void(int64, boolean, int32[::1], int32[::1], int64[::1], {}, float64, float64[::1], int32[::1], "
               "int32[::1], int32[::1], int32[::1], float64[::1], float64[::1], float64[::1], float64[::1], "
               "float64[::1])"))  # fmt: skip
def refresh(node, may_rise, parent, entry, start, values, scale, shift, first, k_edge, k_child, k_next, k_theta, top,
            rest, upper, lower):  # type: ignore[no-untyped-def]  # fmt: skip
    """Recompute a node's bounds, and those of its ancestors as long as something changes.

    theta(u) = sum of P(t | u) theta(u t) over its edges; the lower bound counts ends and visited children only. A bound
    that would rise by rounding stays, unless it `may_rise`. entry[u]: where u stands in its parent's list.
    """
    while node >= 0:
        at, c = start[node], shift[node]
        others = top[node] + math.log(rest[node]) if rest[node] > 0.0 else -np.inf
        largest = others
        k = first[node]
        while k != NONE:
            largest = max(largest, values[at + k_edge[k]] * scale + c + k_theta[k])
            k = k_next[k]
        high, low = -np.inf, -np.inf
        if largest > -np.inf:
            high_sum, low_sum = math.exp(others - largest), 0.0
            k = first[node]
            while k != NONE:
                logp = values[at + k_edge[k]] * scale + c
                mass = math.exp(logp + k_theta[k] - largest)
                high_sum += mass
                child = k_child[k]
                if child == END:
                    low_sum += mass
                elif child >= 0 and lower[child] > -np.inf:
                    low_sum += math.exp(logp + lower[child] - largest)
                k = k_next[k]
            high = min(largest + math.log(high_sum), 0.0)  # rounding may carry a sum of probabilities past 1
            if not may_rise:
                high = min(high, upper[node])
            if low_sum > 0.0:
                low = min(largest + math.log(low_sum), high)
        above = parent[node]
        same = upper[node] == high and lower[node] == low
        upper[node] = high
        lower[node] = low
        if above >= 0:
            if same and k_theta[entry[node]] == high:
                return
            k_theta[entry[node]] = high
        node = above


@kernel("int64(int64, int64, int32[::1], int32[::1], int32[::1])")
def find(node, edge, first, k_edge, k_next):  # type: ignore[no-untyped-def]
    """Where an edge stands in a node's list, or NONE."""
    k = first[node]
    while k != NONE and k_edge[k] != edge:
        k = k_next[k]
    return k


@kernel(*(f"int64(int32[::1], int64[::1], int64[::1], {each})" for each in
          ("int32[::1]", "float32[::1]", "float64[::1]")))  # fmt: skip
def pack(order, start, count, pool):  # type: ignore[no-untyped-def]
    """Move the pieces of the nodes in `order` (ascending by start) to the front of a pool; returns what is in use."""
    to = 0
    for i in range(order.shape[0]):
        node = order[i]
        at, n = start[node], count[node]
        for k in range(n):
            pool[to + k] = pool[at + k]
        start[node] = to
        to += n
    return to
