"""The row store: mask rows that live on the model's device, so that a step sends row ids there and not masks.

Masks belong to states, and states come back: across the nodes of a tree, across steps, across requests. Each row is
uploaded once and stays until its room is needed (least recently used first). Where a text remembers keys, and must not
repeat one, its mask belongs to state and memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from structgen.errors import BudgetExceeded
from structgen.masks.engine import Engine
from structgen.masks.tree_memories import TreeMemories
from structgen.matcher import Matcher
from structgen_kernels import tree_masks

EMPTY = 0
"""The row id of the mask that allows nothing: after the end of a text, and below illegal nodes."""

WHOLE = -1  # in place of a row: the memory takes nothing out of the state's mask
MAX_NARROWED = 1 << 16

_NEVER, _ALWAYS = -1, 1 << 62


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
        self._engine: Engine | None = None
        self._row_of: npt.NDArray[np.int32] = np.full(0, -1, np.int32)  # by state; -1: none
        self._state_of: npt.NDArray[np.int32] = np.full(capacity, -1, np.int32)  # by row; -1: none
        self._step = 0
        self._used: npt.NDArray[np.int64] = np.full(capacity, _NEVER, np.int64)  # the last step that used a row
        self._used[EMPTY] = _ALWAYS
        self._narrowed: dict[tuple[int, int], int] = {}  # by state and memory: a row, or WHOLE: the state's own
        self._place_of: dict[int, tuple[int, int]] = {}  # of the rows in _narrowed
        self._once: list[npt.NDArray[np.int32]] = []
        self._staged: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint32]]] = []
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
        for rows in self._once:
            self._used[rows] = _NEVER
        self._once.clear()
        self._step += 1

    def ids(self, matcher: Matcher, tokens: Any, parents: Any) -> npt.NDArray[np.int32]:
        """The row ids, int32 [n + 1], of a draft tree's rows (see `Matcher.traverse_draft_tree`).

        Raises:
            BudgetExceeded: one step needs more rows than the store has.
        """
        return matcher.with_draft_states(tokens, parents, self._ids_of_rows)

    def put(self, masks: Any) -> npt.NDArray[np.int32]:
        """Row ids, int32 [m], of masks that belong to no state (a closing mask, say), for this step only.

        masks: int32 [m, words].
        """
        masks = np.ascontiguousarray(masks, np.int32).view(np.uint32)
        where = self._take(len(masks))
        self._once.append(where)
        self._write(where, masks)
        return where

    def _ids_of_rows(
        self, engine: Engine, states: npt.NDArray[np.int32], remembered: TreeMemories | None
    ) -> npt.NDArray[np.int32]:
        self._follow(engine)
        if remembered is None or not len(remembered.narrowed):
            return self._ids_of_states(engine, states)
        rows, found = self._narrow(engine, remembered)
        plain = states.copy()
        plain[rows] = 0
        ids = self._ids_of_states(engine, plain)
        ids[rows] = found
        return ids

    def _narrow(self, engine: Engine, remembered: TreeMemories) -> tuple[list[int], list[int]]:
        """The rows of a tree out of whose masks the memory takes something, and their rows in the store."""
        rows = remembered.narrowed
        places = list(zip(remembered.states[rows].tolist(), remembered.memories[rows].tolist(), strict=True))
        missing: dict[tuple[int, int], int] = {}
        for row, place in zip(rows.tolist(), places, strict=True):
            found = self._narrowed.get(place)
            if found is None:
                missing[place] = row
            elif found != WHOLE:
                self._used[found] = self._step  # before any row is taken for what is missing
        if missing:
            if len(self._narrowed) > MAX_NARROWED:
                self._forget_narrowed()
                missing = dict(zip(places, rows.tolist(), strict=True))
            self._add_narrowed(engine, remembered, missing)
        all_found = [(row, self._narrowed[place]) for row, place in zip(rows.tolist(), places, strict=True)]
        narrowed = [(row, found) for row, found in all_found if found != WHOLE]
        return [row for row, _ in narrowed], [found for _, found in narrowed]

    def _add_narrowed(self, engine: Engine, remembered: TreeMemories, missing: dict[tuple[int, int], int]) -> None:
        rows = np.fromiter(missing.values(), np.intp, len(missing))
        masks: npt.NDArray[np.uint32] = np.zeros((len(rows), self._rows.shape[1]), np.uint32)
        each = np.arange(len(rows), dtype=np.int32)
        engine.fill_each(remembered.states[rows], masks, each)
        changed = remembered.forbid(rows, masks, each)
        where = self._take(int(np.count_nonzero(changed)))
        self._write(where, masks[changed != 0])
        free = iter(where.tolist())
        for place, is_narrower in zip(missing, changed.tolist(), strict=True):
            self._narrowed[place] = WHOLE
            if is_narrower:
                self._narrowed[place] = row = next(free)
                self._place_of[row] = place

    def _forget_narrowed(self) -> None:
        """Gives up what was narrowed; the rows of this step stay until the next."""
        for row in self._place_of:
            if self._used[row] < self._step:
                self._used[row] = _NEVER
        self._place_of.clear()
        self._narrowed.clear()

    def _follow(self, engine: Engine) -> None:
        if engine is not self._engine:  # another generation: its states are other ints
            self._engine = engine
            self._row_of = np.full(1 << 10, -1, np.int32)
            self._row_of[[0, tree_masks.ENDED]] = EMPTY
            self._state_of[:] = -1
            self._used[self._used < self._step] = _NEVER
            self._forget_narrowed()

    def _ids_of_states(self, engine: Engine, states: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        ids: npt.NDArray[np.int32] = np.empty(len(states), np.int32)
        if tree_masks.rows_of_states(states, self._row_of, self._used, self._step, ids):
            top = int(states.max())
            if top >= len(self._row_of):
                more: npt.NDArray[np.int32] = np.full(max(top + 1, 2 * len(self._row_of)), -1, np.int32)
                more[: len(self._row_of)] = self._row_of
                self._row_of = more
            missing = np.unique(states[ids < 0])
            where = self._take(len(missing))
            try:
                self._fill(engine, missing, where)
            except BaseException:
                self._used[where] = _NEVER
                raise
            self._row_of[missing], self._state_of[where] = where, missing
            ids = self._row_of[states]
        return ids

    def _fill(self, engine: Engine, states: npt.NDArray[np.int32], where: npt.NDArray[np.int32]) -> None:
        if self._on_host:
            engine.fill_each(states, self._rows.numpy().view(np.uint32), where)
        else:
            masks: npt.NDArray[np.uint32] = np.zeros((len(states), self._rows.shape[1]), np.uint32)
            engine.fill_each(states, masks, np.arange(len(states), dtype=np.int32))
            self._staged.append((where, masks))
        self.num_filled += len(states)

    def _write(self, where: npt.NDArray[np.int32], masks: npt.NDArray[np.uint32]) -> None:
        if self._on_host:
            self._rows.numpy()[where] = masks.view(np.int32)
        else:
            self._staged.append((where, masks.copy()))

    def _take(self, n: int) -> npt.NDArray[np.int32]:
        """n rows, the least recently used ones; this step has them now."""
        where = np.argsort(self._used, kind="stable")[:n].astype(np.int32)
        if len(where) < n or (n and self._used[where[-1]] >= self._step):
            raise BudgetExceeded(
                f"one step needs more than the {len(self._rows) - 1} mask rows of the row store",
                advice="raise RowStore(max_bytes=…), or draft smaller trees",
            )
        states = self._state_of[where]
        self._row_of[states[states >= 0]] = -1
        self._state_of[where] = -1
        if self._place_of:
            for row in where.tolist():
                place = self._place_of.pop(row, None)
                if place is not None:
                    del self._narrowed[place]
        self._used[where] = self._step
        return where
