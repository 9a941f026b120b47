"""Plans: the tokens of a shortest completion of a text, such that following a plan never makes the rest longer.

Of several shortest texts (the members of an object in any order) each state would find its own, and they differ in how
many tokens they take: a budget that was enough for one state would be too small for the next. So the state after the
first token of a plan takes over the rest of the plan where its own is longer.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, TypeAlias

from structgen.errors import TokenizerError
from structgen.ir.thinness import THIN_KEYS
from structgen.masks.distinct import FLAG, DistinctMemory, distinct_memory_of, remembering
from structgen.masks.memory import Memory, memory_of
from structgen.matcher.closing import closing_of

if TYPE_CHECKING:
    from structgen.masks.engine import Engine

Place: TypeAlias = tuple[int, int]
"""A state and the memory beside it (0: none)."""

MOST_TURNS = 10_000
ANY_LENGTH = 1 << 40


def plans_of(engine: Engine) -> Plans:
    """The plans of an engine; they stay true for the engine's life."""
    found = _plans.get(engine)
    return found if found is not None else _plans.setdefault(engine, Plans(engine))


class Plans:
    """Completions as tokens, in one engine. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.proxy(engine)
        self._reference = weakref.ref(engine)
        self._closing = closing_of(engine)
        self._vocab = engine.vocab
        self._plans: dict[Place, list[int] | None] = {}
        self._completions: dict[Place, bytes | None] = {}  # those that the state alone does not tell
        self._lock = threading.RLock()
        self.worst_after: dict[Place, float] = {}
        """By place, the most tokens that a completion takes after any token that may follow."""

    def completion(self, state: int, memory: int, limit: int) -> bytes | None:
        """A shortest byte string after which the text may end, or None if there is none of at most `limit` bytes.

        Where it would repeat a key it is a short one.
        """
        text = self._closing.completion(state, limit)
        if not memory or text is None or self._memories(memory).holds(state, memory, text):
            return text
        with self._lock:
            place = state, memory
            if place not in self._completions:
                distinct = memory & FLAG
                self._completions[place] = (self._distinct if distinct else self._without_repeats)(state, memory)
            found = self._completions[place]
        return found if found is not None and len(found) <= limit else None

    def _without_repeats(self, state: int, memory: int) -> bytes | None:
        """A short completion that repeats no key, where the shortest of the state does.

        Where it would repeat one, it turns off as late as it can to a beginning that no key of the object has, and goes
        on with what is shortest from there. None after `MOST_TURNS` such turns.
        """
        memories, engine, written = self._keys(), self._engine, b""
        for _ in range(MOST_TURNS):
            rest = self._closing.completion(state, ANY_LENGTH)
            if rest is None or memories.after_bytes(memory, rest):
                return None if rest is None else written + rest
            cut = next(n for n in range(len(rest)) if not memories.after_bytes(memory, rest[: n + 1]))
            turn = None
            while turn is None and cut >= 0:
                before, remembered = engine.advance_bytes(state, rest[:cut]), memories.after_bytes(memory, rest[:cut])
                turn = self._turn(before, remembered, rest[cut])
                cut -= turn is None
            if turn is None:
                return None
            written += rest[:cut] + turn
            state = engine.advance_bytes(before, turn)
            memory = memories.after_bytes(remembered, turn)
        return None

    def _turn(self, state: int, memory: int, instead_of: int) -> bytes | None:
        """Another byte of a key, best one that leads off all keys of the object; None if there is none."""
        memories, second = self._keys(), None
        for byte in sorted(self._engine.allowed_bytes(state), key=lambda byte: (not 0x20 < byte < 0x7F, byte)):
            step = bytes((byte,))
            after = memories.after_bytes(memory, step) if byte != instead_of else 0
            if after and memories.in_key(after):
                if not memories.is_known(after):
                    return step
                if second is None and memories.is_open(self._engine.advance_bytes(state, step), after, THIN_KEYS):
                    second = step
        return second

    def _distinct(self, state: int, memory: int) -> bytes | None:
        """A short completion in which no array has two equal items, where the shortest of the state has.

        As above: where an item would be one that is there, it turns off as late as it can.
        """
        engine = self._reference()
        assert engine is not None
        memories, written = distinct_memory_of(engine), b""
        for _ in range(MOST_TURNS):
            rest = self._closing.completion(state, ANY_LENGTH)
            if rest is None:
                return None
            places = [(state, memory)]
            for i in range(len(rest)):
                place = memories.follow(*places[-1], rest[i : i + 1])
                if place[0] == 0:
                    break
                places.append(place)
            else:
                return written + rest
            turn = None
            while turn is None and places:
                state, memory = places.pop()
                turn = memories.turn(state, memory)
            if turn is None:
                return None
            written += rest[: len(places)] + turn
            state, memory = memories.follow(state, memory, turn)
        return None

    def _keys(self) -> Memory:
        engine = self._reference()
        assert engine is not None
        return memory_of(engine)

    def _memories(self, memory: int) -> Memory | DistinctMemory:
        engine = self._reference()
        assert engine is not None
        return remembering(engine, bool(memory & FLAG))

    def tokens(self, state: int, memory: int, limit: int) -> int | None:
        """Tokens that suffice to complete a text, or None if that takes more than `limit`."""
        place = state, memory
        with self._lock:
            if place not in self._plans:
                text = self.completion(state, memory, limit * self._vocab.max_spelled_bytes) if state else None
                if text is None:
                    return None
                self._plans[place] = self._spelled(text)
            plan = self._plans[place]
        return len(plan) if plan is not None and len(plan) <= limit else None

    def follow(self, state: int, memory: int) -> None:
        """See to it that after the first token of a plan no more is needed than the rest of the plan."""
        with self._lock:
            plan = self._plans.get((state, memory))
            if not plan:
                return
            after, rest = self._engine.advance(state, plan[0]), plan[1:]
            if memory:
                after, memory = self._memories(memory).commit(state, memory, plan[0], after, 0)
            if self.tokens(after, memory, len(rest)) is None:
                self._plans[after, memory] = rest

    def _spelled(self, text: bytes) -> list[int] | None:
        """The tokens of a text; None where the vocabulary (one without single bytes) cannot spell it."""
        try:
            return self._vocab.spell(text)
        except TokenizerError:
            return None


_plans: weakref.WeakKeyDictionary[Engine, Plans] = weakref.WeakKeyDictionary()
