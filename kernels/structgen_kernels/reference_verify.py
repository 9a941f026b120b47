"""`structgen_kernels.verify`, said slowly: whole rows in float64, one token at a time. The oracle of its kernels."""

from __future__ import annotations

from typing import Any

import numpy as np


def allowed_tokens(masks: Any, row_id: int, width: int) -> np.ndarray:
    """bool [width]: which tokens a row id allows."""
    if row_id == -1:
        return np.ones(width, bool)
    return np.array([t // 32 < len(masks[row_id]) and bool(int(masks[row_id][t // 32]) >> (t % 32) & 1)
                     for t in range(width)])  # fmt: skip


def distribution(logits: Any, allowed: np.ndarray, temperature: float, top_k: int | None, top_p: float | None) -> Any:
    """float64 [V]: mask, temperature, top-k, top-p, in this order. None if the row has no token."""
    logits = np.asarray(logits, np.float64)
    inside = logits[allowed]
    if not len(inside) or not np.isfinite(inside.max()):  # max is NaN if any is
        return None
    out = np.zeros(len(logits))
    masked = np.where(allowed, logits, -np.inf)
    order = np.argsort(-masked, kind="stable")  # logit descending, id ascending
    order = order[np.isfinite(masked[order])]
    if temperature == 0.0:
        out[order[0]] = 1.0
        return out
    order = order[: top_k or None]
    weights = np.exp((masked[order] - inside.max()) / temperature)
    weights /= weights.sum()
    if top_p is not None:
        weights = weights[np.cumsum(weights) - weights < top_p]
    out[order[: len(weights)]] = weights / weights.sum()
    return out


def log_mass(logits: Any, allowed: np.ndarray, temperature: float) -> float:
    """Log of the probability inside the mask, at a temperature (0: at temperature 1)."""
    scaled = np.asarray(logits, np.float64) / (temperature or 1.0)
    if not np.isfinite(scaled.max(initial=-np.inf)):
        return float("nan")
    weights = np.exp(scaled - scaled.max())
    inside = scaled[allowed]
    if not np.isfinite(inside.max(initial=-np.inf)):
        return float("-inf")
    return float(inside.max() - scaled.max() + np.log(np.exp(inside - inside.max()).sum()) - np.log(weights.sum()))


def draw(probabilities: Any, u: float) -> int:
    """The first token, in ascending order of ids, whose cumulative probability exceeds u; -1 without a distribution."""
    if probabilities is None:
        return -1
    positive = np.flatnonzero(probabilities)
    above = np.cumsum(probabilities[positive]) > u
    return int(positive[np.argmax(above)] if above.any() else positive[-1])


def walk(rows: list[Any], parents: list[int], tokens: list[int], uniforms: list[float]) -> tuple[list[int], int]:
    """The accepted rows of one tree and the token after them. rows: for each a distribution, or None."""
    path: list[int] = []
    row = 0
    while True:
        token = draw(rows[row], uniforms[len(path)])
        children = [i for i in range(row + 1, len(rows)) if parents[i] == row and tokens[i] == token]
        if token < 0 or not children:
            return path, token
        row = children[0]
        path.append(row)
