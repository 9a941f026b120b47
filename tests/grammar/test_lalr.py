"""The states and what is acceptable in them are those of lark's own LALR table."""

from __future__ import annotations

import pytest
import shipped
from hypothesis import given
from hypothesis import strategies as st
from lark.common import ParserConf
from lark.exceptions import GrammarError
from lark.grammar import NonTerminal, Rule, RuleOptions, Terminal
from lark.load_grammar import load_grammar
from lark.parsers.lalr_analysis import LALR_Analyzer

from structgen.errors import UnsupportedGrammarError
from structgen.grammar.lalr import END, Production, lalr_states


def assert_as_lark(productions: list[Production], start: str) -> None:
    origins = {one.origin for one in productions}
    rules = [
        Rule(
            NonTerminal(one.origin),
            [NonTerminal(name) if name in origins else Terminal(name) for name in one.symbols],
            index,
            None,
            RuleOptions(priority=one.priority),
        )
        for index, one in enumerate(productions)
    ]
    analyzer = LALR_Analyzer(ParserConf(rules, {}, [start]))
    analyzer.compute_lr0_states()
    analyzer.compute_reads_relations()
    analyzer.compute_includes_lookback()
    analyzer.compute_lookaheads()
    try:
        analyzer.compute_lalr1_states()
    except GrammarError:
        with pytest.raises(UnsupportedGrammarError, match="LALR"):
            lalr_states(productions, start)
        return
    found = lalr_states(productions, start)
    pairs = {analyzer.lr0_start_states[start]: 0}
    for itemset in (todo := list(pairs)):
        state = pairs[itemset]
        names = {symbol.name for symbol in (*itemset.lookaheads, *itemset.transitions) if symbol.is_term}
        assert found.acceptable[state] == names
        assert set(found.transitions[state]) == {symbol.name for symbol in itemset.transitions}
        for symbol, following in itemset.transitions.items():
            target = found.transitions[state][symbol.name]
            assert found.entered[target] == symbol.name
            if following not in pairs:
                pairs[following] = target
                todo.append(following)
            assert pairs[following] == target
    assert sorted(pairs.values()) == list(range(len(found.transitions)))


_SYMBOLS = st.sampled_from(["a", "b", "c", "A", "B", "C"])
_BODIES = st.lists(st.lists(_SYMBOLS, max_size=4).map(tuple), min_size=1, max_size=4, unique=True)


@given(st.tuples(_BODIES, _BODIES, _BODIES), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_small_grammars(bodies: tuple[list[tuple[str, ...]], ...], priorities: list[int]) -> None:
    productions = [Production(origin, body) for origin, of in zip("abc", bodies, strict=True) for body in of]
    assert_as_lark(productions, "a")
    ranked = [
        Production(one.origin, one.symbols, priority) for one, priority in zip(productions, priorities, strict=False)
    ]
    assert_as_lark(ranked, "a")


_LARGE = [pytest.param(name, marks=pytest.mark.slow) for name in ("c", "go", "java", "sql")]


@pytest.mark.parametrize("name", ["arithmetic", "json", "graphql", "regex", "first_order_logic", *_LARGE])
def test_shipped_grammars(name: str) -> None:
    _, rules, _ = load_grammar(shipped.text_of(name), name, [], False)[0].compile(["start"], set())
    productions = {
        (rule.origin.name, tuple(symbol.name for symbol in rule.expansion)): rule.options.priority or 0
        for rule in rules
    }
    assert_as_lark([Production(*key, priority) for key, priority in productions.items()], "start")


def test_the_end_is_acceptable_where_a_text_may_end() -> None:
    found = lalr_states([Production("s", ("A", "s")), Production("s", ("A",))], "s")
    assert found.acceptable[0] == {"A"}
    assert found.acceptable[found.transitions[0]["A"]] == {"A", END}
