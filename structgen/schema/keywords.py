"""What each keyword says about values of its own type: one function per keyword, named as in the specification.

A function takes the schema that contains the keyword (a `Place`) and returns the form of what the keyword allows; the
forms of one schema are then intersected. Keywords that cannot be told apart (`properties`, `patternProperties` and
`additionalProperties`; `prefixItems`, `items` and `additionalItems`) are one function. In-place applicators (`allOf`,
`$ref`, …) are in `expand.py`, and malformed values were reported by `survey.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

from structgen.automata.charset import ANY as ANY_CHARACTER
from structgen.automata.regular import ANY_STRING, Language, difference, intersect, repeat
from structgen.automata.regular import chars as one_of
from structgen.grammar.regex import search_regex
from structgen.schema.drafts import at_least
from structgen.schema.formats import format_language, known_format
from structgen.schema.forms import (
    ANY,
    NEVER,
    STRING,
    ArrayForm,
    Contains,
    Demand,
    KeyClass,
    NumberForm,
    ObjectForm,
    StringForm,
    Term,
    both,
)
from structgen.schema.schemas import Atom, Schemas

_CLASS_COST = 4  # A class of keys, as overlapping patterns make them, counts as so many alternatives.


@dataclass(frozen=True, slots=True)
class Place:
    """A schema, where it is, and how to name its sub-schemas."""

    schema: dict[str, Any]
    atom: Atom
    schemas: Schemas

    def term(self, *tokens: str | int) -> Term:
        """The term of the sub-schema under these tokens."""
        here: Any = self.schema
        path = self.atom.path
        for token in tokens:
            here = here[token]
            path = (path, token)
        return self.schemas.term(here, self.atom.resource, path)

    def term_of_reference(self, keyword: str) -> Term:
        """The term a reference leads to."""
        atom, schemas, value = self.atom, self.schemas, self.schema[keyword]
        if keyword == "$ref":
            target, resource, path = schemas.resolve(value, atom.resource, atom.path)
        else:
            target, resource, path = schemas.resolve_dynamic(keyword, value, atom.resource, atom.path)
        return self.schemas.term(target, resource, path)

    def knows(self, keyword: str) -> bool:
        """Whether the keyword is here and the draft gives it a meaning."""
        return keyword in self.schema and self.atom.resource.knows(keyword)


def exact(number: Any) -> Fraction:
    """A number of a schema, exactly as it was written: a float stands for its shortest decimal spelling."""
    return Fraction(Decimal(repr(number))) if isinstance(number, float) else Fraction(number)


# --- numbers ---


def minimum(place: Place) -> NumberForm:
    """At least this; above it where `exclusiveMinimum` is the boolean of draft 4."""
    return NumberForm(low=exact(place.schema["minimum"]), low_open=place.schema.get("exclusiveMinimum") is True)


def maximum(place: Place) -> NumberForm:
    """At most this; below it where `exclusiveMaximum` is the boolean of draft 4."""
    return NumberForm(high=exact(place.schema["maximum"]), high_open=place.schema.get("exclusiveMaximum") is True)


def exclusive_minimum(place: Place) -> NumberForm:
    """Above this."""
    value = place.schema["exclusiveMinimum"]
    return NumberForm() if isinstance(value, bool) else NumberForm(low=exact(value), low_open=True)


def exclusive_maximum(place: Place) -> NumberForm:
    """Below this."""
    value = place.schema["exclusiveMaximum"]
    return NumberForm() if isinstance(value, bool) else NumberForm(high=exact(value), high_open=True)


def multiple_of(place: Place) -> NumberForm:
    """An integer multiple of this, decimally exact."""
    return NumberForm(multiple=exact(place.schema["multipleOf"]))


# --- strings ---


@lru_cache(maxsize=4096)
def of_length(low: int, high: int | None) -> Language:
    """All strings of `low` to `high` code points."""
    return repeat(one_of(ANY_CHARACTER), low, high)


def min_length(place: Place) -> StringForm:
    """At least so many code points."""
    return StringForm(of_length(int(place.schema["minLength"]), None))


def max_length(place: Place) -> StringForm:
    """At most so many code points."""
    return StringForm(of_length(0, int(place.schema["maxLength"])))


def pattern(place: Place) -> StringForm:
    """A match of this ECMA-262 regular expression somewhere in the decoded text."""
    return StringForm(search_regex(place.schema["pattern"]))


def format_(place: Place) -> StringForm:
    """A string of this format, where formats are asserted and this one is known."""
    name = place.schema["format"]
    asserted = place.schemas.asserts_format(place.atom.resource)
    return StringForm(format_language(name)) if asserted and known_format(name) else STRING


# --- arrays ---


def items(place: Place) -> ArrayForm:
    """`prefixItems` by position and `items` for the rest; the array form of `items` goes with `additionalItems`."""
    schema = place.schema
    name, rest = ("prefixItems", "items") if place.knows("prefixItems") else ("", "items")
    if isinstance(schema.get("items"), list):
        name, rest = "items", "additionalItems"
    prefix = tuple(place.term(name, index) for index in range(len(schema[name]))) if name else ()
    return ArrayForm(prefix, place.term(rest) if rest in schema else ANY)


def min_items(place: Place) -> ArrayForm:
    """At least so many items."""
    return ArrayForm(min=int(place.schema["minItems"]))


def max_items(place: Place) -> ArrayForm:
    """At most so many items."""
    return ArrayForm(max=int(place.schema["maxItems"]))


def contains(place: Place) -> ArrayForm:
    """Between `minContains` (1) and `maxContains` items are of this kind."""
    counted = at_least(place.atom.resource.draft, "2019-09")
    low = int(place.schema.get("minContains", 1)) if counted else 1
    high = place.schema.get("maxContains") if counted else None
    if low == 0 and high is None:
        return ArrayForm()
    return ArrayForm(contains=(Contains(place.term("contains"), low, None if high is None else int(high)),))


def unique_items(place: Place) -> ArrayForm:
    """No two items are equal."""
    return ArrayForm(unique=place.schema["uniqueItems"] is True)


# --- objects ---


def properties(place: Place) -> ObjectForm:
    """Values by key: `properties`, `patternProperties` (all that match count), else `additionalProperties`."""
    schema = place.schema
    named = {name: place.term("properties", name) for name in schema.get("properties", ()) if is_text(name)}
    uncovered = ANY_STRING
    covered: list[KeyClass] = []
    for expression in schema.get("patternProperties", ()):
        language = search_regex(expression)
        term = place.term("patternProperties", expression)
        for name, value in named.items():
            if language.matches(name):
                named[name] = both(value, term)
        covered = _refine(covered, uncovered, KeyClass(language, term))
        place.schemas.check_size(_CLASS_COST * len(covered), place.atom)
        uncovered = difference(uncovered, language)
    rest = place.term("additionalProperties") if "additionalProperties" in schema else ANY
    classes = [*covered, KeyClass(uncovered, rest)]
    return ObjectForm(named, tuple(part for part in classes if part.term != NEVER and not part.language.is_empty()))


def _refine(covered: list[KeyClass], uncovered: Language, new: KeyClass) -> list[KeyClass]:
    """Split disjoint key classes by one more pattern."""
    split = [KeyClass(intersect(uncovered, new.language), new.term)]
    for old in covered:
        split.append(KeyClass(intersect(old.language, new.language), both(old.term, new.term)))
        split.append(KeyClass(difference(old.language, new.language), old.term))
    return [part for part in split if not part.language.is_empty()]


def required(place: Place) -> ObjectForm:
    """These keys are there. (Draft 3's boolean says nothing here.)"""
    names = place.schema["required"]
    return present(*names) if isinstance(names, list) else ObjectForm()


def min_properties(place: Place) -> ObjectForm:
    """At least so many keys."""
    return ObjectForm(min=int(place.schema["minProperties"]))


def max_properties(place: Place) -> ObjectForm:
    """At most so many keys."""
    return ObjectForm(max=int(place.schema["maxProperties"]))


def absent(name: str) -> ObjectForm:
    """Objects without this key."""
    return ObjectForm({name: NEVER})


def present(*names: str) -> ObjectForm:
    """Objects with these keys; none, where one of them cannot be written."""
    if not all(map(is_text, names)):
        return ObjectForm(demands=(Demand(),))
    return ObjectForm(dict.fromkeys(names, ANY), required=frozenset(names))


def is_text(string: str) -> bool:
    """Whether a Python string is Unicode text. One with a lone surrogate is not, and cannot be written in UTF-8."""
    return string.isascii() or not any("\ud800" <= char <= "\udfff" for char in string)


NUMBER_KEYWORDS: dict[str, Callable[[Place], NumberForm]] = {
    "minimum": minimum,
    "maximum": maximum,
    "exclusiveMinimum": exclusive_minimum,
    "exclusiveMaximum": exclusive_maximum,
    "multipleOf": multiple_of,
}
STRING_KEYWORDS: dict[str, Callable[[Place], StringForm]] = {
    "minLength": min_length,
    "maxLength": max_length,
    "pattern": pattern,
    "format": format_,
}
ARRAY_KEYWORDS: dict[str, Callable[[Place], ArrayForm]] = {
    "prefixItems": items,
    "items": items,
    "minItems": min_items,
    "maxItems": max_items,
    "contains": contains,
    "uniqueItems": unique_items,
}
OBJECT_KEYWORDS: dict[str, Callable[[Place], ObjectForm]] = {
    "properties": properties,
    "patternProperties": properties,
    "additionalProperties": properties,
    "required": required,
    "minProperties": min_properties,
    "maxProperties": max_properties,
}
