"""Closures of few, some and many items are found by three ways of looking an item up; no text shows which it was."""

from __future__ import annotations

import pytest

from structgen.compiler import CompiledGrammar
from structgen.ir import Alt, Call, Literal, Node, Rule, Seq, literal
from structgen.vocab import Vocabulary
from structgen_kernels.machine import FEW, SOME

VOCAB = Vocabulary.from_bytes([b"", *(bytes((byte,)) for byte in range(256))], eos_token_ids=[0])
SIZES = [size // items + more for size in (FEW, SOME) for items in (2, 3) for more in (-1, 0, 1)]


@pytest.mark.parametrize("n", sorted({*SIZES, 2 * SOME}))
def test_alternatives_that_begin_with_the_same_rule(n: int) -> None:
    shared = Rule("shared", lambda: literal("x"))
    root = Alt(tuple(Seq((Call(shared), Literal(b"%d;" % i))) for i in range(n)))
    grammar = CompiledGrammar(root, VOCAB, report=None)
    assert all(grammar.matcher().accept_bytes(b"x%d;" % i) for i in range(n))
    assert not grammar.matcher().accept_bytes(b"x%d;" % n)
    begun = grammar.matcher()
    assert begun.allowed_bytes() == b"x"
    begun.accept_bytes(b"x")
    assert set(begun.allowed_bytes()) == {str(i).encode()[0] for i in range(n)}


@pytest.mark.parametrize("n", sorted({*SIZES, 2 * SOME}))
def test_rules_that_begin_with_each_other_in_a_circle(n: int) -> None:
    """The closure comes back to where it began: were items never found again, it would not end."""
    rules: list[Rule] = []

    def body(i: int) -> Node:
        return Alt((Seq((Call(rules[(i + 1) % n]), literal("a"))), literal("b")))

    rules += [Rule(str(i), lambda i=i: body(i)) for i in range(n)]
    matcher = CompiledGrammar(Call(rules[0]), VOCAB, report=None).matcher()
    assert matcher.allowed_bytes() == b"b"
    for byte in b"baa":
        assert matcher.accept_bytes(bytes((byte,)))
        assert matcher.is_accepting()
        assert matcher.allowed_bytes() == b"a"
