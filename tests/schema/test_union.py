"""The union of many shapes at once."""

from __future__ import annotations

from fractions import Fraction
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from structgen.schema.algebra import unite, unite_all
from structgen.schema.forms import NOTHING, NUMBER, OBJECT, ArrayForm, NumberForm, ObjectForm, Shape, StringForm

AT_LEAST, EVEN = NumberForm(low=Fraction(1)), NumberForm(multiple=Fraction(2))
TEXTS = [StringForm(values=("a",)), StringForm(values=("b",))]
OBJECTS = [
    OBJECT,
    ObjectForm({"a": (2,), "b": (4,)}),
    ObjectForm({"b": (4,), "a": (2,)}),
    ObjectForm({"a": (2,)}, required=frozenset(["a"])),
]
SHAPES = st.builds(
    Shape,
    null=st.booleans(),
    booleans=st.sampled_from([(), (False,), (True,), (False, True)]),
    numbers=st.sampled_from([(), (NUMBER,), (AT_LEAST,), (EVEN, AT_LEAST)]),
    strings=st.lists(st.sampled_from(TEXTS), max_size=2, unique=True).map(tuple),
    arrays=st.sampled_from([(), (ArrayForm(min=1),), (ArrayForm(unique=True), ArrayForm(min=1))]),
    objects=st.lists(st.sampled_from(OBJECTS), max_size=1).map(tuple),
    through_ref=st.booleans(),
)


@given(st.lists(SHAPES, max_size=6))
def test_it_is_the_union_in_turn(shapes: list[Shape]) -> None:
    assert unite_all(shapes) == reduce(unite, shapes, NOTHING)
