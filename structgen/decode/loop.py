"""The decoding loop: masks → forward → choose → accept, for a batch of rows that shrinks as rows finish.

Prompts of different lengths are padded on the left; the key-value cache is the model's own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from structgen.decode.models import LoadedModel
from structgen.decode.row import Row, fill_masks
from structgen.decode.sampling import Sampling, choose


def run(model: LoadedModel, rows: list[Row], sampling: Sampling) -> Iterator[None]:
    """Decodes all rows to their ends; yields after every step, when each unfinished row has one more token."""
    bitmask = np.zeros((len(rows), model.vocab.num_words), dtype=np.int32)
    forward = _Forward(model, [row.prompt_ids for row in rows])
    active = rows
    while True:
        going = fill_masks(active, bitmask)
        if not going:
            return
        if len(going) < len(active):
            forward.keep(going)
            bitmask = bitmask[going]
            active = [active[i] for i in going]
        with torch.inference_mode(), model.few_threads():
            started = time.perf_counter()
            logits = forward([row.token_ids[-1] if row.token_ids else None for row in active])
            forward_s = time.perf_counter() - started
            _choose_all(active, logits, bitmask, sampling)
        for row in active:
            row.num_forward_passes += 1
            row.forward_s += forward_s
        yield


def _choose_all(rows: list[Row], logits: Any, bitmask: Any, sampling: Sampling) -> None:
    """One token for each row out of logits [rows, V]."""
    chosen = choose(logits, bitmask, sampling, [row.chance for row in rows])
    for i, row in enumerate(rows):
        take(row, chosen[i], logits[i], bitmask[i : i + 1], sampling)


def take(
    row: Row,
    chosen: tuple[int, float],
    logits: Any,
    bitmask: Any,
    sampling: Sampling,
    *,
    raw_logprob: float | None = None,
) -> int:
    """Appends a token that was chosen under the mask in bitmask [1, words]; where no ending fits after it, another.

    `chosen` is the token and its log-probability, `logits` float [V] what the model said; `raw_logprob` is that
    of the token in them, if it is known. Returns the token appended.
    """
    token, logprob = chosen
    if not row.accept(token):
        row.fill_closing_mask(bitmask, 0)
        ((token, logprob),) = choose(logits[None], bitmask, sampling, [row.chance])
        accepted = row.accept(token)
        assert accepted, "the closing mask allowed a token after which no ending fits"
        raw_logprob = None
    row.logprobs.append(logprob)
    if raw_logprob is None:
        raw_logprob = float(logits[token] - torch.logsumexp(logits, -1))
    row.raw_logprobs.append(raw_logprob)
    return token


class _Forward:
    """The model's forward pass over a batch, one new token a row, with its cache."""

    def __init__(self, model: LoadedModel, prompts: list[list[int]]) -> None:
        self.model = model
        self.device = model.model.device
        width = max(map(len, prompts))
        pad = model.pad_token_id
        self.prompts = torch.tensor([[pad] * (width - len(ids)) + ids for ids in prompts], device=self.device)
        self.attention = torch.tensor(
            [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=self.device
        )
        self.cache: Any = None

    def __call__(self, last_tokens: list[int | None]) -> Any:
        """Logits [rows, V] in float32 of the next token; the first call reads the prompts."""
        if self.cache is None:
            input_ids = self.prompts
            positions = (self.attention.cumsum(-1) - 1).clamp(min=0)
        else:
            input_ids = torch.tensor([[token] for token in last_tokens], device=self.device)
            self.attention = torch.nn.functional.pad(self.attention, (0, 1), value=1)
            positions = self.attention.sum(-1, keepdim=True) - 1
        arguments: dict[str, Any] = {"attention_mask": self.attention, "past_key_values": self.cache, "use_cache": True}
        if "position_ids" in self.model.forward_arguments:
            arguments["position_ids"] = positions
        if "logits_to_keep" in self.model.forward_arguments:
            arguments["logits_to_keep"] = 1
        output = self.model.model(input_ids=input_ids, **arguments)
        self.cache = output.past_key_values
        return output.logits[:, -1, :].float()

    def keep(self, rows: list[int]) -> None:
        """Goes on with these rows only."""
        index = torch.tensor(rows, device=self.device)
        self.prompts = self.prompts[index]
        self.attention = self.attention[index]
        if self.cache is not None:
            self.cache.batch_select_indices(index)
