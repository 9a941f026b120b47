"""Shortest completions: the fewest bytes that end a text from a state, and the tokens they take.

Within a rule it is Dijkstra's algorithm over items (pc, counter); a call costs the rule's own shortest text (Knuth
1977, "A generalization of Dijkstra's algorithm": a cheapest derivation never contains a rule inside itself, so a rule
that is being computed counts as unreachable below itself). Across rules it follows the callers of the state's items.
Only what lies nearer than the answer is expanded.

Every item on a shortest path learns its own shortest rest on the way, so that the next state along a text finds its
answer at once: an object of 30 required properties took 350 ms a token when each state searched anew, and takes 60 µs.
Texts are kept as links (piece, rest), not as strings: a path of n bytes costs n links, not n²/2 bytes.
"""

from __future__ import annotations

import heapq
import threading
import weakref
from itertools import count
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from structgen.automata.network import ArenaFull
from structgen.errors import TokenizerError
from structgen_kernels import arena as k

if TYPE_CHECKING:
    from structgen.masks.engine import Engine

MOST_SEARCHED = 10_000  # states looked at where guards forbid a shortest completion

Item: TypeAlias = "tuple[int, int]"


class Rest(NamedTuple):
    """A shortest text: its length, its first piece (bytes, or another text), and the text after it."""

    cost: int
    piece: bytes | Rest
    after: Rest | None

    def text(self) -> bytes:
        """The text itself, without recursion: texts are as long as they like."""
        out = bytearray()
        todo: list[bytes | Rest] = [self]
        while todo:
            part = todo.pop()
            if isinstance(part, bytes):
                out += part
                continue
            if part.after is not None:
                todo.append(part.after)
            todo.append(part.piece)
        return bytes(out)


NOTHING_LEFT = Rest(0, b"", None)


def closing_of(engine: Engine) -> Closing:
    """What is known of an engine's shortest completions; it stays true for the engine's life."""
    found = _closings.get(engine)
    return found if found is not None else _closings.setdefault(engine, Closing(engine))


class Closing:
    """Shortest completions in one engine. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.proxy(engine)
        self._tables = engine.arena.tables
        self._items: dict[Item, Rest | None] = {}
        self._states: dict[int, Rest | None] = {}
        self._num_tokens: dict[int, int | None] = {}
        self._guarded: dict[int, bytes | None] = {}
        self._bytes: dict[int, bytes] = {}
        self._open: set[Item] = set()
        self._lock = threading.RLock()
        self.worst_after: dict[int, float] = {}
        """By state, the most tokens that a completion takes after any token the state allows."""

    def completion(self, state: int, limit: int) -> bytes | None:
        """A shortest byte string after which the text may end, or None if there is none of at most `limit` bytes."""
        with self._lock:
            rest = self._state(state)
            if rest is None or rest.cost > limit:
                return None
            text = self._within_guards(state, rest)
        return text if text is not None and len(text) <= limit else None

    def tokens(self, state: int, limit: int) -> int | None:
        """Tokens that suffice to spell a shortest completion, or None if that takes more than `limit`."""
        with self._lock:
            rest = self._state(state)
            if rest is None or rest.cost > limit * self._engine.vocab.max_spelled_bytes:
                return None
            if state not in self._num_tokens:
                text = self._within_guards(state, rest)
                self._num_tokens[state] = None if text is None else self._spelled(text)
            needed = self._num_tokens[state]
        return needed if needed is not None and needed <= limit else None

    def _within_guards(self, state: int, rest: Rest) -> bytes | None:
        """A shortest completion that no guard forbids, given a shortest one without guards.

        Mostly it is the same. Where it is not, A* over the states themselves, with what is known without guards as the
        lower bound; None after `MOST_SEARCHED` states.
        """
        text, engine = rest.text(), self._engine
        if not engine.network.has_guards:
            return text
        if state in self._guarded:
            return self._guarded[state]
        after = engine.advance_bytes(state, text)
        found: bytes | None = text if after and engine.accepts(after) else None
        order = count()
        queue = [(rest.cost, next(order), state, b"")]
        best = {state: 0}
        while found is None and queue and len(best) < MOST_SEARCHED:
            _, _, current, written = heapq.heappop(queue)
            if len(written) > best[current]:
                continue
            if engine.accepts(current):
                found = written
                break
            targets: dict[int, int] = {}
            for byte in engine.allowed_bytes(current):
                target = engine.advance_bytes(current, bytes((byte,)))
                if target and (target not in targets or not 0x20 < targets[target] < 0x7F):
                    targets[target] = byte
            for target, byte in targets.items():
                bound = self._state(target)
                if bound is not None and len(written) + 1 < best.get(target, len(written) + 2):
                    best[target] = len(written) + 1
                    heapq.heappush(
                        queue, (len(written) + 1 + bound.cost, next(order), target, written + bytes((byte,)))
                    )
        self._guarded[state] = found
        return found

    def _spelled(self, text: bytes) -> int | None:
        """Tokens of a text; None where the vocabulary (one without single bytes) cannot spell it."""
        try:
            return len(self._engine.vocab.spell(text))
        except TokenizerError:
            return None

    def _state(self, state: int) -> Rest | None:
        """A shortest completion of a state: Dijkstra backwards over the states that are left for when rules end."""
        if self._engine.retired:
            raise ArenaFull(k.STATES)
        if state not in self._states:
            self._solve(state)
        if self._engine.retired:  # meanwhile: the tables that were read may be another generation's
            raise ArenaFull(k.STATES)
        return self._states[state]

    def _solve(self, state: int) -> None:
        """Find the completions of a state and of all states it leads to that are not known."""
        order = count()
        queue: list[tuple[int, int, int, Rest]] = []
        sources: dict[int, list[tuple[int, Rest]]] = {}
        found: set[int] = {state}
        todo = [state]
        while todo:
            current = todo.pop()
            if self._tables[k.STATES][current, k.S_FLAGS] & k.ACCEPTS:
                heapq.heappush(queue, (0, next(order), current, NOTHING_LEFT))
            for inside, after in self._exits(current):
                if after == 0 or after in self._states:
                    rest = self._states[after] if after else NOTHING_LEFT
                    if rest is not None:
                        cost = inside.cost + rest.cost
                        heapq.heappush(queue, (cost, next(order), current, Rest(cost, inside, rest)))
                    continue
                sources.setdefault(after, []).append((current, inside))
                if after not in found:
                    found.add(after)
                    todo.append(after)
        while queue:
            cost, _, current, rest = heapq.heappop(queue)
            if current in self._states:
                continue
            self._states[current] = rest
            for source, inside in sources.get(current, ()):
                if source not in self._states:
                    total = inside.cost + cost
                    heapq.heappush(queue, (total, next(order), source, Rest(total, inside, rest)))
        for unreachable in found - self._states.keys():
            self._states[unreachable] = None

    def _exits(self, state: int) -> list[tuple[Rest, int]]:
        """For each item of a state, a shortest text to the end of its rule and the state after that (0: the end)."""
        row = self._tables[k.STATES][state].tolist()
        first = row[k.S_ITEMS]
        exits = []
        for pc, origin, arg in self._tables[k.ITEMS][first : first + row[k.S_EXTENDED]].tolist():
            inside, _ = self._item(pc, arg)
            if inside is None:
                continue
            after = 0 if origin == k.ROOT else self._engine.goto(origin, int(self._tables[k.NET][pc, 4]))
            if after or origin == k.ROOT:
                exits.append((inside, after))
        return exits

    def _item(self, pc: int, arg: int) -> tuple[Rest | None, bool]:
        """A shortest text from an item to the end of its rule, and whether the answer holds in every context."""
        item = (pc, arg)
        if item in self._items:
            return self._items[item], True
        if item in self._open:
            return None, False
        self._open.add(item)
        try:
            return self._search(item)
        finally:
            self._open.remove(item)

    def _search(self, start: Item) -> tuple[Rest | None, bool]:
        """Dijkstra from an item. An item whose own rest is known ends the search; what the path taught is kept."""
        order = count()
        queue: list[tuple[int, int, Item, Rest | None]] = [(0, next(order), start, None)]
        cheapest: dict[Item, int] = {start: 0}
        reached: dict[Item, tuple[Item, bytes | Rest]] = {}
        done: set[Item] = set()
        cut: int | None = None  # the least cost at which a call into an open rule was passed over
        while queue:
            cost, _, item, rest = heapq.heappop(queue)
            if rest is not None:
                clean = cut is None or cost <= cut
                return self._learn(start, item, rest, reached, keep=clean), clean
            if item in done:
                continue
            done.add(item)
            if item in self._items:
                known = self._items[item]
                if known is not None:
                    heapq.heappush(queue, (cost + known.cost, next(order), item, known))
                continue
            op, a, b, c, _ = self._instruction(item[0])
            if op == k.END:
                heapq.heappush(queue, (cost, -1, item, NOTHING_LEFT))
                continue
            if op == k.CALL:
                inside, clean = self._item(int(self._tables[k.RULES][a, 0]), c)
                if not clean and cut is None:
                    cut = cost + 1
                steps: list[tuple[Item, bytes | Rest]] = [] if inside is None else [((b, item[1]), inside)]
            else:
                steps = self._steps(op, a, b, c, item[1])
            for target, piece in steps:
                total = cost + (len(piece) if isinstance(piece, bytes) else piece.cost)
                if target not in done and total < cheapest.get(target, total + 1):
                    cheapest[target] = total
                    reached[target] = (item, piece)
                    heapq.heappush(queue, (total, next(order), target, None))
        if cut is None:
            self._items[start] = None
        return None, cut is None

    def _learn(
        self, start: Item, item: Item, rest: Rest, reached: dict[Item, tuple[Item, bytes | Rest]], *, keep: bool
    ) -> Rest:
        """The rest of `start`, by way of `item`; every item between learns its own."""
        if keep:
            self._items[item] = rest
        while item != start:
            item, piece = reached[item]
            cost = len(piece) if isinstance(piece, bytes) else piece.cost
            if cost:
                rest = Rest(cost + rest.cost, piece, rest)
            if keep:
                self._items[item] = rest
        return rest

    def _steps(self, op: int, a: int, b: int, c: int, arg: int) -> list[tuple[Item, bytes | Rest]]:
        """Where an instruction other than END and CALL leads, and the byte it writes on the way."""
        if op == k.BYTE:
            return [((b, arg), self._least_byte(a))]
        if op == k.SWITCHED:
            rows = self._tables[k.SWITCH][b : b + c].tolist()
            return [((target, arg), bytes((byte,))) for byte, target in rows]
        if op == k.SPLIT:
            return [((a, arg), b""), ((b, arg), b"")]
        if op in (k.JUMP, k.NOTE, k.GUARD):  # guards are the business of `_within_guards`
            return [((a, arg), b"")]
        if op == k.SET:
            return [((a, b), b"")]
        if k.PICK <= op <= k.EXTRA:
            return self._member_steps(op, a, b, c, -arg)
        if op == k.TAKE and b <= arg - 1 <= c:
            return [((a, arg - 1), b"")]
        if op == k.ZERO and arg == 0:
            return [((a, 0), b"")]
        return []

    def _member_steps(self, op: int, a: int, b: int, c: int, members: int) -> list[tuple[Item, bytes | Rest]]:
        """The same inside a list of members.

        Required keys cost what they cost, in whatever order they come: the first one missing is taken where there is
        one, which keeps the search from running over all sets of keys.
        """
        tables = self._tables
        obj, _, bits, owed, left = tables[k.MEMBERS][members].tolist()
        num_keys, first, ordered, extras = tables[k.OBJECTS][obj].tolist()
        if op == k.MARK:
            after = self._engine.with_member(members, b)
            return [((a, -after), b"")]
        may_add = bool(extras) and not (ordered and owed)
        if (
            (op == k.ENDS and not owed)
            or (op == k.LEFT and (left or may_add))
            or (op == k.EXTRA and may_add and not owed)
        ):
            return [((a, -members), b"")]
        if op != k.PICK:
            return []
        words = tables[k.MEMBER_BITS][bits : bits + (num_keys + 63) // 64]
        open_keys = np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little"))
        required = tables[k.OBJECT_KEYS][first : first + num_keys, k.K_REQUIRED]
        steps: list[tuple[Item, bytes | Rest]] = []
        for byte, target, low, high in tables[k.PICKS][b : b + c].tolist():
            here = open_keys[np.searchsorted(open_keys, low) : np.searchsorted(open_keys, high)]
            if len(here):
                if owed and required[here].any():
                    return [((target, -members), bytes((byte,)))]
                steps.append(((target, -members), bytes((byte,))))
        return steps

    def _instruction(self, pc: int) -> list[int]:
        row: list[int] = self._tables[k.NET][pc].tolist()
        if row[0] == k.LAZY:
            self._engine.expand(pc)
            row = self._tables[k.NET][pc].tolist()
        return row

    def _least_byte(self, byte_class: int) -> bytes:
        """The byte of a class to write: a printable one if there is one."""
        if byte_class not in self._bytes:
            members = self._engine.class_bytes(byte_class)
            self._bytes[byte_class] = bytes((next((b for b in members if 0x20 < b < 0x7F), members[0]),))
        return self._bytes[byte_class]


_closings: weakref.WeakKeyDictionary[Engine, Closing] = weakref.WeakKeyDictionary()
