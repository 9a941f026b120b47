"""Objects as IR: the text of the moves that `members.py` allows.

Each state is one `Lazy` node, so only what a text reaches is built; a state from which no object can be completed is
never entered, and a state that returns to itself is a loop.

In any order a state is the set of declared keys that are behind, so a text of n members meets n states, and what a
state costs is what counts. Members (key, colon, value) and the comma are therefore rules, the same in every state: a
state is a list of calls, and the store's entries for what is inside a member serve all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING

from structgen.automata.regular import Language, string
from structgen.ir import (
    ITEM,
    MEMBERS,
    Alt,
    Call,
    Lazy,
    Member,
    Node,
    Rule,
    Seq,
    Star,
    Text,
    alt,
    choice,
    literal,
    repeat,
    seq,
)
from structgen.ir import NEVER as NO_NODE
from structgen.ir import Members as MemberList
from structgen.schema.forms import ObjectForm, Term
from structgen.schema.members import Members, Move, State
from structgen.schema.open_keys import listed
from structgen.schema.strings import spelled, string_rule
from structgen.schema.whitespace import bracketed

if TYPE_CHECKING:
    from structgen.schema.lower import Lowering

_EAGER = 64  # Declared keys up to which their values are made with the object; of more each when a text gets there.
_BLOCK = 64  # Declared keys that are offered together; the later ones are reached through shared nodes.
_MANY = 1_000  # Declared keys beyond which a state for each set of them costs too much.


class ObjectNode:
    """One object form on its way to IR: the text of the moves."""

    def __init__(self, form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> None:
        self.members = members_of(form, lowering)
        self.lowering = lowering
        self.layout = lowering.layout
        self.term = term
        self.depth = depth

    def node(self) -> Node:
        """The whole object."""
        raise NotImplementedError

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
        return seq(self._open_key(move.key), self.layout.colon, self._value(move))

    def _open_key(self, language: Language) -> Node:
        self.lowering.open_keys.note(language)
        key = string_rule(language, self.lowering.options)
        return Call(Rule("key", lambda: key, role=ITEM)) if self.lowering.open_keys.embedded else key

    def _value(self, move: Move) -> Node:
        return self.lowering.value(move.term, self.lowering.deeper(self.depth))


class MemberListNode(ObjectNode):
    """Objects of which only the keys matter, not their number or what they imply: one construct of the engine.

    Values, commas and gaps are rules: counters may not be open while members are counted, and the store's entries for
    a rule serve every place that calls it.
    """

    def node(self) -> Node:
        members = self.members
        lowering, layout = self.lowering, self.layout
        mark, depth = layout.colon_mark, lowering.deeper(self.depth)
        many = len(members.names) > _EAGER

        def value(term: Term) -> Node:
            return Lazy(lambda: lowering.member_value(term, depth)) if many else lowering.member_value(term, depth)

        keys = tuple(
            Member(spelled(name) + mark, value(members.form.named[name]), required)
            for name, required in zip(members.names, members.required, strict=True)
        )
        additional = [
            seq(self._open_key(part.language), literal(layout.colon_mark), lowering.member_value(part.term, depth))
            for part in members.classes
        ]
        opening, comma, closing, nothing = layout.rules(self.depth)
        start, end, empty = (
            [call.rule.body() for call in (opening, closing, nothing)]  # a bracket shows what rule it is in
            if lowering.open_keys.embedded
            else (opening, closing, nothing)
        )
        parts = [empty] if members.may_end(members.start) else []
        if keys or additional:
            listed = MemberList(
                keys, alt(*additional) if additional else None, comma, lowering.options.property_order != "any"
            )
            parts.append(seq(start, listed, end))
        return alt(*parts)


class StatesNode(ObjectNode):
    """Objects whose keys are counted, or make demands on each other: a node for each state."""

    def __init__(self, form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> None:
        super().__init__(form, lowering, term, depth)
        self.close = seq(self.layout.close(depth), literal("}"))
        self.separator = self.layout.separator(depth)
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

    def _after(self, state: State) -> Lazy:
        """What follows a member: a comma and more, or the end."""
        return self._lazily("after", state, self._build_after)

    def _lazily(self, kind: str, state: State, build: Callable[[State], Node]) -> Lazy:
        node = self._nodes.get((kind, state))
        if node is None:
            node = self._nodes[kind, state] = Lazy(lambda: self._located(build, state))
        return node

    def _located(self, build: Callable[[State], Node], state: State) -> Node:
        with self.lowering.located(self.term):
            return build(state)

    def _build_keys(self, state: State) -> Node:
        raise NotImplementedError

    def _build_after(self, state: State) -> Node:
        raise NotImplementedError


class AnyOrderNode(StatesNode):
    """Declared and additional keys as they come."""

    def __init__(self, form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> None:
        super().__init__(form, lowering, term, depth)
        self._calls: dict[tuple[str | Language, Term], Call] = {}
        self._comma = self.layout.rules(depth)[1]

    def _build_keys(self, state: State) -> Node:
        members = self.members
        moves = chain(members.named_moves(state), members.open_moves(state))
        return Alt(tuple(Seq((self._call(move), self._after(move.state))) for move in moves))

    def _build_after(self, state: State) -> Node:
        keys = self._build_keys(state)
        more = Seq((self._comma, keys)) if keys != NO_NODE else NO_NODE
        return alt(self.close, more) if self.members.may_end(state) else more

    def _call(self, move: Move) -> Call:
        """A member as a rule."""
        key = (move.key, move.term)
        call = self._calls.get(key)
        if call is None:
            if isinstance(move.key, str):
                rule = Rule(move.key, lambda: self._named([(move, self._value(move))]))
            else:
                rule = Rule("member", lambda: self._member(move))
            call = self._calls[key] = Call(rule)
        return call


class DeclaredOrderNode(StatesNode):
    """Declared keys in the order of the schema, then additional ones."""

    def _build_keys(self, state: State) -> Node:
        members = self.members
        position = state[0]
        block = (position // _BLOCK + 1) * _BLOCK
        split = block < len(members.names)
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
        if position == len(members.names) and not owed:
            form = members.form
            moves = list(members.open_moves(state))
            if not moves:
                return self.close

            def member() -> Node:
                return seq(self.separator, alt(*(self._member(move) for move in moves)))

            low = max(0, form.min - count) if members.count_cap else 0
            high = None if form.max is None else form.max - count
            plain = (low, high) in ((0, None), (1, None), (0, 1), (1, 1))
            return seq(repeat(member() if plain else Call(Rule("members", member)), low, high), self.close)
        loops = [move for move in members.open_moves(state) if move.state == state]
        parts = []
        if members.may_end(state):
            parts.append(self.close)
        if any(move.state != state for move in chain(members.named_moves(state), members.open_moves(state))):
            parts.append(seq(self.separator, self._keys(state)))
        rest = alt(*parts)
        if not loops:
            return rest
        return seq(Star(seq(self.separator, alt(*(self._member(move) for move in loops)))), rest)


def object_node(form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> Node:
    """The node of a form that some object satisfies."""
    form = listed(form)
    if form.classes and lowering.open_keys.embedded:
        return Call(Rule("object", lambda: _object_node(form, lowering, term, depth), role=MEMBERS))
    return _object_node(form, lowering, term, depth)


def _object_node(form: ObjectForm, lowering: Lowering, term: Term, depth: int) -> Node:
    if not form.demands and form.max is None and lowering.options.literal_escapes != "any":
        plain = MemberListNode(form, lowering, term, depth)
        if not plain.members.count_cap:
            return plain.node()
    order = AnyOrderNode if _any_order(form, lowering) else DeclaredOrderNode
    return order(form, lowering, term, depth).node()


def members_of(form: ObjectForm, lowering: Lowering) -> Members:
    """The automaton of a form, in the order that the options ask for."""

    def made() -> Members:
        all_listed = listed(form)
        return Members(all_listed, lowering.satisfiable, lowering.expander, any_order=_any_order(all_listed, lowering))

    return lowering.kept_members(form, made) if form.demands else made()


def _any_order(form: ObjectForm, lowering: Lowering) -> bool:
    return lowering.options.property_order == "any" and len(form.named) <= _MANY
