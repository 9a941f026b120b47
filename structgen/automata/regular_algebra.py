"""Constructors of regular languages, which keep terms small and few.

Each applies only rules that hold for every language, so a term always denotes what was asked for. Associativity,
commutativity and idempotence of union and intersection make the set of derivatives finite (Brzozowski 1964); the other
rules keep it small: character classes and counters are merged, equal heads and equal tails are factored out, and what
a `C*` beside it covers is dropped. No rule looks at what was computed about a term before, so a term depends on
nothing but the arguments.

A rule that needs "does not match the empty string" or "what is in here" must exclude located terms.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from structgen.automata.charset import ANY, NONE, CharSet, single
from structgen.automata.regular_alphabet import alphabet, words_of
from structgen.automata.regular_nodes import (
    ANY_STRING,
    EMPTY_STRING,
    NOTHING,
    Kind,
    Language,
    class_run,
    complement_of,
    concat_pair,
    counted,
    trie_root,
    union_of,
    word,
)

WORD_LENGTH = 256  # Longer literals are chains of words, cut at multiples of this from the end, so suffixes are shared.
_FINITE = (Kind.EMPTY, Kind.WORD, Kind.TRIE)
_FACTORED = 8  # Levels to which common heads and tails are factored out of a union.
_SMALL = 256  # Word sets up to this size are compared with the classes beside them.


def chars(charset: CharSet) -> Language:
    """One character of the set."""
    return repeat_class(charset, 1, 1)


def string(text: str) -> Language:
    """Exactly this text. Raises `ValueError` for lone surrogates."""
    _check_text(text)
    return concat(*_words(text)) if len(text) > WORD_LENGTH else word(text) if text else EMPTY_STRING


def _words(text: str) -> list[Language]:
    first = len(text) % WORD_LENGTH
    cuts = [0, *range(first or WORD_LENGTH, len(text) + 1, WORD_LENGTH)] if text else [0]
    return [word(text[low:high]) for low, high in pairwise(cuts)]


def _check_text(text: str) -> None:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("a lone surrogate is not text") from None


def finite(texts: Iterable[str]) -> Language:
    """Exactly these texts, kept as one sorted array and opened as a trie when it is visited."""
    items = tuple(sorted(set(texts)))
    if not items:
        return NOTHING
    if len(items) == 1:
        return string(items[0])
    _check_text("".join(items))
    longest = max(map(len, items))
    if longest == 1:
        return repeat_class(CharSet.of(filter(None, items)), int(bool(items[0])), 1)
    return trie_root(items)


def repeat_class(charset: CharSet, min: int, max: int | None) -> Language:
    """C{min,max}, also where that is a word, empty or nothing."""
    if max is not None and max < min:
        return NOTHING
    if max == 0 or not charset:
        return NOTHING if min else EMPTY_STRING
    if min == max and min <= WORD_LENGTH and charset.size == 1:
        return word(chr(charset.ranges[0][0]) * min)
    return class_run(charset, min, max)


def repeat(body: Language, min: int = 0, max: int | None = None) -> Language:
    """`min` to `max` (None: any number of) bodies, one after the other."""
    if max is not None and max < min:
        return NOTHING
    if max == 0 or body is EMPTY_STRING:
        return EMPTY_STRING
    if body is NOTHING:
        return NOTHING if min else EMPTY_STRING
    if (min, max) == (1, 1) or body is ANY_STRING:
        return body if min else union(EMPTY_STRING, body)
    if body.kind == Kind.BEHIND:
        return body if min else EMPTY_STRING
    if body.nullable:
        min = 0
        if body.kind == Kind.UNION and EMPTY_STRING in body.args:
            return repeat(union(*(part for part in body.args if part is not EMPTY_STRING)), 0, max)
        if body.kind == Kind.TRIE and body.args[2] - body.args[1] <= _SMALL:
            return repeat(finite(filter(None, words_of(body))), 0, max)
    base, low, high = _counter(body)
    # X{low,high}{min,max} = X{low*min,high*max} if the ranges k*low..k*high leave no gap; the first gap is the widest.
    if (low, high) != (1, 1) and (
        min == max or (high is None and (min or low <= 1)) or (high is not None and min * high + 1 >= (min + 1) * low)
    ):
        top = None if high is None or max is None else high * max
        return _count(base, low * min, top)
    if (low, high) != (1, 1):
        base = body
    return union(EMPTY_STRING, base) if (min, max) == (0, 1) and base.kind != Kind.CLASS else _count(base, min, max)


def _counter(node: Language) -> tuple[Language, int, int | None]:
    """(X, m, n) so that the node is X{m,n}."""
    if node.kind == Kind.CLASS:
        charset, low, high = node.args
        return repeat_class(charset, 1, 1), low, high
    if node.kind == Kind.WORD and len(node.args[0]) > 1 and len(set(node.args[0])) == 1:
        return word(node.args[0][0]), len(node.args[0]), len(node.args[0])
    if node.kind == Kind.REPEAT:
        return node.args[0], node.args[1], node.args[2]
    return node, 1, 1


def _count(base: Language, min: int, max: int | None) -> Language:
    if base.kind == Kind.CLASS and base.args[1:] == (1, 1):
        return repeat_class(base.args[0], min, max)
    if base.kind == Kind.WORD and len(base.args[0]) == 1:
        return repeat_class(single(ord(base.args[0])), min, max)
    if (min, max) == (1, 1):
        return base
    return counted(base, min, max)


def concat(*parts: Language) -> Language:
    """The parts, one after the other."""
    out = EMPTY_STRING
    for part in reversed(parts):
        if part is NOTHING:
            return NOTHING
        if out is EMPTY_STRING:
            out = part  # Already in order; only what comes before it is taken apart.
        elif part.kind == Kind.CONCAT:
            for piece in reversed(list(spine(part))):
                out = _cons(piece, out)
        else:
            out = _cons(part, out)
    return out


def spine(node: Language) -> Iterator[Language]:
    """The parts of a concatenation (of a single other term, itself)."""
    while node.kind == Kind.CONCAT:
        yield node.args[0]
        node = node.args[1]
    yield node


def _cons(head: Language, tail: Language) -> Language:
    """head · tail, where head is no concatenation."""
    if head is EMPTY_STRING or tail is NOTHING:
        return tail
    if tail is EMPTY_STRING:
        return head
    first, rest = tail.args if tail.kind == Kind.CONCAT else (tail, EMPTY_STRING)
    if first is ANY_STRING:
        # X·ANY* = ANY* if X may be empty; X{m,n}·ANY* = X{m}·ANY*, which is X alone for m = 1.
        if head.nullable:
            return tail
        if head.kind in (Kind.CLASS, Kind.REPEAT) and head.args[1] != head.args[2] and head.args[0] is not ANY:
            return concat(_count(_counter(head)[0], head.args[1], head.args[1]), tail)
    if head is ANY_STRING:
        # ANY*·X = ANY* if X may be empty; ANY*·C{m,n} = ANY*·C{m}.
        if first.nullable:
            return _cons(head, rest)
        if first.kind == Kind.CLASS and first.args[1] != first.args[2] and first.args[0] is not ANY:
            return _cons(head, _cons(repeat_class(first.args[0], first.args[1], first.args[1]), rest))
    if head.kind == Kind.WORD and first.kind == Kind.WORD:
        text = head.args[0] + first.args[0]
        if len(text) <= WORD_LENGTH:
            return concat_pair(word(text), rest) if rest is not EMPTY_STRING else word(text)
        out: Language = rest
        for piece in reversed(_words(text)):
            out = piece if out is EMPTY_STRING else concat_pair(piece, out)
        return out
    if head.kind == Kind.CLASS:
        charset, low, high = head.args
        if first.kind == Kind.CLASS and first.args[0] is charset:
            top = None if high is None or first.args[2] is None else high + first.args[2]
            return _cons(repeat_class(charset, low + first.args[1], top), rest)
        if charset.size == 1 and first.kind == Kind.WORD and first.args[0][0] == chr(charset.ranges[0][0]):
            text = first.args[0]
            left = text.lstrip(text[0])
            count = len(text) - len(left)
            run = repeat_class(charset, low + count, None if high is None else high + count)
            return _cons(run, _cons(string(left), rest))
    elif head.kind == Kind.WORD and first.kind == Kind.CLASS and first.args[0].size == 1:
        text, (charset, low, high) = head.args[0], first.args
        left = text.rstrip(chr(charset.ranges[0][0]))
        count = len(text) - len(left)
        if count:
            run = repeat_class(charset, low + count, None if high is None else high + count)
            return _cons(string(left), _cons(run, rest))
    elif head.kind == Kind.REPEAT and first.kind == Kind.REPEAT and head.args[0] is first.args[0]:
        top = None if head.args[2] is None or first.args[2] is None else head.args[2] + first.args[2]
        return _cons(counted(head.args[0], head.args[1] + first.args[1], top), rest)
    return concat_pair(head, tail)


def complement(operand: Language) -> Language:
    """Every text that is not in the operand."""
    if operand is NOTHING:
        return ANY_STRING
    if operand is EMPTY_STRING:
        return class_run(ANY, 1, None)
    if operand.kind == Kind.COMPLEMENT:
        inner: Language = operand.args[0]
        return inner
    if operand.kind == Kind.CLASS and operand.args[0] is ANY:
        _, low, high = operand.args
        above = NOTHING if high is None else class_run(ANY, high + 1, None)
        return union(repeat_class(ANY, 0, low - 1), above)
    return complement_of(operand)


def difference(left: Language, right: Language) -> Language:
    """Texts of the left language that are not in the right one."""
    from structgen.automata.regular_intersect import intersect

    return intersect(left, complement(right))


def union(*parts: Language) -> Language:
    """Texts of any of the parts."""
    return _union(parts, _FACTORED)


def _union(parts: Iterable[Language], depth: int) -> Language:
    flat: dict[Language, None] = {}
    for part in parts:
        if part.kind == Kind.UNION:
            flat.update(dict.fromkeys(part.args))
        elif part is not NOTHING:
            flat[part] = None
    while len(flat) > 1:
        if ANY_STRING in flat:
            return ANY_STRING
        merged = _merge(flat, depth)
        if merged == list(flat):
            return union_of(tuple(flat))
        flat = {}
        for part in merged:
            flat.update(dict.fromkeys(part.args if part.kind == Kind.UNION else (part,)))
        flat.pop(NOTHING, None)
    return next(iter(flat), NOTHING)


def _merge(parts: dict[Language, None], depth: int) -> list[Language]:
    """The parts in fewer terms, or the same list if no rule applies."""
    finite_parts = [part for part in parts if part.kind in _FINITE]
    classes = [part for part in parts if part.kind == Kind.CLASS]
    others = [part for part in parts if part.kind not in _FINITE and part.kind != Kind.CLASS]
    if len(classes) > 1:
        classes = _merge_classes(classes)
    if finite_parts:
        finite_parts, classes, others = _merge_words(finite_parts, classes, others)
    if others:
        for run in classes:
            if run.args[1] == 0 and run.args[2] is None:
                others = [part for part in others if not alphabet(part).issubset(run.args[0])]
        others = _merge_others(others, [*finite_parts, *classes], depth)
    out = [*finite_parts, *classes, *others]
    return list(parts) if len(out) == len(parts) and all(part in parts for part in out) else out


def _merge_classes(classes: list[Language]) -> list[Language]:
    """Unions of C{m,n}: equal sets with touching counts, single characters, and what another one covers."""
    runs: dict[CharSet, list[tuple[int, int | None]]] = {}
    one = NONE
    for node in classes:
        charset, low, high = node.args
        if (low, high) == (1, 1):
            one = one.union(charset)
        else:
            runs.setdefault(charset, []).append((low, high))
    if one:
        runs.setdefault(one, []).append((1, 1))
    flat = [(charset, low, high) for charset, spans in runs.items() for low, high in join_intervals(spans)]
    return [
        repeat_class(*run)
        for run in flat
        if not any(run is not wide and _covers(wide, run) for wide in flat)
    ]  # fmt: skip


def _covers(wide: tuple[CharSet, int, int | None], run: tuple[CharSet, int, int | None]) -> bool:
    counts = wide[1] <= run[1] and (wide[2] is None or (run[2] is not None and run[2] <= wide[2]))
    return counts and run[0].issubset(wide[0])


def join_intervals(spans: Iterable[tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    """The union of inclusive intervals (None: no upper end) as few, sorted ones."""
    out: list[tuple[int, int | None]] = []
    for low, high in sorted(spans, key=lambda span: span[0]):
        if out:
            start, end = out[-1]
            if end is None or low <= end + 1:
                out[-1] = start, None if end is None or high is None else max(end, high)
                continue
        out.append((low, high))
    return out


Parts = list[Language]


def _merge_words(found: Parts, classes: Parts, others: Parts) -> tuple[Parts, Parts, Parts]:
    """All words in one trie; single characters join a class; the empty string goes where it costs nothing."""
    if len(found) == 1 and not found[0].nullable and (found[0].kind == Kind.TRIE or not classes):
        return found, classes, others
    words = {text for part in found for text in words_of(part)}
    singles = {text for text in words if len(text) == 1}
    one = next((run for run in classes if run.args[1:] == (1, 1)), None)
    if singles and (one is not None or (len(singles) > 1 and words <= singles | {""})):
        words -= singles
        rest = [run for run in classes if run is not one]
        charset = CharSet.of(singles).union(NONE if one is None else one.args[0])
        classes = _merge_classes([*rest, class_run(charset, 1, 1)])
    if classes and len(words) <= _SMALL:
        words = {text for text in words if not any(_run_matches(run, text) for run in classes)}
    if "" in words and (any(part.nullable for part in others) or any(run.nullable for run in classes)):
        words.discard("")
    if "" in words:
        for pool in (classes, others):
            for index, node in enumerate(pool):
                if node.kind in (Kind.CLASS, Kind.REPEAT) and node.args[1] == 1:
                    pool[index] = _count(_counter(node)[0], 0, node.args[2])
                    words.discard("")
    if "" in words and any(part.max_bound == 0 for part in others):
        others = [part for part in others if part.max_bound != 0]
    return ([finite(words)] if words else []), classes, others


def _run_matches(run: Language, text: str) -> bool:
    charset, low, high = run.args
    return low <= len(text) and (high is None or len(text) <= high) and all(ord(char) in charset for char in text)


def _merge_others(others: Parts, simple: Parts, depth: int) -> Parts:
    """Absorption, x | not x, merged complements and counters, then equal heads and equal tails factored out."""
    present = {*others, *simple}
    kept = [p for p in others if p.kind != Kind.INTERSECT or not any(part in present for part in p.args)]
    denied = [part for part in kept if part.kind == Kind.COMPLEMENT]
    if denied:
        if any(part.args[0] in present for part in denied):
            return [ANY_STRING]
        if len(denied) > 1:
            from structgen.automata.regular_intersect import intersect

            kept = [part for part in kept if part.kind != Kind.COMPLEMENT]
            kept.append(complement(intersect(*(part.args[0] for part in denied))))
    spans: dict[Language, list[tuple[int, int | None]]] = {}
    for part in kept:
        if part.kind == Kind.REPEAT:
            spans.setdefault(part.args[0], []).append((part.args[1], part.args[2]))
    if any(len(counts) > 1 for counts in spans.values()):
        kept = [part for part in kept if part.kind != Kind.REPEAT]
        kept += [_count(body, *span) for body, counts in spans.items() for span in join_intervals(counts)]
    return _factor(_factor(kept, 0, depth), 1, depth) if depth else kept


def _factor(parts: Parts, side: int, depth: int) -> Parts:
    """h·a | h·b = h·(a | b) for side 0, a·t | b·t = (a | b)·t for side 1; a part that is h or t itself joins too."""
    chains = [part for part in parts if part.kind == Kind.CONCAT]
    groups: dict[Language, Parts] = {part.args[side]: [] for part in chains}
    if not chains or (len(groups) == len(chains) and not any(part in groups for part in parts)):
        return parts
    out: Parts = []
    for part in parts:
        if part in groups:
            groups[part].append(part)
        elif part.kind == Kind.CONCAT:
            groups[part.args[side]].append(part)
        else:
            out.append(part)
    for key, members in groups.items():
        if len(members) > 1:
            inner = _union((EMPTY_STRING if part is key else part.args[1 - side] for part in members), depth - 1)
            out.append(concat(key, inner) if side == 0 else concat(inner, key))
        else:
            out.extend(members)
    return out
