"""Trees drawn from a draft model, to be tested by rejection: each level in one pass of the draft model.

"Recursive Speculative Decoding: Accelerating LLM Inference via Sampling Without Replacement": siblings drawn without
replacement are all different, so a tree of the same size covers more. RSD-C draws a constant number of children on
each level (Gumbel top-k); RSD-S keeps the `width` likeliest perturbed paths of each level (stochastic beam search,
"Stochastic Beams and Where to Find Them"). With replacement it is the independent chains of "SpecTr: Fast Speculative
Decoding via Optimal Transport".

q is what the children were really drawn from: the draft model's distribution under the node's mask (where the drafter
is told of the grammar), at the target's temperature, top-k and top-p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from structgen.decode.sampling import Sampling
from structgen.decode.speculation.build import TreeBuilder
from structgen.decode.speculation.draft_model import DraftText, check_same_tokens, draft_distribution
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.drawn import DrawnWithoutReplacement, DrawnWithReplacement
from structgen.decode.speculation.forward import NO_PARENT, TreeForward
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import Walker

Floats = npt.NDArray[np.float64]


class _Drawing:
    """A draft model's text and the tree that is being drawn below it."""

    def __init__(self, context: Context, state: DraftText) -> None:
        self.builder = TreeBuilder()
        self.generator = context.generator
        self.sampling = _at_some_temperature(context.sampling)
        self._state = state
        self._walker = Walker(context.matcher)
        self._index = {0: NO_PARENT}
        self._logits = {0: state.catch_up(context.token_ids, 0)}

    def read(self, rows: Sequence[int]) -> None:
        """One pass over the nodes of these rows."""
        nodes: list[tuple[int, int]] = []
        for row in rows:
            self._index[row] = len(self._state.pending) + len(nodes)
            nodes.append((self.builder.path(row)[-1], self._index[self.builder.parent(row)]))
        for row, logits in zip(rows, self._state.read(nodes), strict=True):
            self._logits[row] = logits

    def q(self, row: int) -> npt.NDArray[np.float32] | None:
        """What the children of a row are drawn from; None where nothing may follow."""
        if not self._walker.go(self.builder.path(row)):
            return None
        q = draft_distribution(self._logits[row], self._walker, self.sampling)
        if q is not None:
            self.builder.drawn_from(row, q)
        return q


class _Sampled:
    """What the drawn drafters have in common."""

    kind: Kind = "drawn"
    wants_hidden = False

    def __init__(self, model: Any) -> None:
        self.model = model

    def begin(self, prompt_ids: list[int]) -> DraftText:
        """A cache; the prompt is read on the first proposal."""
        return DraftText(TreeForward(self.model))

    def observe(self, context: Context, state: DraftText, seen: Seen) -> None:
        """Nothing is learnt; the cache catches up on the next proposal."""
        check_same_tokens(self.model, seen.logits.shape[-1])


class ConstantBranching(_Sampled):
    """RSD-C: `branching[d]` children of every node at depth d, drawn without replacement.

    With `replacement` they are drawn independently, for the rules that want that.
    """

    def __init__(self, model: Any, *, branching: Sequence[int] = (3, 2, 1, 1), replacement: bool = False) -> None:
        super().__init__(model)
        if not branching or min(branching) < 1:
            raise ValueError(f"branching needs a positive number for each level, not {list(branching)}")
        self.branching = tuple(branching)
        self.replacement = replacement

    def propose(self, context: Context, state: DraftText, budget: int) -> DraftTree:
        """All levels, as far as the budget goes; what is left out is decided before it is drawn."""
        with torch.inference_mode():
            drawing = _Drawing(context, state)
            builder = drawing.builder
            level = [0]
            for depth, count in enumerate(self.branching[: context.max_depth]):
                if depth:
                    drawing.read(level)
                below: list[int] = []
                for row in level:
                    q = drawing.q(row) if builder.num_nodes < budget else None
                    if q is None:
                        continue
                    drawn = self._draw(q, min(count, budget - builder.num_nodes), drawing.generator)
                    below += [builder.add(row, token, float(q[token]), again=self.replacement) for token in drawn]
                level = below
                if not level or builder.num_nodes >= budget:
                    break
        return builder.tree(DrawnWithReplacement if self.replacement else DrawnWithoutReplacement)

    def _draw(self, q: npt.NDArray[np.float32], count: int, generator: Any) -> list[int]:
        if self.replacement:
            p = q.astype(np.float64)
            return [int(token) for token in generator.choice(len(q), size=count, p=p / p.sum())]
        scores = gumbel_scores(q, generator)
        tokens = np.argsort(-scores, kind="stable")[:count]
        return [int(token) for token in tokens if q[token] > 0]


class StochasticBeam(_Sampled):
    """RSD-S: on each level the `width` best of all perturbed paths, at most `depth` levels."""

    def __init__(self, model: Any, *, width: int = 4, depth: int = 5) -> None:
        super().__init__(model)
        if width < 1 or depth < 1:
            raise ValueError("width and depth must be at least 1")
        self.width, self.depth = width, depth

    def propose(self, context: Context, state: DraftText, budget: int) -> DraftTree:
        """All levels, as far as the budget goes."""
        with torch.inference_mode():
            drawing = _Drawing(context, state)
            builder = drawing.builder
            beam: list[tuple[int, float, float]] = [(0, 0.0, 0.0)]  # row, log-probability, perturbed
            for depth in range(min(self.depth, context.max_depth)):
                width = min(self.width, budget - builder.num_nodes)
                if width < 1:
                    break
                if depth:
                    drawing.read([row for row, _, _ in beam])
                found: list[tuple[float, float, int, int, float]] = []
                for row, logp, perturbed in beam:
                    q = drawing.q(row)
                    if q is None:
                        continue
                    scores = _conditioned(logp + gumbel_scores(q, drawing.generator), perturbed)
                    for token in np.argsort(-scores, kind="stable")[:width].tolist():
                        if q[token] > 0:
                            found.append((float(scores[token]), logp + float(np.log(q[token])), row, token, q[token]))
                found.sort(key=lambda each: -each[0])
                beam = [
                    (builder.add(row, token, float(given)), logp, score)
                    for score, logp, row, token, given in found[:width]
                ]
                if not beam:
                    break
        return builder.tree(DrawnWithoutReplacement)


def gumbel_scores(q: npt.NDArray[np.float32], generator: Any) -> Floats:
    """log q + Gumbel noise: the order of the scores is that of draws without replacement. float64 [V], -inf at 0."""
    with np.errstate(divide="ignore"):
        scores: Floats = np.log(q.astype(np.float64)) + generator.gumbel(size=len(q))
    return scores


def _conditioned(scores: Floats, greatest: float) -> Floats:
    """Scores of children shifted so that their maximum is their parent's, in the numerically stable form."""
    most = scores.max()
    with np.errstate(divide="ignore", invalid="ignore"):
        v = greatest - scores + np.log1p(-np.exp(np.minimum(scores - most, 0.0)))
        shifted: Floats = greatest - np.maximum(v, 0.0) - np.log1p(np.exp(-np.abs(v)))
    shifted[np.isneginf(scores)] = -np.inf
    return shifted


def _at_some_temperature(sampling: Sampling) -> Sampling:
    """Greedy decoding draws nothing; its drafts are drawn at temperature 1, and their q does not matter."""
    return replace(sampling, temperature=1.0) if sampling.temperature == 0.0 else sampling
