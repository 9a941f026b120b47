"""A smaller model that reads what the target reads and drafts a tree of its likeliest continuations.

"DySpec: Faster Speculative Decoding with Dynamic Token Tree Structure": the tree grows where the draft model is surest,
so it is deep where the text is predictable and wide where it is not. The draft model has a cache of its own; a pass of
it expands several nodes at once.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from structgen.decode.sampling import Sampling
from structgen.decode.speculation.build import TreeBuilder
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.forward import NO_PARENT, TreeForward
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import Walker
from structgen.errors import SpeculationError


@dataclass(eq=False)
class DraftText:
    """What a draft model has read of a text: committed tokens, and a tree that hangs below them."""

    forward: TreeForward
    committed: list[int] = field(default_factory=list)
    pending: list[tuple[int, int]] = field(default_factory=list)
    """(token, index of its parent among these, or `NO_PARENT`) of what was read but is not yet text."""
    after: npt.NDArray[np.float32] | None = None
    """The logits after the last committed token."""

    def catch_up(self, token_ids: list[int], pad: int) -> npt.NDArray[np.float32]:
        """Reads what is new in the text; the logits float32 [V] after its last token.

        Of the tree of the last proposal, what became text needs no second reading.
        """
        new = token_ids[len(self.committed) :]
        if self.after is None:
            self.after = _numpy(self.forward.prefill([new], pad)[0, -1])
        elif not new:
            self.forward.commit([[]])
        else:
            path: list[int] = []
            at = NO_PARENT
            # the last token is read again even if it was drafted: its logits are needed
            while len(path) < len(new) - 1:
                wanted = new[len(path)], at
                if wanted not in self.pending:
                    break
                at = self.pending.index(wanted)
                path.append(at)
            self.forward.commit([path])
            rest = np.array([new[len(path) :]], np.int64)
            logits = self.forward.append(rest, np.arange(rest.shape[1])[None] - 1)
            self.forward.commit([list(range(rest.shape[1]))])
            self.after = _numpy(logits[0, -1])
        self.pending = []
        self.committed = list(token_ids)
        return self.after

    def read(self, nodes: list[tuple[int, int]]) -> npt.NDArray[np.float32]:
        """Reads (token, parent index) below the text; logits float32 [len(nodes), V]."""
        tokens, parents = zip(*nodes, strict=True)
        self.pending += nodes
        return _numpy(self.forward.append(np.array([tokens], np.int64), np.array([parents], np.int64))[0])


class DraftModel:
    """Trees of the draft model's most probable nodes. Deterministic: the target's own draw is followed down them.

    `width` nodes are expanded in one pass of the draft model, `branching` candidates are considered below each, and
    paths less probable than `least` are left out.
    """

    kind: Kind = "deterministic"
    wants_hidden = False

    def __init__(
        self, model: Any, *, width: int = 4, branching: int = 4, max_passes: int = 8, least: float = 0.02
    ) -> None:
        """`model`: a causal language model of transformers with the target's tokenizer."""
        self.model = model
        self.width, self.branching, self.max_passes, self.least = width, branching, max_passes, least

    def begin(self, prompt_ids: list[int]) -> DraftText:
        """A cache; the prompt is read on the first proposal."""
        return DraftText(TreeForward(self.model))

    def propose(self, context: Context, state: DraftText, budget: int) -> DraftTree:
        """The tree that is left when the surest nodes were expanded first."""
        builder = TreeBuilder()
        with torch.inference_mode():
            walker = Walker(context.matcher)
            logits = state.catch_up(context.token_ids, 0)
            queue: list[tuple[float, int, int, int, float]] = []
            order = 0

            def offer(row: int, probability: float, logits: npt.NDArray[np.float32]) -> None:
                nonlocal order
                if not walker.go(builder.path(row)):
                    return
                p = draft_distribution(logits, walker, Sampling(temperature=1.0))
                if p is None:
                    return
                count = min(self.branching, len(p))
                best = np.argpartition(-p, count - 1)[:count]
                for token in best[np.argsort(-p[best], kind="stable")].tolist():
                    if probability * p[token] >= self.least:
                        order += 1
                        heapq.heappush(queue, (-probability * float(p[token]), order, row, token, float(p[token])))

            offer(0, 1.0, logits)
            index_of = {0: NO_PARENT}
            for _ in range(self.max_passes):
                taken: list[tuple[int, float]] = []
                while queue and len(taken) < self.width and builder.num_nodes < budget:
                    negated, _, parent, token, given = heapq.heappop(queue)
                    taken.append((builder.add(parent, token, given), -negated))
                expanded = [each for each in taken if builder.depth(each[0]) < context.max_depth]
                if not expanded or builder.num_nodes >= budget:
                    break
                nodes: list[tuple[int, int]] = []
                for row, _ in expanded:
                    index_of[row] = len(state.pending) + len(nodes)
                    path = builder.path(row)
                    nodes.append((path[-1], index_of[builder.parent(row)]))
                logits = state.read(nodes)
                for (row, probability), each in zip(expanded, logits, strict=True):
                    offer(row, probability, each)
            while queue and builder.num_nodes < budget:
                _, _, parent, token, given = heapq.heappop(queue)
                builder.add(parent, token, given)
        return builder.tree()

    def observe(self, context: Context, state: DraftText, seen: Seen) -> None:
        """Nothing is learnt; the cache catches up on the next proposal."""
        check_same_tokens(self.model, seen.logits.shape[-1])


def draft_distribution(
    logits: npt.NDArray[np.float32], walker: Walker, sampling: Sampling
) -> npt.NDArray[np.float32] | None:
    """What a draft model's logits [V] are drawn from where the walker stands: float32 [V], or None: nothing may follow.

    Masked, then tempered, then cut to top-k and top-p, as the target is.
    """
    from structgen.decode.sampling import distribution

    mask = walker.mask(len(logits))
    if mask is not None:
        if not mask.any():
            return None
        logits = np.where(mask, logits, -np.inf)
    logp, kept = distribution(torch.from_numpy(np.ascontiguousarray(logits)), sampling)
    p = np.zeros(len(logits), np.float32)
    p[kept.numpy()] = logp.exp().numpy()
    return p


def check_same_tokens(draft: Any, num_logits: int) -> None:
    """Raises `SpeculationError` unless the draft model has logits for the target's token ids."""
    ours = int(draft.get_output_embeddings().weight.shape[0])
    if ours != num_logits:
        raise SpeculationError(
            f"the draft model has {ours} logits, the target {num_logits}", advice="draft with the target's tokenizer"
        )


def _numpy(logits: Any) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = logits.float().cpu().numpy()
    return array
