"""The executable specification, checked against Python's own `json` and `re` and by hand."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.automata.regular import ANY_STRING, finite
from structgen.ir import (
    EMPTY,
    NEVER,
    Alt,
    Call,
    Choice,
    Encoding,
    Lazy,
    Node,
    Repeat,
    Rule,
    Seq,
    Star,
    Text,
    alt,
    byte_set,
    literal,
    repeat,
    seq,
)
from structgen.reference import Recognizer, accepts, mask, viable

A, B = byte_set(b"a"), byte_set(b"b")


def nodes() -> st.SearchStrategy[tuple[Node, str]]:
    """Pairs of a node and the regular expression that means the same."""
    leaves: st.SearchStrategy[tuple[Node, str]] = st.sampled_from(
        [(A, "a"), (B, "b"), (literal("ab"), "ab"), (EMPTY, ""), (byte_set(b"ab"), "[ab]")]
    )
    full = st.sampled_from([(A, "a"), (literal("ab"), "ab"), (byte_set(b"ab"), "[ab]")])

    def extend(inner: st.SearchStrategy[tuple[Node, str]]) -> st.SearchStrategy[tuple[Node, str]]:
        return st.one_of(
            st.lists(inner, max_size=3).map(
                lambda xs: (Seq(tuple(n for n, _ in xs)), "".join(f"(?:{p})" for _, p in xs))
            ),
            st.lists(inner, min_size=1, max_size=3).map(
                lambda xs: (Alt(tuple(n for n, _ in xs)), "|".join(f"(?:{p})" for _, p in xs))
            ),
            full.map(lambda x: (Star(x[0]), f"(?:{x[1]})*")),
            st.tuples(full, st.integers(0, 2), st.integers(0, 2)).map(
                lambda x: (repeat(x[0][0], x[1], x[1] + x[2]), f"(?:{x[0][1]}){{{x[1]},{x[1] + x[2]}}}")
            ),
            inner.map(lambda x: (Lazy(lambda: x[0]), x[1])),
            inner.map(lambda x: (Call(Rule("r", lambda: x[0])), x[1])),
        )

    return st.recursive(leaves, extend, max_leaves=6)


@given(nodes(), st.text("ab", max_size=6))
def test_agrees_with_re(pair: tuple[Node, str], text: str) -> None:
    node, pattern = pair
    assert accepts(node, text.encode()) == (re.fullmatch(pattern, text) is not None)


@given(nodes(), st.text("ab", max_size=4))
def test_viable_means_some_completion(pair: tuple[Node, str], text: str) -> None:
    """Everything accepted has only viable prefixes; a prefix is viable if a short completion is accepted."""
    recognizer = Recognizer(pair[0])
    if recognizer.accepts(text.encode()):
        assert all(recognizer.viable(text[:end].encode()) for end in range(len(text) + 1))


def test_left_recursion_ambiguity_and_empty_rules() -> None:
    left = Rule("left", lambda: alt(seq(Call(left), literal("+"), Call(item)), Call(item)))
    item = Rule("item", lambda: alt(A, seq(literal("("), Call(left), literal(")")), EMPTY), nullable=True)
    root = Call(left)
    for text in ("", "a", "a+a", "+", "((a)+a)+", "(a+(a))"):
        assert accepts(root, text.encode()), text
    for text in ("aa", "(a", ")", "a+b"):
        assert not accepts(root, text.encode()), text
    assert viable(root, b"((a+") and not viable(root, b"a)")


def test_palindromes() -> None:
    rule = Rule("p", lambda: alt(EMPTY, A, B, seq(A, Call(rule), A), seq(B, Call(rule), B)), nullable=True)
    recognizer = Recognizer(Call(rule))
    for number in range(256):
        text = format(number, "b").replace("0", "a").replace("1", "b")
        assert recognizer.accepts(text.encode()) == (text == text[::-1])


def test_dead_ends_are_not_viable() -> None:
    endless = Rule("endless", lambda: seq(A, Call(endless)))
    root = alt(seq(B, literal("x")), seq(A, Call(endless)), seq(B, NEVER), seq(literal("c"), Text(finite(()), "utf-8")))
    assert mask(root, b"", [b"a", b"b", b"bx", b"c", b""]) == {1, 2}


def test_repeat_counts() -> None:
    root = Repeat(Call(Rule("ab", lambda: Choice(((b"a", EMPTY), (b"ab", EMPTY))))), 2, 3)
    words = {x + y + z for x in ("a", "ab") for y in ("a", "ab") for z in ("a", "ab", "")}
    for text in ("", "a", "ab", "aa", "aab", "aba", "abab", "aaaa", "abaab", "ababab", "abababab"):
        assert accepts(root, text.encode()) == (text in words), text


@given(st.text(max_size=8))
def test_text_is_what_json_reads(text: str) -> None:
    """Both spellings that `json.dumps` knows are accepted, and nothing else means the same text."""
    one = Text(finite([text]), "json")
    canonical = json.dumps(text, ensure_ascii=False)[1:-1].encode()
    assert accepts(one, canonical)
    assert accepts(one, json.dumps(text)[1:-1].encode())
    assert accepts(Text(finite([text]), "json-canonical"), canonical)
    assert accepts(Text(finite([text]), "utf-8"), text.encode())
    assert not accepts(Text(finite([text + "x"]), "json"), canonical)


@given(
    st.lists(
        st.sampled_from([b'"', b"\\", b"\\u", b"00", b"4", b"1", b"d83d", b"DE00", b"n", b"/", b"\n", b"\xc3", b"\xa9"])
    )
)
def test_any_string_is_what_json_reads(parts: list[bytes]) -> None:
    """A body is accepted exactly if a strict reader takes it and the text has no lone surrogate."""
    body = b"".join(parts)
    try:
        value = json.loads(b'"' + body + b'"')
        value.encode()
        expected = True
    except ValueError:
        expected = False
    assert accepts(Text(ANY_STRING, "json"), body) == expected


@pytest.mark.parametrize(
    ("encoding", "good", "bad"),
    [
        (
            "json",
            [b"\\u0041", b"A", b"\\/", b"\\ud83d\\ude00"],
            [b"\\x", b"\n", b'"', b"\\ud83d", b"\\ude00", b"\\ud83dx"],
        ),
        ("json-canonical", [b"\\n", b"\\u001f", b"/", b"\x7f"], [b"\\u0041", b"\\/", b"\\u001F", b"\\u000a"]),
        ("utf-8", [b"\n", b'"', b"\\", "é😀".encode()], [b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]),
    ],
)
def test_encodings(encoding: Encoding, good: list[bytes], bad: list[bytes]) -> None:
    recognizer = Recognizer(Text(ANY_STRING, encoding))
    for body in good:
        assert recognizer.accepts(body), body
    for body in bad:
        assert not recognizer.accepts(body), body


def test_partial_characters_are_viable_only_where_some_character_is() -> None:
    one = Recognizer(Text(finite(["é😀"]), "json"))
    for prefix in (b"\xc3", b"\\u00", "é".encode() + b"\xf0\x9f", b"\\u00E9\\ud83d\\uDE"):
        assert one.viable(prefix), prefix
    for prefix in (b"\xc4", b"\\u01", b"\\n", "é".encode() + b"\\ud83e", b"\\u00e9\\ud83d\\u0"):
        assert not one.viable(prefix), prefix
