"""From terms to shapes: what a schema allows, one level deep, each term once.

An in-place applicator (`allOf`, `anyOf`, `$ref`, …) says something about the same value; here each is a function that
returns a `Shape`, and a schema is the intersection of what its keywords return, in the order they are written (which
decides the order of properties). Sub-schemas of items and properties stay terms.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import replace
from functools import reduce
from itertools import combinations
from typing import Any, TypeVar

from structgen.automata.regular import NOTHING as NO_STRING
from structgen.automata.regular import Language, LanguageTooComplex, finite, union
from structgen.errors import GrammarTooComplex, InvalidSchemaError, UnsupportedSchemaError
from structgen.schema.algebra import (
    demanding,
    joined,
    meet,
    meet_arrays,
    meet_numbers,
    meet_objects,
    meet_strings,
    single_demand,
    unite,
    unite_all,
)
from structgen.schema.complement import complement
from structgen.schema.evaluated import Cases
from structgen.schema.forms import (
    ANY,
    ARRAY,
    EVERYTHING,
    INTEGER,
    NEVER,
    NOTHING,
    NUMBER,
    OBJECT,
    STRING,
    Demand,
    KeyClass,
    ObjectForm,
    Shape,
    Term,
)
from structgen.schema.keywords import (
    ARRAY_KEYWORDS,
    NUMBER_KEYWORDS,
    OBJECT_KEYWORDS,
    STRING_KEYWORDS,
    Place,
    absent,
    is_text,
    present,
)
from structgen.schema.numbers import NumberTooComplex
from structgen.schema.reach import TooManyStates
from structgen.schema.satisfiable import maybe_value
from structgen.schema.schemas import OF_TYPE, Atom, Schemas
from structgen.schema.values import values_shape

Form = TypeVar("Form")
_EXPANSION = 10  # What the expansion of one term costs in steps.
_NESTING = 20  # Calls within calls, beyond which terms are expanded one by one.
_DENSE = 16  # Branches of `oneOf` beyond which they are not taken in pairs where most of them overlap.
_PRUNE_ABOVE = 8  # Alternatives of one schema beyond which those that are plainly empty are looked for.

TYPES: dict[str, Shape] = {
    "null": Shape(null=True),
    "boolean": Shape(booleans=(False, True)),
    "integer": Shape(numbers=(INTEGER,)),
    "number": Shape(numbers=(NUMBER,)),
    "string": Shape(strings=(STRING,)),
    "array": Shape(arrays=(ARRAY,)),
    "object": Shape(objects=(OBJECT,)),
}
_KNOWN: dict[Term, Shape] = {ANY: EVERYTHING, NEVER: NOTHING, **{OF_TYPE[name]: TYPES[name] for name in TYPES}}


class SelfApplication(InvalidSchemaError):
    """What a schema allows depends on what it allows."""


class Expander:
    """The shapes of one compilation's terms, computed when asked for and kept."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self._steps = 0
        self.cases = Cases(self)
        self._nesting = 0
        self.finite_values: dict[Term, list[Any] | None] = {}  # What `distinct.py` found.
        self._shapes: dict[Term, Shape | None] = {**_KNOWN}

    def shape(self, term: Term) -> Shape:
        """What the term allows. Raises the compile errors of `structgen.errors`."""
        known = self._shapes.get(term)
        if known is not None:
            return known
        if term in self._shapes:
            raise SelfApplication(
                "the schema applies itself to the same value, without end", pointer=self._atom(term).pointer
            )
        if self._nesting >= _NESTING:
            self._prepare(term)
            if term in self._shapes:
                return self.shape(term)
        self.spend(_EXPANSION)
        self._shapes[term] = None
        self._nesting += 1
        try:
            shape = self._conjunction(term) if len(term) > 1 else self._literal(term[0])
        except BaseException:
            del self._shapes[term]
            raise
        finally:
            self._nesting -= 1
        self._shapes[term] = shape
        return shape

    def new_term(self, shape: Shape) -> Term:
        """A term for a shape that no schema says."""
        atoms = self.schemas.atoms
        term = (2 * len(atoms),)
        atoms.append(Atom({}, self.schemas.main, ""))
        self._shapes[term] = shape
        return term

    def _prepare(self, term: Term) -> None:
        """Expand what the term needs before the term, innermost first: schemas may nest deeper than Python calls do."""
        nesting, self._nesting = self._nesting, 0
        entered: set[Term] = set()
        stack = [term]
        while stack:
            top = stack[-1]
            if top in self._shapes or top in entered:
                stack.pop()
                if top not in self._shapes:
                    self.shape(top)
                continue
            entered.add(top)
            stack.extend(inner for inner in self._needed(top) if inner not in entered)
        self._nesting = nesting

    def _needed(self, term: Term) -> Iterator[Term]:
        """The terms whose shapes make up the shape of this one."""
        if len(term) > 1:
            yield term[:-1]
            yield term[-1:]
            return
        place = self.place(term)
        if place is None:
            meaning = self._atom(term).meaning
            yield (term[0] ^ 1,) if term[0] & 1 or meaning is None else meaning
            return
        for keyword in place.schema:
            if not place.knows(keyword):
                continue
            value = place.schema[keyword]
            if keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
                yield place.term_of_reference(keyword)
            elif keyword in ("allOf", "anyOf", "oneOf"):
                yield from (place.term(keyword, index) for index in range(len(value)))
            elif keyword in ("not", "if", "then", "else", "propertyNames"):
                yield place.term(keyword)
            elif keyword in ("dependentSchemas", "dependencies"):
                yield from (place.term(keyword, name) for name in value if not isinstance(value[name], list))

    def spend(self, steps: int) -> None:
        """Count work, so that no schema keeps us for ever."""
        self._steps += steps
        if self._steps > self.schemas.options.max_steps:
            raise TooManyStates(f"combining its parts takes more than {self.schemas.options.max_steps} steps")

    def met(self, shapes: Iterable[Shape], atom: Atom) -> Shape:
        """The intersection, within the limit on alternatives."""
        met = EVERYTHING
        for shape in shapes:
            if met is EVERYTHING:
                met = shape
            else:
                if met.num_forms * shape.num_forms > 16 * self.schemas.options.max_forms:
                    met, shape = self._pruned(met), self._pruned(shape)
                    self.schemas.check_size(met.num_forms * shape.num_forms // 16, atom)
                self.spend(_effort(met, shape))
                met = meet(met, shape)
            if met.num_forms > _PRUNE_ABOVE:
                met = self._pruned(met)
            self.schemas.check_size(met.num_forms, atom)
        return met

    def _pruned(self, shape: Shape) -> Shape:
        """The shape without the forms that a look two levels deep shows to be empty."""
        one = (replace(NOTHING, objects=(form,)) for form in shape.objects)
        objects = tuple(part.objects[0] for part in one if self.possible(part))
        one = (replace(NOTHING, arrays=(form,)) for form in shape.arrays)
        arrays = tuple(part.arrays[0] for part in one if self.possible(part))
        return replace(shape, objects=objects, arrays=arrays)

    def united(self, shapes: Iterable[Shape], atom: Atom) -> Shape:
        """The union, within the limit on alternatives."""
        union = unite_all(shapes)
        union = replace(union, objects=joined(union.objects))
        self.schemas.check_size(union.num_forms, atom)
        return union

    def opposite(self, shape: Shape, atom: Atom) -> Shape:
        """The complement."""
        return complement(shape, self.schemas, atom)

    def is_values(self, term: Term) -> bool:
        """Whether the term is one schema that lists its values."""
        schema = self._atom(term).schema
        return "const" in schema or "enum" in schema

    def fresh(self) -> None:
        """Start counting work anew: the limit is for one piece of it, not for the life of a grammar."""
        self._steps = 0

    def overlap(self, left: Shape, right: Shape) -> frozenset[str]:
        """The types of which a value may be in both shapes, by the names of `Shape`; with those where that does not
        show at once."""
        self.spend(1 + left.num_forms * right.num_forms // 16)
        kinds = (kind for kind in KINDS if getattr(left, kind) and getattr(right, kind))
        return frozenset(kind for kind in kinds if _languages(left, right, kind) or self._meeting(left, right, kind))

    def _meeting(self, left: Shape, right: Shape, kind: str) -> bool:
        if kind in _FULL and _FULL[kind] in getattr(left, kind) and _FULL[kind] in getattr(right, kind):
            return True
        try:
            return self.possible(meet(of_kinds(left, (kind,)), of_kinds(right, (kind,))))
        except (LanguageTooComplex, NumberTooComplex):
            return True

    def possible(self, shape: Shape) -> bool:
        """Whether a value may be in the shape. Looks two levels deep, and says yes where that does not tell."""
        return maybe_value(shape, self.maybe)

    def maybe(self, term: Term) -> bool:
        """Whether the term may be satisfiable. Looks one level deep, and says yes where that does not tell."""
        if not term or term == NEVER:
            return not term
        try:
            shape = self.shape(term)
        except SelfApplication:
            return True
        return maybe_value(shape, lambda inner: inner != NEVER)

    def perhaps(self, term: Term) -> bool:
        """`maybe`, and yes where the term has no form or one that is too complex: for what need not be known."""
        try:
            return self.maybe(term)
        except (UnsupportedSchemaError, GrammarTooComplex):
            return True

    def _atom(self, term: Term) -> Atom:
        return self.schemas.atoms[term[-1] >> 1]  # of several the last, which is no mere type

    def _conjunction(self, term: Term) -> Shape:
        return self.met((self.shape(term[:-1]), self.shape(term[-1:])), self._atom(term))

    def _literal(self, literal: int) -> Shape:
        atom = self.schemas.atoms[literal >> 1]
        if literal & 1:
            return self.opposite(self.shape((literal ^ 1,)), atom)
        if atom.meaning is not None:
            return self.shape(atom.meaning)
        shape = self._schema(self._place(atom))
        return shape.referred() if atom.is_target else shape

    def _place(self, atom: Atom) -> Place:
        ignored = atom.resource.dialect.ignored
        schema = {word: atom.schema[word] for word in atom.schema if word not in ignored} if ignored else atom.schema
        return Place(schema, atom, self.schemas)

    def is_expanded(self, term: Term) -> bool:
        """Whether somebody asked for the shape of the term."""
        return self._shapes.get(term) is not None

    def place(self, term: Term) -> Place | None:
        """The schema that a term is, if it is but one and not a negation."""
        atom = self._atom(term)
        return self._place(atom) if len(term) == 1 and not term[0] & 1 and atom.meaning is None else None

    def place_of(self, term: Term) -> Place:
        """The place of a term, for messages."""
        return self._place(self._atom(term))

    def parts(self, place: Place) -> list[str | None]:
        """The keywords that are applied to the same value, in order; None stands for all that speak of one type.

        What `allOf` and `$ref` say before `properties` decides the order of keys.
        """
        applied = [keyword for keyword in place.schema if keyword in APPLICATORS and place.knows(keyword)]
        if not applied:
            return [None]
        order = list(place.schema)
        declared = order.index("properties") if "properties" in order else -1
        before = [keyword for keyword in applied if keyword in _BASES and order.index(keyword) < declared]
        return [*before, None, *(keyword for keyword in applied if keyword not in before)]

    def local(self, place: Place) -> Shape:
        """What the keywords allow that speak of one type each."""
        return local_shape(place)

    def applied(self, keyword: str, place: Place) -> Shape:
        """What an in-place applicator allows."""
        return APPLICATORS[keyword](self, place)

    def exclusive(self, place: Place) -> list[Shape]:
        """The branches of `oneOf`, each without the others it overlaps with."""
        return exclusive(self, place, within=EVERYTHING)

    def _schema(self, place: Place, met: Shape = EVERYTHING) -> Shape:
        """The keywords' intersection, with a shape that is `met` already."""
        if any(place.knows(keyword) and place.schema[keyword] is not True for keyword in _UNEVALUATED):
            return self.met((met, self.cases.shape(place)), place.atom)
        parts = self.parts(place)
        if parts == [None]:
            local = local_shape(place)
            return local if met is EVERYTHING else self.met((met, local), place.atom)
        for keyword in parts:
            if keyword == "oneOf":
                met = self.united(exclusive(self, place, within=met), place.atom)
            elif keyword == "allOf":
                for index in range(len(place.schema["allOf"])):
                    met = self.narrowed(met, place.term("allOf", index), place.atom)
            else:
                shape = local_shape(place) if keyword is None else self.applied(keyword, place)
                met = self.met((met, shape), place.atom)
        return met

    def narrowed(self, met: Shape, term: Term, atom: Atom) -> Shape:
        """What of a shape a branch of `allOf` or `oneOf` allows. A `oneOf` in it knows what stands around it."""
        place = self.place(term) if term and term != NEVER and term not in self._shapes else None
        if place is None or not place.knows("oneOf") or self._nesting >= _NESTING:
            return self.met((met, self.shape(term)), atom)
        self._nesting += 1
        try:
            self.spend(_EXPANSION)
            shape = self._schema(place, met)
        finally:
            self._nesting -= 1
        return shape.referred() if place.atom.is_target else shape


KINDS = ("null", "booleans", "numbers", "strings", "arrays", "objects")
_FULL: dict[str, object] = {"numbers": NUMBER, "arrays": ARRAY}


def _languages(left: Shape, right: Shape, kind: str) -> bool:
    """Whether both have strings that are not listed: it may take long to tell that no string is in both."""
    return kind == "strings" and any(
        one.values is None and other.values is None for one in left.strings for other in right.strings
    )


def of_kinds(shape: Shape, kinds: Container[str]) -> Shape:
    """What the shape has of some types, which are named as its fields are."""
    return Shape(
        "null" in kinds and shape.null,
        shape.booleans if "booleans" in kinds else (),
        shape.numbers if "numbers" in kinds else (),
        shape.strings if "strings" in kinds else (),
        shape.arrays if "arrays" in kinds else (),
        shape.objects if "objects" in kinds else (),
        shape.through_ref,
    )


def local_shape(place: Place) -> Shape:
    """What the keywords allow that speak of one type each, together with `type`."""
    types = place.schema.get("type")
    if types is None:
        shape = EVERYTHING
    elif isinstance(types, str):
        shape = TYPES[types]
    else:
        shape = reduce(unite, (TYPES[name] for name in types), NOTHING)
    keywords = place.schema.keys()
    numbers, strings, arrays, objects = shape.numbers, shape.strings, shape.arrays, shape.objects
    if numbers and not keywords.isdisjoint(NUMBER_KEYWORDS):
        numbers = _narrow(numbers, NUMBER_KEYWORDS, place, meet_numbers)
    if strings and not keywords.isdisjoint(STRING_KEYWORDS):
        strings = _narrow(strings, STRING_KEYWORDS, place, meet_strings)
    if arrays and not keywords.isdisjoint(ARRAY_KEYWORDS):
        arrays = _narrow(arrays, ARRAY_KEYWORDS, place, meet_arrays)
    if objects and not keywords.isdisjoint(OBJECT_KEYWORDS):
        objects = _narrow(objects, OBJECT_KEYWORDS, place, meet_objects)
    if numbers is shape.numbers and strings is shape.strings and arrays is shape.arrays and objects is shape.objects:
        return shape
    return Shape(shape.null, shape.booleans, numbers, strings, arrays, objects)


def _narrow(
    forms: tuple[Form, ...],
    table: dict[str, Callable[[Place], Form]],
    place: Place,
    combine: Callable[[Form, Form], Form | None],
) -> tuple[Form, ...]:
    """The forms of a type, narrowed by each keyword of the table that the schema has."""
    schema, resource = place.schema, place.atom.resource
    last = None  # keywords of one function are side by side in the table
    for keyword, narrow in table.items():
        if keyword in schema and narrow is not last and resource.knows(keyword):
            form, last = narrow(place), narrow
            forms = tuple([new for old in forms if (new := combine(old, form)) is not None])
    return forms


# --- in-place applicators ---


def const(expander: Expander, place: Place) -> Shape:
    """Exactly this value."""
    return values_shape((place.schema["const"],), place)


def enum(expander: Expander, place: Place) -> Shape:
    """One of these values."""
    return values_shape(place.schema["enum"], place)


def ref(expander: Expander, place: Place) -> Shape:
    """What the target allows."""
    return expander.shape(place.term_of_reference("$ref")).referred()


def dynamic_ref(expander: Expander, place: Place) -> Shape:
    """What the target allows that the dynamic scope chooses."""
    return expander.shape(place.term_of_reference("$dynamicRef")).referred()


def recursive_ref(expander: Expander, place: Place) -> Shape:
    """The same in draft 2019-09."""
    return expander.shape(place.term_of_reference("$recursiveRef")).referred()


def all_of(expander: Expander, place: Place) -> Shape:
    """What every branch allows."""
    return expander.met(_branches(expander, place, "allOf"), place.atom)


def any_of(expander: Expander, place: Place) -> Shape:
    """What some branch allows."""
    return expander.united(_branches(expander, place, "anyOf"), place.atom)


def one_of(expander: Expander, place: Place) -> Shape:
    """What exactly one branch allows."""
    return expander.united(exclusive(expander, place, within=EVERYTHING), place.atom)


def exclusive(expander: Expander, place: Place, *, within: Shape) -> list[Shape]:
    """Each branch of `oneOf` without the others it overlaps with, of the values that are `within` a shape.

    What stands beside `oneOf` often tells its branches apart: the type, or that a key is required by which they differ.
    """
    terms = [place.term("oneOf", index) for index in range(len(place.schema["oneOf"]))]
    branches = [expander.narrowed(within, term, place.atom) for term in terms]
    marks = [_discriminators(expander, branch) for branch in branches]
    overlaps: list[dict[int, frozenset[str]]] = [{} for _ in branches]
    for (here, left), (there, right) in combinations(enumerate(branches), 2):
        told_apart = any(
            name in marks[there] and values.isdisjoint(marks[there][name]) for name, values in marks[here].items()
        )
        kinds = frozenset() if told_apart else expander.overlap(left, right)
        if kinds:
            overlaps[here][there] = overlaps[there][here] = kinds
    known: dict[tuple[int, frozenset[str]], Shape] = {}

    def opposite(index: int, kinds: frozenset[str]) -> Shape:
        if (index, kinds) not in known:
            branch = of_kinds(expander.shape(terms[index]), kinds)
            known[index, kinds] = expander.opposite(branch, place.atom)
        return known[index, kinds]

    if sum(map(len, overlaps)) > _DENSE * len(branches):
        kinds_of = [frozenset[str]().union(*row.values()) for row in overlaps]
        opposites = {index: opposite(index, kinds) for index, kinds in enumerate(kinds_of) if kinds}
        if all(shape.num_forms <= 4 for shape in opposites.values()):
            return _without_the_others(expander, place, branches, opposites)
    return [
        expander.met((branch, *(opposite(other, kinds) for other, kinds in sorted(row.items()))), place.atom)
        for branch, row in zip(branches, overlaps, strict=True)
    ]


def _without_the_others(
    expander: Expander, place: Place, branches: list[Shape], opposites: dict[int, Shape]
) -> list[Shape]:
    """Each branch, met with what all branches before it and all after it do not allow: linear, not quadratic, many."""
    alone: list[Shape] = list(branches)
    for order in (range(len(branches)), range(len(branches) - 1, -1, -1)):
        none = EVERYTHING
        for index in order:
            alone[index] = expander.met((alone[index], none), place.atom)
            if index in opposites:
                none = expander.met((none, opposites[index]), place.atom)
    return alone


def _discriminators(expander: Expander, shape: Shape) -> dict[str, frozenset[str]]:
    """For an object form alone: the required keys whose values are a few known strings, with these."""
    if len(shape.objects) != 1 or shape.num_forms > 1 or shape.null or shape.booleans:
        return {}
    form = shape.objects[0]
    found = {}
    for name in form.required:
        term = form.named[name]
        if any(not literal & 1 and expander.is_values((literal,)) for literal in term):
            value = expander.shape(term)
            strings = value.strings[0].values if len(value.strings) == 1 == value.num_forms else None
            if strings is not None and not value.null and not value.booleans:
                found[name] = frozenset(strings)
    return found


def _effort(left: Shape, right: Shape) -> int:
    """What intersecting two shapes costs, in steps."""
    pairs = len(left.objects) * len(right.objects)
    sizes = [len(form.named) + 4 * len(form.demands) for shape in (left, right) for form in shape.objects]
    return left.num_forms * right.num_forms + pairs * max(sizes, default=0) // 16


def not_(expander: Expander, place: Place) -> Shape:
    """What the schema does not allow."""
    return expander.opposite(expander.shape(place.term("not")), place.atom)


def if_(expander: Expander, place: Place) -> Shape:
    """`then` where `if` allows the value, `else` where it does not."""
    condition = expander.shape(place.term("if"))
    consequences = []
    if "then" in place.schema:
        consequences.append(_implication(expander, place, condition, "then"))
    if "else" in place.schema:
        consequences.append(_implication(expander, place, expander.opposite(condition, place.atom), "else"))
    return expander.met(consequences, place.atom)


def _implication(expander: Expander, place: Place, condition: Shape, keyword: str) -> Shape:
    met = expander.met((condition, expander.shape(place.term(keyword))), place.atom)
    return expander.united((met, expander.opposite(condition, place.atom)), place.atom)


def property_names(expander: Expander, place: Place) -> Shape:
    """Every key, as a string, is allowed by this schema."""
    allowed = language_of(expander.shape(place.term("propertyNames")))
    return replace(EVERYTHING, objects=(ObjectForm(classes=(KeyClass(allowed, ANY),)),))


def dependent_required(expander: Expander, place: Place) -> Shape:
    """Where a key is there, so are others."""
    return _dependencies(expander, place, "dependentRequired")


def dependent_schemas(expander: Expander, place: Place) -> Shape:
    """Where a key is there, the object follows a schema."""
    return _dependencies(expander, place, "dependentSchemas")


def dependencies(expander: Expander, place: Place) -> Shape:
    """Both of these, in the form up to draft 7; later drafts' validators still follow it."""
    return _dependencies(expander, place, "dependencies")


def _dependencies(expander: Expander, place: Place, keyword: str) -> Shape:
    rules: list[Shape] = []
    for name, demand in place.schema[keyword].items():
        if not is_text(name):
            continue
        if isinstance(demand, list) and not all(map(is_text, demand)):
            rules.append(replace(EVERYTHING, objects=(absent(name),)))
        elif isinstance(demand, list):
            either = (Demand(named=((other, ANY),), absent=(name,)) for other in demand)
            rules.extend(replace(EVERYTHING, objects=(demanding(rule),)) for rule in either)
        else:
            rules.append(_dependency(expander, place, name, expander.shape(place.term(keyword, name))))
    return expander.met(rules, place.atom)


def _dependency(expander: Expander, place: Place, name: str, shape: Shape) -> Shape:
    """The objects that lack the key, or are of the shape: one form that makes a demand, where that can be said so."""
    single = single_demand(shape.objects[0], optional=True) if len(shape.objects) == 1 else None
    if single is not None:
        rule = replace(single, absent=tuple(dict.fromkeys((*single.absent, name))))
        return replace(EVERYTHING, objects=(demanding(rule),))
    has_name = replace(EVERYTHING, objects=(present(name),))
    then = expander.met((has_name, shape), place.atom)
    return replace(unite(then, _NO_OBJECTS), objects=(absent(name), *then.objects))


def _branches(expander: Expander, place: Place, keyword: str) -> Iterator[Shape]:
    return (expander.shape(place.term(keyword, index)) for index in range(len(place.schema[keyword])))


def language_of(shape: Shape) -> Language:
    """The strings of a shape as one language."""
    languages = (form.language if form.values is None else finite(form.values) for form in shape.strings)
    return reduce(lambda left, right: union(left, right), languages, NO_STRING)


_BASES = frozenset(("allOf", "$ref", "$dynamicRef", "$recursiveRef"))
_UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")
_NO_OBJECTS = replace(EVERYTHING, objects=())

APPLICATORS: dict[str, Callable[[Expander, Place], Shape]] = {
    "const": const,
    "enum": enum,
    "$ref": ref,
    "$dynamicRef": dynamic_ref,
    "$recursiveRef": recursive_ref,
    "allOf": all_of,
    "anyOf": any_of,
    "oneOf": one_of,
    "not": not_,
    "if": if_,
    "propertyNames": property_names,
    "dependencies": dependencies,
    "dependentRequired": dependent_required,
    "dependentSchemas": dependent_schemas,
}
