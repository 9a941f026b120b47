"""Bounds by brute force: over many spellings of many values, a bound allows exactly what arithmetic says."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.schema.forms import NumberForm
from structgen.schema.numbers import number_language, some_number

decimals = st.builds(lambda digits, places: Fraction(digits, 10**places), st.integers(-2500, 2500), st.integers(0, 3))
bounds = st.one_of(st.none(), decimals, st.integers(-(10**25), 10**25).map(Fraction))
steps = st.one_of(
    st.none(), st.sampled_from([Fraction(1), Fraction(5), Fraction(1, 100), Fraction(5, 2), Fraction(20)])
)
forms = st.builds(NumberForm, low=bounds, low_open=st.booleans(), high=bounds, high_open=st.booleans(), multiple=steps)


def plain(value: Fraction) -> str:
    """A decimal spelling without exponent."""
    return format(Decimal(value.numerator) / Decimal(value.denominator), "f")


@settings(max_examples=300, deadline=None)
@given(forms, st.lists(decimals, min_size=1, max_size=20))
def test_plain_spellings(form: NumberForm, values: list[Fraction]) -> None:
    """Every plain spelling of every value, near the bounds and far away."""
    language = number_language(form, integer_fractions=True, negative_zero=True)
    near = [
        bound + delta for bound in (form.low, form.high) if bound is not None for delta in (0, Fraction(1, 100), -1)
    ]
    for value in values + near:
        spelled = plain(value)
        for text in {spelled, spelled + ("0" if "." in spelled else ".0")}:
            assert language.matches(text) == form.contains(value), (form, text)


@settings(max_examples=300, deadline=None)
@given(
    st.builds(NumberForm, low=bounds, low_open=st.booleans(), high=bounds, high_open=st.booleans()),
    st.integers(1, 9999),
    st.integers(-30, 30),
    st.booleans(),
)
def test_scientific_spellings(form: NumberForm, digits: int, exponent: int, negative: bool) -> None:
    """Normalised scientific spellings, with every sign and leading zero of the exponent."""
    language = number_language(form, integer_fractions=False, negative_zero=True)
    text = str(digits)
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    value = Fraction(mantissa) * Fraction(10) ** exponent * (-1 if negative else 1)
    for sign in ["+", ""] if exponent >= 0 else ["-"]:
        for zeros in ("", "0"):
            spelled = f"{'-' if negative else ''}{mantissa}e{sign}{zeros}{abs(exponent)}"
            assert language.matches(spelled) == form.contains(value), (form, spelled)


@settings(max_examples=300, deadline=None)
@given(forms)
def test_some_number_is_one(form: NumberForm) -> None:
    """A number that is found is in the form; where none is found, the language is empty."""
    found = some_number(form)
    if found is not None:
        assert form.contains(found)
        assert not number_language(form, False, False).is_empty()
    else:
        assert number_language(form, True, True).is_empty()


def test_digits_only() -> None:
    integers = number_language(NumberForm(multiple=Fraction(1), low=Fraction(0)), False, False)
    assert integers.matches("0") and integers.matches("120")
    assert not any(map(integers.matches, ("-0", "1.0", "1e2", "00", "")))


@settings(max_examples=300, deadline=None)
@given(
    st.builds(NumberForm, low=bounds, low_open=st.booleans(), high=bounds, high_open=st.booleans()),
    st.lists(st.integers(-300, 300), max_size=10),
    st.booleans(),
)
def test_integers_in_digits(form: NumberForm, values: list[int], negative_zero: bool) -> None:
    """Of the integers, those within the bounds, and no other spelling of them."""
    form = NumberForm(form.low, form.low_open, form.high, form.high_open, Fraction(1))
    language = number_language(form, integer_fractions=False, negative_zero=negative_zero)
    near = [int(bound) + d for bound in (form.low, form.high) if bound is not None for d in (-2, -1, 0, 1, 2)]
    for value in [*values, *near, 0]:
        assert language.matches(str(value)) == form.contains(Fraction(value)), (form, value)
        assert not language.matches(f"{value}.0")
        assert not language.matches(f"0{value}")
    zero = form.contains(Fraction(0))
    assert language.matches("-0") == (zero and (negative_zero or form.contains(Fraction(-1))))
