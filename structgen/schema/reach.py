"""Which states of a small automaton can still end, told without building more of it than that takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from structgen.errors import StructgenError

State = TypeVar("State")


class TooManyStates(StructgenError):
    """An object or array keeps track of more combinations than the limit."""


MAX_STATES = 20_000  # How many states a search may meet.


def too_many(limit: int) -> TooManyStates:
    """What is raised where there are more."""
    return TooManyStates(f"more than {limit} combinations of properties or items to keep track of")


def can_end(
    start: State,
    successors: Callable[[State], Iterable[State]],
    ends: Callable[[State], bool],
    known: dict[State, bool],
    limit: int = MAX_STATES,
) -> bool:
    """Whether a state that `ends` is reachable from `start`. What is learnt is written to `known`.

    Depth first, so that the first way out is enough; `limit` is for this search alone. States must not come back except
    directly to themselves.
    """
    before = len(known)
    limit += before
    stack: list[tuple[State, Iterator[State]]] = [(start, iter(successors(start)))]
    while stack:
        state, rest = stack[-1]
        found = ends(state)
        following = None
        while not found and following is None:
            step = next(rest, None)
            if step is None:
                break
            if step == state:
                continue
            answer = known.get(step)
            found = answer is True
            following = step if answer is None else None
        if found:
            known.update((behind, True) for behind, _ in stack)
            return True
        if following is None:
            known[state] = False
            stack.pop()
        else:
            stack.append((following, iter(successors(following))))
        if len(known) + len(stack) > limit:
            raise too_many(limit - before)
    return False
