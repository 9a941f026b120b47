"""One kernel call for all trees of a pass: they are gone down as texts would go down them, token by token.

Greedy texts and samples of deterministic trees go through `verify_tree`, samples of drawn trees through `verify_drawn`;
either uses the same random numbers in the same order as a text that chooses for itself.

A text takes the tokens one by one all the same, so the budget law of `Row` holds: where a token does not fit, or the
next mask is a closing one, the text goes on by itself from there. What a token costs then is no longer several passes
over a row of logits (copy, mask, argmax, two sums), and on a device no copy to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from structgen.decode import sampling
from structgen.decode.speculation.drawn import DrawnWithoutReplacement, DrawnWithReplacement
from structgen.decode.speculation.row_store import EMPTY, RowStore
from structgen.decode.speculation.text import RowText
from structgen.decode.speculation.tree import DraftTree
from structgen.errors import BudgetExceeded
from structgen_kernels.verify import verify_tree
from structgen_kernels.verify_drawn import verify_drawn


class Verified(NamedTuple):
    """What a text chooses from the root down: tokens, their log-probabilities in nats (of the distribution drawn from,
    and of the model's own), and how many random numbers each took."""

    tokens: list[int]
    logprobs: list[float]
    raw_logprobs: list[float]
    num_used: list[int]


class Verifier:
    """Keeps mask rows on the logits' device and verifies trees of texts, all with one way of sampling, with them."""

    def __init__(self, num_words: int, device: Any) -> None:
        self._store = RowStore(num_words, device=device)

    def __call__(self, texts: Sequence[RowText], trees: Sequence[DraftTree], logits: Any) -> list[Verified] | None:
        """What each text chooses; None where the texts must see: a mask of some node is over its budget, or children
        were drawn, texts are sampled, and the logits are on a device.

        `logits` are float [B, m, V], a row for each row of the largest tree. Each text has just been opened.
        """
        batch, m, width = logits.shape
        kind = _drawn_kind(trees) if texts[0].sampling.temperature > 0.0 else DraftTree
        if kind is not DraftTree and logits.device.type != "cpu":
            return None
        row_ids = np.full((batch, m), EMPTY, np.int32)
        parents, tokens = np.zeros((batch, m), np.int32), np.full((batch, m), -1, np.int32)
        parents[:, 0] = -1
        self._store.begin()
        try:
            for i, (text, tree) in enumerate(zip(texts, trees, strict=True)):
                n = tree.num_nodes
                row_ids[i, : n + 1] = self._store.ids(text.matcher, tree.tokens, tree.parents)
                if text.is_closing:
                    row_ids[i, 0] = self._store.put(text.mask)[0]
                parents[i, 1 : n + 1], tokens[i, 1 : n + 1] = tree.parents, tree.tokens
        except BudgetExceeded:
            return None
        flat = logits.reshape(batch * m, width)
        arguments = (flat, self._store.rows, row_ids.reshape(-1), parents.reshape(-1), tokens.reshape(-1))
        options = _options(texts, trees, m)
        verdict: Any
        if kind is DraftTree:
            verdict = verify_tree(*arguments, **options)
            per_token = int(texts[0].sampling.temperature > 0.0)
            used = np.broadcast_to(np.arange(1, verdict.logprobs.shape[1] + 1) * per_token, verdict.logprobs.shape)
        else:
            verdict = verify_drawn(
                *arguments, *_drawn_from(trees, m, width), replacement=kind is DrawnWithReplacement, **options
            )
            used = verdict.used
        found = []
        rows: list[int] = []
        for i, length in enumerate(verdict.lengths.tolist()):
            path = verdict.paths[i, :length].tolist()
            chosen = tokens[i, path].tolist()
            if verdict.next_tokens[i] >= 0:
                chosen.append(int(verdict.next_tokens[i]))
            each_used = np.diff(used[i], prepend=0).tolist()
            found.append((chosen, verdict.logprobs[i].tolist(), each_used))
            rows += [i * m + row for row in (0, *path)][: len(chosen)]
        emitted = [token for chosen, _, _ in found for token in chosen]
        reached = flat[torch.tensor(rows, dtype=torch.long, device=flat.device)]
        at = torch.tensor(emitted, dtype=torch.long, device=flat.device)[:, None]
        raw = (reached.gather(1, at)[:, 0] - torch.logsumexp(reached, -1)).tolist() if rows else []
        verified = []
        for chosen, logprobs, each_used in found:
            n = len(chosen)
            verified.append(Verified(chosen, logprobs[:n], raw[:n], each_used[:n]))
            del raw[:n]
        return verified


def _options(texts: Sequence[RowText], trees: Sequence[DraftTree], m: int) -> dict[str, Any]:
    """Where trees start, how texts are sampled, and the next random numbers of each, as many as may be used."""
    how = texts[0].sampling
    options: dict[str, Any] = {"offsets": np.arange(len(texts) + 1) * m, "temperature": how.temperature}
    if how.temperature == 0.0:
        return options
    most = m + max(int(tree.depths.max(initial=0)) for tree in trees)
    numbers = np.stack([text.row.chance.upcoming(most) for text in texts])
    return {**options, "top_k": how.top_k, "top_p": how.top_p, "uniforms": numbers}


def _drawn_kind(trees: Sequence[DraftTree]) -> type[DraftTree]:
    """How the children of these trees of one drafter were drawn; `DraftTree`: none was."""
    for tree in trees:
        if isinstance(tree, (DrawnWithReplacement, DrawnWithoutReplacement)) and (tree.q_of_row >= 0).any():
            return type(tree)
    return DraftTree


def _drawn_from(
    trees: Sequence[DraftTree], m: int, width: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """The distributions of all trees, float32 [M, width], and for each of the m rows of each tree its own, or -1."""
    q_rows = [np.zeros((0, width), np.float32)]
    q_of_row: npt.NDArray[np.int32] = np.full((len(trees), m), -1, np.int32)
    first = 0
    for i, tree in enumerate(trees):
        if tree.q_rows is not None:
            q_rows.append(tree.q_rows)
            q_of_row[i, : tree.num_nodes + 1] = np.where(tree.q_of_row >= 0, tree.q_of_row + first, -1)
            first += len(tree.q_rows)
    return np.concatenate(q_rows), q_of_row.reshape(-1)


def verifier_for(texts: Sequence[RowText], device: Any, vocab_size: int) -> Verifier | None:
    """A verifier where it pays: samples, a device of its own, or wide rows (see `sampling.MIN_GREEDY_ON_CPU`)."""
    if not texts:
        return None
    is_greedy = texts[0].sampling.temperature == 0.0
    if is_greedy and torch.device(device).type == "cpu" and vocab_size < sampling.MIN_GREEDY_ON_CPU:
        return None
    return Verifier(texts[0].row.grammar.vocab.num_words, device)
