"""Texts of a terminal that ranks higher and looks ahead: they are the lower one's where the other does not match."""

from __future__ import annotations

import itertools

import lark
import pytest

import structgen
from structgen.vocab import Vocabulary

VOCAB = Vocabulary.from_bytes([*(bytes((byte,)) for byte in range(256)), b"<end>"], eos_token_ids=256)

# As in JavaScript: a line break ends a statement unless the next line goes on with it.
BREAKS = r"""
start: (sum end)* sum?
sum: NAME ("+" NAME)*
end: ";" | NL
NAME: /[a-z]/
NL.4: /\n[ \n]*(?![ \n+;])/
_SPACE: /\n[ \n]*(?![ \n+;])/
_CONTINUED: /\n[ \n]*(?=[+;])/
%ignore _SPACE
%ignore _CONTINUED
%ignore / +/
"""
FOLLOWED = 'start: (A | B | "y" | "z")* "z"\nA.2: /x(?!y)/\nB: /x(?=y)/\n'
CASES = {"line breaks": (BREAKS, "ab+;\n ", 6), "the same text": (FOLLOWED, "xyz", 5)}


@pytest.mark.parametrize("name", CASES)
def test_the_engine_takes_what_lark_takes(name: str) -> None:
    text, alphabet, most = CASES[name]
    reader = lark.Lark(text, parser="lalr", lexer="contextual")
    grammar = structgen.compile_grammar(text, VOCAB)
    accepted = 0
    for length in range(most + 1):
        for chars in itertools.product(alphabet, repeat=length):
            word = "".join(chars)
            try:
                reader.parse(word)
                expected = True
            except lark.exceptions.UnexpectedInput:
                expected = False
            matcher = grammar.matcher()
            found = matcher.accept_bytes(word.encode()) and matcher.is_accepting()
            assert found == expected, word
            accepted += expected
    assert accepted > 20
