"""The one formalism all front ends compile to: regular structure over bytes, plus calls of (possibly recursive) rules.

Nodes are frozen and compared by value, except `Rule` and `Lazy`, which are compared by identity: they are the places
where graphs are tied and where work is put off until a parser first gets there. A node describes a set of byte
strings. Text over code points (JSON strings, patterns) is a `Text` leaf that holds a regular language over code points
and the encoding it is written in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, Union
from typing import Literal as OneOf

if TYPE_CHECKING:
    from structgen.automata.regular import Language

Node: TypeAlias = Union[
    "Bytes", "Literal", "Seq", "Alt", "Star", "Repeat", "Choice", "Call", "Lazy", "Text", "Guard", "Members"
]
Encoding: TypeAlias = OneOf["json", "json-canonical", "utf-8"]
NO_ROLE, ITEMS, MEMBERS, ITEM = 0, 1, 2, 3  # of a rule


@dataclass(frozen=True, slots=True)
class Bytes:
    """One byte out of a set, given as a 256-bit integer (bit b set: byte b is in it)."""

    mask: int


@dataclass(frozen=True, slots=True)
class Literal:
    """Exactly these bytes, at least one."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Seq:
    """The parts, one after the other; no parts: the empty string."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """Any one of the parts; no parts: nothing at all."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Star:
    """Any number of bodies, also none. The body must not match the empty string."""

    body: Node


@dataclass(frozen=True, slots=True)
class Repeat:
    """At least `min` and at most `max` bodies (None: no upper limit), kept as a counter and not as copies.

    The body must not match the empty string, and must not contain another counter except inside a `Call`.
    """

    body: Node
    min: int
    max: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of many literals, each followed by its own continuation; shared as a trie, so 100,000 literals are fine."""

    branches: tuple[tuple[bytes, Node], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """A rule, entered with a stack frame of its own (recursion is allowed)."""

    rule: Rule


@dataclass(frozen=True, slots=True)
class Text:
    """A text whose *decoded* form is in a regular language over code points, as it is spelled in an encoding.

    "json": what stands between the quotes of a JSON string, with every legal escape of each character;
    "json-canonical": the same with only the escapes JSON requires, as `json.dumps(…, ensure_ascii=False)` writes them;
    "utf-8": the raw text. The quotes are not part of it.
    """

    language: Language
    encoding: Encoding


class Member(NamedTuple):
    """One key of `Members`: how it is spelled, with all that tells it from a longer key (its closing quote), what
    follows it, and whether it must be there."""

    key: bytes
    rest: Node
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Members:
    """One or more members with a separator between them: each key at most once, those that are required all there.

    `additional` is one member that is not among the keys (None: there are none), any number of times. With `ordered`
    the keys come in the order given, additional members after them. Keys differ, and none is the beginning of another.
    Neither what follows a key nor `additional` nor `separator` may contain a counter except inside a `Call`, and each
    of them must match some text.
    """

    keys: tuple[Member, ...]
    additional: Node | None
    separator: Node
    ordered: bool


@dataclass(frozen=True, slots=True)
class Guard:
    """Nothing, but the byte that follows, if any, is not in a set (a 256-bit integer): a scanner's longest match.

    It stands behind at least one byte of its rule. Whatever may follow it must include the end of the text or a byte
    outside the set: who builds a grammar sees to that, the engine looks one byte ahead only.
    """

    mask: int


class Lazy:
    """A node that is computed when it is first reached. Used twice with the same continuation it is emitted once."""

    __slots__ = ("_node", "_thunk")

    def __init__(self, thunk: Callable[[], Node]) -> None:
        self._thunk: Callable[[], Node] | None = thunk
        self._node: Node | None = None

    def force(self) -> Node:
        """The node. Computed once."""
        if self._node is None:
            thunk = self._thunk
            assert thunk is not None
            self._node = thunk()
            self._thunk = None
        return self._node


class Rule:
    """A named, possibly recursive rule. `key` (hashable) lets equal rules of different grammars be one and the same.

    `nullable` says whether the rule matches the empty string; the front end must say so, because bodies are lazy.
    `role` is what the rule is to a reader that remembers values: `ITEMS`, an array of JSON no two items of which are
    equal; `MEMBERS`, an object no two keys of which are; `ITEM`, each item or additional key of one.
    `apart` says that there are many rules like it, that begin with calls of the same rules: masks where it is called
    are put together from theirs, and it has none of its own.
    `composed` says that it calls many rules and is itself called in many contexts: masks within it are kept with it.
    `alike` says that callers that go on in the same way behind it are one to it: nothing that is remembered of a text
    hangs on which of them it was.
    `light` says that its body is there already, or soon made: rules that are emitted before a text reaches them are
    counted, and light ones count little.
    """

    __slots__ = ("_body", "alike", "apart", "composed", "key", "light", "name", "nullable", "role")

    def __init__(
        self,
        name: str,
        thunk: Callable[[], Node],
        *,
        key: object = None,
        nullable: bool = False,
        role: int = NO_ROLE,
        apart: bool = False,
        composed: bool = False,
        alike: bool = False,
        light: bool = False,
    ) -> None:
        self.name = name
        self.key = key
        self.nullable = nullable
        self.role = role
        self.apart = apart
        self.composed = composed
        self.alike = alike
        self.light = light
        self._body = Lazy(thunk)

    def body(self) -> Node:
        """The rule's body. Computed once."""
        return self._body.force()

    def __repr__(self) -> str:
        return f"Rule({self.name})"


EMPTY = Seq(())
NEVER = Alt(())


def byte_set(values: Iterable[int]) -> Bytes:
    """One byte out of `values`."""
    mask = 0
    for value in values:
        mask |= 1 << value
    return Bytes(mask)


def byte_range(low: int, high: int) -> Bytes:
    """One byte from low to high, both included."""
    return Bytes((1 << (high + 1)) - (1 << low))


def literal(data: bytes | str) -> Node:
    """Exactly this text (UTF-8); the empty text is `EMPTY`."""
    raw = data.encode() if isinstance(data, str) else data
    return Literal(raw) if raw else EMPTY


def seq(*parts: Node) -> Node:
    """Concatenation: flattened, neighbouring literals joined, `NEVER` absorbing."""
    if len(parts) == 1:
        return parts[0]
    flat: list[Node] = []
    for part in parts:
        for piece in part.parts if isinstance(part, Seq) else (part,):
            if isinstance(piece, Alt) and not piece.parts:
                return NEVER
            if isinstance(piece, Literal) and flat and isinstance(flat[-1], Literal):
                flat[-1] = Literal(flat[-1].data + piece.data)
            else:
                flat.append(piece)
    return flat[0] if len(flat) == 1 else Seq(tuple(flat))


def alt(*parts: Node) -> Node:
    """Union: flattened, duplicates dropped, byte sets joined."""
    if len(parts) == 1:
        return parts[0]
    flat: dict[Node, None] = {}
    mask = 0
    for part in parts:
        for piece in part.parts if isinstance(part, Alt) else (part,):
            if isinstance(piece, Bytes):
                mask |= piece.mask
            else:
                flat[piece] = None
    if mask:
        flat[Bytes(mask)] = None
    return next(iter(flat)) if len(flat) == 1 else Alt(tuple(flat))


def optional(node: Node) -> Node:
    """The node or nothing."""
    return alt(node, EMPTY)


def repeat(body: Node, min: int = 0, max: int | None = None) -> Node:
    """Between `min` and `max` bodies; the small and unbounded cases become plain structure."""
    if max is not None and max < min:
        return NEVER
    if max == 0:
        return EMPTY
    if (min, max) == (1, 1):
        return body
    if (min, max) == (0, 1):
        return optional(body)
    if max is None and min <= 1:
        return Star(body) if min == 0 else seq(body, Star(body))
    return Repeat(body, min, max)


def choice(branches: Iterable[tuple[bytes, Node]]) -> Node:
    """One of the literals with its continuation; impossible continuations are dropped."""
    kept = tuple((data, node) for data, node in branches if node != NEVER)
    if not kept:
        return NEVER
    if len(kept) == 1:
        return seq(literal(kept[0][0]), kept[0][1])
    return Choice(kept)
