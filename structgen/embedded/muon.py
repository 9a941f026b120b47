"""Muon: momentum whose update is made orthogonal by a Newton–Schulz iteration (Keller Jordan, 2024), in float32.

torch.optim.Muon iterates in bfloat16, which is four times slower than float32 on processors without bfloat16 units;
for matrices this small the precision costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 4


class Muon(torch.optim.Optimizer):  # type: ignore[misc]
    """Steps matrices only (embeddings and norms belong to AdamW); `lr` is about the spectral norm of an update."""

    def __init__(
        self, matrices: Iterable[torch.Tensor], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    def step(self) -> None:
        """One update from the gradients at hand."""
        for group in self.param_groups:
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if not state:
                    state["velocity"] = torch.zeros_like(matrix)
                with torch.no_grad():
                    velocity = state["velocity"].lerp_(matrix.grad, 1 - group["momentum"])
                    update = orthogonalise(matrix.grad.lerp(velocity, group["momentum"]))
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(update, alpha=-group["lr"] * max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5)


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix of the same shape whose singular values are all about one (0.7 to 1.2)."""
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
