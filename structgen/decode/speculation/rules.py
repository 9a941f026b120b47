"""Verification rules: which drafted tokens are kept, and the token after them, so that the output is identical to
masked decoding.

p is the distribution that decoding without speculation draws from at a row: mask, temperature, top-k, top-p. q is what
the children of the row were drawn from. Drafts may be masked or not: children outside the support of p are dropped, and
q is renormalised over it. (That is exact because the support depends on the target alone: given that an n-th child
inside it exists, it is a draw from q inside it.)

Drawn trees are walked by one kernel call for the batch (`structgen_kernels.verify_drawn`), but for `KSeq` and for
logits on a device; then, and where `fused` is false, row by row with `DrawnRule.choose`, which says what the kernel
does.

| rule | trees | source |
|---|---|---|
| `Greedy` | any | |
| `TargetOnly` | any | the draft is only a guess: Token Recycling, prompt lookup |
| `Rejection` | with replacement | recursive rejection sampling: SpecInfer, Recursive Speculative Decoding |
| `RejectionWithoutReplacement` | without | Recursive Speculative Decoding |
| `KSeq` | with replacement | SpecTr: Fast Speculative Decoding via Optimal Transport |

A rule is generic in the trees it takes: the type checker refuses a wrong pair, and so does `verify`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from structgen.decode.chance import Chance
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.drawn import DrawnWithoutReplacement, DrawnWithReplacement
from structgen.decode.speculation.tree import DraftTree
from structgen_kernels.verify import masked_probabilities, verify_tree
from structgen_kernels.verify_drawn import verify_drawn

Tree = TypeVar("Tree", bound=DraftTree, contravariant=True)
AnyTree = TypeVar("AnyTree", bound=DraftTree)
Floats = npt.NDArray[np.float64]

_NO_RESIDUAL = 1e-14
"""A residual of less mass than this is rounding: it is reached with a probability of just its mass."""


@dataclass(frozen=True, slots=True, eq=False)
class Verified:
    """What verification kept of one tree.

    rows: int32 [a], the accepted rows below the root, in order (node i is row i + 1).
    next_token: the token after them; -1 if none is allowed there (the text has ended) or the logits are broken.
    logprobs: float64 [a + 1], nats: of the accepted tokens and of the next in the distributions drawn from (greedy: in
        the masked distribution at temperature 1). The last is -inf where the mask is empty, NaN where the allowed
        logits have a NaN or +inf.
    log_mass: float64 [n + 1] or None: for each row the log-probability of its mask (see `structgen_kernels.verify`).
    """

    rows: npt.NDArray[np.int32]
    next_token: int
    logprobs: Floats
    log_mass: Floats | None = None


class Rule(ABC, Generic[Tree]):
    """A verification rule. `takes` is the type of trees it is exact for."""

    takes: ClassVar[type[DraftTree]]

    @abstractmethod
    def _verify(self, trees: Sequence[Tree], batch: _Batch, with_log_mass: bool) -> list[Verified]: ...


@dataclass(frozen=True, slots=True)
class _Batch:
    """Rows of all trees one after the other."""

    logits: Any
    masks: Any
    row_ids: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    samplings: Sequence[Sampling]
    chances: Sequence[Chance]
    fused: bool

    def arguments(self, trees: Sequence[DraftTree]) -> dict[str, Any]:
        """What the kernels take: rows of logits, their masks, the trees, and how each is sampled."""
        roots = np.full(1, -1, np.int32)
        parents = np.concatenate([part for tree in trees for part in (roots, tree.parents)])
        tokens = np.concatenate([part for tree in trees for part in (roots, tree.tokens)])
        return {
            "logits": self.logits,
            "masks": self.masks,
            "row_ids": self.row_ids,
            "parents": parents,
            "tokens": tokens,
            "offsets": self.offsets,
            "temperature": [sampling.temperature for sampling in self.samplings],
            "top_k": [sampling.top_k or 0 for sampling in self.samplings],
            "top_p": [1.0 if sampling.top_p is None else sampling.top_p for sampling in self.samplings],
        }


def verify(
    rule: Rule[AnyTree],
    trees: Sequence[AnyTree],
    logits: Any,
    masks: Any,
    row_ids: Any,
    *,
    sampling: Sampling | Sequence[Sampling],
    chances: Sequence[Chance],
    with_log_mass: bool = False,
    fused: bool = True,
) -> list[Verified]:
    """Verifies a batch of draft trees, each on its own.

    Args:
        rule: how. See the table above.
        trees: B trees; tree b has n_b nodes and n_b + 1 rows.
        logits: float32, bfloat16 or float16 tensor [N, V], N the rows of all trees, one tree after the other, unmasked.
        masks: int32 [R, words], the mask store, on the device of the logits; None if nothing is masked.
        row_ids: int [N], each row's mask in the store; -1: nothing is masked there. Of an illegal node any id will do.
        sampling: of all trees, or of each.
        chances: the random numbers of each tree's prompt.
        with_log_mass: whether to compute `Verified.log_mass`, which reads every row.
        fused: whether drawn trees may go to the kernel; false, for `chances` that decide coins in a way of their own.

    Raises:
        TypeError: the rule is not exact for this type of tree.
        ValueError: shapes do not fit; `Greedy` with a temperature.
    """
    for tree in trees:
        if not isinstance(tree, rule.takes):
            raise TypeError(
                f"{type(rule).__name__} is exact for {rule.takes.__name__} only, not for {type(tree).__name__}: "
                "verify a deterministic tree with TargetOnly, and a drawn one by the rule of how it was drawn"
            )
    samplings = [sampling] * len(trees) if isinstance(sampling, Sampling) else list(sampling)
    if not len(samplings) == len(chances) == len(trees):
        raise ValueError(f"{len(trees)} trees, {len(samplings)} samplings and {len(chances)} chances")
    offsets = np.cumsum([0, *(tree.num_nodes + 1 for tree in trees)])
    row_ids = np.asarray(row_ids, np.int32)
    if len(logits) != offsets[-1] or len(row_ids) != offsets[-1]:
        raise ValueError(f"{offsets[-1]} rows in the trees, {len(logits)} of logits, {len(row_ids)} row ids")
    return rule._verify(trees, _Batch(logits, masks, row_ids, offsets, samplings, chances, fused), with_log_mass)


# ---- rules that draw from the target: one kernel call for the batch -------------------------------------------------
@dataclass(frozen=True)
class TargetOnly(Rule[DraftTree]):
    """Draw from p; go down where a child holds what was drawn. At temperature 0 this is `Greedy`.

    The text depends on the prompt's random numbers alone: it is, token for token, that of `masked_sample` with the same
    `Chance`, whatever was drafted.
    """

    takes = DraftTree

    def _verify(self, trees: Sequence[DraftTree], batch: _Batch, with_log_mass: bool) -> list[Verified]:
        depths = [int(tree.depths.max(initial=0)) for tree in trees]
        uniforms = np.zeros((len(trees), max(depths, default=0) + 1))
        for line, sampling, chance, depth in zip(uniforms, batch.samplings, batch.chances, depths, strict=True):
            if sampling.temperature > 0:
                line[: depth + 1] = chance.upcoming(depth + 1)
        verdict = verify_tree(**batch.arguments(trees), uniforms=uniforms, with_log_mass=with_log_mass)
        out = []
        for b, (sampling, chance) in enumerate(zip(batch.samplings, batch.chances, strict=True)):
            length, token = int(verdict.lengths[b]), int(verdict.next_tokens[b])
            if sampling.temperature > 0:
                chance.used(length + (token >= 0))
            out.append(
                Verified(
                    rows=verdict.paths[b, :length],
                    next_token=token,
                    logprobs=verdict.logprobs[b, : length + 1],
                    log_mass=_of_tree(verdict.log_mass, batch.offsets, b),
                )
            )
        return out


@dataclass(frozen=True)
class Greedy(TargetOnly):
    """The first largest allowed logit; go down where a child holds it."""

    def _verify(self, trees: Sequence[DraftTree], batch: _Batch, with_log_mass: bool) -> list[Verified]:
        if any(sampling.temperature > 0 for sampling in batch.samplings):
            raise ValueError("Greedy is for temperature 0; TargetOnly samples")
        return super()._verify(trees, batch, with_log_mass)


# ---- rules that test what was drawn ---------------------------------------------------------------------------------
class DrawnRule(Rule[Tree]):
    """Walks down one tree at a time; `choose` says what happens at a row.

    `replacement`: the rule is one that the kernel has, with siblings drawn so; None: it is not.
    """

    replacement: ClassVar[bool | None] = None

    @abstractmethod
    def choose(self, p: Floats, q: Floats, drafted: Sequence[int], chance: Chance) -> tuple[int, int]:
        """One row's decision.

        Args:
            p: float64 [V], the target's distribution.
            q: float64 [V], what the children were drawn from; zero where p is, sum 1.
            drafted: the children's tokens in the order in which they were drawn; p and q are positive at each.

        Returns:
            The index of the accepted child and its token, or -1 and the token that takes its place.
        """

    def _verify(self, trees: Sequence[Tree], batch: _Batch, with_log_mass: bool) -> list[Verified]:
        log_mass = None
        if with_log_mass:
            n = len(batch.logits)
            temperatures = np.repeat([s.temperature for s in batch.samplings], np.diff(batch.offsets))
            roots = (np.full(n, -1, np.int32), np.zeros(n, np.int32))
            log_mass = verify_tree(
                batch.logits, batch.masks, batch.row_ids, *roots, offsets=np.arange(n + 1), temperature=temperatures,
                uniforms=np.zeros((n, 1)), with_log_mass=True,
            ).log_mass  # fmt: skip
        masses = [_of_tree(log_mass, batch.offsets, b) for b in range(len(trees))]
        if batch.fused and self.replacement is not None and trees and batch.logits.device.type == "cpu":
            return self._verify_fused(trees, batch, masses)
        return [self._walk(tree, batch, b, mass) for b, (tree, mass) in enumerate(zip(trees, masses, strict=True))]

    def _verify_fused(self, trees: Sequence[Tree], batch: _Batch, masses: Sequence[Floats | None]) -> list[Verified]:
        first = 0
        q_rows, q_of_row = [np.zeros((0, batch.logits.shape[1]), np.float32)], []
        for tree in trees:
            known = tree.q_rows is not None
            q_of_row.append(np.where((tree.q_of_row >= 0) & known, tree.q_of_row + first, -1))
            if tree.q_rows is not None:
                q_rows.append(tree.q_rows)
                first += len(tree.q_rows)
        most = max(tree.num_nodes + 1 + int(tree.depths.max(initial=0)) for tree in trees)
        verdict = verify_drawn(
            **batch.arguments(trees),
            q_rows=np.concatenate(q_rows),
            q_of_row=np.concatenate(q_of_row),
            replacement=bool(self.replacement),
            uniforms=np.stack([each.upcoming(most) for each in batch.chances]),
        )
        out = []
        for b, (chance, mass) in enumerate(zip(batch.chances, masses, strict=True)):
            length = int(verdict.lengths[b])
            chance.used(int(verdict.used[b, length]))
            logprobs = verdict.logprobs[b, : length + 1]
            out.append(Verified(verdict.paths[b, :length], int(verdict.next_tokens[b]), logprobs, mass))
        return out

    def _walk(self, tree: Tree, batch: _Batch, b: int, log_mass: Floats | None) -> Verified:
        children: dict[int, list[int]] = {}
        for node, parent in enumerate(tree.parents.tolist()):
            children.setdefault(parent, []).append(node + 1)
        sampling, chance, first = batch.samplings[b], batch.chances[b], int(batch.offsets[b])
        accepted: list[int] = []
        logprobs: list[float] = []
        row = 0
        while True:
            p = masked_probabilities(
                batch.logits, batch.masks, first + row, int(batch.row_ids[first + row]),
                temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p,
            )  # fmt: skip
            if not p[0] >= 0 or not p.any():  # the row is broken, or nothing is allowed
                logprobs.append(float("-inf" if p[0] >= 0 else "nan"))
                return Verified(np.array(accepted, np.int32), -1, np.array(logprobs), log_mass)
            token, child = self._at_row(tree, row, p, children.get(row, []), chance)
            logprobs.append(float(np.log(p[token])))
            if not child:
                return Verified(np.array(accepted, np.int32), token, np.array(logprobs), log_mass)
            accepted.append(child)
            row = child

    def _at_row(self, tree: Tree, row: int, p: Floats, children: Sequence[int], chance: Chance) -> tuple[int, int]:
        """The token emitted at a row and the child that holds it (0: none)."""
        tokens = tree.tokens
        if not children or tree.q_rows is None or tree.q_of_row[row] < 0:  # nothing was drawn here
            token = chance.draw(p)
            return token, next((child for child in children if tokens[child - 1] == token), 0)
        q = np.where(p > 0, tree.q_rows[tree.q_of_row[row]].astype(np.float64), 0.0)
        inside = [child for child in children if q[tokens[child - 1]] > 0]
        if not inside:
            return chance.draw(p), 0
        index, token = self.choose(p, q / q.sum(), [int(tokens[child - 1]) for child in inside], chance)
        return token, inside[index] if index >= 0 else 0


@dataclass(frozen=True)
class Rejection(DrawnRule[DrawnWithReplacement]):
    """Recursive rejection sampling, siblings drawn with replacement."""

    takes = DrawnWithReplacement
    replacement = True

    def choose(self, p: Floats, q: Floats, drafted: Sequence[int], chance: Chance) -> tuple[int, int]:
        for index, token in enumerate(drafted):
            if chance.coin(p[token] / q[token]):
                return index, token
            p = _residual(p, q)
        return -1, chance.draw(p)


@dataclass(frozen=True)
class RejectionWithoutReplacement(DrawnRule[DrawnWithoutReplacement]):
    """Recursive rejection sampling, each sibling drawn from what its earlier siblings left of q."""

    takes = DrawnWithoutReplacement
    replacement = False

    def choose(self, p: Floats, q: Floats, drafted: Sequence[int], chance: Chance) -> tuple[int, int]:
        q = q.copy()
        for index, token in enumerate(drafted):
            if q[token] == 0.0:  # drawn a second time, which cannot be
                continue
            if chance.coin(p[token] / q[token]):
                return index, token
            p = _residual(p, q)
            q[token] = 0.0
            left = q.sum()
            if not left > 0:  # fewer legal tokens than draws
                break
            q /= left
        return -1, chance.draw(p)


@dataclass(frozen=True)
class KSeq(DrawnRule[DrawnWithReplacement]):
    """k-sequential selection: every child is tested against p / rho, so that k tests together accept enough.

    The best rho is the smallest for which what is left to draw from is not negative. Any larger one is exact too, so a
    short bisection from above will do. How many children are drawn must not depend on what they are.
    """

    takes = DrawnWithReplacement

    def choose(self, p: Floats, q: Floats, drafted: Sequence[int], chance: Chance) -> tuple[int, int]:
        k = len(drafted)
        low, high = 1.0, float(k)
        for _ in range(16 if k > 1 else 0):
            rho = (low + high) / 2
            beta = float(np.minimum(q, p / rho).sum())
            if 1 - (1 - beta) ** k <= rho * beta:
                high = rho
            else:
                low = rho
        tested = np.minimum(q, p / high)
        beta = float(tested.sum())
        for index, token in enumerate(drafted):
            if chance.coin(p[token] / (high * q[token])):
                return index, token
        accepts = 1 - (1 - min(beta, 1.0)) ** k
        rest = np.maximum(p - tested * (accepts / beta), 0.0)
        return -1, chance.draw(rest if rest.sum() > _NO_RESIDUAL else p)


def _residual(p: Floats, q: Floats) -> Floats:
    """norm((p - q)+); p itself where nothing is left, which a rejection reaches by rounding only."""
    rest: Floats = np.maximum(p - q, 0.0)
    total = rest.sum()
    return rest / total if total > _NO_RESIDUAL else p


def _of_tree(values: Any, offsets: npt.NDArray[np.int64], b: int) -> Any:
    return None if values is None else values[offsets[b] : offsets[b + 1]]
