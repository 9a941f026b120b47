"""Rules with a parameter take what counting says, and what llguidance takes; mistakes have their place."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.compiler import compile_grammar
from structgen.errors import CompileError, GrammarSyntaxError, UnsupportedGrammarError
from structgen.grammar.parameters import Words
from structgen.grammar.parametric import MOST_RULES
from structgen.vocab import Vocabulary

SINGLE = [bytes((byte,)) for byte in range(256)]
VOCAB = Vocabulary.from_bytes([*SINGLE, b"ab", b"cab", b"<eos>"], eos_token_ids=258)


def at_most(text: str, **limits: int) -> bool:
    return all(text.count(letter) <= limit for letter, limit in limits.items())


CASES: dict[str, tuple[str, str, int, Callable[[str], bool]]] = {
    "permutations": (
        """start: perm::0x0
perm::_ : ""                %if is_ones([0:3])   // all are there
        | "a" perm::set_bit(0) %if bit_clear(0)
        # a comment
        | "b" perm::set_bit(1) %if bit_clear(1)

        | "c" perm::set_bit(2) %if bit_clear(2)
""",
        "abc",
        4,
        lambda text: sorted(text) == ["a", "b", "c"],
    ),
    "permutations of two": (
        """start: perm::0x0
perm::_ : "" %if is_ones([0:2])
        | "a" perm::set_bit(0) %if bit_clear(0)
        | "b" perm::set_bit(1) %if bit_clear(1)
""",
        "ab",
        4,
        lambda text: sorted(text) == ["a", "b"],
    ),
    "each at least once": (
        """start: some::0
some::_: "" %if is_ones([0:2]) | "a" some::set_bit(0) | "b" some::bit_or(0x2)
""",
        "ab",
        6,
        lambda text: set(text) == {"a", "b"},
    ),
    "limits": (
        """start: "(" many::0x0 ")"
many::_ : ("a" many::incr([0:2]))  %if lt([0:2], 2)
        | "b" many::incr([2:5])?  %if le([2:5], 2)
        | ""
""",
        "()ab",
        7,
        lambda text: text[:1] == "(" and text[-1:] == ")" and set(text[1:-1]) <= set("ab")
        and at_most(text[1:-1], a=2, b=3),
    ),
    "counts of bits": (
        """start: pick::0
pick::_: "" %if bit_count_ge(_, 1)
       | "a" pick::set_bit(0) %if and(bit_clear(0), bit_count_lt(_, 2))
       | "b" pick::set_bit(1) %if and(not(bit_set(1)), bit_count_ne([0:64], 2))
       | "c" pick::set_bit(63) %if and(bit_clear(63), or(bit_count_eq(_, 0), bit_count_le(_, 1)))
""",
        "abc",
        4,
        lambda text: 1 <= len(text) <= 2 and at_most(text, a=1, b=1, c=1),
    ),
    "down and up": (
        """start: down::3
down::_: "a" down::decr(_) %if gt(_, 0) | up::_ %if is_zeros(_)
up::_: "b" up::incr(_) %if ne(_, 2) | "c" stay::bit_and(1) %if ge(_, 2)
stay::_: "c" other::clear_bit(0) %if eq(_, 0)
other::_: "c"? %if true | "a" %if and(true, eq(_, 0))
""",
        "abc",
        9,
        lambda text: text in ("aaabbcc", "aaabbccc", "aaabbcca"),
    ),
    "no text for a value": (
        'start: "a" (x::1 | x::2)? "c"\nx::_: "b" %if eq(_, 1) | "a" x::3 %if eq(_, 2)\n',
        "abc",
        4,
        lambda text: text in ("ac", "abc"),
    ),
    "bits that are full": (
        'start: x::0\nx::_: "a" x::incr([1:3]) | "." %if eq([1:3], 3) | "b" x::decr([0:2]) %if eq([0:2], 3)\n',
        "ab.",
        6,
        lambda text: text[-1:] == "." and bits(text[:-1]),
    ),
}  # fmt: skip


def bits(text: str) -> bool:
    """What the last case does with its parameter, by hand."""
    number = 0
    for char in text:
        if char == ".":
            return False
        if char == "a":
            number += 2 if number >> 1 & 3 != 3 else 0
        elif number & 3 == 3:
            number -= 1
        else:
            return False
    return number >> 1 & 3 == 3


@pytest.mark.parametrize("lexer", ["contextual", "dynamic"])
@pytest.mark.parametrize("name", CASES)
def test_all_short_texts(name: str, lexer: str) -> None:
    grammar, letters, longest, expected = CASES[name]
    compiled = compile_grammar(grammar, VOCAB, lexer=lexer)
    beginnings = {""}
    taken = 0
    for length in range(longest + 1):
        for text in map("".join, product(letters, repeat=length)):
            if text[:-1] not in beginnings:
                assert not expected(text), text
                continue
            matcher = compiled.matcher()
            if matcher.accept_bytes(text.encode()):
                beginnings.add(text)
            assert (text in beginnings and matcher.is_accepting()) == expected(text), text
            taken += expected(text)
    assert taken > 0


# llguidance takes no comment between alternatives, and stops at a call that is optional.
OURS = {"permutations", "limits", "no text for a value"}


@pytest.mark.parametrize("name", sorted(CASES.keys() - OURS))
def test_llguidance_takes_the_same(name: str) -> None:
    llguidance = pytest.importorskip("llguidance")
    grammar, letters, longest, expected = CASES[name]
    tokenizer = llguidance.LLTokenizer("byte")
    prototype = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
    assert not prototype.get_error(), prototype.get_error()
    for text in map("".join, product(letters, repeat=min(longest, 4))):
        matcher = prototype.deep_copy()
        assert (all(map(matcher.consume_token, text.encode())) and matcher.is_accepting()) == expected(text), text


WORDS = {
    "set_bit(5)": lambda p: p | 32,
    "clear_bit(63)": lambda p: p & (1 << 63) - 1,
    "bit_and(0xF0)": lambda p: p & 0xF0,
    "bit_or( 9 )": lambda p: p | 9,
    "incr([60:64])": lambda p: p if p >> 60 == 15 else p + (1 << 60),
    "decr([3:9])": lambda p: p if p >> 3 & 63 == 0 else p - 8,
    "incr(_)": lambda p: min(p + 1, (1 << 64) - 1),
    "_": lambda p: p,
    "007": lambda p: 7,
}


@given(st.sampled_from(sorted(WORDS)), st.integers(0, (1 << 64) - 1) | st.sampled_from([0, (1 << 64) - 1, 0b111000]))
def test_values(word: str, parameter: int) -> None:
    words = Words(word, 0, lambda message, at, advice: GrammarSyntaxError(message, advice=advice))
    assert words.value()(parameter) == WORDS[word](parameter)
    assert words.at == len(word)


@pytest.mark.parametrize(
    ("grammar", "error", "place"),
    [
        ("start: x::0x0", GrammarSyntaxError, (1, 8)),
        ('start: x::_\nx::_: "a"', GrammarSyntaxError, (1, 11)),
        ('start: x::set_bit(1)\nx::_: "a"', GrammarSyntaxError, (1, 11)),
        ('start: x::0\nx::_: "a" %if', GrammarSyntaxError, (2, 14)),
        ('start: x::0\nx::_: "a" %if lt(_, 3) "b"', GrammarSyntaxError, (2, 23)),
        ('start: x::0\nx::_: ("a" %if lt(_, 3)) "b"', GrammarSyntaxError, (2, 12)),
        ('start: x::0\nx::_: "a" %if lt([3:3], 3)', GrammarSyntaxError, (2, 18)),
        ('start: x::0\nx::_: "a" %if bit_set(64)', GrammarSyntaxError, (2, 23)),
        ('start: x::0\nx::_: "a" %if odd(_)', GrammarSyntaxError, (2, 14)),
        ('start: x::0\nx::_: "a" x::twice(_)', GrammarSyntaxError, (2, 14)),
        (f'start: x::{1 << 64}\nx::_: "a"', GrammarSyntaxError, (1, 11)),
        ('start: x::0\nx::_: "a"\nx::_: "b"', GrammarSyntaxError, (3, 1)),
        ('start: "a" %if true', UnsupportedGrammarError, (1, 12)),
        ('start: "a" %if true | x::0\nx::_: "a"', GrammarSyntaxError, (1, 12)),
        ('start: x::0\nx::_: "a" x::incr(_) | "b"', UnsupportedGrammarError, None),
        ('start: x::0\nx::_: "a" %if eq(_, 1)', GrammarSyntaxError, None),
    ],
)
def test_refused(grammar: str, error: type[CompileError], place: tuple[int, int] | None) -> None:
    with pytest.raises(error) as caught:
        compile_grammar(grammar, VOCAB)
    if place is not None:
        assert (caught.value.line, caught.value.column) == place  # type: ignore[attr-defined]


def test_as_many_rules_as_there_may_be() -> None:
    """One short of the limit is read; lines of other rules stay where they are."""
    text = f'start: x::0\nx::_: "a" x::incr(_) %if lt(_, {MOST_RULES})\n | "b"\nother: missing\n'
    with pytest.raises(UnsupportedGrammarError, match="more than 2,000 rules"):
        compile_grammar(text, VOCAB)
    with pytest.raises(GrammarSyntaxError) as caught:
        compile_grammar(text.replace(str(MOST_RULES), "9"), VOCAB)
    assert caught.value.line == 4
