"""No guard may leave a text that cannot go on: the check that the engine relies on.

Behind each terminal that has a guard, in every way in which its rule may have been called, the text must be able to
end or to go on with a byte that the guard lets through. The ways are sets of bytes that may follow a rule, one for each
place that calls it; only the smallest are kept.
"""

from __future__ import annotations

from collections.abc import Iterable

from structgen.errors import UnsupportedGrammarError
from structgen.grammar.automaton import Automaton, Symbol
from structgen.grammar.charbytes import byte_mask
from structgen.grammar.form import Grammar, Piece, Ref
from structgen.grammar.scanned import Lexed, Scanned, Token
from structgen.grammar.scanner import first

END = 1 << 256
ANYTHING = END - 1


def check_guards(grammar: Grammar, scanned: Scanned) -> None:
    """Raise `UnsupportedGrammarError` for a terminal behind which a guard may leave nothing."""
    if scanned.flat.start is None:
        return
    check = _Check(grammar, scanned)
    for name, automaton in scanned.flat.rules.items():
        for source, edges in enumerate(automaton.edges):
            for symbol, targets in edges.items():
                if isinstance(symbol, Lexed):
                    for target in targets:
                        check.terminal(name, automaton, source, symbol, target)


class _Check:
    def __init__(self, grammar: Grammar, scanned: Scanned) -> None:
        self.grammar = grammar
        self.scanned = scanned
        self.rules = scanned.flat.rules
        self.first_bytes: dict[Symbol, int] = {}
        self.ignored = {context: _first_bytes(tokens) for context, tokens in scanned.ignored.items()}
        self._rule_firsts()
        self._behind()

    def _rule_firsts(self) -> None:
        for name in self.rules:
            self.first_bytes[Ref(name)] = 0
        changed = True
        while changed:
            changed = False
            for name, automaton in self.rules.items():
                found = self.next(automaton, 0)
                if found | self.first_bytes[Ref(name)] != self.first_bytes[Ref(name)]:
                    self.first_bytes[Ref(name)] |= found
                    changed = True

    def next(self, automaton: Automaton, state: int) -> int:
        """The bytes with which the edges of a state begin."""
        out = 0
        for symbol in automaton.edges[state]:
            out |= self.first(symbol)
        return out

    def first(self, symbol: Symbol | None) -> int:
        found = self.first_bytes.get(symbol)
        if found is None:
            if isinstance(symbol, Lexed):
                found = _first_bytes(self.scanned.tokens[symbol]) if symbol in self.scanned.tokens else ANYTHING
            elif isinstance(symbol, Piece):
                found = byte_mask(first(symbol.language))
            else:
                found = ANYTHING
            self.first_bytes[symbol] = found
        return found

    def _behind(self) -> None:
        """`behind[rule]`: the smallest sets of bytes (or the end) that may follow a call of the rule."""
        start = self.scanned.flat.start
        self.behind: dict[str, set[int]] = {name: set() for name in self.rules}
        assert start is not None
        self.behind[start].add(END)
        changed = True
        while changed:
            changed = False
            for name, automaton in self.rules.items():
                for edges in automaton.edges:
                    for symbol, targets in edges.items():
                        if isinstance(symbol, Ref):
                            for target in targets:
                                for found in self.after(name, automaton, target):
                                    changed |= _add(self.behind[symbol.name], found)

    def after(self, name: str, automaton: Automaton, state: int) -> Iterable[int]:
        """The sets of bytes that may come from a state on, one for each way the rule was called."""
        found = self.next(automaton, state)
        if state not in automaton.final:
            return (found,)
        return [found | behind for behind in self.behind[name]]

    def terminal(self, name: str, automaton: Automaton, source: int, symbol: Lexed, target: int) -> None:
        tokens = self.scanned.tokens.get(symbol, ())
        guards = {byte_mask(guard): None for token in tokens for guard in token.guards if guard}
        if not guards:
            return
        spaces = self.ignored.get(symbol.after, 0)
        for after in self.after(name, automaton, target):
            for guard in guards:
                if not (after | spaces) & ~guard:
                    place = self.grammar.terminals[symbol.name].place
                    raise UnsupportedGrammarError(
                        f"terminal {symbol.name} can end in rule {name.split('[')[0]} where nothing may follow it: "
                        "the scanner would take all that could as part of a longer terminal",
                        line=place.line,
                        column=place.column,
                        advice="separate the two terminals, or exclude the longer one by a look-ahead",
                    )


def _add(known: set[int], found: int) -> bool:
    """Add a set to the smallest ones; whether it is new."""
    if any(not one & ~found for one in known):
        return False
    known -= {one for one in known if not found & ~one}
    known.add(found)
    return True


def _first_bytes(tokens: Iterable[Token]) -> int:
    out = 0
    for token in tokens:
        out |= byte_mask(first(token.language))
    return out
