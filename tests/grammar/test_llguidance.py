"""llguidance's additions to Lark's syntax: what each takes and refuses, and that plain Lark is left as it is."""

from __future__ import annotations

import pytest

from structgen.compiler import compile_grammar
from structgen.errors import CompileError, GrammarSyntaxError, UnsupportedGrammarError
from structgen.grammar.llguidance import take_out
from structgen.vocab import Vocabulary

SINGLE = [bytes((byte,)) for byte in range(256)]
VOCAB = Vocabulary.from_bytes([*SINGLE, b"<eos>", b"<|call|>"], eos_token_ids=256, special_token_ids=[257])

CASES = {
    "schema": ('start: "x=" %json {"type": "integer",\n "minimum": 10} ";"', ["x=10;"], ["x=9;", "x=;"]),
    "two schemas": ('start: a | b\na: %json true\nb: "#" %json {"enum": [1]}', ["null", "#1"], ["#2"]),
    "complement": ("start: WORD\nWORD: /[a-z]+/ & ~/if|else/", ["i", "ifs", "el"], ["if", "else", ""]),
    "intersection": ("start: W\nW: /[a-z]+/ & /.*b.*/ & ~/.*bb.*/", ["b", "abab"], ["a", "abb"]),
    "groups": ("start: W\nW: ~(/a+/ | /b+/) & /[ab]{1,3}/", ["ab", "bba"], ["a", "bb", "abab"]),
    "stop": ('start: line "!"\nline[stop=";"]: /.*/', ["a;!", ";!"], ["a!", "a;b;!"]),
    "suffix": ('start: line\nline[suffix="\\n"]: /[a-z]*/', ["abc\n"], ["abc", "1\n"]),
    "capture": ("start: name\nname[capture]: /[a-z]+/", ["abc"], ["1"]),
    "count": ('start: ("ab"){2,3} /[0-9]/{2}', ["abab12", "ababab34"], ["ab12", "abab1"]),
    "header": ('%llguidance {}\nstart: "a"', ["a"], ["b"]),
    "plain": ('start: A~2 "<" /~&/ // <|x|> %json {}\nA: "a"~1..2\n%ignore " "', ["aa<~&", "aaaa<~&"], ["a<~&"]),
}


@pytest.mark.parametrize("name", CASES)
def test_syntax(name: str) -> None:
    grammar, taken, refused = CASES[name]
    compiled = compile_grammar(grammar, VOCAB, lexer="dynamic")
    for text in taken:
        matcher = compiled.matcher()
        assert matcher.accept_bytes(text.encode()), text
        assert matcher.is_accepting(), text
    for text in refused:
        matcher = compiled.matcher()
        assert not (matcher.accept_bytes(text.encode()) and matcher.is_accepting()), text


def test_a_schema_may_follow_where_a_terminal_would_go_on() -> None:
    """The scanner knows terminals only: what else may follow is no part of a guard."""
    text = 'start: NAME (WORD | %json {"type": "integer"})\nNAME: /[a-z][a-z0-9]*/\nWORD: /[a-z]+/\n%ignore " "'
    compiled = compile_grammar(text, VOCAB)
    for taken, expected in (("ab12", True), ("ab-1", True), ("a b", True), ("abc", False)):
        matcher = compiled.matcher()
        assert (matcher.accept_bytes(taken.encode()) and matcher.is_accepting()) == expected, taken


def test_special_tokens_are_tokens() -> None:
    for name in ("<|call|>", "<[257]>"):
        matcher = compile_grammar(f'start: "x" {name} /[0-9]+/', VOCAB).matcher()
        assert matcher.accept_bytes(b"x")
        assert not matcher.fork().accept_bytes(b"<")
        assert matcher.accept_token(257)
        assert matcher.accept_bytes(b"7")
    with pytest.raises(GrammarSyntaxError, match=r"no token <\|cal\|>.*did you mean <\|call\|>"):
        compile_grammar('start: "x" <|cal|>', VOCAB)


@pytest.mark.parametrize(
    ("grammar", "error", "place"),
    [
        ("start: a\na[max_tokens=3]: /.*/", UnsupportedGrammarError, (2, 1)),
        ("start: a\na[temperature=0.5]: /.*/", UnsupportedGrammarError, (2, 1)),
        ('start: "a"\n%lark { }', UnsupportedGrammarError, (2, 1)),
        ("start: a\na[lazy]: /.*/", UnsupportedGrammarError, (2, 1)),
        ('start: %regex {"substring_words": "a b"}', UnsupportedGrammarError, (1, 8)),
        ('start: "a"{2,}', UnsupportedGrammarError, (1, 11)),
        ('start: %json {"a"', GrammarSyntaxError, (1, 14)),
    ],
)
def test_refused(grammar: str, error: type[CompileError], place: tuple[int, int]) -> None:
    with pytest.raises(error) as caught:
        compile_grammar(grammar, VOCAB)
    assert (caught.value.line, caught.value.column) == place  # type: ignore[attr-defined]


def test_plain_lark_is_left_as_it_is() -> None:
    text = 'start: "<a>" A~2..3 /x{2}/ template{A} // {1,2} <x>\ntemplate{x}: x\nA: "a" | /[/]</\n'
    assert take_out(text)[0] == text
