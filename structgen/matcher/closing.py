"""Shortest completions: the fewest bytes that end a text from a state.

Within a rule it is Dijkstra's algorithm over items (pc, counter); a call costs the rule's own shortest text (Knuth
1977, "A generalization of Dijkstra's algorithm": a cheapest derivation never contains a rule inside itself, so a rule
that is being computed counts as unreachable below itself). Across rules it follows the callers of the state's items.
Only what lies nearer than the answer is expanded.
"""

from __future__ import annotations

import heapq
from itertools import count

from structgen.masks.engine import Engine
from structgen_kernels import arena as k

Found = bytes | None


class Closing:
    """Shortest completions in one engine; keep one while several states are asked for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables = engine.arena.tables
        self._items: dict[tuple[int, int], Found] = {}
        self._states: dict[int, Found] = {}
        self._open: set[tuple[int, int]] = set()

    def completion(self, state: int, limit: int) -> Found:
        """A shortest byte string after which the text may end, or None if there is none of at most `limit` bytes."""
        found = self._state(state)
        return found if found is not None and len(found) <= limit else None

    def _state(self, state: int) -> Found:
        if state in self._states:
            return self._states[state]
        self._states[state] = None  # a state cannot be its own shortest way out
        row = self._tables[k.STATES][state].tolist()
        first = row[k.S_ITEMS]
        best: Found = b"" if row[k.S_FLAGS] & k.ACCEPTS else None
        for pc, origin, arg in self._tables[k.ITEMS][first : first + row[k.S_EXTENDED]].tolist():
            if best == b"":
                break
            inside, _ = self._item(pc, arg)
            if inside is None or (best is not None and len(inside) >= len(best)):
                continue
            if origin == k.ROOT:
                best = inside
                continue
            rule = int(self._tables[k.NET][pc, 4])
            after = self._engine.goto(origin, rule)
            rest = self._state(after) if after else None
            if rest is not None and (best is None or len(inside) + len(rest) < len(best)):
                best = inside + rest
        self._states[state] = best
        return best

    def _item(self, pc: int, arg: int) -> tuple[Found, bool]:
        """A shortest text from an item to the end of its rule, and whether the answer holds in every context."""
        key = (pc, arg)
        if key in self._items:
            return self._items[key], True
        if key in self._open:
            return None, False
        self._open.add(key)
        found, cut = self._search(pc, arg)
        self._open.remove(key)
        clean = cut is None or (found is not None and len(found) <= cut)
        if clean:
            self._items[key] = found
        return found, clean

    def _search(self, pc: int, arg: int) -> tuple[Found, int | None]:
        """Dijkstra from an item. Also the least cost at which a call into an open rule was passed over."""
        order = count()
        queue: list[tuple[int, int, int, int, bytes]] = [(0, next(order), pc, arg, b"")]
        done: set[tuple[int, int]] = set()
        cut: int | None = None
        while queue:
            cost, _, pc, arg, text = heapq.heappop(queue)
            if (pc, arg) in done:
                continue
            done.add((pc, arg))
            op, a, b, c, _ = self._instruction(pc)
            step: list[tuple[int, int, bytes]] = []
            if op == k.END:
                return text, cut
            if op == k.BYTE:
                step = [(b, arg, bytes((self._least_byte(a),)))]
            elif op == k.SWITCHED:
                rows = self._tables[k.SWITCH][b : b + c].tolist()
                step = [(target, arg, bytes((byte,))) for byte, target in rows]
            elif op == k.SPLIT:
                step = [(a, arg, b""), (b, arg, b"")]
            elif op in (k.JUMP, k.NOTE):
                step = [(a, arg, b"")]
            elif op == k.SET:
                step = [(a, b, b"")]
            elif op == k.TAKE and b <= arg - 1 <= c:
                step = [(a, arg - 1, b"")]
            elif op == k.ZERO and arg == 0:
                step = [(a, 0, b"")]
            elif op == k.CALL:
                inside, clean = self._item(int(self._tables[k.RULES][a, 0]), c)
                if not clean and cut is None:
                    cut = cost + 1
                if inside is not None:
                    step = [(b, arg, inside)]
            for target, counter, piece in step:
                if (target, counter) not in done:
                    heapq.heappush(queue, (cost + len(piece), next(order), target, counter, text + piece))
        return None, cut

    def _instruction(self, pc: int) -> list[int]:
        row: list[int] = self._tables[k.NET][pc].tolist()
        if row[0] == k.LAZY:
            self._engine.expand(pc)
            row = self._tables[k.NET][pc].tolist()
        return row

    def _least_byte(self, byte_class: int) -> int:
        """The byte of a class to write: a printable one if there is one."""
        members = self._engine.class_bytes(byte_class)
        return next((b for b in members if 0x20 < b < 0x7F), members[0])
