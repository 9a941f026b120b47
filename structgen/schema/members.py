"""The automaton of an object form: which members may follow, and where the object may end. Knows no text.

A state is (position, count, owed). In declared order the position is the number of declared keys that are behind, in
any order the set of those written, as bits. The count of members stops where it no longer matters. `owed` are the
demands not yet met, by index. A member that would meet a demand if its value were narrower *claims* so or does not:
both moves exist, which is the same union. Demands for absence and counts are met where it shows that they are.

Additional keys are not remembered: that none is written twice is the matcher's business (`structgen.masks.memory`).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from structgen.automata.regular import Language, difference, finite, intersect
from structgen.schema.forms import ANY, KeyClass, ObjectForm, Term, both
from structgen.schema.languages import size
from structgen.schema.reach import MAX_STATES, TooManyStates, can_end, too_many

if TYPE_CHECKING:
    from structgen.schema.expand import Expander

Owed: TypeAlias = tuple[int, ...]
State: TypeAlias = tuple[int, int, Owed]
Rest: TypeAlias = tuple[int, int, int, Owed]  # next declared key, those written after it as bits, count, demands
Claim: TypeAlias = tuple[Term, Language | None]  # What a member has to be in addition; as a key, where that matters.

_ANYWAY: Claim = (ANY, None)
_MAX_CLAIMS = 4096  # How many ways one member may meet demands.


@lru_cache(maxsize=1 << 14)
def _matches(language: Language, name: str) -> bool:
    """Whether a key is in a language: asked by every object that makes the same demand."""
    return language.matches(name)


@dataclass(frozen=True, slots=True)
class Move:
    """One more member: a declared key (by name) or a key out of a language, the value's term, and where it leads."""

    key: str | Language
    term: Term
    state: State


@dataclass(frozen=True, slots=True)
class _Cell:
    """Values of one member that meet the same demands, `met`: those of `term` that are in `values`.

    A value that meets more is better off in another cell, so it does no harm that `term` may have it too.
    """

    term: Term
    values: Term
    languages: tuple[Language, ...]
    met: frozenset[int]


class Members:
    """One object form: its states, and the members that may come next in each."""

    def __init__(
        self, form: ObjectForm, satisfiable: Callable[[Term], bool], terms: Expander, *, any_order: bool
    ) -> None:
        self.form = form
        self.satisfiable = satisfiable
        self.terms = terms
        self.any_order = any_order
        self.names = [name for name, term in form.named.items() if satisfiable(term)]
        self.required = [name in form.required for name in self.names]
        self.required_from = [*accumulate(reversed(self.required), initial=0)][::-1]
        self._absent = self._absent_indices()
        self._chances = [self._chances_of(number) for number in range(len(form.demands))]
        owed = tuple(number for number, absent in enumerate(self._absent) if -1 not in absent)
        self.start: State = (0, 0, owed)
        self._matters: int | None = None
        self.count_cap = self._count_cap()
        self._claims_by_name: dict[str, dict[int, list[Claim]]] = {}
        self._classes: list[KeyClass] | None = None
        self._capacity: float | None = None
        self._live: dict[Rest, bool] = {}
        self._required_bits = sum(1 << index for index, needed in enumerate(self.required) if needed)

    def _absent_indices(self) -> list[frozenset[int]]:
        """For each demand the declared keys whose absence meets it; -1 stands for one that can never be there."""
        if not self.form.demands:
            return []
        index_of = {name: index for index, name in enumerate(self.names)}
        return [frozenset(index_of.get(name, -1) for name in demand.absent) for demand in self.form.demands]

    def _chances_of(self, number: int) -> frozenset[int] | None:
        """The declared keys that decide whether the demand is met; None where more than these do."""
        demand = self.form.demands[number]
        if demand.classes or demand.below is not None or demand.above is not None:
            return None
        wanted = {name for name, _ in demand.named}
        return self._absent[number] | {index for index, name in enumerate(self.names) if name in wanted}

    def _deciding_keys(self) -> int:
        """The declared keys that may meet a demand, by what they hold or by not being there, as bits."""
        if self._matters is None:
            bits = 0
            for absent in self._absent:
                for index in absent - {-1}:
                    bits |= 1 << index
            for index, name in enumerate(self.names if self.form.demands else ()):
                if not bits >> index & 1 and self._named_claims(name, self.form.named[name]):
                    bits |= 1 << index
            self._matters = bits
        return self._matters

    def _count_cap(self) -> int:
        form = self.form
        limits = [form.min if form.min > self.required_from[0] else 0, form.max or 0]
        for demand in form.demands:
            limits += [demand.below or 0, 0 if demand.above is None else demand.above + 1]
        return max(limits) if form.max is None else max(*limits, form.min)

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
        if count < min(self.form.min, self.count_cap) or self._required_left(position):
            return False
        return all(self._met_at_end(number, position, count) for number in owed)

    def named_moves(self, state: State, stop: int | None = None) -> Iterator[Move]:
        """The declared keys that may come next, in declared order those before index `stop`."""
        return (move for move in self._named_moves(state, stop) if self.live(move.state))

    def open_moves(self, state: State) -> Iterator[Move]:
        """The additional keys that may come next; in declared order, after the declared ones."""
        return (move for move in self._open_moves(state) if self.live(move.state))

    def skip_to(self, state: State, index: int) -> State:
        """The state after passing over the declared keys before `index`."""
        position, count, owed = state
        return index, count, self._passed(owed, position, index)

    def live(self, state: State) -> bool:
        """Whether some object goes on from here to its end."""
        position, count, owed = state
        index, written = (0, position) if self.any_order else (position, 0)
        if not self._fits(index, written, count):
            return False
        if not owed:
            return True
        if any(self._hopeless(number, position) for number in owed):
            return False
        return self._can_end(self._canonical(index, written, count, owed))

    def _can_end(self, rest: Rest) -> bool:
        """Whether what is left to decide can be decided so that the object ends.

        The order in which keys come does not matter for that, so they are looked at in declared order, each once:
        written or left out. In any order this is what keeps the search from running over all sets of keys.
        """
        known = self._live.get(rest)
        if known is None:
            known = can_end(rest, self._successors, self._ends, self._live)
        return known

    def check_extent(self, limit: int = MAX_STATES) -> None:
        """Raise `TooManyStates` if a search for an end meets too many states from here. Then no text meets more.

        Each state that a search meets after some members, in whatever order they came, is what one from the start meets
        at the same key, less the demands that the members behind that key have met.
        """
        _, count, owed = self.start
        start = self._canonical(0, 0, count, owed)
        reached, pending = {start}, [start]
        while pending:
            for following in self._successors(pending.pop()):
                if following not in reached:
                    reached.add(following)
                    pending.append(following)
            if len(reached) > limit:
                raise too_many(limit)

    def _canonical(self, index: int, written: int, count: int, owed: Owed) -> Rest:
        """A state of the search, with what no longer matters left out: keys behind it, keys that meet no demand."""
        names, matter = len(self.names), -1 if self.count_cap else self._deciding_keys()
        while index < names and (written >> index & 1 or not matter >> index & 1):
            index += 1
        return index, written >> index & matter >> index, count, owed

    def _successors(self, rest: Rest) -> Iterator[Rest]:
        index, later, count, owed = rest
        self.terms.spend(1)
        written = later << index
        if index == len(self.names):
            for move in self._open_moves((index if not self.any_order else written, count, owed)):
                yield index, 0, move.state[1], move.state[2]
            return
        if self.form.max is None or count < self.form.max:
            following = min(count + 1, self.count_cap)
            name, behind = self.names[index], index + 1
            term = self.form.named[name]
            due = {number for number in owed if self._too_late(number, behind, written)}
            if self._fits(behind, written, following):
                choices = self._claimed(term, owed, self._named_claims(name, term), due)
                for unmet in sorted((unmet for _, _, unmet in choices), key=len):  # so the search ends soon
                    yield self._canonical(behind, written, following, unmet)
        if not self.required[index]:
            left = tuple(number for number in owed if index not in self._absent[number])
            late = any(self._too_late(number, index + 1, written) for number in left)
            if not late and self._fits(index + 1, written, count):
                yield self._canonical(index + 1, written, count, left)

    def _ends(self, rest: Rest) -> bool:
        index, _, count, owed = rest
        if not owed:
            return True  # the counts leave a way, or the search would not be here
        if index < len(self.names) or count < min(self.form.min, self.count_cap):
            return False
        return all(self._counts_meet(number, count) for number in owed)

    def _fits(self, index: int, written: int, count: int) -> bool:
        """Whether the counts leave a way, given the declared keys behind `index` and those written ahead of it."""
        if not self.count_cap:
            return True
        ahead = (1 << len(self.names)) - (1 << index) & ~written
        if self.form.max is not None and count + (self._required_bits & ahead).bit_count() > self.form.max:
            return False
        missing = self.form.min - count - ahead.bit_count()
        return missing <= 0 or missing <= self.capacity

    def _too_late(self, number: int, index: int, written: int) -> bool:
        """Whether no key from `index` on that is not yet written can meet the demand."""
        chances = self._chances[number]
        return chances is not None and not any(
            at >= index and not written >> at & 1 and self._is_chance(number, at) for at in chances
        )

    def _is_chance(self, number: int, index: int) -> bool:
        """Whether this declared key may meet the demand."""
        name = self.names[index]
        return index in self._absent[number] or number in self._named_claims(name, self.form.named[name])

    def _hopeless(self, number: int, position: int) -> bool:
        """Whether nothing that may still come can meet the demand."""
        return self._too_late(number, 0, position) if self.any_order else self._too_late(number, position, 0)

    def _counts_meet(self, number: int, count: int) -> bool:
        demand = self.form.demands[number]
        return (demand.below is not None and count < demand.below) or (
            demand.above is not None and count > demand.above
        )

    def _met_at_end(self, number: int, position: int, count: int) -> bool:
        if self._counts_meet(number, count):
            return True
        absent = self._absent[number]
        return any(not position >> index & 1 if self.any_order else index >= position for index in absent)

    def _passed(self, owed: Owed, position: int, index: int) -> Owed:
        """What is still owed after the declared keys from `position` to before `index` were left out."""
        if not owed or self.any_order:
            return owed
        return tuple(
            number for number in owed if not any(position <= absent < index for absent in self._absent[number])
        )

    def _named_moves(self, state: State, stop: int | None) -> Iterator[Move]:
        position, count, owed = state
        if self.form.max is not None and count >= self.form.max:
            return
        if self.any_order:
            indices: Iterable[int] = (index for index in range(len(self.names)) if not position >> index & 1)
        else:
            indices = range(position, len(self.names) if stop is None else min(stop, len(self.names)))
        following = min(count + 1, self.count_cap)
        for index in indices:
            name = self.names[index]
            term = self.form.named[name]
            behind = position | 1 << index if self.any_order else index + 1
            left = self._passed(owed, position, index)
            if not left:
                yield Move(name, term, (behind, following, left))
            else:
                due = {number for number in left if self._hopeless(number, behind)}
                for value, _, unmet in self._claimed(term, left, self._named_claims(name, term), due):
                    yield Move(name, value, (behind, following, unmet))
            if self.required[index] and not self.any_order:
                return

    def _open_moves(self, state: State) -> Iterator[Move]:
        position, count, owed = state
        if self.form.max is not None and count >= self.form.max:
            return
        if not self.any_order:
            if self.required_from[position]:
                return
            owed = self._passed(owed, position, len(self.names))
            position = len(self.names)
        following = min(count + 1, self.count_cap)
        for part in self.classes:
            for value, languages, unmet in self._claimed(part.term, owed, self._class_claims(owed)):
                language = intersect(part.language, *languages) if languages else part.language
                if not languages or not language.is_empty():
                    yield Move(language, value, (position, following, unmet))

    def _named_claims(self, name: str, term: Term) -> dict[int, list[Claim]]:
        """For each demand the ways in which a value under this key can meet it."""
        found = self._claims_by_name.get(name)
        if found is None:
            found = self._claims_by_name[name] = {}
            for number, demand in enumerate(self.form.demands):
                terms = [extra for key, extra in demand.named if key == name]
                terms += [part.term for part in demand.classes if _matches(part.language, name)]
                if any(self._implies(term, extra) for extra in terms):
                    found[number] = [_ANYWAY]
                else:
                    ways: list[Claim] = [
                        (extra, None) for extra in dict.fromkeys(terms) if self.satisfiable(both(term, extra))
                    ]
                    if ways:
                        found[number] = ways
        return found

    def _implies(self, term: Term, extra: Term) -> bool:
        """Whether every value of `term` is one of `extra`; no where that does not show at once."""
        return both(term, extra) == term or not self.terms.perhaps(both(term, self.terms.schemas.negate(extra)))

    def claimable(self) -> Iterator[Term]:
        """Every term that some move has, in whatever state."""
        owed = tuple(range(len(self.form.demands)))
        for name in self.names:
            term = self.form.named[name]
            yield from (value for value, _, _ in self._claimed(term, owed, self._named_claims(name, term)))
        for part in self.classes:
            yield from (value for value, _, _ in self._claimed(part.term, owed, self._class_claims(owed)))

    def _class_claims(self, owed: Owed) -> dict[int, list[Claim]]:
        """For each demand the ways in which additional members can meet it."""
        demands = self.form.demands
        ways: dict[int, list[Claim]] = {
            number: [(extra.term, extra.language) for extra in demands[number].classes] for number in owed
        }
        return {number: claims for number, claims in ways.items() if claims}

    def _claimed(
        self, term: Term, owed: Owed, claims: Mapping[int, Sequence[Claim]], due: Container[int] = ()
    ) -> Iterator[tuple[Term, tuple[Language, ...], Owed]]:
        """The choices of claims that some value can live up to: its term, languages of the key, and what stays owed.

        Demands that are `due` are met now or never. Values are told apart by the demands they meet: of a string that is
        not to be the n-th word for the n-th demand there are n + 1 cells, where there are 2^n sets of claims.
        """
        met_anyway = frozenset(number for number in owed if claims.get(number) == [_ANYWAY])
        meets: dict[Claim, set[int]] = {}
        for number in owed:
            if number not in met_anyway:
                for claim in claims.get(number, ()):
                    meets.setdefault(claim, set()).add(number)
        cells = [_Cell(term, term, (), met_anyway)]
        for (extra, language), numbers in meets.items():
            cells = [part for cell in cells for part in self._parted(cell, extra, language, numbers)]
            if len(cells) > _MAX_CLAIMS:
                raise TooManyStates(f"one property can meet more than {_MAX_CLAIMS} combinations of demands")
            self.terms.spend(len(cells))
        for cell in cells:
            unmet = tuple(number for number in owed if number not in cell.met)
            if not any(number in due for number in unmet):
                yield cell.term, cell.languages, unmet

    def _parted(self, cell: _Cell, extra: Term, language: Language | None, numbers: set[int]) -> Iterator[_Cell]:
        """The values of a cell that are in a term, those that are not, or both."""
        if numbers <= cell.met:
            yield cell
            return
        narrower = both(cell.term, extra)
        if narrower == cell.term or self.satisfiable(narrower):
            languages = cell.languages if language is None else (*cell.languages, language)
            yield _Cell(narrower, both(cell.values, extra), languages, cell.met | numbers)
        if language is not None:
            yield cell
            return
        others = both(cell.values, self.terms.schemas.negate(extra))
        if self.terms.perhaps(others):
            yield replace(cell, values=others)

    def _required_left(self, position: int) -> int:
        return (self._required_bits & ~position).bit_count() if self.any_order else self.required_from[position]
