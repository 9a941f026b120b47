"""What a shape does not allow: the union, per type, of the ways to break one constraint of each form.

The complement of an intersection is a union of single violations, so it stays within the normal form, except that
"some two items are equal" (the opposite of `uniqueItems`) has no form and is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

from structgen.automata.regular import ANY_STRING, difference, finite, union
from structgen.automata.regular import complement as other_strings
from structgen.errors import UnsupportedSchemaError
from structgen.schema.algebra import demanding, meet, meet_objects
from structgen.schema.forms import (
    ANY,
    EVERYTHING,
    NEVER,
    ArrayForm,
    Contains,
    Demand,
    KeyClass,
    NumberForm,
    ObjectForm,
    Shape,
    StringForm,
)
from structgen.schema.schemas import Atom, Schemas


def complement(shape: Shape, schemas: Schemas, atom: Atom) -> Shape:
    """All values that the shape does not allow. `atom` is where to say so if there is no form for it."""
    result = replace(
        EVERYTHING,
        null=not shape.null,
        booleans=tuple(value for value in (False, True) if value not in shape.booleans),
        through_ref=shape.through_ref,
    )
    violations = [
        *(replace(EVERYTHING, numbers=tuple(not_number(number))) for number in shape.numbers),
        *(replace(EVERYTHING, strings=(not_string(string),)) for string in shape.strings),
        *(replace(EVERYTHING, arrays=tuple(not_array(array, schemas, atom))) for array in shape.arrays),
        *(replace(EVERYTHING, objects=tuple(not_object(form, schemas))) for form in shape.objects),
    ]
    for violation in violations:
        result = meet(result, violation)
        schemas.check_size(result.num_forms, atom)
    return result


def not_number(form: NumberForm) -> Iterator[NumberForm]:
    """The numbers outside the form."""
    if form.values is not None:
        low: Fraction | None = None
        for value in sorted(form.values):
            yield NumberForm(low=low, low_open=low is not None, high=value, high_open=True)
            low = value
        yield NumberForm(low=low, low_open=low is not None)
        return
    if form.low is not None:
        yield NumberForm(high=form.low, high_open=not form.low_open)
    if form.high is not None:
        yield NumberForm(low=form.high, low_open=not form.high_open)
    if form.multiple is not None:
        yield NumberForm(not_multiples=frozenset((form.multiple,)))
    for step in form.not_multiples:
        yield NumberForm(multiple=step)


def not_string(form: StringForm) -> StringForm:
    """The strings outside the form."""
    return StringForm(other_strings(form.language if form.values is None else finite(form.values)))


def not_array(form: ArrayForm, schemas: Schemas, atom: Atom) -> Iterator[ArrayForm]:
    """The arrays outside the form."""
    if form.unique:
        raise UnsupportedSchemaError(
            "arrays in which two items are equal cannot be described",
            pointer=atom.pointer,
            keyword="uniqueItems",
            advice="keep uniqueItems out of not, oneOf and if",
        )
    if form.min > 0:
        yield ArrayForm(max=form.min - 1)
    if form.max is not None:
        yield ArrayForm(min=form.max + 1)
    for index, term in enumerate(form.prefix):
        if term != ANY:
            yield ArrayForm((ANY,) * index + (schemas.negate(term),), min=index + 1)
    if form.rest != ANY and (form.rest != NEVER or form.max is None):
        yield ArrayForm(contains=(Contains(schemas.negate(form.rest), 1, None, len(form.prefix)),))
    for rule in form.contains:
        if rule.min > 0:
            yield ArrayForm(contains=(replace(rule, min=0, max=rule.min - 1),))
        if rule.max is not None:
            yield ArrayForm(contains=(replace(rule, min=rule.max + 1, max=None),))


def not_object(form: ObjectForm, schemas: Schemas) -> Iterator[ObjectForm]:
    """The objects outside the form."""
    declared = finite(form.named)
    broken = []
    allowed = declared
    for part in form.classes:
        allowed = union(allowed, part.language)
        if part.term != ANY:
            broken.append(KeyClass(difference(part.language, declared), schemas.negate(part.term)))
    outside = difference(ANY_STRING, allowed)
    if not outside.is_empty():
        broken.append(KeyClass(outside, ANY))
    demand = Demand(
        named=tuple((name, schemas.negate(term)) for name, term in form.named.items() if term != ANY),
        classes=tuple(broken),
        absent=tuple(name for name in form.named if name in form.required),
        below=form.min or None,
        above=form.max,
    )
    if demand != Demand():
        yield demanding(demand)
    for other in form.demands:
        opposite = not_demand(other, schemas)
        if opposite is not None:
            yield opposite


def not_demand(demand: Demand, schemas: Schemas) -> ObjectForm | None:
    """The objects that do not meet the demand: none of its alternatives is true."""
    form: ObjectForm | None = ObjectForm(
        dict.fromkeys(demand.absent, ANY), required=frozenset(demand.absent), min=demand.below or 0, max=demand.above
    )
    pieces = [ObjectForm({name: schemas.negate(term)}) for name, term in demand.named]
    for part in demand.classes:
        rest = difference(ANY_STRING, part.language)
        classes = (KeyClass(part.language, schemas.negate(part.term)), KeyClass(rest, ANY))
        pieces.append(ObjectForm(classes=tuple(kept for kept in classes if kept.term != NEVER)))
    for piece in pieces:
        form = form and meet_objects(form, piece)
    return form
