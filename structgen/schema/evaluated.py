"""`unevaluatedProperties` and `unevaluatedItems`: what the other keywords of a schema have looked at, case by case.

Which properties and items are *evaluated* depends on which sub-schemas of `anyOf`, `oneOf`, `if` and the like a value
passes. So a schema is split into cases: a shape, and what is surely evaluated of every value in it. Within a case the
two keywords are an ordinary constraint on all other keys and items.

Two facts keep the cases few. A branch that also passes only ever evaluates more, which only ever forbids less; so a
case need not say that the other branches of an `anyOf` fail, and a set of branches that evaluates no more than a
smaller one is left out. And cases that evaluate the same are one. (JSON Schema 2020-12, Core, section 11.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from structgen.automata.regular import ANY_STRING, Language, difference, finite, union
from structgen.automata.regular import NOTHING as NO_STRING
from structgen.grammar.regex import search_regex
from structgen.schema.drafts import at_least
from structgen.schema.forms import (
    ANY,
    EVERYTHING,
    NEVER,
    ArrayForm,
    KeyClass,
    ObjectForm,
    Shape,
    Term,
    both,
)
from structgen.schema.keywords import Place, absent, is_text, present

if TYPE_CHECKING:
    from structgen.schema.expand import Expander


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Keys in `keys`, the first `num_items` items (None: all) and the items in any of `terms` are evaluated."""

    keys: Language = NO_STRING
    num_items: int | None = 0
    terms: frozenset[Term] = frozenset()

    def __or__(self, other: Evaluated) -> Evaluated:
        unlimited = self.num_items is None or other.num_items is None
        return Evaluated(
            union(self.keys, other.keys),
            None if unlimited else max(self.num_items or 0, other.num_items or 0),
            frozenset() if unlimited else self.terms | other.terms,
        )

    def covers(self, other: Evaluated) -> bool:
        """Whether all that `other` evaluates is evaluated."""
        joined = self | other
        same_items = (joined.num_items, joined.terms) == (self.num_items, self.terms)
        return same_items and (joined.keys is self.keys or difference(other.keys, self.keys).is_empty())


Case: TypeAlias = tuple[Shape, Evaluated]

_NOTHING = Evaluated()
_ALWAYS: tuple[Case, ...] = ((EVERYTHING, _NOTHING),)


class Cases:
    """The cases of the terms of one compilation, computed when asked for and kept."""

    def __init__(self, expander: Expander) -> None:
        self.expander = expander
        self._known: dict[Term, tuple[Case, ...]] = {ANY: _ALWAYS, NEVER: ()}

    def of_term(self, term: Term) -> tuple[Case, ...]:
        """The cases of a term; their shapes together are its shape."""
        known = self._known.get(term)
        if known is None:
            shape = self.expander.shape(term)  # Also finds out whether it applies itself.
            place = self.expander.place(term)
            if len(term) > 1 or place is None:
                parts = [self.of_term((literal,)) for literal in term] if len(term) > 1 else [((shape, _NOTHING),)]
                known = self._product(parts, self.expander.place_of(term))
            else:
                known = self.of_place(place)
            self._known[term] = known
        return known

    def of_place(self, place: Place) -> tuple[Case, ...]:
        """The cases of a schema, with its own `unevaluatedProperties` and `unevaluatedItems` applied."""
        parts = self.expander.parts(place)
        contributions: list[Iterable[Case]] = []
        for keyword in parts:
            if keyword is None:
                contributions.append([(self.expander.local(place), _own(place))])
            elif keyword in _CASES:
                contributions.append(_CASES[keyword](self, place))
            else:
                contributions.append([(self.expander.applied(keyword, place), _NOTHING)])
        cases = self._product(contributions, place)
        for keyword, constrain in _CONSTRAINTS.items():
            if place.knows(keyword):
                cases = constrain(self, cases, place)
        return cases

    def shape(self, place: Place) -> Shape:
        """What a schema with one of the two keywords allows."""
        return self.expander.united((shape for shape, _ in self.of_place(place)), place.atom)

    def _product(self, parts: Iterable[Iterable[Case]], place: Place) -> tuple[Case, ...]:
        """One case out of each part, all at once."""
        met: tuple[Case, ...] = _ALWAYS
        for part in parts:
            met = self.distinct((self.both(left, right, place) for right in part for left in met), place)
        return met

    def both(self, left: Case, right: Case, place: Place) -> Case:
        """What is in both cases."""
        return self.expander.met((left[0], right[0]), place.atom), left[1] | right[1]

    def distinct(self, cases: Iterable[Case], place: Place) -> tuple[Case, ...]:
        """The cases that are not plainly empty, those that evaluate the same as one."""
        by_evaluated: dict[Evaluated, list[Shape]] = {}
        num_forms = 0
        for shape, evaluated in cases:
            if self.expander.possible(shape):
                by_evaluated.setdefault(evaluated, []).append(shape)
                num_forms += shape.num_forms
                self.expander.schemas.check_size(num_forms, place.atom)
        return tuple((self.expander.united(shapes, place.atom), found) for found, shapes in by_evaluated.items())


# --- what a schema's own keywords evaluate ---


def _own(place: Place) -> Evaluated:
    schema = place.schema
    if "additionalProperties" in schema:
        keys = ANY_STRING
    else:
        patterns = (search_regex(expression) for expression in schema.get("patternProperties", ()))
        keys = union(finite(name for name in schema.get("properties", ()) if is_text(name)), *patterns)
    num_items, terms = _own_items(place)
    return Evaluated(keys, num_items, frozenset() if num_items is None else terms)


def _own_items(place: Place) -> tuple[int | None, frozenset[Term]]:
    schema, items = place.schema, place.schema.get("items")
    listed = isinstance(items, list)
    rest = "additionalItems" in schema if listed else "items" in schema
    if rest:
        return None, frozenset()
    counted = at_least(place.atom.resource.draft, "2020-12")  # Before, `contains` evaluated nothing.
    terms = frozenset((place.term("contains"),)) if counted and place.knows("contains") else frozenset[Term]()
    prefix: Any = items if listed else schema.get("prefixItems", ()) if place.knows("prefixItems") else ()
    return (None, frozenset()) if ANY in terms else (len(prefix), terms)


# --- the constraints ---


def _unevaluated_properties(cases: Cases, found: tuple[Case, ...], place: Place) -> tuple[Case, ...]:
    """All keys that are not evaluated have values in this schema."""
    term = place.term("unevaluatedProperties")
    out = []
    for shape, evaluated in found:
        if term != ANY and shape.objects and evaluated.keys is not ANY_STRING:
            rest = difference(ANY_STRING, evaluated.keys)
            classes = tuple(
                part for part in (KeyClass(evaluated.keys, ANY), KeyClass(rest, term))
                if part.term != NEVER and not part.language.is_empty()
            )  # fmt: skip
            allowed = replace(EVERYTHING, objects=(ObjectForm(classes=classes),))
            shape = cases.expander.met((shape, allowed), place.atom)
        out.append((shape, replace(evaluated, keys=ANY_STRING)))
    return cases.distinct(out, place)


def _unevaluated_items(cases: Cases, found: tuple[Case, ...], place: Place) -> tuple[Case, ...]:
    """All items that are not evaluated are in this schema."""
    term = place.term("unevaluatedItems")
    negate = cases.expander.schemas.negate
    out = []
    for shape, evaluated in found:
        if term != ANY and shape.arrays and evaluated.num_items is not None:
            neither = negate(term)
            for other in sorted(evaluated.terms):
                neither = both(neither, negate(other))
            form = ArrayForm((ANY,) * evaluated.num_items, negate(neither))
            shape = cases.expander.met((shape, replace(EVERYTHING, arrays=(form,))), place.atom)
        out.append((shape, replace(evaluated, num_items=None, terms=frozenset())))
    return cases.distinct(out, place)


_CONSTRAINTS: dict[str, Callable[[Cases, tuple[Case, ...], Place], tuple[Case, ...]]] = {
    "unevaluatedProperties": _unevaluated_properties,
    "unevaluatedItems": _unevaluated_items,
}


# --- in-place applicators; those that are not here evaluate nothing ---


def _reference(keyword: str) -> Callable[[Cases, Place], Iterable[Case]]:
    def cases_of(cases: Cases, place: Place) -> Iterable[Case]:
        found = cases.of_term(place.term_of_reference(keyword))
        return ((shape.referred(), evaluated) for shape, evaluated in found)

    return cases_of


def _all_of(cases: Cases, place: Place) -> Iterable[Case]:
    branches = range(len(place.schema["allOf"]))
    return cases._product((cases.of_term(place.term("allOf", index)) for index in branches), place)


def _any_of(cases: Cases, place: Place) -> Iterable[Case]:
    found: tuple[Case, ...] = ()
    for index in range(len(place.schema["anyOf"])):
        branch = cases.of_term(place.term("anyOf", index))
        more = [cases.both(old, new, place) for new in branch for old in found if not old[1].covers(new[1])]
        found = cases.distinct((*found, *branch, *more), place)
    return found


def _one_of(cases: Cases, place: Place) -> Iterable[Case]:
    found: list[Case] = []
    for index, alone in enumerate(cases.expander.exclusive(place)):
        branch = cases.of_term(place.term("oneOf", index))
        if len(branch) == 1:
            found.append((alone, branch[0][1]))
        else:
            found.extend(cases.both((alone, _NOTHING), case, place) for case in branch)
    return found


def _if(cases: Cases, place: Place) -> Iterable[Case]:
    condition = place.term("if")
    then, otherwise = (
        cases.of_term(place.term(keyword)) if keyword in place.schema else _ALWAYS for keyword in ("then", "else")
    )
    fails: Case = (cases.expander.opposite(cases.expander.shape(condition), place.atom), _NOTHING)
    passed = cases._product((cases.of_term(condition), then), place)
    return (*passed, *cases._product(((fails,), otherwise), place))


def _dependencies(keyword: str) -> Callable[[Cases, Place], Iterable[Case]]:
    def cases_of(cases: Cases, place: Place) -> Iterable[Case]:
        rules: list[Iterable[Case]] = []
        for name, demand in place.schema[keyword].items():
            if isinstance(demand, list) or not is_text(name):
                continue
            without = replace(EVERYTHING, objects=(absent(name),))
            has_name = replace(EVERYTHING, objects=(present(name),), null=False, booleans=(), numbers=(), strings=())
            has_name = replace(has_name, arrays=())
            then = cases.of_term(place.term(keyword, name))
            rules.append([(without, _NOTHING), *cases._product((((has_name, _NOTHING),), then), place)])
        rules.append([(cases.expander.applied(keyword, place), _NOTHING)])
        return cases._product(rules, place)

    return cases_of


_CASES: dict[str, Callable[[Cases, Place], Iterable[Case]]] = {
    "$ref": _reference("$ref"),
    "$dynamicRef": _reference("$dynamicRef"),
    "$recursiveRef": _reference("$recursiveRef"),
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "if": _if,
    "dependentSchemas": _dependencies("dependentSchemas"),
    "dependencies": _dependencies("dependencies"),
}
