"""Copies from the context: what followed when the text last ended as it does now.

"CopySpec: Accelerating LLMs with Speculative Copy-and-Paste Without Compromising Quality" copies the span after a
repeated suffix; prompt lookup (as in transformers) does so for n-grams of the prompt. Here the longest suffixes are
looked up first, and several copies become one tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from structgen.decode.speculation.build import empty_tree, from_chains
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import Walker

# chance that the first copied token is right, by length of the suffix that repeats; copies that went well so far are
# likelier to go on
FIRST = (0.0, 0.25, 0.45, 0.6, 0.7, 0.75)
NEXT = 0.8


@dataclass
class CopyState:
    """Where each n-gram of a text ended, most recent last; `num_indexed` tokens are in it."""

    ends: dict[tuple[int, ...], list[int]] = field(default_factory=dict)
    num_indexed: int = 0


class Copy:
    """Proposes copies of at most `span` tokens, found by suffixes of at most `longest` and at least `shortest` tokens.

    `copies` of them at most, of different places, become a tree. Under a grammar a copy stops where it is no longer
    legal, and one that is illegal at once makes room for another.
    """

    kind: Kind = "deterministic"
    wants_hidden = False

    def __init__(self, *, longest: int = 5, shortest: int = 1, span: int = 12, copies: int = 3) -> None:
        if not 1 <= shortest <= longest or span < 1 or copies < 1:
            raise ValueError("1 <= shortest <= longest, span >= 1 and copies >= 1 are needed")
        self.longest, self.shortest, self.span, self.copies = longest, shortest, span, copies

    def begin(self, prompt_ids: list[int]) -> CopyState:
        """An empty index; it is filled when first asked."""
        return CopyState()

    def propose(self, context: Context, state: CopyState, budget: int) -> DraftTree:
        """Copies, the longest suffix first, and of equal ones the most recent."""
        tokens = context.token_ids
        self._index(tokens, state)
        walker = Walker(context.matcher)
        span = min(self.span, context.max_depth, budget)
        chains: list[list[int]] = []
        confidence: list[float] = []
        starts: set[int] = set()
        for n in range(min(self.longest, len(tokens) - 1), self.shortest - 1, -1):
            for end in reversed(state.ends.get(tuple(tokens[-n:]), ())):
                if end in starts or end >= len(tokens):
                    continue
                starts.add(end)
                chain = walker.legal_prefix(tokens[end : end + span])
                if chain and chain not in chains:
                    chains.append(chain)
                    confidence = confidence or [FIRST[min(n, len(FIRST) - 1)], NEXT]
                if len(chains) == self.copies or len(starts) > 16 * self.copies:
                    return from_chains(chains, budget, confidence)
        return from_chains(chains, budget, confidence) if chains else empty_tree()

    def observe(self, context: Context, state: CopyState, seen: Seen) -> None:
        """Nothing: the text itself is the memory, and it is indexed on the next proposal."""

    def _index(self, tokens: list[int], state: CopyState) -> None:
        """Notes the n-grams that end at tokens not seen before; the last token's own have nothing after them."""
        for end in range(state.num_indexed + 1, len(tokens)):
            for n in range(self.shortest, min(self.longest, end) + 1):
                state.ends.setdefault(tuple(tokens[end - n : end]), []).append(end)
        state.num_indexed = max(len(tokens) - 1, 0)
