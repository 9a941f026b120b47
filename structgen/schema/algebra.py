"""Union and intersection of shapes. Sub-schemas are only conjoined as terms here, never expanded.

Intersecting unions multiplies alternatives; whoever calls `meet` in a loop watches `Shape.num_forms`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from fractions import Fraction
from math import gcd
from typing import TypeVar

from structgen.automata.regular import ANY_STRING, intersect
from structgen.schema.forms import (
    ANY,
    ARRAY,
    EVERYTHING,
    NEVER,
    NUMBER,
    OBJECT,
    STRING,
    ArrayForm,
    Contains,
    Demand,
    KeyClass,
    NumberForm,
    ObjectForm,
    Shape,
    StringForm,
    Term,
    both,
)

Form = TypeVar("Form")


def unite(left: Shape, right: Shape) -> Shape:
    """What either allows. Forms are kept side by side, equal ones once; a form that allows all of its type wins."""
    return Shape(
        left.null or right.null,
        tuple(sorted({*left.booleans, *right.booleans})),
        _join(left.numbers, right.numbers, NUMBER),
        _join(left.strings, right.strings, STRING),
        _join(left.arrays, right.arrays, ARRAY),
        _join(left.objects, right.objects, OBJECT),
        left.through_ref or right.through_ref,
    )


def unite_all(shapes: Iterable[Shape]) -> Shape:
    """What any of these allows: `unite` of them in turn, without comparing each form with all before it."""
    parts = list(shapes)

    def forms(kind: str, full: Form) -> tuple[Form, ...]:
        found: dict[object, Form] = {}
        for part in parts:
            for form in getattr(part, kind):
                found.setdefault(_key(form), form)
        return (full,) if _key(full) in found else tuple(found.values())

    return Shape(
        any(part.null for part in parts),
        tuple(sorted({flag for part in parts for flag in part.booleans})),
        forms("numbers", NUMBER),
        forms("strings", STRING),
        forms("arrays", ARRAY),
        forms("objects", OBJECT),
        any(part.through_ref for part in parts),
    )


def _key(form: object) -> object:
    """What is hashed of a form: an object's names in any order, as they compare."""
    if not isinstance(form, ObjectForm):
        return form
    return (frozenset(form.named.items()), form.classes, form.required, form.min, form.max, form.demands)


def meet(left: Shape, right: Shape) -> Shape:
    """What both allow: form by form, every pair. Pairs that are plainly empty are dropped."""
    if left is EVERYTHING and not right.through_ref:
        return right
    if right is EVERYTHING and not left.through_ref:
        return left
    return Shape(
        left.null and right.null,
        tuple(value for value in left.booleans if value in right.booleans),
        _pairs(left.numbers, right.numbers, NUMBER, meet_numbers),
        _pairs(left.strings, right.strings, STRING, meet_strings),
        _pairs(left.arrays, right.arrays, ARRAY, meet_arrays),
        _pairs(left.objects, right.objects, OBJECT, meet_objects),
        left.through_ref or right.through_ref,
    )


def _join(left: tuple[Form, ...], right: tuple[Form, ...], full: Form) -> tuple[Form, ...]:
    if not right or left == right:
        return left
    if not left:
        return right
    if full in left or full in right:
        return (full,)
    return left + tuple(form for form in right if form not in left)


def _pairs(
    left: tuple[Form, ...], right: tuple[Form, ...], full: Form, combine: Callable[[Form, Form], Form | None]
) -> tuple[Form, ...]:
    if left == (full,):
        return right
    if right == (full,):
        return left
    met = (combine(one, other) for one in left for other in right)
    return tuple(form for form in met if form is not None)


def meet_numbers(left: NumberForm, right: NumberForm) -> NumberForm | None:
    """Numbers in both forms; None if there are none."""
    if left.values is None and right.values is not None:
        left, right = right, left
    if left.values is not None:
        values = tuple(value for value in left.values if right.contains(value))
        return NumberForm(values=values) if values else None
    low, low_open = max(_low(left), _low(right), key=_low_rank)
    high, high_open = min(_high(left), _high(right), key=_high_rank)
    if low is not None and high is not None and (low > high or (low == high and (low_open or high_open))):
        return None
    multiple = _lcm(left.multiple, right.multiple)
    not_multiples = left.not_multiples | right.not_multiples
    if multiple is not None and any((multiple / step).denominator == 1 for step in not_multiples):
        return None
    return NumberForm(low, low_open, high, high_open, multiple, not_multiples)


Bound = tuple[Fraction | None, bool]


def _low(form: NumberForm) -> Bound:
    return form.low, form.low_open


def _high(form: NumberForm) -> Bound:
    return form.high, form.high_open


def _low_rank(bound: Bound) -> tuple[bool, Fraction, bool]:
    value, is_open = bound
    return (value is not None, value or Fraction(0), is_open)


def _high_rank(bound: Bound) -> tuple[bool, Fraction, bool]:
    value, is_open = bound
    return (value is None, value or Fraction(0), not is_open)


def _lcm(left: Fraction | None, right: Fraction | None) -> Fraction | None:
    if left is None or right is None:
        return left or right
    common = left.denominator * right.denominator
    a, b = left.numerator * right.denominator, right.numerator * left.denominator
    return Fraction(a * b // gcd(a, b), common)


def meet_strings(left: StringForm, right: StringForm) -> StringForm | None:
    """Strings in both forms; None if that is plainly nothing."""
    if left.values is None and right.values is not None:
        left, right = right, left
    if left.values is not None:
        allowed = left.values
        if right.values is not None:
            others = frozenset(right.values)
            values = tuple(value for value in allowed if value in others)
        else:
            values = tuple(value for value in allowed if right.language.matches(value))
        return StringForm(values=values) if values else None
    return StringForm(intersect(left.language, right.language))


def meet_arrays(left: ArrayForm, right: ArrayForm) -> ArrayForm | None:
    """Arrays in both forms."""
    length = max(len(left.prefix), len(right.prefix))
    prefix = tuple(both(left.item(index), right.item(index)) for index in range(length))
    return array_form(
        prefix,
        both(left.rest, right.rest),
        max(left.min, right.min),
        smaller(left.max, right.max),
        left.contains + tuple(rule for rule in right.contains if rule not in left.contains),
        left.unique or right.unique,
    )


def array_form(
    prefix: tuple[Term, ...],
    rest: Term,
    min: int,
    max: int | None,
    contains: tuple[Contains, ...] = (),
    unique: bool = False,
) -> ArrayForm | None:
    """An `ArrayForm` whose upper limit knows of the items that cannot be; None if the limits cross."""
    if NEVER in prefix:
        prefix = prefix[: prefix.index(NEVER)]
        rest = NEVER
    if rest == NEVER:
        max = smaller(max, len(prefix))
    if max is not None:
        prefix = prefix[:max]
        if max < min:
            return None
    unique = unique and (max is None or max > 1)
    return ArrayForm(prefix, rest, min, max, contains, unique)


def meet_objects(left: ObjectForm, right: ObjectForm) -> ObjectForm | None:
    """Objects in both forms. Named keys keep the order of `left`, then come those only `right` names."""
    if left is OBJECT and not right.demands:
        return right
    named = dict(left.named)
    if right.classes is not OBJECT.classes:  # else it says nothing of other keys
        named = {name: both(term, right.value(name)) for name, term in named.items()}
    for name, term in right.named.items():  # where both name a key, `left` is what stands first
        named[name] = both(left.value(name), term)
    required = left.required | right.required
    if any(named.get(name) == NEVER for name in required):
        return None
    low, high = max(left.min, right.min), smaller(left.max, right.max)
    if high is not None and high < max(low, len(required)):
        return None
    classes = meet_classes(left.classes, right.classes)
    demands = left.demands + tuple(demand for demand in right.demands if demand not in left.demands)
    return (
        settled(ObjectForm(named, classes, required, low, high, demands))
        if demands
        else ObjectForm(named, classes, required, low, high)
    )


def settled(form: ObjectForm) -> ObjectForm | None:
    """The form without the demands that are plainly met or leave no choice; None if one plainly cannot be met."""
    pending = list(form.demands)
    kept: list[Demand] = []
    while pending:
        demand = pending.pop(0)
        members = tuple((name, term) for name, term in demand.named if both(form.value(name), term) != NEVER)
        if any(form.named.get(name) == NEVER for name in demand.absent):
            continue
        if any(name in form.required and both(form.named[name], term) == form.named[name] for name, term in members):
            continue
        absent = tuple(name for name in demand.absent if name not in form.required)
        demand = replace(demand, named=members, absent=absent)
        if demand == Demand():
            return None
        forced = _forced(form, demand)
        if forced is None:
            kept.append(demand)
        else:
            form = forced
            pending, kept = [*kept, *pending], []
    return replace(form, demands=tuple(kept))


def _forced(form: ObjectForm, demand: Demand) -> ObjectForm | None:
    """The form with the one thing that the demand asks for; None if it leaves a choice."""
    if demand.classes or demand.below is not None or demand.above is not None:
        return None
    if len(demand.absent) == 1 == len(demand.named) and demand.named[0][0] == demand.absent[0]:
        name, term = demand.named[0]  # Not there, or of this kind: what `properties` says.
        return replace(form, named={**form.named, name: both(form.value(name), term)})
    if len(demand.absent) == 1 and not demand.named:
        return replace(form, named={**form.named, demand.absent[0]: NEVER})
    if len(demand.named) == 1 and not demand.absent:
        name, term = demand.named[0]
        named = {**form.named, name: both(form.value(name), term)}
        return replace(form, named=named, required=form.required | {name})
    return None


def joined(forms: tuple[ObjectForm, ...]) -> tuple[ObjectForm, ...]:
    """The same union in fewer forms: those that make a single demand become one form with one demand."""
    demands = [single_demand(form) for form in forms]
    if sum(demand is not None for demand in demands) < 2:
        return forms
    others = tuple(form for form, demand in zip(forms, demands, strict=True) if demand is None)
    merged = Demand()
    for demand in demands:
        if demand is not None:
            merged = Demand(
                merged.named + tuple(pair for pair in demand.named if pair not in merged.named),
                merged.classes + tuple(part for part in demand.classes if part not in merged.classes),
                merged.absent + tuple(name for name in demand.absent if name not in merged.absent),
                max(merged.below or 0, demand.below or 0) or None,
                smaller(merged.above, demand.above),
            )
    return (demanding(merged), *others)


def demanding(demand: Demand) -> ObjectForm:
    """All objects that meet the demand."""
    names = dict.fromkeys((*(name for name, _ in demand.named), *demand.absent), ANY)
    return ObjectForm(names, demands=(demand,))


def single_demand(form: ObjectForm, *, optional: bool = False) -> Demand | None:
    """The demand that this form makes, if it is but one. With `optional`: also of a key that may be absent."""
    if form.classes != OBJECT.classes or form.max is not None:
        return None
    special = [(name, term) for name, term in form.named.items() if term != ANY or name in form.required]
    if form.demands or form.min:
        alone = not special and (len(form.demands) + bool(form.min) == 1)
        return None if not alone else form.demands[0] if form.demands else Demand(above=form.min - 1)
    if len(special) != 1:
        return None
    name, term = special[0]
    if name in form.required:
        return Demand(named=((name, term),))
    if term == NEVER:
        return Demand(absent=(name,))
    return Demand(named=((name, term),), absent=(name,)) if optional else None


def meet_classes(left: tuple[KeyClass, ...], right: tuple[KeyClass, ...]) -> tuple[KeyClass, ...]:
    """The common refinement of two families of disjoint key classes, without the impossible ones."""
    refined = []
    for one in left:
        for other in right:
            term = both(one.term, other.term)
            if term == NEVER:
                continue
            if one.language is ANY_STRING:
                language = other.language
            elif other.language is ANY_STRING or other.language is one.language:
                language = one.language
            else:
                language = intersect(one.language, other.language)
                if language.is_empty():
                    continue
            refined.append(KeyClass(language, term))
    return tuple(refined)


def smaller(left: int | None, right: int | None) -> int | None:
    """The smaller upper limit, where None is no limit."""
    if left is None or right is None:
        return right if left is None else left
    return min(left, right)
