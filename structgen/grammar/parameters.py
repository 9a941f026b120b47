"""Values and conditions of rules with a parameter in llguidance's words: `incr([0:3])`, `and(bit_clear(0), lt(_, 5))`.

`[x:y]` are the bits from x up to, not including, y; `_` is all 64.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from structgen.errors import GrammarSyntaxError

Value: TypeAlias = "Callable[[int | None], int]"
Condition: TypeAlias = Callable[[int], bool]
Read = TypeVar("Read")

_BITS = 64
_ALL = (1 << _BITS) - 1
_WORD = re.compile(r"\s*(?:([a-z_]\w*)|(0[xX][0-9a-fA-F]+|\d+)|([()\[\]:,]))")
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    "eq": operator.eq, "ne": operator.ne, "lt": operator.lt, "le": operator.le, "gt": operator.gt, "ge": operator.ge,
}  # fmt: skip


class Words:
    """Reads what stands at `at` in a text, and leaves `at` behind it. `error(message, at, advice)` makes an error.

    In a rule that has no parameter a value must be a number.
    """

    def __init__(
        self, text: str, at: int, error: Callable[[str, int, str], GrammarSyntaxError], *, has_parameter: bool = True
    ) -> None:
        self.text = text
        self.at = at
        self.error = error
        self.has_parameter = has_parameter

    def value(self) -> Value:
        """What becomes of a parameter: a number, `_`, or a function of it."""
        begin, word = self.at, self.take()
        if word[0].isdigit():
            number = self.number_of(word, begin)
            return lambda _: number
        if not self.has_parameter:
            raise self.error("the rule that calls has no parameter", begin, "write a number")
        if word == "_":
            return _own
        if word in ("set_bit", "clear_bit"):
            bit = 1 << self.arguments(self.bit)
            return _with(lambda p: p | bit) if word == "set_bit" else _with(lambda p: p & ~bit)
        if word in ("bit_and", "bit_or"):
            bits = self.arguments(self.number)
            return _with(lambda p: p & bits) if word == "bit_and" else _with(lambda p: p | bits)
        if word in ("incr", "decr"):
            low, mask = self.arguments(self.span)
            step, last = (1, mask) if word == "incr" else (-1, 0)
            return _with(lambda p: p if p >> low & mask == last else p + (step << low))
        raise self.error(f"{word} is no value of a parameter", begin, "write a number, _, set_bit(0), incr([0:3]), …")

    def condition(self) -> Condition:
        """Whether there is an alternative."""
        begin, word = self.at, self.take()
        if word == "true":
            if self.text.startswith("()", self.at):
                self.at += 2
            return lambda p: True
        if word in ("bit_set", "bit_clear"):
            bit, wanted = 1 << self.arguments(self.bit), word == "bit_set"
            return lambda p: bool(p & bit) == wanted
        if word in ("is_ones", "is_zeros"):
            low, mask = self.arguments(self.span)
            last = mask if word == "is_ones" else 0
            return lambda p: p >> low & mask == last
        if word == "not":
            inner = self.arguments(self.condition)
            return lambda p: not inner(p)
        if word in ("and", "or"):
            one, other = self.arguments(lambda: self.pair(self.condition))
            return (lambda p: one(p) and other(p)) if word == "and" else (lambda p: one(p) or other(p))
        counts = word.startswith("bit_count_")
        compare = _COMPARE.get(word.removeprefix("bit_count_"))
        if compare is None:
            raise self.error(f"{word} is no condition", begin, "write bit_clear(0), lt([0:3], 5), and(…, …), …")
        (low, mask), number = self.arguments(self.bits_and_number)
        if counts:
            return lambda p: compare((p >> low & mask).bit_count(), number)
        return lambda p: compare(p >> low & mask, number)

    def take(self, expected: str | None = None) -> str:
        """The next word, number or sign."""
        found = _WORD.match(self.text, self.at)
        if found is None or (expected is not None and found[0].strip() != expected):
            raise self.error(f"expected {expected or 'a name or a number'}", self.at, "see docs/grammars.md")
        self.at = found.end()
        return found[0].strip()

    def arguments(self, read: Callable[[], Read]) -> Read:
        """What stands in brackets."""
        self.take("(")
        out = read()
        self.take(")")
        return out

    def pair(self, read: Callable[[], Read]) -> tuple[Read, Read]:
        """Two of a kind."""
        first = read()
        self.take(",")
        return first, read()

    def bits_and_number(self) -> tuple[tuple[int, int], int]:
        """Bits, and what they are compared with."""
        span = self.span()
        self.take(",")
        return span, self.number()

    def number(self) -> int:
        """An unsigned number of 64 bits."""
        begin = self.at
        return self.number_of(self.take(), begin)

    def number_of(self, word: str, at: int) -> int:
        """The number that a word is."""
        number = int(word, 16 if word[:2] in ("0x", "0X") else 10) if word[0].isdigit() else -1
        if not 0 <= number <= _ALL:
            raise self.error(f"{word} is no number of 64 bits", at, "write 7 or 0x7")
        return number

    def bit(self) -> int:
        """The number of a bit."""
        begin, number = self.at, self.number()
        if number >= _BITS:
            raise self.error(f"there is no bit {number}", begin, "bits are 0 to 63")
        return number

    def span(self) -> tuple[int, int]:
        """(the lowest bit, how they all look when set) of `[x:y]`."""
        begin = self.at
        if self.take() == "_":
            return 0, _ALL
        self.at = begin
        self.take("[")
        low = self.number()
        self.take(":")
        high = self.number()
        self.take("]")
        if not low < high <= _BITS:
            raise self.error(f"[{low}:{high}] are no bits", begin, "write [0:64] for all of them, the lower bit first")
        return low, (1 << high - low) - 1


def _own(parameter: int | None) -> int:
    assert parameter is not None
    return parameter


def _with(change: Callable[[int], int]) -> Value:
    return lambda parameter: change(_own(parameter)) & _ALL
