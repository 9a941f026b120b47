"""Arrays and objects that are the same in all schemas: lists and maps of scalars, and of such lists and maps.

What declares no keys says nothing of one schema. Its rule is made once for all with the same options, as those of
strings and numbers are, so that what is emitted and stored for it serves whoever comes next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from structgen.automata.regular import ANY_STRING
from structgen.errors import StructgenError
from structgen.ir import Call, Node, Rule, seq
from structgen.schema.forms import ANY, NEVER, ArrayForm, KeyClass, ObjectForm, Shape, Term
from structgen.schema.schemas import OF_TYPE

if TYPE_CHECKING:
    from structgen.schema.lower import Lowering

_MOST = 4_096  # Values and members that are kept; then all are made anew.
_NESTING = 3
_FORMS = 8  # Arrays and objects of one shape, and the items of a prefix: others are rare, and long to look through.
_EVERYWHERE = frozenset((ANY, NEVER, *OF_TYPE.values()))

Key = tuple[object, ...]


class CommonValues:
    """The rules for one set of options, and the lowering that makes them."""

    def __init__(self, make_lowering: Callable[[], Lowering]) -> None:
        """make_lowering: makes a lowering without a schema, for a layout that does not depend on the depth."""
        self._make_lowering = make_lowering
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._lowering = self._make_lowering()
        self._terms: dict[Key, Term] = {}
        self._members: dict[Key, Call] = {}

    def member(self, shape: Shape, of: Lowering) -> Call | None:
        """`Lowering.member_value` of a shape whose terms are those of a schema's lowering; None: it is not common."""
        with self._lock:
            if len(self._terms) + len(self._members) > _MOST:
                self._begin()
            common = self._common(shape, of, 0)
            if common is None:
                return None
            key = _key(common)
            call = self._members.get(key)
            if call is None:
                call = self._members[key] = Call(Rule("member", self._body(common), key=object()))
            return call

    def _body(self, shape: Shape) -> Callable[[], Node]:
        lowering = self._lowering
        return lambda: seq(lowering.layout.colon_gap, lowering.shape(shape, ANY, 0))

    def _common(self, shape: Shape, of: Lowering, nesting: int) -> Shape | None:
        """The shape with terms of the common lowering."""
        if len(shape.arrays) + len(shape.objects) > _FORMS:
            return None
        arrays: list[ArrayForm] = []
        for array in shape.arrays:
            if array.contains or array.unique or len(array.prefix) > _FORMS:
                return None
            terms = self._all_common((*array.prefix, array.rest), of, nesting)
            if terms is None:
                return None
            arrays.append(replace(array, prefix=tuple(terms[:-1]), rest=terms[-1]))
        objects: list[ObjectForm] = []
        for form in shape.objects:
            if form.named or form.demands or form.min or form.max is not None:
                return None
            if any(part.language is not ANY_STRING for part in form.classes):
                return None
            terms = self._all_common((part.term for part in form.classes), of, nesting)
            if terms is None:
                return None
            objects.append(replace(form, classes=tuple(KeyClass(ANY_STRING, term) for term in terms)))
        return replace(shape, arrays=tuple(arrays), objects=tuple(objects), through_ref=False)

    def _all_common(self, terms: Iterable[Term], of: Lowering, nesting: int) -> list[Term] | None:
        found = []
        for term in terms:
            common = term if term in _EVERYWHERE else self._term(term, of, nesting)
            if common is None:
                return None
            found.append(common)
        return found

    def _term(self, term: Term, of: Lowering, nesting: int) -> Term | None:
        if nesting == _NESTING:
            return None
        try:
            with of.located(term):
                shape = self._common(of.expander.shape(term), of, nesting + 1) if of.satisfiable(term) else None
        except StructgenError:  # too complex, which is said to a text that gets there, and not to one that does not
            return None
        if shape is None:
            return None
        key = _key(shape)
        common = self._terms.get(key)
        if common is None:
            common = self._terms[key] = self._lowering.expander.new_term(shape)
        return common


def _key(shape: Shape) -> Key:
    """What tells common shapes apart. (Forms of objects are not hashable.)"""
    objects = tuple(form.classes for form in shape.objects)
    return shape.null, shape.booleans, shape.numbers, shape.strings, shape.arrays, objects
