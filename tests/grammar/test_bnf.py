"""GBNF and EBNF: every feature of the notations, what is refused and where, and files of llama.cpp as they are."""

from __future__ import annotations

from itertools import product

import pytest
from derivation import TEXTS, texts_by_derivation
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen.compiler import compile_grammar
from structgen.errors import CompileError, GrammarSyntaxError, UnsupportedGrammarError
from structgen.grammar.bnf_reader import read_gbnf
from structgen.grammar.dialects import grammar_to_ir
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

# In the style of llama.cpp's json.gbnf: comments, classes, escapes, counts, groups over lines.
JSON = r"""
# a comment
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::=
  "[" ws (
            value
    ("," ws value)*
  )? "]" ws

string ::=
  "\"" (
    [^"\\\x7F\x00-\x1F] |
    "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) # escapes
  )* "\"" ws

number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""
CHESS = r"""root ::= "1. " move " " move "\n" ([1-9] [0-9]? ". " move " " move "\n")+
move ::= (pawn | nonpawn | castle) [+#]?
nonpawn ::= [NBKQR] [a-h]? [1-8]? "x"? [a-h] [1-8]
pawn ::= ([a-h] "x")? [a-h] [1-8] ("=" [NBKQR])?
castle ::= "O-O" "-O"?
"""

GBNF = {
    "json": (JSON, ['{"a":1}', '{"a": [1, 2.5e1, "x\\u00e9é"], "b": null}', "{}"], ['{"a":}', '{"a":01}', "[]", ""]),
    "chess": (CHESS, ["1. e4 e5\n2. Nf3 O-O-O+\n"], ["1. e4 e5\n", "1. e9 e5\n2. a1 a1\n"]),
    "escapes": (
        r'root ::= "\x41\u00e9\U0001F600\t\n\r\\\"\[\]" [\x30-\x32\]\-]',
        ['Aé😀\t\n\r\\"[]1', 'Aé😀\t\n\r\\"[]]'],
        ["A"],
    ),
    "any character": ("root ::= . .", ["a\n", "é😀"], ["a", "abc"]),
    "counts": ('root ::= "a"{2} "b"{1,} "c"{0,2}', ["aab", "aabbcc"], ["ab", "aabccc", "aa"]),
    "count of a group": ('root ::= ("a" | x "b"){20,30}\nx ::= "c"*', ["a" * 20, "cb" * 30], ["a" * 19, "a" * 31]),
    "left recursion": ('root ::= root "+" [0-9] | [0-9]', ["1", "1+2+3"], ["1+", "+1"]),
    "embedding": ('root ::= "(" root ")" | ""', ["", "(())"], ["(", "())"]),
    "empty": ('root ::= "a" ""? | ', ["", "a"], ["aa"]),
    "names": ('root ::= a-b-1 x_y\na-b-1 ::= "a"\nx_y ::= "x"', ["ax"], ["a"]),
    "negated": ("root ::= [^a-c\\n]+", ["xyz"], ["xa", "\n"]),
}
EBNF = {
    "quotes": ("root ::= 'a\"' \"b'\"", ["a\"b'"], ["ab"]),
    "comments": ('root ::= "a" /* one\ntwo */ "b" # three\n// four\n', ["ab"], ["a"]),
    "codes": ("root ::= #x41 [#x30-#x39]", ["A7"], ["#x41"]),
    "exclusion": ("root ::= ([a-z] - [aeiou])+", ["xyz"], ["xa"]),
    "look-ahead": ('root ::= a "c"\na ::= "b" (= "c")', ["bc"], ["b"]),
    "names with dots": ('root ::= a.b\na.b ::= "x"{2}', ["xx"], ["x"]),
    "semicolons": ('root ::= "a" b ;\nb ::= "b" ;', ["ab"], ["a"]),
    "unicode escape": (r'root ::= "\u{1F600}"', ["😀"], ["u"]),
}


@pytest.mark.parametrize(("dialect", "name"), [*(("gbnf", n) for n in GBNF), *(("ebnf", n) for n in EBNF)])
def test_syntax(dialect: str, name: str) -> None:
    grammar, taken, refused = (GBNF if dialect == "gbnf" else EBNF)[name]
    recognizer = Recognizer(grammar_to_ir(grammar, dialect=dialect))
    for text in taken:
        assert recognizer.accepts(text.encode()), text
    for text in refused:
        assert not recognizer.accepts(text.encode()), text


@pytest.mark.parametrize(
    ("grammar", "place", "said"),
    [
        ('root ::= "a', (1, 10), "never closed"),
        ("root ::= b", (1, 10), "not defined"),
        ('root = "a"', (1, 6), "::="),
        ("root ::= [a", (1, 10), "never closed"),
        ('root ::= "b"\n  | ("a"', (2, 5), "never closed"),
        ('root ::= "a"\nroot ::= "b"', (2, 1), "twice"),
        ('root ::= "\\q"', (1, 11), "escape"),
        ('root ::= "a"{2,1}', (1, 13), "order"),
        ('root ::= "a" ) "b"', (1, 14), "not '\\)'"),
        ("root ::= [b-a]", (1, 10), "order"),
        ('x ::= "a"', (1, 1), "no rule 'root'"),
        ('root ::= root "a"', (1, 1), "no text"),
        ('root ::= "\\ud800"', (1, 11), "not a character"),
    ],
)
def test_errors_say_where(grammar: str, place: tuple[int, int], said: str) -> None:
    with pytest.raises(GrammarSyntaxError, match=said) as caught:
        grammar_to_ir(grammar, dialect="gbnf")
    assert (caught.value.line, caught.value.column) == place


@pytest.mark.parametrize(
    "grammar",
    [
        "root ::= !<think>",
        "root ::= !<think>?",
        "root ::= (!<think>)*",
        'root ::= !<think>{2} "a"',
        'root ::= TagDispatch(("a", root))',
        "root ::= ExcludeToken(1, 2)",
    ],
)
def test_refused(grammar: str) -> None:
    with pytest.raises(UnsupportedGrammarError):
        grammar_to_ir(grammar, dialect="ebnf")


def test_tokens_in_gbnf() -> None:
    vocab = Vocabulary.from_bytes(
        [*(bytes((byte,)) for byte in range(256)), b"<eos>", b"<think>", b"</think>"],
        eos_token_ids=256,
        special_token_ids=[257, 258],
    )
    matcher = compile_grammar('root ::= <think> [a-z]* <[258]> "x"', vocab, dialect="gbnf").matcher()
    assert matcher.accept_token(257)
    assert matcher.accept_bytes(b"abc")
    assert matcher.accept_token(258)
    assert matcher.accept_bytes(b"x")
    assert matcher.is_accepting()
    with pytest.raises(CompileError, match="no token <thin>"):
        compile_grammar("root ::= <thin>", vocab, dialect="gbnf")


_atoms = st.sampled_from(['"a"', '"b"', "[ab]", '"ab"', "x", "root", '""', "[^a]"])
_items = st.tuples(_atoms, st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}"])).map("".join)
_sequences = st.lists(_items, max_size=3).map(" ".join)
_bodies = st.lists(_sequences, min_size=1, max_size=3).map(lambda parts: "(" + ") | (".join(parts) + ")")


@given(_bodies, _bodies)
@settings(max_examples=60, deadline=None)
def test_random_grammars_against_derivation(root: str, other: str) -> None:
    text = f"root ::= {root}\nx ::= {other}\n"
    expected = texts_by_derivation(read_gbnf(text.replace("[^a]", "[b]")), 5)
    if not expected:
        return
    recognizer = Recognizer(grammar_to_ir(text.replace("[^a]", "[b]"), dialect="gbnf"))
    assert {one for one in TEXTS if recognizer.accepts(one.encode())} == expected


def test_engine_and_reference_agree_on_a_counted_rule() -> None:
    vocab = Vocabulary.from_bytes([b"a", b"b", b"c", b"ab", b"<eos>"], eos_token_ids=4)
    grammar = 'root ::= (x "b"){13,15} "c"\nx ::= "a" | x "a"\n'
    compiled = compile_grammar(grammar, vocab, dialect="gbnf")
    recognizer = Recognizer(grammar_to_ir(grammar, dialect="gbnf"))
    for count, rest in product((11, 12, 13, 14, 15), (b"", b"a", b"c", b"aab")):
        text = b"ab" * count + rest
        matcher = compiled.matcher()
        assert matcher.accept_bytes(text) == recognizer.viable(text)
        assert recognizer.accepts(text) == (matcher.num_tokens > 0 and matcher.is_accepting())


def test_tokens_as_xgrammar_writes_them() -> None:
    vocab = Vocabulary.from_bytes(
        [*(bytes((byte,)) for byte in range(256)), b"<eos>", b"<|a|>", b"<|b|>"],
        eos_token_ids=256,
        special_token_ids=[257, 258],
    )
    compiled = compile_grammar('root ::= Token(257, "<|b|>") "x" | Token(65)', vocab, dialect="ebnf")
    assert {token for token in range(259) if compiled.matcher().accept_token(token)} == {65, 257, 258}
    with pytest.raises(GrammarSyntaxError, match="numbers or names in quotes"):
        compile_grammar("root ::= Token(a)", vocab, dialect="ebnf")
    assert compile_grammar('root ::= Token\nToken ::= "x"', vocab, dialect="ebnf").matcher().accept_bytes(b"x")
