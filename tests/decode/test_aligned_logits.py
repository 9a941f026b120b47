"""Rows as logits: the kernel says what log-softmax, top-k, top-p and a mask say; and wide nodes keep their sums."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from aligned_toys import LETTERS, Markov
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen
from structgen.decode.aligned import ASAp
from structgen.decode.aligned.futures import NO_NODE, ROOT, Futures, Key
from structgen.decode.aligned.model import Shape, normalised
from structgen.decode.aligned.saved import load_futures, save_futures
from structgen_kernels import futures as kernels

SHAPES = [
    Shape(),
    Shape(temperature=0.4),
    Shape(temperature=2.0, top_k=3),
    Shape(top_p=0.7),
    Shape(temperature=1.3, top_k=40, top_p=0.9),
    Shape(top_k=1),
]


def gathered(logits: Any, mask: Any, shape: Shape) -> tuple[int, Any, Any, Any]:
    """What the kernel makes of a row."""
    tokens, values, found = np.zeros(len(logits), np.int32), np.zeros(len(logits), np.float32), np.zeros(3)
    n = kernels.gather(
        logits.ctypes.data, len(logits), mask, shape.temperature, shape.top_k or 0, shape.top_p or 1.0, tokens, values,
        found,
    )  # fmt: skip
    return n, tokens[: max(n, 0)], values[: max(n, 0)], found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("width", [5, 64, 3000])
def test_the_kernel_tempers_cuts_and_masks_as_the_shape_does(shape: Shape, width: int) -> None:
    rng = np.random.default_rng(width)
    for share in (0.02, 0.5, 1.0):
        for _ in range(5):
            logits = (rng.normal(size=width) * 4).astype(np.float32)
            logits[rng.random(width) < 0.05] = -np.inf
            logits[rng.integers(width)] = 1.0
            bits = np.pad(rng.random(width) < share, (0, -width % 32))
            mask = np.packbits(bits, bitorder="little").view(np.uint32)
            row = shape.apply(normalised(logits[None].astype(np.float64)))[0]
            wanted = np.flatnonzero((row > -np.inf) & bits[:width])
            n, tokens, values, found = gathered(logits, mask, shape)
            assert tokens.tolist() == wanted.tolist() and n == len(wanted)
            assert (values == logits[wanted]).all()
            logps = values.astype(np.float64) / shape.temperature + found[kernels.SHIFT]
            assert logps == pytest.approx(row[wanted], abs=2e-6)
            if n:
                assert found[kernels.TOP] == pytest.approx(row[wanted].max(), abs=2e-6)
                mass = found[kernels.REST] * math.exp(found[kernels.TOP])
                assert mass == pytest.approx(np.exp(row[wanted]).sum(), rel=2e-6)


@pytest.mark.parametrize("shape", SHAPES[:4], ids=str)
def test_broken_and_empty_rows(shape: Shape) -> None:
    mask = np.array([0b1111], np.uint32)
    for wrong in (np.full(4, -np.inf), np.array([0.0, np.nan, 0.0, 0.0]), np.array([0.0, np.inf, 0.0, 0.0])):
        assert gathered(wrong.astype(np.float32), mask, shape)[0] == kernels.BROKEN_ROW
    n, _, _, found = gathered(np.zeros(4, np.float32), np.zeros(1, np.uint32), shape)
    assert n == 0 and found[kernels.REST] == 0.0


class Logits(Markov):
    """A chain that says its logits: its log-probabilities, moved by what no law depends on."""

    def next_logits(self, prefixes: Any) -> Any:
        rows = self.next_logprobs(prefixes)
        return (rows + np.arange(len(rows))[:, None] - 3.0).astype(np.float32)

    @property
    def fingerprint(self) -> str:
        return "a chain of logits"


def test_tries_of_logits_and_of_log_probabilities_say_the_same(tmp_path: Any) -> None:
    grammar = structgen.compile_regex("[abc]{1,3}a|b{4}", LETTERS)
    options: dict[str, Any] = {"max_tokens": 4, "seed": 2, "temperature": 0.8, "top_p": 0.95, "constraint": "x"}
    exact, fused = (ASAp(model, grammar, **options) for model in (Markov(5), Logits(5)))
    assert [each.tokens for each in exact.sample(40)] == [each.tokens for each in fused.sample(40)]
    assert (exact.futures.kind, fused.futures.kind) == ("logprobs", "logits")
    assert exact.futures.num_nodes == fused.futures.num_nodes
    path = tmp_path / "trie"
    save_futures(fused.futures, path)
    for futures in (fused.futures, load_futures(path, fused.futures.key)):
        for node in range(futures.num_nodes):
            twin = exact.futures.find(futures.tokens_of(node))
            assert twin is not None
            assert futures.upper[node] == pytest.approx(exact.futures.upper[twin], abs=1e-5)
            assert futures.lower[node] == pytest.approx(exact.futures.lower[twin], abs=1e-5)
            assert (futures.tokens(node) == exact.futures.tokens(twin)).all()
            assert futures.logps(node) == pytest.approx(exact.futures.logps(twin), abs=1e-5)
    model = Logits(5)
    other = Futures(ASAp(model, grammar, **options).futures.key)
    with pytest.raises(ValueError, match="these futures hold logprobs"):
        ASAp(model, grammar, futures=other, **options)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([10, 40, 300]), st.sampled_from(["logits", "logprobs"]))
def test_bounds_of_wide_nodes_are_the_sums_over_their_edges(seed: int, width: int, kind: Any) -> None:
    """Visits, bounds and forgetting in any order, peaked rows and flat ones, all and few tokens allowed."""
    rng = np.random.default_rng(seed)
    futures = Futures(Key("m", "g", 9, temperature=1.0), kind=kind, max_bytes=1 << 30)

    def visit(parent: int, edge: int) -> int:
        prefix = [] if parent == NO_NODE else [1, *futures.tokens_of(parent), futures.token_at(parent, edge)]
        here = np.random.default_rng([seed, *prefix])  # a prefix that was forgotten is what it was
        row = normalised(here.normal(size=(1, width)) * here.choice([0.1, 3.0, 30.0]))[0]
        tokens = np.flatnonzero(here.random(width) < here.choice([0.1, 0.6, 1.0])).astype(np.int32)
        ends = [0] if len(tokens) and here.random() < 0.3 else []
        return futures.add(parent, edge, 0, tokens, row[tokens].astype(futures.values.dtype), ends, width=width)

    def check(node: int) -> None:
        logps, thetas, children = futures.logps(node), futures.thetas(node), futures.children(node)
        high = np.exp(logps + thetas).sum()
        low = np.exp(logps[children == kernels.END]).sum()
        for edge in np.flatnonzero(children >= 0).tolist():
            check(int(children[edge]))
            assert thetas[edge] == futures.upper[children[edge]]
            assert futures.parent_edge(int(children[edge])) == edge
            low += np.exp(logps[edge] + futures.lower[children[edge]])
        assert math.exp(futures.upper[node]) == pytest.approx(min(high, 1.0), rel=1e-11, abs=1e-300)
        assert math.exp(futures.lower[node]) == pytest.approx(min(low, 1.0), rel=1e-11, abs=1e-300)
        tokens = futures.tokens(node).tolist()
        assert [futures.token_at(node, edge) for edge in range(len(tokens))] == tokens
        others = sorted(set(range(width)) - set(tokens))[:20]
        assert [futures.edge_of(node, token) for token in tokens] == list(range(len(tokens)))
        assert all(futures.edge_of(node, token) is None for token in (*others, -1, width))

    visit(NO_NODE, 0)
    for _ in range(40):
        futures.new_round()
        nodes = futures.live()
        node = int(rng.choice(nodes))
        free = np.flatnonzero(futures.children(node) == kernels.UNSEEN)
        if not len(free):
            continue
        # the likeliest first, as texts do: what is left is small beside what was there
        edge = int(free[np.argmax(futures.logps(node)[free])]) if rng.random() < 0.7 else int(rng.choice(free))
        before = float(futures.upper[ROOT])
        node = visit(node, edge)
        while node != NO_NODE:  # a path is touched as a whole
            futures.touch(node)
            node = int(futures.parent[node])
        assert futures.upper[ROOT] <= before
        if rng.random() < 0.05:
            futures.forget(int(futures.num_bytes() * 0.7))
    check(ROOT)
