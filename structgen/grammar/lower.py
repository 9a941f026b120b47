"""Flattened grammars as IR: each state of an automaton is a lazy node, each terminal a rule that all grammars share.

A terminal with one text is part of a trie of its state's literals. Any other one is a call of a rule whose key is its
language and guard, so that its rows of the mask store serve every state and every grammar in which it occurs. What a
grammar ignores is one such rule, and stands behind each terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from structgen.automata.charset import CharSet
from structgen.automata.regular import Language, repeat, union
from structgen.automata.regular_nodes import Kind
from structgen.errors import GrammarSyntaxError
from structgen.grammar.automaton import Automaton, Symbol
from structgen.grammar.flatten import Flat
from structgen.grammar.form import Embedded, Grammar, Lexeme, Piece, Ref, Term
from structgen.ir import EMPTY, NEVER, Bytes, Call, Guard, Lazy, Literal, Node, Rule, Text, alt, choice, literal, seq

Resolve = Callable[[Embedded], Node]
Declared = Mapping[str, Node]


class Lowering:
    """Makes IR of one flattened grammar.

    `declared` says what declared terminals are, `resolve` what embeddings are. Subclasses may replace `terminal`.
    """

    def __init__(
        self,
        grammar: Grammar,
        flat: Flat,
        *,
        declared: Declared | None = None,
        resolve: Resolve | None = None,
        tag: object = None,
    ) -> None:
        self.grammar = grammar
        self.flat = flat
        self.declared = declared or {}
        self.resolve = resolve
        self.tag = tag  # with the grammar's digest and a rule's name, the key of a rule
        self.ignored = self._ignored()
        self._rules: dict[str, Rule] = {}
        self._states: dict[tuple[str, int, bool], Lazy] = {}

    def root(self) -> Node:
        """The whole grammar."""
        if self.flat.start is None and not self.flat.nullable:
            raise GrammarSyntaxError(
                f"no text matches rule {self.grammar.start!r}", advice="every rule needs an alternative that ends"
            )
        text: Node = NEVER if self.flat.start is None else Call(self.rule(self.flat.start))
        if self.flat.nullable:
            text = alt(text, EMPTY)
        return seq(alt(self.ignored, EMPTY), text) if self.ignored is not None else text

    def rule(self, name: str) -> Rule:
        """A rule of the grammar."""
        found = self._rules.get(name)
        if found is None:
            key = ("grammar", self.grammar.digest, self.tag, name)
            found = self._rules[name] = Rule(name, lambda: self.state(name, 0, False), key=key)
        return found

    def state(self, name: str, state: int, spaced: bool) -> Node:
        """What may come from a state of a rule's automaton on; `spaced`: behind a terminal."""
        key = name, state, spaced and self.ignored is not None
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = Lazy(lambda: self._expand(*key))
        return found

    def _expand(self, name: str, state: int, spaced: bool) -> Node:
        automaton = self.flat.rules[name]
        if spaced:
            assert self.ignored is not None
            rest = self.state(name, state, False)
            return alt(seq(self.ignored, rest), rest)
        return self.edges(name, automaton, state)

    def edges(self, name: str, automaton: Automaton, state: int) -> Node:
        """The edges of a state."""
        parts: list[Node] = []
        branches: list[tuple[bytes, Node]] = []
        for symbol, targets in automaton.edges[state].items():
            for target in targets:
                node, spaced = self.symbol(symbol)
                rest = EMPTY if self._ends(automaton, target, spaced) else self.state(name, target, spaced)
                if isinstance(node, Literal):
                    branches.append((node.data, rest))
                else:
                    parts.append(seq(node, rest))
        if branches:
            parts.append(choice(branches))
        if state in automaton.final:
            parts.append(EMPTY)
        return alt(*parts)

    def _ends(self, automaton: Automaton, state: int, spaced: bool) -> bool:
        return state in automaton.final and not automaton.edges[state] and not (spaced and self.ignored is not None)

    def symbol(self, symbol: Symbol | None) -> tuple[Node, bool]:
        """What an edge reads, and whether ignored terminals may follow it here (calls have read theirs already)."""
        if isinstance(symbol, Ref):
            return Call(self.rule(symbol.name)), False
        if isinstance(symbol, Term):
            return self.terminal(symbol.name), True
        if isinstance(symbol, Piece):
            return text_node(symbol.language), False
        if isinstance(symbol, Embedded) and self.resolve is not None:
            return self.resolve(symbol), True
        raise TypeError(f"not a symbol of a grammar: {symbol!r}")

    def terminal(self, name: str) -> Node:
        """A terminal."""
        terminal = self.grammar.terminals[name]
        if terminal.declared:
            node = self.declared.get(name)
            if node is None:
                raise GrammarSyntaxError(
                    f"terminal {name} is declared and not defined",
                    line=terminal.place.line,
                    column=terminal.place.column,
                    advice="define it",
                )
            return node
        return alt(*map(lexeme_node, terminal.lexemes))

    def _ignored(self) -> Node | None:
        """What may stand between terminals, at least one character of it."""
        plain: list[Language] = []
        for name in self.grammar.ignored:
            plain += [lexeme.language for lexeme in self.grammar.terminals[name].lexemes]
        return text_node(repeat(union(*plain), 1)) if plain else None


def lexeme_node(lexeme: Lexeme) -> Node:
    """A lexeme and its guard; a rule of its own unless it is a single text."""
    mask = guard_mask(lexeme.unless)
    node = text_node(lexeme.language, mask)
    return node


def text_node(language: Language, guard: int = 0) -> Node:
    """The texts of a language that are not empty, with a guard behind them, shared by all grammars.

    A single text is a literal, a single ASCII character a byte.
    """
    after: Node = Guard(guard) if guard else EMPTY
    run = language.class_repeat()
    if run is not None and run[1:] == (1, 1) and run[0].ranges and run[0].ranges[-1][1] < 0x80 and run[0].size > 1:
        return seq(Bytes(byte_mask(run[0])), after)
    if language.kind == Kind.WORD:
        return seq(literal(language.args[0]), after)
    body = seq(Text(language, "utf-8"), after)
    return Call(Rule("text", lambda: body, key=("lexeme", language.key, guard)))


def byte_mask(charset: CharSet) -> int:
    """The bytes with which the UTF-8 of a character of the set begins, as a 256-bit integer."""
    mask = 0
    for low, high in charset.ranges:
        for first, last in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
            if low <= last and high >= first:
                begin, end = chr(max(low, first)), chr(min(high, last))
                mask |= (2 << _lead(end)) - (1 << _lead(begin))
    return mask


def _lead(char: str) -> int:
    return char.encode("utf-8", "surrogatepass")[0]


def guard_mask(unless: CharSet) -> int:
    """The first bytes of the characters that must not follow."""
    return byte_mask(unless)
