"""Flattened grammars as IR: each state of an automaton is a lazy node, each terminal a rule that all grammars share.

A terminal with one text is part of a trie of its state's literals. Any other one is a call of a rule whose key is its
language and guard, so that its rows of the mask store serve every state and every grammar in which it occurs. What a
grammar ignores is one such rule, and stands behind each terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from structgen.automata.charset import ANY
from structgen.automata.regular import Language, chars, intersect, repeat, union
from structgen.automata.regular_nodes import Kind
from structgen.errors import GrammarSyntaxError
from structgen.grammar.automaton import Automaton, Symbol
from structgen.grammar.charbytes import byte_mask
from structgen.grammar.derived import recall
from structgen.grammar.form import Embedded, Lexeme, Piece, Ref
from structgen.grammar.scanned import START, Counted, Lexed, Scanned, Token, no_text
from structgen.grammar.scanner import guard_of, step_both
from structgen.ir import (
    EMPTY,
    NEVER,
    Bytes,
    Call,
    Guard,
    Lazy,
    Literal,
    Node,
    Rule,
    Seq,
    Text,
    alt,
    choice,
    literal,
    optional,
    seq,
)
from structgen.ir import repeat as repeat_node

Resolve = Callable[[Embedded], Node]
Declared = Mapping[str, Node]


class Lowering:
    """Makes IR of one grammar and its scanner.

    `declared` says what declared terminals are, `resolve` what embeddings are. `tag`, with the grammar's digest and a
    rule's name, is the key of a rule.
    """

    def __init__(
        self,
        scanned: Scanned,
        *,
        declared: Declared | None = None,
        resolve: Resolve | None = None,
        tag: object = None,
    ) -> None:
        self.scanned = scanned
        self.flat = scanned.flat
        self.declared = declared or {}
        self.resolve = resolve
        self.tag = tag
        self._embedded = self._resolved()
        self._rules: dict[str, Rule] = {}
        self._states: dict[tuple[str, int, int | None], Lazy] = {}
        self._ignored: dict[int, Node | None] = {}
        self._symbols: dict[Symbol | None, tuple[Node, ...]] = {}

    def root(self) -> Node:
        """The whole grammar."""
        if self.flat.start is None and not self.flat.nullable:
            raise no_text(self.scanned.name)
        text: Node = NEVER if self.flat.start is None else Call(self.rule(self.flat.start))
        if self.flat.nullable:
            text = alt(text, EMPTY)
        ignored = self.ignored(START)
        return text if ignored is None else seq(optional(ignored), text)

    def rule(self, name: str) -> Rule:
        """A rule of the grammar."""
        found = self._rules.get(name)
        if found is None:
            key = ("grammar", self.scanned.digest, self.tag, name)
            found = self._rules[name] = Rule(name, lambda: self.state(name, 0), key=key, composed=True, alike=True)
        return found

    def state(self, name: str, state: int, behind: int | None = None) -> Node:
        """What may come from a state of a rule's automaton on; `behind`: the context, right behind a terminal."""
        if behind is not None and self.ignored(behind) is None:
            behind = None
        key = name, state, behind
        found = self._states.get(key)
        if found is None:
            found = self._states[key] = Lazy(lambda: self._expand(*key))
        return found

    def _expand(self, name: str, state: int, behind: int | None) -> Node:
        if behind is None:
            return self.edges(name, self.flat.rules[name], state)
        ignored = self.ignored(behind)
        assert ignored is not None
        rest = self.state(name, state)
        return alt(seq(ignored, rest), rest)

    def edges(self, name: str, automaton: Automaton, state: int) -> Node:
        """The edges of a state."""
        parts: list[Node] = []
        branches: list[tuple[bytes, Node]] = []
        for symbol, targets in automaton.edges[state].items():
            behind = symbol.after if isinstance(symbol, Lexed) else None
            for target in targets:
                last = target in automaton.final and not automaton.edges[target]
                last = last and (behind is None or self.ignored(behind) is None)
                rest = EMPTY if last else self.state(name, target, behind)
                for node in self.symbol(symbol):
                    head, guard = split_literal(node)
                    if head is None:
                        parts.append(seq(node, rest))
                    else:
                        branches.append((head, seq(*guard, rest)))
        if branches:
            parts.append(choice(branches))
        if state in automaton.final:
            parts.append(EMPTY)
        return alt(*parts)

    def symbol(self, symbol: Symbol | None) -> Iterable[Node]:
        """What an edge reads: any of these."""
        found = self._symbols.get(symbol)
        if found is None:
            found = self._symbols[symbol] = tuple(self._symbol(symbol))
        return found

    def _symbol(self, symbol: Symbol | None) -> Iterable[Node]:
        if isinstance(symbol, Ref):
            return (Call(self.rule(symbol.name)),)
        if isinstance(symbol, Counted):
            return (repeat_node(Call(self.rule(symbol.name)), symbol.min, symbol.max),)
        if isinstance(symbol, Lexed):
            return self.terminal(symbol)
        if isinstance(symbol, Piece):
            return (text_node(symbol.language),)
        if isinstance(symbol, Embedded):
            return (self._embedded[symbol],)
        raise TypeError(f"not a symbol of a grammar: {symbol!r}")

    def _resolved(self) -> dict[Embedded, Node]:
        """What is embedded, and a look at what is declared: errors come now, not when a text gets there."""
        out: dict[Embedded, Node] = {}
        for symbol in self.scanned.foreign:
            if not isinstance(symbol, Embedded):
                self.terminal(symbol)
                continue
            if self.resolve is None:
                raise GrammarSyntaxError(
                    f"{symbol.text} stands for nothing here",
                    line=symbol.place.line,
                    column=symbol.place.column,
                    advice="special tokens and schemas need a vocabulary: use compile_grammar",
                )
            out[symbol] = self.resolve(symbol)
        return out

    def terminal(self, symbol: Lexed) -> Iterable[Node]:
        """A terminal."""
        place = self.scanned.declared.get(symbol.name)
        if place is None:
            return [token_node(token) for token in self.scanned.tokens[symbol]]
        if symbol.name not in self.declared:
            raise GrammarSyntaxError(
                f"terminal {symbol.name} is declared and not defined",
                line=place.line,
                column=place.column,
                advice="define it",
            )
        return (self.declared[symbol.name],)

    def ignored(self, context: int) -> Node | None:
        """What may stand between terminals in a context, at least one character of it."""
        if context not in self._ignored:
            self._ignored[context] = ignored_node(self.scanned.ignored.get(context, ()))
        return self._ignored[context]


def split_literal(node: Node) -> tuple[bytes | None, tuple[Node, ...]]:
    """A node that begins with a literal as the literal and what follows it; (None, ()) of any other."""
    if isinstance(node, Literal):
        return node.data, ()
    if isinstance(node, Seq) and len(node.parts) == 2 and isinstance(node.parts[0], Literal):
        return node.parts[0].data, node.parts[1:]
    return None, ()


def ignored_node(tokens: Sequence[Token]) -> Node | None:
    """One or more of these, one after the other, as a rule; None if there are none."""
    free = [token.language for token in tokens if not any(token.guards)]
    guarded = [token for token in tokens if any(token.guards)]
    if not guarded:
        return text_node(repeat(union(*free), 1)) if free else None
    key = ("ignored", tuple(language.key for language in free), tuple(token.key for token in guarded))

    def body() -> Node:
        pieces = [_once(language) for language in free] + [token_node(token) for token in guarded]
        loop = Lazy(lambda: alt(*(seq(piece, more) for piece in pieces)))
        more = Lazy(lambda: alt(EMPTY, loop))
        return loop

    return Call(Rule("ignored", body, key=key, alike=True))


def _once(language: Language) -> Node:
    """The language, or one character of it where that makes no difference in a loop."""
    run = language.class_repeat()
    if run is not None and run[1:] == (1, None):
        language = chars(run[0])
    return text_node(language)


def lexeme_node(lexeme: Lexeme) -> Node:
    """A lexeme without a scanner: its texts, and a guard for what its own look-ahead excludes."""
    return text_node(lexeme.language, byte_mask(lexeme.unless))


def token_node(token: Token) -> Node:
    """A token and its guards, shared by all grammars; a rule of its own unless it is a single text."""
    if len(token.guards) == 1:
        return text_node(token.language, byte_mask(token.guards[0]))
    return Call(Rule("token", lambda: _guarded(token), key=("lexeme", *token.key), alike=True))


def _guarded(token: Token) -> Node:
    """A token whose texts have different guards: its automaton, with a guard at each end."""
    nodes: dict[tuple[Language, Language], Lazy] = {}

    def node(here: Language, rest: Language) -> Lazy:
        found = nodes.get((here, rest))
        if found is None:
            found = nodes[here, rest] = Lazy(lambda: expand(here, rest))
        return found

    def expand(here: Language, rest: Language) -> Node:
        parts: list[Node] = []
        if here.nullable:
            guard, _ = guard_of(rest, token.unless, token.follow, token.open)
            parts.append(Guard(byte_mask(guard)) if guard else EMPTY)
        for charset, target, rest_target in step_both(here, rest):
            parts.append(seq(text_node(chars(charset)), node(target, rest_target)))
        return alt(*parts)

    return node(token.language, token.longer)


def text_node(language: Language, guard: int = 0) -> Node:
    """The texts of a language that are not empty, with a guard behind them, shared by all grammars.

    A single text is a literal, a single character stands for itself; anything else is a rule.
    """
    after: Node = Guard(guard) if guard else EMPTY
    if language.kind == Kind.WORD:
        return seq(literal(language.args[0]), after)
    run = language.class_repeat()
    if run is not None and run[1:] == (1, 1):
        plain = run[0].ranges[-1][1] < 0x80
        return seq(Bytes(byte_mask(run[0])) if plain else Text(language, "utf-8"), after)
    if language.nullable:
        language = intersect(language, repeat(chars(ANY), 1))

    def body() -> Node:
        recall(language)
        return seq(Text(language, "utf-8"), after)

    return Call(Rule("text", body, key=("lexeme", language.key, guard), alike=True))
