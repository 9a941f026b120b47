"""Masks of many matchers in one call: what a server needs for each step of a batch.

Matchers of one vocabulary share an engine, whatever their grammars are, so their masks are one call of it. Masks that
were found before are copied by several threads, without the GIL; the others are found one after the other, because all
grammars share what is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from structgen.automata.network import ArenaFull
from structgen.errors import BudgetExceeded, MatcherError
from structgen.masks.memory import Memory
from structgen.masks.threads import num_processors
from structgen.matcher.matcher import Matcher, _as_rows

MAX_THREADS = 8  # copying rows is limited by memory before that


def fill_batch(
    matchers: Sequence[Matcher], bitmask: Any, indices: Sequence[int] | None = None, *, max_threads: int | None = None
) -> None:
    """Write the allowed next tokens of each matcher into its row of a bitmask: what `fill_next_token_bitmask` writes.

    Args:
        matchers: of any grammars and vocabularies; the same one may stand there twice, none may be used meanwhile.
        bitmask: as for `Matcher.fill_next_token_bitmask`, wide enough for the largest vocabulary.
        indices: the row of each matcher, no row twice; 0, 1, … where it is None. No other row is touched.
        max_threads: threads that copy, the caller's among them; None: one for each processor, at most `MAX_THREADS`.

    Raises:
        MatcherError: a text has ended; no row is written.
        BudgetExceeded: a limit was reached in a row, which is zero then; all others are written.
    """
    n = len(matchers)
    if n == 0:
        return
    rows = _as_rows(bitmask, max(matcher.grammar.vocab.num_words for matcher in matchers))
    where = _rows_of(n, len(rows), indices)
    states = np.array([matcher._state for matcher in matchers], np.int32)
    remembering = any(matcher._memory for matcher in matchers)
    engines = {matcher._engine for matcher in matchers}
    if any(matcher._terminated for matcher in matchers):
        ended = next(i for i, matcher in enumerate(matchers) if matcher._terminated)
        raise MatcherError(f"the text of matcher {ended} has ended: no token may follow", advice="leave it out")
    threads = min(num_processors(), MAX_THREADS) if max_threads is None else max(max_threads, 1)
    failed: BudgetExceeded | None = None
    for engine in engines:
        which = np.array([i for i, matcher in enumerate(matchers) if matcher._engine is engine])
        try:
            engine.fill_batch(states[which], rows, where[which], num_threads=threads)
            if remembering:
                _forbid([matchers[i] for i in which.tolist()], states[which], rows, where[which])
        except (ArenaFull, BudgetExceeded):  # one by one: a matcher carries over to the engine's next generation
            for i in which.tolist():
                failed = _fill_one(matchers[i], i, bitmask, rows, int(where[i])) or failed
    if failed is not None:
        raise failed


def _rows_of(n: int, num_rows: int, indices: Sequence[int] | None) -> npt.NDArray[np.int32]:
    if indices is None:
        where = np.arange(n, dtype=np.int32)
    else:
        where = np.array(indices, np.int32)
        if where.shape != (n,) or len(np.unique(where)) < n:
            raise MatcherError(f"{n} matchers need {n} different rows")
    if where.min() < 0 or where.max() >= num_rows:
        raise IndexError(f"rows {where.min()} to {where.max()} of a bitmask with {num_rows} rows")
    return where


def _forbid(
    matchers: Sequence[Matcher], states: npt.NDArray[np.int32], rows: Any, where: npt.NDArray[np.int32]
) -> None:
    """Take out of the masks of one engine what the texts remember."""
    memories = np.zeros(len(matchers), np.int64)
    keys_of: Memory | None = None
    for i, matcher in enumerate(matchers):
        if not matcher._memory:
            continue
        remembered = matcher._remembered
        if isinstance(remembered, Memory) and not matcher._thin:  # as nearly all: in one call
            keys_of, memories[i] = remembered, matcher._memory
        else:
            remembered.forbid(matcher._memory, rows[where[i]], int(states[i]), matcher._thin)
    if keys_of is not None:
        keys_of.forbid_rows(memories, rows, where)


def _fill_one(matcher: Matcher, i: int, bitmask: Any, rows: Any, row: int) -> BudgetExceeded | None:
    try:
        matcher.fill_next_token_bitmask(bitmask, row)
    except BudgetExceeded as error:
        rows[row] = 0
        return BudgetExceeded(f"matcher {i}: {error.message}", advice=error.advice)
    return None
