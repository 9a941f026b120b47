"""Cases in which SynCode's stores are known to be wrong (arXiv:2403.01632 and its issues): exact masks here."""

from __future__ import annotations

import numpy as np
import pytest

from structgen.compiler import CompiledGrammar, compile_grammar
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

WORDS = [b'{"', b'"}', b'":', b"/**", b"*/", b"def", b" def", b"  def", b"13", b" + ", b" NOT", b"id", b"stu", b"= "]
WORDS += [b"\xc3", b"\xa9", b'\\"', b"\\u00", b"e9", b"ab", b" a", b"  ", b"\n"]
TOKENS = [*(bytes((byte,)) for byte in range(0x20, 0x7F)), *WORDS]
VOCAB = Vocabulary.from_bytes([*TOKENS, b"<eos>"], eos_token_ids=len(TOKENS))

JSON = r"""
start: value
?value: object | STRING | /[0-9]+/
object: "{" [pair ("," pair)*] "}"
pair: STRING ":" value
STRING: /"([^"\\\x00-\x1f]|\\(["\\\/bfnrt]|u[0-9a-fA-F]{4}))*"/
%ignore /[ \t\n]+/
"""
COMMENTS = r"""
start: (NAME ";")*
NAME: /[a-z]+/
%ignore /\/\*([^*]|\*+[^*\/])*\*+\//
%ignore /[ \n]+/
"""
SUM = 'start: NUMBER ("+" NUMBER)*\nNUMBER: /[0-9]+/\n%ignore / +/\n'
SQL = r"""
start: "SELECT" NAME ("WHERE" condition)?
condition: "NOT"? NAME "IN" NAME | NAME ("NOT" "IN" | "=") NAME
NAME: /(?!(SELECT|WHERE|NOT|IN)(?![A-Za-z]))[A-Za-z]+/
%ignore / +/
"""
PYTHON = 'start: "def" NAME ":" | NAME\nNAME: /(?!def(?![a-z]))[a-z]+/\n%ignore / +/\n'

CASES = {
    'one token `{"`': (JSON, b"", [b'{"', b"{", b'"', b'"}'], [b"a", b"}"]),
    "the end of a string and more": (JSON, b'{"a', [b'":', b'"', b'\\"', b"\xc3"], [b"\xa9", b"\n"]),
    "split UTF-8": (JSON, b'"\xc3', [b"\xa9"], [b"a", b'"', b"\xc3"]),
    "JSON escapes": (JSON, b'"\\', [b"u", b"n", b'"'], [b"e9", b"x", b"id"]),
    "JSON escapes, four digits": (JSON, b'"\\u00', [b"e9", b"ab", b"13"], [b'"', b'"}', b"id"]),
    "comments": (COMMENTS, b"a", [b"/**", b"/", b";", b"id"], [b"*/", b"+"]),
    "inside a comment": (COMMENTS, b"a /**", [b"*/", b"*", b"def", b"\n"], [b"/**"]),
    "names after names": (COMMENTS, b"a ", [b" ", b";", b"/"], [b"id", b"a", b"def"]),
    "digits run on": (SUM, b"1", [b"13", b"1", b" + ", b"+"], [b"a"]),
    "no number after a number": (SUM, b"1 ", [b"+", b" + ", b"  "], [b"13", b"1"]),
    "a remainder between sums": (SUM, b"113 + 235", [b" + ", b"13", b" "], [b"a", b"id"]),
    "a remainder in a name": (SQL, b"SELECT a WHERE stu", [b"id", b" NOT", b" ", b"= ", b"a"], [b"+", b"13"]),
    "a keyword that may follow": (SQL, b"SELECT a WHERE stuid", [b" NOT", b"id", b"= "], [b";"]),
    "spaces before a keyword": (PYTHON, b"", [b"def", b" def", b"  def", b"  ", b"stu"], [b"13", b"="]),
    "a keyword that may be a name": (PYTHON, b"def", [b" a", b"id", b" "], [b":", b"13"]),
}


def allowed(grammar: CompiledGrammar, text: bytes) -> set[bytes]:
    matcher = grammar.matcher()
    assert matcher.accept_bytes(text)
    bitmask = np.zeros((1, VOCAB.num_words), np.int32)
    matcher.fill_next_token_bitmask(bitmask)
    bits = np.unpackbits(bitmask.view(np.uint8), bitorder="little")[: len(TOKENS)]
    return {TOKENS[token] for token in np.flatnonzero(bits).tolist()}


@pytest.mark.parametrize("name", CASES)
def test_masks_are_exact(name: str) -> None:
    grammar, prefix, taken, refused = CASES[name]
    compiled = compile_grammar(grammar, VOCAB)
    mask = allowed(compiled, prefix)
    assert set(taken) <= mask
    assert not set(refused) & mask
    assert mask == {TOKENS[token] for token in Recognizer(compiled.root).mask(prefix, TOKENS)}
