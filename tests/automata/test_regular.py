"""Regular languages against brute force, Python's `re` and interegular; state counts; limits."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

import interegular
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.automata.charset import ANY, CharSet
from structgen.automata.regular import (
    ANY_STRING,
    EMPTY_STRING,
    NOTHING,
    Language,
    LanguageTooComplex,
    chars,
    complement,
    concat,
    difference,
    finite,
    intersect,
    repeat,
    string,
    union,
)
from structgen.grammar.regex import parse_regex, search_regex

ALPHABET = "abc"
LONGEST = 4
TEXTS = ["".join(text) for count in range(LONGEST + 1) for text in itertools.product(ALPHABET, repeat=count)]
_SHORT = [text for text in TEXTS if len(text) <= 3]

# A term beside the set of words of up to `LONGEST` characters that it should have.
Pair = tuple[Language, frozenset[str]]


def _cut(words: set[str]) -> frozenset[str]:
    return frozenset(word for word in words if len(word) <= LONGEST)


def _product(left: frozenset[str], right: frozenset[str]) -> frozenset[str]:
    return _cut({a + b for a in left for b in right if len(a) + len(b) <= LONGEST})


def _power(words: frozenset[str], least: int, most: int | None) -> frozenset[str]:
    current: frozenset[str] = frozenset([""])
    found: frozenset[str] = current if least == 0 else frozenset()
    for count in range(1, (most if most is not None else least + LONGEST) + 1):
        current = _product(current, words)
        if count >= least:
            found |= current
    return found


def _leaf() -> st.SearchStrategy[Pair]:
    sets = st.frozensets(st.sampled_from(ALPHABET), min_size=1)
    words = st.frozensets(st.text(ALPHABET, max_size=3), max_size=4)
    runs = st.tuples(sets, st.integers(0, 2), st.one_of(st.none(), st.integers(0, 3)))
    return st.one_of(
        sets.map(lambda found: (chars(CharSet.of(found)), frozenset(found))),
        words.map(lambda found: (finite(found), frozenset(found))),
        st.text(ALPHABET, max_size=3).map(lambda text: (string(text), frozenset([text]))),
        st.sampled_from([(NOTHING, frozenset()), (EMPTY_STRING, frozenset([""])), (ANY_STRING, frozenset(TEXTS))]),
        runs.map(lambda run: (repeat(chars(CharSet.of(run[0])), *run[1:]), _power(frozenset(run[0]), *run[1:]))),
    )


def _extend(inner: st.SearchStrategy[Pair]) -> st.SearchStrategy[Pair]:
    pair = st.tuples(inner, inner)
    counts = st.tuples(inner, st.integers(0, 3), st.one_of(st.none(), st.integers(0, 4)))
    everything = frozenset(TEXTS)
    return st.one_of(
        pair.map(lambda two: (concat(two[0][0], two[1][0]), _product(two[0][1], two[1][1]))),
        pair.map(lambda two: (union(two[0][0], two[1][0]), two[0][1] | two[1][1])),
        pair.map(lambda two: (intersect(two[0][0], two[1][0]), two[0][1] & two[1][1])),
        pair.map(lambda two: (difference(two[0][0], two[1][0]), two[0][1] - two[1][1])),
        inner.map(lambda one: (complement(one[0]), everything - one[1])),
        counts.map(lambda one: (repeat(one[0][0], one[1], one[2]), _power(one[0][1], one[1], one[2]))),
    )


PAIRS = st.recursive(_leaf(), _extend, max_leaves=6)


def reachable(language: Language, limit: int = 2_000) -> list[Language]:
    """All states, breadth first."""
    states = {language: None}
    queue = [language]
    for state in queue:
        for _, target in state.edges():
            if target not in states:
                states[target] = None
                queue.append(target)
        assert len(queue) <= limit
    return queue


def walk(language: Language, text: str) -> Language | None:
    """The state after a text, by live edges only."""
    state: Language | None = language
    for char in text:
        assert state is not None
        state = next((target for charset, target in state.edges() if ord(char) in charset), None)
        if state is None:
            return None
    return state


@settings(max_examples=300, deadline=None)
@given(PAIRS)
def test_operators_against_brute_force(pair: Pair) -> None:
    language, words = pair
    assert {text for text in TEXTS if language.matches(text)} == words


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_edges_are_deterministic_live_and_complete(pair: Pair) -> None:
    language, words = pair
    for text in _SHORT:
        state = walk(language, text)
        assert (state is not None and state.nullable) == (text in words)
    for state in reachable(language):
        edges = state.edges()
        assert len({target for _, target in edges}) == len(edges)
        assert sum(charset.size for charset, _ in edges) == CharSet(r for c, _ in edges for r in c.ranges).size
        assert all(target.shortest() is not None for _, target in edges)


@settings(max_examples=100, deadline=None)
@given(PAIRS)
def test_emptiness_and_lengths(pair: Pair) -> None:
    words = pair[1]
    language = intersect(pair[0], repeat(chars(CharSet.of(ALPHABET))))
    shortest = language.shortest()
    assert language.is_empty() == (shortest is None)
    if shortest is None:
        assert not words
        return
    assert language.matches(shortest) and len(shortest) == language.min_length()
    if words:
        assert len(shortest) == min(map(len, words))
        longest = language.max_length()
        assert longest is None or longest >= max(map(len, words))
    assert language.min_bound <= language.min_length()
    assert language.max_bound is None or (language.max_length() or 0) <= language.max_bound


@settings(max_examples=100, deadline=None)
@given(PAIRS, PAIRS)
def test_laws_hold_as_identities(one: Pair, two: Pair) -> None:
    a, b = one[0], two[0]
    assert union(a, b) is union(b, a) and union(a, a) is a
    assert intersect(a, b) is intersect(b, a) and intersect(a, a) is a
    assert complement(complement(a)) is a
    assert complement(union(a, complement(a))).is_empty()
    assert difference(a, a).is_empty()


def _runs(c: str, m: int, n: int | None) -> Language:
    return repeat(chars(CharSet.of(c)), m, n)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (lambda: concat(_runs("ab", 1, 2), _runs("ab", 3, 4)), lambda: _runs("ab", 4, 6)),
        (lambda: concat(_runs("ab", 1, 1), _runs("ab", 0, None)), lambda: _runs("ab", 1, None)),
        (lambda: concat(string("xa"), _runs("a", 0, None)), lambda: concat(string("x"), _runs("a", 1, None))),
        (lambda: intersect(repeat(chars(ANY), 2, 9), _runs("ab", 0, 5)), lambda: _runs("ab", 2, 5)),
        (lambda: intersect(_runs("abc", 1, 7), _runs("bcd", 3, None)), lambda: _runs("bc", 3, 7)),
        (lambda: union(_runs("ab", 1, 3), _runs("ab", 4, 6), EMPTY_STRING), lambda: _runs("ab", 0, 6)),
        (lambda: repeat(_runs("ab", 2, 3), 2, 4), lambda: _runs("ab", 4, 12)),
        (lambda: repeat(repeat(string("ab"), 0, 1), 0, None), lambda: repeat(string("ab"))),
        (lambda: union(string("a"), string("b"), string("c")), lambda: _runs("abc", 1, 1)),
        (lambda: union(string("foo"), string("bar")), lambda: finite(["bar", "foo"])),
        (lambda: union(concat(string("a"), ANY_STRING), concat(string("b"), ANY_STRING)),
         lambda: concat(_runs("ab", 1, 1), ANY_STRING)),
        (lambda: complement(repeat(chars(ANY), 3)), lambda: repeat(chars(ANY), 0, 2)),
        (lambda: concat(ANY_STRING, _runs("a", 0, 3)), lambda: ANY_STRING),
        (lambda: intersect(concat(_runs("a", 1, 1), _runs("ab", 0, None)), repeat(chars(ANY), 1, 63)),
         lambda: concat(string("a"), _runs("ab", 0, 62))),
        (lambda: difference(finite(["a1", "b1", "c"]), parse_regex("[ab]1")), lambda: string("c")),
    ],
)  # fmt: skip
def test_rules(left: Callable[[], Language], right: Callable[[], Language]) -> None:
    assert left() is right()


def test_repeats_with_gaps_are_not_folded() -> None:
    gaps = repeat(_runs("ab", 3, 4), 0, 2)
    assert [count for count in range(10) if gaps.matches("a" * count)] == [0, 3, 4, 6, 7, 8]


@pytest.mark.parametrize(
    ("pattern", "states"),
    [
        ("foo|bar", 6),
        (r"^.*(?:foo|bar).*$", 6),
        (r"^[a-z0-9-]{1,63}$", 64),
        (r"^[a-z]([-a-z0-9]*[a-z0-9])?$", 3),
        (r"^\d{4}-\d{2}-\d{2}$", 11),
        (r"^https?://.+", 10),
        (r"\.ya?ml$", 6),
        (r"^([a-z]+\.)*[a-z]+$", 3),
        (r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$", 9),
        (r"^#([A-Fa-f0-9]{6}|[A-Fa-f0-9]{3})$", 8),
        (r"^((25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(\.|$)){4}$", 25),
        (r"^((?!mode)(?!Mode).)*$", 6),
        (r"(a|b)*abb", 4),
    ],
)
def test_number_of_states(pattern: str, states: int) -> None:
    assert len(reachable(search_regex(pattern))) <= states


def test_counters_are_not_copied() -> None:
    language = parse_regex("(?:ab|c){500000,1000000}x?")
    ((_, after), *_) = language.edges()
    assert len(after.edges()) == 1
    assert language.min_length() == 500_000 and language.max_length() == 2_000_001
    bounded = intersect(parse_regex("[a-z]+(-[a-z]+)*"), repeat(chars(ANY), 0, 1_000_000))
    assert not bounded.is_empty() and bounded.max_length() == 1_000_000


def test_many_words_are_a_trie_that_opens_lazily() -> None:
    words = [f"name_{index * 7919 % 1_000_003}" for index in range(100_000)]
    start = time.process_time()
    language = finite(words)
    others = difference(repeat(chars(ANY), 1, 200), language)
    inside, outside = walk(language, words[17]), walk(others, words[17])
    assert time.process_time() - start < 2
    assert inside is not None and inside.nullable
    assert outside is not None and not outside.nullable
    assert language.matches(words[4]) and not language.matches("name_")
    assert others.matches("name_") and not others.matches(words[4])


def test_long_and_deep_terms_do_not_recurse() -> None:
    text = "ab" * 5_000
    language = concat(string(text), _runs("c", 0, None))
    assert language.matches(text + "c") and language.shortest() == text
    assert string(text).step(ord("a")) is string(text[1:])
    deep = EMPTY_STRING
    for index in range(3_000):
        deep = repeat(concat(deep, string("ab"[index % 2])), 0, None)
    assert deep.matches("ab") and not deep.is_empty() and len(deep.key) == 16
    chain = concat(*(repeat(string("abc"[index % 3]), 0, 1) for index in range(1_000)))
    assert chain.matches("abcabc") and chain.max_length() == 1_000
    assert parse_regex("(" * 5_000 + "a" + ")" * 5_000) is string("a")


def test_words_must_be_text() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        finite(["a", "\ud800"])
    with pytest.raises(ValueError, match="surrogate"):
        string("\ud800")
    assert not ANY_STRING.matches("\ud800")


def test_undecided_emptiness_is_an_error() -> None:
    # Both count to different primes: the product has more states than the limit, and no word.
    left, right = (concat(repeat(repeat(string("a"), count, count)), string("a")) for count in (211, 199))
    clash = intersect(left, concat(repeat(repeat(string("a"), 199, 199)), string("aa")), complement(right))
    with pytest.raises(LanguageTooComplex):
        clash.is_empty(limit=100)
    assert not clash.is_empty()


@pytest.mark.parametrize(
    ("make", "empty"),
    [
        (lambda: intersect(search_regex("^a"), search_regex("^b")), True),
        (lambda: intersect(search_regex("a$"), search_regex("b$")), True),
        (lambda: intersect(search_regex("a"), search_regex("b"), repeat(chars(ANY), 0, 1)), True),
        (lambda: intersect(search_regex("a"), search_regex("b"), repeat(chars(ANY), 0, 100_000)), False),
        (lambda: difference(parse_regex("[ab]*a"), search_regex("a$")), True),
        (lambda: difference(parse_regex("[ab]{2}"), finite(["aa", "ab", "ba", "bb"])), True),
        (lambda: difference(parse_regex("[ab]{2}"), finite(["aa", "ab", "ba"])), False),
        (lambda: complement(union(search_regex("a"), parse_regex("[^a]*"))), True),
        (lambda: intersect(parse_regex("(ab)*"), repeat(chars(ANY), 7, 7)), True),
        (lambda: intersect(parse_regex("(ab|c)*"), repeat(chars(ANY), 70_001, None)), False),
        (lambda: concat(string("a"), intersect(search_regex("^a"), search_regex("^b"))), True),
        (lambda: repeat(intersect(search_regex("^a"), search_regex("^b")), 1), True),
        (lambda: repeat(intersect(search_regex("^a"), search_regex("^b")), 0), False),
    ],
)
def test_emptiness(make: Callable[[], Language], empty: bool) -> None:
    assert make().is_empty() is empty


_PLAIN = st.recursive(
    st.sampled_from(["a", "b", "c", "[ab]", "[^a]", "ab"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])).map(lambda one: f"(?:{one[0]}){one[1]}"),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(_PLAIN, _PLAIN)
def test_set_operations_agree_with_interegular(left: str, right: str) -> None:
    a, b = parse_regex(left), parse_regex(right)
    x, y = (interegular.parse_pattern(pattern).to_fsm() for pattern in (left, right))
    for ours, theirs in ((intersect(a, b), x & y), (difference(a, b), x - y), (union(a, b), x | y)):
        assert ours.is_empty() == theirs.empty()
        assert all(ours.matches(text) == theirs.accepts(text) for text in _SHORT)


@settings(max_examples=100, deadline=None)
@given(_PLAIN)
def test_few_more_states_than_the_minimal_automaton(pattern: str) -> None:
    minimal = interegular.parse_pattern(pattern).to_fsm().reduce()
    live = sum(1 for state in minimal.states if minimal.islive(state))
    assert len(reachable(parse_regex(pattern))) <= 2 * live + 2


@settings(max_examples=100, deadline=None)
@given(_PLAIN)
def test_matches_agrees_with_re(pattern: str) -> None:
    language, compiled = parse_regex(pattern), re.compile(pattern)
    assert all(language.matches(text) == bool(compiled.fullmatch(text)) for text in _SHORT)


def test_keys_are_the_same_in_every_process() -> None:
    code = (
        "from structgen.grammar.regex import search_regex\n"
        "from structgen.automata.regular import finite, difference\n"
        "l = difference(search_regex(r'(?:x|yy)+\\b[0-9]{1,3}(?!z)(?:(?!q).)*$'), finite(['b', 'aa', 'cc']))\n"
        "print(l.key.hex(), [t.key.hex() for _, t in l.edges()])"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_keys_differ_where_terms_differ() -> None:
    terms = [string("a"), string("b"), _runs("ab", 1, 2), _runs("ab", 1, 3), finite(["a", "bc"]), finite(["a", "bd"]),
             union(string("abc"), _runs("ab", 1, 2)), complement(string("a")), ANY_STRING, EMPTY_STRING, NOTHING,
             concat(_runs("ab", 1, 2), string("a")), repeat(string("ab")), repeat(string("ab"), 1)]  # fmt: skip
    assert len({term.key for term in terms}) == len(terms)


def test_class_repeat() -> None:
    lower = CharSet.of("ab")
    assert _runs("ab", 1, 9).class_repeat() == (lower, 1, 9)
    assert chars(lower).class_repeat() == (lower, 1, 1)
    assert string("aaa").class_repeat() == (CharSet.of("a"), 3, 3)
    assert ANY_STRING.class_repeat() == (ANY, 0, None)
    assert string("ab").class_repeat() is None
