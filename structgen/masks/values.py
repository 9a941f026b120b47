"""JSON values as a text has them so far: what stands in the arrays whose items must differ, and the item in the making.

Values are compared as JSON compares them: numbers by value, strings by decoded text, objects whatever the order of
their keys. Everything is hash-consed, so that equal values, texts and memories are one object each and nothing is ever
undone. It reads texts that a grammar of JSON has let through; it is no validator, and knows no grammar and no tokens.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from decimal import Decimal
from typing import Any, TypeAlias

MAX_NODES = 1 << 19  # letters, values, items and memories of one engine generation

DISTINCT, ARRAY, MEMBERS, OBJECT = "distinct", "array", "members", "object"
"""Kinds of frames: an array whose items must differ, another array, an object whose keys must differ (where the memory
of keys does not see to it), another object."""

Scalar: TypeAlias = "str | tuple[str, Any, bytes]"
"""What comes next in a frame: `DONE` or `WAIT`; or (kind, what is read of it, the beginning of a letter)."""
DONE, WAIT = "done", "wait"  # behind a value (a comma or the end may follow); before one, or before a key
_STRING, _KEY, _NUMBER, _WORD = "string", "key", "number", "word"

_COMPLETE = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_PARTS = re.compile(r"(-?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?)([0-9]*))?")
_ESCAPES = {0x62: "\b", 0x66: "\f", 0x6E: "\n", 0x72: "\r", 0x74: "\t"}
_WORDS = ("true", "false", "null")


class Letters:
    """A decoded text, letter by letter."""

    __slots__ = ("_path", "before", "id", "length", "letter")

    def __init__(self, number: int, before: Letters | None, letter: str) -> None:
        self.id = number
        self.before = before
        self.letter = letter
        self.length: int = 0 if before is None else before.length + 1
        self._path: list[Letters] | None = None

    def path(self) -> list[Letters]:
        """The beginnings of the text by length, itself the last."""
        if self._path is None:
            found: list[Letters] = []
            at: Letters | None = self
            while at is not None:
                found.append(at)
                at = at.before
            self._path = found[::-1]
        return self._path

    def starts_with(self, other: Letters) -> bool:
        """Whether the other text is a beginning of this one."""
        return other.length <= self.length and self.path()[other.length] is other


class Value:
    """A complete value: its kind, and its content.

    A string's `Letters`; a number's (sign, digits, exponent) without zeros at either end; a word; the values of an
    array; the values of an object by the letters of their keys.
    """

    __slots__ = ("content", "id", "kind")

    def __init__(self, number: int, kind: str, content: Any) -> None:
        self.id = number
        self.kind = kind
        self.content = content


class Frame:
    """An open array or object with the values it has: one version of it, the one before it a value shorter.

    `targets` are the values that this array or object would have to become for an item around it to be repeated, as far
    as what it has does not tell it from them; they are found from those of the version before, or of the frame below.
    """

    __slots__ = ("before", "below", "count", "id", "key", "kind", "targets", "value")

    def __init__(
        self,
        number: int,
        kind: str,
        below: Frame | None,
        before: Frame | None,
        key: Letters | None,
        value: Value | None,
    ) -> None:
        self.id = number
        self.kind = kind
        self.below = below
        self.before = before
        self.key = key
        self.value = value
        self.count: int = (before.count if before is not None else 0) + (value is not None)
        self.targets: tuple[Value, ...] = () if below is None else self._targets(below)

    def _targets(self, below: Frame) -> tuple[Value, ...]:
        if self.before is None:
            like = OBJECT if self.is_object else ARRAY
            return tuple(value for value in below.next_targets() if value.kind == like)
        known, key, value = self.before.targets, self.key, self.value
        if not known:
            return known
        if key is not None:
            kept = [x for x in known if key in x.content and (value is None or x.content[key] is value)]
        else:
            at = self.count - 1
            kept = [x for x in known if len(x.content) > at and x.content[at] is value]
        return known if len(kept) == len(known) else tuple(kept)

    def next_targets(self) -> Iterable[Value]:
        """The values that the next one in here would have to become for it, or an item around it, to be repeated."""
        if self.is_object:
            return (value.content[self.key] for value in self.targets) if self.waits else ()
        at = self.count
        inner = [value.content[at] for value in self.targets if len(value.content) > at]
        if self.kind != DISTINCT:
            return inner
        return dict.fromkeys((*self.values(), *inner)) if inner else self.values()

    def has(self, value: Value) -> bool:
        """Whether this value is there."""
        return any(known is value for known in self.values())

    def values(self) -> Iterator[Value]:
        """The values, last first."""
        at: Frame | None = self
        while at is not None:
            if at.value is not None:
                yield at.value
            at = at.before

    def members(self) -> dict[Letters, Value]:
        """An object's values by key."""
        found = {}
        at: Frame | None = self
        while at is not None:
            if at.value is not None and at.key is not None:
                found[at.key] = at.value
            at = at.before
        return found

    @property
    def is_object(self) -> bool:
        """Whether this is an object."""
        return self.kind in (OBJECT, MEMBERS)

    @property
    def waits(self) -> bool:
        """Whether this is an object with a key that has no value yet."""
        return self.key is not None and self.value is None


class Seen:
    """A memory: the innermost open frame (None: no array whose items must differ is open), and what is behind it."""

    __slots__ = ("frame", "id", "pending", "scalar")

    def __init__(self, number: int, frame: Frame | None, scalar: Scalar) -> None:
        self.id = number
        self.frame = frame
        self.scalar = scalar
        self.pending: bool | None = None  # what `Values.is_pending` found

    @property
    def most(self) -> int:
        """The most items of an open array whose items must differ."""
        most, frame = 0, self.frame
        while frame is not None:
            most = max(most, frame.count)
            frame = frame.below
        return most

    @property
    def in_string(self) -> bool:
        """Whether the text is within a string or a key."""
        return self.scalar[0] in (_STRING, _KEY)


class Values:
    """All values of one generation. Not thread-safe. Raises `TooManyValues` when it is full."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Any] = {}
        self.empty = Letters(0, None, "")
        self.nothing = Seen(0, None, DONE)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for more."""
        return len(self._known) >= MAX_NODES

    # ---- reading -----------------------------------------------------------------------------------------------

    def opened(self, kind: str) -> Seen:
        """Behind the bracket of an outermost array whose items must differ, or object whose keys must."""
        return self._seen(self._frame(kind, None), WAIT)

    def read(self, seen: Seen, byte: int, distinct: bool) -> tuple[Seen, bool]:
        """The memory after one more byte, and whether a value that may end here is one that its array has already.

        `distinct` is whether a bracket opens an array whose items must differ.
        """
        frame, scalar = seen.frame, seen.scalar
        assert frame is not None
        if not isinstance(scalar, str):
            kind, content, partial = scalar
            if kind in (_STRING, _KEY):
                if byte != 0x22 or partial:
                    return self._seen(frame, (kind, *self._letter(content, partial, byte))), False
                if kind == _KEY:
                    repeated = frame.kind == MEMBERS and content in frame.members()
                    return self._seen(self._frame(frame.kind, frame.below, frame, content), WAIT), repeated
                return self._complete(frame, self._value(_STRING, content))
            if kind == _WORD:
                word = content + chr(byte)
                if word in _WORDS:
                    return self._complete(frame, self._value(_WORD, word))
                return self._seen(frame, (_WORD, word, b"")), False
            if byte in b"0123456789+-.eE":
                return self._in_number(frame, _shortened(content + chr(byte)))
            frame, scalar = self._added(frame, self.number(content)), DONE
        if byte == 0x2C:
            return self._seen(frame, WAIT), False
        if byte == 0x22:
            return self._seen(frame, (_KEY if frame.is_object and not frame.waits else _STRING, self.empty, b"")), False
        if byte == 0x5B:
            return self._seen(self._frame(DISTINCT if distinct else ARRAY, frame), WAIT), False
        if byte == 0x7B:
            return self._seen(self._frame(MEMBERS if distinct else OBJECT, frame), WAIT), False
        if byte in b"]}":
            if frame.below is None:
                return self.nothing, False
            content = tuple(frame.values())[::-1] if byte == 0x5D else frame.members()
            return self._complete(frame.below, self._value(ARRAY if byte == 0x5D else OBJECT, content))
        if byte in b"-0123456789":
            return self._in_number(frame, chr(byte))
        if byte in b"tfn":
            return self._seen(frame, (_WORD, chr(byte), b"")), False
        return (seen if scalar is seen.scalar else self._seen(frame, scalar)), False  # white space or a colon

    def number(self, text: str) -> Value:
        """The value of a number."""
        sign, whole, fraction, minus, exponent = _number(text)
        digits = (whole + fraction).lstrip("0")
        kept = digits.rstrip("0")
        if not kept:
            return self._value(_NUMBER, ("", "", 0))
        power = int(Decimal(minus + (exponent or "0"))) - len(fraction) + len(digits) - len(kept)
        return self._value(_NUMBER, (sign, kept, power))

    def _in_number(self, frame: Frame, text: str) -> tuple[Seen, bool]:
        repeated = frame.kind == DISTINCT and _COMPLETE.fullmatch(text) is not None and frame.has(self.number(text))
        return self._seen(frame, (_NUMBER, text, b"")), repeated

    def _complete(self, frame: Frame, value: Value) -> tuple[Seen, bool]:
        repeated = frame.kind == DISTINCT and frame.has(value)
        return self._seen(self._added(frame, value), DONE), repeated

    def _added(self, frame: Frame, value: Value) -> Frame:
        if frame.is_object:
            return self._frame(frame.kind, frame.below, frame.before, frame.key, value)
        return self._frame(frame.kind, frame.below, frame, None, value)

    def _letter(self, text: Letters, partial: bytes, byte: int) -> tuple[Letters, bytes]:
        """A text and the beginning of a letter behind it after one more byte."""
        if not partial and 0x20 <= byte < 0x80 and byte != 0x5C:
            return self._spelled(text, chr(byte)), b""
        partial += bytes((byte,))
        if partial[0] == 0x5C:
            if len(partial) == 1 or (partial[1] == 0x75 and len(partial) < 6):
                return text, partial
            if partial[1] != 0x75:
                return self._spelled(text, _ESCAPES.get(byte, chr(byte))), b""
            code = int(partial[2:6], 16)
            if not 0xD800 <= code < 0xDC00:
                return self._spelled(text, chr(code)), b""
            if len(partial) < 12:
                return text, partial
            low = int(partial[8:12], 16)
            return self._spelled(text, chr(0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF))), b""
        lead = partial[0]
        if len(partial) < (2 if lead < 0xE0 else 3 if lead < 0xF0 else 4):
            return text, partial
        return self._spelled(text, partial.decode("utf-8", "replace")), b""

    # ---- what may be repeated ----------------------------------------------------------------------------------

    def is_near(self, seen: Seen) -> bool:
        """Whether a value that repeats another may end before two more have begun: the item in the making can still
        become one that is there, or the next one can."""
        frame = seen.frame
        if frame is not None and frame.count and frame.kind in (DISTINCT, MEMBERS) and seen.scalar == DONE:
            return True
        return self.is_pending(seen)

    def is_next(self, seen: Seen) -> bool:
        """Whether any value may begin here for all that is there: the next item of an array is not part of another."""
        frame = seen.frame
        return frame is not None and frame.kind == DISTINCT and frame.below is None and seen.scalar == WAIT

    def is_pending(self, seen: Seen) -> bool:
        """Whether an item in the making can still become one that its array has. Says yes where that does not tell."""
        if seen.pending is None:
            seen.pending = self._look(seen, None)
        return seen.pending

    def _look(self, seen: Seen, strings: list[Letters] | None) -> bool:
        """The same. Where it is in a string, `strings` gets those that this one would have to become."""
        frame, scalar = seen.frame, seen.scalar
        if frame is None:
            return False
        if frame.waits or not frame.is_object:
            if scalar == WAIT:  # an array that has nothing may end here too
                return bool(not frame.count and frame.targets) or any(True for _ in frame.next_targets())
            if scalar == DONE:
                return bool(frame.targets)
            return _some((_may_become(value, scalar, strings) for value in frame.next_targets()), strings)
        pending = False
        if frame.kind == MEMBERS and frame.count:
            known = [key for key in frame.members() if scalar == WAIT or _begins(key, scalar)]
            if strings is not None:
                strings.extend(known)
            pending = bool(known)
        if scalar == DONE or not frame.count:
            return pending or _some((_has_key(value, (), scalar, strings) for value in frame.targets), strings)
        written = frame.members()
        return pending or _some((_has_key(value, written, scalar, strings) for value in frame.targets), strings)

    def leading_on(self, seen: Seen) -> frozenset[int] | None:
        """Within a string: the bytes after which it may still become one that is there. None: any byte may be one."""
        if not seen.in_string or seen.scalar[2]:
            return None
        text: Letters = seen.scalar[1]  # type: ignore[assignment]
        targets: list[Letters] = []
        self._look(seen, targets)
        found = {0x22, 0x5C}
        for target in targets:
            if target.length > text.length:
                found.add(target.path()[text.length + 1].letter.encode("utf-8", "surrogatepass")[0])
        return frozenset(found)

    def folded(self, seen: Seen) -> Seen:
        """The memory with all numbers as one whose fraction ends in more zeros than any number that is there has
        digits: whatever may be repeated from one may be from the other."""
        if isinstance(seen.scalar, str) or seen.scalar[0] != _NUMBER or "." not in seen.scalar[1]:
            return seen
        text, most, frame = seen.scalar[1], 1, seen.frame
        kept = text.rstrip("0")
        if len(text) - len(kept) < 2 or "e" in text or "E" in text:
            return seen
        while frame is not None:
            most = max([most, *(_most_digits(value) for value in frame.values())])
            frame = frame.below
        zeros = min(len(text) - len(kept), most + 1)
        assert seen.frame is not None
        return self._seen(seen.frame, (_NUMBER, kept + "0" * zeros, b""))

    # ---- hash-consing ------------------------------------------------------------------------------------------

    def _seen(self, frame: Frame, scalar: Scalar) -> Seen:
        if isinstance(scalar, str):
            key: tuple[Any, ...] = (Seen, frame.id, scalar)
        else:
            content = scalar[1]
            key = (Seen, frame.id, scalar[0], content.id if isinstance(content, Letters) else content, scalar[2])
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Seen(len(self._known) + 1, frame, scalar)
        return found

    def _frame(
        self, kind: str, below: Frame | None, before: Frame | None = None, key: Letters | None = None,
        value: Value | None = None,
    ) -> Frame:  # fmt: skip
        ids = tuple(-1 if part is None else part.id for part in (below, before, key, value))
        found = self._known.get((kind, *ids))
        if found is None:
            found = self._known[(kind, *ids)] = Frame(len(self._known) + 1, kind, below, before, key, value)
        return found

    def _spelled(self, text: Letters, letter: str) -> Letters:
        key = (Letters, text.id, letter)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Letters(len(self._known) + 1, text, letter)
        return found

    def _value(self, kind: str, content: Any) -> Value:
        key: tuple[Any, ...] = (Value, kind, content)
        if kind == _STRING:
            key = (Value, kind, content.id)
        elif kind == ARRAY:
            key = (Value, kind, *(value.id for value in content))
        elif kind == OBJECT:
            key = (Value, kind, frozenset((name.id, value.id) for name, value in content.items()))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = Value(len(self._known) + 1, kind, content)
        return found


def _number(text: str) -> tuple[str, str, str, str, str | None]:
    found = _PARTS.fullmatch(text)
    assert found is not None
    sign, whole, fraction, minus, exponent = found.groups()
    return sign, whole, fraction, "-" if minus == "-" else "", exponent


def _shortened(text: str) -> str:
    """The beginning of a number with an exponent as short as it can be: what may follow has the same values."""
    found = _PARTS.fullmatch(text)
    if found is None or not found[5]:
        return text
    exponent = found[5].lstrip("0") or "0"
    if not (found[2] + found[3]).strip("0"):
        exponent = "0"  # Zero, whatever it says.
    return text[: found.start(5)] + exponent


def _most_digits(value: Value) -> int:
    if value.kind == _NUMBER:
        return len(value.content[1]) + abs(value.content[2]) if abs(value.content[2]) < 1_000 else 1_000
    if value.kind == ARRAY:
        return max(map(_most_digits, value.content), default=0)
    return max(map(_most_digits, value.content.values()), default=0) if value.kind == OBJECT else 0


def _some(found: Iterable[bool], strings: list[Letters] | None) -> bool:
    """Whether any is true. Looks at all of them where strings are gathered."""
    return any(found) if strings is None else any(list(found))


def _has_key(value: Value, written: Container[Letters], scalar: Scalar, strings: list[Letters] | None) -> bool:
    """Whether an object that has these keys of a value may become it: it ends here, or another of its keys comes."""
    if scalar == DONE:
        return True
    if isinstance(scalar, str):
        return not written or any(key not in written for key in value.content)
    names = [key for key in value.content if key not in written and key.starts_with(scalar[1])]
    if strings is not None:
        strings.extend(names)
    return bool(names)


def _begins(key: Letters, scalar: Scalar) -> bool:
    return scalar[0] == _KEY and key.starts_with(scalar[1])  # type: ignore[arg-type]


def _may_become(value: Value, scalar: Scalar, targets: list[Letters] | None) -> bool:
    kind, content = scalar[0], scalar[1]
    if kind != value.kind:
        return False
    if kind == _WORD:
        return bool(value.content.startswith(content))
    if kind == _STRING:
        if not value.content.starts_with(content):
            return False
        if targets is not None:
            targets.append(value.content)
        return True
    return _number_may_become(value.content, content)


def _number_may_become(value: tuple[str, str, int], text: str) -> bool:
    sign, whole, fraction, minus, exponent = _number(text)
    if value[1] and sign != value[0]:
        return False
    digits, target = (whole + fraction).lstrip("0"), value[1]
    if exponent is None:
        shared = min(len(digits), len(target))
        return digits[:shared] == target[:shared] and not digits[shared:].strip("0")
    kept = digits.rstrip("0")
    if kept != target:
        return False
    if not target or not exponent:
        return True
    wanted = value[2] + len(fraction) - (len(digits) - len(kept))
    if (minus == "-") != (wanted < 0) and not (wanted == 0 or exponent == "0"):
        return False
    return exponent == "0" or str(Decimal(abs(wanted))).startswith(exponent)
