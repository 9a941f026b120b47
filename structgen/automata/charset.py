"""Sets of Unicode scalar values, kept as sorted inclusive ranges.

A `CharSet` is interned by value, so that equality and hashing are identity and the results of set operations can be
memoised by their operands. Surrogates are not text: no set ever contains one. Properties and regular expressions are
not this module's business.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from weakref import WeakValueDictionary

MAX_CODE_POINT = 0x10FFFF
_SURROGATES = (0xD800, 0xDFFF)
_MEMO = 8192  # Pairs (operand, operand) whose result is remembered.

Range = tuple[int, int]


class CharSet:
    """An immutable set of code points; equal sets are the same object. `ranges` is sorted, inclusive and maximal."""

    __slots__ = ("__weakref__", "_size", "ranges")

    ranges: tuple[Range, ...]
    _size: int

    def __new__(cls, ranges: Iterable[Range] = ()) -> CharSet:
        """The set of these inclusive ranges, in any order; surrogates are left out."""
        return _intern(_normalise(ranges))

    @staticmethod
    def of(text: Iterable[str]) -> CharSet:
        """The set of these characters."""
        return CharSet([(ord(char), ord(char)) for char in text])

    def union(self, other: CharSet) -> CharSet:
        """Code points in either set."""
        if self is other or not other.ranges:
            return self
        return _union(self, other) if self.ranges else other

    def intersect(self, other: CharSet) -> CharSet:
        """Code points in both sets."""
        if self is other or other is ANY:
            return self
        return other if self is ANY else _intersect(self, other)

    def minus(self, other: CharSet) -> CharSet:
        """Code points of this set that are not in the other."""
        return _minus(self, other)

    def complement(self) -> CharSet:
        """All other Unicode scalar values."""
        return _minus(ANY, self)

    def contains(self, code_point: int) -> bool:
        """Whether the code point is in the set."""
        at = bisect_right(self.ranges, (code_point, MAX_CODE_POINT)) - 1
        return at >= 0 and code_point <= self.ranges[at][1]

    def issubset(self, other: CharSet) -> bool:
        """Whether every code point of this set is in the other."""
        return self is other or other is ANY or _minus(self, other) is NONE

    def sample(self) -> int:
        """One member, a readable one where there is one."""
        for preferred in (0x61, 0x41, 0x30, 0x20):
            if self.contains(preferred):
                return preferred
        for low, high in self.ranges:
            if high >= 0x20:
                return max(low, 0x20)
        return self.ranges[0][0]

    __contains__ = contains

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return self.size

    @property
    def size(self) -> int:
        """How many code points it has."""
        if self._size < 0:  # of most sets nobody asks
            self._size = sum(high - low + 1 for low, high in self.ranges)
        return self._size

    def __iter__(self) -> Iterator[int]:
        for low, high in self.ranges:
            yield from range(low, high + 1)

    def __reduce__(self) -> tuple[type[CharSet], tuple[tuple[Range, ...]]]:
        return CharSet, (self.ranges,)

    def __repr__(self) -> str:
        parts = [f"{_name(low)}-{_name(high)}" if high > low else _name(low) for low, high in self.ranges[:8]]
        return f"CharSet({' '.join(parts)}{' …' if len(self.ranges) > 8 else ''})"


_interned: WeakValueDictionary[tuple[Range, ...], CharSet] = WeakValueDictionary()


def _intern(ranges: tuple[Range, ...]) -> CharSet:
    """The one set with these ranges, which must be sorted, maximal and free of surrogates."""
    found = _interned.get(ranges)
    if found is None:
        found = object.__new__(CharSet)
        found.ranges = ranges
        found._size = -1
        found = _interned.setdefault(ranges, found)
    return found


def _normalise(ranges: Iterable[Range]) -> tuple[Range, ...]:
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if low < 0 or high > MAX_CODE_POINT:
            raise ValueError(f"not a range of code points: {low:#x}-{high:#x}")
        if low > high:
            continue
        if merged and low <= merged[-1][1] + 1:
            if high > merged[-1][1]:
                merged[-1] = (merged[-1][0], high)
        else:
            merged.append((low, high))
    first, last = _SURROGATES
    if any(low <= last and high >= first for low, high in merged):
        return tuple(_subtract(merged, (_SURROGATES,)))
    return tuple(merged)


def _subtract(left: Sequence[Range], right: Sequence[Range]) -> list[Range]:
    out: list[Range] = []
    at = 0
    for low, high in left:
        while at < len(right) and right[at][1] < low:
            at += 1
        scan = at
        while scan < len(right) and right[scan][0] <= high:
            if low < right[scan][0]:
                out.append((low, right[scan][0] - 1))
            low = right[scan][1] + 1
            scan += 1
        if low <= high:
            out.append((low, high))
    return out


@lru_cache(_MEMO)
def _union(left: CharSet, right: CharSet) -> CharSet:
    return _intern(_normalise(left.ranges + right.ranges))


@lru_cache(_MEMO)
def _minus(left: CharSet, right: CharSet) -> CharSet:
    return _intern(tuple(_subtract(left.ranges, right.ranges)))


@lru_cache(_MEMO)
def _intersect(left: CharSet, right: CharSet) -> CharSet:
    out: list[Range] = []
    a, b = left.ranges, right.ranges
    i = j = 0
    while i < len(a) and j < len(b):
        low = a[i][0] if a[i][0] > b[j][0] else b[j][0]
        high = a[i][1] if a[i][1] < b[j][1] else b[j][1]
        if low <= high:
            out.append((low, high))
        if a[i][1] < b[j][1]:
            i += 1
        else:
            j += 1
    return _intern(tuple(out))


@lru_cache(_MEMO)
def single(code_point: int) -> CharSet:
    """The set of one code point."""
    return CharSet(((code_point, code_point),))


@lru_cache(_MEMO)
def split_ascii(charset: CharSet) -> tuple[int, CharSet]:
    """(the members below U+0080 as bits, the others)."""
    bits = 0
    for index, (low, high) in enumerate(charset.ranges):
        if high >= 0x80:
            above = charset.ranges[index:]
            if low < 0x80:
                bits |= (1 << 0x80) - (1 << low)
                above = ((0x80, high), *above[1:])
            return bits, _intern(above)
        bits |= (2 << high) - (1 << low)
    return bits, NONE


@lru_cache(_MEMO)
def join_ascii(bits: int, above: CharSet) -> CharSet:
    """The inverse of `split_ascii`."""
    ranges = list(above.ranges)
    low: list[Range] = []
    while bits:
        first = (bits & -bits).bit_length() - 1
        length = (~(bits >> first) & (bits >> first) + 1).bit_length() - 1
        low.append((first, first + length - 1))
        bits &= -1 << first + length
    if low and ranges and low[-1][1] + 1 == ranges[0][0]:
        ranges[0] = (low.pop()[0], ranges[0][1])
    return _intern((*low, *ranges))


@lru_cache(_MEMO)
def overlay(sets: tuple[CharSet, ...]) -> tuple[tuple[CharSet, tuple[int, ...]], ...]:
    """The coarsest partition of the union of `sets`, each cell with the indices of the sets that contain it.

    Cells are ordered by their first code point. One sweep over the ends of all ranges; who is active is one integer.
    Sets of many ranges have most of them beyond ASCII, and there the states of an automaton hardly differ: a name and
    the names that are not keywords. So the two parts are laid over each other on their own.
    """
    if len(sets) == 1:
        return ((sets[0], (0,)),) if sets[0] else ()
    if sum(len(one.ranges) for one in sets) < _MANY_RANGES:
        return tuple((cell, _bits(active)) for active, cell in _swept(sets))
    parts = [split_ascii(one) for one in sets]
    below: dict[int, int] = {0: (1 << 0x80) - 1}
    for index, (bits, _) in enumerate(parts):
        finer: dict[int, int] = {}
        for active, cell in below.items():
            if cell & bits:
                finer[active | 1 << index] = cell & bits
            if cell & ~bits:
                finer[active] = cell & ~bits
        below = finer
    below.pop(0, None)
    above = dict(_swept(tuple(high for _, high in parts)))
    cells = [(join_ascii(below.get(active, 0), above.get(active, NONE)), active) for active in {**below, **above}]
    return tuple((cell, _bits(active)) for cell, active in sorted(cells, key=lambda cell: cell[0].ranges[0]))


_MANY_RANGES = 64


@lru_cache(_MEMO)
def _swept(sets: tuple[CharSet, ...]) -> tuple[tuple[int, CharSet], ...]:
    """(which sets, as bits; the code points in exactly these) for all that there are, by their first code points."""
    toggles: dict[int, int] = {}
    for index, charset in enumerate(sets):
        bit = 1 << index
        for low, high in charset.ranges:
            toggles[low] = toggles.get(low, 0) ^ bit
            toggles[high + 1] = toggles.get(high + 1, 0) ^ bit
    cells: dict[int, list[Range]] = {}
    active = start = 0
    for point in sorted(toggles):
        if active:
            ranges = cells.setdefault(active, [])
            if ranges and ranges[-1][1] == start - 1:
                ranges[-1] = (ranges[-1][0], point - 1)
            else:
                ranges.append((start, point - 1))
        active ^= toggles[point]
        start = point
    return tuple((mask, _intern(tuple(ranges))) for mask, ranges in cells.items())


def partition(sets: Iterable[CharSet]) -> tuple[CharSet, ...]:
    """The coarsest partition of the union of `sets` in which every set is a union of cells."""
    distinct = tuple(dict.fromkeys(charset for charset in sets if charset))
    return tuple(cell for cell, _ in overlay(distinct)) if distinct else ()


def _bits(mask: int) -> tuple[int, ...]:
    out = []
    while mask:
        low = mask & -mask
        out.append(low.bit_length() - 1)
        mask ^= low
    return tuple(out)


def _name(code_point: int) -> str:
    return chr(code_point) if 0x21 <= code_point <= 0x7E else f"U+{code_point:04X}"


NONE = CharSet()
ANY = CharSet(((0, MAX_CODE_POINT),))
