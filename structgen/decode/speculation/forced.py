"""Forced text: what the grammar leaves no choice about, as the tokenizer would spell it.

The bytes are certain, their tokenisation is not: the model may prefer other tokens for the same text. Its last token is
left out, because it would most often be a longer one that reaches into what follows.
"""

from __future__ import annotations

from structgen.decode.speculation.build import empty_tree, from_chains
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.errors import TokenizerError

CONFIDENCE = 0.9
MAX_FORCED_BYTES = 512


class Forced:
    """Proposes the canonical tokenisation of the forced text, stopped one token short. Nothing without a grammar."""

    kind: Kind = "deterministic"
    wants_hidden = False

    def begin(self, prompt_ids: list[int]) -> None:
        """Nothing is kept."""

    def propose(self, context: Context, state: None, budget: int) -> DraftTree:
        """A chain."""
        if context.matcher is None:
            return empty_tree()
        forced = context.matcher.forced_bytes(MAX_FORCED_BYTES)
        if not forced:
            return empty_tree()
        try:
            tokens = context.matcher.grammar.vocab.encode(forced)[:-1]
        except TokenizerError:  # a vocabulary without single bytes, and a forced text that ends inside a token
            return empty_tree()
        return from_chains([tokens[: context.max_depth]], budget, [CONFIDENCE])

    def observe(self, context: Context, state: None, seen: Seen) -> None:
        """Nothing is learnt."""
