"""Free text: what may stand before, between and behind constrained regions.

The languages are those of an automaton that looks for many strings at once (Aho and Corasick, CACM 18, 1975); here they
are written as differences, and the automaton is what their derivatives make.
"""

from __future__ import annotations

from collections.abc import Sequence

from structgen.automata.charset import ANY
from structgen.automata.regular import (
    ANY_STRING,
    Language,
    chars,
    complement,
    concat,
    difference,
    finite,
    intersect,
    repeat,
    string,
)


def without(strings: Sequence[str], *, max_chars: int | None = None) -> Language:
    """Texts that contain none of the strings, of at most so many characters."""
    free = complement(concat(ANY_STRING, finite(strings), ANY_STRING)) if strings else ANY_STRING
    return free if max_chars is None else intersect(free, repeat(chars(ANY), 0, max_chars))


def until(trigger: str, triggers: Sequence[str], excluded: Sequence[str] = ()) -> Language:
    """Texts that end with `trigger` and contain none of `triggers` before; none of `excluded` stands in them.

    An excluded string that the trigger itself contains counts only where it begins before the trigger does.
    """
    anywhere = concat(ANY_STRING, finite(triggers))
    first = difference(concat(ANY_STRING, string(trigger)), concat(anywhere, repeat(chars(ANY), 1)))
    outside = [one for one in excluded if one not in trigger]
    return intersect(first, without(outside)) if outside else first


def closed_by(ends: Sequence[str], *, excluded: Sequence[str] = (), max_chars: int | None = None) -> Language:
    """Any text up to and with the first of the ends."""
    if "" in ends:
        return without(excluded, max_chars=max_chars)
    whole = concat(ANY_STRING, finite(ends))
    closed = difference(whole, concat(whole, repeat(chars(ANY), 1)))
    outside = [one for one in excluded if not any(one in end for end in ends)]
    if outside:
        closed = intersect(closed, without(outside))
    if max_chars is not None:
        closed = intersect(closed, concat(repeat(chars(ANY), 0, max_chars), finite(ends)))
    return closed
