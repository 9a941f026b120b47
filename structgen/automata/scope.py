"""What is emitted under a name, for one grammar or for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

Part = tuple[Callable[..., int], tuple[Any, ...], int]
"""What a LAZY instruction stands for until it is reached: a function, its arguments, and what it counts for when it is
emitted ahead of a text."""


class KnownScopes:
    """The scopes that somebody holds, by their numbers and by the ids of their roots.

    Two plain dicts that scopes leave when they go: setting an item of a `WeakValueDictionary` takes as long as emitting
    a key of an object does.
    """

    __slots__ = ("by_number", "by_root")

    def __init__(self) -> None:
        self.by_number: dict[int, ref[Scope]] = {}
        self.by_root: dict[int, ref[Scope]] = {}

    def get(self, number: int) -> Scope | None:
        """The scope with a number; None: it has gone."""
        known = self.by_number.get(number)
        return None if known is None else known()

    def of_root(self, root: object) -> Scope | None:
        """The scope of a root; None: there is none, or it has gone."""
        known = self.by_root.get(id(root))
        return None if known is None else known()


class Scope:
    """The names and the unemitted parts of one grammar, or (number 0) of what all grammars share.

    A network refers to a grammar's scope weakly: it goes with the last who holds it, and with it all that Python knows
    of the grammar. The instructions stay until the arena is emptied, and nothing leads to them any more.
    """

    __slots__ = ("__weakref__", "_known", "_root", "kept", "number", "parts", "rules", "shared")

    def __init__(self, number: int, root: object, known: KnownScopes) -> None:
        """number: of the grammar's root rule, or 0; root: its node, or None."""
        self.number = number
        self._root = root
        self._known = known
        known.by_number[number] = known.by_root[id(root)] = ref(self)
        self.parts: dict[int, Part] = {}
        """By the pc of their LAZY instruction."""
        self.shared: dict[tuple[Any, ...], int] = {}
        """The pcs of what is emitted once a key."""
        self.rules: dict[object, int] = {}
        self.kept: dict[int, object] = {}
        """What ids in keys refer to must stay alive."""

    def __del__(self) -> None:
        self._known.by_number.pop(self.number, None)
        self._known.by_root.pop(id(self._root), None)

    def name_of(self, value: object) -> int:
        """A name for an object that is costly to compare; the object stays alive, so the name stays its own."""
        self.kept[id(value)] = value
        return id(value)
