"""The benchmark of the kernels runs, and its tree is one that verification goes down."""

from __future__ import annotations

import math

import pytest
import torch

from structgen_kernels import bench
from structgen_kernels.futures import REST, TOP


def test_every_contestant_runs_and_the_likeliest_path_is_taken() -> None:
    case = bench.Case(8, 2000, torch.bfloat16, 0.5, "cpu")
    times = bench.interleaved(case.runs(), 1, case.clock)
    assert list(times) == ["chain", "packed", "verify_tree", "with log-mass"]
    assert min(times.values()) > 0
    assert case.verify(True).log_mass.max() < 0
    case.tokens[:] = -1
    assert case.verify(False).lengths[0] == 0


def test_the_chains_draw_what_the_masks_allow() -> None:
    case = bench.Case(4, 100, torch.float32, 0.1, "cpu")
    allowed = [{t for t in range(100) if int(row[t // 32]) >> (t % 32) & 1} for row in case.host_masks]
    for _ in range(20):
        for drawn in (case.chain(), case.packed_chain()):
            assert all(int(token) in each for token, each in zip(drawn.flatten(), allowed, strict=True))


def test_the_trie_s_kernels_say_what_they_are_beside() -> None:
    for share in (0.002, 0.02, 0.5, 0.99):
        case = bench.NodeCase(3000, share)
        tokens, logp, mass = case.chain()
        assert case.gather() == len(tokens) and (case.tokens[: len(tokens)] == tokens).all()
        assert case.logp == pytest.approx(logp, abs=1e-5)
        assert math.log(case.found[REST]) + case.found[TOP] == pytest.approx(mass, abs=1e-5)
        case.refresh()
        case.theta[case.edges[0]] = -math.inf  # a child without edges
        assert case.upper[0] == pytest.approx(case.sum(), abs=1e-9)
