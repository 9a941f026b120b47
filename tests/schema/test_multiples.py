"""Multiples against arithmetic: which spellings are allowed, and that every digit that is offered leads somewhere."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from structgen.automata.regular import Language
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.schema.forms import NumberForm
from structgen.schema.multiples import odd_part, places_of
from structgen.schema.numbers import MAX_BOUNDED, number_language

STEPS = ("3", "7", "12", "30", "1.5", "0.75", "0.01", "1e-8", "123456789", "0.7", "100", "1e30", "99999999999999999999")
steps = st.sampled_from([Fraction(text) for text in STEPS])
bounds = st.one_of(
    st.none(),
    st.integers(-2000, 2000).map(Fraction),
    st.builds(lambda digits, places: Fraction(digits, 10**places), st.integers(-9999, 9999), st.integers(0, 3)),
    st.integers(-(10**12), 10**12).map(Fraction),
)
forms = st.builds(
    NumberForm,
    low=bounds,
    low_open=st.booleans(),
    high=bounds,
    high_open=st.booleans(),
    multiple=st.one_of(steps, st.just(Fraction(1))),
    not_multiples=st.frozensets(st.sampled_from([Fraction(2), Fraction(5), Fraction(3, 10)]), max_size=2),
)
values = st.one_of(
    st.integers(-3000, 3000).map(Fraction),
    st.builds(lambda digits, places: Fraction(digits, 10**places), st.integers(-99999, 99999), st.integers(0, 4)),
)
OFFSETS = [Fraction(text) for text in ("0", "1", "-1", "0.01", "1e-8")]


def excludes_all(form: NumberForm) -> bool:
    """Whether every multiple is an excluded one: such forms are dropped before they are spelled."""
    return form.multiple is not None and any((form.multiple / step).denominator == 1 for step in form.not_multiples)


def near(form: NumberForm, values: list[Fraction], factors: list[int]) -> list[Fraction]:
    """The values, some multiples, and what is close to these and to the bounds."""
    assert form.multiple is not None
    middle = form.low if form.low is not None else form.high or Fraction(0)
    found = values + [form.multiple * factor for factor in factors]
    found += [form.multiple * (middle // form.multiple + factor) for factor in (-1, 0, 1, 2)]
    found += [bound for bound in (form.low, form.high) if bound is not None]
    return [value + offset for value in found for offset in OFFSETS]


def plain(value: Fraction) -> str:
    """A decimal spelling without exponent."""
    scale = 0
    while (value * 10**scale).denominator != 1:
        scale += 1
    digits = str(abs(int(value * 10**scale))).rjust(scale + 1, "0")
    whole, fraction = digits[: len(digits) - scale], digits[len(digits) - scale :]
    return ("-" if value < 0 else "") + whole + ("." + fraction if fraction else "")


@settings(max_examples=120, deadline=None)
@given(forms, st.lists(values, max_size=6), st.lists(st.integers(-100, 100), max_size=6))
def test_plain_spellings(form: NumberForm, values: list[Fraction], factors: list[int]) -> None:
    if excludes_all(form):
        return
    language = number_language(form, integer_fractions=True, negative_zero=True)
    for value in near(form, values, factors):
        spelled = plain(value)
        for text in (spelled, spelled + ("00" if "." in spelled else ".0")):
            assert language.matches(text) == form.contains(value), (form, text)


@settings(max_examples=120, deadline=None)
@given(forms, st.lists(values, max_size=6), st.lists(st.integers(-100, 100), max_size=6))
def test_default_spellings_accept_nothing_else(form: NumberForm, values: list[Fraction], factors: list[int]) -> None:
    if excludes_all(form):
        return
    language = number_language(form, integer_fractions=False, negative_zero=False)
    for value in near(form, values, factors):
        assert language.matches(plain(value)) == form.contains(value), (form, value)


@settings(max_examples=120, deadline=None)
@given(
    st.builds(NumberForm, multiple=steps, not_multiples=st.frozensets(st.just(Fraction(2)), max_size=1)),
    st.integers(1, 99999),
    st.integers(-12, 12),
    st.booleans(),
)
def test_scientific_spellings(form: NumberForm, digits: int, exponent: int, times: bool) -> None:
    if excludes_all(form):
        return
    assert form.multiple is not None
    if times:
        digits = int(digits * form.multiple.numerator)
    text = str(digits)[:15]
    mantissa = text[0] + ("." + text[1:] if len(text) > 1 else "")
    value = Fraction(mantissa) * Fraction(10) ** exponent
    language = number_language(form, integer_fractions=True, negative_zero=True)
    for spelled in (f"{mantissa}e{exponent}", f"{mantissa}E{exponent:+03}"):
        if form.not_multiples and odd_part(int(form.multiple * 10 ** places_of(form.multiple))) > MAX_BOUNDED:
            assert not language.matches(spelled), (form, spelled)  # plain spellings only: see docs/json-schema.md
        else:
            assert language.matches(spelled) == form.contains(value), (form, spelled)


@settings(max_examples=80, deadline=None)
@given(
    st.builds(
        NumberForm,
        low=bounds,
        high=bounds,
        multiple=st.sampled_from([Fraction(3), Fraction(7, 2), Fraction(13)]),
        not_multiples=st.frozensets(st.sampled_from([Fraction(2), Fraction(5)]), max_size=2),
    ),
    st.lists(st.integers(0, 20), max_size=14),
)
@example(
    form=NumberForm(
        high=Fraction(-92735490),
        multiple=Fraction(7, 2),
        not_multiples=frozenset([Fraction(2), Fraction(5)]),
    ),
    choices=[],
)
def test_no_dead_ends(form: NumberForm, choices: list[int]) -> None:
    """Wherever the edges lead, some number can be completed: found by a search that trusts nothing."""
    state: Language = number_language(form, integer_fractions=False, negative_zero=False)
    for choice in choices:
        assert _completes(state) or state is number_language(form, False, False), (form, state)
        edges = state.edges()
        if not edges:
            return
        state = edges[choice % len(edges)][1]
    assert _completes(state) or not choices


def _completes(start: Language) -> bool:
    seen = {start}
    pending = [start]
    while pending:  # the last first: breadth first, a bound of nine digits is thousands of states away
        state = pending.pop()
        if state.nullable:
            return True
        for _, target in state.edges():
            if target not in seen:
                seen.add(target)
                pending.append(target)
        assert len(seen) < 5000
    return False


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer", "multipleOf": 3}, ["0", "-3", "123456789012"], ["1", "3.0", "-4", "03"]),
        ({"multipleOf": 0.01}, ["0.07", "19.99", "1", "1.50", "-0.10"], ["0.005", "0.071"]),
        ({"multipleOf": 1e-8}, ["12391239123", "0.00000001", "0.0075"], ["0.000000001"]),
        ({"multipleOf": 123456789, "type": "integer"}, ["123456789", "12345678900"], ["123456788", "12345678901"]),
        ({"multipleOf": 7, "minimum": 10, "maximum": 10**9, "type": "integer"}, ["14", "700000000"], ["7", "10"]),
        ({"type": "integer", "not": {"multipleOf": 3}}, ["1", "2", "-4", "100"], ["3", "0", "-6", "99"]),
        ({"oneOf": [{"multipleOf": 3}, {"multipleOf": 5}], "type": "integer"}, ["3", "5", "-9"], ["15", "0", "7"]),
    ],
    ids=str,
)
def test_table(schema: object, good: list[str], bad: list[str]) -> None:
    recognizer = Recognizer(compile_to_ir(schema).root)
    for text in good:
        assert recognizer.accepts(text.encode()), text
    for text in bad:
        assert not recognizer.accepts(text.encode()), text


def test_exact_profile_spells_multiples_with_exponents() -> None:
    recognizer = Recognizer(compile_to_ir({"multipleOf": 1.5}, SchemaOptions.exact()).root)
    for text in ("1.5e0", "1.5E+03", "3e10", "1.5e-0", "4.50", "3.0", "0e7"):
        assert recognizer.accepts(text.encode()), text
    for text in ("1e1", "1.6e1", "1.5e-1", "2.0"):
        assert not recognizer.accepts(text.encode()), text
