"""N-gram statistics that follow the text: no model, no training.

"Adaptive Draft-Verification for Efficient Large Language Model Decoding" (ADED) keeps trigram counts, updates them with
what the target accepts, and searches the tree of likely continuations. Here the search is best first, which for a given
number of nodes finds the most probable ones, and a trigram backs off to the bigram and that to the last token's
neighbours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TypeAlias

from structgen.decode.speculation.build import Path, best_first
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import Walker

Counts: TypeAlias = "defaultdict[tuple[int, ...], Counter[int]]"

NUM_CANDIDATES = 6
BACK_OFF = 0.4
"""What is left for shorter contexts for each unseen continuation ("Large Language Models in Machine Translation": the
factor of stupid backoff)."""
OWN_WEIGHT = 4
"""A count of the text itself against one of earlier texts."""
LEAST = 0.01


class Trigram:
    """Best-first trees from counts of up to three tokens: those of the text so far, and those of all texts before.

    Under a grammar the probability of illegal tokens goes to the legal ones.
    """

    kind: Kind = "deterministic"
    wants_hidden = False

    def __init__(self, *, max_contexts: int = 200_000) -> None:
        """`max_contexts`: distinct contexts remembered from earlier texts; past it they are forgotten."""
        self._shared: Counts = defaultdict(Counter)
        self._max_contexts = max_contexts

    def begin(self, prompt_ids: list[int]) -> Counts:
        """The counts of a text, with its prompt's."""
        counts: Counts = defaultdict(Counter)
        for end in range(1, len(prompt_ids)):
            _count(counts, prompt_ids, end, 1)
        return counts

    def propose(self, context: Context, state: Counts, budget: int) -> DraftTree:
        """The most probable nodes."""
        walker = Walker(context.matcher)
        tokens = context.token_ids

        def children(path: Path) -> list[tuple[int, float]]:
            before = (*tokens[-2:], *path)[-2:]
            guessed = self._guess(state, before)
            if not guessed or not walker.go(path):
                return []
            legal = [(token, weight) for token, weight in guessed if walker.allows(token)]
            kept = sum(weight for _, weight in legal)
            # what illegal candidates had goes to the legal ones; what no candidate had stays with the unknown
            scale = sum(weight for _, weight in guessed) / kept if kept else 0.0
            return [(token, weight * scale) for token, weight in legal]

        return best_first(children, budget, context.max_depth, least=LEAST)

    def _guess(self, own: Counts, before: tuple[int, ...]) -> list[tuple[int, float]]:
        """Candidates after two tokens, with probabilities that sum to less than 1."""
        found: dict[int, float] = {}
        left = 1.0
        for n in (2, 1):
            key = before[-n:]
            counted: Counter[int] = Counter()
            if key in self._shared:
                counted.update(self._shared[key])
            if key in own:
                for token, times in own[key].items():
                    counted[token] += OWN_WEIGHT * times
            total = counted.total() + 1.0  # one more for what was never seen
            for token, times in counted.most_common(NUM_CANDIDATES):
                if token not in found:
                    found[token] = left * times / total
            left *= BACK_OFF
        return sorted(found.items(), key=lambda each: -each[1])[:NUM_CANDIDATES]

    def observe(self, context: Context, state: Counts, seen: Seen) -> None:
        """Counts what was added to the text."""
        tokens = context.token_ids
        if len(self._shared) > self._max_contexts:
            self._shared.clear()
        for end in range(len(tokens) - len(seen.new_tokens), len(tokens)):
            _count(state, tokens, end, 1)
            _count(self._shared, tokens, end, 1)


def _count(counts: Counts, tokens: list[int], end: int, times: int) -> None:
    """Notes that tokens[end] came after the one and the two tokens before it."""
    for n in (1, 2):
        if end >= n:
            counts[tuple(tokens[end - n : end])][tokens[end]] += times
