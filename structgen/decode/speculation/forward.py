"""A model's forward pass over draft trees, for a batch of texts of different lengths, with its cache.

Sources of what must stay in step so that a batch gives what single texts give (position ids, mask, cache): "Batch
Speculative Decoding Done Right". A node attends to the committed tokens of its text and to its ancestors; its position
is the committed length plus its depth.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from structgen.decode.speculation.caches import FullLayer, Move, StaticWindowLayer, layer_view
from structgen.errors import SpeculationError

FULL, SLIDING = "full_attention", "sliding_attention"
NO_PARENT = -1


class TreeForward:
    """Runs a model over trees. Between `commit`s, appended tokens are *pending*: they may branch.

    Attributes:
        lengths: committed tokens of each text.
        slots: the greatest of them, which is what the cache holds.
    """

    def __init__(self, model: Any, *, cache: Any = None, hidden: bool = False) -> None:
        """`cache`: an empty or filled transformers cache; None for one of its own. `hidden`: keep last hidden states.

        Raises `SpeculationError` where the model cannot run trees.
        """
        from transformers import DynamicCache

        self.model = model
        self.hidden = hidden
        self._names = frozenset(inspect.signature(model.forward).parameters)
        config = model.config
        config = config.get_text_config(decoder=True) if hasattr(config, "get_text_config") else config
        self._implementation = getattr(config, "_attn_implementation", None)
        self._layer_kinds, self._window = _layer_kinds(config)
        self._check()
        self.cache = DynamicCache() if cache is None else cache  # without a config: nothing slides but by our hand
        self._views: list[FullLayer] = []
        self.lengths: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self.slots = 0
        self.last_hidden: Any = None
        self._pending = 0
        self._ancestors: npt.NDArray[np.bool_]
        self._depths: npt.NDArray[np.int64]
        self._forget_pending(0)

    def _check(self) -> None:
        if not {"attention_mask", "position_ids", "past_key_values"} <= self._names:
            raise SpeculationError(
                f"{type(self.model).__name__} takes no position_ids or no mask: draft trees need both",
                advice="use speculate=None",
            )
        if self._implementation not in ("sdpa", "eager", "flex_attention"):
            raise SpeculationError(
                f"attention {self._implementation!r} takes no mask of a tree",
                advice='load the model with attn_implementation="sdpa" or "eager", or use speculate=None',
            )
        unknown = set(self._layer_kinds) - {FULL, SLIDING}
        if unknown:
            raise SpeculationError(f"layers of kind {sorted(unknown)} cannot run draft trees", advice="speculate=None")

    # ---- passes ------------------------------------------------------------------------------------------------

    def prefill(self, prompts: Sequence[Sequence[int]], pad: int) -> Any:
        """Reads and commits the prompts; logits [B, 1, V] (float32) after their last tokens."""
        width = max(map(len, prompts))
        device = self.model.device
        ids = torch.tensor([[pad] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
        return self.prefill_tensors(ids, mask)

    def prefill_tensors(self, ids: Any, mask: Any) -> Any:
        """`prefill` of token ids [B, width], padded on the left as mask [B, width] says.

        What a cache that was given already holds must be the beginning of it.
        """
        lengths = mask.sum(-1)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        done = int(self.cache.get_seq_length()) if self.cache.layers else 0
        if done >= ids.shape[1]:
            raise SpeculationError("the cache holds the whole prompt: there is nothing to read", advice="crop it by 1")
        for view in self._find_views():
            view.before()
        # a padded text begins with rows that attend to nothing; the mask of the library takes care of them
        output = self._call(ids[:, done:], attention_mask=mask, position_ids=positions[:, done:], num_logits=1)
        self.lengths = lengths.cpu().numpy().astype(np.int64)
        self.slots = int(ids.shape[1])
        for view in self._find_views():
            view.compact(Move(done, self.slots - done, self.slots, None, prefix=True))
        spare = self.slots - int(self.lengths.max())
        if spare:
            self._shrink(self.slots - spare)
        self._forget_pending(len(ids))
        return output

    def append(self, tokens: npt.NDArray[np.int64], parents: npt.NDArray[np.int64]) -> Any:
        """Runs tokens [B, m] below the pending ones; logits [B, m, V] (float32).

        `parents` [B, m] are indices into all pending tokens of a row, these ones included, in order, or `NO_PARENT`:
        the last committed token. A row with fewer tokens is filled up with any, below `NO_PARENT`.
        """
        batch, m = tokens.shape
        before = self._pending
        total = before + m
        ancestors = np.zeros((batch, total, total), np.bool_)
        ancestors[:, :before, :before] = self._ancestors
        depths = np.concatenate((self._depths, np.zeros((batch, m), np.int64)), axis=1)
        rows = np.arange(batch)
        for j in range(m):
            parent = parents[:, j]
            has = parent >= 0
            ancestors[has, before + j] = ancestors[rows[has], parent[has]]
            ancestors[:, before + j, before + j] = True
            depths[has, before + j] = depths[rows[has], parent[has]] + 1
        self._ancestors, self._depths, self._pending = ancestors, depths, total
        device = self.model.device
        positions = torch.from_numpy(self.lengths[:, None] + depths[:, before:]).to(device)
        for view in self._find_views():
            view.before()
        return self._call(
            torch.from_numpy(np.ascontiguousarray(tokens)).to(device),
            attention_mask=self._masks(before, m),
            position_ids=positions,
            num_logits=m,
        )

    def commit(self, paths: Sequence[Sequence[int]]) -> None:
        """Keeps, of each row's pending tokens, those of `paths` (indices, in order), and forgets the others."""
        taken = np.array([len(path) for path in paths], np.int64)
        lengths = self.lengths + taken
        new = int(lengths.max())
        is_prefix = all(list(path) == list(range(len(path))) for path in paths)
        prefix = is_prefix and bool((taken == new - self.slots).all())
        sources = None
        if not prefix:
            index = np.zeros((len(paths), new), np.int64)
            for row, path in enumerate(paths):
                old = int(self.lengths[row])
                start = new - int(lengths[row])
                index[row, start : start + old] = np.arange(self.slots - old, self.slots)
                index[row, start + old :] = self.slots + np.asarray(path, np.int64)
            sources = torch.from_numpy(index).to(self.model.device)
        move = Move(self.slots, self._pending, new, sources, prefix)
        with torch.inference_mode():  # what a pass wrote in this mode may be changed in it only
            for view in self._views:
                view.compact(move)
        self.lengths, self.slots = lengths, new
        self._forget_pending(len(paths))

    def select(self, rows: Sequence[int]) -> None:
        """Goes on with these rows; nothing may be pending."""
        index = torch.tensor(list(rows), device=self.model.device)
        self.lengths = self.lengths[list(rows)]
        longest = int(self.lengths.max())
        with torch.inference_mode():
            for view in self._views:
                view.select(index)
            if longest < self.slots:
                self._shrink(longest)
        self._forget_pending(len(rows))

    @property
    def max_nodes(self) -> int | None:
        """How many tokens may still be pending, or None where the cache sets no limit."""
        limits = [view.capacity - self.slots for view in self._views if view.capacity is not None]
        limits += [view.max_appended for view in self._views if isinstance(view, StaticWindowLayer)]
        return min(limits) - self._pending if limits else None

    # ---- inside ------------------------------------------------------------------------------------------------

    def _call(self, ids: Any, *, attention_mask: Any, position_ids: Any, num_logits: int) -> Any:
        arguments: dict[str, Any] = {"attention_mask": attention_mask, "position_ids": position_ids}
        if "logits_to_keep" in self._names:
            arguments["logits_to_keep"] = num_logits
        if self.hidden:
            arguments["output_hidden_states"] = True
        output = self.model(input_ids=ids, past_key_values=self.cache, use_cache=True, **arguments)
        if output.past_key_values is not self.cache:
            raise SpeculationError(
                f"{type(self.model).__name__} does not use the cache it is given", advice="use speculate=None"
            )
        self.last_hidden = output.hidden_states[-1][:, -num_logits:] if self.hidden else None
        return output.logits[:, -num_logits:].float()

    def _find_views(self) -> list[FullLayer]:
        layers = self.cache.layers
        if len(self._views) != len(layers):
            kinds = self._layer_kinds or [FULL] * len(layers)
            if len(kinds) < len(layers):
                raise SpeculationError("the cache has more layers than the model", advice="use speculate=None")
            self._views = [
                layer_view(layer, self._window if kind == SLIDING else None)
                for layer, kind in zip(layers, kinds, strict=False)
            ]
        return self._views

    def _masks(self, before: int, m: int) -> Any:
        """What the m newest pending tokens attend to: a tensor [B, 1, m, columns], or one for each kind of layer."""
        masks = {}
        kinds = self._layer_kinds or [FULL] * len(self._views)
        for view, kind in zip(self._views, kinds, strict=False):
            if kind not in masks:
                masks[kind] = self._mask(view, kind, before, m)
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _mask(self, view: FullLayer, kind: str, before: int, m: int) -> Any:
        batch = len(self.lengths)
        held = view.num_committed(self.slots)
        columns = view.columns(self.slots, before + m)
        if isinstance(view, StaticWindowLayer) and self.slots >= view.max_appended:
            held = columns - before - m  # the oldest slot is thrown out before attention sees it
        slot = np.arange(self.slots - held, self.slots)
        live = slot[None, :] >= (self.slots - self.lengths)[:, None]
        allowed = np.zeros((batch, m, columns), np.bool_)
        allowed[:, :, :held] = live[:, None, :]
        allowed[:, :, held : held + before + m] = self._ancestors[:, before:]
        if kind == SLIDING and self._window is not None:
            depth = self._depths[:, before:]
            distance = self.slots + depth[:, :, None] - slot[None, None, :]
            allowed[:, :, :held] &= distance < self._window
            between = depth[:, :, None] - self._depths[:, None, :]
            allowed[:, :, held : held + before + m] &= between < self._window
        mask = torch.from_numpy(allowed[:, None]).to(self.model.device)
        if self._implementation == "sdpa":
            return mask
        if self._implementation == "flex_attention":
            return _block_mask(mask[:, 0])
        dtype = self.model.dtype
        least = max(torch.finfo(dtype).min, torch.finfo(torch.float32).min)  # eager attention's softmax is in float32
        return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, least)

    def _shrink(self, new: int) -> None:
        for view in self._views:
            view.shrink(self.slots, new)
        self.slots = new

    def _forget_pending(self, batch: int) -> None:
        self._pending = 0
        self._ancestors = np.zeros((batch, 0, 0), np.bool_)
        self._depths = np.zeros((batch, 0), np.int64)


def _block_mask(allowed: Any) -> Any:
    """A mask bool [B, m, columns] for flex attention. (An additive one makes it crash on the CPU in torch 2.13.)"""
    from torch.nn.attention.flex_attention import create_block_mask

    def is_allowed(row: Any, head: Any, query: Any, column: Any) -> Any:
        return allowed[row, query, column]

    batch, m, columns = allowed.shape
    return create_block_mask(is_allowed, batch, None, m, columns, device=str(allowed.device))


def _layer_kinds(config: Any) -> tuple[list[str], int | None]:
    """The kind of each layer (empty: all full) and the window of the sliding ones."""
    window = getattr(config, "sliding_window", None)
    window = int(window) if isinstance(window, int) and getattr(config, "use_sliding_window", True) else None
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return list(kinds), window
    return ([SLIDING] * int(config.num_hidden_layers) if window is not None else []), window
