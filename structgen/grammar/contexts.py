"""Which terminals are acceptable where: the contexts of Lark's contextual lexer.

That lexer asks the LALR state in which the parser is after a terminal has been shifted. So each place of a rule at
which a terminal stands leads to a *context*: a class of such states that agree wherever it matters, which is where a
terminal changes if another one is acceptable. Most grammars have one context; lark's LALR table is built only if a
terminal changes at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from lark.common import ParserConf
from lark.exceptions import GrammarError
from lark.grammar import NonTerminal, RuleOptions, Symbol
from lark.grammar import Rule as LarkRule
from lark.grammar import Terminal as LarkTerminal
from lark.parsers.grammar_analysis import LR0ItemSet
from lark.parsers.lalr_analysis import LALR_Analyzer

from structgen.errors import UnsupportedGrammarError
from structgen.grammar.form import Choice, Embedded, Expression, Grammar, Ref, Repeat, Rule, Sequence, Term
from structgen.grammar.scanned import START


@dataclass(frozen=True, slots=True)
class Marked:
    """A terminal in a rule, and the context behind it."""

    name: str
    context: int


@dataclass(frozen=True)
class Contexts:
    """`grammar` has `Marked` leaves; `acceptable[context]` are the terminals acceptable there that change others."""

    grammar: Grammar
    acceptable: tuple[Mapping[str, frozenset[str]], ...]


def single_context(grammar: Grammar, acceptable: Mapping[str, frozenset[str]]) -> Contexts:
    """Everywhere the same; `acceptable` says for each terminal what may be read in its place."""
    return Contexts(_marked(grammar), (acceptable,))


def lalr_contexts(grammar: Grammar, sensitive: Mapping[str, frozenset[str]]) -> Contexts:
    """The contexts of lark's LALR parser.

    `sensitive` names the terminals that depend on whether others (the values) are acceptable. Raises
    `UnsupportedGrammarError` if the grammar is not LALR(1).
    """
    rules = _bnf(grammar)
    ignored = set(grammar.ignored)
    analyzer = LALR_Analyzer(ParserConf(list(rules), {}, [grammar.start]))
    try:
        analyzer.compute_lalr()  # type: ignore[no-untyped-call]
    except GrammarError as error:
        text = " ".join(str(error).split())
        raise UnsupportedGrammarError(
            f"the grammar is not LALR(1), as Lark's contextual lexer needs: {text[:300]}",
            advice='remove the ambiguity, or choose lexer="basic" or lexer="dynamic"',
        ) from None
    start = analyzer.lr0_start_states[grammar.start]
    views = {
        itemset: _view(itemset, sensitive, ignored)
        for itemset in analyzer.lr0_itemsets
        if itemset is start
        or any(item.index and item.rule.expansion[item.index - 1].is_term for item in itemset.kernel)
    }
    classes: list[dict[str, frozenset[str]]] = []
    numbers: dict[LR0ItemSet, int] = {}
    for itemset in sorted(views, key=lambda itemset: itemset is not start):
        view = views[itemset]
        number = next((i for i, known in enumerate(classes) if _compatible(known, view)), len(classes))
        if number == len(classes):
            classes.append({})
        classes[number].update(view)
        numbers[itemset] = number
    by_origin: dict[str, list[LarkRule]] = {}
    for rule in rules:
        by_origin.setdefault(rule.origin.name, []).append(rule)
    return Contexts(_by_state(grammar, start, by_origin, numbers), tuple(classes))


def _view(itemset: LR0ItemSet, sensitive: Mapping[str, frozenset[str]], ignored: set[str]) -> dict[str, frozenset[str]]:
    """Which of the terminals that matter are acceptable in a state, for each that depends on it and is, too."""
    names = {symbol.name for symbol in (*itemset.lookaheads, *itemset.transitions) if symbol.is_term} | ignored
    return {name: sensitive[name] & names for name in names if name in sensitive}


def _compatible(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> bool:
    return all(one[name] == found for name, found in other.items() if name in one)


_Place: TypeAlias = "tuple[LR0ItemSet, str]"


def _by_state(
    grammar: Grammar, start: LR0ItemSet, rules: Mapping[str, list[LarkRule]], numbers: Mapping[LR0ItemSet, int]
) -> Grammar:
    """The grammar with its terminals marked by the contexts behind them.

    Where they depend on the parser's state, a rule is one for each state in which it may begin: the grammar of the
    LR automaton's transitions, with equal ones joined.
    """
    bodies: dict[_Place, list[list[tuple[Symbol, object]]]] = {}
    todo = [(start, grammar.start)]
    while todo:
        place = todo.pop()
        if place in bodies:
            continue
        alternatives = bodies[place] = []
        for rule in rules[place[1]]:
            state = place[0]
            body: list[tuple[Symbol, object]] = []
            for symbol in rule.expansion:
                following = state.transitions[symbol]
                if symbol.is_term:
                    body.append((symbol, numbers[following]))
                else:
                    body.append((symbol, (state, symbol.name)))
                    todo.append((state, symbol.name))
                state = following
            alternatives.append(body)
    blocks: dict[object, object] = {place: place[1] for place in bodies}
    count = len(set(blocks.values()))
    while True:
        names: dict[object, int] = {}
        following_blocks: dict[object, object] = {}
        for place, alternatives in bodies.items():
            row = tuple(tuple(blocks.get(behind, behind) for _, behind in body) for body in alternatives)
            following_blocks[place] = names.setdefault((place[1], blocks[place], row), len(names))
        blocks = following_blocks
        if len(names) == count:
            break
        count = len(names)
    called: dict[object, str] = {}
    versions: dict[str, int] = {}
    for place in bodies:
        if blocks[place] not in called:
            version = versions[place[1]] = versions.get(place[1], 0) + 1
            called[blocks[place]] = place[1] if version == 1 else f"{place[1]}'{version}"
    made: dict[str, Rule] = {}
    for place, alternatives in bodies.items():
        name = called[blocks[place]]
        if name not in made:
            old = grammar.rules[place[1]]
            parts = tuple(
                Sequence(tuple(_leaf(symbol, behind, blocks, called) for symbol, behind in body))
                for body in alternatives
            )
            made[name] = Rule(name, Choice(parts), old.place, old.priority)
    unreachable = {name: rule for name, rule in grammar.rules.items() if name not in made}
    return replace(grammar, rules={**made, **unreachable}, start=called[blocks[start, grammar.start]])


def _leaf(symbol: Symbol, behind: object, blocks: Mapping[object, object], called: Mapping[object, str]) -> Expression:
    if not symbol.is_term:
        return Ref(called[blocks[behind]])
    if ":" in symbol.name:
        kind, _, text = symbol.name.partition(":")
        return Embedded(kind, text)
    assert isinstance(behind, int)
    return Marked(symbol.name, behind)  # type: ignore[return-value]


def _bnf(grammar: Grammar) -> dict[LarkRule, tuple[str, int]]:
    """lark's rules of a grammar that was read from lark, with the rule and alternative each stands for."""
    out: dict[LarkRule, tuple[str, int]] = {}
    for rule in grammar.rules.values():
        assert isinstance(rule.body, Choice)
        for order, body in enumerate(rule.body.parts):
            assert isinstance(body, Sequence)
            symbols = [
                NonTerminal(part.name) if isinstance(part, Ref) else LarkTerminal(_name(part)) for part in body.parts
            ]
            options = RuleOptions(priority=rule.priority)
            made = LarkRule(NonTerminal(rule.name), symbols, order, None, options)
            out.setdefault(made, (rule.name, order))
    return out


def _name(part: Expression) -> str:
    if isinstance(part, Term):
        return part.name
    assert isinstance(part, Embedded)
    return f"{part.kind}:{part.text}"


def _marked(grammar: Grammar) -> Grammar:
    """The grammar with one context behind all terminals."""

    def marked(node: Expression) -> Expression:
        if isinstance(node, Term):
            return Marked(node.name, START)  # type: ignore[return-value]
        if isinstance(node, Sequence):
            return Sequence(tuple(map(marked, node.parts)))
        if isinstance(node, Choice):
            return Choice(tuple(map(marked, node.parts)))
        if isinstance(node, Repeat):
            return Repeat(marked(node.body), node.min, node.max)
        return node

    rules = {name: Rule(name, marked(rule.body), rule.place, rule.priority) for name, rule in grammar.rules.items()}
    return replace(grammar, rules=rules)
