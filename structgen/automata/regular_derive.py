"""What a regular language can do next: derivatives, for all characters at once, and which of them lead nowhere.

`raw_edges` are Brzozowski's derivatives (J. ACM 11, 1964) over classes of characters that behave alike (Owens, Reppy,
Turon: Regular-expression derivatives re-examined, JFP 19, 2009): the classes of a term are the overlay of its parts'.
`live_edges` leaves out targets that match nothing. Everything is memoised in the terms, and nothing here recurses
along a term: literals and nesting may be deep.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush

from structgen.automata.charset import NONE, CharSet, overlay, single
from structgen.automata.regular_algebra import complement, concat, repeat, repeat_class, string, union
from structgen.automata.regular_intersect import intersect
from structgen.automata.regular_nodes import (
    ANY_STRING,
    KIND_NAMES,
    NOTHING,
    Edges,
    Kind,
    Language,
    LanguageTooComplex,
    LoopBody,
    children,
    digest,
    trie,
)

STATE_LIMIT = 50_000


def raw_edges(node: Language) -> Edges:
    """(characters, derivative) pairs with disjoint sets; targets are distinct, not NOTHING, but may be empty."""
    if node._raw is not None:
        return node._raw
    todo = [node]
    while todo:
        top = todo[-1]
        if top._raw is None:
            missing = [inner for inner in _needed(top) if inner._raw is None]
            if missing:
                todo.extend(missing)
                continue
            top._raw = _derive(top)
        todo.pop()
    assert node._raw is not None
    return node._raw


def _needed(node: Language) -> tuple[Language, ...]:
    """The terms whose edges make up the edges of this one."""
    if node.kind == Kind.CONCAT:
        return node.args if node.args[0].nullable else node.args[:1]
    if node.kind == Kind.LOOP:
        rest, tied = node.args
        return rest, tied.body
    if node.kind == Kind.CONTEXT:
        from structgen.automata import regular_context

        return regular_context.needed(node)
    return tuple(children(node))


def _derive(node: Language) -> Edges:
    kind, args = node.kind, node.args
    if kind == Kind.CLASS:
        charset, low, high = args
        return ((charset, repeat_class(charset, max(low - 1, 0), None if high is None else high - 1)),)
    if kind == Kind.WORD:
        return ((single(ord(args[0][0])), string(args[0][1:])),)
    if kind == Kind.TRIE:
        return _trie_edges(*args)
    if kind == Kind.CONCAT:
        head, tail = args
        edges = after(raw_edges(head), tail)
        return overlaid_union([edges, raw_edges(tail)]) if head.nullable else edges
    if kind == Kind.REPEAT:
        body, low, high = args
        return after(raw_edges(body), repeat(body, max(low - 1, 0), None if high is None else high - 1))
    if kind == Kind.UNION:
        return overlaid_union([raw_edges(part) for part in args])
    if kind == Kind.INTERSECT:
        return overlaid_intersection([raw_edges(part) for part in args])
    if kind == Kind.COMPLEMENT:
        return complement_edges(raw_edges(args[0]))
    if kind == Kind.LOOP:
        return overlaid_union([raw_edges(args[0]), raw_edges(args[1].body)])
    if kind == Kind.CONTEXT:
        from structgen.automata import regular_context

        return regular_context.derive(node)
    if kind == Kind.MACHINE:
        return merged(args[0].edges(args[1]))
    assert kind in (Kind.NOTHING, Kind.EMPTY), "a located term has no edges of its own"
    return ()


def _trie_edges(words: object, low: int, high: int, depth: int) -> Edges:
    items: tuple[str, ...] = words.items  # type: ignore[attr-defined]
    edges: list[tuple[CharSet, Language]] = []
    at = low + (len(items[low]) == depth)
    while at < high:
        char = items[at][depth]
        end = at + 1
        if end < high and items[end][depth] == char:
            end = bisect_right(items, char, end, high, key=lambda item: item[depth])
        if end == at + 1:
            target = string(items[at][depth + 1 :])
        else:
            target = trie(words, at, end, depth + 1)  # type: ignore[arg-type]
        edges.append((single(ord(char)), target))
        at = end
    return merged(edges)


def merged(edges: list[tuple[CharSet, Language]]) -> Edges:
    """The same edges with one entry a target, in the order of their first characters; NOTHING is dropped."""
    by_target: dict[Language, CharSet | list[CharSet]] = {}
    for charset, target in edges:
        found = by_target.setdefault(target, charset)
        if found is not charset:
            if isinstance(found, CharSet):
                by_target[target] = found = [found]
            found.append(charset)
    by_target.pop(NOTHING, None)
    if len(by_target) == len(edges):
        return tuple(edges)
    joined = [
        (found if isinstance(found, CharSet) else CharSet(span for one in found for span in one.ranges), target)
        for target, found in by_target.items()
    ]
    return tuple(sorted(joined, key=lambda edge: edge[0].ranges[0]))


def after(edges: Edges, tail: Language) -> Edges:
    """The edges, with `tail` behind every target."""
    return merged([(charset, concat(target, tail)) for charset, target in edges])


def overlaid_union(lists: list[Edges]) -> Edges:
    """Derivatives of a union, from the edges of its parts."""
    lists = [edges for edges in lists if edges]
    if len(lists) < 2:
        return lists[0] if lists else ()
    flat = [edge for edges in lists for edge in edges]
    cells = overlay(tuple(charset for charset, _ in flat))
    return merged([(cell, union(*(flat[index][1] for index in found))) for cell, found in cells])


def overlaid_intersection(lists: list[Edges]) -> Edges:
    """Derivatives of an intersection, from the edges of its parts."""
    if not all(lists):
        return ()
    flat = [edge for edges in lists for edge in edges]
    cells = overlay(tuple(charset for charset, _ in flat))
    count = len(lists)
    return merged(
        [(cell, intersect(*(flat[index][1] for index in found))) for cell, found in cells if len(found) == count]
    )


def complement_edges(edges: Edges) -> Edges:
    """Derivatives of a complement, from the edges of its operand."""
    covered = CharSet(span for charset, _ in edges for span in charset.ranges) if edges else NONE
    out = [(charset, complement(target)) for charset, target in edges]
    rest = covered.complement()
    if rest:
        out.append((rest, ANY_STRING))
    return merged(sorted(out, key=lambda edge: edge[0].ranges[0]))


def live_edges(node: Language) -> Edges:
    """`raw_edges` without the targets that match nothing."""
    if node._edges is None:
        edges = raw_edges(node)
        if not node.plain:
            edges = tuple(edge for edge in edges if edge[1]._empty is False or not is_empty(edge[1], STATE_LIMIT))
        node._edges = edges
    return node._edges


def step(node: Language, code_point: int) -> Language:
    """The derivative by one character."""
    for charset, target in raw_edges(node):
        if charset.contains(code_point):
            return target
    return NOTHING


def matches(node: Language, text: str) -> bool:
    """Whether the text is in the language."""
    for at, char in enumerate(text):
        if node.kind == Kind.WORD:
            return bool(node.args[0] == text[at:])
        if node.kind == Kind.CLASS:
            charset, low, high = node.args
            left = len(text) - at
            in_set = charset.contains
            return low <= left and (high is None or left <= high) and all(in_set(ord(other)) for other in text[at:])
        node = step(node, ord(char))
        if node is NOTHING:
            return False
    return node.nullable


def is_empty(node: Language, limit: int) -> bool:
    """Whether the language has no word: by structure as far as that goes, then by search."""
    todo = [node]
    while todo:
        top = todo[-1]
        if top._empty is None:
            missing: list[Language] = []
            if top.kind in (Kind.CONCAT, Kind.UNION):
                missing = [part for part in top.args if part._empty is None]
            elif top.kind == Kind.REPEAT and top.args[0]._empty is None:
                missing = [top.args[0]]
            if missing:
                todo.extend(missing)
                continue
            if top.kind == Kind.CONCAT:
                top._empty = any(part._empty for part in top.args)
            elif top.kind == Kind.UNION:
                top._empty = all(part._empty for part in top.args)
            elif top.kind == Kind.REPEAT:
                top._empty = top.args[0]._empty  # With a count of 0 it would match the empty string.
            else:
                _search(top, limit)
        todo.pop()
    assert node._empty is not None
    return node._empty


def _known(node: Language) -> bool | None:
    """Emptiness where it is known or follows from lengths; None where it has to be searched."""
    if node._empty is None and node.kind == Kind.INTERSECT:
        from structgen.automata import regular_lengths

        node._empty = regular_lengths.emptiness_by_length(node.args)
    return node._empty


def _search(start: Language, limit: int) -> None:
    """Decides whether `start` is empty, and with it all states it found out about.

    Best first, by the lower bound of the length. Found a word: everything that leads to it is not empty. No state left:
    nothing that was visited has a word. A negative answer is only ever stored for a set closed under derivatives.
    """
    if _known(start) is not None:
        return
    parents: dict[Language, list[Language]] = {start: []}
    heap = [(start.min_bound, 0, start)]
    count = 0
    while heap:
        state = heappop(heap)[2]
        for _, target in raw_edges(state):
            if target in parents:
                parents[target].append(state)
                continue
            parents[target] = [state]
            known = _known(target)
            if known is None:
                count += 1
                heappush(heap, (target.min_bound, count, target))
            elif not known:
                todo = [target]
                while todo:
                    for parent in parents.get(todo.pop(), ()):
                        if parent._empty is None:
                            parent._empty = False
                            todo.append(parent)
                return
        if count > limit:
            raise LanguageTooComplex(
                f"emptiness of a regular language was not decided within {limit} states",
                advice="intersect fewer or simpler patterns, or lower the length bounds",
            )
    for state in parents:
        if state._empty is None:
            state._empty = True


def key_of(node: Language) -> bytes:
    """The structural digest of a term."""
    todo = [node]
    while todo:
        top = todo[-1]
        if top._key is None:
            inner = list(children(top))
            missing = [child for child in inner if child._key is None]
            if missing:
                todo.extend(missing)
                continue
            top._key = _digest(top, inner)
        todo.pop()
    assert node._key is not None
    return node._key


def _digest(node: Language, inner: list[Language]) -> bytes:
    keys = [child._key or b"" for child in inner]
    if node.kind in (Kind.UNION, Kind.INTERSECT):
        keys.sort()
    detail: list[object] = []
    if node.kind == Kind.TRIE:
        words, low, high, depth = node.args
        detail = [item[depth:] for item in words.items[low:high]]
    elif node.kind == Kind.MACHINE:
        detail = [node.args[0].name, node.args[1]]
    else:
        for arg in node.args:
            if isinstance(arg, CharSet):
                detail.append(arg.ranges)
            elif isinstance(arg, LoopBody):
                detail.append(arg.name)
            elif arg is None or isinstance(arg, (int, str)):
                detail.append(arg)
    return digest(KIND_NAMES[node.kind].encode(), repr(detail).encode(), *keys)
