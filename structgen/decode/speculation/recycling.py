"""Token Recycling: the model's own runners-up, kept as an adjacency matrix, are the drafts.

"Turning Trash into Treasure: Accelerating Inference of Large Language Models with Token Recycling": for every token the
k likeliest next tokens of the last time it was read; a static tree is filled from it breadth first. Nothing is trained,
and every pass of the target, rejected nodes included, refreshes the matrix.
"""

from __future__ import annotations

import heapq
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from structgen.decode.speculation.build import Path, TreeBuilder
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import Walker

NUM_NEXT = 8
TEMPLATE_NODES = 80
RANK_CHANCE = (0.46, 0.16, 0.09, 0.06, 0.04, 0.03, 0.025, 0.02)
"""How often the candidate of each rank is the target's choice, about; only the shape of the template depends on it."""


@lru_cache(maxsize=8)
def template(num_nodes: int = TEMPLATE_NODES) -> tuple[Path, ...]:
    """The tree that is filled: paths of ranks, the `num_nodes` with the greatest product of chances, parents first."""
    queue: list[tuple[float, Path]] = [(-chance, (rank,)) for rank, chance in enumerate(RANK_CHANCE)]
    heapq.heapify(queue)
    paths: list[Path] = []
    while len(paths) < num_nodes:
        negated, path = heapq.heappop(queue)
        paths.append(path)
        for rank, chance in enumerate(RANK_CHANCE):
            heapq.heappush(queue, (negated * chance, (*path, rank)))
    return tuple(paths)


class TokenRecycling:
    """Fills `template` from an adjacency matrix int32 [V, 8] that all texts share.

    Under a grammar the ranks count legal candidates only, so that no place of the template is lost to a token that
    cannot come.
    """

    kind: Kind = "deterministic"
    wants_hidden = False

    def __init__(self, vocab_size: int | None = None) -> None:
        """`vocab_size`: width of the logits; found out at the first pass if None."""
        self._next: npt.NDArray[np.int32] | None = None if vocab_size is None else _unknown(vocab_size)

    def begin(self, prompt_ids: list[int]) -> None:
        """Nothing is kept for a text."""

    def propose(self, context: Context, state: None, budget: int) -> DraftTree:
        """The template, as far as the matrix, the grammar and the budget go."""
        builder = TreeBuilder()
        if self._next is None:
            return builder.tree()
        walker = Walker(context.matcher)
        rows: dict[Path, int] = {(): 0}
        candidates: dict[Path, list[int]] = {}
        for ranks in template():
            if builder.num_nodes >= budget:
                break
            parent = ranks[:-1]
            if len(ranks) > context.max_depth or parent not in rows:
                continue
            if parent not in candidates:
                candidates[parent] = self._candidates(context, walker, builder.path(rows[parent]))
            if ranks[-1] < len(candidates[parent]):
                token = candidates[parent][ranks[-1]]
                rows[ranks] = builder.add(rows[parent], token, RANK_CHANCE[ranks[-1]])
        return builder.tree()

    def _candidates(self, context: Context, walker: Walker, path: Path) -> list[int]:
        """What is known to follow a path, the likeliest first, and legal."""
        assert self._next is not None
        last = path[-1] if path else context.token_ids[-1]
        if not walker.go(path):
            return []
        return [token for token in self._next[last].tolist() if token >= 0 and walker.allows(token)]

    def observe(self, context: Context, state: None, seen: Seen) -> None:
        """Every row of the pass says what follows its token; deeper and accepted rows come last and win."""
        if self._next is None:
            self._next = _unknown(seen.logits.shape[-1])
        best = torch.topk(seen.logits, min(NUM_NEXT, seen.logits.shape[-1]), dim=-1).indices.cpu().numpy()
        tokens = np.concatenate(([seen.root_token], seen.tree.tokens))
        self._next[tokens, : best.shape[1]] = best
        on_path = [0, *seen.path]
        self._next[tokens[on_path], : best.shape[1]] = best[on_path]


def _unknown(vocab_size: int) -> npt.NDArray[np.int32]:
    return np.full((vocab_size, NUM_NEXT), -1, np.int32)
