"""The kernels of the trie of expected futures beside what they replace, taking turns; see `bench`, which prints this.

Row to node: a row of logits and a mask in, the allowed tokens with their normalised log-probabilities and the mask's
mass out; beside it log-softmax in float64, the mask unpacked, and a sum. Update: a child's bound has changed, and its
parent's is worked out, of whose children 16 (or all) are known; beside it the sum over all allowed tokens. Bytes: of a
node's edges, beside token, child, log-probability and bound for each allowed token.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from structgen_kernels import futures

KNOWN = 16
_EDGE_BYTES = 4 + 4 + 8 + 8
_KNOWN_BYTES = 4 + 4 + 4 + 8


class NodeCase:
    """One row of random logits, one mask, and a node that 16 children hang on."""

    def __init__(self, width: int, share: float) -> None:
        rng = np.random.default_rng(0)
        self.logits = (rng.normal(size=width) * 3).astype(np.float32)
        allowed = np.pad(rng.random(width) < share, (0, -width % 32))
        self.mask = np.packbits(allowed, bitorder="little").view(np.uint32)
        self.tokens, self.values = np.zeros(width, np.int32), np.zeros(width, np.float32)
        self.found = np.zeros(3)
        self.n = int(self.gather())
        known = min(KNOWN, self.n)
        self.bytes = 4 * self.n + 4 * min(self.n, width - self.n) + known * _KNOWN_BYTES
        self.bytes_before = _EDGE_BYTES * self.n
        # node 0 with its edges; the children 1 … known hang on its likeliest ones
        self.start = np.zeros(known + 1, np.int64)
        self.count = np.array([self.n] + [0] * known, np.int64)
        self.shift = np.full(known + 1, self.found[futures.SHIFT])
        self.parent = np.array([-1] + [0] * known, np.int32)
        self.entry = np.arange(-1, known, dtype=np.int32)
        self.first = np.array([0] + [futures.NONE] * known, np.int32)
        self.edges = np.argsort(-self.values[: self.n], kind="stable")[:known].astype(np.int32)
        self.children = np.arange(1, known + 1, dtype=np.int32)
        self.next = np.array([*range(1, known), futures.NONE], np.int32)
        self.thetas = np.full(known, -0.5)
        self.top, self.rest, self.base = (np.zeros(known + 1) for _ in range(3))
        self.upper, self.lower = np.zeros(known + 1), np.full(known + 1, -np.inf)
        futures.remain(0, self.start, self.count, self.values, 1.0, self.shift, self.first, self.edges, self.next,
                       self.top, self.rest, self.base, np.zeros(self.n, np.bool_))  # fmt: skip
        self.logp = self.values[: self.n].astype(np.float64) + self.found[futures.SHIFT]
        self.theta = np.zeros(self.n)
        self.theta[self.edges] = self.thetas

    def runs(self) -> dict[str, Callable[[], Any]]:
        """What takes turns."""
        return {"chain": self.chain, "gather": self.gather, "sum": self.sum, "refresh": self.refresh}

    def gather(self) -> Any:
        """A row to what a node keeps, by the kernel."""
        return futures.gather(self.logits.ctypes.data, len(self.logits), self.mask, 1.0, 0, 1.0, self.tokens,
                              self.values, self.found)  # fmt: skip

    def chain(self) -> Any:
        """The same by log-softmax, a mask and a sum."""
        logp = torch.log_softmax(torch.from_numpy(self.logits).double(), -1).numpy()
        allowed = np.unpackbits(self.mask.view(np.uint8), bitorder="little")[: len(logp)].view(np.bool_)
        tokens = np.flatnonzero(allowed).astype(np.int32)
        inside = logp[tokens]
        return tokens, inside, np.log(np.exp(inside).sum())

    def sum(self) -> float:
        """A bound anew from all edges."""
        weights = self.logp + self.theta
        top = weights.max()
        return float(top + np.log(np.exp(weights - top).sum()))

    def refresh(self) -> None:
        """A child's bound has fallen: its own, and its parent's."""
        self.upper[1] = 0.0  # the child's edges are none, so it falls; its parent must follow
        self.thetas[0] = -0.5
        futures.refresh(1, True, self.parent, self.entry, self.start, self.values, 1.0, self.shift, self.first,
                        self.edges, self.children, self.next, self.thetas, self.top, self.rest, self.upper,
                        self.lower)  # fmt: skip
