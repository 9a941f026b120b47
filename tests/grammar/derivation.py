"""The texts of a small grammar, found by the definition: the least sets that satisfy its rules."""

from __future__ import annotations

from itertools import product

from structgen.grammar.form import Choice, Expression, Grammar, Piece, Ref, Repeat, Sequence

LETTERS = "ab"
TEXTS = ["".join(letters) for length in range(6) for letters in product(LETTERS, repeat=length)]


def texts_by_derivation(grammar: Grammar, longest: int) -> set[str]:
    """All texts up to a length: the least sets that satisfy the rules."""
    found: dict[str, set[str]] = {name: set() for name in grammar.rules}

    def of(node: Expression) -> set[str]:
        if isinstance(node, Ref):
            return found[node.name]
        if isinstance(node, Piece):
            return {text for text in TEXTS if len(text) <= longest and node.language.matches(text)}
        if isinstance(node, Choice):
            return set().union(*map(of, node.parts))
        if isinstance(node, Sequence):
            out = {""}
            for part in node.parts:
                out = joined(out, of(part))
            return out
        assert isinstance(node, Repeat)
        body, out = of(node.body), {""}
        for _ in range(node.min):
            out = joined(out, body)
        rounds = longest + 1 if node.max is None else node.max - node.min
        for _ in range(rounds):
            out |= joined(out, body)
        return out

    def joined(left: set[str], right: set[str]) -> set[str]:
        return {a + b for a in left for b in right if len(a) + len(b) <= longest}

    while True:
        following = {name: of(rule.body) for name, rule in grammar.rules.items()}
        if following == found:
            return found[grammar.start]
        found = following
