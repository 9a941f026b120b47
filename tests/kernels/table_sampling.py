"""Rows of the table: logits under masks, draft trees verified, the trie of expected futures."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from kernel_scene import Scene
from kernel_table import Rows, Trial

from structgen_kernels import futures, walk_trees
from structgen_kernels import reference_verify as reference
from structgen_kernels.bench_futures import NodeCase
from structgen_kernels.bitmask import apply_bitmask
from structgen_kernels.verify import masked_probabilities, verify_tree
from structgen_kernels.verify_drawn import verify_drawn

ROWS = Rows()
_SAMPLING: dict[str, Any] = {"temperature": 0.8, "top_k": 40, "top_p": 0.95}


class _Trees:
    """Three draft trees with logits, masks and uniform numbers. As wide as the scene's vocabulary."""

    def __init__(self, scene: Scene) -> None:
        rng = np.random.default_rng(6)
        self.width = len(scene.tokens)
        self.offsets = np.array([0, 5, 6, 14], np.int64)
        n = int(self.offsets[-1])
        self.parents = np.array([-1, 0, 0, 1, 3, -1, -1, 0, 0, 0, 1, 2, 4, 4], np.int32)
        self.logits = torch.from_numpy((rng.normal(size=(n, self.width)) * 3).astype(np.float32))
        allowed = rng.random((4, 32 * scene.words)) < np.array([[0.9], [0.5], [0.1], [0.0]])
        self.masks = np.packbits(allowed, axis=1, bitorder="little").view(np.int32)
        self.row_ids = rng.integers(-1, 3, n).astype(np.int32)
        self.row_ids[5] = 3  # nothing is allowed
        self.uniforms = rng.random((3, 24))
        self.tokens = np.zeros(n, np.int32)
        for row in range(n):  # likely children, so that some are kept
            tree = int(np.searchsorted(self.offsets, row, "right")) - 1
            if self.parents[row] >= 0:
                parent = int(self.offsets[tree] + self.parents[row])
                self.tokens[row] = np.argsort(-self._p(parent))[row % 3]
        self.q_rows = (rng.random((2, self.width)) ** 8).astype(np.float32)
        for row in range(2):
            self.q_rows[row, self.tokens] += 1.0
        self.q_rows /= self.q_rows.sum(axis=1, keepdims=True)
        self.q_of_row = np.array([0, 1, -1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0], np.int32)

    @cache  # noqa: B019 lives as long as the tests
    def p_or_none(self, row: int) -> Any:
        allowed = reference.allowed_tokens(self.masks, int(self.row_ids[row]), self.width)
        return reference.distribution(self.logits[row].numpy(), allowed, *_SAMPLING.values())

    def _p(self, row: int) -> np.ndarray:
        p = self.p_or_none(row)
        return np.zeros(self.width) if p is None else p

    def children(self, row: int, first: int, end: int) -> list[int]:
        return [i for i in range(row + 1, end) if self.parents[i] == row - first]

    def walk(self, tree: int, *, replacement: bool | None) -> tuple[list[int], int, int]:
        """Accepted rows, next token, uniform numbers used; None: no child was drawn."""
        first, end = int(self.offsets[tree]), int(self.offsets[tree + 1])
        uniforms = iter(self.uniforms[tree])
        row, path, used = first, [], 0
        while True:
            p, children = self.p_or_none(row), self.children(row, first, end)
            if p is None:
                return path, -1, used
            if replacement is None or self.q_of_row[row] < 0 or not children:
                token = reference.draw(p, next(uniforms))
                used += 1
                child = next((i for i in children if self.tokens[i] == token), -1)
            else:
                token, child, tests = self._among(p, children, self.q_rows[self.q_of_row[row]], uniforms, replacement)
                used += tests
            if child < 0:
                return path, token, used
            path.append(child - first)
            row = child

    def _among(self, p: np.ndarray, children: list[int], q: np.ndarray, uniforms: Any, replacement: bool) -> Any:
        """Recursive rejection: each child with p / q, and after a refusal p less q."""
        q = np.where(p > 0, q, 0.0).astype(np.float64)
        q /= q.sum()
        tests = 0
        for child in children:
            token = int(self.tokens[child])
            if q[token] == 0:
                continue
            tests += 1
            if next(uniforms) < p[token] / q[token]:
                return token, child, tests
            left = np.maximum(p - q, 0.0)
            p = left / left.sum()
            if not replacement:
                q[token] = 0.0
                q /= q.sum()
        return reference.draw(p, next(uniforms)), -1, tests + 1

    def inputs(self) -> dict[str, Any]:
        return {
            "logits": self.logits, "masks": self.masks, "row_ids": self.row_ids, "parents": self.parents,
            "tokens": self.tokens, "offsets": self.offsets, "num_threads": 1, "uniforms": self.uniforms, **_SAMPLING,
        }  # fmt: skip


def _paths(verdict: Any) -> list[tuple[list[int], int]]:
    return [
        (path[:length].tolist(), int(token))
        for path, length, token in zip(verdict.paths, verdict.lengths, verdict.next_tokens, strict=True)
    ]


@ROWS("bitmask._apply")
def apply(scene: Scene) -> Trial:
    """torch's masked_fill, for each size of a logit."""
    rng = np.random.default_rng(8)
    mask = scene.rows().view(np.int32)
    kinds = (torch.float32, torch.bfloat16, torch.float64)
    logits = [torch.from_numpy(rng.normal(size=(len(mask), len(scene.tokens)))).to(kind) for kind in kinds]
    allowed = np.unpackbits(mask.view(np.uint8), axis=1, bitorder="little")[:, : len(scene.tokens)].astype(bool)
    out = [each.clone() for each in logits]
    return Trial(
        lambda: [apply_bitmask(each, mask) for each in out],
        lambda _: [torch.equal(each, done) for each, done in zip(_filled(logits, allowed), out, strict=True)],
        lambda: [True] * len(kinds),
        len(kinds),
    )


def _filled(logits: list[torch.Tensor], allowed: np.ndarray) -> list[torch.Tensor]:
    return [each.masked_fill(~torch.from_numpy(allowed), -torch.inf) for each in logits]


@ROWS("walk_trees.tree_depths")
def tree_depths(scene: Scene) -> Trial:
    """Parents, counted in Python."""
    trees = _Trees(scene)
    depths = np.zeros(len(trees.parents), np.int32)

    def expected() -> Any:
        found: list[int] = []
        for tree in range(3):
            first = int(trees.offsets[tree])
            for row in range(first, int(trees.offsets[tree + 1])):
                found.append(0 if row == first else found[first + int(trees.parents[row])] + 1)
        return max(found), found

    return Trial(
        lambda: walk_trees.tree_depths(trees.parents, trees.offsets, depths),
        lambda deepest: (deepest, depths.tolist()),
        expected,
    )


@ROWS("walk_trees.survey_rows")
def survey_rows(scene: Scene) -> Trial:
    """`reference_verify`: whole rows in float64."""
    trees = _Trees(scene)

    def expected() -> Any:
        masses = [
            reference.log_mass(
                row, reference.allowed_tokens(trees.masks, int(i), trees.width), _SAMPLING["temperature"]
            )
            for row, i in zip(trees.logits.numpy(), trees.row_ids, strict=True)
        ]
        return pytest.approx(np.array(masses), abs=1e-5)

    return Trial(
        lambda: verify_tree(**trees.inputs(), with_log_mass=True).log_mass,
        lambda mass: mass,
        expected,
        len(trees.tokens),
    )


@ROWS("walk_trees.walk_trees")
def walk(scene: Scene) -> Trial:
    """`reference_verify`: one token at a time."""
    trees = _Trees(scene)
    return Trial(
        lambda: verify_tree(**trees.inputs()),
        _paths,
        lambda: [trees.walk(tree, replacement=None)[:2] for tree in range(3)],
        3,
    )


@ROWS("walk_trees.write_probabilities")
def write_probabilities(scene: Scene) -> Trial:
    """`reference_verify`: sorted in full."""
    trees = _Trees(scene)
    rows = range(len(trees.tokens))
    return Trial(
        lambda: [
            masked_probabilities(trees.logits, trees.masks, row, int(trees.row_ids[row]), **_SAMPLING) for row in rows
        ],
        lambda found: np.array(found),
        lambda: pytest.approx(np.array([trees._p(row) for row in rows]), abs=1e-6),
        len(trees.tokens),
    )


@ROWS("walk_drawn.walk_drawn_trees")
def walk_drawn(scene: Scene) -> Trial:
    """Recursive rejection in numpy."""
    trees = _Trees(scene)
    kinds = (True, False)
    return Trial(
        lambda: [
            verify_drawn(**trees.inputs(), q_rows=trees.q_rows, q_of_row=trees.q_of_row, replacement=kind)
            for kind in kinds
        ],
        lambda verdicts: [
            (*each, int(used.max()))
            for verdict in verdicts
            for each, used in zip(_paths(verdict), verdict.used, strict=True)
        ],
        lambda: [trees.walk(tree, replacement=kind) for kind in kinds for tree in range(3)],
        2 * 3,
    )


# ---- the trie of expected futures ---------------------------------------------------------------------------------
def _node(scene: Scene) -> NodeCase:
    return NodeCase(len(scene.tokens), 0.5)


def _log_sum(values: np.ndarray) -> float:
    return float(values.max() + np.log(np.exp(values - values.max()).sum()))


@ROWS("futures.allowed")
def allowed(scene: Scene) -> Trial:
    """A mask unpacked by numpy."""
    node = _node(scene)
    logp = torch.log_softmax(torch.from_numpy(node.logits).double(), -1).numpy()
    logp[::7] = -np.inf
    tokens, values = np.zeros(len(logp), np.int32), np.zeros(len(logp))

    def expected() -> Any:
        bits = np.unpackbits(node.mask.view(np.uint8), bitorder="little")[: len(logp)].astype(bool)
        left = np.flatnonzero(bits & (logp > -np.inf))
        return left.tolist(), logp[left].tolist()

    return Trial(
        lambda: futures.allowed(logp, node.mask, tokens, values),
        lambda n: (tokens[:n].tolist(), values[:n].tolist()),
        expected,
    )


@ROWS("futures.gather")
def gather(scene: Scene) -> Trial:
    """torch's log-softmax, and a sum."""
    node = _node(scene)

    def found(n: int) -> Any:
        logp = node.values[:n].astype(np.float64) + node.found[futures.SHIFT]
        return node.tokens[:n].tolist(), logp, np.log(node.found[futures.REST]) + node.found[futures.TOP]

    def expected() -> Any:
        tokens, inside, mass = node.chain()
        return tokens.tolist(), pytest.approx(inside, abs=1e-5), pytest.approx(mass, abs=1e-5)

    return Trial(node.gather, found, expected)


@ROWS("futures.remain")
def remain(scene: Scene) -> Trial:
    """A sum over the edges that are not listed."""
    node = _node(scene)
    marks = np.zeros(node.n, np.bool_)

    def run() -> None:
        futures.remain(0, node.start, node.count, node.values, 1.0, node.shift, node.first, node.edges, node.next,
                       node.top, node.rest, node.base, marks)  # fmt: skip

    return Trial(
        run,
        lambda _: (node.top[0] + np.log(node.rest[0]), node.base[0] == node.rest[0], marks.any()),
        lambda: (pytest.approx(_log_sum(np.delete(node.logp, node.edges)), abs=1e-6), True, False),
    )


def _score(scene: Scene, kernel: Any, values: Any, tolerance: float) -> Trial:
    node = _node(scene)
    own, out = values(node), np.zeros(node.n)

    def run() -> list[tuple[float, np.ndarray]]:
        found = []
        for use_theta in (False, True):
            log_sum = kernel(0, use_theta, node.start, node.count, own, 1.0, node.shift, node.first, node.edges,
                             node.next, node.thetas, out)  # fmt: skip
            found.append((log_sum, out.copy()))
        return found

    def expected() -> Any:
        logs = (node.logp, node.logp + node.theta)
        return [
            (pytest.approx(_log_sum(log), abs=tolerance), pytest.approx(np.exp(log - log.max()), abs=tolerance))
            for log in logs
        ]

    return Trial(run, lambda found: found, expected, 2)


@ROWS("futures.score")
def score(scene: Scene) -> Trial:
    """numpy's exponential."""
    return _score(scene, futures.score, lambda node: node.values[: node.n].astype(np.float64), 1e-9)


@ROWS("futures.score_logits")
def score_logits(scene: Scene) -> Trial:
    """numpy's exponential, to float32."""
    return _score(scene, futures.score_logits, lambda node: node.values, 1e-6)


@ROWS("futures.refresh")
def refresh(scene: Scene) -> Trial:
    """A sum over all edges, one of which leads nowhere."""
    node = _node(scene)

    def expected() -> Any:
        node.theta[node.edges[0]] = -np.inf
        return pytest.approx(node.sum(), abs=1e-9)

    return Trial(node.refresh, lambda _: node.upper[0], expected)


@ROWS("futures.find")
def find(scene: Scene) -> Trial:
    """A list's index."""
    node = _node(scene)
    edges = [*node.edges.tolist(), node.n, -5]
    return Trial(
        lambda: [futures.find(0, edge, node.first, node.edges, node.next) for edge in edges],
        lambda found: found,
        lambda: [*range(len(node.edges)), futures.NONE, futures.NONE],
        len(edges),
    )


@ROWS("futures.pack")
def pack(scene: Scene) -> Trial:
    """Pieces joined by numpy."""
    rng = np.random.default_rng(9)
    gaps, counts = rng.integers(0, 50, 200), rng.integers(0, 300, 200)
    starts = np.cumsum(gaps + counts) - counts
    order = np.flatnonzero(rng.random(200) < 0.7).astype(np.int32)
    source = rng.normal(size=int((gaps + counts).sum()))
    pool, start, count = source.copy(), starts.astype(np.int64), counts.astype(np.int64)

    def run() -> int:
        pool[:] = source
        start[:] = starts
        return int(futures.pack(order, start, count, pool))

    return Trial(
        run,
        lambda end: (end, pool[:end].tolist(), [pool[start[i] : start[i] + count[i]].tolist() for i in order]),
        lambda: (
            int(counts[order].sum()),
            np.concatenate([source[starts[i] : starts[i] + counts[i]] for i in order]).tolist(),
            [source[starts[i] : starts[i] + counts[i]].tolist() for i in order],
        ),
    )
