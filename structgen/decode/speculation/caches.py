"""Key-value caches under draft trees: what a layer holds, and how it is compacted once the target has chosen a path.

A pass over a tree appends a slot for every node. Afterwards only the chosen ones may stay, in order, as if they had
been decoded one by one. Rows of a batch stay *right-aligned*: the last committed token of every row is in the same
slot, and shorter rows have unused slots on the left, as with prompts padded on the left. So position and slot differ by
one constant a row, a sliding window is the same window in both, and no row ever has a hole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from structgen.errors import SpeculationError


@dataclass(frozen=True)
class Move:
    """A compaction. `old` slots were committed before, `appended` are new, `new` stay.

    sources: int64 tensor [B, new], the slot that each kept slot comes from (any slot where the row is shorter).
    prefix: whether in every row the kept slots are simply the first `new` of all; nothing then moves.
    """

    old: int
    appended: int
    new: int
    sources: Any
    prefix: bool


class FullLayer:
    """A `DynamicLayer`; `window` tokens are kept where the model's layer slides, all if None."""

    capacity: int | None = None

    def __init__(self, layer: Any, window: int | None) -> None:
        self.layer = layer
        self.window = window

    def num_committed(self, slots: int) -> int:
        """Of `slots` committed slots, how many the layer still holds (the last ones)."""
        return slots if self.window is None else min(slots, self.window - 1)

    def columns(self, slots: int, appended: int) -> int:
        """Slots that attention sees in a pass, held and appended together with unused room behind them."""
        return self.num_committed(slots) + appended

    def before(self) -> None:
        """Called before each pass."""

    def compact(self, move: Move) -> None:
        """Keeps what `move` says. Sliding layers hold fewer slots than there are: indices are shifted."""
        held = self.num_committed(move.old)
        kept = self.num_committed(move.new)
        for name in ("keys", "values"):
            setattr(self.layer, name, _moved(getattr(self.layer, name), move, held, kept))

    def shrink(self, old: int, new: int) -> None:
        """Drops unused slots on the left: rows that needed them are gone."""
        kept = self.num_committed(new)
        for name in ("keys", "values"):
            data = getattr(self.layer, name)
            setattr(self.layer, name, data[:, :, data.shape[2] - kept :])

    def select(self, rows: Any) -> None:
        """Goes on with these rows of the batch."""
        self.layer.batch_select_indices(rows)


class RecordedWindowLayer(FullLayer):
    """A `DynamicSlidingWindowLayer`: it must keep the past until a pass is compacted."""

    def __init__(self, layer: Any, window: int | None) -> None:
        super().__init__(layer, int(layer.sliding_window))
        layer.activate_past_recording()

    def compact(self, move: Move) -> None:
        super().compact(move)
        self.layer.cumulative_length = move.new

    def shrink(self, old: int, new: int) -> None:
        super().shrink(old, new)
        self.layer.cumulative_length = new


class StaticFullLayer(FullLayer):
    """A `StaticLayer`: a buffer of fixed length, written in place."""

    def __init__(self, layer: Any, window: int | None) -> None:
        super().__init__(layer, None)
        self.capacity = int(layer.max_cache_len)

    def columns(self, slots: int, appended: int) -> int:
        return int(self.layer.max_cache_len)

    def compact(self, move: Move) -> None:
        if not move.prefix:
            for data in (self.layer.keys, self.layer.values):
                data[:, :, : move.new] = _gathered(data, move.sources)
        self.layer.cumulative_length.fill_(move.new)

    def shrink(self, old: int, new: int) -> None:
        for data in (self.layer.keys, self.layer.values):
            data[:, :, :new] = data[:, :, old - new : old].clone()
        self.layer.cumulative_length.fill_(new)

    def select(self, rows: Any) -> None:
        for name in ("keys", "values"):
            setattr(self.layer, name, getattr(self.layer, name)[rows].contiguous())
        self.layer.batch_size = len(rows)


class StaticWindowLayer(FullLayer):
    """A `StaticSlidingWindowLayer`: a pass throws out the oldest tokens, so they are remembered until it is compacted.

    A window of W holds the last W slots, one more than attention needs.
    """

    def __init__(self, layer: Any, window: int | None) -> None:
        super().__init__(layer, int(layer.max_cache_len) + 1)
        self._past: tuple[Any, Any] | None = None
        self.max_appended = int(layer.max_cache_len)

    def columns(self, slots: int, appended: int) -> int:
        size = int(self.layer.max_cache_len)
        if slots >= size:
            return size - 1 + appended
        return max(slots + appended, size)

    def before(self) -> None:
        if self.layer.is_initialized:
            self._past = self.layer.keys.clone(), self.layer.values.clone()

    def compact(self, move: Move) -> None:
        size = int(self.layer.max_cache_len)
        held, kept = self.num_committed(move.old), self.num_committed(move.new)
        past = self._past or (None, None)
        for data, before in zip((self.layer.keys, self.layer.values), past, strict=True):
            if move.old + move.appended <= size:
                whole = data[:, :, : move.old + move.appended]
            else:
                new = data[:, :, size - min(move.appended, size) :]
                whole = new if before is None else torch.cat((before[:, :, :held], new), dim=2)
                if whole.shape[2] < held + move.appended:  # a long prompt: only its last tokens are there
                    whole = torch.nn.functional.pad(whole, (0, 0, held + move.appended - whole.shape[2], 0))
            data[:, :, :kept] = _moved(whole, move, held, kept)
        self._set_length(move.new)

    def shrink(self, old: int, new: int) -> None:
        held, kept = self.num_committed(old), self.num_committed(new)
        for data in (self.layer.keys, self.layer.values):
            data[:, :, :kept] = data[:, :, held - kept : held].clone()
        self._set_length(new)

    def select(self, rows: Any) -> None:
        for name in ("keys", "values"):
            setattr(self.layer, name, getattr(self.layer, name)[rows].contiguous())
        self.layer.batch_size = len(rows)
        self._past = None

    def _set_length(self, slots: int) -> None:
        self.layer.cumulative_length_int = slots
        self.layer.cumulative_length.fill_(min(slots, int(self.layer.max_cache_len)))


_KINDS = {
    "DynamicLayer": FullLayer,
    "DynamicSlidingWindowLayer": RecordedWindowLayer,
    "StaticLayer": StaticFullLayer,
    "StaticSlidingWindowLayer": StaticWindowLayer,
}


def layer_view(layer: Any, window: int | None) -> FullLayer:
    """What compacts a layer of a transformers cache. `window` is the model's sliding window at that layer, if any.

    Raises `SpeculationError` for a layer that cannot be rolled back exactly (quantized, recurrent, offloaded).
    """
    kind = _KINDS.get(type(layer).__name__)
    if kind is None:
        raise SpeculationError(
            f"a cache of {type(layer).__name__} cannot be compacted to a path of a draft tree",
            advice="use DynamicCache or StaticCache, or speculate=None",
        )
    return kind(layer, window)


def _gathered(data: Any, sources: Any) -> Any:
    """[B, heads, new, D]: slots of data [B, heads, slots, D] by sources [B, new]."""
    index = sources[:, None, :, None].expand(-1, data.shape[1], -1, data.shape[3])
    return data.gather(2, index)


def _moved(data: Any, move: Move, held: int, kept: int) -> Any:
    """The `kept` slots that stay of [B, heads, held + appended, D], of which `held` were committed."""
    if move.prefix:
        return data[:, :, held + move.new - move.old - kept : held + move.new - move.old]
    return _gathered(data, (move.sources[:, move.new - kept :] - (move.old - held)).clamp(min=0))
