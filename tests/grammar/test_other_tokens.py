"""Any tokens but some, as many as one likes: what is accepted is what a count of tokens says, in three notations."""

from __future__ import annotations

import re
from itertools import product

import pytest

from structgen.compiler import compile_grammar
from structgen.errors import GrammarSyntaxError, UnsupportedGrammarError
from structgen.vocab import Vocabulary

SINGLE = [bytes((byte,)) for byte in range(256)]
VOCAB = Vocabulary.from_bytes(
    [*SINGLE, b"<eos>", b"<a>", b"<b>", b"<c>", b"xy"], eos_token_ids=256, special_token_ids=[257, 258, 259]
)
NAMES = {257: "A", 258: "B", 259: "C", 260: "xy", ord("x"): "x", "é".encode()[0]: "é", 256: "E"}

# grammar, dialect, what it means over names of tokens
CASES = [
    ('root ::= <a> !<b>* <b> "x"', "gbnf", r"A(A|C|x|xy|é)*Bx"),
    ("root ::= <a> !<[258]>+ <b>", "gbnf", r"A(A|C|x|xy|é)+B"),
    ("root ::= (!<[257-258]>+ <b>)*", "gbnf", r"((C|x|xy|é)+B)*"),
    ('root ::= ExcludeToken(257, "<c>")* <a>', "ebnf", r"(B|x|xy|é)*A"),
    ("start: <a> <[^258]>* <b>", "lark", r"A(A|C|x|xy|é)*B"),
    ("start: <[^257,259]> + <c>", "lark", r"(B|x|xy|é)+C"),
    ("start: <a> <[*]>+ // all but the end", "lark", r"A(A|B|C|x|xy|é)+"),
]


def tokens_of(name: str) -> list[int]:
    return list("é".encode()) if name == "é" else [next(token for token, one in NAMES.items() if one == name)]


@pytest.mark.parametrize(("grammar", "dialect", "meaning"), CASES)
def test_all_short_sequences(grammar: str, dialect: str, meaning: str) -> None:
    compiled = compile_grammar(grammar, VOCAB, dialect=dialect, lexer="dynamic")
    taken = 0
    for length in range(5):
        for names in product(["A", "B", "C", "x", "xy", "é"], repeat=length):
            matcher = compiled.matcher()
            accepted = all(matcher.accept_token(token) for name in names for token in tokens_of(name))
            expected = re.fullmatch(meaning, "".join(names)) is not None
            assert (accepted and matcher.is_accepting()) == expected, names
            taken += expected
    assert taken > 5


@pytest.mark.parametrize("grammar", ["start: <[^258]>* <b>", 'start: "(" <[*]>+ NAME\nNAME: /[a-z]+/\n%ignore " "'])
def test_a_scanner_does_not_mind(grammar: str) -> None:
    """Texts that no terminal has are as good as others."""
    matcher = compile_grammar(grammar, VOCAB).matcher()
    assert matcher.accept_bytes("(1 é]\n".encode())
    assert matcher.accept_token(259)
    assert matcher.accept_bytes(b"xy") and matcher.accept_token(258 if "b" in grammar else ord("z"))
    assert matcher.is_accepting()


@pytest.mark.parametrize(
    ("grammar", "dialect", "place"),
    [
        ("start: <[*]>", "lark", (1, 8)),
        ("start: <[^258]>?", "lark", (1, 8)),
        ("start: <[^258]>{2}", "lark", (1, 8)),
        ("start: <[^120]>*", "lark", (1, 8)),
        ('root ::= "a" !<a>', "gbnf", (1, 14)),
        ('root ::= "a"\n | !<[120]>*', "gbnf", (2, 4)),
        ("root ::= ExcludeToken(257)", "ebnf", (1, 10)),
    ],
)
def test_refused(grammar: str, dialect: str, place: tuple[int, int]) -> None:
    with pytest.raises(UnsupportedGrammarError) as caught:
        compile_grammar(grammar, VOCAB, dialect=dialect)
    assert (caught.value.line, caught.value.column) == place


def test_a_token_that_is_not_there() -> None:
    with pytest.raises(GrammarSyntaxError, match="no token <d>"):
        compile_grammar("root ::= !<d>*", VOCAB, dialect="gbnf")
