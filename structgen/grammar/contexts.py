"""Which terminals are acceptable where: the contexts of Lark's contextual lexer.

That lexer asks the LALR state in which the parser is after a terminal has been shifted. So each place of a rule at
which a terminal stands leads to a *context*: a class of such states that agree wherever it matters, which is where a
terminal changes if another one is acceptable. Most grammars have one context; lark's LALR table is built only if a
terminal changes at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from lark.common import ParserConf
from lark.exceptions import GrammarError
from lark.grammar import NonTerminal, RuleOptions
from lark.grammar import Rule as LarkRule
from lark.grammar import Terminal as LarkTerminal
from lark.parsers.lalr_analysis import LALR_Analyzer

from structgen.errors import UnsupportedGrammarError
from structgen.grammar.form import Choice, Embedded, Expression, Grammar, Ref, Repeat, Rule, Sequence, Term

START = 0  # the context at the start of a text


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
    return Contexts(_marked(grammar, lambda rule, alternative, index: START), (acceptable,))


def lalr_contexts(grammar: Grammar, sensitive: Mapping[str, frozenset[str]]) -> Contexts:
    """The contexts of lark's LALR parser.

    `sensitive` names the terminals that depend on whether others (the values) are acceptable. Raises
    `UnsupportedGrammarError` if the grammar is not LALR(1), or if one place of a rule leads to different contexts.
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
    accepts = {itemset: frozenset({*itemset.lookaheads, *itemset.transitions}) for itemset in analyzer.lr0_itemsets}
    groups = _Groups()
    places: dict[tuple[str, int, int], object] = {}
    views: dict[object, Mapping[str, frozenset[str]]] = {}
    for itemset in accepts:
        names = {symbol.name for symbol in accepts[itemset] if symbol.is_term}
        names |= ignored
        seen = {name: sensitive[name] & names for name in names if name in sensitive}
        shifted = [item for item in itemset.kernel if item.index and item.rule.expansion[item.index - 1].is_term]
        if not shifted and itemset not in analyzer.lr0_start_states.values():
            continue
        views[itemset] = seen
        groups.find(itemset)
        for item in shifted:
            if item.rule in rules:
                place = (*rules[item.rule], item.index - 1)
                if place in places:
                    groups.join(places[place], itemset)
                places[place] = itemset
    start = analyzer.lr0_start_states[grammar.start]
    classes: list[dict[str, frozenset[str]]] = []
    numbers: dict[object, int] = {}
    for members in sorted(groups.members(), key=lambda members: start not in members):
        view: dict[str, frozenset[str]] = {}
        for member in members:
            _agree(view, views[member], grammar)
        number = next((i for i, known in enumerate(classes) if _compatible(known, view)), len(classes))
        if number == len(classes):
            classes.append({})
        classes[number].update(view)
        numbers.update(dict.fromkeys(members, number))

    def mark(rule: str, alternative: int, index: int) -> int:
        itemset = places.get((rule, alternative, index))
        return START if itemset is None else numbers[itemset]

    return Contexts(_marked(grammar, mark), tuple(classes))


def _compatible(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> bool:
    return all(one[name] == found for name, found in other.items() if name in one)


def _agree(view: dict[str, frozenset[str]], other: Mapping[str, frozenset[str]], grammar: Grammar) -> None:
    for name, found in other.items():
        if view.setdefault(name, found) != found:
            place = grammar.terminals[name].place
            differ = ", ".join(sorted(view[name] ^ found))
            raise UnsupportedGrammarError(
                f"behind one and the same place of a rule, {name} competes with {differ} or does not",
                line=place.line,
                column=place.column,
                advice=f"exclude {differ} from {name} by a look-ahead, so that they do not compete",
            )


class _Groups:
    """Sets that are joined."""

    def __init__(self) -> None:
        self._parents: dict[object, object] = {}

    def find(self, one: object) -> object:
        self._parents.setdefault(one, one)
        while self._parents[one] is not one:
            one = self._parents[one]
        return one

    def join(self, one: object, other: object) -> None:
        self._parents[self.find(one)] = self.find(other)

    def members(self) -> list[list[object]]:
        out: dict[object, list[object]] = {}
        for one in self._parents:
            out.setdefault(self.find(one), []).append(one)
        return list(out.values())


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


def _marked(grammar: Grammar, mark: Callable[[str, int, int], int]) -> Grammar:
    def marked(node: Expression, rule: str, alternative: int, index: int) -> Expression:
        if isinstance(node, Term):
            return Marked(node.name, mark(rule, alternative, index))  # type: ignore[return-value]
        if isinstance(node, Sequence):
            return Sequence(tuple(marked(part, rule, alternative, i) for i, part in enumerate(node.parts)))
        if isinstance(node, Choice):
            return Choice(tuple(marked(part, rule, i, 0) for i, part in enumerate(node.parts)))
        if isinstance(node, Repeat):
            return Repeat(marked(node.body, rule, alternative, index), node.min, node.max)
        return node

    rules = {
        name: Rule(name, marked(rule.body, name, 0, 0), rule.place, rule.priority)
        for name, rule in grammar.rules.items()
    }
    return replace(grammar, rules=rules)
