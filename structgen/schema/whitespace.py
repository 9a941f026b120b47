"""Where whitespace may stand between JSON tokens, as four small styles; see `SchemaOptions.whitespace`.

"bounded" allows, after `{ [ ,` and before `} ]`, nothing, one space, or a line break with up to `max_indent` spaces and
tabs, and after `:` nothing or one space. That covers `json.dumps` with default separators, compact, and with an indent
whose depth fits, and a model cannot run on for ever. Leading and trailing whitespace of the text is only in "any".
Each style is a few inline nodes. Indentation is a counter, so what is repeated with a counter itself is a call.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from structgen.ir import EMPTY, NEVER, Call, Node, Rule, Star, alt, byte_set, literal, optional, repeat, seq
from structgen.schema.options import SchemaOptions


@dataclass(frozen=True, eq=False)
class Layout:
    """The text between tokens. `step` is 1 where the layout depends on the nesting depth, else 0.

    `colon` is `colon_mark` and then `colon_gap`, for those who write the mark together with the key before it.
    """

    step: int
    opening: tuple[Node, ...]
    closing: tuple[Node, ...]
    comma: tuple[Node, ...]
    colon: Node
    colon_mark: bytes
    colon_gap: Node
    edge: Node
    empty: Node
    _rules: dict[int, tuple[Call, Call, Call, Call]] = field(default_factory=dict)

    def open(self, depth: int) -> Node:
        """Between `{` or `[` and the first element, for elements at this depth."""
        return self._at(self.opening, depth)

    def close(self, depth: int) -> Node:
        """Between the last element at this depth and the closing bracket."""
        return self._at(self.closing, depth - self.step)

    def separator(self, depth: int) -> Node:
        """The comma between two elements at this depth, with its whitespace."""
        return self._at(self.comma, depth)

    def rules(self, depth: int) -> tuple[Call, Call, Call, Call]:
        """Rules for what an object at this depth is put together with: `{` and what may stand before the first member,
        a comma, what may stand behind the last member and `}`, and `{}`. Made once, so that all schemas share them."""
        depth *= self.step
        found = self._rules.get(depth)
        if found is None:
            found = self._rules[depth] = (
                _rule("open", seq(literal("{"), self.open(depth))),
                _rule("comma", self.separator(depth)),
                _rule("close", seq(self.close(depth), literal("}"))),
                _rule("empty", seq(literal("{"), self.empty, literal("}"))),
            )
        return found

    def _at(self, table: tuple[Node, ...], depth: int) -> Node:
        if not self.step:
            return table[0]
        indent, break_or_comma = table
        return seq(break_or_comma, *(indent for _ in range(depth)))


def _rule(name: str, node: Node) -> Call:
    return Call(Rule(name, lambda: node, key=object()))


@lru_cache(maxsize=64)
def layout(options: SchemaOptions) -> Layout:
    """The layout an option set asks for. Cached: equal options share their nodes."""
    if options.whitespace == "compact":
        return _uniform(EMPTY, EMPTY, EMPTY, EMPTY)
    if options.whitespace == "any":
        gap = Star(byte_set(b" \t\r\n"))
        return _uniform(gap, gap, gap, gap)
    if options.whitespace == "bounded":
        return _uniform(_bounded(options.max_indent), EMPTY, optional(literal(" ")), EMPTY)
    return _fixed(options)


def _uniform(gap: Node, before: Node, after_colon: Node, edge: Node) -> Layout:
    """The same at every depth. `before` stands before a comma or colon, `edge` around the whole text."""
    comma, colon = seq(before, literal(",")), seq(before, literal(":"))
    mark, rest = (b":", after_colon) if before == EMPTY else (b"", seq(colon, after_colon))
    return Layout(0, (gap,), (gap,), (seq(comma, gap),), seq(colon, after_colon), mark, rest, edge, gap)


def _bounded(max_indent: int) -> Node:
    return alt(EMPTY, literal(" "), seq(literal("\n"), repeat(byte_set(b" \t"), 0, max_indent)))


def _fixed(options: SchemaOptions) -> Layout:
    comma, colon = options.separators
    mark = colon.encode()
    if options.indent is None:
        return Layout(0, (EMPTY,), (EMPTY,), (literal(comma),), literal(colon), mark, EMPTY, EMPTY, EMPTY)
    # json.dumps drops the blank after the comma only by its default separators; what is given here is written.
    blank = literal(" " * options.indent)
    item_break, comma_break = literal("\n"), literal(comma.rstrip(" ") + "\n")
    breaks = (blank, item_break)
    return Layout(1, breaks, breaks, (blank, comma_break), literal(colon), mark, EMPTY, EMPTY, EMPTY)


def bracketed(layout: Layout, depth: int, opening: str, filled: Node, closing: str, *, may_be_empty: bool) -> Node:
    """An array or object: its brackets, and between them `filled` (elements and what closes them) or nothing."""
    if not may_be_empty:
        return seq(literal(opening), layout.open(depth), filled)
    if filled == NEVER or layout.empty == layout.open(depth):
        return seq(literal(opening), layout.empty, alt(literal(closing), filled))
    return seq(literal(opening), alt(seq(layout.open(depth), filled), seq(layout.empty, literal(closing))))
