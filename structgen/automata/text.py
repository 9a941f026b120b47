"""Texts over code points as bytes: UTF-8 and JSON string spellings of a regular language.

A state of the language's automaton becomes an instruction that is expanded when reached. Its edges are *pieces*
(low, high, target pc): a piecewise constant function over code points. UTF-8 and the four hex digits of a JSON escape are
then both radix expansions of that function, built top down with equal slices shared, so the result is deterministic
and small (a whole block with one target is one node, whatever its size).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias


if TYPE_CHECKING:
    from structgen.automata.network import Network
    from structgen.automata.regular import Language
    from structgen.ir import Encoding

Pieces: TypeAlias = tuple[tuple[int, int, int], ...]

_SHORT_ESCAPES = {0x22: b'"', 0x5C: b"\\", 0x2F: b"/", 0x08: b"b", 0x0C: b"f", 0x0A: b"n", 0x0D: b"r", 0x09: b"t"}
_CANONICAL_ESCAPES = {c: e for c, e in _SHORT_ESCAPES.items() if c != 0x2F}
_MUST_ESCAPE = (1 << 0x20) - 1 | 1 << 0x22 | 1 << 0x5C
_ASCII = (1 << 128) - 1
_HEX = tuple((1 << ord(f"{d:x}")) | (1 << ord(f"{d:X}")) for d in range(16))
_LOWER_HEX = tuple(1 << ord(f"{d:x}") for d in range(16))
# lead bytes of UTF-8: first, last, code points of the first, code points a lead byte covers, continuation bytes
_LEADS = ((0xC2, 0xDF, 0x80, 0x40, 1), (0xE0, 0xEF, 0x0000, 0x1000, 2), (0xF0, 0xF4, 0x00000, 0x40000, 3))
_LEAST = (0x80, 0x800, 0x10000)  # the least code point of each length (no overlong forms)


def emit_text(net: Network, language: Language, encoding: Encoding, after: int, rule: int) -> int:
    """The pc of a text in `language`, followed by pc `after`."""
    repeat = language.class_repeat()
    if repeat is not None:
        charset, low, high = repeat
        ranges = charset.ranges

        def body(loop: int) -> int:
            return emit_pieces(net, tuple((a, b, loop) for a, b in ranges), encoding, rule)

        return net.counted(body, low, high, after, rule)
    return _state(net, language, encoding, after, rule)


def _state(net: Network, language: Language, encoding: Encoding, after: int, rule: int) -> int:
    return net.once((language, encoding, after), _expand_state, net, language, encoding, after, rule, rule=rule)


def _expand_state(net: Network, language: Language, encoding: Encoding, after: int, rule: int) -> int:
    pieces = sorted(
        (low, high, _state(net, target, encoding, after, rule))
        for charset, target in language.edges()
        for low, high in charset.ranges
    )
    chars = emit_pieces(net, tuple(pieces), encoding, rule)
    return net.split(after, chars, rule=rule) if language.nullable else chars


def emit_pieces(net: Network, pieces: Pieces, encoding: Encoding, rule: int) -> int:
    """The pc of one code point, spelled in an encoding, that then goes to its piece's target."""
    if not pieces:
        return 0
    branches = _utf8(net, pieces, rule)
    if encoding == "utf-8":
        return net.switch(branches, rule=rule)
    for byte in [b for b in branches if b < 128 and _MUST_ESCAPE >> b & 1]:
        del branches[byte]
    if encoding == "json" or any(low < 0x20 or low <= 0x22 <= high or low <= 0x5C <= high for low, high, _ in pieces):
        branches[0x5C] = net.lazy(_escape, net, pieces, encoding, rule, rule=rule)
    return net.switch(branches, rule=rule)


# ---- UTF-8 --------------------------------------------------------------------------------------------------------


def _utf8(net: Network, pieces: Pieces, rule: int) -> dict[int, int]:
    branches: dict[int, int] = {}
    memo: dict[tuple[int, Pieces], int] = {}
    for low, high, target in pieces:
        for byte in range(low, min(high, 0x7F) + 1):
            branches[byte] = target
    if pieces[-1][1] < 0x80:
        return branches
    for (first, last, base, size, rest), least in zip(_LEADS, _LEAST, strict=True):
        for block, part in _blocks(_clip(pieces, least, base + (last - first + 1) * size - 1), base, size):
            branches[first + block] = _continuation(net, part, rest, memo, rule)
    return branches


def _continuation(net: Network, pieces: Pieces, rest: int, memo: dict[tuple[int, Pieces], int], rule: int) -> int:
    """`rest` continuation bytes whose value is looked up in pieces over [0, 64 ** rest)."""
    key = (rest, pieces)
    pc = memo.get(key)
    if pc is None:
        size = 64 ** (rest - 1)
        if rest == 1:
            branches = {0x80 + v: target for low, high, target in pieces for v in range(low, high + 1)}
        else:
            branches = {
                0x80 + block: _continuation(net, part, rest - 1, memo, rule) for block, part in _blocks(pieces, 0, size)
            }
        pc = memo[key] = net.switch(branches, rule=rule)
    return pc


def _clip(pieces: Pieces, low: int, high: int) -> Pieces:
    """The part of pieces within [low, high]."""
    return tuple((max(a, low), min(b, high), t) for a, b, t in pieces if a <= high and b >= low)


def _blocks(pieces: Pieces, base: int, size: int) -> list[tuple[int, Pieces]]:
    """Cut pieces at multiples of size from base: (block number, its pieces relative to the block)."""
    out: dict[int, list[tuple[int, int, int]]] = {}
    for low, high, target in pieces:
        first, last = (low - base) // size, (high - base) // size
        for block in range(first, last + 1):
            start = base + block * size
            out.setdefault(block, []).append((max(low - start, 0), min(high - start, size - 1), target))
    return [(block, _joined(part)) for block, part in out.items()]


def _joined(part: list[tuple[int, int, int]]) -> Pieces:
    """Neighbours with one target joined, so that equal functions are equal tuples."""
    out = [part[0]]
    for low, high, target in part[1:]:
        if out[-1][1] + 1 == low and out[-1][2] == target:
            out[-1] = (out[-1][0], high, target)
        else:
            out.append((low, high, target))
    return tuple(out)


# ---- JSON escapes -------------------------------------------------------------------------------------------------


def _escape(net: Network, pieces: Pieces, encoding: Encoding, rule: int) -> int:
    """What may follow a backslash."""
    canonical = encoding == "json-canonical"
    branches: dict[int, int] = {}
    for code, letter in (_CANONICAL_ESCAPES if canonical else _SHORT_ESCAPES).items():
        for low, high, target in pieces:
            if low <= code <= high:
                branches[letter[0]] = target
    if canonical:
        units = tuple(
            (c, c, t)
            for low, high, t in _clip(pieces, 0, 0x1F)
            for c in range(low, high + 1)
            if c not in _CANONICAL_ESCAPES
        )
    else:
        units = _clip(pieces, 0, 0xFFFF)
        if pieces[-1][1] > 0xFFFF:
            units = tuple(sorted(units + _surrogates(net, _clip(pieces, 0x10000, 0x10FFFF), rule)))
    if units:
        digits = _LOWER_HEX if canonical else _HEX
        branches[ord("u")] = net.lazy(_digits, net, units, 4, digits, rule, rule=rule)
    return net.switch(branches, rule=rule)


def _digits(net: Network, pieces: Pieces, count: int, digits: tuple[int, ...], rule: int) -> int:
    return _hex(net, pieces, count, digits, {}, rule)


def _hex(
    net: Network, pieces: Pieces, count: int, digits: tuple[int, ...], memo: dict[tuple[int, Pieces], int], rule: int
) -> int:
    """`count` hex digits whose value is looked up in pieces over [0, 16 ** count)."""
    key = (count, pieces)
    pc = memo.get(key)
    if pc is None:
        targets: dict[int, int] = {}
        for block, part in _blocks(pieces, 0, 16 ** (count - 1)):
            target = part[0][2] if count == 1 else _hex(net, part, count - 1, digits, memo, rule)
            targets[target] = targets.get(target, 0) | digits[block]
        branches = {b: target for target, mask in targets.items() for b in range(128) if mask >> b & 1}
        pc = memo[key] = net.switch(branches, rule=rule)
    return pc


def _surrogates(net: Network, pieces: Pieces, rule: int) -> Pieces:
    """Code points above U+FFFF as pieces over high surrogates, whose targets read the low one."""
    out: list[tuple[int, int, int]] = []
    memo: dict[Pieces, int] = {}
    for block, part in sorted(_blocks(pieces, 0x10000, 0x400)):
        low = tuple((0xDC00 + a, 0xDC00 + b, t) for a, b, t in part)
        if low not in memo:
            memo[low] = net.lazy(_low_surrogate, net, low, rule, rule=rule)
        out.append((0xD800 + block, 0xD800 + block, memo[low]))
    return _joined(out)


def _low_surrogate(net: Network, pieces: Pieces, rule: int) -> int:
    return net.chain(b"\\u", _hex(net, pieces, 4, _HEX, {}, rule), rule)


__all__ = ["emit_pieces", "emit_text"]
