"""The automaton of an object form: which members may follow, and where the object may end. Knows no text.

A state is (position, count, owed). In declared order the position is the number of declared keys that are behind, in
any order the set of those written, as bits. The count of members stops where it no longer matters. `owed` are the
witnesses (`ObjectForm.some`) still to come, by index.

Known gap: an additional key may be written twice; only declared ones are remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, combinations
from typing import TypeAlias

from structgen.automata.regular import Language, difference, finite, intersect
from structgen.schema.forms import KeyClass, ObjectForm, Term, both
from structgen.schema.languages import size
from structgen.schema.reach import ending_states

State: TypeAlias = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Move:
    """One more member: a declared key (by name) or a key out of a language, the value's term, and where it leads."""

    key: str | Language
    term: Term
    state: State


class Members:
    """One object form: its states, and the members that may come next in each."""

    def __init__(self, form: ObjectForm, satisfiable: Callable[[Term], bool], any_order: bool) -> None:
        self.form = form
        self.satisfiable = satisfiable
        self.any_order = any_order
        self.names = [name for name, term in form.named.items() if satisfiable(term)]
        self.required = [name in form.required for name in self.names]
        self.required_from = [0] * (len(self.names) + 1)
        for index in range(len(self.names) - 1, -1, -1):
            self.required_from[index] = self.required_from[index + 1] + self.required[index]
        self.start: State = (0, 0, tuple(range(len(form.some))))
        counted = form.min > self.required_from[0] or form.max is not None
        self.count_cap = max(form.min, form.max or 0) if counted else 0
        self._classes: list[KeyClass] | None = None
        self._capacity: float | None = None
        self._live: dict[State, bool] = {}

    @property
    def classes(self) -> list[KeyClass]:
        """The key classes without the declared names, as far as they can have values."""
        if self._classes is None:
            declared = finite(self.form.named) if self.form.named and self.form.classes else None
            self._classes = []
            for part in self.form.classes:
                if self.satisfiable(part.term):
                    language = part.language if declared is None else difference(part.language, declared)
                    if not language.is_empty():
                        self._classes.append(KeyClass(language, part.term))
        return self._classes

    @property
    def capacity(self) -> float:
        """How many additional keys there are."""
        if self._capacity is None:
            self._capacity = sum(size(part.language) for part in self.classes)
        return self._capacity

    def may_end(self, state: State) -> bool:
        """Whether the object may be closed here."""
        position, count, owed = state
        return not owed and count >= min(self.form.min, self.count_cap) and not self._required_left(position)

    def named_moves(self, state: State, stop: int | None = None) -> Iterator[Move]:
        """The declared keys that may come next, in declared order those before index `stop`."""
        return (move for move in self._named_moves(state, stop) if self.live(move.state))

    def open_moves(self, state: State) -> Iterator[Move]:
        """The additional keys that may come next; in declared order, after the declared ones."""
        return (move for move in self._open_moves(state) if self.live(move.state))

    def live(self, state: State) -> bool:
        """Whether some object goes on from here to its end."""
        if not self._fits(state):
            return False
        if not state[2]:
            return True
        if state not in self._live:
            self._live.update(ending_states(state, self._successors, self.may_end))
        return self._live[state]

    def _successors(self, state: State) -> Iterator[State]:
        moves = chain(self._named_moves(state, None), self._open_moves(state))
        return (move.state for move in moves if self._fits(move.state))

    def _fits(self, state: State) -> bool:
        """Whether the counts and what is required still leave a way."""
        position, count, _ = state
        if not self.count_cap:
            return True
        if self.form.max is not None and count + self._required_left(position) > self.form.max:
            return False
        missing = self.form.min - count - self._names_left(position)
        return missing <= 0 or missing <= self.capacity

    def _named_moves(self, state: State, stop: int | None) -> Iterator[Move]:
        position, count, owed = state
        if self.form.max is not None and count >= self.form.max:
            return
        if self.any_order:
            indices: Iterable[int] = (index for index in range(len(self.names)) if not position >> index & 1)
        else:
            indices = range(position, len(self.names) if stop is None else min(stop, len(self.names)))
        for index in indices:
            name = self.names[index]
            term = self.form.named[name]
            behind = position | 1 << index if self.any_order else index + 1
            settled = tuple(number for number in owed if self.form.some[number].language.matches(name)) if owed else ()
            for chosen in _subsets(settled):
                yield from self._claim(name, term, behind, state, chosen)
            if self.required[index] and not self.any_order:
                return

    def _open_moves(self, state: State) -> Iterator[Move]:
        position, count, owed = state
        if self.form.max is not None and count >= self.form.max:
            return
        if not self.any_order:
            if self.required_from[position]:
                return
            position = len(self.names)
        for part in self.classes:
            for chosen in _subsets(owed):
                language = part.language
                for number in chosen:
                    language = intersect(language, self.form.some[number].language)
                if not chosen or not language.is_empty():
                    yield from self._claim(language, part.term, position, state, chosen)

    def _claim(
        self, key: str | Language, term: Term, position: int, state: State, chosen: tuple[int, ...]
    ) -> Iterator[Move]:
        """The member that settles these witnesses, if it can have a value."""
        _, count, owed = state
        for number in chosen:
            term = both(term, self.form.some[number].term)
        if not chosen or self.satisfiable(term):
            left = tuple(number for number in owed if number not in chosen) if chosen else owed
            yield Move(key, term, (position, min(count + 1, self.count_cap), left))

    def _required_left(self, position: int) -> int:
        if not self.any_order:
            return self.required_from[position]
        return sum(needed for index, needed in enumerate(self.required) if not position >> index & 1)

    def _names_left(self, position: int) -> int:
        return len(self.names) - (bin(position).count("1") if self.any_order else position)


def _subsets(owed: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return chain.from_iterable(combinations(owed, length) for length in range(len(owed) + 1))
