"""Numbers: is there one in a form, and how are they spelled. No floats anywhere: bounds are fractions.

Spellings. Where only the sign matters, any JSON number. With other bounds, all plain decimals, all *normalised*
scientific ones (one digit other than 0 before the point) and all zeros: whether `0.000…1e1000` is below 5 takes
counting, which no finite automaton does. Whole numbers (`multiple` integral) are digits only, unless
`integer_fractions` also asks for `1.0` and (normalised, up to 20 fraction digits) `1.5e3`; multiples of other numbers
are plain, and with `integer_fractions` also scientific. `-0` is spelled where there are negative numbers too, or where
`negative_zero` asks for it.
"""

from __future__ import annotations

import json
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, lcm

from structgen.automata.regular import (
    NOTHING,
    Language,
    complement,
    concat,
    finite,
    intersect,
    repeat,
    string,
    union,
)
from structgen.schema import decimals
from structgen.schema.decimals import ANY_NUMBER, PLAIN, WHOLE, ZERO, ZEROS, maybe
from structgen.schema.forms import NumberForm
from structgen.schema.multiples import (
    MAX_FRACTION,
    MAX_PLACES,
    NumberTooComplex,
    odd_part,
    places_of,
    plain_multiples,
    scientific_multiples,
)

__all__ = ["NumberTooComplex", "multiples_between", "number_language", "some_number"]

_FEW = 64  # So many multiples in an interval are spelled one by one.
_MAX_VALUES = 20_000  # How many multiples in a row are looked at for one that is not excluded.
MAX_BOUNDED = 200  # Divisors (without factors 2 and 5) up to which bounded multiples are spelled scientifically too.


def some_number(form: NumberForm) -> Fraction | None:
    """A number of the form, None if there is none."""
    if form.values is not None:
        return form.values[0] if form.values else None
    if form.multiple is None:
        return _some_real(form)
    first, last = _multiples(form)
    if first is None and last is None:
        first = 0
    step = 1 if first is not None else -1
    index = first if first is not None else last
    assert index is not None
    period = lcm(*((form.multiple / other).denominator for other in form.not_multiples), 1)
    for _ in range(min(period + 1, _MAX_VALUES)):
        if (last is not None and index > last) or (first is not None and index < first):
            return None
        value = form.multiple * index
        if form.contains(value):
            return value
        index += step
    if period < _MAX_VALUES:
        return None
    raise NumberTooComplex("cannot tell whether the excluded multiples leave any number")


def _some_real(form: NumberForm) -> Fraction | None:
    low, high = form.low, form.high
    if low is not None and low == high:
        return low if form.contains(low) else None
    if low is None:
        low = (high or Fraction(0)) - 1
    if high is None:
        high = low + 1
    width = high - low
    for part in range(2, 1000):
        value = low + width / part
        if form.contains(value):
            return value
    return None


def _multiples(form: NumberForm) -> tuple[int | None, int | None]:
    """The first and last index i for which i * multiple is within the bounds."""
    assert form.multiple is not None
    first = last = None
    if form.low is not None:
        ratio = form.low / form.multiple
        first = ceil(ratio)
        if form.low_open and first == ratio:
            first += 1
    if form.high is not None:
        ratio = form.high / form.multiple
        last = floor(ratio)
        if form.high_open and last == ratio:
            last -= 1
    return first, last


def multiples_between(form: NumberForm, limit: int) -> list[Fraction] | None:
    """The numbers of a form, None if there are more than `limit`."""
    if form.multiple is None:
        return [form.low] if form.low is not None and form.low == form.high and form.contains(form.low) else None
    first, last = _multiples(form)
    if first is None or last is None or last - first >= limit:
        return None
    values = (form.multiple * index for index in range(first, last + 1))
    return [value for value in values if form.contains(value)]


@lru_cache(maxsize=4096)
def number_language(form: NumberForm, integer_fractions: bool, negative_zero: bool) -> Language:
    """The spellings of the form's numbers. Raises `NumberTooComplex`."""
    if form.values is not None and not integer_fractions:
        texts = [
            sign + text for value in form.values for sign in _signs(value, negative_zero) for text in _texts(value)
        ]
        return finite(texts)
    if form.values is not None:
        return union(*(_value(value, negative_zero) for value in form.values))
    if form.multiple is not None and form.multiple != 1:
        few = multiples_between(form, _FEW)
        if few is not None:
            return number_language(NumberForm(values=tuple(few)), integer_fractions, negative_zero)
    if form.multiple == 1 and not integer_fractions and not form.not_multiples:
        return _integers(*_multiples(form), negative_zero)
    if form.multiple is not None and (form.multiple != 1 or form.not_multiples):
        return _spelled_multiples(form, integer_fractions, negative_zero)
    spelled = _spelling(form, integer_fractions)
    positive = _magnitudes(form.low, form.low_open, form.high, form.high_open)
    negative = _magnitudes(_minus(form.high), form.high_open, _minus(form.low), form.low_open)
    if spelled is not ANY_NUMBER:
        positive, negative = intersect(spelled, positive), intersect(spelled, negative)
    if form.contains(Fraction(0)):
        zero = intersect(spelled, concat(ZERO, maybe(decimals.ANY_EXPONENT)))
        positive = union(positive, zero)
        if negative_zero or form.low is None or form.low < 0:
            negative = union(negative, zero)
    return union(positive, concat(string("-"), negative))


def _integers(first: int | None, last: int | None, negative_zero: bool) -> Language:
    """The integers from first to last (None: no bound), in digits only."""

    def magnitudes(low: int | None, high: int | None) -> Language:
        """Positive integers within these bounds."""
        low = max(low or 1, 1)
        if high is None:
            return decimals.whole_above(low - 1)
        return decimals.whole_between(low, high) if low <= high else NOTHING

    zero = string("0") if (first is None or first <= 0) and (last is None or last >= 0) else NOTHING
    negative = magnitudes(None if last is None else -last, None if first is None else -first)
    if negative_zero or first is None or first < 0:
        negative = union(negative, zero)
    return union(magnitudes(first, last), zero, concat(string("-"), negative))


def _minus(bound: Fraction | None) -> Fraction | None:
    return None if bound is None else -bound


def _signs(value: Fraction, negative_zero: bool) -> tuple[str, ...]:
    return ("-",) if value < 0 else ("", "-") if value == 0 and negative_zero else ("",)


def _texts(value: Fraction) -> set[str]:
    """The spellings of a magnitude that `json.dumps` and people write."""
    whole, fraction = decimals.expansion(abs(value))
    return {f"{whole}.{fraction}", json.dumps(float(abs(value)))} if fraction else {whole}


def _value(value: Fraction, negative_zero: bool) -> Language:
    """All plain and normalised spellings of one number."""
    if value == 0:
        spelled = concat(ZERO, maybe(decimals.ANY_EXPONENT))
    else:
        spelled = union(decimals.plain_equal(abs(value)), decimals.scientific_equal(abs(value)))
    return concat(finite(_signs(value, negative_zero)), spelled)


def _magnitudes(low: Fraction | None, low_open: bool, high: Fraction | None, high_open: bool) -> Language:
    """Spellings of the values above 0 within these bounds; exponents are normalised where there is a bound."""
    if high is not None and high <= 0:
        return NOTHING
    if low is None or low <= 0:
        low, low_open = Fraction(0), True
    if low == 0 and high is None:
        return _POSITIVE
    above = decimals.scientific_above(low)
    if not low_open:
        above = union(above, decimals.scientific_equal(low))
    if high is None:
        plain = decimals.plain_above(low)
        return union(plain if low_open else union(plain, decimals.plain_equal(low)), above)
    if high <= low:
        return NOTHING if low_open or high_open or high < low else _value(high, False)
    below = decimals.scientific_below(high)
    if not high_open:
        below = union(below, decimals.scientific_equal(high))
    return union(decimals.plain_between(low, low_open, high, high_open), intersect(above, below))


_NONZERO_MANTISSA = concat(
    repeat(union(string("0"), string(".")), 0, None),
    decimals.digit(1),
    repeat(union(decimals.digit(), string(".")), 0, None),
)
_POSITIVE = intersect(ANY_NUMBER, concat(_NONZERO_MANTISSA, maybe(decimals.ANY_EXPONENT)))


def _spelling(form: NumberForm, integer_fractions: bool) -> Language:
    """The magnitudes that are whole, or not multiples, as the form wants them, however large."""
    if form.multiple is not None:
        if not integer_fractions:
            return WHOLE
        return union(
            concat(WHOLE, maybe(concat(string(".0"), ZEROS))),
            decimals.scientific_whole(),
            concat(ZERO, maybe(decimals.ANY_EXPONENT)),
        )
    if not form.not_multiples:
        return ANY_NUMBER
    spelled = union(PLAIN, decimals.scientific_short(MAX_FRACTION)) if integer_fractions else PLAIN
    wrong = [concat(ZERO, maybe(decimals.ANY_EXPONENT))]
    for step in form.not_multiples:
        places = places_of(step)
        scaled = int(step * 10**places)
        wrong.append(plain_multiples(scaled, (), places, 1, None, True))
        if integer_fractions:
            wrong.append(scientific_multiples(scaled, (), places, MAX_FRACTION))
    return intersect(spelled, complement(union(*wrong)))


def _spelled_multiples(form: NumberForm, integer_fractions: bool, negative_zero: bool) -> Language:
    """Multiples with bounds: the positive ones, the mirror image of the negative ones, and zero."""
    assert form.multiple is not None
    steps = (form.multiple, *form.not_multiples)
    places = max(map(places_of, steps))
    step, *denied = (int(value * 10**places) for value in steps)
    fraction = integer_fractions or places > 0

    def magnitudes(low: Fraction | None, low_open: bool, high: Fraction | None, high_open: bool) -> Language:
        """The positive multiples within these bounds."""
        scale = 10**places
        least = 1 if low is None else max(1, floor(low * scale) + 1 if low_open else ceil(low * scale))
        most = None if high is None else ceil(high * scale) - 1 if high_open else floor(high * scale)
        if len(str(most or least)) > 2 * MAX_PLACES:
            raise NumberTooComplex(f"multiples between bounds of more than {2 * MAX_PLACES} digits")
        if most is not None and most < least:
            return NOTHING
        spelled = plain_multiples(step, tuple(sorted(denied)), places, least, most, fraction)
        bounded = least > 1 or most is not None or denied
        if not integer_fractions or (bounded and odd_part(step) > MAX_BOUNDED):
            return spelled
        digits = MAX_FRACTION if most is None else min(MAX_FRACTION, len(str(most)))
        scientific = scientific_multiples(step, tuple(sorted(denied)), places, digits)
        if least > 1 or most is not None:
            scientific = intersect(scientific, _magnitudes(low, low_open, high, high_open))
        return union(spelled, scientific)

    positive = magnitudes(form.low, form.low_open, form.high, form.high_open)
    negative = magnitudes(_minus(form.high), form.high_open, _minus(form.low), form.low_open)
    if form.contains(Fraction(0)):
        zero = concat(ZERO, maybe(decimals.ANY_EXPONENT)) if integer_fractions else ZERO if fraction else string("0")
        positive = union(positive, zero)
        if negative_zero or form.low is None or form.low < 0:
            negative = union(negative, zero)
    return union(positive, concat(string("-"), negative))
