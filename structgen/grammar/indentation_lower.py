"""IR of a grammar over lines: rules that depend on the column are made when a text first gets to a column.

One rule of the flattened grammar is many rules of the network: `(rule, column)`. The first line of a block picks any
deeper column, a chain of spaces and tabs that is written out as far as texts and tokens go; the others repeat it.
What does not depend on the column is one rule for all of them.
"""

from __future__ import annotations

from structgen.automata.charset import CharSet
from structgen.automata.regular import Language, chars, repeat, union
from structgen.grammar.automaton import Symbol
from structgen.grammar.charbytes import byte_mask
from structgen.grammar.columns import Column, deeper, exactly
from structgen.grammar.flatten import flatten
from structgen.grammar.form import Expression, Grammar, Ref, Term
from structgen.grammar.indentation import BRACKETED, FILE_START, LINE, NEWLINE, lay_out
from structgen.grammar.lower import split_literal, text_node
from structgen.grammar.scanned import Deeper, Lines
from structgen.ir import EMPTY, NEVER, Bytes, Call, Guard, Lazy, Node, Rule, alt, choice, optional, seq

_ALL_BYTES = (1 << 256) - 1
_BREAKS = CharSet(((0x0A, 0x0A), (0x0C, 0x0D)))  # a form feed sets the column back, as a line break does
END_OF_TEXT = Guard(_ALL_BYTES)


def flat_lines(grammar: Grammar) -> Lines:
    """A grammar that declares `_INDENT` and `_DEDENT`, over lines and flattened.

    What begins at a deeper column stays a rule, and so does what does not depend on the column, for all columns.
    """
    layout = lay_out(grammar)

    def label(leaf: Expression) -> Symbol:
        return Deeper(leaf.name) if isinstance(leaf, Ref) and leaf.name in layout.blocks else leaf

    flat = flatten(layout.grammar, label=label, keep=sorted(layout.shared | layout.blocks))
    words = {
        name: tuple((lexeme.language, lexeme.unless) for lexeme in terminal.lexemes)
        for name, terminal in grammar.terminals.items()
    }
    return Lines(grammar.digest, words, grammar.ignored, layout.placed, flat)


def lines_to_ir(lines: Lines) -> Node:
    """The IR of a grammar over lines."""
    return _Lowering(lines).root()


class _Lowering:
    """Nodes for the states of flattened rules, by column."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.flat = lines.flat
        self._rules: dict[tuple[str, Column | None], Rule] = {}
        self._states: dict[tuple[str, int, Node, Column | None], Lazy] = {}
        self._symbols: dict[tuple[Symbol, Column | None], tuple[Node, Node]] = {}
        self._lines: dict[Column, Node] = {}
        newline = union(*(language for language, _ in lines.words[NEWLINE]))
        spaces = [language for name in lines.ignored for language, _ in lines.words[name]]
        self._between = optional(text_node(repeat(union(*spaces), 1))) if spaces else EMPTY
        self._within = optional(text_node(repeat(union(newline, *spaces), 1)))
        self._newline = _line_end(newline)

    def root(self) -> Node:
        """A whole text."""
        text: Node = NEVER if self.flat.start is None else Call(self.rule(self.flat.start, Column()))
        return optional(text) if self.flat.nullable else text

    def rule(self, name: str, column: Column | None) -> Rule:
        """A rule at a column; None where it does not depend on it."""
        key = name, column
        if key not in self._rules:
            self._rules[key] = Rule(
                name if column is None else f"{name}@{column.wide}",
                lambda: self.edges(name, 0, column),
                key=("indented", self.lines.digest, name, column),
                apart=column is not None,
                composed=column is None,
                alike=True,
            )
        return self._rules[key]

    def below(self, name: str, column: Column) -> Rule:
        """A rule at any column deeper than one."""
        return Rule(
            f"{name}>{column.wide}",
            lambda: deeper(column, lambda place: Call(self.rule(name, place))),
            key=("indented deeper", self.lines.digest, name, column),
            apart=True,
            alike=True,
        )

    def state(self, name: str, state: int, before: Node, column: Column | None) -> Node:
        """What may come from a state of a rule's automaton on, behind what may be ignored there."""
        key = name, state, before, column
        if key not in self._states:
            if before == EMPTY:
                self._states[key] = Lazy(lambda: self.edges(name, state, column))
            else:
                rest = self.state(name, state, EMPTY, column)
                self._states[key] = Lazy(lambda: seq(before, rest))
        return self._states[key]

    def edges(self, name: str, state: int, column: Column | None) -> Node:
        """The edges of a state."""
        automaton = self.flat.rules[name]
        parts: list[Node] = [EMPTY] if state in automaton.final else []
        branches: list[tuple[bytes, Node]] = []
        for symbol, targets in automaton.edges[state].items():
            node, behind = self.symbol(symbol, column)
            for target in targets:
                last = target in automaton.final and not automaton.edges[target]
                rest = behind if last else self.state(name, target, behind, column)
                head, guard = split_literal(node)
                if head is None:
                    parts.append(seq(node, rest))
                else:
                    branches.append((head, seq(*guard, rest)))
        if branches:
            parts.append(choice(branches))
        return alt(*parts)

    def symbol(self, symbol: Symbol | None, column: Column | None) -> tuple[Node, Node]:
        """What an edge reads, and what may be ignored behind it."""
        key = symbol, column
        if key not in self._symbols:
            self._symbols[key] = self._symbol(symbol, column)
        return self._symbols[key]

    def _symbol(self, symbol: Symbol | None, column: Column | None) -> tuple[Node, Node]:
        if isinstance(symbol, Deeper):
            assert column is not None
            return Call(self.below(symbol.name, column)), EMPTY
        if isinstance(symbol, Ref):
            return Call(self.rule(symbol.name, column if symbol.name in self.lines.placed else None)), EMPTY
        assert isinstance(symbol, Term)
        if symbol.name == LINE:
            assert column is not None
            if column not in self._lines:
                self._lines[column] = exactly(column)
            return self._lines[column], EMPTY
        if symbol.name == NEWLINE:
            return self._newline, EMPTY
        name = symbol.name.removesuffix(BRACKETED)
        node = alt(*(text_node(language, byte_mask(unless)) for language, unless in self.lines.words[name]))
        if name == FILE_START:
            return node, EMPTY
        return node, self._between if name == symbol.name else self._within


def _line_end(newline: Language) -> Node:
    """The texts of `_NEWLINE` that end in a line break or form feed, so that the next line's indentation is left; and
    at the end of the text what becomes such a text with a line break behind it."""
    states: dict[tuple[Language, bool], Lazy] = {}

    def state(language: Language, broken: bool) -> Node:
        key = language, broken
        if key not in states:
            states[key] = Lazy(lambda: expand(language, broken))
        return states[key]

    def expand(language: Language, broken: bool, ends: bool = True) -> Node:
        parts: list[Node] = []
        for charset, following in language.edges():
            inside = charset.minus(_BREAKS)
            if inside:
                parts.append(seq(text_node(chars(inside)), state(following, False)))
            breaks = sum(1 << code for code in charset.intersect(_BREAKS))
            if breaks:
                parts.append(seq(Bytes(breaks), state(following, True)))
        if broken and language.nullable:
            parts.append(EMPTY)
        elif ends and language.step(0x0A).nullable:
            parts.append(END_OF_TEXT)
        return alt(*parts)

    rule = Rule("newline", lambda: expand(newline, False, ends=False), key=("line end", newline.key), alike=True)
    return alt(Call(rule), END_OF_TEXT) if newline.step(0x0A).nullable else Call(rule)
