"""The normal form of a schema: what JSON values of each type it allows. Values, compared by value, never changed.

A `Shape` is a union over the JSON types; for numbers, strings, arrays and objects it holds a tuple of *forms*, each a
conjunction of constraints, and allows what any of them allows. What a form says about the values inside (items,
properties) it says by a `Term`, which names schemas without looking into them: that is what keeps expansion lazy.

A term is a conjunction of literals, a sorted tuple of ints: literal `2 * a` is atom `a` (a schema, see `schemas.py`),
`2 * a + 1` its negation. Atom 0 is the schema `true`, so `ANY = ()` and `NEVER = (1,)`.

This module knows neither schemas nor IR.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from structgen.automata.regular import ANY_STRING, Language

Term: TypeAlias = tuple[int, ...]

ANY: Term = ()
NEVER: Term = (1,)


def both(left: Term, right: Term) -> Term:
    """The conjunction of two terms; `NEVER` where it contains a literal and its negation."""
    if not left or left == right:
        return right
    if not right:
        return left
    merged = set(left) | set(right)
    if 1 in merged or any(literal ^ 1 in merged for literal in merged):
        return NEVER
    return tuple(sorted(merged))


@dataclass(frozen=True, slots=True)
class NumberForm:
    """Numbers in an interval (None: unbounded) that are multiples of `multiple`, and not of any in `not_multiples`.

    "integer" is `multiple` 1. If `values` is not None, the form is just these numbers (and the rest is unused).
    """

    low: Fraction | None = None
    low_open: bool = False
    high: Fraction | None = None
    high_open: bool = False
    multiple: Fraction | None = None
    not_multiples: frozenset[Fraction] = frozenset()
    values: tuple[Fraction, ...] | None = None

    def contains(self, value: Fraction) -> bool:
        """Whether this number is in the form."""
        if self.values is not None:
            return value in self.values
        if self.low is not None and (value < self.low or (self.low_open and value == self.low)):
            return False
        if self.high is not None and (value > self.high or (self.high_open and value == self.high)):
            return False
        if self.multiple is not None and (value / self.multiple).denominator != 1:
            return False
        return all((value / step).denominator != 1 for step in self.not_multiples)


@dataclass(frozen=True, slots=True)
class StringForm:
    """Strings in `language` (decoded text); if `values` is not None, just these strings."""

    language: Language = ANY_STRING
    values: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Contains:
    """Between `min` and `max` of an array's items from index `start` on are in `term`."""

    term: Term
    min: int
    max: int | None
    start: int = 0


@dataclass(frozen=True, slots=True)
class ArrayForm:
    """Arrays of `min` to `max` items: item i is in `prefix[i]`, later ones in `rest`."""

    prefix: tuple[Term, ...] = ()
    rest: Term = ANY
    min: int = 0
    max: int | None = None
    contains: tuple[Contains, ...] = ()
    unique: bool = False

    def item(self, index: int) -> Term:
        """The term of the item at this index."""
        return self.prefix[index] if index < len(self.prefix) else self.rest


@dataclass(frozen=True, slots=True)
class KeyClass:
    """Keys in `language` have values in `term`."""

    language: Language
    term: Term


@dataclass(frozen=True, slots=True)
class Demand:
    """At least one of these is true of an object.

    It has a member of `named` (key and value), or one whose key is in the language and whose value is in the term of
    one of `classes`; or it lacks one of the keys `absent`; or it has less than `below` members, or more than `above`.
    """

    named: tuple[tuple[str, Term], ...] = ()
    classes: tuple[KeyClass, ...] = ()
    absent: tuple[str, ...] = ()
    below: int | None = None
    above: int | None = None


@dataclass(frozen=True, slots=True)
class ObjectForm:
    """Objects whose keys are in `named`, or else in one of the `classes` (disjoint languages), `min` to `max` of them.

    Keys that are neither are forbidden. A named key always wins over the classes. Each of the `demands` is met. Names
    that are required or `absent` in a demand are in `named`.
    """

    named: dict[str, Term] = field(default_factory=dict)
    classes: tuple[KeyClass, ...] = (KeyClass(ANY_STRING, ANY),)
    required: frozenset[str] = frozenset()
    min: int = 0
    max: int | None = None
    demands: tuple[Demand, ...] = ()

    def value(self, name: str) -> Term:
        """The term of the value under this key."""
        term = self.named.get(name)
        if term is not None:
            return term
        for key_class in self.classes:
            if key_class.language is ANY_STRING or key_class.language.matches(name):
                return key_class.term
        return NEVER


@dataclass(frozen=True, slots=True)
class Shape:
    """A union over the JSON types. `through_ref`: a reference was followed to get here (recursion may pass through)."""

    null: bool = False
    booleans: tuple[bool, ...] = ()
    numbers: tuple[NumberForm, ...] = ()
    strings: tuple[StringForm, ...] = ()
    arrays: tuple[ArrayForm, ...] = ()
    objects: tuple[ObjectForm, ...] = ()
    through_ref: bool = False

    def referred(self) -> Shape:
        """The same, reached through a reference."""
        if self.through_ref:
            return self
        return Shape(self.null, self.booleans, self.numbers, self.strings, self.arrays, self.objects, True)

    @property
    def num_forms(self) -> int:
        """How many alternatives there are, the measure of growth."""
        return len(self.numbers) + len(self.strings) + len(self.arrays) + len(self.objects)

    @property
    def is_nothing(self) -> bool:
        """Whether no type is left. (A shape with forms may still turn out to be unsatisfiable.)"""
        return not (self.null or self.booleans or self.num_forms)


NUMBER = NumberForm()
INTEGER = NumberForm(multiple=Fraction(1))
STRING = StringForm()
ARRAY = ArrayForm()
OBJECT = ObjectForm()
NOTHING = Shape()
EVERYTHING = Shape(True, (False, True), (NUMBER,), (STRING,), (ARRAY,), (OBJECT,))
