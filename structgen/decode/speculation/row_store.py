"""The row store: mask rows that live on the model's device, so that a step sends row ids there and not masks.

Masks belong to states, and states come back: across the nodes of a tree, across steps, across requests. Each row is
uploaded once and stays until its room is needed (least recently used first).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from structgen.errors import BudgetExceeded
from structgen.masks.engine import Engine
from structgen.matcher import Matcher
from structgen_kernels import tree_masks

EMPTY = 0
"""The row id of the mask that allows nothing: after the end of a text, and below illegal nodes."""


class RowStore:
    """Maps states to rows of a tensor `rows`, int32 [R, words], on a device.

    Row ids are valid until `begin` is called next: a step calls `begin`, gets its ids, and reads `rows`, which uploads
    what is new in one copy. Not safe for use by several threads at once.
    """

    def __init__(self, num_words: int, *, device: Any = "cpu", max_bytes: int = 64 << 20) -> None:
        """num_words: of a mask (`Vocabulary.num_words`). max_bytes: of all rows; at least two rows are kept."""
        capacity = max(max_bytes // (4 * num_words), 2)
        self._rows = torch.zeros((capacity, num_words), dtype=torch.int32, device=device)
        self._on_host = self._rows.device.type == "cpu"
        self._row_of: OrderedDict[Hashable, int] = OrderedDict()  # least recently used first
        self._free = list(range(capacity - 1, EMPTY, -1))
        self._pinned: set[int] = set()
        self._staged: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32]]] = []
        self._engine: Engine | None = None
        self._num_once = 0
        self.num_filled = 0
        """Rows computed so far; what was found in the store is not counted."""

    @property
    def rows(self) -> Any:
        """The rows, those handed out since included."""
        if self._staged:
            where = np.concatenate([ids for ids, _ in self._staged])
            masks = np.concatenate([part for _, part in self._staged]).view(np.int32)
            self._staged.clear()
            self._rows[torch.from_numpy(where).long().to(self._rows.device)] = torch.from_numpy(masks).to(
                self._rows.device
            )
        return self._rows

    def begin(self) -> None:
        """A new step: rows handed out before may be given up from now on."""
        _ = self.rows  # what is staged must not meet what replaces it
        self._pinned.clear()

    def ids(self, matcher: Matcher, tokens: Any, parents: Any) -> npt.NDArray[np.int32]:
        """The row ids, int32 [n + 1], of a draft tree's rows (see `Matcher.traverse_draft_tree`).

        Raises:
            BudgetExceeded: one step needs more rows than the store has.
        """
        return matcher.with_draft_states(tokens, parents, self._ids_of_states)

    def put(self, masks: Any) -> npt.NDArray[np.int32]:
        """Row ids, int32 [m], of masks that belong to no state (a closing mask, say), for this step only.

        masks: int32 [m, words].
        """
        masks = np.ascontiguousarray(masks, np.int32).view(np.uint32)
        keys: list[Hashable] = [("once", self._num_once + i) for i in range(len(masks))]
        self._num_once += len(masks)
        where = np.array([self._take(key) for key in keys], np.int32)
        for key in keys:
            self._row_of.move_to_end(key, last=False)
        self._write(where, masks)
        return where

    def _ids_of_states(self, engine: Engine, states: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        if engine is not self._engine:  # another generation: its states are other ints
            for row in self._row_of.values():
                if row not in self._pinned:
                    self._free.append(row)
            self._row_of = OrderedDict((("old", row), row) for row in self._row_of.values() if row in self._pinned)
            self._engine = engine
        new: dict[int, int] = {}
        of_state = {0: EMPTY, tree_masks.ENDED: EMPTY}
        try:
            for state in states.tolist():
                if state in of_state:
                    continue
                known = self._row_of.get(state)
                if known is None:
                    of_state[state] = new[state] = self._take(state)
                else:
                    of_state[state] = known
                    self._row_of.move_to_end(state)
                    self._pinned.add(known)
            if new:
                self._fill(engine, new)
        except BaseException:  # rows that were not written must not be found
            for state, row in new.items():
                del self._row_of[state]
                self._pinned.discard(row)
                self._free.append(row)
            raise
        return np.array([of_state[state] for state in states.tolist()], np.int32)

    def _fill(self, engine: Engine, new: dict[int, int]) -> None:
        states, where = np.array(list(new), np.int32), np.array(list(new.values()), np.int32)
        if self._on_host:
            engine.fill_each(states, self._rows.numpy().view(np.uint32), where)
        else:
            masks: npt.NDArray[np.uint32] = np.zeros((len(new), self._rows.shape[1]), np.uint32)
            engine.fill_each(states, masks, np.arange(len(new), dtype=np.int32))
            self._staged.append((where, masks))
        self.num_filled += len(new)

    def _write(self, where: npt.NDArray[np.int32], masks: npt.NDArray[np.uint32]) -> None:
        if self._on_host:
            self._rows.numpy()[where] = masks.view(np.int32)
        else:
            self._staged.append((where, masks.copy()))

    def _take(self, key: Hashable) -> int:
        """A row for a key, the least recently used one if none is free; pinned."""
        if not self._free:
            for old, row in self._row_of.items():
                if row not in self._pinned:
                    del self._row_of[old]
                    self._free.append(row)
                    break
            else:
                raise BudgetExceeded(
                    f"one step needs more than the {len(self._rows) - 1} mask rows of the row store",
                    advice="raise RowStore(max_bytes=…), or draft smaller trees",
                )
        row = self._free.pop()
        self._row_of[key] = row
        self._pinned.add(row)
        return row
