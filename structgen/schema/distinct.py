"""`uniqueItems` where every item is one of finitely many values: which may come next, given those already there.

A state is the set of values used so far, as bits, with the counts of `contains`. As each item uses up a value, the
number of items behind is the number of bits. Knows no text; values are compared as JSON compares them (1 is 1.0).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from itertools import chain, combinations, islice, product
from typing import TYPE_CHECKING, Any, TypeAlias

from structgen.automata.regular import Language
from structgen.schema.forms import ArrayForm, NumberForm, ObjectForm, StringForm, Term, both
from structgen.schema.languages import size
from structgen.schema.numbers import multiples_between
from structgen.schema.reach import MAX_STATES, TooManyStates, can_end, too_many

if TYPE_CHECKING:
    from structgen.schema.expand import Expander

State: TypeAlias = tuple[int, tuple[int, ...]]
Tally: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]  # How many values of each group are used, and the counts.

MAX_VALUES = 5_000  # How many values of one item are told apart.
_MAX_MATCHED = 400  # Items of different kinds for which different values are looked for.
_MAX_PAIRS = 16  # Items up to which it is checked whether no two can be equal anyway.


class Distinct:
    """One array form with `uniqueItems`, whose items have finitely many values."""

    def __init__(
        self, form: ArrayForm, values: list[list[Any]], expander: Expander, ask: Callable[[Term], bool]
    ) -> None:
        self.form = form
        self.values: list[Any] = list({_identity(value): value for choices in values for value in choices}.values())
        index_of = {_identity(value): index for index, value in enumerate(self.values)}
        self._choices = [sum(1 << index_of[_identity(value)] for value in choices) for choices in values]
        self.terms = [expander.schemas.only(value) for value in self.values]
        self._matches = [
            [(rule.min == 0 and rule.max is None) or ask(both(term, rule.term)) for term in self.terms]
            for rule in form.contains
        ]
        self.start: State = (0, (0,) * len(form.contains))
        self._live: dict[Tally, bool] = {}
        self._matched = sum(1 << index for index, yes in enumerate(self._matches[0]) if yes) if form.contains else 0
        self._groups: list[int] = []  # values that are alike wherever they may stand and in what they match, as bits
        if form.contains:
            alike: dict[object, int] = {}
            for index in range(len(self.values)):
                places = tuple(choice >> index & 1 for choice in self._choices)
                matched = tuple(matches[index] for matches in self._matches)
                alike[places, matched] = alike.get((places, matched), 0) | 1 << index
            self._groups = list(alike.values())

    def may_end(self, state: State) -> bool:
        """Whether the array may be closed here."""
        used, counts = state
        return used.bit_count() >= self.form.min and all(
            count >= rule.min for count, rule in zip(counts, self.form.contains, strict=True)
        )

    def moves(self, state: State) -> Iterator[tuple[int, State]]:
        """The values (by index) that may come next, with where they lead."""
        return ((index, following) for index, following in self._moves(state) if self.live(following))

    def live(self, state: State) -> bool:
        """Whether some array goes on from here to its end."""
        if not self.form.contains:
            return self._can_fill(state[0])
        used, counts = state
        if self._is_plain:
            return self._can_count(used, counts[0])
        tally = tuple((used & group).bit_count() for group in self._groups), counts
        known = self._live.get(tally)
        if known is None:
            known = can_end(tally, self._successors, self._ends, self._live)
        return known

    @property
    def _is_plain(self) -> bool:
        """Whether all items have the same values to choose from, and one `contains` counts them all."""
        return len(self._choices) == 1 and len(self.form.contains) == 1 and not self.form.contains[0].start

    def check_extent(self) -> None:
        """Raise `TooManyStates` if there are more states to tell apart than a search may meet."""
        if not self.form.contains or self._is_plain:
            return
        start: Tally = (0,) * len(self._groups), self.start[1]
        reached, pending = {start}, [start]
        while pending:
            for following in self._successors(pending.pop()):
                if following not in reached:
                    reached.add(following)
                    pending.append(following)
            if len(reached) > MAX_STATES:
                raise too_many(MAX_STATES)

    def _can_count(self, used: int, count: int) -> bool:
        """`live` where one `contains` counts items that all have the same values to choose from."""
        rule, at, matched = self.form.contains[0], used.bit_count(), self._matched
        free = self._choice(at) & ~used
        least = max(0, rule.min - count)
        most = (free & matched).bit_count()
        if rule.max is not None:
            most = min(most, rule.max - count)
        if least > most or (self.form.max is not None and at + least > self.form.max):
            return False
        return at + most + (free & ~matched).bit_count() >= self.form.min

    def _ends(self, tally: Tally) -> bool:
        numbers, counts = tally
        return sum(numbers) >= self.form.min and all(
            count >= rule.min for count, rule in zip(counts, self.form.contains, strict=True)
        )

    def _successors(self, tally: Tally) -> Iterator[Tally]:
        """One more item of each group."""
        numbers, counts = tally
        at = sum(numbers)
        if self.form.max is not None and at >= self.form.max:
            return
        choice = self._choice(at)
        for number, (taken, group) in enumerate(zip(numbers, self._groups, strict=True)):
            if taken < group.bit_count() and group & choice:
                after = self._counted((group & -group).bit_length() - 1, at, counts)
                if after is not None:
                    yield (*numbers[:number], taken + 1, *numbers[number + 1 :]), after

    def _moves(self, state: State) -> Iterator[tuple[int, State]]:
        used, counts = state
        at = used.bit_count()
        if self.form.max is not None and at >= self.form.max:
            return
        free = self._choice(at) & ~used
        while free:
            bit = free & -free
            free ^= bit
            index = bit.bit_length() - 1
            after = self._counted(index, at, counts)
            if after is not None:
                yield index, (used | bit, after)

    def _counted(self, index: int, at: int, counts: tuple[int, ...]) -> tuple[int, ...] | None:
        found = []
        for rule, matches, count in zip(self.form.contains, self._matches, counts, strict=True):
            if at >= rule.start and matches[index]:
                if rule.max is not None and count >= rule.max:
                    return None
                count = count + 1 if rule.max is not None else min(count + 1, rule.min)
            found.append(count)
        return tuple(found)

    def _choice(self, at: int) -> int:
        return self._choices[min(at, len(self._choices) - 1)] if self._choices else 0

    def _can_fill(self, used: int) -> bool:
        """Whether the items still missing can be chosen: a matching of positions with unused values (Kuhn 1955)."""
        at, least = used.bit_count(), self.form.min
        if least <= at:
            return True
        if least - at > (sum(self._choices[-1:]) & ~used).bit_count() + max(len(self._choices) - 1 - at, 0):
            return False
        if at >= len(self._choices) - 1:
            return True  # One choice for all that is left, and there are enough.
        if least - at > _MAX_MATCHED:
            raise TooManyStates(f"more than {_MAX_MATCHED} items that must differ and have values of their own")
        taken: dict[int, int] = {}  # value → position

        def assign(position: int, seen: set[int]) -> bool:
            free = self._choice(position) & ~used
            while free:
                index = (free & -free).bit_length() - 1
                free &= free - 1
                if index not in seen:
                    seen.add(index)
                    if index not in taken or assign(taken[index], seen):
                        taken[index] = position
                        return True
            return False

        return all(assign(position, set()) for position in range(at, least))


def distinct(form: ArrayForm, expander: Expander, ask: Callable[[Term], bool]) -> Distinct | None:
    """The automaton of a form with `uniqueItems`; None where an item has too many values for it."""
    last = len(form.prefix) if form.max is None else min(form.max, len(form.prefix) + 1)
    terms = [form.item(index) for index in range(len(form.prefix) + 1 if form.max is None else last)]
    values = []
    for term in terms:
        found = finite_values(term, expander)
        if found is None:
            return None
        values.append(found)
    return Distinct(form, values, expander, ask)


def differ_anyway(form: ArrayForm, ask: Callable[[Term], bool]) -> bool:
    """Whether no two items of an array in the form can be equal."""
    if form.max is None or form.max > _MAX_PAIRS:
        return False
    items = [form.item(index) for index in range(form.max)]
    return not any(ask(both(one, other)) for one, other in combinations(items, 2))


def finite_values(term: Term, expander: Expander) -> list[Any] | None:
    """All values in a term, as JSON values with exact numbers; None if there are more than `MAX_VALUES`."""
    return _Values(expander).of(term)


class _Values:
    def __init__(self, expander: Expander) -> None:
        self.expander = expander
        self.known = expander.finite_values
        self._inside: set[Term] = set()

    def of(self, term: Term) -> list[Any] | None:
        if not term or term in self._inside:
            return None  # Any value, or values within values without end.
        if term not in self.known:
            self._inside.add(term)
            found = self._all(term)
            self._inside.discard(term)
            if self._inside:
                return found  # Perhaps None only because of where we are.
            self.known[term] = found
        return self.known[term]

    def _all(self, term: Term) -> list[Any] | None:
        shape = self.expander.shape(term)
        found: list[Any] = [*([None] if shape.null else []), *shape.booleans]
        parts = chain(
            map(_numbers, shape.numbers),
            map(_strings, shape.strings),
            map(self._arrays, shape.arrays),
            map(self._objects, shape.objects),
        )
        for part in parts:
            if part is None:
                return None
            found.extend(part)
        unlike = {_identity(value): value for value in found}
        return list(unlike.values()) if len(unlike) <= MAX_VALUES else None

    def _arrays(self, form: ArrayForm) -> list[Any] | None:
        if form.max is None or form.max > MAX_VALUES or form.contains:
            return None
        choices: list[list[Any]] = []
        for index in range(form.max):
            values = self.of(form.item(index))
            if values is None:
                return None
            choices.append(values)
        lists = (list(items) for length in range(form.min, form.max + 1) for items in product(*choices[:length]))
        found = _few(lists)
        if found is None or not form.unique:
            return found
        return [items for items in found if len(set(map(_identity, items))) == len(items)]

    def _objects(self, form: ObjectForm) -> list[Any] | None:
        if form.classes or form.demands:
            return None
        choices: list[list[tuple[str, Any] | None]] = []
        for name, term in form.named.items():
            values = self.of(term)
            if values is None:
                return None
            optional = [] if name in form.required else [None]
            choices.append([*optional, *((name, value) for value in values)])
        objects = (dict(filter(None, members)) for members in product(*choices))
        high = len(form.named) if form.max is None else form.max
        found = _few(objects)
        return found and [members for members in found if form.min <= len(members) <= high]


def _few(values: Iterator[Any]) -> list[Any] | None:
    found = list(islice(values, MAX_VALUES + 1))
    return found if len(found) <= MAX_VALUES else None


def _numbers(form: NumberForm) -> list[Any] | None:
    values = form.values if form.values is not None else multiples_between(form, MAX_VALUES)
    return None if values is None else [_number(value) for value in values]


def _number(value: Fraction) -> int | Decimal:
    """A number as JSON has it; all that schemas speak of have finite decimal expansions."""
    return int(value) if value.denominator == 1 else Decimal(value.numerator) / Decimal(value.denominator)


def _strings(form: StringForm) -> list[Any] | None:
    if form.values is not None:
        return list(form.values)
    if size(form.language, MAX_VALUES) > MAX_VALUES:
        return None
    return list(_words(form.language))


def _words(language: Language) -> Iterator[str]:
    """The words of a finite language."""
    pending = [("", language)]
    while pending:
        text, state = pending.pop()
        if state.nullable:
            yield text
        for characters, target in state.edges():
            for low, high in characters.ranges:
                pending.extend((text + chr(code), target) for code in range(low, high + 1))


def _identity(value: Any) -> object:
    """Equal for two values exactly if JSON Schema takes them for equal."""
    if isinstance(value, bool) or value is None:
        return (value,)
    if isinstance(value, list):
        return ("array", *map(_identity, value))
    if isinstance(value, dict):
        return frozenset((name, _identity(item)) for name, item in value.items())
    return value if isinstance(value, str) else Fraction(value)
