"""The nodes of a regular language: interned, immutable, with the few facts that every constructor needs.

This module makes nodes as it is told to; what a good node is, is `regular_algebra`'s business, and what it can do next
is `regular_derive`'s.

Theory of operation. A language is a term over code points. Terms are hash-consed, so equal terms are one object and a
set of states is a set of objects. The interning table is weak: a term lives as long as someone holds it or one that
leads to it.

A *located* term depends on the text before it too: it contains `BEHIND` leaves, which match the empty string where
the prefix is in a language. It denotes pairs (prefix, rest). `CONTEXT` closes it at the start of a text; located terms
never leave the pattern compiler otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Protocol
from weakref import WeakValueDictionary

from structgen.automata.charset import ANY, CharSet
from structgen.errors import StructgenError

Edges = tuple[tuple[CharSet, "Language"], ...]
Interval = tuple[int, "int | None"]


class LanguageTooComplex(StructgenError):
    """A question about a regular language needed more derivatives than the limit."""


class Kind:
    """What a term is. The comment gives `args`. Plain integers: reading a member of an `Enum` costs 0.2 µs."""

    NOTHING = 0  # ()
    EMPTY = 1  # ()
    WORD = 2  # (text,), 1 to 256 characters
    CLASS = 3  # (charset, min, max): that many characters of the set
    TRIE = 4  # (words, low, high, depth): words[low:high], each without its first `depth` characters
    CONCAT = 5  # (head, tail), head is no CONCAT
    REPEAT = 6  # (body, min, max), body is not CLASS
    UNION = 7  # parts
    INTERSECT = 8  # parts
    COMPLEMENT = 9  # (operand,)
    BEHIND = 10  # (language of prefixes,)
    CONTEXT = 11  # (located term, ((language of prefixes, what it is after the text so far), …))
    LOOP = 12  # (rest,), the least L = body | rest, where `LoopBody.body` contains L
    MACHINE = 13  # (machine, state): what a `Machine` accepts from a state on


KIND_NAMES = tuple(name for name in vars(Kind) if name.isupper())


class Words:
    """A sorted tuple of distinct strings, shared by all trie states over it. Compared by identity."""

    __slots__ = ("__weakref__", "items", "max_length")

    def __init__(self, items: tuple[str, ...]) -> None:
        self.items = items
        self.max_length = max(map(len, items))


class LoopBody:
    """The body of a `LOOP`, tied after the loop exists, and a name for it that is stable across processes."""

    __slots__ = ("body", "name")

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.body: Language = NOTHING


class Machine(Protocol):
    """A deterministic automaton that is computed as it is explored, for languages that are arithmetic and not text.

    States are tuples of ints. Equal machines must be one object. From every state some text must be accepted, unless
    `certain` is false. `name` determines the machine, in every process.
    """

    name: bytes
    certain: bool

    def edges(self, state: tuple[int, ...]) -> list[tuple[CharSet, Language]]:
        """(characters, what may follow them), the sets disjoint."""

    def accepts(self, state: tuple[int, ...]) -> bool:
        """Whether the text may end in the state."""


class Language:
    """A regular language over code points; also a state of its own automaton, whose other states are languages too.

    Equality is identity: equal terms are the same object (equal languages need not be). `min_bound` and `max_bound`
    enclose the lengths of all words. `plain`: no intersection or complement inside, so it is certainly not empty.
    """

    __slots__ = (
        "__weakref__", "_alphabet", "_edges", "_empty", "_key", "_lengths", "_raw",
        "args", "kind", "located", "looping", "max_bound", "min_bound", "nullable", "plain",
    )  # fmt: skip

    kind: int
    args: tuple[Any, ...]
    nullable: bool
    plain: bool
    located: bool
    looping: bool
    min_bound: int
    max_bound: int | None
    _raw: Edges | None
    _edges: Edges | None
    _empty: bool | None
    _key: bytes | None
    _lengths: tuple[Interval, ...] | bool | None
    _alphabet: CharSet | None

    @property
    def key(self) -> bytes:
        """A digest of the structure: the same in every process, different for different terms."""
        from structgen.automata import regular_derive

        return self._key or regular_derive.key_of(self)

    def edges(self) -> Edges:
        """(characters, next language) pairs: the sets are disjoint, no target is empty, no two targets are equal.

        Raises `LanguageTooComplex` where it cannot be told within the limit whether a target is empty.
        """
        if self._edges is None:
            from structgen.automata import regular_derive

            return regular_derive.live_edges(self)
        return self._edges

    def step(self, code_point: int) -> Language:
        """The language of what may follow this character: the derivative, which may be empty."""
        from structgen.automata import regular_derive

        return regular_derive.step(self, code_point)

    def is_empty(self, *, limit: int = 50_000) -> bool:
        """Whether no text at all is in the language. Raises `LanguageTooComplex` after `limit` states."""
        if self._empty is None:
            from structgen.automata import regular_derive

            return regular_derive.is_empty(self, limit)
        return self._empty

    def matches(self, text: str) -> bool:
        """Whether the text is in the language."""
        from structgen.automata import regular_derive

        return regular_derive.matches(self, text)

    def min_length(self) -> int:
        """Length in characters of the shortest text. The language must not be empty."""
        from structgen.automata import regular_lengths

        return regular_lengths.min_length(self)

    def max_length(self) -> int | None:
        """Length in characters of the longest text, None where there is no longest. Must not be empty."""
        from structgen.automata import regular_lengths

        return regular_lengths.max_length(self)

    def shortest(self) -> str | None:
        """A shortest text of the language, None if it is empty."""
        from structgen.automata import regular_lengths

        return regular_lengths.shortest(self)

    def class_repeat(self) -> tuple[CharSet, int, int | None] | None:
        """(C, m, n) where the term is exactly C{m,n}, n None for no upper limit; otherwise None."""
        if self.kind == Kind.CLASS:
            charset, low, high = self.args
            return charset, low, high
        if self.kind == Kind.EMPTY:
            return ANY, 0, 0
        if self.kind == Kind.WORD and len(set(self.args[0])) == 1:
            return CharSet.of(self.args[0][0]), len(self.args[0]), len(self.args[0])
        return None

    def __repr__(self) -> str:
        text = " ".join(str(arg) if not isinstance(arg, Words) else "…" for arg in self.args[:6])
        return f"<{KIND_NAMES[self.kind]} {text[:200]}>" if text else f"<{KIND_NAMES[self.kind]}>"


_interned: WeakValueDictionary[tuple[Any, ...], Language] = WeakValueDictionary()


def _node(
    intern_key: tuple[Any, ...], kind: int, args: tuple[Any, ...], nullable: bool,
    min_bound: int, max_bound: int | None, plain: bool = True, located: bool = False, looping: bool = False,
) -> Language:  # fmt: skip
    node = object.__new__(Language)
    node.kind = kind
    node.args = args
    node.nullable = nullable
    node.plain = plain
    node.located = located
    node.looping = looping
    node.min_bound = min_bound
    node.max_bound = max_bound
    node._raw = node._edges = node._key = node._lengths = node._alphabet = None
    node._empty = False if plain or nullable else None
    return _interned.setdefault(intern_key, node)


def word(text: str) -> Language:
    """Exactly this text of 1 to 256 characters."""
    found = _interned.get((Kind.WORD, text))
    return found or _node((Kind.WORD, text), Kind.WORD, (text,), False, len(text), len(text))


def class_run(charset: CharSet, min: int, max: int | None) -> Language:
    """`min` to `max` characters of a set that is not empty; max > 0."""
    key = (Kind.CLASS, charset, min, max)
    found = _interned.get(key)
    return found or _node(key, Kind.CLASS, key[1:], min == 0, min, max)


def trie(words: Words, low: int, high: int, depth: int) -> Language:
    """The words in [low, high), which share their first `depth` characters, without these."""
    key = (Kind.TRIE, words, low, high, depth)
    found = _interned.get(key)
    if found is None:
        nullable = len(words.items[low]) == depth
        found = _node(key, Kind.TRIE, key[1:], nullable, 0 if nullable else 1, words.max_length - depth)
    return found


def trie_root(items: tuple[str, ...]) -> Language:
    """All of at least two sorted, distinct words."""
    key = (Kind.TRIE, items)
    found = _interned.get(key)
    if found is None:
        words = Words(items)
        shortest = min(map(len, items))
        found = _node(key, Kind.TRIE, (words, 0, len(items), 0), not shortest, shortest, words.max_length)
    return found


def concat_pair(head: Language, tail: Language) -> Language:
    """One after the other."""
    key = (Kind.CONCAT, head, tail)
    found = _interned.get(key)
    if found is None:
        longest = None if head.max_bound is None or tail.max_bound is None else head.max_bound + tail.max_bound
        found = _node(
            key, Kind.CONCAT, key[1:], head.nullable and tail.nullable, head.min_bound + tail.min_bound, longest,
            head.plain and tail.plain, head.located or tail.located, tail.looping,
        )  # fmt: skip
    return found


def counted(body: Language, min: int, max: int | None) -> Language:
    """`min` to `max` bodies."""
    key = (Kind.REPEAT, body, min, max)
    found = _interned.get(key)
    if found is None:
        longest = None if max is None or body.max_bound is None else body.max_bound * max
        found = _node(
            key, Kind.REPEAT, key[1:], min == 0 or body.nullable, body.min_bound * min, longest,
            body.plain, body.located,
        )  # fmt: skip
    return found


def union_of(parts: tuple[Language, ...]) -> Language:
    """Any of at least two distinct parts."""
    key = (Kind.UNION, frozenset(parts))
    found = _interned.get(key)
    if found is None:
        bounds = [part.max_bound for part in parts]
        found = _node(
            key, Kind.UNION, parts, any(part.nullable for part in parts), min(part.min_bound for part in parts),
            None if None in bounds else max(bounds),  # type: ignore[type-var]
            all(part.plain for part in parts), any(part.located for part in parts),
            any(part.looping for part in parts),
        )  # fmt: skip
        if any(part.plain for part in parts):
            found._empty = False
    return found


def intersection_of(parts: tuple[Language, ...]) -> Language:
    """All of at least two distinct parts."""
    key = (Kind.INTERSECT, frozenset(parts))
    found = _interned.get(key)
    if found is None:
        bounds = [part.max_bound for part in parts if part.max_bound is not None]
        found = _node(
            key, Kind.INTERSECT, parts, all(part.nullable for part in parts), max(part.min_bound for part in parts),
            min(bounds, default=None), False, any(part.located for part in parts),
            any(part.looping for part in parts),
        )  # fmt: skip
    return found


def complement_of(operand: Language) -> Language:
    """Every text that is not in the operand."""
    key = (Kind.COMPLEMENT, operand)
    found = _interned.get(key)
    if found is None:
        nullable = not operand.nullable and not operand.located
        found = _node(key, Kind.COMPLEMENT, (operand,), nullable, int(operand.nullable), None, False, operand.located)
        if operand.max_bound is not None:
            found._empty = False
    return found


def behind(prefixes: Language) -> Language:
    """The empty string, where the text before it is in `prefixes`."""
    key = (Kind.BEHIND, prefixes)
    return _interned.get(key) or _node(key, Kind.BEHIND, (prefixes,), False, 0, 0, False, True)


def context_of(term: Language, tracked: tuple[tuple[Language, Language], ...], nullable: bool) -> Language:
    """A located term with what each language of prefixes has become; `nullable` says whether the text may end here."""
    key = (Kind.CONTEXT, term, tracked)
    found = _interned.get(key)
    if found is None:
        bounds = 0 if nullable else term.min_bound, term.max_bound
        found = _node(key, Kind.CONTEXT, (term, tracked), nullable, *bounds, False)
    return found


def loop(rest: Language, name: bytes, *, located: bool) -> tuple[Language, LoopBody]:
    """The least L = body | rest, and where to put the body; `name` and `rest` together must determine it.

    The body must not match the empty string, except as L itself does; `located` says whether it looks back.
    """
    tied = LoopBody(name)
    key = (Kind.LOOP, rest, tied)
    return _node(key, Kind.LOOP, (rest, tied), rest.nullable, 0, None, False, located or rest.located, True), tied


def machine_state(machine: Machine, state: tuple[int, ...]) -> Language:
    """What a machine accepts from a state on."""
    key = (Kind.MACHINE, machine, state)
    found = _interned.get(key)
    if found is None:
        nullable = machine.accepts(state)
        found = _node(key, Kind.MACHINE, key[1:], nullable, 0 if nullable else 1, None, False)
        if machine.certain:
            found._empty = False
    return found


def children(node: Language) -> Iterator[Language]:
    """The terms inside; not the body of a loop, which contains the loop."""
    if node.kind == Kind.CONTEXT:
        yield node.args[0]
        for pair in node.args[1]:
            yield from pair
    elif node.kind > Kind.TRIE:
        for arg in node.args:
            if isinstance(arg, Language):
                yield arg


def digest(*parts: bytes) -> bytes:
    """A short digest of the parts, in order."""
    state = blake2b(digest_size=16)
    for part in parts:
        state.update(len(part).to_bytes(4, "little") + part)
    return state.digest()


NOTHING = _node((Kind.NOTHING,), Kind.NOTHING, (), False, 0, 0)
NOTHING._empty = True
EMPTY_STRING = _node((Kind.EMPTY,), Kind.EMPTY, (), True, 0, 0)
ANY_STRING = class_run(ANY, 0, None)
