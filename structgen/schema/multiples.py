"""Decimal spellings of multiples, by arithmetic on the digits read so far: any divisor, with bounds.

Numbers are scaled by a power of ten, so that the divisor, the divisors that are excluded and the bounds are integers. A
state remembers the remainder; while the digits read so far are those of a bound, it remembers them all. Whether a
state can be completed is a question about an interval of integers, so nothing is ever searched and a divisor may have a
hundred digits: only the states that a text reaches exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import TypeAlias

from structgen.automata.charset import CharSet, single
from structgen.automata.regular import (
    NOTHING,
    Language,
    concat,
    intersect,
    machine_state,
    string,
)
from structgen.errors import StructgenError
from structgen.schema.decimals import ZEROS, exponent_above, exponent_below

State: TypeAlias = tuple[int, ...]

MAX_PLACES = 400  # Digits before or after the point of a divisor or a bound.
MAX_FRACTION = 20  # Significant fraction digits of a scientific spelling.
_MAX_TRIED = 10_000  # Multiples that are looked at in a row to find one that is not excluded.
_START, _HEAD, _WHOLE, _EDGE_FRACTION, _FRACTION = range(5)
_FIRST, _MANTISSA, _PADDED = 1, 2, 3


class NumberTooComplex(StructgenError):
    """A combination of bounds and multiples that has no small automaton."""


class Residues:
    """The multiples of `step` that are not multiples of any of `denied`: all are integers above 0."""

    def __init__(self, step: int, denied: tuple[int, ...]) -> None:
        self.step = step
        self.denied = denied
        self.period = lcm(step, *denied)

    def holds(self, value: int) -> bool:
        """Whether the value is one of them."""
        return value % self.step == 0 and all(value % other for other in self.denied)

    def between(self, low: int, high: int) -> bool:
        """Whether one of them is in low..high."""
        value = -(-low // self.step) * self.step
        for _ in range(_MAX_TRIED):
            if value > high:
                return False
            if self.holds(value):
                return True
            value += self.step
        raise NumberTooComplex("cannot tell whether the excluded multiples leave any number")


class PlainMultiples:
    """Plain decimals with values in low..high, all scaled by 10 ** places; low is at least 1, high None: no limit.

    States: the start; _HEAD, the digits of a whole part that a bound may still rule out; _WHOLE, a remainder, and how
    many more whole digits there may be (-1: any number); the same two after the point, with the number of places left.
    """

    certain = True

    def __init__(self, residues: Residues, places: int, low: int, high: int | None, fraction: bool) -> None:
        self.residues = residues
        self.places = places
        self.low = low
        self.high = high
        self.fraction = fraction
        self.name = repr(("plain", residues.step, residues.denied, places, low, high, fraction)).encode()
        longest = max(len(str(residues.period)), len(str(high or low)))
        self._horizon = longest + 2  # With so many more digits, a bound no longer cuts and every remainder occurs.

    def language(self) -> Language:
        """All of them."""
        return machine_state(self, (_START,)) if self._exists(self.low, self.high) else NOTHING

    def accepts(self, state: State) -> bool:
        """Whether the number may end here."""
        kind, *rest = state
        if kind == _HEAD:
            return self._within(rest[0] * 10**self.places)
        if kind == _WHOLE:
            return rest[1] == 0 and self.residues.holds(rest[0] * 10**self.places)
        if kind == _EDGE_FRACTION:
            return rest[1] < self.places and self._within(rest[0] * 10 ** rest[1])
        return kind == _FRACTION and rest[1] < self.places and self.residues.holds(rest[0] * 10 ** rest[1])

    def edges(self, state: State) -> list[tuple[CharSet, Language]]:
        """The digits and the point that may come next."""
        kind, *rest = state
        if kind == _START:
            steps = [(digit, self._whole(digit)) for digit in range(1, 10)]
            zero = self._fraction(0, self.places) if self.places else None
            steps.append((0, None if zero is None else concat(string("."), zero)))
            point = None
        elif kind == _HEAD:
            steps = [(digit, self._whole(10 * rest[0] + digit)) for digit in range(10)]
            point = self._after_point(rest[0], self.accepts(state))
        elif kind == _WHOLE:
            residue, least, most = rest
            least, further = max(least - 1, 0), most - 1 if most > 0 else most
            steps = [(digit, self._free(10 * residue + digit, least, further)) for digit in range(10) if most]
            point = self._after_point(residue, self.accepts(state), free=True) if not rest[1] else None
        else:
            prefix, left = rest
            free = kind == _FRACTION
            steps = [(digit, self._fraction(10 * prefix + digit, left - 1, free=free)) for digit in range(10)]
            point = None
        found = [(single(48 + digit), target) for digit, target in steps if target is not None]
        return found if point is None else [*found, (single(ord(".")), point)]

    def _after_point(self, prefix: int, whole_fits: bool, *, free: bool = False) -> Language | None:
        if self.places:
            return self._fraction(prefix, self.places, free=free)
        return concat(string("0"), ZEROS) if self.fraction and whole_fits else None

    def _whole(self, prefix: int) -> Language | None:
        """The state after these digits of the whole part, at least one and no zero in front."""
        full: list[int] = []
        for more in range(self._horizon + 1):
            low, high = prefix * 10 ** (more + self.places), (prefix + 1) * 10 ** (more + self.places) - 1
            if high < self.low or (self.high is not None and low > self.high):
                continue
            if low < self.low or (self.high is not None and high > self.high):
                return machine_state(self, (_HEAD, prefix)) if self._head_lives(prefix) else None
            full.append(more)
        if not full:
            return None
        return self._free(prefix, full[0], -1 if self.high is None else full[-1])

    def _head_lives(self, prefix: int) -> bool:
        for more in range(self._horizon + 1):
            low, high = prefix * 10 ** (more + self.places), (prefix + 1) * 10 ** (more + self.places) - 1
            if self._exists(max(low, self.low), high if self.high is None else min(high, self.high)):
                return True
        return False

    def _free(self, prefix: int, least: int, most: int) -> Language | None:
        """The state where no bound cuts any more."""
        residue = prefix % self.residues.period
        for more in range(least, (self._horizon if most < 0 else min(most, self._horizon)) + 1):
            low = residue * 10 ** (more + self.places)
            if self._exists(low, low + 10 ** (more + self.places) - 1):
                return machine_state(self, (_WHOLE, residue, least, most))
        return None

    def _fraction(self, prefix: int, left: int, *, free: bool = False) -> Language | None:
        """What follows these digits, of which all but `left` places are read."""
        low, high = prefix * 10**left, (prefix + 1) * 10**left - 1
        if not free:
            if high < self.low or (self.high is not None and low > self.high):
                return None
            free = low >= self.low and (self.high is None or high <= self.high)
            if not free:
                least, most = max(low, self.low), high if self.high is None else min(high, self.high)
                if not self._exists(least, most):
                    return None
                return machine_state(self, (_EDGE_FRACTION, prefix, left)) if left else ZEROS
        residue = prefix % self.residues.period
        low = residue * 10**left
        if not self._exists(low, low + 10**left - 1):
            return None
        return machine_state(self, (_FRACTION, residue, left)) if left else ZEROS

    def _within(self, value: int) -> bool:
        return self.low <= value and (self.high is None or value <= self.high) and self.residues.holds(value)

    def _exists(self, low: int, high: int | None) -> bool:
        return self.residues.between(low, low + self.residues.period if high is None else high)


class ScientificMultiples:
    """Normalised scientific spellings of multiples, with up to `max_fraction` significant fraction digits.

    A mantissa of f significant fraction digits, read as an integer M, and an exponent E are M * 10 ** (E - f). M does
    not end in 0 (a single digit never does), so the value is a multiple from some exponent on and never below it.
    States: the start, the first digit, then the remainder of M with f and the zeros read after them.
    """

    def __init__(self, residues: Residues, places: int, max_fraction: int) -> None:
        self.residues = residues
        self.places = places
        self.max_fraction = max_fraction
        self.certain = not residues.denied
        self.name = repr(("scientific", residues.step, residues.denied, places, max_fraction)).encode()
        self._odd = odd_part(residues.step)

    def language(self) -> Language:
        """All of them."""
        return machine_state(self, (_START,)) if self.edges((_START,)) else NOTHING

    def accepts(self, state: State) -> bool:
        """Never: they end with an exponent."""
        return False

    def edges(self, state: State) -> list[tuple[CharSet, Language]]:
        """The digits, the point and the `e` that may come next."""
        kind, *rest = state
        found: list[tuple[CharSet, Language]] = []
        if kind == _START:
            return [(single(48 + digit), target) for digit in range(1, 10) for target in self._state(_FIRST, digit)]
        residue, digits, zeros = rest
        if kind == _FIRST:
            found += [(single(ord(".")), target) for target in self._state(_PADDED, residue)]
        else:
            found += [(single(48), target) for target in self._state(_MANTISSA, residue, digits, zeros + 1)]
            if digits + zeros < self.max_fraction:
                for digit in range(1, 10):
                    value = residue * 10 ** (zeros + 1) + digit
                    targets = self._state(_MANTISSA, value, digits + zeros + 1)
                    found += [(single(48 + digit), target) for target in targets]
        if kind != _PADDED:
            exponent = self._exponent(residue, digits)
            found += [(charset, target) for charset, target in exponent.edges()]
        return found

    def _state(self, kind: int, value: int, digits: int = 0, zeros: int = 0) -> Iterator[Language]:
        """The state, if it can be completed."""
        residue = value % self.residues.period
        zeros = min(zeros, self.max_fraction - digits)
        ends = self._exponent(residue, digits) is not NOTHING
        if ends or self._reachable(residue * 10**zeros, self.max_fraction - digits - zeros):
            yield machine_state(self, (kind, residue, digits, zeros))

    def _reachable(self, value: int, more: int) -> bool:
        """Whether up to so many more digits can make a multiple of the odd part."""
        return any(-value * 10**count % self._odd < 10**count for count in range(1, more + 1))

    def _exponent(self, residue: int, digits: int) -> Language:
        """`e` and the exponents for which the mantissa makes a number that is wanted."""
        least = _power(residue, self.residues.step)
        if least is None:
            return NOTHING
        limits = [power for other in self.residues.denied if (power := _power(residue, other)) is not None]
        shift = digits - self.places
        if not limits:
            return exponent_above(least + shift - 1)
        if min(limits) <= least:
            return NOTHING
        return intersect(exponent_above(least + shift - 1), exponent_below(min(limits) + shift))


@lru_cache(maxsize=1024)
def odd_part(step: int) -> int:
    """The part of a divisor that no power of ten helps with."""
    for prime in (2, 5):
        while step % prime == 0:
            step //= prime
    return step


def _power(value: int, step: int) -> int | None:
    """The least k >= 0 for which value * 10 ** k is a multiple of step; None if there is none."""
    if value % odd_part(step):
        return None
    for power in range(step.bit_length() + 1):
        if value * 10**power % step == 0:
            return power
    return None


def places_of(value: Fraction) -> int:
    """How many decimal places a number with a finite expansion has."""
    places = 0
    while value.denominator != 1:
        value *= 10
        places += 1
        if places > MAX_PLACES:
            raise NumberTooComplex(f"multiples with more than {MAX_PLACES} decimal places")
    if value >= 10**MAX_PLACES:
        raise NumberTooComplex(f"multiples of more than {MAX_PLACES} digits")
    return places


@lru_cache(maxsize=1024)
def _residues(step: int, denied: tuple[int, ...]) -> Residues:
    return Residues(step, denied)


@lru_cache(maxsize=1024)
def plain_multiples(
    step: int, denied: tuple[int, ...], places: int, low: int, high: int | None, fraction: bool
) -> Language:
    """Plain decimals of multiples in low..high, scaled by 10 ** places. `fraction`: whole ones may end in `.0`."""
    if (high is not None and high < low) or any(step % other == 0 for other in denied):
        return NOTHING
    return PlainMultiples(_residues(step, denied), places, low, high, fraction).language()


@lru_cache(maxsize=1024)
def scientific_multiples(step: int, denied: tuple[int, ...], places: int, max_fraction: int) -> Language:
    """Normalised scientific spellings of multiples, scaled by 10 ** places."""
    if any(step % other == 0 for other in denied):
        return NOTHING
    return ScientificMultiples(_residues(step, denied), places, max_fraction).language()
