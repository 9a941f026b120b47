"""Arrays as IR: the positions of `prefixItems` one by one, then a loop or a counter.

Where `contains` is asked for, an automaton counts the items that match: its states are (index, counts), each a `Lazy`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from structgen.errors import UnsupportedSchemaError
from structgen.ir import ITEM, ITEMS, Call, Lazy, Node, Rule, Star, alt, choice, literal, repeat, seq
from structgen.ir import NEVER as NO_NODE
from structgen.schema.distinct import Distinct, differ_anyway, distinct
from structgen.schema.distinct import State as Used
from structgen.schema.forms import ArrayForm, Term
from structgen.schema.items import Items, State
from structgen.schema.remembered import Remembered
from structgen.schema.strings import spelled
from structgen.schema.whitespace import bracketed

if TYPE_CHECKING:
    from structgen.schema.lower import Lowering

ItemNode: TypeAlias = "Callable[[Term, int], Node]"
"""The node of an item, given its term and depth."""


def array_node(form: ArrayForm, lowering: Lowering, term: Term, depth: int) -> Node:
    """The node of a form that some array satisfies."""
    if form.unique:
        items = distinct_items(form, lowering, term)
        if isinstance(items, Distinct):
            return _DistinctNode(items, lowering, term, depth).node()
        if items is not None:
            item = _marked(lowering)
            return Call(Rule("distinct items", lambda: _plain_node(form, lowering, term, depth, item), role=ITEMS))
    return _plain_node(form, lowering, term, depth, lowering.item)


def _marked(lowering: Lowering) -> ItemNode:
    """Items as rules that say so."""
    calls: dict[tuple[Term, int], Call] = {}

    def item(term: Term, depth: int) -> Node:
        if (term, depth) not in calls:
            calls[term, depth] = Call(Rule("item", lambda: lowering.value(term, depth), role=ITEM))
        return calls[term, depth]

    return item


def _plain_node(form: ArrayForm, lowering: Lowering, term: Term, depth: int, value: ItemNode) -> Node:
    """The node of a form, items as `value` has them."""
    if form.contains:
        return _ItemsNode(form, lowering, term, depth, value).node()
    layout = lowering.layout
    satisfiable = lowering.satisfiable
    inner = lowering.deeper(depth)
    high = form.max
    num_prefix = next((i for i, term in enumerate(form.prefix) if not satisfiable(term)), len(form.prefix))
    if num_prefix < len(form.prefix):
        high = num_prefix
    elif not satisfiable(form.rest):
        high = num_prefix if high is None else min(high, num_prefix)
    separator, close = layout.separator(depth), seq(layout.close(depth), literal("]"))

    def after(index: int) -> Node:
        """What follows `index` items, at least one."""
        if high is not None and index >= high:
            return close
        if index < num_prefix:
            more = seq(separator, value(form.item(index), inner), Lazy(lambda: after(index + 1)))
            return more if index < form.min else alt(close, more)
        low, limit = max(0, form.min - index), None if high is None else high - index

        def item() -> Node:
            return seq(separator, value(form.rest, inner))

        plain = (low, limit) in ((0, None), (1, None), (0, 1), (1, 1))
        return seq(repeat(item() if plain else Call(Rule("items", item)), low, limit), close)

    first = NO_NODE if high == 0 else seq(value(form.item(0), inner), Lazy(lambda: after(1)))
    return bracketed(layout, depth, "[", first, "]", may_be_empty=form.min == 0)


def distinct_items(form: ArrayForm, lowering: Lowering, term: Term) -> Distinct | Remembered | None:
    """How `uniqueItems` is enforced; None where the items differ anyway. Raises `UnsupportedSchemaError`.

    Few values: an automaton of those that are used. Else the matcher remembers them, which `lowering` notes.
    """
    if differ_anyway(form, lowering.satisfiable):
        return None
    found = distinct(form, lowering.expander, lowering.satisfiable)
    if found is not None:
        return found
    remembered = Remembered(form, lowering.expander)
    reason = remembered.reason()
    if reason is None:
        lowering.open_keys.note_items(thin=remembered.thin(), fewest=remembered.fewest())
        return remembered
    atoms = [lowering.expander.schemas.atoms[literal >> 1] for literal in term]
    named = [atom for atom in atoms if "uniqueItems" in atom.schema] or atoms
    raise UnsupportedSchemaError(
        reason,
        pointer=named[0].pointer if named else "",
        keyword="uniqueItems",
        advice="drop it, or ask for fewer items",
    )


class _DistinctNode:
    """An array of distinct items on its way to IR: one `Lazy` for each set of values already there."""

    def __init__(self, items: Distinct, lowering: Lowering, term: Term, depth: int) -> None:
        self.items = items
        self.lowering = lowering
        self.term = term
        self.depth = depth
        self._nodes: dict[Used, Lazy] = {}

    def node(self) -> Node:
        """The whole array."""
        start = self.items.start
        may_be_empty = self.items.may_end(start)
        return bracketed(self.lowering.layout, self.depth, "[", self._more(start), "]", may_be_empty=may_be_empty)

    def _more(self, state: Used) -> Node:
        """An item that is not there yet, and what follows it."""
        inner = self.lowering.deeper(self.depth)
        canonical = self.lowering.options.literal_escapes == "canonical"
        strings: list[tuple[bytes, Node]] = []
        others: list[Node] = []
        for index, following in self.items.moves(state):
            value = self.items.values[index]
            if canonical and isinstance(value, str):
                strings.append((spelled(value), self._after(following)))
            else:
                others.append(seq(self.lowering.value(self.items.terms[index], inner), self._after(following)))
        return alt(choice(strings), *others)

    def _after(self, state: Used) -> Node:
        node = self._nodes.get(state)
        if node is None:
            node = self._nodes[state] = Lazy(lambda: self._located(state))
        return node

    def _located(self, state: Used) -> Node:
        with self.lowering.located(self.term):
            layout = self.lowering.layout
            more = seq(layout.separator(self.depth), self._more(state))
            close = seq(layout.close(self.depth), literal("]"))
            return alt(close, more) if self.items.may_end(state) else more


class _ItemsNode:
    """An array form with `contains` on its way to IR: one `Lazy` for each state of its automaton."""

    def __init__(self, form: ArrayForm, lowering: Lowering, term: Term, depth: int, value: ItemNode) -> None:
        self.value = value
        self.items = Items(form, lowering.satisfiable, lowering.expander.schemas.negate)
        self.lowering = lowering
        self.term = term
        self.depth = depth
        self._nodes: dict[State, Lazy] = {}

    def node(self) -> Node:
        """The whole array."""
        start = self.items.start
        may_be_empty = self.items.may_end(start)
        return bracketed(self.lowering.layout, self.depth, "[", self._more(start), "]", may_be_empty=may_be_empty)

    def _more(self, state: State) -> Node:
        inner = self.lowering.deeper(self.depth)
        moves = self.items.moves(state)
        return alt(*(seq(self.value(term, inner), self._after(following)) for term, following in moves))

    def _after(self, state: State) -> Node:
        node = self._nodes.get(state)
        if node is None:
            node = self._nodes[state] = Lazy(lambda: self._located(state))
        return node

    def _located(self, state: State) -> Node:
        with self.lowering.located(self.term):
            return self._build(state)

    def _build(self, state: State) -> Node:
        layout, inner = self.lowering.layout, self.lowering.deeper(self.depth)
        separator = layout.separator(self.depth)
        moves = list(self.items.moves(state))
        loops = [self.value(term, inner) for term, following in moves if following == state]
        parts = [
            seq(separator, self.value(term, inner), self._after(following))
            for term, following in moves
            if following != state
        ]
        if self.items.may_end(state):
            parts.append(seq(layout.close(self.depth), literal("]")))
        return seq(Star(seq(separator, alt(*loops))), alt(*parts)) if loops else alt(*parts)
