"""The benchmark of the kernels runs, and its tree is one that verification goes down."""

from __future__ import annotations

import torch

from structgen_kernels import bench


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
