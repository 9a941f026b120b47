"""One kernel call for all trees of a pass: `verify_tree` chooses down them what greedy texts choose token by token.

A text takes the tokens one by one all the same, so the budget law of `Row` holds: where a token does not fit, or the
next mask is a closing one, the text goes on by itself from there. What a token costs then is no longer several passes
over a row of logits (copy, mask, argmax, two sums), and on a device no copy to the host.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from structgen.decode.speculation.row_store import EMPTY, RowStore
from structgen.decode.speculation.text import RowText
from structgen.decode.speculation.tree import DraftTree
from structgen.errors import BudgetExceeded
from structgen_kernels.verify import verify_tree

MIN_VOCAB_ON_CPU = 1 << 14
"""On the CPU it pays for wide rows: below this the kernel's arguments take longer to check than a row to mask."""


class Verified(NamedTuple):
    """The tokens that a greedy text chooses from the root down, and their log-probabilities in nats, masked and not."""

    tokens: list[int]
    logprobs: list[float]
    raw_logprobs: list[float]


class Verifier:
    """Keeps mask rows on the logits' device and verifies the trees of greedy texts (temperature 0) with them."""

    def __init__(self, num_words: int, device: Any) -> None:
        self._store = RowStore(num_words, device=device)

    def __call__(self, texts: Sequence[RowText], trees: Sequence[DraftTree], logits: Any) -> list[Verified] | None:
        """What each text chooses; None where a mask of some node is over its budget, so that the texts must see.

        `logits` are float [B, m, V], a row for each row of the largest tree. Each text has just been opened.
        """
        batch, m, width = logits.shape
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
        verdict = verify_tree(
            flat,
            self._store.rows,
            row_ids.reshape(-1),
            parents.reshape(-1),
            tokens.reshape(-1),
            offsets=np.arange(batch + 1) * m,
        )
        found = []
        rows: list[int] = []
        for i, length in enumerate(verdict.lengths.tolist()):
            path = verdict.paths[i, :length].tolist()
            chosen = tokens[i, path].tolist()
            if verdict.next_tokens[i] >= 0:
                chosen.append(int(verdict.next_tokens[i]))
            found.append((chosen, verdict.logprobs[i].tolist()))
            rows += [i * m + row for row in (0, *path)][: len(chosen)]
        emitted = [token for chosen, _ in found for token in chosen]
        reached = flat[torch.tensor(rows, dtype=torch.long, device=flat.device)]
        at = torch.tensor(emitted, dtype=torch.long, device=flat.device)[:, None]
        raw = (reached.gather(1, at)[:, 0] - torch.logsumexp(reached, -1)).tolist() if rows else []
        verified = []
        for chosen, logprobs in found:
            verified.append(Verified(chosen, logprobs[: len(chosen)], raw[: len(chosen)]))
            del raw[: len(chosen)]
        return verified


def verifier_for(texts: Sequence[RowText], device: Any, vocab_size: int) -> Verifier | None:
    """A verifier where it pays: greedy texts, and a device of its own or wide rows."""
    if not texts or any(text.sampling.temperature != 0.0 for text in texts):
        return None
    if torch.device(device).type == "cpu" and vocab_size < MIN_VOCAB_ON_CPU:
        return None
    return Verifier(texts[0].row.grammar.vocab.num_words, device)
