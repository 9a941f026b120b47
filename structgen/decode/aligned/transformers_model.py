"""A transformers model with a prompt, as the samplers see it; keys and values are shared by prefix.

Attempts begin alike: a rejected one shares all but its last tokens with the next. The keys and values of every token
read so far lie in one pool, each token once, as a trie over the prompt. A call gathers the rows of each prefix, runs
the tokens that are new, and puts what they gave back into the pool. Prefixes of one call that continue each other are
one row: their logits come out of one forward pass.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch

from structgen.decode.aligned.model import Logits, Rows
from structgen.decode.models import LoadedModel
from structgen.errors import StructgenError

DEFAULT_MAX_CACHED_TOKENS = 1 << 16
MAX_ROWS = 64
"""Rows in one forward pass; longer calls are cut."""


class TransformersModel:
    """A `LanguageModel` over a causal transformers model and a prompt.

    Equal prefixes get nearly equal rows only: a forward pass rounds differently in another batch. The trie keeps the
    row that came first, so that what a sampler guarantees holds for the rows it was given.

    Args:
        model: the loaded model, its tokenizer and vocabulary.
        prompt_ids: the prompt, at least one token.
        max_cached_tokens: tokens whose keys and values are kept; beyond it the pool is emptied down to the prompt.
    """

    def __init__(
        self, model: LoadedModel, prompt_ids: Sequence[int], *, max_cached_tokens: int = DEFAULT_MAX_CACHED_TOKENS
    ) -> None:
        if not prompt_ids:
            raise ValueError("the prompt needs at least one token")
        self.model = model
        self.prompt_ids = tuple(int(token) for token in prompt_ids)
        self.max_cached_tokens = max(max_cached_tokens, len(self.prompt_ids) + 1)
        self.tokens_read = 0
        """Tokens that went through the model, the prompt's included: what sharing keeps small."""
        self._lock = threading.Lock()
        self._pool: _Pool | None = None

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the model's configuration, its weights (a sum and a sample of every tensor) and the prompt."""
        digest = hashlib.sha256(json.dumps(self.model.model.config.to_dict(), sort_keys=True, default=str).encode())
        for name, weights in self.model.model.named_parameters():
            flat = weights.detach().reshape(-1)
            step = max(flat.numel() // 64, 1)
            sample = flat[::step].float().cpu().numpy().tobytes()
            total = float(flat.double().sum()) if flat.is_floating_point() else 0.0
            digest.update(f"{name} {tuple(weights.shape)} {weights.dtype} {total!r}".encode() + sample)
        digest.update(json.dumps(self.prompt_ids).encode())
        return digest.hexdigest()

    def next_logprobs(self, prefixes: Sequence[Sequence[int]]) -> Rows:
        """See `LanguageModel.next_logprobs`: float64 [n, V]."""
        logits = torch.from_numpy(self.next_logits(prefixes)).double()
        rows: Rows = torch.log_softmax(logits, -1).numpy()
        return rows

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> Logits:
        """See `LogitsModel.next_logits`: float32 [n, V]."""
        limit = self.model.max_tokens
        longest = max((len(prefix) for prefix in prefixes), default=0) + len(self.prompt_ids)
        if limit is not None and longest > limit:
            raise StructgenError(
                f"prompt and text have {longest} tokens, the model's context holds {limit}", advice="lower max_tokens"
            )
        out: dict[tuple[int, ...], Any] = {}
        wanted = list(dict.fromkeys(tuple(map(int, prefix)) for prefix in prefixes))
        with self._lock, torch.inference_mode(), self.model.few_threads():
            for group in _groups(wanted):
                self._read(group, out)
        rows: Logits = np.stack([out[tuple(map(int, prefix))] for prefix in prefixes])
        return rows

    def _read(self, chains: list[list[tuple[int, ...]]], out: dict[tuple[int, ...], Any]) -> None:
        """The rows of chains of prefixes, each of which continues the one before it, into out."""
        pool = self._pool
        if pool is None or pool.num_used + sum(len(chain[-1]) + 1 for chain in chains) > self.max_cached_tokens:
            pool = self._pool = _Pool(self.model.model.config, self.prompt_ids)
        # The last token before the first row that is wanted must be read (again): its logits are not kept.
        past = [pool.known(chain[-1], at_most=len(self.prompt_ids) + len(chain[0]) - 1) for chain in chains]
        whole = [[*self.prompt_ids, *chain[-1]] for chain in chains]
        new = [tokens[len(slots) :] for tokens, slots in zip(whole, past, strict=True)]
        width, most = max(map(len, new)), max(map(len, past))
        device = self.model.model.device
        ids = torch.tensor([tokens + [0] * (width - len(tokens)) for tokens in new], device=device)
        attention = torch.tensor(
            [
                [0] * (most - len(slots)) + [1] * (len(slots) + len(tokens)) + [0] * (width - len(tokens))
                for slots, tokens in zip(past, new, strict=True)
            ],
            device=device,
        )
        arguments: dict[str, Any] = {"attention_mask": attention, "use_cache": True}
        if "position_ids" in self.model.forward_arguments:
            starts = torch.tensor([[len(slots)] for slots in past], device=device)
            arguments["position_ids"] = starts + torch.arange(width, device=device)
        earliest = min(
            len(self.prompt_ids) + len(chain[0]) - 1 - len(slots) for chain, slots in zip(chains, past, strict=True)
        )
        if "logits_to_keep" in self.model.forward_arguments:
            arguments["logits_to_keep"] = width - earliest
        cache = pool.gather(past, most)
        output = self.model.model(input_ids=ids, past_key_values=cache, **arguments)
        self.tokens_read += sum(map(len, new))
        pool.put(output.past_key_values, whole, past, most)
        logits = output.logits
        first = width - logits.shape[1]
        for i, (chain, slots) in enumerate(zip(chains, past, strict=True)):
            at = [len(self.prompt_ids) + len(prefix) - 1 - len(slots) - first for prefix in chain]
            out.update(zip(chain, logits[i, at].float().cpu().numpy(), strict=True))


def _groups(prefixes: Sequence[tuple[int, ...]]) -> list[list[list[tuple[int, ...]]]]:
    """Prefixes as chains in which each continues the one before, and the chains in groups of one forward pass."""
    chains: list[list[tuple[int, ...]]] = []
    for prefix in sorted(prefixes):  # a prefix stands right before what continues it, or before its siblings' chains
        last = chains[-1] if chains else None
        if last is not None and prefix[: len(last[-1])] == last[-1]:
            last.append(prefix)
        else:
            chains.append([prefix])
    chains.sort(key=lambda chain: len(chain[-1]))  # rows of a like length are padded less
    return [chains[i : i + MAX_ROWS] for i in range(0, len(chains), MAX_ROWS)]


class _Pool:
    """Keys and values by slot: slot s belongs to one token behind one prefix. For caches of plain attention only."""

    def __init__(self, config: Any, prompt_ids: Sequence[int]) -> None:
        self.config = config
        self.prompt_ids = list(prompt_ids)
        self.is_shared = all(type(layer).__name__ == "DynamicLayer" for layer in self._empty().layers)
        self.num_used = 0
        self._after: dict[tuple[int, int], int] = {}  # (slot before, or -1; token) to slot
        self._keys: list[Any] = []  # for each layer [slots, heads, size]
        self._values: list[Any] = []

    def _empty(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.config)

    def known(self, prefix: Sequence[int], *, at_most: int) -> list[int]:
        """The slots of the prompt and the prefix, as far as they are known."""
        slots: list[int] = []
        before = -1
        for token in [*self.prompt_ids, *prefix][:at_most]:
            after = self._after.get((before, token))
            if after is None:
                break
            slots.append(after)
            before = after
        return slots

    def gather(self, past: Sequence[Sequence[int]], most: int) -> Any:
        """A cache of these slots, padded on the left to `most`."""
        cache = self._empty()
        if most:
            index = torch.tensor([[0] * (most - len(slots)) + list(slots) for slots in past]).to(self._keys[0].device)
            for layer, (keys, values) in enumerate(zip(self._keys, self._values, strict=True)):
                cache.update(
                    keys[index].transpose(1, 2).contiguous(), values[index].transpose(1, 2).contiguous(), layer
                )
        return cache

    def put(self, cache: Any, whole: Sequence[Sequence[int]], past: Sequence[Sequence[int]], most: int) -> None:
        """Keep what a forward pass added: row i read `whole[i]` behind the slots `past[i]`."""
        if not self.is_shared:
            return
        rows: list[int] = []
        columns: list[int] = []
        for i, (tokens, slots) in enumerate(zip(whole, past, strict=True)):
            before = slots[-1] if slots else -1
            for k in range(len(slots), len(tokens)):
                key = (before, tokens[k])
                if key not in self._after:
                    self._after[key] = self.num_used + len(rows)
                    rows.append(i)
                    columns.append(most + k - len(slots))
                before = self._after[key]
        if not rows:
            return
        self._reserve(cache, self.num_used + len(rows))
        at = slice(self.num_used, self.num_used + len(rows))
        for layer, kept_keys, kept_values in zip(cache.layers, self._keys, self._values, strict=True):
            kept_keys[at] = layer.keys[rows, :, columns]
            kept_values[at] = layer.values[rows, :, columns]
        self.num_used += len(rows)

    def _reserve(self, cache: Any, needed: int) -> None:
        have = len(self._keys[0]) if self._keys else 0
        if needed <= have:
            return
        size = max(needed, 2 * have, 256)
        for kept, name in ((self._keys, "keys"), (self._values, "values")):
            grown = []
            for i, layer in enumerate(cache.layers):
                tensor = getattr(layer, name)
                new = tensor.new_empty((size, tensor.shape[1], tensor.shape[3]))
                if kept:
                    new[:have] = kept[i]
                grown.append(new)
            kept[:] = grown
