"""Texts over code points as bytes: UTF-8 and JSON string spellings of a regular language.

A state of the language's automaton becomes an instruction that is expanded when reached. Its edges are *pieces*
(low, high, target pc): a piecewise constant function over code points. UTF-8 and the four hex digits of a JSON escape are
then both radix expansions of that function, built top down with equal slices shared, so the result is deterministic
and small (a whole block with one target is one node, whatever its size).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from structgen_kernels import arena as k

from structgen.automata.charset import ANY, CharSet
from structgen.automata.regular_nodes import Kind, Language

if TYPE_CHECKING:
    from structgen.automata.network import Network
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


@dataclass(frozen=True)
class Tail:
    """C{0,n} and the bytes that end it, as a rule shared by every text of a network that comes to such an end."""

    rule: int
    start: int
    leads: dict[int, tuple[Pieces, int]]  # what is expected after a lead byte: pieces and pc


NO_TAILS: Mapping[int, Tail] = MappingProxyType({})


def emit_text(net: Network, language: Language, encoding: Encoding, after: int, rule: int, *, end: bytes = b"") -> int:
    """The pc of a text in `language` and the literal `end`, followed by pc `after`."""
    repeat = language.class_repeat()
    if not end:
        return _state(net, language, encoding, after, rule) if repeat is None else _repeat(net, *repeat, encoding, after, rule)
    text = _Ended(net, encoding, end, after, rule)
    return text.state(language) if repeat is None else text.repeat(*repeat)


def _repeat(net: Network, charset: CharSet, low: int, high: int | None, encoding: Encoding, after: int, rule: int) -> int:
    def body(loop: int) -> int:
        return emit_pieces(net, tuple((a, b, loop) for a, b in charset.ranges), encoding, rule)

    return net.counted(body, low, high, after, rule)


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


class _Ended:
    """A text that a literal ends. Where all that is left to read is C{0,n} and the literal, it calls the shared tail.

    Where the text is all there is to its rule, notes tell the mask store that an item is nearly a tail: it differs in
    texts that end (some are not allowed to) or are too long, and in no others.
    """

    def __init__(self, net: Network, encoding: Encoding, end: bytes, after: int, rule: int) -> None:
        self.net, self.encoding, self.end, self.after, self.rule = net, encoding, end, after, rule
        self.noted = end[0] == 0x22 and net.ends_rule(after)

    def state(self, language: Language) -> int:
        """The pc of an automaton state."""
        key = (language, self.encoding, self.end, self.after)
        return self.net.once(key, self._expand, language, rule=self.rule)

    def repeat(self, charset: CharSet, low: int, high: int | None) -> int:
        """The pc of C{low,high} and the end."""
        net, rule = self.net, self.rule
        if high is None or high > low:
            calls = self._call(charset, None if high is None else high - low)
        else:
            calls = net.chain(self.end, self.after, rule)
        if low == 0:
            return calls
        take = net.instruction(k.TAKE, 0, 0, k.MAX_COUNT, rule=rule)
        head = net.split(take, net.instruction(k.ZERO, calls, rule=rule), rule=rule)
        if self.noted:
            head = self._note(head, charset, -1 if high is None else high - low)
        chars = emit_pieces(net, tuple((a, b, head) for a, b in charset.ranges), self.encoding, rule)
        net.patch(take, chars, 0)
        return net.counter(head, low, rule=rule)

    def _note(self, target: int, charset: CharSet, slack: int) -> int:
        return self.net.note(target, base=self._unbounded(charset).start, slack=slack, rule=self.rule)

    def _expand(self, language: Language) -> int:
        net, rule = self.net, self.rule
        pieces: list[tuple[int, int, int]] = []
        tails: dict[int, Tail] = {}
        for charset, target in language.edges():
            repeat = target.class_repeat()
            if repeat is not None and repeat[1] == 0 and repeat[2] != 0:
                pc = self._call(repeat[0], repeat[2])
                if repeat[2] is None:
                    tails[pc] = self._unbounded(repeat[0])
            else:
                pc = self.state(target)
            pieces += [(low, high, pc) for low, high in charset.ranges]
        chars = emit_pieces(net, tuple(sorted(pieces)), self.encoding, rule, tails=tails, after=self.after)
        pc = net.split(net.chain(self.end, self.after, rule), chars, rule=rule) if language.nullable else chars
        if self.noted and _ends_vary(language):
            return ~self._note(pc, ANY, -1)
        return pc

    def _call(self, charset: CharSet, limit: int | None) -> int:
        tail = self._unbounded(charset) if limit is None else self._bounded(charset)
        return self.net.call(tail.rule, self.after, min(limit or 0, k.MAX_COUNT), rule=self.rule)

    def _unbounded(self, charset: CharSet) -> Tail:
        """C* and the end."""
        key = ("tail", charset, self.encoding, self.end, None)
        tail = self.net.tails.get(key)
        if tail is None:
            net = self.net
            rule = net.entrance(0)
            close = net.chain(self.end, net.instruction(k.END, rule, rule=rule), rule)
            loop = net.instruction(k.SPLIT, rule=rule)
            branches = _spellings(net, tuple((a, b, loop) for a, b in charset.ranges), self.encoding, rule)
            net.patch(loop, net.switch(branches, rule=rule), close)
            net.start_rule(rule, loop)
            leads = _lead_parts(tuple((a, b, loop) for a, b in charset.ranges))
            tail = Tail(rule, loop, {byte: (part, branches[byte]) for byte, part in leads.items()})
            net.tails[key] = tail
        return tail

    def _bounded(self, charset: CharSet) -> Tail:
        """C{0,n} and the end, where n is the counter."""
        key = ("tail", charset, self.encoding, self.end, 0)
        tail = self.net.tails.get(key)
        if tail is None:
            net = self.net
            rule = net.entrance(0)
            close = net.chain(self.end, net.instruction(k.END, rule, rule=rule), rule)
            done = net.counter(close, 0, rule=rule)
            take = net.instruction(k.TAKE, 0, 0, k.MAX_COUNT, rule=rule)
            base = self._unbounded(charset).start
            loop = net.note(net.split(take, done, rule=rule), base=base, slack=0, rule=rule)
            branches = _spellings(net, tuple((a, b, loop) for a, b in charset.ranges), self.encoding, rule)
            net.patch(take, net.switch(branches, rule=rule), 0)
            net.start_rule(rule, loop)
            tail = net.tails[key] = Tail(rule, loop, {})
        return tail


def _ends_vary(language: Language) -> bool:
    """Whether any text can be continued to a text of the language, so that it differs from "anything" in its ends only."""
    return language.kind == Kind.COMPLEMENT and language.args[0].max_bound is not None


def emit_pieces(
    net: Network, pieces: Pieces, encoding: Encoding, rule: int, *, tails: Mapping[int, Tail] = NO_TAILS, after: int = 0
) -> int:
    """The pc of one code point, spelled in an encoding, that then goes to its piece's target.

    `tails` says which targets are calls (returning to `after`) of a tail: a lead byte all of whose code points go there
    calls the tail at once, so that their spellings are the tail's own.
    """
    if not pieces:
        return 0
    branches = _spellings(net, pieces, encoding, rule, tails, after)
    return net.switch(branches, rule=rule)


def _spellings(
    net: Network, pieces: Pieces, encoding: Encoding, rule: int, tails: Mapping[int, Tail] = NO_TAILS, after: int = 0
) -> dict[int, int]:
    """First byte of the spellings of a code point, and the pc of what follows it."""
    branches = {byte: target for low, high, target in pieces for byte in range(low, min(high, 0x7F) + 1)}
    memo: dict[tuple[int, Pieces], int] = {}
    for byte, part in _lead_parts(pieces).items():
        tail = tails.get(part[0][2])
        if tail is not None and _same_but_targets(part, tail.leads.get(byte, ((), 0))[0]):
            branches[byte] = net.call(net.entrance(tail.leads[byte][1], tail.rule), after, rule=rule)
        else:
            branches[byte] = _continuation(net, part, 1 if byte < 0xE0 else 2 if byte < 0xF0 else 3, memo, rule)
    if encoding != "utf-8":
        for byte in [b for b in branches if b < 128 and _MUST_ESCAPE >> b & 1]:
            del branches[byte]
        if encoding == "json" or any(low < 0x20 or low <= 0x22 <= high or low <= 0x5C <= high for low, high, _ in pieces):
            branches[0x5C] = net.lazy(_escape, net, pieces, encoding, rule, rule=rule)
    return branches


def _same_but_targets(part: Pieces, other: Pieces) -> bool:
    """Whether all of a part goes to one target, and so does the other, over the same code points."""
    return len({t for _, _, t in part}) == 1 and [p[:2] for p in part] == [p[:2] for p in other]


# ---- UTF-8 --------------------------------------------------------------------------------------------------------


def _lead_parts(pieces: Pieces) -> dict[int, Pieces]:
    """Lead bytes of the code points above U+007F, each with its pieces relative to the least it could spell."""
    parts: dict[int, Pieces] = {}
    if pieces[-1][1] >= 0x80:
        for (first, last, base, size, _), least in zip(_LEADS, _LEAST, strict=True):
            for block, part in _blocks(_clip(pieces, least, base + (last - first + 1) * size - 1), base, size):
                parts[first + block] = part
    return parts


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
