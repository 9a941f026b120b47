"""Loops over the trie of expected futures: bounds on the mass below a prefix, drawn from and refreshed.

The trie is arrays (see `structgen.decode.aligned.futures`, which owns them). Node u is a visited prefix; its edges
`start[u] … start[u] + count[u]` are the tokens that may follow, and for an edge e:

token[e]   int32, the token
logp[e]    float64, its log-probability after u (nats)
theta[e]   float64, log of an upper bound on the mass of the language below the token, given that it was drawn
child[e]   int32, the node behind the token; UNSEEN: not visited; END: the token ends the text

Everything is in logarithms: the mass of one long text is below the smallest double.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.jit import kernel

UNSEEN = -1
END = -2

_SIGNATURES = {
    "allowed": "int64(float64[::1], uint32[::1], int32[::1], float64[::1])",
    "score": "float64(int64, boolean, int64[::1], int64[::1], float64[::1], float64[::1], float64[::1])",
    "refresh": (
        "void(int64, int32[::1], int64[::1], int64[::1], int64[::1], float64[::1], float64[::1], int32[::1],"
        " float64[::1], float64[::1])"
    ),
    "pack": "int64(int32[::1], int64[::1], int64[::1], int32[::1], int32[::1], float64[::1], float64[::1])",
}


@kernel(_SIGNATURES["allowed"])
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


@kernel(_SIGNATURES["score"])
def score(node, use_theta, start, count, logp, theta, out):  # type: ignore[no-untyped-def]
    """Weights of a node's edges, scaled so that the largest is 1, into out [count]; returns the log of their sum.

    The weight is P(t | u), times the bound below t if `use_theta`. The sum is -inf for a node without futures.
    """
    first, n = start[node], count[node]
    top = -np.inf
    for k in range(n):
        weight = logp[first + k]
        if use_theta:
            weight += theta[first + k]
        out[k] = weight
        top = max(top, weight)
    if top == -np.inf:
        for k in range(n):
            out[k] = 0.0
        return -np.inf
    total = 0.0
    for k in range(n):
        out[k] = np.exp(out[k] - top)
        total += out[k]
    return top + np.log(total)


@kernel(_SIGNATURES["refresh"])
def refresh(node, parent, parent_edge, start, count, upper, lower, child, logp, theta):  # type: ignore[no-untyped-def]
    """Recompute a node's bounds from its edges, and those of its ancestors as long as something changes.

    theta(u) = sum of P(t | u) theta(u t) over its edges; the lower bound counts ends and visited children only. Sums
    are made anew: subtracting what has changed would cost less, and lose the small ones.
    """
    while node >= 0:
        first, n = start[node], count[node]
        top = -np.inf
        for e in range(first, first + n):
            top = max(top, logp[e] + theta[e])
        high, low = -np.inf, -np.inf
        if top > -np.inf:
            high_sum, low_sum = 0.0, 0.0
            for e in range(first, first + n):
                mass = np.exp(logp[e] + theta[e] - top)
                high_sum += mass
                if child[e] == END:
                    low_sum += mass
                elif child[e] >= 0 and lower[child[e]] > -np.inf:
                    low_sum += np.exp(logp[e] + lower[child[e]] - top)
            high = min(top + np.log(high_sum), 0.0)  # rounding may carry a sum of probabilities past 1
            if low_sum > 0.0:
                low = min(top + np.log(low_sum), high)
        above = parent[node]
        same = upper[node] == high and lower[node] == low
        upper[node] = high
        lower[node] = low
        if above >= 0:
            if same and theta[parent_edge[node] + start[above]] == high:
                return
            theta[parent_edge[node] + start[above]] = high
        node = above


@kernel(_SIGNATURES["pack"])
def pack(order, start, count, token, child, logp, theta):  # type: ignore[no-untyped-def]
    """Move the edges of the nodes in `order` (ascending by start) to the front, in place; returns the edges in use."""
    to = 0
    for i in range(order.shape[0]):
        node = order[i]
        at, n = start[node], count[node]
        for k in range(n):
            token[to + k] = token[at + k]
            child[to + k] = child[at + k]
            logp[to + k] = logp[at + k]
            theta[to + k] = theta[at + k]
        start[node] = to
        to += n
    return to
