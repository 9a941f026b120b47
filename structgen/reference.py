"""The executable specification: which texts an IR node describes, told slowly and readably.

    accepts(root, data)         the text is in the language
    viable(root, prefix)        some text in the language starts with the prefix
    mask(root, prefix, tokens)  the tokens that keep it viable

The engine's masks are tested against this. Method: Earley's algorithm (doi:10.1145/362007.362035), byte by byte, over
items (rule, what is left of its body, column where it began). Left recursion, ambiguity and empty rules need no special
care: a column is closed until nothing is new. What is left of a body is a linked list of frames; frames that can never
be completed are not entered (`productive`, a least fixpoint), so every item is viable, but for a guard that its next
byte cannot pass: a prefix is viable exactly if its column is accepting or can read a byte.

Where a rule is an item of an array whose items must differ (`ITEM`), it does not end with a value that stands in the
array before it. `viable` does not look for the dead ends that may follow from that; `accepts` needs no foresight.

`productive` looks for a way out depth first and forces what it passes. Where there is none, it forces everything below
the node: an infinite graph without a text is beyond this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from structgen.automata.regular import Language
from structgen.ir import (
    ITEM,
    Alt,
    Bytes,
    Call,
    Choice,
    Encoding,
    Guard,
    Lazy,
    Literal,
    Members,
    Node,
    Repeat,
    Rule,
    Seq,
    Star,
    Text,
)


@dataclass(frozen=True, slots=True)
class _Counted:
    """After `done` bodies of a repeat (counting stops at `min` where there is no maximum)."""

    repeat: Repeat
    done: int


@dataclass(frozen=True, slots=True)
class _Spelling:
    """In a text, where `partial` is the beginning of the spelling of one character."""

    language: Language
    encoding: Encoding
    partial: bytes


@dataclass(frozen=True, slots=True)
class _Behind:
    """In a list of members: the places of the keys that are written, and whether one more must come now."""

    members: Members
    written: frozenset[int]
    must: bool
    past: bool = False  # An additional member is written, and the keys are in order.


Frame: TypeAlias = Node | _Counted | _Spelling | _Behind
Rest: TypeAlias = "tuple[Frame, Rest] | None"
_Item: TypeAlias = "tuple[Rule | None, Rest, _Column]"


@dataclass(eq=False, slots=True)
class _Column:
    """The items behind a text. `waiting` maps a rule to the items behind its calls."""

    text: bytes = b""
    items: dict[_Item, None] = field(default_factory=dict)
    waiting: dict[Rule, list[_Item]] = field(default_factory=dict)
    empty: set[Rule] = field(default_factory=set)
    complete: bool = False
    guarded: dict[int, _Column] = field(default_factory=dict)  # what stands behind guards, by the bytes they forbid

    @property
    def accepting(self) -> bool:
        return self.complete or any(column.accepting for column in self.guarded.values())

    def open_to(self, byte: int) -> Iterator[_Item]:
        """The items that may read this byte, as far as guards are concerned."""
        yield from self.items
        for mask, column in self.guarded.items():
            if not mask >> byte & 1:
                yield from column.open_to(byte)


class Recognizer:
    """Remembers what was learnt about one root: productive nodes, and the columns of prefixes."""

    def __init__(self, root: Node) -> None:
        self.root = root
        self._productive: dict[int, bool] = {}
        self._keep: list[object] = []  # Nodes whose `id` is a key above.
        self._columns: dict[bytes, _Column] = {}

    def accepts(self, data: bytes) -> bool:
        """Whether this is a complete text of the language."""
        return self._column(data).accepting

    def viable(self, prefix: bytes) -> bool:
        """Whether some text of the language starts so."""
        column = self._column(prefix)
        if not column.guarded:
            return bool(column.items)
        return column.accepting or any(self._moved(column, byte) for byte in range(256))

    def mask(self, prefix: bytes, tokens: Sequence[bytes]) -> set[int]:
        """The ids of the tokens after which the text can still be completed. Empty tokens are never allowed."""
        return {index for index, token in enumerate(tokens) if token and self.viable(prefix + token)}

    def _column(self, data: bytes) -> _Column:
        known = len(data)
        while known and data[:known] not in self._columns:
            known -= 1
        column = self._columns.get(data[:known]) or self._start()
        for end in range(known + 1, len(data) + 1):
            column = self._step(column, data[end - 1])
            self._columns[data[:end]] = column
        return column

    def _start(self) -> _Column:
        column = _Column()
        if self.productive(self.root):
            self._close(column, [(None, (self.root, None), column)])
        self._columns[b""] = column
        return column

    def _step(self, column: _Column, byte: int) -> _Column:
        following = _Column(column.text + bytes((byte,)))
        self._close(following, self._moved(column, byte))
        return following

    def _moved(self, column: _Column, byte: int) -> list[_Item]:
        return [
            (rule, left, origin)
            for rule, rest, origin in column.open_to(byte)
            if rest is not None
            for left in _consume(rest, byte)
        ]

    def _close(self, column: _Column, pending: list[_Item]) -> None:
        """Add the items and all that follows from them without reading a byte."""
        guarded: dict[int, list[_Item]] = {}
        while pending:
            item = pending.pop()
            if item in column.items:
                continue
            column.items[item] = None
            rule, rest, origin = item
            if rest is None:
                if rule is None:
                    column.complete = True
                    continue
                if rule.role == ITEM and _repeats(origin.text, column.text[len(origin.text) :]):
                    continue
                if origin is column:
                    column.empty.add(rule)
                pending.extend(origin.waiting.get(rule, ()))
            elif isinstance(rest[0], Call):
                called = rest[0].rule
                caller = (rule, rest[1], origin)
                waiting = column.waiting.setdefault(called, [])
                if not waiting:
                    pending.append((called, (called.body(), None), column))
                waiting.append(caller)
                if called in column.empty:
                    pending.append(caller)
            elif isinstance(rest[0], Guard):
                guarded.setdefault(rest[0].mask, []).append((rule, rest[1], origin))
            else:
                pending.extend((rule, left, origin) for left in self._expand(rest[0], rest[1]))
        for mask, items in guarded.items():
            column.guarded[mask] = _Column(column.text)
            self._close(column.guarded[mask], items)

    def _expand(self, frame: Frame, rest: Rest) -> Iterator[Rest]:
        """The ways into a frame that take no byte; nothing for frames that wait for one."""
        if isinstance(frame, Lazy):
            yield (frame.force(), rest)
        elif isinstance(frame, Seq):
            for part in reversed(frame.parts):
                rest = (part, rest)
            yield rest
        elif isinstance(frame, Alt):
            for part in frame.parts:
                if self.productive(part):
                    yield (part, rest)
        elif isinstance(frame, Choice):
            for data, then in frame.branches:
                if self.productive(then):
                    yield (Literal(data), (then, rest)) if data else (then, rest)
        elif isinstance(frame, Star):
            yield rest
            if self.productive(frame.body):
                yield (frame.body, (frame, rest))
        elif isinstance(frame, Repeat):
            yield (_Counted(frame, 0), rest)
        elif isinstance(frame, _Counted):
            yield from self._count(frame, rest)
        elif isinstance(frame, Members):
            yield (_Behind(frame, frozenset(), True), rest)
        elif isinstance(frame, _Behind):
            yield from _members(frame, rest)
        elif isinstance(frame, Text):
            yield (_Spelling(frame.language, frame.encoding, b""), rest)
        elif isinstance(frame, _Spelling) and not frame.partial and frame.language.nullable:
            yield rest

    def _count(self, frame: _Counted, rest: Rest) -> Iterator[Rest]:
        repeat, done = frame.repeat, frame.done
        if done >= repeat.min:
            yield rest
        if (repeat.max is None or done < repeat.max) and self.productive(repeat.body):
            limit = repeat.min if repeat.max is None else repeat.max
            yield (repeat.body, (_Counted(repeat, min(done + 1, limit)), rest))

    def productive(self, node: Node) -> bool:
        """Whether the node describes any text at all."""
        known = self._productive.get(id(node))
        if known is None:
            self._solve(node)
            known = self._productive[id(node)]
        return known

    def _solve(self, node: Node) -> None:
        """Least fixpoint over the graph below a node: nothing is productive until it must be.

        Depth first, and only until the node itself is known to be productive: graphs can be very large.
        """
        graph: dict[int, Node] = {id(node): node}
        values = {id(node): False}
        askers: dict[int, list[int]] = {id(node): []}
        pending = [id(node)]
        while pending and not values[id(node)]:
            key = pending.pop()
            if values[key]:
                continue

            def ask(child: Node, key: int = key) -> bool:
                known = self._productive.get(id(child))
                if known is not None:
                    return known
                if id(child) not in graph:
                    graph[id(child)] = child
                    values[id(child)] = False
                    askers[id(child)] = []
                    pending.append(id(child))
                askers[id(child)].append(key)
                return values[id(child)]

            if _some_text(graph[key], ask):
                values[key] = True
                pending.extend(askers[key])
        for key, value in values.items():
            if value or not values[id(node)]:
                self._keep.append(graph[key])
                self._productive[key] = value


def _members(frame: _Behind, rest: Rest) -> Iterator[Rest]:
    members, written = frame.members, frame.written
    owed = {place for place, member in enumerate(members.keys) if member.required} - written
    if not frame.must:
        if not owed:
            yield rest
        more: Rest = (_Behind(members, written, True, frame.past), rest)
        if any(True for _ in _members(_Behind(members, written, True, frame.past), None)):
            yield (members.separator, more)
        return
    behind = max(written, default=-1) if members.ordered else -1
    for place, member in enumerate(members.keys):
        if place not in written and place > behind and not frame.past:
            yield (Literal(member.key), (member.rest, (_Behind(members, written | {place}, False), rest)))
            if members.ordered and member.required:
                break
    if members.additional is not None and not (members.ordered and owed):
        yield (members.additional, (_Behind(members, written, False, members.ordered), rest))


def _children(node: Node) -> Iterable[Node]:
    if isinstance(node, Lazy):
        return (node.force(),)
    if isinstance(node, Call):
        return (node.rule.body(),)
    if isinstance(node, (Seq, Alt)):
        return node.parts
    if isinstance(node, Choice):
        return [then for _, then in node.branches]
    if isinstance(node, (Star, Repeat)):
        return (node.body,)
    return ()


def _some_text(node: Node, ask: Callable[[Node], bool]) -> bool:
    """Whether a node describes any text, given which of its children do."""
    if isinstance(node, Bytes):
        return node.mask != 0
    if isinstance(node, Text):
        return not node.language.is_empty()
    if (isinstance(node, Repeat) and node.min == 0) or isinstance(node, Star):
        return True
    answers = [ask(child) for child in _children(node)]
    return any(answers) if isinstance(node, (Alt, Choice)) else all(answers)


def _consume(rest: tuple[Frame, Rest], byte: int) -> Iterator[Rest]:
    """What is left after this byte, for each way to read it."""
    frame, left = rest
    if isinstance(frame, Bytes):
        if frame.mask >> byte & 1:
            yield left
    elif isinstance(frame, Literal):
        if frame.data[0] == byte:
            yield (Literal(frame.data[1:]), left) if len(frame.data) > 1 else left
    elif isinstance(frame, _Spelling):
        partial = frame.partial + bytes((byte,))
        whole, ranges = spelled(partial, frame.encoding)
        if whole is not None:
            following = frame.language.step(whole)
            if not following.is_empty():
                yield (_Spelling(following, frame.encoding, b""), left)
        if any(_meets(frame.language, low, high) for low, high in ranges):
            yield (_Spelling(frame.language, frame.encoding, partial), left)


def _meets(language: Language, low: int, high: int) -> bool:
    """Whether a text of the language may start with a character of this range."""
    return any(first <= high and last >= low for characters, _ in language.edges() for first, last in characters.ranges)


# --- spellings: which characters a few bytes stand for, or may become ---

_SHORT = {0x22: b'\\"', 0x5C: b"\\\\", 0x08: b"\\b", 0x0C: b"\\f", 0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t"}
_SLASH = {0x2F: b"\\/"}
Ranges: TypeAlias = list[tuple[int, int]]


def spelled(partial: bytes, encoding: Encoding) -> tuple[int | None, Ranges]:
    """The character these bytes spell (None: none yet), and the ranges of those whose spelling goes on after them."""
    if encoding == "utf-8" or partial[:1] != b"\\":
        return _spelled_raw(partial, 0 if encoding == "utf-8" else 0x20, encoding != "utf-8")
    return _spelled_canonical(partial) if encoding == "json-canonical" else _spelled_escape(partial)


def _spelled_raw(partial: bytes, lowest: int, quoted: bool) -> tuple[int | None, Ranges]:
    first = partial[0]
    if first < 0x80:
        allowed = len(partial) == 1 and first >= lowest and not (quoted and first in b'"\\')
        return (first if allowed else None), []
    length = 2 if 0xC2 <= first < 0xE0 else 3 if 0xE0 <= first < 0xF0 else 4 if 0xF0 <= first < 0xF5 else 0
    if len(partial) > length or any(not 0x80 <= byte < 0xC0 for byte in partial[1:]):
        return None, []
    bits = first & (0x7F >> length)
    for byte in partial[1:]:
        bits = bits << 6 | byte & 0x3F
    missing = length - len(partial)
    smallest = (0, 0, 0x80, 0x800, 0x10000)[length]
    low, high = max(bits << 6 * missing, smallest), min((bits + 1 << 6 * missing) - 1, 0x10FFFF)
    if low > high or (low >= 0xD800 and high <= 0xDFFF):
        return None, []
    return (low, []) if missing == 0 else (None, [(low, high)])


def _spelled_canonical(partial: bytes) -> tuple[int | None, Ranges]:
    table = dict(_SHORT)
    for code in range(0x20):
        table.setdefault(code, b"\\u%04x" % code)
    for code, text in table.items():
        if text == partial:
            return code, []
    return None, [(code, code) for code, text in table.items() if text.startswith(partial)]


def _spelled_escape(partial: bytes) -> tuple[int | None, Ranges]:
    """Any escape of RFC 8259: two characters, or four hexadecimal digits once, or twice for a surrogate pair."""
    if partial == b"\\":
        return None, [(0, 0x10FFFF)]
    for code, text in (_SHORT | _SLASH).items():
        if text == partial:
            return code, []
    unit, used = _unit(partial)
    if unit is None:
        return None, []
    low, high = unit
    if used < 6:
        return None, _characters(low, high)
    if not 0xD800 <= low <= 0xDFFF:
        return (low, []) if len(partial) == 6 else (None, [])
    if low > 0xDBFF:
        return None, []
    base = 0x10000 + (low - 0xD800) * 0x400
    second = partial[6:]
    if b"\\u".startswith(second):
        return None, [(base, base + 0x3FF)]
    unit, used = _unit(second)
    if unit is None or len(second) > 6:
        return None, []
    low, high = max(unit[0], 0xDC00), min(unit[1], 0xDFFF)
    if low > high:
        return None, []
    return (base + low - 0xDC00, []) if used == 6 else (None, [(base + low - 0xDC00, base + high - 0xDC00)])


def _unit(text: bytes) -> tuple[tuple[int, int] | None, int]:
    """The range of UTF-16 units that `\\u` and some hexadecimal digits may become, and how many bytes were used."""
    digits = text[2:6]
    if text[:2] != b"\\u" or any(digit not in b"0123456789abcdefABCDEF" for digit in digits):
        return None, 0
    low = int(digits.ljust(4, b"0"), 16)
    return (low, low + 16 ** (4 - len(digits)) - 1), 2 + len(digits)


def _characters(low: int, high: int) -> Ranges:
    """The characters whose first unit is in the range: themselves, or, behind a leading surrogate, an astral block."""
    ranges = []
    if low < 0xD800:
        ranges.append((low, min(high, 0xD7FF)))
    if high > 0xDFFF:
        ranges.append((max(low, 0xE000), high))
    lead_low, lead_high = max(low, 0xD800), min(high, 0xDBFF)
    if lead_low <= lead_high:
        ranges.append((0x10000 + (lead_low - 0xD800) * 0x400, 0x10000 + (lead_high - 0xD800) * 0x400 + 0x3FF))
    return ranges


# --- the three questions ---


def accepts(root: Node, data: bytes) -> bool:
    """Whether `data` is in the language of `root`."""
    return Recognizer(root).accepts(data)


def viable(root: Node, prefix: bytes) -> bool:
    """Whether some text in the language of `root` starts with `prefix`."""
    return Recognizer(root).viable(prefix)


def mask(root: Node, prefix: bytes, tokens: Sequence[bytes]) -> set[int]:
    """The ids of the tokens after which `prefix` can still be completed. Empty tokens are never allowed."""
    return Recognizer(root).mask(prefix, tokens)


def _repeats(before: bytes, item: bytes) -> bool:
    """Whether an item is in the array that it is in already; `before` is the text up to it."""
    opened: list[int] = []
    in_string = escaped = False
    for at, byte in enumerate(before):
        if in_string:
            in_string = escaped or byte != 0x22
            escaped = byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            opened.append(at)
        elif byte in b"]}":
            opened.pop()
    others = before[opened[-1] + 1 :].rstrip(b" \t\r\n,")
    return _comparable(item) in _comparable(b"[" + others + b"]")[1]


def _comparable(data: bytes) -> Any:
    """A JSON value as something that is equal exactly where the values are."""

    def of(value: Any) -> Any:
        if isinstance(value, list):
            return "array", tuple(map(of, value))
        return (value,) if isinstance(value, bool) else value  # True is 1 in Python

    value = json.loads(
        data,
        parse_int=lambda text: ("number", Decimal(text)),
        parse_float=lambda text: ("number", Decimal(text)),
        object_pairs_hook=lambda pairs: ("object", frozenset((name, of(value)) for name, value in pairs)),
    )
    return of(value)
