"""Intersection of regular languages: what can be decided now is, so that few products are left to explore.

Finite languages are filtered, character classes with counters are merged, and a length bound moves into the one part
of a concatenation whose length varies: `[a-z][a-z0-9]*` of at most 63 characters is `[a-z][a-z0-9]{0,62}`.
"""

from __future__ import annotations

from structgen.automata.charset import ANY, CharSet
from structgen.automata.regular_algebra import (
    complement,
    concat,
    finite,
    repeat,
    repeat_class,
    spine,
    union,
)
from structgen.automata.regular_alphabet import alphabet, words_of
from structgen.automata.regular_nodes import ANY_STRING, NOTHING, Kind, Language, intersection_of

_FINITE = (Kind.EMPTY, Kind.WORD, Kind.TRIE)
_DISTRIBUTED = 16  # A bound is tried on unions of up to so many parts.


def intersect(*parts: Language) -> Language:
    """Texts that are in all of the parts."""
    flat: dict[Language, None] = {}
    for part in parts:
        if part.kind == Kind.INTERSECT:
            flat.update(dict.fromkeys(part.args))
        elif part is NOTHING:
            return NOTHING
        elif part is not ANY_STRING:
            flat[part] = None
    if len(flat) > 1 and any(part.looping for part in flat):
        wide = next((part for part in flat if part.looping and part.kind == Kind.UNION), None)
        if wide is not None:
            # Unions stay outside, or the terms of a loop would nest deeper with each character.
            rest = [part for part in flat if part is not wide]
            return union(*(intersect(part, *rest) for part in wide.args))
    flat = _merge(flat)
    if len(flat) == 2:
        run = next((part for part in flat if part.kind == Kind.CLASS), None)
        if run is not None:
            return _bounded(next(part for part in flat if part is not run), *run.args)
    if len(flat) > 1:
        return intersection_of(tuple(flat))
    return next(iter(flat), ANY_STRING)


def _merge(parts: dict[Language, None]) -> dict[Language, None]:
    nothing = {NOTHING: None}
    if len(parts) < 2:
        return parts
    if not any(part.located or part.looping for part in parts):  # A loop may not be tied yet.
        small = next((part for part in parts if part.kind in _FINITE), None)
        if small is not None:
            rest = [part for part in parts if part is not small]
            return {finite(text for text in words_of(small) if all(part.matches(text) for part in rest)): None}
    runs = [part for part in parts if part.kind == Kind.CLASS]
    others = [part for part in parts if part.kind != Kind.CLASS]
    denied = [part for part in others if part.kind == Kind.COMPLEMENT]
    if denied:
        others = [part for part in others if part.kind != Kind.COMPLEMENT]
        out = union(*(part.args[0] for part in denied))
        if any(part in (out.args if out.kind == Kind.UNION else (out,)) for part in parts):
            return nothing
        refused = complement(out)
        if refused.kind == Kind.COMPLEMENT:
            others.append(refused)
        else:
            return _merge({part: None for part in (*runs, *others, refused) if part is not ANY_STRING})
    # a & (a | b) = a
    others = [part for part in others if part.kind != Kind.UNION or not any(one in parts for one in part.args)]
    highs = [part.max_bound for part in parts if part.max_bound is not None]
    if highs and max(part.min_bound for part in parts) > min(highs):
        return nothing
    if runs:
        charset, low, high = runs[0].args
        for run in runs[1:]:
            charset = charset.intersect(run.args[0])
            low = max(low, run.args[1])
            high = run.args[2] if high is None else high if run.args[2] is None else min(high, run.args[2])
        run = repeat_class(charset, low, high)
        if run.kind != Kind.CLASS and others:
            return _merge(dict.fromkeys((run, *others))) if run is not NOTHING else nothing
        others = [*_tightened(run, others), *others] if others else [run]
    return dict.fromkeys(others)


def _tightened(run: Language, others: list[Language]) -> list[Language]:
    """C{m,n} without what the other parts imply anyway; gone if they imply all of it."""
    charset, low, high = run.args
    if any(part.min_bound >= low for part in others):
        low = 0
    if high is not None and any(part.max_bound is not None and part.max_bound <= high for part in others):
        high = None
    if charset is not ANY and any(alphabet(part).issubset(charset) for part in others):
        charset = ANY
    run = repeat_class(charset, low, high)
    return [] if run is ANY_STRING else [run]


def _bounded(other: Language, charset: CharSet, low: int, high: int | None) -> Language:
    """other & C{low,high}, with the bound moved inside where that is exact."""
    run = repeat_class(charset, low, high)
    if other.kind == Kind.UNION and len(other.args) <= _DISTRIBUTED:
        parts = [intersect(part, run) for part in other.args]
        if all(part.plain for part in parts):
            return union(*parts)
    elif other.kind == Kind.CONCAT and charset is ANY:
        pieces = list(spine(other))
        varying = [index for index, piece in enumerate(pieces) if piece.min_bound != piece.max_bound]
        # A bound that is not at the end would be told apart in every state; as it is, a text's counter keeps it.
        told = high is not None and varying[-1:] != [len(pieces) - 1] and other.max_bound is None
        if len(varying) == 1 and not told:
            at = varying[0]
            fixed = other.min_bound - pieces[at].min_bound
            inner = repeat_class(ANY, max(low - fixed, 0), None if high is None else high - fixed)
            pieces[at] = intersect(pieces[at], inner)
            return concat(*pieces)
    elif other.kind == Kind.REPEAT and (charset, low, high) == (ANY, 1, None) and not other.args[0].located:
        body, least, most = other.args
        if body.min_bound:
            return repeat(body, max(least, 1), most)
    return intersection_of((other, run))
