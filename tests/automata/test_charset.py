"""Sets of code points against Python's own sets, and the properties of the Unicode tables."""

from __future__ import annotations

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.automata import charset as charsets
from structgen.automata.charset import ANY, NONE, CharSet, overlay, partition, single, split_ascii
from structgen.automata.unicode import case_closure, property_set

_RANGES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=6)
_SURROGATES = range(0xD800, 0xE000)


def _points(ranges: list[tuple[int, int]]) -> set[int]:
    return {point for low, high in ranges for point in range(low, high + 1)}


@given(_RANGES, _RANGES)
def test_operations_are_those_of_sets(left: list[tuple[int, int]], right: list[tuple[int, int]]) -> None:
    a, b = CharSet(left), CharSet(right)
    assert set(a) == _points(left) and len(a) == a.size == len(_points(left))
    assert set(a.union(b)) == set(a) | set(b)
    assert set(a.intersect(b)) == set(a) & set(b)
    assert set(a.minus(b)) == set(a) - set(b)
    assert a.issubset(b) == (set(a) <= set(b))
    assert a.complement().complement() is a
    assert a.union(a.complement()) is ANY and not a.intersect(a.complement())
    assert all((point in a) == (point in set(a)) for point in range(45))
    assert (a is b) == (set(a) == set(b)), "equal sets are one object"


@given(st.lists(_RANGES, min_size=1, max_size=5))
def test_overlay_is_the_coarsest_partition(lists: list[list[tuple[int, int]]]) -> None:
    sets = tuple(CharSet(ranges) for ranges in lists)
    cells = overlay(sets)
    signatures = [found for _, found in cells]
    assert len(set(signatures)) == len(signatures), "no two cells are in the same sets"
    seen: set[int] = set()
    for cell, found in cells:
        assert cell and not seen & set(cell)
        seen |= set(cell)
        for index, charset in enumerate(sets):
            assert (index in found) == cell.issubset(charset) == bool(cell.intersect(charset))
    assert seen == set().union(*map(set, sets))
    assert set(partition(sets)) == {cell for cell, _ in cells}


_AROUND_ASCII = st.lists(
    st.tuples(st.integers(0x6E, 0x92), st.integers(0, 5)).map(lambda pair: (pair[0], sum(pair))), max_size=6
)


@given(st.lists(_AROUND_ASCII, min_size=2, max_size=5))
def test_sets_of_many_ranges_are_laid_over_each_other_alike(lists: list[list[tuple[int, int]]]) -> None:
    sets = tuple(CharSet(ranges) for ranges in lists)
    expected = overlay.__wrapped__(sets)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charsets, "_MANY_RANGES", 0)
        assert overlay.__wrapped__(sets) == expected
    for one in sets:
        bits, above = split_ascii(one)
        assert {code for code in range(0x80) if bits >> code & 1} | set(above) == set(one)
        assert not above or above.ranges[0][0] >= 0x80


def test_surrogates_are_never_members() -> None:
    assert not CharSet([(0xD800, 0xDFFF)])
    assert CharSet([(0xD000, 0xE000)]).ranges == ((0xD000, 0xD7FF), (0xE000, 0xE000))
    assert ANY.size == 0x110000 - len(_SURROGATES)
    assert NONE.complement() is ANY


def test_a_range_outside_unicode_is_an_error() -> None:
    with pytest.raises(ValueError, match="0x110000"):
        CharSet([(0, 0x110000)])


def test_pickled_sets_are_the_same_object() -> None:
    assert pickle.loads(pickle.dumps(single(65))) is single(65)


@pytest.mark.parametrize("name", ["L", "Lu", "LC", "Letter", "Nd", "Zs", "Cn", "Co", "C", "P", "gc=Sm"])
def test_general_categories_are_those_of_every_code_point(name: str) -> None:
    found = property_set(*(["gc", "Sm"] if "=" in name else [name]))
    assert found is not None
    short = {"LC": ("Lu", "Ll", "Lt"), "Letter": ("L",), "gc=Sm": ("Sm",)}.get(name, (name,))
    expected = [
        point
        for point in range(0x110000)
        if point not in _SURROGATES and unicodedata.category(chr(point)).startswith(short)
    ]
    assert list(found) == expected


@pytest.mark.parametrize(
    ("name", "value", "inside", "outside"),
    [
        ("Script", "Greek", "αΩ", "aя"),
        ("sc", "Cyrl", "я", "α"),
        ("Script_Extensions", "Deva", "अ।", "a"),
        ("Alphabetic", None, "aé中", "1 -"),
        ("White_Space", None, " \u00a0\n", "a"),
        ("ID_Start", None, "aλ", "1_"),
        ("ID_Continue", None, "a1_", "-"),
        ("Emoji", None, "😀1", "a"),
        ("ASCII", None, "a\x00", "é"),
        ("Any", None, "a中😀", ""),
        ("Assigned", None, "a", "\u0378"),
    ],
)
def test_properties(name: str, value: str | None, inside: str, outside: str) -> None:
    found = property_set(name, value)
    assert found is not None
    assert all(ord(char) in found for char in inside)
    assert not any(ord(char) in found for char in outside)


@pytest.mark.parametrize("query", [("Nonsense",), ("Script", "Nonsense"), ("greek",), ("lu",), ("Lu", "Lu"), ("",)])
def test_unknown_properties(query: tuple[str, ...]) -> None:
    assert property_set(*query) is None


@pytest.mark.parametrize(
    ("chars", "closed"),
    [("a", "aA"), ("k", "kK\u212a"), ("ß", "ßẞ"), ("σ", "σςΣ"), ("1", "1"), ("i", "iI"), ("İ", "İ")],
)
def test_case_closure(chars: str, closed: str) -> None:
    assert case_closure(CharSet.of(chars)) is CharSet.of(closed)
