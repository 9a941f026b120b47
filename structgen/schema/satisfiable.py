"""Whether anything at all satisfies a term: a least fixpoint, over no more terms than the answer needs.

A term that can only be satisfied by a value that contains a value of the same term, and so on without end, is not
satisfiable. The fixpoint starts from "nothing is" and grows; terms are looked at only when another asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from structgen.schema.distinct import distinct
from structgen.schema.forms import ANY, NEVER, ArrayForm, ObjectForm, Shape, StringForm, Term, both
from structgen.schema.items import Items
from structgen.schema.located import Located
from structgen.schema.members import Members
from structgen.schema.numbers import some_number
from structgen.schema.schemas import OF_TYPE

if TYPE_CHECKING:
    from structgen.schema.expand import Expander

_HARMLESS = frozenset(["type", "properties", "items", "title", "description", "default", "examples", "format"])

_MAX_STATES = 10_000  # How far a string language is searched for a word.

_KNOWN: dict[Term, bool] = {ANY: True, NEVER: False, **dict.fromkeys(OF_TYPE.values(), True)}

Ask: TypeAlias = Callable[[Term], bool]


class Satisfiability:
    """Remembers which terms of one compilation can be satisfied."""

    def __init__(self, expander: Expander) -> None:
        self.expander = expander
        self._known: dict[Term, bool] = {**_KNOWN}

    def term(self, term: Term) -> bool:
        """Whether some value satisfies the term."""
        known = self._known.get(term)
        if known is None:
            known = self._plainly(term)
            if known is None:
                self._solve(term)
                known = self._known[term]
            self._known[term] = known
        return known

    def shape(self, shape: Shape) -> bool:
        """Whether some value is in the shape."""
        return some_value(shape, self.term, self.expander)

    def array(self, form: ArrayForm) -> bool:
        """Whether some array is in the form."""
        return _array(form, self.term, self.expander)

    def object(self, form: ObjectForm) -> bool:
        """Whether some object is in the form."""
        return _object(form, self.term, self.expander)

    def _plainly(self, term: Term) -> bool | None:
        """The answer where it does not depend on other terms, else None."""
        atom = self.expander.schemas.atoms[term[0] >> 1]
        if len(term) == 1 and not term[0] & 1 and atom.meaning is None and atom.schema.keys() <= _HARMLESS:
            return True  # The common case, answered without expanding it.
        with Located(self.expander.schemas, term):
            shape = self.expander.shape(term)
            if some_scalar(shape):
                return True
            return None if shape.arrays or shape.objects else False

    def _solve(self, term: Term) -> None:
        values: dict[Term, bool] = {term: False}
        askers: dict[Term, set[Term]] = {term: set()}
        pending = [term]
        while pending:
            current = pending.pop()
            if values[current]:
                continue

            def ask(other: Term, current: Term = current) -> bool:
                known = self._known.get(other)
                if known is not None:
                    return known
                if other not in values:
                    plain = self._plainly(other)
                    if plain is not None:
                        self._known[other] = plain
                        return plain
                    values[other] = False
                    askers[other] = set()
                    pending.append(other)
                askers[other].add(current)
                return values[other]

            if self._evaluate(current, ask):
                values[current] = True
                pending.extend(askers[current])
        self._known.update(values)

    def _evaluate(self, term: Term, ask: Ask) -> bool:
        with Located(self.expander.schemas, term):
            return some_value(self.expander.shape(term), ask, self.expander)


def some_value(shape: Shape, ask: Ask, terms: Expander) -> bool:
    """Whether some value is in the shape, given which terms can be satisfied."""
    return (
        some_scalar(shape)
        or any(_array(form, ask, terms) for form in shape.arrays)
        or any(_object(form, ask, terms) for form in shape.objects)
    )


def maybe_value(shape: Shape, ask: Ask) -> bool:
    """The same, looking at each constraint alone: no means no, yes means that it does not show at once."""
    return (
        some_scalar(shape)
        or any(_maybe_array(form, ask) for form in shape.arrays)
        or any(_maybe_object(form, ask) for form in shape.objects)
    )


def some_scalar(shape: Shape) -> bool:
    return (
        shape.null
        or bool(shape.booleans)
        or (shape.numbers != () and any(some_number(form) is not None for form in shape.numbers))
        or (shape.strings != () and any(map(some_string, shape.strings)))
    )


def some_string(form: StringForm) -> bool:
    """Whether some string is in the form."""
    return bool(form.values) if form.values is not None else not form.language.is_empty(limit=_MAX_STATES)


def _array(form: ArrayForm, ask: Ask, terms: Expander) -> bool:
    if form.unique and form.min > 1:
        items = distinct(form, terms, ask)
        if items is not None:
            return items.live(items.start)
    if form.contains:
        automaton = Items(form, ask, terms.schemas.negate)
        return automaton.live(automaton.start)
    return _maybe_array(form, ask)


def _maybe_array(form: ArrayForm, ask: Ask) -> bool:
    needed = [form.item(index) for index in range(min(form.min, len(form.prefix)))]
    if form.min > len(form.prefix):
        needed.append(form.rest)
    return all(map(ask, needed))


def _object(form: ObjectForm, ask: Ask, terms: Expander) -> bool:
    if not all(ask(form.value(name)) for name in form.required):
        return False
    if form.min <= len(form.required) and not form.demands:
        return True
    members = Members(form, ask, terms, any_order=False)
    return members.live(members.start)


def _maybe_object(form: ObjectForm, ask: Ask) -> bool:
    return all(ask(form.value(name)) for name in form.required) and all(
        demand.absent
        or demand.classes
        or demand.below is not None
        or demand.above is not None
        or any(ask(both(form.value(name), term)) for name, term in demand.named)
        for demand in form.demands
    )
