"""The automaton of an array form with `contains`: which items may follow, and where the array may end. Knows no text.

A state is (index, counts): how many items are behind (up to where that matters) and how many of them matched each
`Contains`. An item *claims* to match some of them; where there is an upper limit, the others are claimed not to match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from itertools import islice, product
from typing import TypeAlias

from structgen.schema.forms import ArrayForm, Term, both
from structgen.schema.reach import can_end

State: TypeAlias = tuple[int, tuple[int, ...]]

_MAX_CLAIMS = 256  # Combinations of claims of one item that are listed.


class Items:
    """One array form: its states, and the items (term, next state) that may come next in each."""

    def __init__(self, form: ArrayForm, satisfiable: Callable[[Term], bool], negate: Callable[[Term], Term]) -> None:
        self.form = form
        self.satisfiable = satisfiable
        self.negate = negate
        self.start: State = (0, (0,) * len(form.contains))
        starts = [rule.start for rule in form.contains]
        self._index_cap = max(len(form.prefix), form.min, form.max or 0, *starts, 0)
        self._live: dict[State, bool] = {}

    def may_end(self, state: State) -> bool:
        """Whether the array may be closed here."""
        index, counts = state
        return index >= self.form.min and all(
            count >= rule.min for count, rule in zip(counts, self.form.contains, strict=True)
        )

    def moves(self, state: State) -> Iterator[tuple[Term, State]]:
        """The items that may come next, of those after which some array can be completed."""
        return ((term, following) for term, following in self._moves(state) if self.live(following))

    def live(self, state: State) -> bool:
        """Whether some array goes on from here to its end."""
        known = self._live.get(state)
        if known is None:
            known = can_end(state, self._successors, self.may_end, self._live)
        return known

    def _successors(self, state: State) -> Iterator[State]:
        return (following for _, following in self._moves(state))

    def _moves(self, state: State) -> Iterator[tuple[Term, State]]:
        index, counts = state
        if self.form.max is not None and index >= self.form.max:
            return
        following = min(index + 1, self._index_cap)
        choices = [list(self._claims(number, index, count)) for number, count in enumerate(counts)]
        for claims in product(*choices):
            term = self.form.item(index)
            for extra, _ in claims:
                term = both(term, extra)
            if self.satisfiable(term):
                yield term, (following, tuple(count for _, count in claims))

    def _claims(self, number: int, index: int, count: int) -> Iterator[tuple[Term, int]]:
        """What the next item may claim about one `Contains`: a term, and the count after it."""
        rule = self.form.contains[number]
        if index < rule.start:
            yield (), count
            return
        yield (() if rule.max is None else self.negate(rule.term)), count
        if count < (rule.min if rule.max is None else rule.max):
            yield rule.term, count + 1


def claimed_items(form: ArrayForm, negate: Callable[[Term], Term]) -> Iterator[Term]:
    """Every term that an item may have, whatever it claims to match."""
    ways = [((), rule.term) if rule.max is None else (negate(rule.term), rule.term) for rule in form.contains]
    for term in dict.fromkeys((*form.prefix, form.rest)):
        for claims in islice(product(*ways), _MAX_CLAIMS):
            yield reduce(both, claims, term)
