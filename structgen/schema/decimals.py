"""Regular languages of decimal spellings, by the value they stand for: greater, equal or less than a bound.

Everything here is a magnitude (no sign). `whole` functions speak of integers without leading zeros, `plain` ones of
`int frac?`, `scientific` ones of *normalised* spellings `d.ddd e ±dd`, whose first digit is not 0. Bounds are exact
fractions that have a finite decimal expansion. Signs, options and JSON Schema are `numbers.py`'s business.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

from structgen.automata.charset import CharSet
from structgen.automata.regular import EMPTY_STRING, NOTHING, Language, chars, concat, intersect, repeat, string, union


def digit(low: int = 0, high: int = 9) -> Language:
    """One digit of this range; nothing if the range is empty."""
    return chars(CharSet([(48 + low, 48 + high)])) if low <= high else NOTHING


def maybe(language: Language) -> Language:
    """The language or the empty string."""
    return union(EMPTY_STRING, language)


DIGITS = repeat(digit(), 0, None)
SOME_DIGITS = repeat(digit(), 1, None)
WHOLE = union(string("0"), concat(digit(1), DIGITS))
FRACTION = concat(string("."), SOME_DIGITS)
PLAIN = concat(WHOLE, maybe(FRACTION))
EXPONENT_SIGN = chars(CharSet.of("eE"))
SIGN = chars(CharSet.of("+-"))
ANY_EXPONENT = concat(EXPONENT_SIGN, maybe(SIGN), SOME_DIGITS)
ANY_NUMBER = concat(PLAIN, maybe(ANY_EXPONENT))
ZEROS = repeat(string("0"), 0, None)
ZERO = concat(string("0"), maybe(concat(string(".0"), ZEROS)))
MANTISSA = concat(digit(1), maybe(FRACTION))


def expansion(value: Fraction) -> tuple[str, str]:
    """Integer digits and fraction digits (without trailing zeros) of a value that is not negative."""
    scale = 0
    denominator = value.denominator
    while (10**scale) % denominator:
        scale += 1
    digits = str(value.numerator * 10**scale // denominator).zfill(scale + 1)
    return (digits[:-scale], digits[-scale:].rstrip("0")) if scale else (digits, "")


def is_decimal(value: Fraction) -> bool:
    """Whether the value has a finite decimal expansion."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1


@lru_cache(maxsize=4096)
def whole_above(bound: int) -> Language:
    """Integers greater than `bound` (at least 0)."""
    digits = str(bound)
    longer = concat(digit(1), repeat(digit(), len(digits), None))
    return union(longer, *_differ(digits, above=True))


@lru_cache(maxsize=4096)
def whole_below(bound: int) -> Language:
    """Integers from 0 to less than `bound`."""
    digits = str(bound)
    shorter = union(string("0"), concat(digit(1), repeat(digit(), 0, len(digits) - 2))) if len(digits) > 1 else NOTHING
    return union(shorter, *_differ(digits, above=False))


def whole_between(low: int, high: int) -> Language:
    """Integers from `low` (at least 0) to `high`: a union of runs of digits. As an intersection of what is above with
    what is below it took twice as long to derive, since each state had to be asked whether anything is in it."""
    least, most = str(low), str(high)
    if len(least) == len(most):
        return _same_length(least, most)
    between = concat(digit(1), repeat(digit(), len(least), len(most) - 2)) if len(most) - len(least) > 1 else NOTHING
    return union(_same_length(least, "9" * len(least)), between, _same_length("1" + "0" * (len(most) - 1), most))


def _same_length(least: str, most: str) -> Language:
    """The digit strings from one to another of the same length, in their order as strings."""
    if least == most:
        return string(least)
    same = 0
    while least[same] == most[same]:
        same += 1
    low, high = int(least[same]), int(most[same])
    above, below = least[same + 1 :], most[same + 1 :]
    parts = []
    if above.strip("0"):
        parts.append(concat(digit(low, low), _same_length(above, "9" * len(above))))
        low += 1
    if below.strip("9"):
        parts.append(concat(digit(high, high), _same_length("0" * len(below), below)))
        high -= 1
    parts.append(concat(digit(low, high), repeat(digit(), len(above), len(above))))
    return concat(string(least[:same]), union(*parts))


def _differ(digits: str, *, above: bool) -> list[Language]:
    """Strings of the same length that first differ from `digits` by a greater (or smaller) digit; no leading zero."""
    found = []
    for at, char in enumerate(digits):
        value = int(char)
        lowest = 1 if at == 0 and len(digits) > 1 else 0
        other = digit(value + 1) if above else digit(lowest, value - 1)
        found.append(concat(string(digits[:at]), other, repeat(digit(), len(digits) - at - 1, len(digits) - at - 1)))
    return found


def _fraction_above(digits: str) -> Language:
    """Digit strings, at least one digit, that are a greater fraction than `digits`."""
    return union(
        *(concat(string(digits[:at]), digit(int(char) + 1), DIGITS) for at, char in enumerate(digits)),
        concat(string(digits), ZEROS, digit(1), DIGITS),
    )


def _fraction_below(digits: str) -> Language:
    """Digit strings, at least one digit, that are a smaller fraction than `digits` (which does not end in 0)."""
    return union(
        *(concat(string(digits[:at]), digit(0, int(char) - 1), DIGITS) for at, char in enumerate(digits)),
        *(string(digits[:at]) for at in range(1, len(digits))),
    )


def plain_above(bound: Fraction) -> Language:
    """Plain decimals greater than `bound`."""
    whole, fraction = expansion(bound)
    return union(
        concat(whole_above(int(whole)), maybe(FRACTION)),
        concat(string(whole + "."), _fraction_above(fraction)),
    )


def plain_below(bound: Fraction) -> Language:
    """Plain decimals less than `bound`."""
    whole, fraction = expansion(bound)
    same = union(string(whole), concat(string(whole + "."), _fraction_below(fraction))) if fraction else NOTHING
    return union(concat(whole_below(int(whole)), maybe(FRACTION)), same)


def plain_between(low: Fraction, low_open: bool, high: Fraction, high_open: bool) -> Language:
    """Plain decimals from `low` to `high` (greater than `low`), each with or without the bound itself."""
    (first, above), (last, below) = expansion(low), expansion(high)
    more = concat(string("."), _fraction_above(above))
    less = maybe(concat(string("."), _fraction_below(below))) if below else NOTHING
    if not low_open:
        more = union(more, _fraction_equal(above))
    if not high_open:
        less = union(less, _fraction_equal(below))
    if first == last:
        return concat(string(first), intersect(more, less))
    between = NOTHING
    if int(first) + 1 < int(last):
        between = concat(whole_between(int(first) + 1, int(last) - 1), maybe(FRACTION))
    return union(concat(string(first), more), between, concat(string(last), less))


def _fraction_equal(digits: str) -> Language:
    """A point and this fraction; where it is 0, also nothing."""
    return concat(string(f".{digits}"), ZEROS) if digits else maybe(concat(string(".0"), ZEROS))


def plain_equal(bound: Fraction) -> Language:
    """Plain decimals equal to `bound`."""
    whole, fraction = expansion(bound)
    return concat(string(whole), _fraction_equal(fraction))


def normalised(value: Fraction) -> tuple[Fraction, int]:
    """Mantissa in [1, 10) and exponent of a positive value."""
    exponent = len(str(value.numerator)) - len(str(value.denominator))
    mantissa = value / Fraction(10) ** exponent
    while mantissa >= 10:
        mantissa, exponent = mantissa / 10, exponent + 1
    while mantissa < 1:
        mantissa, exponent = mantissa * 10, exponent - 1
    return mantissa, exponent


def exponent_above(bound: int) -> Language:
    """`e` and an exponent greater than `bound`."""
    if bound >= 0:
        return concat(EXPONENT_SIGN, maybe(string("+")), ZEROS, whole_above(bound))
    small = concat(string("-"), ZEROS, whole_below(-bound))
    return concat(EXPONENT_SIGN, union(concat(maybe(string("+")), SOME_DIGITS), small))


def exponent_below(bound: int) -> Language:
    """`e` and an exponent less than `bound`."""
    if bound <= 0:
        return concat(EXPONENT_SIGN, string("-"), ZEROS, whole_above(-bound))
    small = concat(maybe(string("+")), ZEROS, whole_below(bound))
    return concat(EXPONENT_SIGN, union(concat(string("-"), SOME_DIGITS), small))


def exponent_equal(bound: int) -> Language:
    """`e` and this exponent."""
    sign = maybe(SIGN) if bound == 0 else maybe(string("+")) if bound > 0 else string("-")
    return concat(EXPONENT_SIGN, sign, ZEROS, string(str(abs(bound))))


def scientific_above(bound: Fraction) -> Language:
    """Normalised scientific spellings of values greater than `bound` (at least 0)."""
    if bound == 0:
        return concat(MANTISSA, ANY_EXPONENT)
    mantissa, exponent = normalised(bound)
    same = concat(intersect(MANTISSA, plain_above(mantissa)), exponent_equal(exponent))
    return union(concat(MANTISSA, exponent_above(exponent)), same)


def scientific_below(bound: Fraction) -> Language:
    """Normalised scientific spellings of values less than `bound` (greater than 0)."""
    mantissa, exponent = normalised(bound)
    same = concat(intersect(MANTISSA, plain_below(mantissa)), exponent_equal(exponent))
    return union(concat(MANTISSA, exponent_below(exponent)), same)


def scientific_equal(bound: Fraction) -> Language:
    """Normalised scientific spellings of `bound` (greater than 0)."""
    mantissa, exponent = normalised(bound)
    return concat(plain_equal(mantissa), exponent_equal(exponent))


@lru_cache(maxsize=16)
def scientific_whole(max_digits: int = 20) -> Language:
    """Normalised scientific spellings of integers: no more fraction digits (up to `max_digits`) than the exponent."""
    options = [concat(digit(1), maybe(concat(string(".0"), ZEROS)), exponent_above(-1))]
    for count in range(1, max_digits + 1):
        fraction = concat(string("."), repeat(digit(), count, count), ZEROS)
        options.append(concat(digit(1), fraction, exponent_above(count - 1)))
    return union(*options)


@lru_cache(maxsize=16)
def scientific_short(max_digits: int) -> Language:
    """Normalised scientific spellings with up to so many significant fraction digits."""
    fraction = concat(string("."), repeat(digit(), 1, max_digits), ZEROS)
    return concat(digit(1), maybe(fraction), ANY_EXPONENT)
