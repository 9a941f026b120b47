"""Masks of lists of members (objects), against the executable specification."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from structgen.compiler import CompiledGrammar
from structgen.ir import Call, Literal, Member, Members, Node, Rule, Star, alt, byte_set, literal, optional, seq
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

ALPHABET = b"abc:,{}"
WORDS = [bytes(word) for n in (1, 2) for word in product(ALPHABET, repeat=n)]
TOKENS = [b"", *WORDS, b"a:{", b",a:", b"ab:", b"b:,c", b"ab:a,", b"{a:a", b"a:a,b:a", b"aab", b"c,ab"]
EOS = 0
VOCAB = Vocabulary.from_bytes(TOKENS, eos_token_ids=[EOS])
KEYS = [b"a:", b"b:", b"ab:", b"aab:", b"abc:", b"c:", b"ca:"]
LETTER = byte_set(b"abc")


@st.composite
def members(draw: st.DrawFn, inner: st.SearchStrategy[Node]) -> Node:
    keys = draw(st.lists(st.sampled_from(KEYS), unique=True, max_size=6))
    additional = draw(st.sampled_from([None, seq(literal("cc"), Star(LETTER), literal(":a"))]))
    if not keys and additional is None:
        keys = [b"b:"]
    node = Members(
        tuple(Member(key, draw(inner), draw(st.booleans())) for key in keys),
        additional,
        draw(st.sampled_from([literal(","), seq(literal(","), optional(literal("c")), literal(","))])),
        draw(st.booleans()),
    )
    return seq(literal("{"), node, literal("}"))


def _called(node: Node) -> Node:
    return Call(Rule("value", lambda: node))


VALUES = st.recursive(
    st.sampled_from([literal("a"), alt(literal("b"), literal("ca")), _called(seq(LETTER, Star(LETTER)))]),
    lambda inner: members(inner).map(_called),
    max_leaves=5,
)
ROOTS = st.one_of(members(VALUES), st.builds(lambda a, b: alt(a, b), members(VALUES), members(VALUES)))


def allowed(row: Any) -> set[int]:
    return set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())


@given(ROOTS, st.data())
def test_masks_of_members_are_what_brute_force_allows(root: Node, data: st.DataObject) -> None:
    grammar, recognizer = CompiledGrammar(root, VOCAB, report=None), Recognizer(root)
    matcher = grammar.matcher()
    row = np.zeros((1, VOCAB.num_words), np.int32)
    text = b""
    for _ in range(10):
        matcher.fill_next_token_bitmask(row)
        ids = allowed(row[0])
        assert ids == recognizer.mask(text, TOKENS) | ({EOS} if recognizer.accepts(text) else set()), text
        if not ids - {EOS}:
            break
        token = data.draw(st.sampled_from(sorted(ids - {EOS})))
        assert matcher.accept_token(token)
        text += TOKENS[token]


@given(ROOTS, st.data())
def test_shortest_completions_of_members_are_shortest(root: Node, data: st.DataObject) -> None:
    recognizer = Recognizer(root)
    matcher = CompiledGrammar(root, VOCAB, report=None).matcher()
    text = b""
    for _ in range(8):
        rest = matcher.shortest_completion()
        assert rest is not None
        assert recognizer.accepts(text + rest), (text, rest)
        assert not any(
            recognizer.accepts(text + bytes(shorter))
            for n in range(min(len(rest), 4))
            for shorter in product(ALPHABET, repeat=n)
            if recognizer.viable(text + bytes(shorter[:1]))
        )
        choices = matcher.allowed_bytes()
        if not choices:
            break
        byte = bytes((data.draw(st.sampled_from(sorted(choices))),))
        assert matcher.accept_bytes(byte)
        text += byte


def test_many_keys_in_any_order() -> None:
    """More keys than a word has bits, and than are emitted at once."""
    names = [f"{i:03d}" for i in range(200)]
    vocab = Vocabulary.from_bytes([b"", *(bytes((b,)) for b in b'0123456789",')], eos_token_ids=[0])
    root = Members(tuple(Member(f'"{n}"'.encode(), Literal(b"0"), n < "150") for n in names), None, literal(","), False)
    matcher = CompiledGrammar(root, vocab, report=None).matcher()
    order = np.random.default_rng(7).permutation(150)
    for i, number in enumerate(order):
        assert not matcher.is_accepting()
        assert matcher.accept_bytes((b"," if i else b"") + f'"{number:03d}"0'.encode())
    assert matcher.is_accepting()
    assert not matcher.accept_bytes(b',"003"')
    assert matcher.accept_bytes(b',"199"0')
    assert matcher.shortest_completion() == b""
    matcher.accept_bytes(b",")
    assert len(matcher.shortest_completion() or b"") == len('"150"0')
    fresh = CompiledGrammar(root, vocab, report=None).matcher()
    ending = fresh.shortest_completion()
    assert ending is not None and len(ending) == 150 * len('"000"0,') - 1


def test_a_shared_first_byte_is_checked() -> None:
    """All keys start alike, and all are behind: no key may follow, only additional members."""
    keys = (Member(b"a:", literal("a"), False), Member(b"ab:", literal("a"), False))
    matcher = CompiledGrammar(
        seq(Members(keys, literal("cc"), literal(","), True), literal("}")), VOCAB, report=None
    ).matcher()
    assert matcher.accept_bytes(b"ab:a,")
    assert matcher.allowed_bytes() == b"c"


@given(st.sets(st.text("abé", max_size=7), min_size=1, max_size=90), st.text("abé", max_size=7))
def test_the_keys_are_these_and_no_others(names: set[str], other: str) -> None:
    keys = tuple(Member(name.encode() + b":", literal("0"), False) for name in names)
    vocab = Vocabulary.from_bytes([b"", *(bytes((b,)) for b in range(256))], eos_token_ids=[0])
    grammar = CompiledGrammar(Members(keys, None, literal(","), False), vocab, report=None)
    for name in (*names, other):
        assert grammar.matcher().accept_bytes(name.encode() + b":0") == (name in names)
    begun = grammar.matcher()
    first = {name.encode()[0] if name else ord(":") for name in names}
    assert set(begun.allowed_bytes()) == first
