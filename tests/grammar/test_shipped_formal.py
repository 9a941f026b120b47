"""Shipped grammars of formulas and patterns: arithmetic, first-order logic, regular expressions."""

from __future__ import annotations

import ast
import random
import re
import warnings

import pytest
import shipped
from hypothesis import given
from hypothesis import strategies as st

from structgen.errors import GrammarSyntaxError
from structgen.grammar.regex import parse_regex

# Arithmetic


def is_arithmetic(text: str) -> bool:
    """Python's own parser, with ^ and numbers with leading zeros read as it would read others."""
    if not re.fullmatch(r"[A-Za-z0-9_.+\-*/%^(), \t\r\n]*", text):
        return False
    plain = re.sub(r"(?<![\w.])0+(?=\d)", "", re.sub(r"[ \t\r\n]+", " ", text)).strip()
    if re.search(r"\b(and|or|not|if|else|in|is|for|lambda|None|True|False)\b|\d_|0[xXoObB]|\d[jJ]\b", plain):
        pytest.fail(f"Python reads words in {text!r}: not a text for this oracle")
    try:
        tree = ast.parse(plain, mode="eval")
    except SyntaxError:
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple | ast.Attribute | ast.keyword | ast.Starred):
            return False
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            return False
    return re.search(r",\s*\)|\)\s*\(|\(\s*[xyf]\s*\)\s*\(", plain) is None


ARITHMETIC = ["113 + 235 + 17", "-x ** -2 * (3.5 - .25e-3) / f(y, +2., f())", "x//y % 7 ^ 2", "((((1))))\n- --y"]


def test_arithmetic() -> None:
    rng = random.Random(3)
    seen = set()
    for text in ARITHMETIC:
        assert shipped.accepts("arithmetic", text) and is_arithmetic(text)
        for mutated in shipped.mutations(rng, text, "12.+-*/%()xyf, ", 300):
            if re.search(r"\(\s*[xyf]\s*\)\s*\(", mutated):  # `(f)(x)` is a call for Python only
                continue
            accepted = shipped.accepts("arithmetic", mutated)
            seen.add(accepted)
            assert accepted == is_arithmetic(mutated), mutated
    assert seen == {True, False}


@pytest.mark.parametrize("text", ["2x", "2(x)", "1 2", "a b", "1..2", "1 = 1", "", "2 +", "1e", "(1"])
def test_arithmetic_refuses(text: str) -> None:
    assert not shipped.accepts("arithmetic", text)


# First-order logic


class Reader:
    """Operator precedence as Prover9 documents it, by descent: an oracle that shares no code with the grammar."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"%[^\n]*", " ", text)
        self.tokens = re.findall(r"<->|->|<-|!=|<=|>=|[A-Za-z0-9_$]+|\S", text)
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, *wanted: str) -> bool:
        if self.peek() in wanted and self.peek():
            self.at += 1
            return True
        return False

    def need(self, *wanted: str) -> None:
        if not self.take(*wanted):
            raise ValueError(self.peek())

    def word(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_$]\w*", self.peek()) or self.peek() in ("all", "exists"):
            raise ValueError(self.peek())
        self.at += 1

    def text(self) -> bool:
        try:
            while True:
                self.formula()
                while self.take("#"):
                    if self.term():
                        raise ValueError("formula")
                self.need(".")
                if not self.peek():
                    return True
        except ValueError:
            return False

    def formula(self) -> bool:
        """Whether it is no term."""
        compound = self.junction()
        if self.take("->", "<-", "<->"):
            self.junction()
            return True
        return compound

    def junction(self) -> bool:
        compound = self.operand()
        while self.take("&", "|"):
            self.operand()
            compound = True
        return compound

    def operand(self) -> bool:
        if self.take("-"):
            self.operand()
            return True
        if self.take("all", "exists"):
            self.word()
            self.operand()
            return True
        begin = self.at
        if self.peek() == "(" and self.group():
            return True
        self.at = begin
        if self.term():
            raise ValueError("term")
        if self.take("=", "!=", "<", ">", "<=", ">="):
            if self.term():
                raise ValueError("term")
            return True
        return False

    def group(self) -> bool:
        self.need("(")
        compound = self.formula()
        self.need(")")
        return compound

    def term(self) -> bool:
        self.factor()
        while self.take("+", "*", "/", "^", "v", "@"):
            self.factor()
        return False

    def factor(self) -> None:
        if self.peek() == "(":
            if self.group():
                raise ValueError("formula")
        else:
            self.word()
            if self.take("("):
                self.term()
                while self.take(","):
                    self.term()
                self.need(")")
        while self.take("'"):
            pass


LOGIC = [
    "all x (man(x) -> mortal(x)).\nman(socrates). % a fact\n-mortal(socrates) # label(goal).",
    "formulas(assumptions). x * (y * z) = (x * y) * z. x' * x = e. end_of_list.",
    "all x exists y -(P(x,f(y)) & Q(c) | x != y) <-> $T.",
    "((p)) | (q & -r) -> (s <- t). a v b <= f(g(1), 2 + x).",
]


def test_first_order_logic() -> None:
    rng = random.Random(4)
    seen = set()
    for text in LOGIC:
        assert shipped.accepts("first_order_logic", text) and Reader(text).text(), text
        for mutated in shipped.mutations(rng, text, "()-&|<>=.,xPp v'#", 250):
            accepted = shipped.accepts("first_order_logic", mutated)
            seen.add(accepted)
            assert accepted == Reader(mutated).text(), mutated
    assert seen == {True, False}


@pytest.mark.parametrize(
    "text", ["p -> q -> r.", "p", "all x.", "allx P(x).", "x vy = z.", "(p & q) + a = b.", "f(p & q)."]
)
def test_first_order_logic_refuses(text: str) -> None:
    assert not shipped.accepts("first_order_logic", text)


# Regular expressions

PATTERNS = [
    r"^(?:[A-Za-z_]\w*\.)*(?P<n>[^\s\]-]+?)$|a{2,5}?b{3}",
    r"(?i)(?=x)(?!yz)(?<=a)(?<!b)\b[\d,a-f-]+[-+]?\x41\u00e9\.\/",
    r"([^^][\]\\][*-]|()|)*\B$",
    r"[^-\w][-][^]a-z]".replace("[^]a", r"[^\]a"),
]
SEMANTIC = re.compile(
    "bad character range|min repeat greater|redefinition of group|look-behind|multiple repeat|nothing to repeat"
)


def test_regex() -> None:
    """What the grammar accepts `re` compiles, but for what the header names; `re` takes more, all of it named too."""
    rng = random.Random(5)
    count = 0
    more = re.compile(
        r"\\[1-9AZa-zA-Z]|(?<!\\)[{}\]]|\[\^?\]|\[[^\]]*[-\[]|\?\+|\*\+|\+\+|\}\+|\(\?[aiLmsux>(P#-]|[\^$]\)?[*+?{]|\\b\)?[*+?{]|\)[*+?{]"
    )
    for text in PATTERNS:
        assert shipped.accepts("regex", text), text
        for mutated in shipped.mutations(rng, text, "()[]{}|?*+^$\\-a1,.:=<>", 400):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    re.compile(mutated)
                except (re.error, OverflowError) as error:
                    why = str(error)
                else:
                    why = ""
            if shipped.accepts("regex", mutated):
                count += 1
                assert not why or SEMANTIC.search(why) or "(?<" in mutated, (mutated, why)
                if not why:
                    try:
                        parse_regex(mutated, dialect="python")
                    except GrammarSyntaxError as error:
                        pytest.fail(f"{mutated!r}: {error}")
            else:
                assert why or more.search(mutated), mutated
    assert count > 100


@given(st.text())
def test_regex_accepts_what_is_escaped(text: str) -> None:
    escaped = "".join("\\" + c if c in "\\^$|?*+()[]{}./" else c for c in text)
    assert shipped.accepts("regex", escaped) and re.fullmatch(escaped, text)


@pytest.mark.parametrize(
    "text", ["(", "a**", "[b", "*a", "(a", "a)", "[]", "[^]", r"\1", "a{", "a{1,2,3}", "^*", "(?=a)+"]
)
def test_regex_refuses(text: str) -> None:
    assert not shipped.accepts("regex", text)
