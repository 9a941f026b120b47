"""Texts over code points as bytes: UTF-8 and JSON string spellings of a regular language.

A state of the language's automaton becomes an instruction that is expanded when reached. Its edges are *pieces*
(low, high, target pc): a piecewise constant function over code points. UTF-8 and the four hex digits of a JSON escape
are then both radix expansions of that function, built top down with equal slices shared, so the result is deterministic
and small (a run of blocks with one target is one node, however long).

Texts that a literal ends (the closing quote) come, sooner or later, to a place where all that is left is C{0,n} and
that literal. This *tail* is a rule shared by all texts of a network, and with it its rows of the mask store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from structgen.automata.charset import ANY, CharSet, split_ascii
from structgen.automata.regular_nodes import Kind, Language
from structgen_kernels import arena as k

if TYPE_CHECKING:
    from structgen.automata.network import Network
    from structgen.ir import Encoding

Pieces: TypeAlias = tuple[tuple[int, int, int], ...]
Edges: TypeAlias = "list[tuple[CharSet, int]]"  # disjoint sets, and the pc each leads to
Digits: TypeAlias = "Callable[[Network, Pieces, int, int], int]"

_SHORT_ESCAPES = {0x22: b'"', 0x5C: b"\\", 0x2F: b"/", 0x08: b"b", 0x0C: b"f", 0x0A: b"n", 0x0D: b"r", 0x09: b"t"}
_CANONICAL_ESCAPES = {c: e for c, e in _SHORT_ESCAPES.items() if c != 0x2F}
_MUST_ESCAPE = (1 << 0x20) - 1 | 1 << 0x22 | 1 << 0x5C
_ASCII = (1 << 0x80) - 1
_HEX = tuple((1 << ord(f"{d:x}")) | (1 << ord(f"{d:X}")) for d in range(16))
_LOWER_HEX = tuple(1 << ord(f"{d:x}") for d in range(16))
_CONTINUATION = tuple(1 << 0x80 + value for value in range(64))
# lead bytes of UTF-8: first, last, code point the first stands for, code points of one lead byte, least one in use
_LEADS = ((0xC2, 0xDF, 0x80, 0x40, 0x80), (0xE0, 0xEF, 0x0000, 0x1000, 0x800), (0xF0, 0xF4, 0x00000, 0x40000, 0x10000))


@dataclass(frozen=True, eq=False)
class Tail:
    """C{0,n} and the bytes that end it, as a rule shared by every text of a network that comes to such an end."""

    rule: int
    start: int
    entrances: Mapping[tuple[int, tuple[tuple[int, int], ...]], int]  # (bytes to come, their code points) → way in
    ways_in: npt.NDArray[np.int64] | None = None  # of any JSON string, what `structgen_kernels.texts` asks for


NO_TAILS: Mapping[int, Tail] = MappingProxyType({})


def emit_text(net: Network, language: Language, encoding: Encoding, after: int, rule: int, *, end: bytes = b"") -> int:
    """The pc of a text in `language` and the literal `end`, followed by pc `after`."""
    repeat = language.class_repeat()
    if end:
        text = _Ended(net, encoding, end, after, rule)
        return text.state(language) if repeat is None or language.kind != Kind.CLASS else text.run(language)
    if repeat is None:
        return _state(net, language, encoding, after, rule)
    charset, low, high = repeat
    if (low, high) == (1, 1):
        return _emit_edges(net, [(charset, after)], encoding, rule)

    def body(loop: int) -> int:
        return _emit_edges(net, [(charset, loop)], encoding, rule)

    return net.counted(body, low, high, after, rule)


def _pieces(charset: CharSet, target: int) -> Pieces:
    return tuple((low, high, target) for low, high in charset.ranges)


def _state(net: Network, language: Language, encoding: Encoding, after: int, rule: int) -> int:
    return net.once((language, encoding, after), _expand_state, net, language, encoding, after, rule, rule=rule)


def _expand_state(net: Network, language: Language, encoding: Encoding, after: int, rule: int) -> int:
    edges = [(charset, _state(net, target, encoding, after, rule)) for charset, target in language.edges()]
    chars = _emit_edges(net, edges, encoding, rule)
    return net.split(after, chars, rule=rule) if language.nullable else chars


def _emit_edges(net: Network, edges: Edges, encoding: Encoding, rule: int) -> int:
    """The pc of one code point of some sets, which are disjoint, that then goes to the set's target.

    In UTF-8 what is above U+007F is hundreds of ranges where it is anything but all of it, and it is the same in many
    states: it is laid out once for each way in which targets share it.
    """
    if encoding != "utf-8":
        return emit_pieces(net, _sorted_pieces(edges), encoding, rule)
    masks: dict[int, int] = {}
    above = []
    for charset, target in edges:
        bits, high = split_ascii(charset)
        if bits:
            masks[target] = masks.get(target, 0) | bits
        if high:
            above.append((high, target))
    leads = net.shared(("above", *above), _emit_above, net, above, rule) if above else 0
    return net.split(net.switch(masks, rule=rule), leads, rule=rule)


def _emit_above(net: Network, above: Edges, rule: int) -> int:
    pieces = _sorted_pieces(above)
    return net.shared(("leads", pieces, 0), _emit_leads, net, pieces, NO_TAILS, 0, rule)


def _sorted_pieces(edges: Edges) -> Pieces:
    return tuple(sorted(piece for charset, target in edges for piece in _pieces(charset, target)))


class _Ended:
    """A text that a literal ends, and that calls the shared tail where nothing else is left.

    Where the text is all there is to its rule, notes tell the mask store that an item is nearly a tail: it differs in
    texts that end (some may not) or are too long, and in no others.
    """

    def __init__(self, net: Network, encoding: Encoding, end: bytes, after: int, rule: int) -> None:
        self.net, self.encoding, self.end, self.after, self.rule = net, encoding, end, after, rule
        self.noted = end[0] == 0x22 and net.ends_rule(after)

    def state(self, language: Language) -> int:
        """The pc of an automaton state."""
        if language.kind == Kind.COMPLEMENT:
            kind, args = language.args[0].kind, language.args[0].args
            if kind == Kind.TRIE:
                return self._excluding(args[0].items, *args[1:])
            if kind == Kind.WORD:
                return self._excluding(args, 0, 1, 0)
        limited = _without_limit(language)
        if limited is not None:
            return self.net.call_once(
                self._shorter(limited[0]).rule, self.after, min(limited[1], k.MAX_COUNT), rule=self.rule
            )
        return self.net.once((language, self.encoding, self.end, self.after), self._expand, language, rule=self.rule)

    def run(self, language: Language) -> int:
        """The pc of C{low,high} and the end."""
        charset, low, high = language.args
        if low == 0:
            return self._call(charset, high)
        return (
            self.state(language)
            if low == 1
            else self.net.shared((language, self.after), self._counted, charset, low, high)
        )

    def _counted(self, charset: CharSet, low: int, high: int | None) -> int:
        net, rule = self.net, self.rule
        if high is None or high > low:
            calls = self._call(charset, None if high is None else high - low)
        else:
            calls = net.chain(self.end, self.after, rule)
        take = net.instruction(k.TAKE, 0, 0, k.MAX_COUNT, rule=rule)
        head = net.split(take, net.instruction(k.ZERO, calls, rule=rule), rule=rule)
        if self.noted:
            head = self._note(head, charset, -1 if high is None else high - low)
        net.patch(take, emit_pieces(net, _pieces(charset, head), self.encoding, rule), 0)
        return net.counter(head, low, rule=rule)

    def _note(self, target: int, charset: CharSet, slack: int) -> int:
        base = self._unbounded(charset).start
        return self.net.note(target, base=base, slack=min(slack, k.MAX_COUNT), rule=self.rule)

    def _expand(self, language: Language) -> int:
        net, rule = self.net, self.rule
        pieces: list[tuple[int, int, int]] = []
        tails: dict[int, Tail] = {}
        for charset, target in language.edges():
            if target.kind == Kind.CLASS:
                pc = self.run(target)
                if target.args[1:] == (0, None):
                    tails[pc] = self._unbounded(target.args[0])
            else:
                pc = self.state(target)
            pieces += _pieces(charset, pc)
        chars = emit_pieces(net, tuple(sorted(pieces)), self.encoding, rule, tails=tails, after=self.after)
        pc = net.split(net.chain(self.end, self.after, rule), chars, rule=rule) if language.nullable else chars
        if self.noted and language.kind == Kind.CLASS:
            one_or_more, _, high = language.args
            return ~self._note(pc, one_or_more, -1 if high is None else high)
        return ~self._note(pc, ANY, -1) if self.noted and _ends_vary(language) else pc

    def _shorter(self, language: Language) -> Tail:
        """Texts of a language with no more code points than the counter says, and the end: one rule for all limits."""
        return self.net.tail(("limited", language, self.encoding, self.end), lambda: self._new_shorter(language))

    def _new_shorter(self, language: Language) -> Tail:
        rule = self.net.entrance(0)
        after = self.net.instruction(k.END, rule, rule=rule)
        start = _Ended(self.net, self.encoding, self.end, after, rule)._limited(language)
        self.net.start_rule(rule, start)
        return Tail(rule, start, {})

    def _limited(self, language: Language) -> int:
        """The pc of an automaton state of a text that may have as many more code points as the counter says.

        The intersection with a length would have a state for each length; the counter is checked instead: a step is
        open where it leaves enough for the shortest rest.
        """
        key = ("limited", language, self.encoding, self.end, self.after)
        return self.net.once(key, self._expand_limited, language, rule=self.rule)

    def _expand_limited(self, language: Language) -> int:
        net, rule = self.net, self.rule
        by_need: dict[int, list[tuple[int, int, int]]] = {}
        for charset, target in language.edges():
            by_need.setdefault(target.min_length(), []).extend(_pieces(charset, self._limited(target)))
        net.note_needed(rule, max(by_need, default=0))
        steps = [
            net.instruction(
                k.TAKE, emit_pieces(net, tuple(sorted(pieces)), self.encoding, rule), need, k.MAX_COUNT, rule=rule
            )
            for need, pieces in by_need.items()
        ]
        if language.nullable:
            steps.append(net.counter(net.chain(self.end, self.after, rule), 0, rule=rule))
        pc = net.split(*steps, rule=rule)
        if self.noted and language.kind == Kind.CLASS and language.args[1:] == (0, None):
            return ~self._note(pc, language.args[0], 0)
        return pc

    def _excluding(self, words: tuple[str, ...], low: int, high: int, depth: int) -> int:
        """Any text but words[low:high] (sorted), whose first `depth` characters are read.

        What `state` would make of the complement of a finite language, without a term for each of its states: these are
        the states in which additional keys run beside declared ones, and nearly all of them.
        """
        key = ("excluding", self.net.name_of(words), low, high, depth, self.encoding, self.end, self.after)
        if self.encoding == "json" and self.end == b'"':
            rest = words if depth == 0 and high - low == len(words) else tuple(word[depth:] for word in words[low:high])
            if _in_bulk(rest):
                return self.net.once(key, self._bulk_excluding, rest, rule=self.rule)
        return self.net.once(key, self._expand_excluding, words, low, high, depth, rule=self.rule)

    def _bulk_excluding(self, words: tuple[str, ...]) -> int:
        net, tail = self.net, self._unbounded(ANY)
        assert tail.ways_in is not None
        note = net.note_row(tail.start, -1) if self.noted else -1
        pc = net.other_texts(words, tail.ways_in, self.after, note, rule=self.rule)
        return ~pc if self.noted else pc

    def _expand_excluding(self, words: tuple[str, ...], low: int, high: int, depth: int) -> int:
        net, rule = self.net, self.rule
        may_end = len(words[low]) > depth
        children: list[tuple[int, int, int]] = []
        at = low + (not may_end)
        while at < high:
            char = words[at][depth]
            end = at + 1
            while end < high and words[end][depth] == char:
                end += 1
            children.append((ord(char), ord(char), self._excluding(words, at, end, depth + 1)))
            at = end
        other = self._call(ANY, None)
        pieces = _with_rest(children, other)
        chars = emit_pieces(net, pieces, self.encoding, rule, tails={other: self._unbounded(ANY)}, after=self.after)
        pc = net.split(net.chain(self.end, self.after, rule), chars, rule=rule) if may_end else chars
        return ~self._note(pc, ANY, -1) if self.noted else pc

    def _call(self, charset: CharSet, limit: int | None) -> int:
        tail = self._unbounded(charset) if limit is None else self._bounded(charset)
        return self.net.call_once(tail.rule, self.after, min(limit or 0, k.MAX_COUNT), rule=self.rule)

    def _unbounded(self, charset: CharSet) -> Tail:
        """C* and the end."""
        return self.net.tail((charset, self.encoding, self.end, None), lambda: self._new_unbounded(charset))

    def _new_unbounded(self, charset: CharSet) -> Tail:
        net = self.net
        rule = net.entrance(0)
        close = net.chain(self.end, net.instruction(k.END, rule, rule=rule), rule)
        loop = net.instruction(k.SPLIT, rule=rule)
        pieces = _pieces(charset, loop)
        net.patch(loop, emit_pieces(net, pieces, self.encoding, rule), close)
        net.start_rule(rule, loop)
        runs = _lead_runs(pieces)
        entrances = {
            (rest, _code_points(part)): net.entrance(_continuation(net, part, rest, rule), rule)
            for _, rest, part in runs
        }
        ways_in = None
        if charset == ANY and self.encoding == "json":
            leads = [(net.byte_class(leads), entrances[rest, _code_points(part)]) for leads, rest, part in runs]
            ways_in = np.array([rule, *self._ways_in(pieces, rule), *chain.from_iterable(leads)], np.int64)
        return Tail(rule, loop, entrances, ways_in)

    def _ways_in(self, pieces: Pieces, rule: int) -> list[int]:
        """Ways into the tail of any JSON string: before 1 … 4 hex digits of an escape below U+D000 (4: of any), and
        before the last three of one from U+D000."""
        net = self.net
        units = tuple(sorted(_clip(pieces, 0, 0xFFFF) + _surrogates(net, _clip(pieces, 0x10000, 0x10FFFF), rule)))
        block = tuple((0, high, target) for _, high, target in pieces[:1])
        starts = [_hex(net, _clip(block, 0, 16**count - 1), count, rule) for count in (1, 2, 3)]
        starts.append(_hex(net, units, 4, rule))
        starts.append(
            _hex(net, tuple((a - 0xD000, b - 0xD000, t) for a, b, t in _clip(units, 0xD000, 0xDFFF)), 3, rule)
        )
        return [net.entrance(start, rule) for start in starts]

    def _bounded(self, charset: CharSet) -> Tail:
        """C{0,n} and the end, where n is the counter."""
        return self.net.tail((charset, self.encoding, self.end, 0), lambda: self._new_bounded(charset))

    def _new_bounded(self, charset: CharSet) -> Tail:
        net = self.net
        rule = net.entrance(0)
        close = net.chain(self.end, net.instruction(k.END, rule, rule=rule), rule)
        take = net.instruction(k.TAKE, 0, 0, k.MAX_COUNT, rule=rule)
        loop = net.split(take, net.counter(close, 0, rule=rule), rule=rule)
        if self.end[0] == 0x22:
            loop = net.note(loop, base=self._unbounded(charset).start, slack=0, rule=rule)
        net.patch(take, emit_pieces(net, _pieces(charset, loop), self.encoding, rule), 0)
        net.start_rule(rule, loop)
        return Tail(rule, loop, {})


_MOST_IN_BULK = 1 << 13  # characters of the words that a text may not be; of more the states are emitted one by one


def _in_bulk(words: tuple[str, ...]) -> bool:
    """Whether the texts other than these words can be emitted in bulk: printable ASCII, no quotes and backslashes."""
    text = "".join(words)
    return 0 < len(text) <= _MOST_IN_BULK and text.isascii() and text.isprintable() and not set(text) & set('"\\')


_MOST_NEEDED = 60  # code points; a counter is compared with no more (see COUNTER_SLACK in the engine)


def _without_limit(language: Language) -> tuple[Language, int] | None:
    """(L, n) where the language is L with at most n code points, and no state of L needs many to end; else None."""
    limited = _limit(language)
    need = None if limited is None else _need(limited[0])
    return limited if need is not None and need <= _MOST_NEEDED else None


def _limit(language: Language) -> tuple[Language, int] | None:
    """(L, n) where the language is written as L with at most n code points; else None."""
    if language.kind == Kind.INTERSECT and len(language.args) == 2:
        for rest, limit in (language.args, language.args[::-1]):
            if limit.kind == Kind.CLASS and limit.args[0] is ANY and limit.args[1] == 0 and limit.args[2] is not None:
                return rest, limit.args[2]
    return None


def _need(node: Language) -> int | None:
    """A bound on the shortest text of every automaton state of a language, from its structure; None where it is not."""
    if node.kind == Kind.CLASS:
        low: int = node.args[1]
        return low
    if node.kind in (Kind.EMPTY, Kind.WORD, Kind.TRIE):
        return node.max_bound
    if node.kind == Kind.REPEAT:
        body = _need(node.args[0])
        return None if body is None else body * max(node.args[1], 1)
    if node.kind in (Kind.CONCAT, Kind.UNION):
        needs = [_need(part) for part in node.args]
        known = [need for need in needs if need is not None]
        if len(known) == len(needs):
            return sum(known) if node.kind == Kind.CONCAT else max(known)
    limited = _limit(node)  # takes texts away, the shortest last
    return None if limited is None else _need(limited[0])


def _with_rest(pieces: list[tuple[int, int, int]], other: int) -> Pieces:
    """The pieces (ascending), and all other code points with the target `other`."""
    out: list[tuple[int, int, int]] = []
    at = 0
    for low, high, target in [*pieces, (0x110000, 0x110000, 0)]:
        for first, last in ((0, 0xD7FF), (0xE000, 0x10FFFF)):
            if at <= last and max(at, first) <= min(low - 1, last):
                out.append((max(at, first), min(low - 1, last), other))
        if target:
            out.append((low, high, target))
        at = high + 1
    return tuple(out)


def _ends_vary(language: Language) -> bool:
    """Whether any text can be continued to one of the language, as its structure shows: then it differs from "anything"
    in its ends only. So it is with patterns that are searched for: what was read never matters."""
    if language.kind == Kind.CONCAT:  # a part of a union may be empty; what is plain is not
        return language.plain and _is_unlimited(language.args[0])
    if language.kind == Kind.UNION:
        return any(map(_ends_vary, language.args))
    if language.kind == Kind.INTERSECT:  # a text goes on in infinitely many ways, and all but finitely many are left
        rest = [part for part in language.args if not _lacks_few(part)]
        return len(rest) <= 1 and all(map(_ends_vary, rest))
    return _lacks_few(language)


def _lacks_few(language: Language) -> bool:
    """Whether it is all texts but finitely many."""
    return _is_unlimited(language) or (language.kind == Kind.COMPLEMENT and language.args[0].max_bound is not None)


def _is_unlimited(language: Language) -> bool:
    """Whether it is all texts of some length or more."""
    return language.kind == Kind.CLASS and language.args[0] is ANY and language.args[2] is None


def emit_pieces(
    net: Network, pieces: Pieces, encoding: Encoding, rule: int, *, tails: Mapping[int, Tail] = NO_TAILS, after: int = 0
) -> int:
    """The pc of one code point, spelled in an encoding, that then goes to its piece's target.

    `tails` says which targets are calls (returning to `after`) of a tail: a lead byte all of whose code points go there
    calls the tail at once, so that their spellings are the tail's own.
    """
    if not pieces:
        return 0
    masks: dict[int, int] = {}
    literal = _ASCII if encoding == "utf-8" else _ASCII & ~_MUST_ESCAPE
    for low, high, target in pieces:
        mask = (1 << high + 1) - (1 << low) & literal if low < 0x80 else 0
        if mask:
            masks[target] = masks.get(target, 0) | mask
    if encoding == "json" or (encoding != "utf-8" and any(_escapes(low, high) for low, high, _ in pieces)):
        masks[net.lazy(_escape, net, pieces, encoding, rule, rule=rule, light=True)] = 1 << 0x5C
    high_pieces = _clip(pieces, 0x80, 0x10FFFF)
    leads = (
        net.shared(("leads", high_pieces, after), _emit_leads, net, high_pieces, tails, after, rule)
        if high_pieces
        else 0
    )
    return net.split(net.switch(masks, rule=rule), leads, rule=rule)


def _escapes(low: int, high: int) -> bool:
    return low < 0x20 or low <= 0x22 <= high or low <= 0x5C <= high


# ---- UTF-8 --------------------------------------------------------------------------------------------------------


def _emit_leads(net: Network, pieces: Pieces, tails: Mapping[int, Tail], after: int, rule: int) -> int:
    """Code points above U+007F."""
    masks: dict[int, int] = {}
    for leads, rest, part in _lead_runs(pieces):
        tail = tails.get(part[0][2])
        entrance = (
            tail.entrances.get((rest, _code_points(part))) if tail and len({t for _, _, t in part}) == 1 else None
        )
        if entrance is not None:
            pc = net.call_once(entrance, after, rule=rule)
        else:
            pc = _continuation(net, part, rest, rule)
        masks[pc] = masks.get(pc, 0) | leads
    return net.switch(masks, rule=rule)


def _code_points(part: Pieces) -> tuple[tuple[int, int], ...]:
    return tuple((low, high) for low, high, _ in part)


def _lead_runs(pieces: Pieces) -> list[tuple[int, int, Pieces]]:
    """Lead bytes of code points above U+007F: (set of lead bytes, bytes to come, pieces relative to the least)."""
    return [
        ((1 << first + high + 1) - (1 << first + low), rest + 1, part)
        for rest, (first, last, base, size, least) in enumerate(_LEADS)
        for low, high, part in _runs(_clip(pieces, least, base + (last - first + 1) * size - 1), base, size)
    ]


def _continuation(net: Network, pieces: Pieces, rest: int, rule: int) -> int:
    """`rest` continuation bytes whose value is looked up in pieces over [0, 64 ** rest)."""
    return net.shared(("utf-8", pieces, rest), _radix, net, pieces, rest, _CONTINUATION, _continuation, rule)


def _radix(net: Network, pieces: Pieces, count: int, digits: tuple[int, ...], below: Digits, rule: int) -> int:
    """`count` digits of base len(digits), most significant first, whose value is looked up in pieces."""
    masks: dict[int, int] = {}
    for low, high, part in _runs(pieces, 0, len(digits) ** (count - 1)):
        pc = part[0][2] if count == 1 else below(net, part, count - 1, rule)
        masks[pc] = masks.get(pc, 0) | sum(digits[low : high + 1])
    return net.switch(masks, rule=rule)


def _clip(pieces: Pieces, low: int, high: int) -> Pieces:
    """The part of pieces within [low, high]."""
    return tuple((max(a, low), min(b, high), t) for a, b, t in pieces if a <= high and b >= low)


def _runs(pieces: Pieces, base: int, size: int) -> list[tuple[int, int, Pieces]]:
    """Cut sorted pieces at multiples of size from base: runs of equal blocks (first, last, pieces in a block)."""
    out: list[tuple[int, int, list[tuple[int, int, int]]]] = []
    for low, high, target in pieces:
        low, high = low - base, high - base
        first, last = low // size, high // size
        while first <= last:
            start = first * size
            if low <= start and high - start >= size - 1:  # whole blocks
                until = (high + 1) // size - 1
                out.append((first, until, [(0, size - 1, target)]))
                first = until + 1
                continue
            part = (max(low - start, 0), min(high - start, size - 1), target)
            if out and out[-1][0] == first and out[-1][1] == first:
                before = out[-1][2]
                if before[-1][1] + 1 == part[0] and before[-1][2] == target:
                    before[-1] = (before[-1][0], part[1], target)
                else:
                    before.append(part)
            else:
                out.append((first, first, [part]))
            first += 1
    return [(first, last, tuple(part)) for first, last, part in out]


# ---- JSON escapes -------------------------------------------------------------------------------------------------


def _escape(net: Network, pieces: Pieces, encoding: Encoding, rule: int) -> int:
    """What may follow a backslash."""
    canonical = encoding == "json-canonical"
    masks: dict[int, int] = {}
    for code, letter in (_CANONICAL_ESCAPES if canonical else _SHORT_ESCAPES).items():
        for low, high, target in pieces:
            if low <= code <= high:
                masks[target] = masks.get(target, 0) | 1 << letter[0]
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
        masks[(_lower_hex if canonical else _hex)(net, units, 4, rule)] = 1 << ord("u")
    return net.switch(masks, rule=rule)


def _hex(net: Network, pieces: Pieces, count: int, rule: int) -> int:
    """`count` hex digits whose value is looked up in pieces over [0, 16 ** count)."""
    return _digits(net, pieces, count, _HEX, _hex, rule)


def _lower_hex(net: Network, pieces: Pieces, count: int, rule: int) -> int:
    return _digits(net, pieces, count, _LOWER_HEX, _lower_hex, rule)


def _digits(net: Network, pieces: Pieces, count: int, digits: tuple[int, ...], below: Digits, rule: int) -> int:
    """The last `count` of four digits. All but the first are emitted when a text comes to them: few tokens have
    escapes, and most of these begin with two zeros."""
    key = ("hex", digits, pieces, count)
    if count < 4:
        return net.once(key, _radix, net, pieces, count, digits, below, rule, rule=rule, light=True)
    return net.shared(key, _radix, net, pieces, count, digits, below, rule)


def _surrogates(net: Network, pieces: Pieces, rule: int) -> Pieces:
    """Code points above U+FFFF as pieces over high surrogates, whose targets read the low one."""
    out: list[tuple[int, int, int]] = []
    for first, last, part in _runs(pieces, 0x10000, 0x400):
        low = tuple((0xDC00 + a, 0xDC00 + b, t) for a, b, t in part)
        pc = net.once(("low surrogate", low), _low_surrogate, net, low, rule, rule=rule, light=True)
        out.append((0xD800 + first, 0xD800 + last, pc))
    return tuple(out)


def _low_surrogate(net: Network, pieces: Pieces, rule: int) -> int:
    return net.chain(b"\\u", _hex(net, pieces, 4, rule), rule)


__all__ = ["Tail", "emit_pieces", "emit_text"]
