"""llguidance's additions to Lark's syntax: what each takes and refuses, and that plain Lark is left as it is."""

from __future__ import annotations

import pytest

from structgen.compiler import compile_grammar
from structgen.errors import CompileError, GrammarSyntaxError, TokenizerError, UnsupportedGrammarError
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
    "open counts": (
        'start: "a"{2,} ("b" "c"){1,} X{0,} "z".."z"{,1}\nX: /x/{3,}',
        ["aabc", "aaabcbcxxxx", "aabcz"],
        ["abc", "aa", "aabcxx"],
    ),
    "count of a group": ('start: ("a" // one\n  | "b" ","){2,} "!"', ["ab,!", "aaab,!"], ["a!", "!"]),
    "hyphens": ('start: a-b "->" -> x\na-b: "-" C-D\nC-D: "a-b"', ["-a-b->"], ["-a_b->"]),
    "lazy": (
        'start: head "=x"\nhead[lazy]: TEXT "<f"\nTEXT: /(.|\\n)*/',
        ["aa<f=x", "<f=x"],
        ["aa<f<f=x", "a<f=x<f=x", "=x"],
    ),
    "lazy digits": ('start: a "5"\na[lazy]: /[0-9]+/', ["15"], ["125", "1"]),
    "stop of a pattern": ('start: a "b"\na[suffix=/[.!\\]]/]: /[a-z]*/', ["x.b", "!b", "x]b"], ["x.!b", "xb"]),
    "stop of a terminal": ('start: a "b"\na[suffix=END]: /[a-z.]*/\nEND: "." | "!"', ["x.b", "!b"], ["x.!b", "x.y.b"]),
    "chunks": (
        'start: "x" %regex {"substring_chunks": ["a", "bc",\n"a"]} "."',
        ["x.", "xa.", "xbca.", "xabca."],
        ["xb.", "xaa.", "xc."],
    ),
    "words": (
        'start: "x" W "!"\nW: %regex {"substring_words": "to be, or"}',
        ["x!", "xto be!", "x, or!"],
        ["xt!", "xto be,or!"],
    ),
    "characters": ('start: "x" %regex {"substring_chars": "abcab"} "!"', ["x!", "xbca!", "xab!"], ["xac!", "xabcabc!"]),
    "captures": (
        'start: a "b"\na[capture="x", suffix=".", stop_capture="y"]: /[a-z]*/',
        ["x.b", ".b"],
        ["xb", "x..b"],
    ),
    "skip at the beginning": (
        '%llguidance {"allow_initial_skip": true, "no_forcing": true}\n%ignore " "\nstart: "a" "b"',
        [" ab", "a b", "  a  b"],
        ["ba", " a"],
    ),
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


@pytest.mark.parametrize("name", CASES)
def test_llguidance_takes_the_same(name: str) -> None:
    llguidance = pytest.importorskip("llguidance")
    if name in ("plain", "capture"):  # nested comments and declared names are lark's; captures change nothing
        return
    grammar, taken, refused = CASES[name]
    tokenizer = llguidance.LLTokenizer("byte")
    for text, expected in [(text, True) for text in taken] + [(text, False) for text in refused]:
        matcher = llguidance.LLMatcher(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar), log_level=0)
        assert not matcher.get_error(), matcher.get_error()
        assert (all(map(matcher.consume_token, text.encode())) and matcher.is_accepting()) == expected, text


def test_ranges_of_special_tokens() -> None:
    specials = [b"<|a|>", b"<|b|>", b"<|c|>"]
    vocab = Vocabulary.from_bytes([*SINGLE, b"<eos>", *specials], eos_token_ids=256, special_token_ids=[257, 258, 259])
    for written, expected in (("<[257-258]>", {257, 258}), ("<[257,259]>", {257, 259}), ("<[259,65]>", {259, 65})):
        compiled = compile_grammar(f"start: {written}", vocab)
        taken = {token for token in range(260) if compiled.matcher().accept_token(token)}
        assert taken == expected, written
    for written in ("<[258-257]>", "<[255-256]>", "<[259-260]>", "<[0-9999]>"):
        with pytest.raises((GrammarSyntaxError, TokenizerError)):
            compile_grammar(f"start: {written}", vocab)


def test_names_that_hyphens_told_apart() -> None:
    with pytest.raises(GrammarSyntaxError, match="a-b and another name differ in - and _ only"):
        compile_grammar('start: a-b a_b\na-b: "x"\na_b: "y"', VOCAB)
    assert compile_grammar('the-start: "x"', VOCAB, start="the-start").matcher().accept_bytes(b"x")


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
        ('%llguidance {"skip_repetition": "once"}\nstart: "a"', UnsupportedGrammarError, (1, 1)),
        ('%llguidance {"allow_invalid_utf8": true}\nstart: "a"', UnsupportedGrammarError, (1, 1)),
        ('start: "a"\n%lark { }', UnsupportedGrammarError, (2, 1)),
        ('start: %json {"type":\n"null"} a\na: )', GrammarSyntaxError, (3, 4)),
        ('start: a\na[stop=""]: /.*/', UnsupportedGrammarError, (2, 1)),
        ('start: %regex {"type": "number"}', UnsupportedGrammarError, (1, 8)),
        ('start: A\nA: "a" %regex {"substring_words": "a b"}', UnsupportedGrammarError, (2, 8)),
        ("start: {2,}", GrammarSyntaxError, (1, 8)),
        ("start: <[*]>", UnsupportedGrammarError, (1, 8)),
        ("start: <[^7]>", UnsupportedGrammarError, (1, 8)),
        ("start: @other", UnsupportedGrammarError, (1, 8)),
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
