"""`structgen_kernels.verify` in Triton, for logits on a GPU (or, under TRITON_INTERPRET=1, on the CPU).

`_survey` reads every logit once, one program a block of a row, and leaves a maximum and a sum of exponentials a block.
`_walk` has one program a tree: it finds the block of a uniform number in these sums and reads that block again.
With top-k or top-p a row that is reached is read more often: the last kept logit is found by bisection over the bits of
floats, in which blocks that lie below it are skipped. The definitions are those of `rows`, ties included.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl

if TYPE_CHECKING:
    from structgen_kernels.verify import Batch, Verdict

BLOCK = 4096  # tokens a program reads
_CHILDREN = 128  # rows of a tree looked at together for a child

# Columns of the block statistics, float32 [N, blocks, STATISTICS].
MAX, SUM, ALL_MAX, ALL_SUM, BROKEN, ALL_BROKEN = 0, 1, 2, 3, 4, 5
STATISTICS = 6


class Launched(NamedTuple):
    """Device tensors of what `verify_tree` found; see `structgen_kernels.verify.Verdict`."""

    paths: Any  # int32 [B, depth, or 1 if that is 0]
    lengths: Any  # int32 [B]
    next_tokens: Any  # int32 [B]
    logprobs: Any  # float64 [B, depth + 1]
    log_mass: Any  # float64 [N]


@triton.jit
def _block(logits, row, stride, masks, row_id, words, start, width, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """(logits of a block as float32, which of them are allowed); -inf past the end of the row."""
    at = start + tl.arange(0, BLOCK)
    x = tl.load(logits + row.to(tl.int64) * stride + at, mask=at < width, other=float("-inf")).to(tl.float32)
    word = at // 32
    masked_words = tl.where(row_id >= 0, words, 0)
    inside = (word < masked_words) & (at < width)
    bits = tl.load(masks + tl.maximum(row_id, 0).to(tl.int64) * words + word, mask=inside, other=0)
    open_width = tl.where(row_id >= 0, 0, width)
    return x, (((bits >> (at % 32)) & 1) == 1) | (at < open_width)


@triton.jit
def _key(x):  # type: ignore[no-untyped-def]
    """int32 that orders as the floats do; -0.0 is 0.0."""
    bits = x.to(tl.int32, bitcast=True)
    key = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    return tl.where(key == -1, 0, key)


@triton.jit
def _extent(x, scale):  # type: ignore[no-untyped-def]
    """(maximum, sum of exp((x - maximum) * scale), 1.0 if a NaN or +inf is among x)."""
    broken = tl.max(((x != x) | (x == float("inf"))).to(tl.float32), 0)
    clean = tl.where((x != x) | (x == float("inf")), float("-inf"), x)
    largest = tl.max(clean, 0)
    base = tl.where(largest == float("-inf"), 0.0, largest)
    total = tl.sum(tl.exp((clean - base) * scale), 0)
    return largest, total, broken


@triton.jit
def _survey(logits, stride, masks, words, row_ids, scales, statistics, width, num_blocks, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    block = tl.program_id(1)
    scale = tl.load(scales + row)
    x, allowed = _block(logits, row, stride, masks, tl.load(row_ids + row), words, block * BLOCK, width, BLOCK)
    all_max, all_sum, all_broken = _extent(x, scale)
    largest, total, broken = _extent(tl.where(allowed, x, float("-inf")), scale)
    out = statistics + (row.to(tl.int64) * num_blocks + block) * 6
    tl.store(out + 0, largest)
    tl.store(out + 1, total)
    tl.store(out + 2, all_max)
    tl.store(out + 3, all_sum)
    tl.store(out + 4, broken)
    tl.store(out + 5, all_broken)


@triton.jit
def _merged(statistics, row, num_blocks, column: tl.constexpr, scale, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    """(maxima of a row's blocks, their sums relative to the row's maximum as float64, that maximum)."""
    b = tl.arange(0, BLOCKS)
    at = statistics + (row.to(tl.int64) * num_blocks + b) * 6 + column
    largest = tl.load(at, mask=b < num_blocks, other=float("-inf"))
    total = tl.load(at + 1, mask=b < num_blocks, other=0.0).to(tl.float64)
    top = tl.max(largest, 0)
    base = tl.where(top == float("-inf"), 0.0, top)
    shares = total * tl.exp(((largest - base) * scale).to(tl.float64))
    return largest, tl.where(total > 0, shares, 0.0), top


@triton.jit
def _log_mass(statistics, scales, out, num_blocks, BLOCKS: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0)
    scale = tl.load(scales + row)
    _, shares, top = _merged(statistics, row, num_blocks, 0, scale, BLOCKS)
    _, all_shares, all_top = _merged(statistics, row, num_blocks, 2, scale, BLOCKS)
    b = tl.arange(0, BLOCKS)
    at = statistics + (row.to(tl.int64) * num_blocks + b) * 6 + 5
    broken = tl.max(tl.load(at, mask=b < num_blocks, other=0.0), 0)
    empty = top == float("-inf")
    total = tl.sum(shares, 0)
    all_total = tl.sum(all_shares, 0)
    gap = tl.where(empty, 0.0, top) - tl.where(all_top == float("-inf"), 0.0, all_top)
    mass = (
        (gap * scale).to(tl.float64)
        + tl.log(tl.where(empty, 1.0, total))
        - tl.log(tl.where(all_total > 0, all_total, 1.0))
    )
    mass = tl.where(empty, float("-inf"), tl.minimum(mass, 0.0))
    tl.store(out + row, tl.where((broken > 0) | (all_top == float("-inf")), float("nan"), mass))


@triton.jit
def _above(logits, row, stride, masks, row_id, words, width, statistics, num_blocks, top, scale, key,
           BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """Of a row's allowed tokens with larger keys than `key`: (how many, their mass); and (how many have it)."""
    count = 0
    same = 0
    mass = tl.zeros((), tl.float64)
    for b in range(num_blocks):
        largest = tl.load(statistics + (row.to(tl.int64) * num_blocks + b) * 6)
        if _key(largest) >= key:
            x, allowed = _block(logits, row, stride, masks, row_id, words, b * BLOCK, width, BLOCK)
            x = tl.where(allowed, x, float("-inf"))
            keys = _key(x)
            above = allowed & (keys > key) & (x > float("-inf"))
            count += tl.sum(above.to(tl.int32), 0)
            same += tl.sum((allowed & (keys == key)).to(tl.int32), 0)
            mass += tl.sum(tl.where(above, tl.exp(((x - top) * scale).to(tl.float64)), 0.0), 0)
    return count, mass, same


@triton.jit
def _float_of_key(key):  # type: ignore[no-untyped-def]
    bits = key ^ ((key >> 31) & 0x7FFFFFFF)
    return bits.to(tl.float32, bitcast=True)


@triton.jit
def _pick_kept(logits, row, stride, masks, row_id, words, width, statistics, num_blocks, top, scale, total, top_k,
               top_p, u, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    """(token, log-probability) with top-k and top-p: `least` is the smallest key kept, `ties` how many have it."""
    lowest = -2139095040  # one above the key of -inf
    highest = _key(top)
    least = lowest
    ties = width
    kept_mass = total
    if top_k < width:
        # the largest key that at least k tokens reach
        low = tl.full((), lowest, tl.int64)
        high = highest.to(tl.int64)
        while low < high:
            middle = (low + high + 1) >> 1
            count, mass, same = _above(logits, row, stride, masks, row_id, words, width, statistics, num_blocks, top,
                                       scale, middle.to(tl.int32), BLOCK)  # fmt: skip
            if count + same >= top_k:
                low = middle
            else:
                high = middle - 1
        least = low.to(tl.int32)
        count, mass, same = _above(logits, row, stride, masks, row_id, words, width, statistics, num_blocks, top, scale,
                                   least, BLOCK)  # fmt: skip
        ties = tl.minimum(same, top_k - count)
        kept_mass = mass + ties * tl.exp(((_float_of_key(least) - top) * scale).to(tl.float64))
    if top_p < 1.0:
        # the smallest key before which less than p of the mass stands
        wanted = kept_mass * top_p
        low = least.to(tl.int64)
        high = highest.to(tl.int64)
        while low < high:
            middle = (low + high) >> 1
            count, mass, same = _above(logits, row, stride, masks, row_id, words, width, statistics, num_blocks, top,
                                       scale, middle.to(tl.int32), BLOCK)  # fmt: skip
            if mass < wanted:
                high = middle
            else:
                low = middle + 1
        count, mass, same = _above(logits, row, stride, masks, row_id, words, width, statistics, num_blocks, top, scale,
                                   low.to(tl.int32), BLOCK)  # fmt: skip
        each = tl.exp(((_float_of_key(low.to(tl.int32)) - top) * scale).to(tl.float64))
        available = tl.where(low.to(tl.int32) == least, tl.minimum(same, ties), same)
        least = low.to(tl.int32)
        need = tl.ceil((wanted - mass) / tl.maximum(each, 1e-300))
        ties = tl.where(need >= available, available, tl.maximum(need, 1.0).to(tl.int32))
        kept_mass = mass + ties * each
    target = u * kept_mass
    token = -1
    chosen_logit = top
    found = 0
    ties_before = 0
    for b in range(num_blocks):
        largest = tl.load(statistics + (row.to(tl.int64) * num_blocks + b) * 6)
        if (found == 0) & (_key(largest) >= least) & (largest > float("-inf")):
            x, allowed = _block(logits, row, stride, masks, row_id, words, b * BLOCK, width, BLOCK)
            x = tl.where(allowed, x, float("-inf"))
            keys = _key(x)
            tie = allowed & (keys == least)
            rank = ties_before + tl.cumsum(tie.to(tl.int32), 0)
            kept = allowed & (x > float("-inf")) & ((keys > least) | (tie & (rank <= ties)))
            ties_before += tl.sum(tie.to(tl.int32), 0)
            mass = tl.where(kept, tl.exp(((x - top) * scale).to(tl.float64)), 0.0)
            sums = tl.cumsum(mass, 0)
            at = tl.arange(0, BLOCK)
            here = tl.min(tl.where((sums > target) & (mass > 0), at, BLOCK), 0)
            last = tl.max(tl.where(mass > 0, at, -1), 0)
            hit = here < BLOCK
            where = tl.where(hit, here, last)
            if where >= 0:  # the last token with mass stands in where rounding leaves none
                token = b * BLOCK + where
                chosen_logit = tl.max(tl.where(at == where, x, float("-inf")), 0)
            found = hit.to(tl.int32)
            target -= tl.sum(mass, 0)
    logprob = ((chosen_logit - top) * scale).to(tl.float64) - tl.log(kept_mass)
    return token, logprob


@triton.jit
def _walk(logits, stride, masks, words, row_ids, parents, tokens, offsets, temperatures, scales, top_ks, top_ps,
          uniforms, num_uniforms, statistics, paths, path_stride, lengths, next_tokens, logprobs, logprob_stride, width,
          num_blocks, BLOCK: tl.constexpr, BLOCKS: tl.constexpr,
          CHILDREN: tl.constexpr):  # type: ignore[no-untyped-def]  # fmt: skip
    tree = tl.program_id(0)
    first = tl.load(offsets + tree)
    end = tl.load(offsets + tree + 1)
    temperature = tl.load(temperatures + tree)
    top_k = tl.load(top_ks + tree)
    top_p = tl.load(top_ps + tree)
    row = first
    depth = 0
    going = 1
    while going == 1:
        row_id = tl.load(row_ids + row)
        scale = tl.load(scales + row)
        largest, shares, top = _merged(statistics, row, num_blocks, 0, scale, BLOCKS)
        b = tl.arange(0, BLOCKS)
        flags = tl.load(statistics + (row.to(tl.int64) * num_blocks + b) * 6 + 4, mask=b < num_blocks, other=0.0)
        broken = tl.max(flags, 0) > 0
        total = tl.sum(shares, 0)
        u = tl.load(uniforms + tree * num_uniforms + depth)
        token = -1
        logprob = tl.where(broken, float("nan"), float("-inf")).to(tl.float64)
        if (top > float("-inf")) & (broken == 0):
            if temperature == 0.0:
                chosen = tl.min(tl.where(largest == top, b, BLOCKS), 0)
                x, allowed = _block(logits, row, stride, masks, row_id, words, chosen * BLOCK, width, BLOCK)
                at = tl.arange(0, BLOCK)
                token = chosen * BLOCK + tl.min(tl.where(allowed & (x == top), at, BLOCK), 0)
                logprob = -tl.log(total)
            else:
                if (top_k >= width) & (top_p >= 1.0):
                    sums = tl.cumsum(shares, 0)
                    target = u * total
                    last = tl.max(tl.where(shares > 0, b, -1), 0)
                    chosen = tl.min(tl.where((sums > target) & (shares > 0), b, BLOCKS), 0)
                    chosen = tl.where(chosen < BLOCKS, chosen, last)
                    share = tl.sum(tl.where(b == chosen, shares, 0.0), 0)
                    before = tl.sum(tl.where(b < chosen, shares, 0.0), 0)
                    x, allowed = _block(logits, row, stride, masks, row_id, words, chosen * BLOCK, width, BLOCK)
                    x = tl.where(allowed, x, float("-inf"))
                    mass = tl.exp(((x - top) * scale).to(tl.float64))
                    within = tl.sum(mass, 0)
                    target = (target - before) * (within / share)  # the block's tokens share it without a gap
                    at = tl.arange(0, BLOCK)
                    here = tl.min(tl.where((tl.cumsum(mass, 0) > target) & (mass > 0), at, BLOCK), 0)
                    here = tl.where(here < BLOCK, here, tl.max(tl.where(mass > 0, at, -1), 0))
                    token = chosen * BLOCK + here
                    logit = tl.max(tl.where(at == here, x, float("-inf")), 0)
                    logprob = ((logit - top) * scale).to(tl.float64) - tl.log(total)
                else:
                    token, logprob = _pick_kept(logits, row, stride, masks, row_id, words, width, statistics,
                                                num_blocks, top, scale, total, top_k, top_p, u, BLOCK)  # fmt: skip
        tl.store(logprobs + tree * logprob_stride + depth, logprob)
        child = end
        start = row + 1
        while (start < end) & (token >= 0) & (child == end):
            i = start + tl.arange(0, CHILDREN)
            parent = tl.load(parents + i, mask=i < end, other=-1)
            drafted = tl.load(tokens + i, mask=i < end, other=-1)
            child = tl.min(tl.where((parent == row - first) & (drafted == token) & (i < end), i, end), 0)
            start += CHILDREN
        if child < end:
            tl.store(paths + tree * path_stride + depth, (child - first).to(tl.int32))
            row = child
            depth += 1
        else:
            tl.store(lengths + tree, depth)
            tl.store(next_tokens + tree, token)
            going = 0


class Inputs(NamedTuple):
    """A batch on the device, ready for `launch`."""

    logits: Any
    masks: Any
    row_ids: Any
    parents: Any
    tokens: Any
    offsets: Any
    temperatures: Any
    scales: Any  # float32 [N]
    top_ks: Any
    top_ps: Any
    uniforms: Any
    depth: int


def prepare(logits: Any, masks: Any, batch: Batch) -> Inputs:
    """Puts a checked batch on the device of the logits."""
    device = logits.device

    def on_device(values: np.ndarray) -> Any:
        return torch.from_numpy(values).to(device, non_blocking=True)

    if masks is None:
        masks = torch.zeros((1, 1), dtype=torch.int32, device=device)
    elif isinstance(masks, np.ndarray):
        masks = on_device(masks.view(np.int32))
    temperatures = np.repeat(batch.temperatures, np.diff(batch.offsets))
    scales = np.where(temperatures == 0.0, 1.0, np.minimum(1.0 / np.maximum(temperatures, 1e-300), 1e30))
    top_ks = np.where(batch.top_ks <= 0, logits.shape[1], np.minimum(batch.top_ks, logits.shape[1]))
    return Inputs(
        logits, masks.contiguous(), on_device(batch.row_ids), on_device(batch.parents), on_device(batch.tokens),
        on_device(batch.offsets.astype(np.int32)), on_device(batch.temperatures.astype(np.float32)),
        on_device(scales.astype(np.float32)), on_device(top_ks.astype(np.int32)), on_device(batch.top_ps),
        on_device(batch.uniforms), batch.depth,
    )  # fmt: skip


def launch(inputs: Inputs, *, with_log_mass: bool, block: int | None = None) -> Launched:
    """Runs the kernels; nothing is copied to the host."""
    logits, masks = inputs.logits, inputs.masks
    n, width = logits.shape
    trees = len(inputs.offsets) - 1
    device = logits.device
    block = block or (256 if os.environ.get("TRITON_INTERPRET") == "1" else BLOCK)
    num_blocks = triton.cdiv(width, block)
    blocks = triton.next_power_of_2(num_blocks)
    statistics = torch.empty((n, num_blocks, STATISTICS), dtype=torch.float32, device=device)
    paths = torch.full((trees, max(inputs.depth, 1)), -1, dtype=torch.int32, device=device)
    lengths, next_tokens = torch.empty((2, trees), dtype=torch.int32, device=device)
    logprobs = torch.full((trees, inputs.depth + 1), float("nan"), dtype=torch.float64, device=device)
    log_mass = torch.empty(n if with_log_mass else 0, dtype=torch.float64, device=device)
    words = masks.shape[1]
    if n:
        _survey[(n, num_blocks)](logits, logits.stride(0), masks, words, inputs.row_ids, inputs.scales, statistics,
                                 width, num_blocks, BLOCK=block)  # fmt: skip
        _walk[(trees,)](logits, logits.stride(0), masks, words, inputs.row_ids, inputs.parents, inputs.tokens,
                        inputs.offsets, inputs.temperatures, inputs.scales, inputs.top_ks, inputs.top_ps,
                        inputs.uniforms, inputs.uniforms.shape[1], statistics, paths, paths.shape[1], lengths,
                        next_tokens, logprobs, logprobs.shape[1], width, num_blocks, BLOCK=block, BLOCKS=blocks,
                        CHILDREN=_CHILDREN)  # fmt: skip
        if with_log_mass:
            _log_mass[(n,)](statistics, inputs.scales, log_mass, num_blocks, BLOCKS=blocks)
    return Launched(paths, lengths, next_tokens, logprobs, log_mass)


def verify_tree_triton(logits: Any, masks: Any, batch: Batch, *, with_log_mass: bool) -> Verdict:
    """`verify_tree` for a checked batch."""
    from structgen_kernels.verify import Verdict

    found = launch(prepare(logits, masks, batch), with_log_mass=with_log_mass)
    return Verdict(
        found.paths.cpu().numpy()[:, : batch.depth],
        found.lengths.cpu().numpy(),
        found.next_tokens.cpu().numpy(),
        found.logprobs.cpu().numpy(),
        found.log_mass.cpu().numpy() if with_log_mass else None,
    )
