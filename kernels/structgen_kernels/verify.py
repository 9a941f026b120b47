"""Verification of draft trees, and sampling, under masks: logits in, tokens out, in one pass over the logits.

Rows of a *mask store* (int32 [R, words], on the device of the logits) are named by row ids; id -1 means that nothing
is masked. A tree is consecutive rows of the logits: row 0 for the last committed token, then one row a node, parents
before children. At each row reached a token is drawn from the masked distribution; if a child holds it the walk goes
on there. What comes out is identical to masked decoding of one token at a time, whatever was drafted: the token at
depth d depends on uniform number d and on the logits alone. (Token trees: SpecInfer; with a deterministic draft this is
the whole of speculative sampling.)

CPU tensors go to numba kernels, CUDA tensors (and CPU tensors if `TRITON_INTERPRET=1`) to Triton; `reference_verify`
says the same slowly. The distribution is defined in `rows`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch

from structgen_kernels import rows, walk_trees

_KINDS = {torch.float32: rows.FLOAT32, torch.bfloat16: rows.BFLOAT16, torch.float16: rows.FLOAT16}
_NO_MASKS = np.zeros((1, 1), np.uint32)


class Verdict(NamedTuple):
    """What `verify_tree` found, for B trees with N rows together.

    paths: int32 [B, D], the accepted rows below the root of each tree, counted from its root (node i is row i + 1); -1
        past the end. D is the depth of the deepest tree.
    lengths: int32 [B], the number of accepted rows.
    next_tokens: int32 [B], the token after the accepted ones; -1: none is allowed there, or the row is broken (a NaN or
        +inf among the allowed logits).
    logprobs: float64 [B, D + 1], nats: of each emitted token (the accepted ones, then the next) in the distribution it
        was drawn from; greedy: in the masked distribution at temperature 1. At a next token of -1: -inf, NaN if the row
        is broken. NaN past the end.
    log_mass: float64 [N] or None: log of the probability that the model, at the tree's temperature (greedy: at 1),
        gives to the tokens in the mask, before top-k and top-p. 0 at unconstrained rows, -inf at empty masks, NaN at
        rows with a NaN or +inf.
    """

    paths: np.ndarray
    lengths: np.ndarray
    next_tokens: np.ndarray
    logprobs: np.ndarray
    log_mass: np.ndarray | None


class Choice(NamedTuple):
    """What `masked_sample` chose: tokens int32 [N] (-1: none), logprobs float64 [N], log_mass float64 [N] or None."""

    tokens: np.ndarray
    logprobs: np.ndarray
    log_mass: np.ndarray | None


class Batch(NamedTuple):
    """Arguments of `verify_tree` after checks: numpy arrays of known types, one value a tree."""

    row_ids: np.ndarray  # int32 [N]
    parents: np.ndarray  # int32 [N]
    tokens: np.ndarray  # int32 [N]
    offsets: np.ndarray  # int64 [B + 1]
    temperatures: np.ndarray  # float64 [B]
    top_ks: np.ndarray  # int64 [B], 0: none
    top_ps: np.ndarray  # float64 [B], 1.0: none
    uniforms: np.ndarray  # float64 [B, at least depth + 1]
    depth: int


def verify_tree(
    logits: Any,
    masks: Any,
    row_ids: Any,
    parents: Any,
    tokens: Any,
    *,
    offsets: Any = None,
    temperature: Any = 0.0,
    top_k: Any = None,
    top_p: Any = None,
    uniforms: Any = None,
    with_log_mass: bool = False,
    num_threads: int | None = None,
) -> Verdict:
    """Walks down draft trees along the tokens that masked decoding draws.

    Args:
        logits: float32, bfloat16 or float16 tensor [N, V], rows of one tree after those of another; its last dimension
            is contiguous.
        masks: int32 [R, words] tensor on the same device (or numpy array, for the CPU): the mask store. Bit t % 32 of
            word t // 32 is 1 if token t is allowed; tokens past the last word are not. None: all row ids are -1.
        row_ids: int [N], rows of `masks`, -1: nothing is masked.
        parents: int [N], for each row the row of its parent, both counted from the root of the tree; -1 at roots.
        tokens: int [N], the token of each node; what it says at roots is not read.
        offsets: int [B + 1], where trees start, and N. None: one tree.
        temperature, top_k, top_p: a number, or an array [B]; 0 is greedy; None (in an array: 0 and 1.0) is no top-k, no
            top-p.
        uniforms: float64 [B, depth + 1 or more] in [0, 1): number d draws the token at depth d. None: all is greedy.
        with_log_mass: whether to read all rows, not only those reached, and return their log-masses.
        num_threads: None: as many as torch uses.

    Raises:
        ValueError: shapes or types do not fit, a parent comes after its child, a row id is not in the store.
    """
    batch = _batch(logits, masks, row_ids, parents, tokens, offsets, temperature, top_k, top_p, uniforms)
    if logits.device.type != "cpu" or os.environ.get("TRITON_INTERPRET") == "1":
        from structgen_kernels.triton_verify import verify_tree_triton

        return verify_tree_triton(logits, masks, batch, with_log_mass=with_log_mass)
    return _verify_tree_numba(logits, masks, batch, with_log_mass, num_threads or torch.get_num_threads())


def masked_sample(
    logits: Any,
    masks: Any,
    row_ids: Any,
    *,
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = None,
    uniforms: Any = None,
    with_log_mass: bool = False,
    num_threads: int | None = None,
) -> Choice:
    """Draws one token a row: `verify_tree` of N trees without nodes. uniforms: float64 [N]."""
    n = len(logits)
    if uniforms is not None:
        uniforms = np.asarray(uniforms, np.float64).reshape(n, 1)
    verdict = verify_tree(logits, masks, row_ids, np.full(n, -1, np.int32), np.zeros(n, np.int32),
                          offsets=np.arange(n + 1), temperature=temperature, top_k=top_k, top_p=top_p,
                          uniforms=uniforms, with_log_mass=with_log_mass, num_threads=num_threads)  # fmt: skip
    return Choice(verdict.next_tokens, verdict.logprobs[:, 0], verdict.log_mass)


def masked_argmax(
    logits: Any, masks: Any, row_ids: Any, *, with_log_mass: bool = False, num_threads: int | None = None
) -> Choice:
    """The first largest allowed logit of each row: `masked_sample` at temperature 0."""
    return masked_sample(logits, masks, row_ids, temperature=0.0, with_log_mass=with_log_mass, num_threads=num_threads)


def masked_probabilities(
    logits: Any, masks: Any, row: int, row_id: int, *, temperature: float, top_k: int | None, top_p: float | None
) -> np.ndarray:
    """The distribution, float64 [V], that `masked_sample` draws one row from (at temperature 0: all on one token).

    All zeros if no token is allowed, all NaN if an allowed logit is NaN or +inf. For verification rules that need more
    than draws; a row that is not on the CPU is copied there.
    """
    if not 0 <= row < len(logits):
        raise IndexError(f"row {row} of {len(logits)}")
    line = logits[row : row + 1].detach().cpu()
    if row_id != rows.UNCONSTRAINED and not 0 <= row_id < len(masks):
        raise ValueError(f"row id {row_id} is not in a mask store of {len(masks)} rows")
    mask = _NO_MASKS if row_id == rows.UNCONSTRAINED else _mask_rows(masks[row_id : row_id + 1])
    out = np.empty(logits.shape[1])
    # the mask is row 0 of what the kernel sees
    walk_trees.write_probabilities(_located(line), mask, 0, min(row_id, 0), float(temperature), top_k or 0,
                                   1.0 if top_p is None else top_p, out)  # fmt: skip
    return out


# ---- checks -------------------------------------------------------------------------------------------------------
def _batch(
    logits: Any, masks: Any, row_ids: Any, parents: Any, tokens: Any, offsets: Any, temperature: Any, top_k: Any,
    top_p: Any, uniforms: Any,
) -> Batch:  # fmt: skip
    if logits.ndim != 2 or logits.dtype not in _KINDS:
        raise ValueError(f"logits are [N, V] in float32, bfloat16 or float16, not {tuple(logits.shape)} {logits.dtype}")
    if logits.shape[1] > 1 and logits.stride(1) != 1:
        raise ValueError("the last dimension of the logits must be contiguous")
    n = logits.shape[0]
    row_ids, parents, tokens = (_ints(each, n, name, np.int32) for each, name in
                                ((row_ids, "row_ids"), (parents, "parents"), (tokens, "tokens")))  # fmt: skip
    if offsets is None:
        offsets = (0, n)
    offsets = _ints(offsets, len(offsets), "offsets", np.int64)
    if len(offsets) < 1 or offsets[0] != 0 or offsets[-1] != n or (np.diff(offsets) < 1).any():
        raise ValueError(f"offsets must rise from 0 to {n}, by at least 1 a tree, not {offsets.tolist()}")
    if masks is not None and (masks.ndim != 2 or str(masks.dtype).rpartition(".")[2] not in ("int32", "uint32")):
        raise ValueError(f"a mask store is int32 [R, words], not {tuple(masks.shape)} {masks.dtype}")
    num_masks = 0 if masks is None else len(masks)
    if n and not (row_ids.min() >= rows.UNCONSTRAINED and row_ids.max() < num_masks):
        raise ValueError(f"row ids lie in -1 … {num_masks - 1}, not {row_ids.min()} … {row_ids.max()}")
    trees = len(offsets) - 1
    temperatures = _per_tree(temperature, trees, 0.0, np.float64)
    top_ks = _per_tree(top_k, trees, 0, np.int64)
    top_ps = _per_tree(top_p, trees, 1.0, np.float64)
    if not (np.isfinite(temperatures) & (temperatures >= 0)).all() or (top_ks < 0).any():
        raise ValueError("temperatures are finite and not negative, top-k is at least 1 (0: none)")
    if not ((top_ps > 0) & (top_ps <= 1)).all():
        raise ValueError("top-p lies in (0, 1]")
    depth = walk_trees.tree_depths(parents, offsets, np.empty(n, np.int32))
    if depth < 0:
        raise ValueError(f"row {-1 - depth}: a root has parent -1, a node an earlier row of its tree")
    if uniforms is None:
        if temperatures.any():
            raise ValueError("sampling needs uniforms")
        uniforms = np.zeros((trees, depth + 1))
    uniforms = np.array(uniforms, np.float64, order="C")
    if uniforms.ndim != 2 or uniforms.shape[0] != trees or uniforms.shape[1] <= depth:
        raise ValueError(f"uniforms are float64 [{trees}, at least {depth + 1}], not {uniforms.shape}")
    return Batch(row_ids, parents, tokens, offsets, temperatures, top_ks, top_ps, uniforms, depth)


def _ints(values: Any, n: int, name: str, dtype: Any) -> np.ndarray:
    array = np.array(values.cpu() if isinstance(values, torch.Tensor) else values, dtype, order="C")
    if array.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), not {array.shape}")
    return array


def _per_tree(value: Any, trees: int, none: Any, dtype: Any) -> np.ndarray:
    return np.array(np.broadcast_to(np.asarray(none if value is None else value, dtype), (trees,)), order="C")


def _mask_rows(masks: Any) -> np.ndarray:
    """uint32 [R, words] view of a store on the CPU."""
    array = masks if isinstance(masks, np.ndarray) else masks.detach().cpu().numpy()
    return np.require(array, requirements=("C", "W")).view(np.uint32)


def _located(logits: Any) -> np.ndarray:
    stride = logits.stride(0) * logits.element_size()
    return np.array((logits.data_ptr(), _KINDS[logits.dtype], stride, logits.shape[1]), np.int64)


# ---- numba --------------------------------------------------------------------------------------------------------
_ROWS_A_TASK = 4  # less is not worth a thread
_pools: dict[int, ThreadPoolExecutor] = {}


def _verify_tree_numba(logits: Any, masks: Any, batch: Batch, with_log_mass: bool, num_threads: int) -> Verdict:
    n, trees = len(batch.row_ids), len(batch.offsets) - 1
    located = _located(logits)
    store = _NO_MASKS if masks is None or not len(masks) else _mask_rows(masks)
    blocks = np.empty((n, -(-logits.shape[1] // rows.BLOCK), 2), np.float32)
    summaries = np.zeros((n, rows.SUMMARY_WIDTH))
    if with_log_mass:
        of_rows = np.repeat(batch.temperatures, np.diff(batch.offsets))
        _in_threads(
            lambda first, end: walk_trees.survey_rows(
                located, store, batch.row_ids, of_rows, first, end, blocks, summaries
            ),
            n, _ROWS_A_TASK, num_threads,
        )  # fmt: skip
    paths = np.full((trees, batch.depth), -1, np.int32)
    lengths, next_tokens = np.zeros(trees, np.int32), np.full(trees, -1, np.int32)
    logprobs = np.full((trees, batch.depth + 1), np.nan)
    _in_threads(
        lambda first, end: walk_trees.walk_trees(
            located, store, batch.row_ids, batch.parents, batch.tokens, batch.offsets, batch.temperatures,
            batch.top_ks, batch.top_ps, batch.uniforms, first, end, blocks, summaries, paths, lengths, next_tokens,
            logprobs,
        ),
        trees, _ROWS_A_TASK, num_threads,
    )  # fmt: skip
    log_mass = log_mass_of(summaries, of_rows) if with_log_mass else None
    return Verdict(paths, lengths, next_tokens, logprobs, log_mass)


def log_mass_of(summaries: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """Log-masses float64 [N] from the summaries of `rows` and the temperature of each row."""
    scale = 1.0 / np.where(temperatures == 0.0, 1.0, temperatures)
    with np.errstate(divide="ignore", invalid="ignore"):
        mass = (summaries[:, rows.MAX] - summaries[:, rows.ALL_MAX]) * scale
        mass += np.log(summaries[:, rows.SUM]) - np.log(summaries[:, rows.ALL_SUM])
    mass = np.minimum(mass, 0.0)
    mass[summaries[:, rows.MAX] == -np.inf] = -np.inf
    mass[(summaries[:, rows.ALL_BROKEN] > 0) | (summaries[:, rows.ALL_MAX] == -np.inf)] = np.nan
    return mass


def _in_threads(work: Callable[[int, int], None], n: int, grain: int, num_threads: int) -> None:
    """work(first, end) for slices of range(n), in threads where there is enough of it. Kernels hold no GIL."""
    num_threads = min(num_threads, n // grain)
    if num_threads <= 1:
        work(0, n)
        return
    pool = _pools.get(num_threads)
    if pool is None:
        pool = _pools.setdefault(num_threads, ThreadPoolExecutor(num_threads - 1, thread_name_prefix="structgen"))
    bounds = [n * i // num_threads for i in range(num_threads + 1)]
    tasks = [pool.submit(work, first, end) for first, end in pairwise(bounds[1:])]
    work(bounds[0], bounds[1])
    for task in tasks:
        task.result()
