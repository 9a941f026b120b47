"""The shape of a finite set of JSON values: what `enum` and `const` allow."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from structgen.schema.forms import NEVER, ArrayForm, NumberForm, ObjectForm, Shape, StringForm, Term
from structgen.schema.keywords import Place, exact, is_text


def values_shape(values: Sequence[Any], place: Place) -> Shape:
    """The shape of a finite set of JSON values. Arrays and objects become one form each."""
    numbers = dict.fromkeys(exact(value) for value in values if is_number(value))
    strings = dict.fromkeys(value for value in values if isinstance(value, str) and is_text(value))
    arrays: list[ArrayForm] = []
    objects: list[ObjectForm] = []
    for value in values:
        if isinstance(value, list):
            items = tuple(_only(item, place) for item in value)
            arrays.append(ArrayForm(items, NEVER, len(items), len(items)))
        elif isinstance(value, dict) and all(map(is_text, value)):
            named = {name: _only(item, place) for name, item in value.items()}
            objects.append(ObjectForm(named, (), frozenset(named)))
    return Shape(
        null=any(value is None for value in values),
        booleans=tuple(flag for flag in (False, True) if any(value is flag for value in values)),
        numbers=(NumberForm(values=tuple(numbers)),) if numbers else (),
        strings=(StringForm(values=tuple(strings)),) if strings else (),
        arrays=tuple(arrays),
        objects=tuple(objects),
    )


def _only(value: Any, place: Place) -> Term:
    """The term of one value. `enum`, unlike `const`, is known to every draft."""
    return place.schemas.term({"enum": [value]}, place.atom.resource, place.atom.path)


def is_number(value: object) -> bool:
    """Whether this is a JSON number as Python holds it."""
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
