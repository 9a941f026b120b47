# ruff: noqa: E501
"""Shipped grammars of data formats against the parsers of the standard library and of the packages that define them."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from xml.parsers import expat

import pytest
import shipped
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

NAMES = ("json", "csv", "s_expression", "xml", "markdown_table", "graphql", "arithmetic", "first_order_logic", "regex")


@pytest.mark.parametrize("name", NAMES)
def test_no_conflicts(name: str) -> None:
    shipped.assert_lalr(name)


def both_ways(name: str, oracle, texts: list[str], alphabet: str, *, seed: int = 0, count: int = 60) -> None:
    """The grammar and the oracle agree on the texts and on what is near them; both answers occur."""
    rng = random.Random(seed)
    answers = set()
    for text in texts:
        assert shipped.accepts(name, text) and oracle(text), text
        for mutated in shipped.mutations(rng, text, alphabet, count):
            assert shipped.accepts(name, mutated) == oracle(mutated), mutated
            answers.add(oracle(mutated))
    assert answers == {True, False}


# JSON


def is_json(text: str) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError:
        return False
    return True


JSON_TEXTS = [
    '{"a": [1, -2.5e+3, 0], "b\\n\\u00e9": {"c": null}, "": true}',
    ' [ [ ] , { } , "\\ud83d\\ude00" , 0.0 , 1E400 ] ',
    '"\u2028 \x7f \U0001f600"',
    "-0",
    '\t\r\n{"k":false,\n"k":"\\/\\b\\f\\r\\t\\\\\\""}',
]


def test_json() -> None:
    both_ways("json", is_json, JSON_TEXTS, '{}[]",:\\u0 1e+-.tfn\n\x00\x1f\u00a0é')


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
                    | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)), st.booleans())  # fmt: skip
def test_json_accepts_what_json_writes(value: object, ascii_only: bool) -> None:
    assert shipped.accepts("json", json.dumps(value, ensure_ascii=ascii_only, indent=1 if ascii_only else None))


@pytest.mark.parametrize(
    "text", ["01", "+1", "1.", ".5", "[1,]", '{"a":1,}', "NaN", "'a'", "\ufeff1", "", "tru", "1 2"]
)
def test_json_refuses(text: str) -> None:
    assert not shipped.accepts("json", text) and not is_json(text)


# CSV


def is_csv(text: str) -> bool:
    """What the strict reader of the standard library takes, less quotes inside bare fields (it takes them as text)."""
    if "\x00" in text:
        return False
    try:
        for _ in csv.reader(io.StringIO(text, newline=""), strict=True):
            pass
    except csv.Error:
        return False
    bare = re.sub(r'(?:^|(?<=[,\r\n]))"(?:[^"]|"")*"', "", text)
    return '"' not in bare


def test_csv() -> None:
    texts = ["a,b,c\r\n1,2,3\r\n", '"x, y","say ""hi""",\n,,\n\n', 'é "'[:1], '" "\n"\r\n"', "a b , c\rd"]
    both_ways("csv", is_csv, texts, 'a ,"\r\n1')


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])), min_size=1)))
def test_csv_accepts_what_csv_writes(rows: list[list[str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    assert shipped.accepts("csv", out.getvalue())


# S-expressions


def is_s_expression(text: str) -> bool:
    """A reader of the language of the header, written as a reader is: by hand, from left to right."""
    delimiters = " \t\r\n\f()[]{}\"';`,|"
    at = 0

    def skip() -> None:
        nonlocal at
        while at < len(text) and text[at] in " \t\r\n\f;":
            if text[at] == ";":
                while at < len(text) and text[at] != "\n":
                    at += 1
            else:
                at += 1

    def run() -> str:
        nonlocal at
        begin = at
        while at < len(text) and text[at] not in delimiters:
            at += 1
        return text[begin:at]

    def datum() -> None:
        nonlocal at
        skip()
        if at >= len(text):
            raise ValueError("end")
        char = text[at]
        if char in "'`,":
            at += 2 if text.startswith(",@", at) else 1
            datum()
        elif text.startswith("#'", at):
            at += 2
            datum()
        elif text.startswith("#(", at):
            at += 2
            items(")", dotted=False)
        elif char in "([":
            at += 1
            items(")" if char == "(" else "]", dotted=True)
        elif char == '"':
            at += 1
            while text[at : at + 1] != '"':
                at += 2 if text[at : at + 1] == "\\" else 1
                if at >= len(text):
                    raise ValueError("string")
            at += 1
        elif text.startswith("#\\", at):
            at += 3
            if at > len(text):
                raise ValueError("character")
            if re.match("[A-Za-z]", text[at - 1]):
                at = re.compile("[A-Za-z0-9+-]*").match(text, at).end()
        else:
            if char == "#" and not re.match(r"#[A-Za-z0-9:!%&<_]", text[at:]):
                raise ValueError("sharp")
            if run() in ("", "."):
                raise ValueError(char)

    def items(closer: str, *, dotted: bool) -> None:
        nonlocal at
        count = 0
        while True:
            skip()
            if at >= len(text):
                raise ValueError("end")
            if text[at] == closer:
                at += 1
                return
            if dotted and count and text[at] == "." and (at + 1 == len(text) or text[at + 1] in delimiters):
                at += 1
                datum()
                skip()
                if text[at : at + 1] != closer:
                    raise ValueError("dot")
                at += 1
                return
            datum()
            count += 1

    try:
        while True:
            skip()
            if at >= len(text):
                return True
            datum()
    except ValueError:
        return False


S_EXPRESSIONS = [
    "(define (square x) (* x x)) ; twice\n(square 4.5)",
    "'(a . b) `(1 ,@rest ,x) #(1 2 #t) #'car",
    '(display "a \\"b\\" ; c\\n" #\\a #\\space #\\( ...) [x (y . [z])]',
    "(let loop ((i 0)) (if (< i 10) (loop (+ i 1)) -1e3))",
]


def test_s_expression() -> None:
    both_ways("s_expression", is_s_expression, S_EXPRESSIONS, "()[]a.1 '`,@\"\\#;\n")


# XML


def is_well_formed(text: str) -> bool:
    parser = expat.ParserCreate()
    try:
        parser.Parse(f"<r>{text}</r>".encode("utf-8", "surrogatepass"), True)
    except expat.ExpatError:
        return False
    return True


XML_TEXTS = [
    "<a href=\"x&amp;y\" id='1'>text <b/>&#233;<!-- c - d --></a> tail",
    '<![CDATA[ <&]] ]>]]><?php echo 1?><é:ü x = "\'"></é:ü >',
    "]] > ] &lt;<a\n b='\"'\n/>",
]


def test_xml() -> None:
    """expat also compares the names of tags and attributes, and wants known entities and characters: those aside."""
    rng = random.Random(0)
    beyond = re.compile("mismatched tag|duplicate attribute|undefined entity|invalid character number|reserved|XML or")
    seen = set()
    for text in XML_TEXTS:
        assert shipped.accepts("xml", text) and is_well_formed(text), text
        for mutated in shipped.mutations(rng, text, "<>/&;\"'= ab-!?[]\x01é", 150):
            parser = expat.ParserCreate()
            try:
                parser.Parse(f"<r>{mutated}</r>".encode(), True)
            except expat.ExpatError as error:
                verdict, why = False, str(error)
            else:
                verdict, why = True, ""
            accepted = shipped.accepts("xml", mutated)
            seen.add((verdict, accepted))
            assert accepted or not verdict, mutated
            assert verdict or not accepted or beyond.search(why), (mutated, why)
    assert {(True, True), (False, False)} <= seen


# Markdown


def is_table(text: str) -> bool:
    """One table and nothing else for markdown-it, all of whose source rows are equally wide and have both bars."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    if not tokens or tokens[0].type != "table_open" or [t.type for t in tokens if t.level == 0][1:] != ["table_close"]:
        return False
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    widths = set()
    for line in lines:
        row = line.rstrip(" \t") if line is not lines[-1] or text.endswith("\n") else line
        bars = re.sub(r"\\.", "", row)
        if not row.startswith("|") or not bars.endswith("|") or len(bars) < 2 or bars != bars.rstrip(" \t"):
            return False
        if row.endswith("\\"):
            return False
        widths.add(bars.count("|") - 1)
    return len(widths) == 1 and 1 <= widths.pop() <= 8


MARKDOWN_TABLES = [
    "| a | b |\n|---|:-:|\n| 1 | `x` |\n| \\| | |\n",
    "|a|\n|-|",
    "| name | price | note |  \r\n| :--- | ---: | - |\r\n|| **b** | é |\r\n",
]


def test_markdown_table() -> None:
    rng = random.Random(1)
    seen = set()
    for text in MARKDOWN_TABLES:
        assert shipped.accepts("markdown_table", text) and is_table(text), text
        for mutated in shipped.mutations(rng, text, "|-: \\a\n", 150):
            accepted = shipped.accepts("markdown_table", mutated)
            seen.add(accepted)
            assert accepted == is_table(mutated), mutated
    assert seen == {True, False}


# GraphQL

GRAPHQL_TEXTS = [
    "{ user(id: 4, on: true) { id, name friends(first: 10) @include(if: $x) { edges { node { on } } } } }",
    'query Q($a: [Int!]! = [1, -2.5e3], $b: In = {x: "s\\n", y: null} @d) { a: f(v: $a) ...F ... on T { b } ... { c } }\n'
    "# comment\nfragment F on User @skip(if: false) { type query fragment }",
    'mutation { like(text: """block "quoted" \\""" end""", e: ENUM, l: [[], [$v]]) { story } }',
    'subscription S { s(a: "", o: {a: {b: 0}}) }',
]


def test_graphql() -> None:
    graphql = pytest.importorskip("graphql")

    def oracle(text: str) -> bool:
        try:
            document = graphql.parse(text)
        except graphql.GraphQLError:
            return False
        return all(d.kind in ("operation_definition", "fragment_definition") for d in document.definitions)

    both_ways("graphql", oracle, GRAPHQL_TEXTS, '{}()[]:$!@."a1,- \n#=o', count=120)
