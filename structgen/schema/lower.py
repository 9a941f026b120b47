"""From shapes to IR: the lazy half of compilation.

A term becomes a `Lazy` node, a `Rule` where recursion may pass through it (a reference was followed) or where a counter
is around it. Each is made once per term and depth; depth counts only where the layout depends on it. Strings, numbers
and "any value" become rules with keys, so that equal ones are one across all schemas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from structgen.automata.regular import Language, union
from structgen.ir import Call, Lazy, Node, Rule, Text, alt, literal, seq
from structgen.schema.arrays import array_node, distinct_items
from structgen.schema.common import CommonValues
from structgen.schema.distinct import Distinct
from structgen.schema.expand import TYPES, Expander
from structgen.schema.forms import ANY, EVERYTHING, NumberForm, ObjectForm, Shape, Term, both
from structgen.schema.items import claimed_items
from structgen.schema.located import Located
from structgen.schema.members import Members
from structgen.schema.numbers import number_language
from structgen.schema.objects import members_of, object_node
from structgen.schema.open_keys import OpenKeys
from structgen.schema.options import SchemaOptions
from structgen.schema.satisfiable import Satisfiability
from structgen.schema.schemas import OF_TYPE, Schemas
from structgen.schema.strings import strings_node
from structgen.schema.whitespace import layout

_EXPLORED = 250  # Combinations of schemas that are looked at before a text gets to them.


class Lowering:
    """The IR of one compilation."""

    def __init__(self, expander: Expander, satisfiability: Satisfiability, open_keys: OpenKeys) -> None:
        self.expander = expander
        self.options: SchemaOptions = expander.schemas.options
        self.satisfiable = satisfiability.term
        self.satisfiability = satisfiability
        self.layout = layout(self.options)
        self._scalar_value = _scalar_member_values(self.options)
        self._scalar_values = dict(_plain_member_values(self.options))
        if not self.layout.step:
            self._scalar_values[ANY] = _any_member_value(self.options, open_keys.embedded)
        self.open_keys = open_keys
        self._nodes: dict[tuple[Term, int], Lazy] = {}
        self._rules: dict[tuple[Term, int], Call] = {}
        self._member_values: dict[tuple[Term, int], Call] = {}
        self._members: dict[int, tuple[ObjectForm, Members]] = {}

    def value(self, term: Term, depth: int) -> Node:
        """The node of a value that is known to exist. `depth` is that of its own elements."""
        if term == ANY and not self.layout.step:
            return any_value(self.options, self.open_keys.embedded)
        key = (term, depth)
        node = self._nodes.get(key)
        if node is None:
            node = self._nodes[key] = Lazy(lambda: self._inline(term, depth))
        return node

    def called(self, term: Term, depth: int) -> Node:
        """The same as a rule of its own: where recursion may pass, and inside counters."""
        if term == ANY and not self.layout.step:
            return any_value(self.options, self.open_keys.embedded)
        key = (term, depth)
        call = self._rules.get(key)
        if call is None:
            call = self._rules[key] = Call(Rule("schema", lambda: self.shape(self.expander.shape(term), term, depth)))
        return call

    def item(self, term: Term, depth: int) -> Node:
        """The node of an array's item. The first stands in another place than the others, so what takes long to emit
        is a rule."""
        shape = self.expander.shape(term)
        return self.called(term, depth) if shape.arrays or shape.objects else self.value(term, depth)

    def member_value(self, term: Term, depth: int) -> Node:
        """What stands between a key's colon and the end of its value, as a rule: one for all values that are equal,
        where they declare no keys, so that what is known of one serves all."""
        call = self._scalar_values.get(term) or self._member_values.get((term, depth))
        if call is None:
            shape = self.expander.shape(term)
            if shape.arrays or shape.objects:
                call = self._common_value(shape)
                if call is None:
                    call = Call(Rule("member", lambda: seq(self.layout.colon_gap, self._inline(term, depth))))
                self._member_values[term, depth] = call
            else:
                with self.located(term):
                    plain = replace(shape, through_ref=False) if shape.through_ref else shape
                    call = self._scalar_values[term] = self._scalar_value(plain)
        return call

    def _common_value(self, shape: Shape) -> Call | None:
        if self.layout.step:
            return None
        embedded = self.open_keys.embedded
        if shape == EVERYTHING:
            return _any_member_value(self.options, embedded)
        return _common_values(self.options, embedded).member(shape, self)

    def deeper(self, depth: int) -> int:
        """The depth of the elements of an element."""
        return depth + self.layout.step

    def explore(self, root: Term) -> None:
        """Expand what can be reached, so that what cannot be combined is refused now and not later.

        Every schema of the document is looked at, and the first `_EXPLORED` combinations of several: there may be as
        many as there are sets of schemas. What is further on is refused when a text gets there.
        """
        seen = {root}
        pending, combined = [root], 0
        later: list[Term] = []
        while pending or (later and combined < _EXPLORED):
            if pending:
                term = pending.pop()
            else:
                term, combined = later.pop(), combined + 1
                if not self.satisfiable(term):
                    continue
            shape = self.expander.shape(term)
            for inner in chain(inner_terms(shape), self.check(shape, term)):
                if inner in seen:
                    continue
                seen.add(inner)
                if len(inner) > 1 or (inner and inner[0] & 1):
                    later.append(inner)
                elif self.satisfiable(inner):
                    pending.append(inner)

    def _inline(self, term: Term, depth: int) -> Node:
        shape = self.expander.shape(term)
        return self.called(term, depth) if shape.through_ref else self.shape(shape, term, depth)

    def shape(self, shape: Shape, term: Term, depth: int) -> Node:
        """The node of a shape; `term` is where it comes from, for messages."""
        with self.located(term):
            parts = list(_scalars(shape, self.options))
            parts.extend(
                array_node(form, self, term, depth) for form in shape.arrays if self.satisfiability.array(form)
            )
            parts.extend(
                object_node(form, self, term, depth) for form in shape.objects if self.satisfiability.object(form)
            )
        return alt(*parts)

    def check(self, shape: Shape, term: Term) -> list[Term]:
        """Build what of a shape may turn out to be too complex. Returns terms that only its members and items have."""
        found: list[Term] = []
        with self.located(term):
            for numbers in shape.numbers:
                number_language(numbers, self.options.integer_fractions, self.options.negative_zero)
            for form in shape.arrays:
                if form.unique and self.satisfiability.array(form):
                    items = distinct_items(form, self, term)
                    if isinstance(items, Distinct):
                        items.check_extent()
                if form.contains:
                    found.extend(claimed_items(form, self.expander.schemas.negate))
            for demanding in shape.objects:
                if demanding.demands and self.satisfiability.object(demanding):
                    members = members_of(demanding, self)
                    members.check_extent()
                    found.extend(members.claimable())
        return found

    def kept_members(self, form: ObjectForm, make: Callable[[], Members]) -> Members:
        """The automaton of a form, made once."""
        if id(form) not in self._members:
            self._members[id(form)] = (form, make())
        return self._members[id(form)][1]

    def located(self, term: Term) -> Located:
        """A piece of work of its own; whatever is too complex in it is so at the place of this term."""
        self.expander.fresh()
        return Located(self.expander.schemas, term)


def inner_terms(shape: Shape) -> Iterator[Term]:
    """The terms of items and properties."""
    for array in shape.arrays:
        yield from array.prefix
        yield array.rest
        yield from (both(array.rest, rule.term) for rule in array.contains)
    for form in shape.objects:
        yield from form.named.values()
        yield from (part.term for part in form.classes)
        for demand in form.demands:
            yield from (both(form.value(name), term) for name, term in demand.named)
            yield from (both(part.term, extra.term) for part in form.classes for extra in demand.classes)


def numbers_node(forms: tuple[NumberForm, ...], options: SchemaOptions) -> Node:
    """A rule for the numbers of these forms."""
    language = union(*(number_language(form, options.integer_fractions, options.negative_zero) for form in forms))
    return _text_rule("number", language)


def _text_rule(name: str, language: Language) -> Node:
    return Call(Rule(name, lambda: Text(language, "utf-8"), key=("json-number", language), light=True))


def _scalars(shape: Shape, options: SchemaOptions) -> Iterator[Node]:
    """The nodes of what is neither array nor object."""
    if shape.null:
        yield literal("null")
    for flag in shape.booleans:
        yield literal("true" if flag else "false")
    if shape.numbers:
        yield numbers_node(shape.numbers, options)
    if shape.strings:
        yield strings_node(shape.strings, options)


@lru_cache(maxsize=64)
def _scalar_member_values(options: SchemaOptions) -> Callable[[Shape], Call]:
    """See `Lowering.member_value`; equal ones are the same rule in all schemas."""
    gap = layout(options).colon_gap

    @lru_cache(maxsize=4096)
    def value(shape: Shape) -> Call:
        node = seq(gap, alt(*_scalars(shape, options)))
        return Call(Rule("value", lambda: node, key=object(), light=True))

    return value


@lru_cache(maxsize=64)
def _plain_member_values(options: SchemaOptions) -> dict[Term, Call]:
    """`Lowering.member_value` of the types that are neither array nor object."""
    value = _scalar_member_values(options)
    return {term: value(TYPES[name]) for name, term in OF_TYPE.items() if name not in ("array", "object")}


@lru_cache(maxsize=64)
def _any_member_value(options: SchemaOptions, embedded: bool) -> Call:
    return Call(Rule("value", lambda: seq(layout(options).colon_gap, any_value(options, embedded)), key=object()))


@lru_cache(maxsize=64)
def _common_values(options: SchemaOptions, embedded: bool) -> CommonValues:
    return CommonValues(lambda: _without_schema(options, embedded))


def _without_schema(options: SchemaOptions, embedded: bool) -> Lowering:
    expander = Expander(Schemas(True, options))
    return Lowering(expander, Satisfiability(expander), OpenKeys(embedded=embedded))


@lru_cache(maxsize=64)
def any_value(options: SchemaOptions, embedded: bool = False) -> Node:
    """Any JSON value: one recursive rule for all schemas with the same options."""
    lowering = _without_schema(options, embedded)
    return Call(Rule("any", lambda: lowering.shape(EVERYTHING, ANY, 0), key=("json-any", options, embedded)))
