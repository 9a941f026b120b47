"""Indentation as CPython counts it: a column with tabs to the next multiple of 8, and one with tabs of width 1.

Two indentations are the same if both columns are; one is deeper if both are larger; everything else is an error there
("inconsistent use of tabs and spaces") and has no text here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from structgen.ir import EMPTY, Call, Lazy, Node, Rule, alt, literal, seq

TAB = 8

# The last character of an indentation is a rule: what follows it is then asked for what is left of a token, and that is
# known from other columns.
_LAST = {char: Call(Rule("indent", lambda char=char: literal(char), key=("indent", char))) for char in " \t"}  # type: ignore[misc]


class Column(NamedTuple):
    """Where a line begins: `wide` with tabs to multiples of 8, `narrow` with tabs of width 1."""

    wide: int = 0
    narrow: int = 0

    def after(self, char: str) -> Column:
        """The column behind a space or a tab."""
        return Column((self.wide // TAB + 1) * TAB if char == "\t" else self.wide + 1, self.narrow + 1)

    def deeper(self, other: Column) -> bool:
        """Whether this is an indentation below `other`."""
        return self.wide > other.wide and self.narrow > other.narrow


def exactly(column: Column) -> Node:
    """The texts of spaces and tabs that end in a column."""
    if column == Column():
        return EMPTY
    return Call(Rule("line", lambda: _exactly(column), key=("column", column)))


def _exactly(column: Column) -> Node:
    known: dict[Column, Node | None] = {column: EMPTY}

    def to_end(at: Column) -> Node | None:
        if at not in known:
            parts = []
            if at.narrow < column.narrow and at.wide < column.wide:
                for char in " \t":
                    rest = to_end(at.after(char))
                    if rest is not None:
                        parts.append(seq(literal(char), rest))
            if len(parts) > 1:
                node = alt(*parts)
                known[at] = Lazy(lambda: node)  # where the ways meet again they go on as one
            else:
                known[at] = parts[0] if parts else None
        return known[at]

    node = to_end(Column())
    assert node is not None
    return node


def deeper(top: Column, then: Callable[[Column], Node]) -> Node:
    """Any indentation deeper than `top`, followed by what `then` says of its column."""
    known: dict[Column, Lazy] = {}

    def state(at: Column) -> Node:
        if at not in known:
            known[at] = Lazy(lambda: expand(at))
        return known[at]

    def expand(at: Column) -> Node:
        ways = []
        for char in " \t":
            after = at.after(char)
            if after.deeper(top):
                ways.append(seq(_LAST[char], then(after)))
            ways.append(seq(literal(char), state(after)))
        return alt(*ways)

    return state(Column())
