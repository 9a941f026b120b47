"""Verification of draft trees whose children were drawn at random, by recursive rejection, under masks.

As `verify_tree`, with a rule for drawn children: in the order in which they were drawn each is kept with probability
p(t) / q(t), p being the masked distribution of its row and q what it was drawn from, inside the support of p; after
each refusal p becomes norm((p - q)+), and q, where siblings are drawn without replacement, loses the token. What comes
out is distributed as masked decoding of one token at a time. (Recursive rejection sampling: SpecInfer; without
replacement: Recursive Speculative Decoding.)

One call walks all trees. A row costs two arrays as wide as the vocabulary only where it is reached and has children
that were drawn. For logits on the CPU; `structgen.decode.speculation.rules` says the same slowly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from structgen_kernels import verify, walk_drawn


class DrawnVerdict(NamedTuple):
    """What `verify_drawn` found: `paths`, `lengths`, `next_tokens` and `logprobs` as in `verify.Verdict`.

    used: int32 [B, D + 1], how many uniform numbers the tokens up to each one took together; 0 past the end.
    """

    paths: np.ndarray
    lengths: np.ndarray
    next_tokens: np.ndarray
    logprobs: np.ndarray
    used: np.ndarray


def verify_drawn(
    logits: Any,
    masks: Any,
    row_ids: Any,
    parents: Any,
    tokens: Any,
    q_rows: Any,
    q_of_row: Any,
    *,
    replacement: bool,
    uniforms: Any,
    offsets: Any = None,
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = None,
    num_threads: int | None = None,
) -> DrawnVerdict:
    """Walks down draft trees along tokens that are distributed as those of masked decoding.

    Args:
        logits, masks, row_ids, parents, tokens, offsets, temperature, top_k, top_p, num_threads: as in `verify_tree`;
            logits on the CPU.
        q_rows: float32 [M, V], the distributions that children were drawn from.
        q_of_row: int [N], for each row the index of what its children were drawn from, in the order in which they
            stand; -1: they were not drawn, and the row's token is drawn as in `verify_tree`.
        replacement: whether siblings were drawn independently, and not each from what its earlier siblings left.
        uniforms: float64 [B, rows of the largest tree + its depth, or more] in [0, 1): a child that is tested takes
            one, in order, and so does a token that is drawn.

    Raises:
        ValueError: as `verify_tree`; shapes of q do not fit.
    """
    if logits.device.type != "cpu":
        raise ValueError(f"logits are on the CPU here, not on {logits.device}")
    batch = verify._batch(logits, masks, row_ids, parents, tokens, offsets, temperature, top_k, top_p, uniforms)
    q_rows = np.ascontiguousarray(q_rows, np.float32)
    if q_rows.ndim != 2 or q_rows.shape[1] != logits.shape[1]:
        raise ValueError(f"q is float32 [M, {logits.shape[1]}], not {q_rows.shape}")
    n = len(batch.row_ids)
    q_of_row = verify._ints(q_of_row, n, "q_of_row", np.int32)
    if n and not (q_of_row.min() >= -1 and q_of_row.max() < len(q_rows)):
        raise ValueError(f"indices of q lie in -1 … {len(q_rows) - 1}, not {q_of_row.min()} … {q_of_row.max()}")
    if n and batch.tokens.max() >= logits.shape[1]:
        raise ValueError(f"tokens lie below {logits.shape[1]}, not {batch.tokens.max()}")
    most = int(np.diff(batch.offsets).max(initial=0)) + batch.depth
    if batch.uniforms.shape[1] < most:
        raise ValueError(f"uniforms are float64 [B, at least {most}], not {batch.uniforms.shape}")
    trees = len(batch.offsets) - 1
    paths = np.full((trees, batch.depth), -1, np.int32)
    lengths, next_tokens = np.zeros(trees, np.int32), np.full(trees, -1, np.int32)
    logprobs = np.full((trees, batch.depth + 1), np.nan)
    used = np.zeros((trees, batch.depth + 1), np.int32)
    store = verify._NO_MASKS if masks is None or not len(masks) else verify._mask_rows(masks)
    located = verify._located(logits)
    verify._in_threads(
        lambda first, end: walk_drawn.walk_drawn_trees(
            located, store, batch.row_ids, batch.parents, batch.tokens, batch.offsets, batch.temperatures,
            batch.top_ks, batch.top_ps, batch.uniforms, q_rows, q_of_row, replacement, first, end, paths, lengths,
            next_tokens, logprobs, used,
        ),
        trees, 1, num_threads or torch.get_num_threads(),
    )  # fmt: skip
    return DrawnVerdict(paths, lengths, next_tokens, logprobs, used)
