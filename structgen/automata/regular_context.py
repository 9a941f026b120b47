"""Terms that look at the text before them: `^`, `\\b` and look-behind, exactly and anywhere in a pattern.

A located term denotes pairs (text before, text from here). `BEHIND(P)` is the empty string where the text before is in
P. The derivative of a located term depends only on which P hold here, so `CONTEXT(term, states)` carries, for every P
in the term, the derivative of P by the text so far, and is an ordinary language again.
"""

from __future__ import annotations

from structgen.automata.charset import ANY, CharSet, overlay
from structgen.automata.regular_algebra import complement, concat, repeat, spine, union
from structgen.automata.regular_derive import (
    after,
    complement_edges,
    merged,
    overlaid_intersection,
    overlaid_union,
    raw_edges,
)
from structgen.automata.regular_intersect import intersect
from structgen.automata.regular_nodes import (
    ANY_STRING,
    EMPTY_STRING,
    NOTHING,
    Edges,
    Kind,
    Language,
    behind,
    children,
    context_of,
)

Tracked = tuple[tuple[Language, Language], ...]
Holding = frozenset[Language]


def looking_back(prefixes: Language) -> Language:
    """The empty string where the text before it is in `prefixes`."""
    return EMPTY_STRING if prefixes is ANY_STRING else NOTHING if prefixes is NOTHING else behind(prefixes)


def close(term: Language) -> Language:
    """The language of a located term at the start of a text."""
    return _context(term, tuple((prefixes, prefixes) for prefixes in _prefixes(term))) if term.located else term


def _prefixes(term: Language) -> list[Language]:
    """The languages of prefixes that a term asks about."""
    found: dict[Language, None] = {}
    seen = {term}
    todo = [term]
    while todo:
        node = todo.pop()
        if node.kind == Kind.BEHIND:
            found[node.args[0]] = None
            continue
        inner = [child for child in children(node) if child.located]
        if node.kind == Kind.LOOP:
            inner.append(node.args[1].body)
        todo.extend(child for child in inner if child not in seen)
        seen.update(inner)
    return sorted(found, key=lambda prefixes: prefixes.key)


def _context(term: Language, tracked: Tracked) -> Language:
    """The term with the states of its prefix languages; what is settled for good is filled in."""
    settled = {old: NOTHING for old, now in tracked if now is NOTHING}
    settled.update((old, EMPTY_STRING) for old, now in tracked if now is ANY_STRING)
    if settled and term.located and not term.looping:
        term = _fill(term, settled, {})
    if not term.located:
        return term
    asked = set(_prefixes(term))
    tracked = tuple(pair for pair in tracked if pair[0] in asked)
    return context_of(term, tracked, _nullable(term, _holding(tracked)))


def _holding(tracked: Tracked) -> Holding:
    return frozenset(old for old, now in tracked if now.nullable)


def _fill(term: Language, settled: dict[Language, Language], done: dict[Language, Language]) -> Language:
    """The term with `BEHIND` leaves replaced where their answer can no longer change."""
    if not term.located:
        return term
    if term not in done:
        parts = spine(term) if term.kind == Kind.CONCAT else children(term)
        args = [_fill(part, settled, done) for part in parts] if term.kind != Kind.BEHIND else []
        if term.kind == Kind.BEHIND:
            done[term] = settled.get(term.args[0], term)
        elif term.kind == Kind.CONCAT:
            done[term] = concat(*args)
        elif term.kind == Kind.REPEAT:
            done[term] = repeat(args[0], term.args[1], term.args[2])
        elif term.kind == Kind.UNION:
            done[term] = union(*args)
        elif term.kind == Kind.INTERSECT:
            done[term] = intersect(*args)
        elif term.kind == Kind.COMPLEMENT:
            done[term] = complement(args[0])
        else:
            raise AssertionError(term.kind)
    return done[term]


def _nullable(term: Language, holding: Holding) -> bool:
    """Whether the empty string matches here, where the prefix languages in `holding` hold."""
    if term.nullable or not term.located:
        return term.nullable
    if term.kind == Kind.BEHIND:
        return term.args[0] in holding
    if term.kind == Kind.UNION:
        return any(_nullable(part, holding) for part in term.args)
    if term.kind in (Kind.INTERSECT, Kind.CONCAT):
        return all(_nullable(part, holding) for part in (spine(term) if term.kind == Kind.CONCAT else term.args))
    if term.kind == Kind.COMPLEMENT:
        return not _nullable(term.args[0], holding)
    return _nullable(term.args[0], holding)  # REPEAT with a minimum; LOOP, whose body consumes something.


def needed(context: Language) -> tuple[Language, ...]:
    """Terms whose edges `derive` will ask for."""
    return tuple(now for _, now in context.args[1])


def derive(context: Language) -> Edges:
    """Derivatives of a `CONTEXT`: of the term where the prefix languages are as they are, and of these languages."""
    term, tracked = context.args
    lists: list[Edges] = [_edges(term, _holding(tracked), {})]
    for _, now in tracked:
        edges = raw_edges(now)
        rest = ANY
        for charset, _ in edges:
            rest = rest.minus(charset)
        lists.append((*edges, (rest, NOTHING)) if rest else edges)
    flat = [(which, *edge) for which, edges in enumerate(lists) for edge in edges]
    out: list[tuple[CharSet, Language]] = []
    for cell, found in overlay(tuple(charset for _, charset, _ in flat)):
        targets = [flat[index][2] for index in found]
        if flat[found[0]][0] == 0:
            states = tuple((pair[0], target) for pair, target in zip(tracked, targets[1:], strict=True))
            out.append((cell, _context(targets[0], states)))
    return merged(out)


def _edges(term: Language, holding: Holding, done: dict[Language, Edges]) -> Edges:
    """Derivatives of a located term where `holding` are the prefix languages that hold."""
    if not term.located:
        return raw_edges(term)
    if term not in done:
        done[term] = _located_edges(term, holding, done)
    return done[term]


def _located_edges(term: Language, holding: Holding, done: dict[Language, Edges]) -> Edges:
    args = term.args
    if term.kind == Kind.BEHIND:
        return ()
    if term.kind == Kind.CONCAT:
        lists = []
        while term.kind == Kind.CONCAT:
            head, tail = term.args
            lists.append(after(_edges(head, holding, done), tail))
            if not _nullable(head, holding):
                return overlaid_union(lists)
            term = tail
        return overlaid_union([*lists, _edges(term, holding, done)])
    if term.kind == Kind.REPEAT:
        body, low, high = args
        low = 0 if _nullable(body, holding) else max(low - 1, 0)
        return after(_edges(body, holding, done), repeat(body, low, None if high is None else high - 1))
    if term.kind == Kind.COMPLEMENT:
        return complement_edges(_edges(args[0], holding, done))
    if term.kind == Kind.LOOP:
        return overlaid_union([_edges(args[0], holding, done), _edges(args[1].body, holding, done)])
    lists = [_edges(part, holding, done) for part in args]
    return overlaid_union(lists) if term.kind == Kind.UNION else overlaid_intersection(lists)
