"""Objects as IR: the text of the moves that `members.py` allows.

Each state is one `Lazy` node, so only what a text reaches is built; a state from which no object can be completed is
never entered, and a state that returns to itself is a loop.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

from structgen.automata.regular import Language, string
from structgen.ir import NEVER as NO_NODE
from structgen.ir import Call, Lazy, Node, Rule, Star, Text, alt, choice, literal, repeat, seq
from structgen.schema.forms import ObjectForm, Term
from structgen.schema.members import Members, Move, State
from structgen.schema.strings import spelled, string_rule
from structgen.schema.whitespace import bracketed

if TYPE_CHECKING:
    from structgen.schema.lower import Lowering

_BLOCK = 64  # Declared keys that are offered together; the later ones are reached through shared nodes.


class ObjectNode:
    """One object form on its way to IR: the text of the moves."""

    def __init__(self, form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> None:
        self.members = members_of(form, lowering)
        self.lowering = lowering
        self.layout = lowering.layout
        self.term = term
        self.depth = depth
        self._nodes: dict[tuple[str, State], Lazy] = {}

    def node(self) -> Node:
        """The whole object."""
        start = self.members.start
        filled = self._keys(start) if self._moves(start) else NO_NODE
        return bracketed(self.layout, self.depth, "{", filled, "}", may_be_empty=self.members.may_end(start))

    def _moves(self, state: State) -> bool:
        members = self.members
        return any(True for _ in chain(members.named_moves(state), members.open_moves(state)))

    def _keys(self, state: State) -> Node:
        """What follows `{` or a comma: a key, its value, and the rest of the object."""
        return self._lazily("keys", state, self._build_keys)

    def _after(self, state: State) -> Node:
        """What follows a member: a comma and more, or the end."""
        return self._lazily("after", state, self._build_after)

    def _lazily(self, kind: str, state: State, build: Callable[[State], Node]) -> Node:
        node = self._nodes.get((kind, state))
        if node is None:
            node = self._nodes[kind, state] = Lazy(lambda: self._located(build, state))
        return node

    def _located(self, build: Callable[[State], Node], state: State) -> Node:
        with self.lowering.located(self.term):
            return build(state)

    def _build_keys(self, state: State) -> Node:
        members = self.members
        position = state[0]
        block = (position // _BLOCK + 1) * _BLOCK
        split = not members.any_order and block < len(members.names)
        named = list(members.named_moves(state, block if split else None))
        parts = [self._named([(move, seq(self._value(move), self._after(move.state))) for move in named])]
        if split and members.required_from[position] == members.required_from[block]:
            parts.append(self._keys(members.skip_to(state, block)))
        else:
            parts.extend(seq(self._member(move), self._after(move.state)) for move in members.open_moves(state))
        return alt(*parts)

    def _build_after(self, state: State) -> Node:
        members = self.members
        position, count, owed = state
        close = seq(self.layout.close(self.depth), literal("}"))
        separator = self.layout.separator(self.depth)
        if not members.any_order and position == len(members.names) and not owed:
            form = members.form
            moves = list(members.open_moves(state))
            if not moves:
                return close

            def member() -> Node:
                return seq(separator, alt(*(self._member(move) for move in moves)))

            low = max(0, form.min - count) if members.count_cap else 0
            high = None if form.max is None else form.max - count
            plain = (low, high) in ((0, None), (1, None), (0, 1), (1, 1))
            return seq(repeat(member() if plain else Call(Rule("members", member)), low, high), close)
        loops = [move for move in members.open_moves(state) if move.state == state]
        parts = []
        if members.may_end(state):
            parts.append(close)
        if any(move.state != state for move in chain(members.named_moves(state), members.open_moves(state))):
            parts.append(seq(separator, self._keys(state)))
        rest = alt(*parts)
        if not loops:
            return rest
        return seq(Star(seq(separator, alt(*(self._member(move) for move in loops)))), rest)

    def _named(self, branches: list[tuple[Move, Node]]) -> Node:
        """Declared keys with what follows their colon."""
        pairs = [(str(move.key), node) for move, node in branches]
        if self.lowering.options.literal_escapes == "any":
            return alt(
                *(
                    seq(literal('"'), Text(string(key), "json"), literal('"'), self.layout.colon, node)
                    for key, node in pairs
                )
            )
        mark, gap = self.layout.colon_mark, self.layout.colon_gap
        return choice((spelled(key) + mark, seq(gap, node)) for key, node in pairs)

    def _member(self, move: Move) -> Node:
        """An additional key, its colon and its value."""
        assert isinstance(move.key, Language)
        key = string_rule(move.key, self.lowering.options)
        return seq(key, self.layout.colon, self._value(move))

    def _value(self, move: Move) -> Node:
        return self.lowering.value(move.term, self.lowering.deeper(self.depth))


def object_node(form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> Node:
    """The node of a form that some object satisfies."""
    return ObjectNode(form, lowering, term, depth).node()


def members_of(form: ObjectForm, lowering: Lowering) -> Members:
    """The automaton of a form, in the order that the options ask for."""
    any_order = lowering.options.property_order == "any"
    return Members(form, lowering.satisfiable, lowering.expander, any_order=any_order)
