"""Plans: the tokens of a shortest completion of a state, such that following a plan never makes the rest longer.

Of several shortest texts (the members of an object in any order) each state would find its own, and they differ in how
many tokens they take: a budget that was enough for one state would be too small for the next. So the state after the
first token of a plan takes over the rest of the plan where its own is longer.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from structgen.errors import TokenizerError
from structgen.matcher.closing import closing_of

if TYPE_CHECKING:
    from structgen.masks.engine import Engine


def plans_of(engine: Engine) -> Plans:
    """The plans of an engine; they stay true for the engine's life."""
    found = _plans.get(engine)
    return found if found is not None else _plans.setdefault(engine, Plans(engine))


class Plans:
    """Completions as tokens, in one engine. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.proxy(engine)
        self._closing = closing_of(engine)
        self._vocab = engine.vocab
        self._plans: dict[int, list[int] | None] = {}
        self._lock = threading.RLock()
        self.worst_after: dict[int, float] = {}
        """By state, the most tokens that a completion takes after any token the state allows."""

    def tokens(self, state: int, limit: int) -> int | None:
        """Tokens that suffice to complete a state, or None if that takes more than `limit`."""
        with self._lock:
            if state not in self._plans:
                text = self._closing.completion(state, limit * self._vocab.max_spelled_bytes)
                if text is None:
                    return None
                self._plans[state] = self._spelled(text)
            plan = self._plans[state]
        return len(plan) if plan is not None and len(plan) <= limit else None

    def follow(self, state: int) -> None:
        """See to it that the state after the first token of a plan needs no more than the rest of the plan."""
        with self._lock:
            plan = self._plans.get(state)
            if not plan:
                return
            after, rest = self._engine.advance(state, plan[0]), plan[1:]
            needed = self.tokens(after, len(rest))
            if needed is None:
                self._plans[after] = rest

    def _spelled(self, text: bytes) -> list[int] | None:
        """The tokens of a text; None where the vocabulary (one without single bytes) cannot spell it."""
        try:
            return self._vocab.spell(text)
        except TokenizerError:
            return None


_plans: weakref.WeakKeyDictionary[Engine, Plans] = weakref.WeakKeyDictionary()
