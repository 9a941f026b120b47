"""Which states of a small automaton can still end: forward to find the states, backward from those that accept."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from structgen.errors import StructgenError

State = TypeVar("State")


class TooManyStates(StructgenError):
    """An object or array keeps track of more combinations than the limit."""


def ending_states(
    start: State, successors: Callable[[State], Iterable[State]], ends: Callable[[State], bool], limit: int = 50_000
) -> dict[State, bool]:
    """For every state reachable from `start`, whether one that `ends` is reachable from it."""
    before: dict[State, list[State]] = {start: []}
    pending = [start]
    while pending:
        state = pending.pop()
        for following in successors(state):
            if following not in before:
                before[following] = []
                pending.append(following)
                if len(before) > limit:
                    raise TooManyStates(f"more than {limit} combinations of properties or items to keep track of")
            before[following].append(state)
    found = dict.fromkeys(before, False)
    pending = [state for state in before if ends(state)]
    while pending:
        state = pending.pop()
        if not found[state]:
            found[state] = True
            pending.extend(before[state])
    return found
