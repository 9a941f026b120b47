"""One row of logits under one row of a mask: where its mass lies, and which token a uniform number picks.

A row is read in blocks of 1024 tokens, once: each block becomes 32-bit floats in a buffer of 4 KiB (masked tokens are
-inf there), and leaves its maximum and its sum of exponentials behind. A token is then drawn by finding its block in
these sums and reading that one block again, so nothing of the width of the vocabulary is ever written.

Distributions, everywhere in this package: mask, temperature, top-k, top-p, in this order. The tokens kept are those
that come first by (logit descending, id ascending); a uniform number u picks the first kept token, in ascending order
of ids, whose cumulative probability exceeds u. Temperature 0 is the first maximum. A row in which an allowed logit is
NaN or +inf, or all are -inf, has no token (-1).

Logits are passed as addresses with a kind, so that every kernel is compiled once and not once a type.
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from structgen_kernels.arena import _pointer, helper
from structgen_kernels.jit import kernel

BLOCK = 1024  # tokens: 32 mask words
BLOCK_WORDS = BLOCK // 32
FLOAT32, BFLOAT16, FLOAT16 = 0, 1, 2  # kinds of logits
UNCONSTRAINED = -1  # a row id

# Columns of a row's summary.
MAX, SUM = 0, 1  # of the allowed tokens: the largest logit; the sum of exp((logit - MAX) / temperature)
ALL_MAX, ALL_SUM = 2, 3  # the same of all tokens
BROKEN, ALL_BROKEN = 4, 5  # 1: a NaN or +inf is among them
KNOWN = 6  # 1: the row was surveyed
SUMMARY_WIDTH = 7

_KEY_MINUS_INF = np.int32(-2139095041)
_KEY_INF = np.int32(2139095040)
_BITS_MINUS_INF = np.int32(-8388608)
_EXP_LOW = np.float32(-87.0)  # below this the scaled exponential would be denormal; it is 0 here
_MAGIC = np.float32(12582912.0)  # 1.5 * 2 ** 23: adding it rounds to an integer, in the low bits
_LOG2_E = np.float32(1.4426950408889634)
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
# Without `nnan` and `ninf`: masked logits are -inf, and NaN must survive to be reported.
_FAST = {"contract", "nsz", "reassoc"}


@intrinsic
def _float_of_bits(typingctx, bits):  # type: ignore[no-untyped-def]
    """int32 as the float32 of the same bits."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.FloatType())

    return types.float32(types.int32), codegen


@intrinsic
def _bits_of_float(typingctx, value):  # type: ignore[no-untyped-def]
    """float32 as the int32 of the same bits."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(args[0], ir.IntType(32))

    return types.int32(types.float32), codegen


@intrinsic
def _power_of_two(typingctx, rounded):  # type: ignore[no-untyped-def]
    """2 ** n for a float32 that holds _MAGIC + n. In 32-bit integers throughout, which numba's own would not be."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        i32 = ir.IntType(32)
        bits = builder.add(builder.bitcast(args[0], i32), ir.Constant(i32, 127))
        return builder.bitcast(builder.shl(bits, ir.Constant(i32, 23)), ir.FloatType())

    return types.float32(types.float32), codegen


@kernel("float32(float32)", no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath={"contract"})
def _exp(t):
    """exp(t) for t <= 0 to 2 ulp, vectorised where it is inlined (libm's is not): Cody and Waite, then a polynomial."""
    low = t > _EXP_LOW
    t = t if low else _EXP_LOW
    rounded = t * _LOG2_E + _MAGIC
    n = rounded - _MAGIC
    r = t - n * _LN2_HIGH - n * _LN2_LOW
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    y = (p * r * r + r + np.float32(1.0)) * _power_of_two(rounded)
    return y if low else np.float32(0.0)


@helper("float64(float64)")
def scale_of(temperature):
    """What logits are multiplied with; 1 for greedy rows, whose masses are those at temperature 1."""
    return 1.0 if temperature == 0.0 else min(1.0 / temperature, 1e30)


@helper("float32(int32)")
def float_of_key(key):
    """The logit of a key (see `key_of`)."""
    return _float_of_bits(np.int32(key ^ ((key >> 31) & 0x7FFFFFFF)))


@helper("int32(float32)")
def key_of(value):
    """An int32 that orders as the logits do; -0.0 is 0.0."""
    bits = _bits_of_float(value)
    key = np.int32(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    return np.int32(0) if key == -1 else key


@helper("float32(uint16)")
def _float_of_half(bits):
    """IEEE half to float: the exponent is moved by a multiplication, which is right for subnormals too."""
    value = _float_of_bits(np.int32((np.int32(bits) & 0x7FFF) << 13)) * np.float32(5.192296858534828e33)  # 2 ** 112
    special = value >= np.float32(65536.0)
    quiet = np.int32(0x7F800000) | np.int32((np.int32(bits) & 0x3FF) << 13)
    magnitude = quiet if special else _bits_of_float(value)
    return _float_of_bits(np.int32(magnitude | (np.int32(bits & 0x8000) << 16)))


@helper("void(int64, int64, int64, int64, float32[::1])")
def _load(address, kind, first, count, out):
    """out[:count] = logits [first, first + count) of the row at an address."""
    if kind == FLOAT32:
        floats = carray(_pointer(address + 4 * first), (count,), np.float32)
        for j in range(count):
            out[j] = floats[j]
        return
    halves = carray(_pointer(address + 2 * first), (count,), np.uint16)
    if kind == BFLOAT16:
        for j in range(count):
            out[j] = _float_of_bits(np.int32(np.uint32(halves[j]) << 16))
    else:
        for j in range(count):
            out[j] = _float_of_half(halves[j])


@helper("void(uint32[::1], int64, float32[::1])")
def _mask(words, first_word, out):
    """Sets the tokens of a block whose bits are 0 to -inf."""
    for w in range(BLOCK_WORDS):
        at = first_word + w
        bits = words[at] if at < words.shape[0] else np.uint32(0)
        if bits == np.uint32(0xFFFFFFFF):
            continue
        part = out[32 * w : 32 * w + 32]
        if bits == np.uint32(0):
            for j in range(32):
                part[j] = -np.inf
            continue
        for j in range(32):
            part[j] = part[j] if (bits >> np.uint32(j)) & np.uint32(1) else np.float32(-np.inf)


@helper("void(int64, int64, int64, int64, uint32[::1], boolean, float32[::1])")
def load_block(address, kind, width, block, words, masked, out):
    """out[0:BLOCK] = the logits of a block; -inf past the end of the row and, if `masked`, where a bit is 0."""
    first = block * BLOCK
    count = min(width - first, BLOCK)
    if count == BLOCK:
        _load(address, kind, first, BLOCK, out)  # the constant makes loops without remainders
    else:
        _load(address, kind, first, count, out)
        out[count:] = -np.inf
    if masked:
        _mask(words, block * BLOCK_WORDS, out)


@kernel("int64(int32[::1])", no_cpython_wrapper=True, no_cfunc_wrapper=True)
def _extremes(bits):
    """The largest key of a block (low 32 bits); bit 32 is set if a NaN or +inf is among them."""
    high, low = _KEY_MINUS_INF, _KEY_INF
    for j in range(BLOCK):
        key = np.int32(bits[j] ^ ((bits[j] >> 31) & 0x7FFFFFFF))
        high = max(high, key)
        low = min(low, key)
    broken = high >= _KEY_INF or low < _KEY_MINUS_INF
    return np.int64(np.uint32(high)) | (np.int64(broken) << 32)


@kernel("float32(float32[::1], float32, float32)", no_cpython_wrapper=True, no_cfunc_wrapper=True, fastmath=_FAST)
def _sum_exp(block, largest, scale):
    total = np.float32(0.0)
    for j in range(BLOCK):
        total += _exp((block[j] - largest) * scale)
    return total


@helper("void(float64[::1], int64, float32, float32, float64)")
def _accumulate(summary, column, largest, total, scale):
    """Adds a block's (largest, sum) to the columns (MAX, SUM) or (ALL_MAX, ALL_SUM) of a row's summary."""
    if largest > summary[column]:
        summary[column + 1] = summary[column + 1] * math.exp((summary[column] - largest) * scale) + total
        summary[column] = largest
    elif total > 0:
        summary[column + 1] += total * math.exp((largest - summary[column]) * scale)


@helper("boolean(float32[::1], float64[::1], int64, float64, float32[::1])")
def _survey(block, summary, column, scale, out):
    """Adds a loaded block to a summary and writes out = (largest, sum). Whether a NaN or +inf is among it."""
    found = _extremes(block.view(np.int32))
    key = np.int32(found & 0xFFFFFFFF)
    out[0] = float_of_key(key)
    out[1] = np.float32(0.0)
    if found >> 32:
        return True
    if key > _KEY_MINUS_INF:
        out[1] = _sum_exp(block, out[0], np.float32(scale))
        _accumulate(summary, column, out[0], out[1], scale)
    return False


@helper("void(int64, int64, int64, uint32[::1], boolean, float64, boolean, float32[:, ::1], float64[::1], "
        "float32[::1])")  # fmt: skip
def survey_row(address, kind, width, words, constrained, scale, want_all, blocks, summary, buffer):
    """Reads a row once.

    blocks: float32 [ceil(width / BLOCK), 2], written: the largest allowed logit of each block and its sum of
        exp((logit - largest) * scale); (-inf, 0) where none is allowed.
    summary: float64 [SUMMARY_WIDTH], written; the columns ALL_ only if `want_all`.
    """
    summary[:] = 0.0
    summary[MAX] = summary[ALL_MAX] = -np.inf
    summary[KNOWN] = 1.0
    every = np.empty(2, np.float32)
    for b in range(blocks.shape[0]):
        some, whole = True, True
        if constrained:
            some = False
            first = b * BLOCK_WORDS
            for w in range(first, first + BLOCK_WORDS):
                bits = words[w] if w < words.shape[0] else np.uint32(0)
                some |= bits != np.uint32(0)
                whole &= bits == np.uint32(0xFFFFFFFF)
        blocks[b, 0] = -np.inf
        blocks[b, 1] = 0.0
        if want_all or some:
            load_block(address, kind, width, b, words, False, buffer)
        if want_all:
            broken = _survey(buffer, summary, ALL_MAX, scale, every)
            if broken:
                summary[ALL_BROKEN] = 1.0
            if whole:
                blocks[b, 0] = every[0]
                blocks[b, 1] = every[1]
                if broken:
                    summary[BROKEN] = 1.0
                elif every[1] > 0:
                    _accumulate(summary, MAX, every[0], every[1], scale)
        if some and not (want_all and whole):
            if not whole:
                _mask(words, b * BLOCK_WORDS, buffer)
            if _survey(buffer, summary, MAX, scale, blocks[b]):
                summary[BROKEN] = 1.0


@helper("int64(int64, int64, int64, uint32[::1], boolean, float32[:, ::1], float64[::1], float32[::1], float64[::1])")
def _pick_first_maximum(address, kind, width, words, constrained, blocks, summary, buffer, logprob):
    wanted = key_of(np.float32(summary[MAX]))
    logprob[0] = -math.log(summary[SUM])
    for b in range(blocks.shape[0]):
        if key_of(blocks[b, 0]) >= wanted:
            load_block(address, kind, width, b, words, constrained, buffer)
            for j in range(BLOCK):
                if key_of(buffer[j]) >= wanted:
                    return b * BLOCK + j
    return -1


@helper("int64(int64, int64, int64, uint32[::1], boolean, float64, float64, float32[:, ::1], float64[::1], "
        "float32[::1], float64[::1])")  # fmt: skip
def _pick_whole(address, kind, width, words, constrained, scale, u, blocks, summary, buffer, logprob):
    """Inverse of the cumulative distribution, without top-k and top-p."""
    total = 0.0
    last = -1
    shares = np.empty(blocks.shape[0])
    for b in range(blocks.shape[0]):
        shares[b] = 0.0
        if blocks[b, 1] > 0:
            shares[b] = blocks[b, 1] * math.exp((blocks[b, 0] - summary[MAX]) * scale)
            if shares[b] > 0:
                last = b
        total += shares[b]
    target = u * total
    chosen = last
    for b in range(last):
        if shares[b] > target:
            chosen = b
            break
        target -= shares[b]
    load_block(address, kind, width, chosen, words, constrained, buffer)
    largest = np.float64(blocks[chosen, 0])
    # The block's share was summed in float32; here its tokens share it in proportion, so that it has no gap.
    within = 0.0
    for j in range(BLOCK):
        if buffer[j] > -np.inf:
            within += math.exp((buffer[j] - largest) * scale)
    target *= within / shares[chosen]
    token = -1
    for j in range(BLOCK):
        if buffer[j] > -np.inf:
            mass = math.exp((buffer[j] - largest) * scale)
            if mass > 0:
                token = j
                if mass > target:
                    break
                target -= mass
    logprob[0] = (buffer[token] - summary[MAX]) * scale - math.log(total)
    return chosen * BLOCK + token


@helper("int64(float32[:, ::1], int64, int64, float64, float64, float64[::1])")
def _lowest_candidate(blocks, width, top_k, top_p, scale, summary):
    """A key that no token kept by top-k and top-p lies below."""
    lowest = _KEY_MINUS_INF + 1
    num_blocks = blocks.shape[0]
    if top_k <= num_blocks:
        # each block has a token at its maximum: the k-th largest maximum bounds the k-th largest logit from below
        largest = np.sort(blocks[:, 0])
        lowest = max(lowest, np.int64(key_of(largest[num_blocks - top_k])))
    if top_p < 1.0 and top_k == width:  # with top-k, all k must be there: top-p is a share of their mass
        # Tokens below (1 - p) / width of the mass have less than 1 - p together, so the first of them comes after p.
        share = (1.0 - top_p) / width
        bound = summary[MAX] + (math.log(0.99 * share) + math.log(summary[SUM])) / scale
        lowest = max(lowest, np.int64(key_of(np.float32(max(bound, -3.4e38)))) - 1)
    return lowest


@helper("int64(int64, int64, int64, uint32[::1], boolean, float64, int64, float64, float32[:, ::1], float64[::1], "
        "float32[::1], int64[::1])")  # fmt: skip
def kept_tokens(address, kind, width, words, constrained, scale, top_k, top_p, blocks, summary, buffer, out):
    """The tokens that top-k and top-p keep: out[:n] = id << 32 | key + 2 ** 31, ascending. Returns n."""
    lowest = _lowest_candidate(blocks, width, top_k, top_p, scale, summary)
    n = 0
    for b in range(blocks.shape[0]):
        if key_of(blocks[b, 0]) >= lowest:
            load_block(address, kind, width, b, words, constrained, buffer)
            for j in range(BLOCK):
                key = np.int64(key_of(buffer[j]))
                if key >= lowest:
                    out[n] = (-key << 32) + (b * BLOCK + j)
                    n += 1
    out[:n].sort()
    n = min(n, top_k)
    if top_p < 1.0:
        total = summary[SUM]
        if top_k < width:
            total = 0.0
            for i in range(n):
                key = -(out[i] >> 32)
                total += math.exp((float_of_key(np.int32(key)) - summary[MAX]) * scale)
        before = 0.0
        for i in range(n):
            if before >= top_p * total:
                n = i
                break
            key = -(out[i] >> 32)
            before += math.exp((float_of_key(np.int32(key)) - summary[MAX]) * scale)
    for i in range(n):
        key, token = -(out[i] >> 32), out[i] & 0xFFFFFFFF
        out[i] = (token << 32) + (key + 0x80000000)
    out[:n].sort()
    return n


@helper("float64(int64, float64, float64[::1])")
def mass_of_kept(entry, scale, summary):
    """Mass of an entry of `kept_tokens`, relative to the row's maximum."""
    return math.exp((float_of_key(np.int32((entry & 0xFFFFFFFF) - 0x80000000)) - summary[MAX]) * scale)


@helper("int64(int64, int64, int64, uint32[::1], boolean, float64, int64, float64, float64, float32[:, ::1], "
        "float64[::1], float32[::1], float64[::1])")  # fmt: skip
def pick(address, kind, width, words, constrained, temperature, top_k, top_p, u, blocks, summary, buffer, logprob):
    """The token of a surveyed row that u in [0, 1) picks, or -1.

    top_k: 0 for none; top_p: 1.0 for none. logprob[0]: its log-probability in the distribution drawn from (greedy: at
    temperature 1); -inf if no token is allowed, NaN if the row is broken.
    """
    if summary[BROKEN] > 0:
        logprob[0] = np.nan
        return -1
    if summary[MAX] == -np.inf:
        logprob[0] = -np.inf
        return -1
    if temperature == 0.0:
        return _pick_first_maximum(address, kind, width, words, constrained, blocks, summary, buffer, logprob)
    scale = scale_of(temperature)
    if top_k <= 0 or top_k > width:
        top_k = width
    if top_k == width and top_p >= 1.0:
        return _pick_whole(address, kind, width, words, constrained, scale, u, blocks, summary, buffer, logprob)
    kept = np.empty(width, np.int64)
    n = kept_tokens(address, kind, width, words, constrained, scale, top_k, top_p, blocks, summary, buffer, kept)
    total = 0.0
    for i in range(n):
        total += mass_of_kept(kept[i], scale, summary)
    target = u * total
    chosen = -1
    for i in range(n):
        mass = mass_of_kept(kept[i], scale, summary)
        if mass > 0:
            chosen = i
            if mass > target:
                break
            target -= mass
    logprob[0] = math.log(mass_of_kept(kept[chosen], scale, summary)) - math.log(total)
    return kept[chosen] >> 32
