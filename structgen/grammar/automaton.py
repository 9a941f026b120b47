"""Finite automata over the symbols of a grammar: what a rule's body is while a grammar is being flattened.

An edge carries a symbol, which is anything hashable (a terminal, a call of a rule), or None for no symbol at all. An
automaton is cheap to edit; `minimal` gives the smallest deterministic one, or the same language without the
determinism where that would be too large.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

Symbol: TypeAlias = Hashable
DETERMINISTIC_LIMIT = 4  # A deterministic automaton of more than this times the states (and 200) is not made.


@dataclass
class Automaton:
    """States are ints, 0 is the start; `edges[state]` maps a symbol, or None, to the states it leads to."""

    edges: list[dict[Symbol | None, dict[int, None]]] = field(default_factory=lambda: [{}])
    final: dict[int, None] = field(default_factory=dict)

    def state(self) -> int:
        """A new state."""
        self.edges.append({})
        return len(self.edges) - 1

    def edge(self, source: int, symbol: Symbol | None, target: int) -> None:
        """A new edge; symbol None for one that is free."""
        self.edges[source].setdefault(symbol, {})[target] = None

    def size(self) -> int:
        """Number of edges."""
        return sum(len(targets) for edges in self.edges for targets in edges.values())

    def symbols(self) -> dict[Symbol, int]:
        """The symbols on its edges, and on how many."""
        out: dict[Symbol, int] = {}
        for edges in self.edges:
            for symbol, targets in edges.items():
                if symbol is not None:
                    out[symbol] = out.get(symbol, 0) + len(targets)
        return out

    def graft(self, other: Automaton, source: int, target: int) -> None:
        """A copy of `other` between two states."""
        base = len(self.edges)
        for edges in other.edges:
            self.edges.append({symbol: {base + end: None for end in targets} for symbol, targets in edges.items()})
        self.edge(source, None, base)
        for end in other.final:
            self.edge(base + end, None, target)

    def closure(self, states: Iterable[int]) -> frozenset[int]:
        """The states reached for free."""
        seen = set(states)
        todo = list(seen)
        while todo:
            for end in self.edges[todo.pop()].get(None, ()):
                if end not in seen:
                    seen.add(end)
                    todo.append(end)
        return frozenset(seen)


def minimal(automaton: Automaton) -> Automaton:
    """The same language: minimal and deterministic if that is not much larger, otherwise at least without free edges.

    States that lead nowhere are gone; state 0 has no edge into it only where the language needs none.
    """
    out = _determined(automaton)
    return _free(automaton) if out is None else _merged(out)


def _determined(automaton: Automaton) -> Automaton | None:
    """Subset construction, trimmed; None where it grows too large."""
    limit = max(DETERMINISTIC_LIMIT * len(automaton.edges), 200)
    start = automaton.closure((0,))
    index = {start: 0}
    out = Automaton()
    todo = [start]
    while todo:
        states = todo.pop()
        source = index[states]
        if any(state in automaton.final for state in states):
            out.final[source] = None
        moves: dict[Symbol, set[int]] = {}
        for state in sorted(states):
            for symbol, targets in automaton.edges[state].items():
                if symbol is not None:
                    moves.setdefault(symbol, set()).update(targets)
        for symbol, reached in moves.items():
            following = automaton.closure(reached)
            if following not in index:
                if len(index) >= limit:
                    return None
                index[following] = out.state()
                todo.append(following)
            out.edge(source, symbol, index[following])
    return _trimmed(out)


def _free(automaton: Automaton) -> Automaton:
    """The same language without free edges."""
    out = Automaton([{} for _ in automaton.edges], {})
    for state in range(len(automaton.edges)):
        for reached in sorted(automaton.closure((state,))):
            if reached in automaton.final:
                out.final[state] = None
            for symbol, targets in automaton.edges[reached].items():
                if symbol is not None:
                    out.edges[state].setdefault(symbol, {}).update(targets)
    return _trimmed(out)


def _trimmed(automaton: Automaton) -> Automaton:
    """Without the states that are not reached or lead nowhere."""
    back: list[list[int]] = [[] for _ in automaton.edges]
    for source, edges in enumerate(automaton.edges):
        for targets in edges.values():
            for target in targets:
                back[target].append(source)
    live = set(automaton.final)
    todo = list(live)
    while todo:
        for source in back[todo.pop()]:
            if source not in live:
                live.add(source)
                todo.append(source)
    names = {0: 0}
    order = [0]
    for source in order:
        for targets in automaton.edges[source].values():
            for target in targets:
                if target in live and target not in names:
                    names[target] = len(order)
                    order.append(target)
    out = Automaton([{} for _ in order], {names[state]: None for state in order if state in automaton.final})
    for source in order:
        for symbol, targets in automaton.edges[source].items():
            kept = {names[target]: None for target in targets if target in live}
            if kept:
                out.edges[names[source]][symbol] = kept
    return out


def _merged(automaton: Automaton) -> Automaton:
    """Moore's refinement: equivalent states are one. The automaton is deterministic and trimmed."""
    numbers: dict[Symbol | None, int] = {}
    targets: list[list[int]] = []
    names: dict[tuple[object, ...], int] = {}
    block = []
    for state, edges in enumerate(automaton.edges):
        row = sorted((numbers.setdefault(symbol, len(numbers)), next(iter(ends))) for symbol, ends in edges.items())
        targets.append([end for _, end in row])
        key = (state in automaton.final, *(number for number, _ in row))
        block.append(names.setdefault(key, len(names)))
    count = len(names)
    while True:
        names = {}
        get = block.__getitem__
        block = [names.setdefault((block[state], *map(get, ends)), len(names)) for state, ends in enumerate(targets)]
        if len(names) == count:
            break
        count = len(names)
    if count == len(automaton.edges):
        return automaton
    out = Automaton([{} for _ in range(count)], {})
    order = {block[0]: 0}
    for state in range(len(automaton.edges)):
        order.setdefault(block[state], len(order))
    done: set[int] = set()
    for state, edges in enumerate(automaton.edges):
        source = order[block[state]]
        if source in done:
            continue
        done.add(source)
        if state in automaton.final:
            out.final[source] = None
        for symbol, ends in edges.items():
            out.edge(source, symbol, order[block[next(iter(ends))]])
    return out
