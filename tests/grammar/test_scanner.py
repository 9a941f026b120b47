"""With the contextual lexer a grammar accepts what lark accepts (LALR, contextual lexer): every short text is tried."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lark import Lark
from lark.exceptions import LarkError

from structgen.compiler import compile_grammar
from structgen.errors import UnsupportedGrammarError
from structgen.grammar.dialects import grammar_to_ir
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

GRAMMARS = {
    "names and keywords": (
        'start: stmt+\nstmt: "if" NAME ";" | NAME "=" NAME ";" | "i" ";"\nNAME: /[if]+/\n%ignore " "\n',
        "if=; ",
        6,
    ),
    "a keyword only where it may stand": (
        'start: NAME "=" NAME ("if" NAME)?\nNAME: /[ifx]+/\n%ignore / +/\n',
        "ifx= ",
        6,
    ),
    "longest operator": ('start: (A | OP A)*\nOP: "<" | "<=" | "=" | "=="\nA: "a"\n', "<=a", 7),
    "operators as strings": ('start: (a | "<" | "<=" | "=" | "==" "!")*\na: "a"\n', "<=a!", 6),
    "numbers run on": ("start: (N | W)+\nN: /[0-9]+/\nW: /[a-z]+/\n%ignore / +/\n", "01a ", 6),
    "comment or division": (
        'start: e\ne: e "/" N | N\nN: /[0-9]/\nC: "/*" /[^*]*/ "*/"\n%ignore C\n%ignore " "\n',
        "1/* ",
        7,
    ),
    "line comment": ("start: (N | NL)*\nN: /1/\nNL: /\\n/\n%ignore /#[^\\n]*/\n%ignore / +/\n", "1#\n ", 7),
    "lazy": ('start: S (S | "x")*\nS: /".*?"/\n', '"x', 9),
    "priorities": ('start: (A | B)+ "!"\nA.2: /[ab]/\nB: /[bc]+/\n', "abc!", 6),
    "look-ahead": ('start: (K | N)+\nK: /i(?!f)/ | /x/\nN: /[if]f/\n%ignore " "\n', "ifx ", 6),
    "empty and optional": ('start: [a] b*\na: "x" | "x" a\nb: "(" start ")"\n', "x()", 7),
    "trailing separator": ('start: (I ("," I)* [","])?\nI: /[ab]+/\n%ignore " "\n', "ab, ", 7),
    "white space is a terminal": (
        'start: (A NL)+\nA: "a"\nNL: /\\n+/\nWS: /[ \\n]+/\n%ignore / +/\n',
        "a\n ",
        7,
    ),
    "one place, two contexts": (
        'start: f+\nf: t "." | "-" f | "a" N f | "(" f ")"\nt: N | "(" t ")"\nN: /[ab]+/\n%ignore " "\n',
        ".a)( ",
        6,
    ),
    "names without keywords": (
        'start: ("if" N | N "=" N)+\nN: /(?!if(?![a-z]))[a-z]+/\n%ignore " "\n',
        "if= ",
        6,
    ),
    "declared by case": ('start: ("select"i | NAME)+ ";"\nNAME: /[a-z]+/i\n%ignore " "\n', "sE; ", 5),
}


def lark_accepts(parser: Lark, text: str) -> bool:
    try:
        parser.parse(text)
    except LarkError:
        return False
    return True


@pytest.mark.parametrize("name", GRAMMARS)
def test_accepts_what_lark_accepts(name: str) -> None:
    grammar, alphabet, longest = GRAMMARS[name]
    parser = Lark(grammar, parser="lalr", lexer="contextual")
    recognizer = Recognizer(grammar_to_ir(grammar))
    texts = ["".join(letters) for n in range(longest + 1) for letters in product(alphabet, repeat=n)]
    if len(texts) > 4_000:
        texts = texts[:1_000] + texts[1_000 :: len(texts) // 3_000]
    accepted = {text for text in texts if lark_accepts(parser, text)}
    assert accepted
    for text in texts:
        assert recognizer.accepts(text.encode()) == (text in accepted), text
    for text in accepted:
        assert all(recognizer.viable(text[:end].encode()) for end in range(len(text))), text


_words = st.sampled_from(['"a"', '"ab"', '"b"', '"ba"', "/a+/", "/[ab]+/", "/ab?/", "/b+a/"])


@given(st.lists(_words, min_size=2, max_size=4, unique=True), st.data())
@settings(max_examples=40, deadline=None)
def test_random_terminals_against_lark(words: list[str], data: st.DataObject) -> None:
    names = [f"T{index}" for index in range(len(words))]
    symbols = st.sampled_from([*names, "r", '"c"', "start"])
    bodies = [" ".join(data.draw(st.lists(symbols, min_size=1, max_size=3))) for _ in range(3)]
    grammar = f'start: {bodies[0]} | T0\nr: {bodies[1]} | {bodies[2]} | "c"\n' + "".join(
        f"{name}: {word}\n" for name, word in zip(names, words, strict=True)
    )
    try:
        parser = Lark(grammar, parser="lalr", lexer="contextual", strict=True)
    except LarkError:
        return  # conflicts, which lark resolves by guessing, or terminals that collide
    try:
        recognizer = Recognizer(grammar_to_ir(grammar))
    except UnsupportedGrammarError:
        return
    for text in ("".join(letters) for n in range(5) for letters in product("abc", repeat=n)):
        assert recognizer.accepts(text.encode()) == lark_accepts(parser, text), (grammar, text)


TOKENS = [
    *(bytes((byte,)) for byte in range(0x20, 0x7F)),
    b"\n",
    b"if ",
    b"i;",
    b"==",
    b"=a",
    b'x"',
    b"1 ",
    b" #",
    b"//",
    b")(",
]


@pytest.mark.parametrize("name", GRAMMARS)
def test_masks_of_the_engine(name: str) -> None:
    grammar, alphabet, _ = GRAMMARS[name]
    vocab = Vocabulary.from_bytes([*TOKENS, b"<end>"], eos_token_ids=len(TOKENS))
    compiled = compile_grammar(grammar, vocab)
    recognizer = Recognizer(grammar_to_ir(grammar))
    texts = ["".join(letters) for n in range(5) for letters in product(alphabet, repeat=n)][::7]
    bitmask = np.zeros((1, vocab.num_words), np.int32)
    for text in texts:
        matcher = compiled.matcher()
        if not matcher.accept_bytes(text.encode()):
            assert not recognizer.viable(text.encode()), text
            continue
        matcher.fill_next_token_bitmask(bitmask)
        bits = np.unpackbits(bitmask.view(np.uint8), bitorder="little")
        allowed = set(np.flatnonzero(bits).tolist()) - {len(TOKENS)}
        assert allowed == recognizer.mask(text.encode(), TOKENS), text
        ending = matcher.shortest_completion()
        assert ending is not None and recognizer.accepts(text.encode() + ending), text  # no dead ends
        assert bool(bits[len(TOKENS)]) == recognizer.accepts(text.encode()) == matcher.is_accepting(), text


def test_patterns_that_only_unicode_properties_express() -> None:
    recognizer = Recognizer(grammar_to_ir('start: "as" NAME\nNAME: /\\p{L}[\\p{L}\\p{N}_]*/\n%ignore " "\n'))
    assert recognizer.accepts("as größe1".encode())
    assert not recognizer.viable(b"as1")
