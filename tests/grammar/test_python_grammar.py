"""The shipped Python grammar against CPython's own parser: tables, mutated snippets, and real files."""

from __future__ import annotations

import ast
import random
import sysconfig
import tokenize
import warnings
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import structgen
from structgen.compiler import CompiledGrammar
from structgen.vocab import Vocabulary

ACCEPTED = [
    "",
    "x=1",
    "\n\n# c",
    "if x:\n    y\n    z\nelse:\n  w\n",
    "if x: pass # c",
    "if x:\n  # c\n\n # d\n    y\n    z\n",
    "def f(a, b=1, *c, d, **e) -> int:\n\treturn a if b else c\n",
    "def f(a, /, b, *, c): x; y;\n",
    "class A:\n  def f(self): pass\n\n  def g(self):\n    pass\n\nx\n",
    "x = a \\\n  + b\n",
    "x = [\n  1,\n# c\n 2]\n",
    "try:\n  pass\nexcept* (A, B) as e:\n  pass\n",
    "try: pass\nexcept A: pass\nexcept: pass\nelse: pass\nfinally: pass\n",
    "match x:\n  case [1, 2, *_] if y:\n    pass\n  case {'a': B(c, d=e), **f} | -1+2j: pass\n  case _: pass\n",
    "match = 1\nmatch[1] = case\ntype = _\nmatch * a, b\n",
    "type X[T: int, *U, **V] = list[T]\n",
    "def f[T](x: T) -> T: ...\n",
    "f'{x!r:>{w}} {{}} {y=}'\n",
    "f'''a\n{x\n}'''\n",
    'f"{a["b"]}"\n',
    "f'{x:5}{y!s:{z}.{w}}' 'a' rf\"\\{d}\"\n",
    "f'{x:{{1}}}'\n",
    "f'{ {1} }'\n",
    "f'\\N{EM DASH}{x}'\n",
    "a, (b, *c), d.e[f] = 1\n",
    "(a).b, [c] = [] = () = 1\n",
    "lambda *a, b=1, **k: (yield)\n",
    "for x in *a, b:\n  pass\nelse: pass\n",
    "with (open(a) as b, c,):\n  pass\n",
    "with (a, b) as c: pass\n",
    "@a.b\n@c[0](d)\nclass D(e, f=g): x: int = 1; y = 2\n",
    "x = '''a\n''b''' \"\" \"\"\"\"\"\"\n",
    "x = b'a' rb'\\x'\n",
    "async def f():\n  async with a: await b\n  async for x in y: [z async for z in w]\n",
    "print(1 .real, 1..real, 0x1.real, 0x1f, 1_000.5e-1_0j, 00)\n",
    "del a, b[0], (c.d, [e])\n",
    "global a, b; nonlocal c\n",
    "a = b = yield c\n",
    "x[a:b, ::2, *c, d:=1]\n",
    "f(a, *b, c=1, *d, e=2, **f)\n",
    "f(x for x in y if z)\n",
    "{**a, b: c}; {x for x in y}; {a: b for a, b in c}; {*a, 1}; {}\n",
    "é = 'ü€𝄞\\u00e9'\n",
    "raise A from b\n",
    "from . import a\nfrom ...b.c import (d as e, f,)\nimport a.b as c, d\n",
    "not x is not y not in z\n",
    "if x:\r\n\ty\r\n",
    "if x:\n        y\n       \tz\n",
    "if x:\n    y\n\x0c    z\n",
    "a < -b ** -c @ ~d\n",
    "if (a := b): c[d := e]\n",
]
REJECTED = [
    "x = \n",
    "ifx: pass\n",
    "if x:\npass\n",
    "if x:\n  y\n    z\n",
    " x\n",
    "f() = 1\n",
    "f(a=1, b)\n",
    "f(**a, *b)\n",
    "def f(a=1, b): pass\n",
    "try:\n  pass\n",
    "x y\n",
    "for x inrange(3): pass\n",
    "1if x else y\n",
    "a + not b\n",
    "x = 'a\n'\n",
    "'a' b'b'\n",
    "'\\x1'\n",
    "(a, b): int\n",
    "lambda x: y := 1\n",
    "[*a for a in b]\n",
    "def f(*): pass\n",
    "if x:\n\ty\n        z\n",
    "0777\n",
    "1__0\n",
    "1.real\n",
    "None = 1\n",
    "f(True=1)\n",
    "x.if\n",
    "class if: pass\n",
    "case 1: pass\n",
    "match x:\n  pass\n",
    "f'{}'\n",
    "f'{a b}'\n",
    "f'}'\n",
    "f'{x!z}'\n",
    "f'{lambda x: 1}'\n",
    "(*a)\n",
    "*a += 1\n",
    "del f()\n",
    "with a as f(): pass\n",
    "import a.b as c.d\n",
    "(",
    "x = [1, 2\n",
    "return = 1\n",
    "'''a''\n",
    "x = 1 +\n",
    "else: pass\n",
    "a = yield = 1\n",
    "x = b'é'\n",
    "x = 1\\\n y\n",
    "if x:\n    y\n  z\n",
    "print 'a'\n",
    "f(x for x in y, 1)\n",
    "f(1, x for x in y)\n",
    "if x:",
    "import a as b.c\n",
    "from a import (b\n",
    "from a import b,\n",
    "global a.b\n",
    "a = 1 = b\n",
    "a.b: int, c\n",
    "if x:\n",
    "f'''{x''' \n",
    "a\0b",
    "def f(a, *b=1): pass\n",
    "def f(**a, b): pass\n",
    "case x.y as _: z\n",
    "x = 1;; y\n",
]

NEWER = {3.12: ("type X", "def f[T]", 'a["b"]', "{{1}}", "\n}'''"), 3.11: ("except*", "*c, d:=1")}  # read since then


@pytest.fixture(scope="module")
def grammar() -> CompiledGrammar:
    """The grammar over single bytes: what is tested is the language, token by token is tested elsewhere."""
    vocab = Vocabulary.from_bytes([bytes((byte,)) for byte in range(256)] + [b"</s>"], eos_token_ids=[256])
    return structgen.compile_grammar(structgen.load_grammar("python"), vocab)


def accepts(grammar: CompiledGrammar, text: str) -> bool:
    matcher = grammar.matcher()
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


def parses(text: str | bytes) -> bool:
    """Whether CPython takes a text; SyntaxWarning counts as refused (a number that runs into a keyword)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", SyntaxWarning)
        warnings.simplefilter("error", DeprecationWarning)
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            return False
    return True


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(grammar: CompiledGrammar, text: str) -> None:
    assert accepts(grammar, text)
    if not any(piece in text for pieces in NEWER.values() for piece in pieces):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)


@pytest.mark.parametrize("text", REJECTED)
def test_rejected(grammar: CompiledGrammar, text: str) -> None:
    assert not accepts(grammar, text)
    assert not parses(text)


_lines = st.sampled_from(
    ["x", "if x:", "else:", "try:", "finally:", "", "# c", "x;", "def f():", "@d", "x = (", ")", "x \\", "if x: y"]
)
_indents = st.sampled_from(["", " ", "  ", "    ", "\t", "        ", "\t ", "       \t", "  \t", "\x0c", " \x0c "])
_blocks = st.lists(st.tuples(_indents, _lines), max_size=6)


@given(_blocks, st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_blocks(grammar: CompiledGrammar, lines: list[tuple[str, str]], newline: str, ends: bool) -> None:
    text = newline.join(indent + line for indent, line in lines) + newline * ends
    if "\\" in text:
        return
    assert accepts(grammar, text) == parses(text), text


_starts = st.lists(st.sampled_from(["\ufeff", "\x0c", " ", "\t", "\n", "# c\n", "x", "if x:\n y\n"]), max_size=6).map(
    "".join
)


@given(_starts)
@example("\ufeffx")
@example("\ufeff \x0cx")
@example("\ufeff\ufeffx")
@example("x\n\ufeffy")
def test_starts(grammar: CompiledGrammar, text: str) -> None:
    """A byte order mark may stand in front of everything, and a form feed sets the column back there, too."""
    data = text.encode()
    matcher = grammar.matcher()
    assert (matcher.accept_bytes(data) and matcher.is_accepting()) == parses(data), data


_snippets = st.sampled_from([text for text in ACCEPTED if not any(p in text for ps in NEWER.values() for p in ps)])
_tokens = st.sampled_from(
    [
        "x",
        "1",
        "'a'",
        "b''",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        ";",
        ".",
        "=",
        ":=",
        "*",
        "**",
        "-",
        "not",
        "in",
        "is",
        "if",
        "else",
        "for",
        "lambda",
        "await",
        "yield",
        "->",
        "@",
        "\n",
        "as",
        "from",
        "import",
        "...",
        "_",
        "match",
        "~",
    ]
)


@given(_snippets, st.data())
def test_mutated(grammar: CompiledGrammar, text: str, data: st.DataObject) -> None:
    """A snippet with a word taken out, put in or replaced is accepted exactly if CPython parses it."""
    words = [token.string for token in tokenize.tokenize(BytesIO(text.encode()).readline)][1:]
    if "f'" in text or 'f"' in text or "\\\n" in text or "\x0c" in text or not words:
        return
    at = data.draw(st.integers(0, len(words) - 1))
    begin = 0
    for word in words[:at]:
        begin = text.index(word, begin) + len(word) if word in text[begin:] else begin
    found = text.find(words[at], begin)
    if found < 0:
        return
    kind = data.draw(st.sampled_from(["drop", "add", "replace"]))
    put = "" if kind == "drop" else f" {data.draw(_tokens)} "
    mutated = text[:found] + put + (text[found:] if kind == "add" else text[found + len(words[at]) :])
    assert accepts(grammar, mutated) == parses(mutated), mutated


def _library() -> list[Path]:
    return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))


def test_some_of_the_standard_library(grammar: CompiledGrammar) -> None:
    small = [path for path in _library() if path.stat().st_size < 4_000]
    for path in random.Random(0).sample(small, 10):
        assert accepts(grammar, path.read_text(encoding="utf-8")), path


def test_token_by_token(tokenizers_path: Path) -> None:
    vocab = Vocabulary.from_file(tokenizers_path / "llama3.tokenizer.json.gz")
    grammar = structgen.compile_grammar(structgen.load_grammar("python"), vocab)
    matcher = grammar.matcher()
    bitmask = np.zeros((1, vocab.num_words), np.int32)
    text = "def f(a, *b):\n    # why\n    for x in a:\n        if x: return b'1'\n\n    return f'{a!r:>{x}}'\n"
    for token in vocab.encode(text.encode()):
        matcher.fill_next_token_bitmask(bitmask, 0)
        assert int(bitmask[0, token >> 5]) >> (token & 31) & 1
        assert matcher.accept_token(token)
    assert matcher.is_accepting()
