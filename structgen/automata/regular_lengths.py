"""Lengths of the words of a regular language, and a shortest word.

Lengths are computed as intervals where these are few, from the parts of a term; everything else is searched over the
live states.
"""

from __future__ import annotations

from structgen.automata.charset import ANY
from structgen.automata.regular_algebra import join_intervals
from structgen.automata.regular_alphabet import words_of
from structgen.automata.regular_derive import STATE_LIMIT, live_edges
from structgen.automata.regular_nodes import Interval, Kind, Language, LanguageTooComplex, children

_FEW = 12  # More intervals than this count as unknown.

_MEASURED = (Kind.CONCAT, Kind.REPEAT, Kind.UNION, Kind.INTERSECT)

Lengths = tuple[Interval, ...]


def lengths(node: Language) -> Lengths | None:
    """The exact set of word lengths as disjoint, sorted intervals; None where that is not cheap to tell."""
    todo = [node]
    while todo:
        top = todo[-1]
        if top._lengths is None:
            missing = [child for child in children(top) if child._lengths is None] if top.kind in _MEASURED else []
            if missing:
                todo.extend(missing)
                continue
            top._lengths = _lengths(top) or False
        todo.pop()
    return None if isinstance(node._lengths, bool) else node._lengths


def _lengths(node: Language) -> Lengths | None:
    if node.kind == Kind.CLASS:
        return (node.args[1:],)
    if node.kind == Kind.TRIE:
        return _few([(count, count) for count in set(map(len, words_of(node)))])
    if node.kind in (Kind.EMPTY, Kind.WORD):
        return ((node.min_bound, node.min_bound),)
    if node.kind not in _MEASURED:
        return None
    parts: list[Lengths] = []
    for child in children(node):
        if isinstance(child._lengths, bool) or child._lengths is None:
            return None
        parts.append(child._lengths)
    if node.kind == Kind.UNION:
        return _few([span for part in parts for span in part])
    if node.kind == Kind.CONCAT:
        return _few([(a + c, _sum(b, d)) for a, b in parts[0] for c, d in parts[1]])
    if node.kind == Kind.REPEAT:
        return _repeated(parts[0][0], node.args[1], node.args[2]) if len(parts[0]) == 1 else None
    if len(parts) > 2 or not any(part.kind == Kind.CLASS and part.args[0] is ANY for part in node.args):
        return None
    return tuple(_common(parts[0], parts[1]))


def _common(left: Lengths, right: Lengths) -> list[Interval]:
    """The intersection of two sets of intervals."""
    out: list[Interval] = []
    for a, b in left:
        for c, d in right:
            low, high = max(a, c), b if d is None else d if b is None else min(b, d)
            if high is None or low <= high:
                out.append((low, high))
    return out


def _sum(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else left + right


def _few(spans: list[Interval]) -> Lengths | None:
    joined = join_intervals(spans)
    return tuple(joined) if len(joined) <= _FEW else None


def _repeated(span: Interval, min: int, max: int | None) -> Lengths | None:
    """Lengths of `min` to `max` words whose lengths are one interval: k·low to k·high for each count k."""
    low, high = span
    spans: list[Interval] = []
    count = min
    while max is None or count <= max:
        touching = high is None or count * high + 1 >= (count + 1) * low
        if touching and (count or low <= 1):
            # From here on the intervals leave no gap.
            top = 0 if max == 0 else None if max is None or high is None else high * max
            spans.append((count * low, top))
            return _few(spans)
        spans.append((count * low, 0 if not count else count * high if high is not None else None))
        count += 1
        if len(spans) > _FEW:
            return None
    return _few(spans)


def emptiness_by_length(parts: tuple[Language, ...]) -> bool | None:
    """Emptiness of the intersection of `parts` where their lengths settle it, otherwise None."""
    bound = next((part for part in parts if part.kind == Kind.CLASS and part.args[0] is ANY), None)
    others = [part for part in parts if part is not bound]
    finite = [part for part in others if part.kind == Kind.COMPLEMENT and part.args[0].max_bound is not None]
    rest = [part for part in others if part not in finite]
    if len(rest) > 1 or (rest and not rest[0].plain):
        return None
    known: Lengths | None = lengths(rest[0]) if rest else ((0, None),)
    if known is None:
        return None
    low, high = bound.args[1:] if bound is not None else (0, None)
    fitting = _common(known, ((low, high),))
    if not fitting:
        return True
    if not finite:
        return False
    longest = max(part.args[0].max_bound for part in finite)
    top = fitting[-1][1]
    return False if top is None or top > longest else None


def min_length(node: Language) -> int:
    """Length of the shortest word of a language that is not empty."""
    known = lengths(node)
    if known is not None:
        return known[0][0]
    found = shortest(node)
    assert found is not None, "an empty language has no lengths"
    return len(found)


def max_length(node: Language) -> int | None:
    """Length of the longest word, None for no limit: the longest path through live states, if there is no cycle."""
    known = lengths(node)
    if known is not None:
        return known[-1][1]
    longest: dict[Language, int | None] = {}  # None: on the path that is being followed.
    todo = [node]
    while todo:
        state = todo[-1]
        if state not in longest:
            longest[state] = None
            if len(longest) > STATE_LIMIT:
                raise LanguageTooComplex(f"the longest text was not found within {STATE_LIMIT} states")
            for _, target in live_edges(state):
                if target not in longest:
                    todo.append(target)
                elif longest[target] is None:
                    return None
            continue
        todo.pop()
        if longest[state] is None:
            longest[state] = max((1 + (longest[target] or 0) for _, target in live_edges(state)), default=0)
    return longest[node]


def shortest(node: Language) -> str | None:
    """A shortest word, None for the empty language."""
    if node.plain:
        return _shortest_plain(node)
    if node.is_empty():
        return None
    came: dict[Language, tuple[Language, int] | None] = {node: None}
    queue = [node]
    for state in queue:
        if state.nullable:
            out: list[str] = []
            link = came[state]
            while link is not None:
                out.append(chr(link[1]))
                link = came[link[0]]
            return "".join(reversed(out))
        for charset, target in live_edges(state):
            if target not in came:
                came[target] = (state, charset.sample())
                queue.append(target)
        if len(queue) > STATE_LIMIT:
            raise LanguageTooComplex(f"a shortest text was not found within {STATE_LIMIT} states")
    raise AssertionError("a live state leads to a word")


def _shortest_plain(node: Language) -> str | None:
    done: dict[Language, str] = {}
    todo = [node]
    while todo:
        top = todo[-1]
        inner = list(children(top))
        missing = [child for child in inner if child not in done]
        if missing:
            todo.extend(missing)
            continue
        todo.pop()
        words = [done[child] for child in inner]
        if top.kind == Kind.NOTHING:
            return None  # Constructors absorb it, so it stands alone.
        if top.kind == Kind.CLASS:
            done[top] = chr(top.args[0].sample()) * top.args[1]
        elif top.kind == Kind.CONCAT:
            done[top] = "".join(words)
        elif top.kind == Kind.REPEAT:
            done[top] = words[0] * top.args[1]
        else:
            done[top] = min(words or words_of(top), key=len)
    return done[node]
