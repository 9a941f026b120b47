"""Questions about string languages that the algebra asks."""

from __future__ import annotations

from math import inf

from structgen.automata.regular import ANY_STRING, Language


def size(language: Language, limit: int = 1000) -> float:
    """How many strings a language has; infinity where there are more than `limit`."""
    if language is ANY_STRING:
        return inf
    if language.is_empty():
        return 0
    if language.max_length() is None:
        return inf
    level: dict[Language, int] = {language: 1}
    total = 0
    while level:
        following: dict[Language, int] = {}
        for state, ways in level.items():
            total += ways if state.nullable else 0
            for characters, target in state.edges():
                following[target] = following.get(target, 0) + ways * characters.size
        if total > limit or len(following) > limit:
            return inf
        level = following
    return total
