"""What is emitted under a name, for one grammar or for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Part = tuple[Callable[..., int], tuple[Any, ...], int]
"""What a LAZY instruction stands for until it is reached: a function, its arguments, and what it counts for when it is
emitted ahead of a text."""


class Scope:
    """The names and the unemitted parts of one grammar, or (number 0) of what all grammars share.

    A network refers to a grammar's scope weakly: it goes with the last who holds it, and with it all that Python knows
    of the grammar. The instructions stay until the arena is emptied, and nothing leads to them any more.
    """

    __slots__ = ("__weakref__", "kept", "number", "parts", "rules", "shared")

    def __init__(self, number: int) -> None:
        """number: of the grammar's root rule, or 0."""
        self.number = number
        self.parts: dict[int, Part] = {}
        """By the pc of their LAZY instruction."""
        self.shared: dict[tuple[Any, ...], int] = {}
        """The pcs of what is emitted once a key."""
        self.rules: dict[object, int] = {}
        self.kept: dict[int, object] = {}
        """What ids in keys refer to must stay alive."""

    def name_of(self, value: object) -> int:
        """A name for an object that is costly to compare; the object stays alive, so the name stays its own."""
        self.kept[id(value)] = value
        return id(value)
