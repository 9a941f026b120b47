"""The byte network: IR nodes become instructions in an arena, each when a parser first reaches it.

What nodes become is `emission.py`'s business, and `text.py`'s. `Lazy` nodes, rules and text states start as LAZY
instructions; a kernel that meets one asks for it, `expand_needed` emits it and turns the instruction into a jump. What
is to be emitted, and what was under which name, is kept in a `Scope`: one for each grammar, which goes with it, and one
for what all share.

It knows nothing of tokens, states or masks.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from itertools import accumulate
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from structgen.automata import text
from structgen.automata.emission import emit
from structgen.automata.scope import KnownScopes, Scope
from structgen.errors import GrammarTooComplex
from structgen.ir import Node, Rule
from structgen_kernels import arena as k
from structgen_kernels.arena import Arena
from structgen_kernels.classes import class_of, single_bytes
from structgen_kernels.members import no_members
from structgen_kernels.texts import other_texts, picks

_WIDTH = 5
_FAIL_PC = 0
_COMMON = 0  # the number of the scope that all grammars share
_WORD = (1 << 64) - 1
_PART = 8  # what a part emitted ahead counts for, against 1 for one that takes 3 to 20 µs instead of some 90
_PARTS_AT_LEAST = 16  # ahead, whatever the time
_PARTS_AT_ONCE = 8  # between two looks at the clock


class ArenaFull(Exception):
    """A table of the arena is full: a new generation must start. Never reaches the user."""

    def __init__(self, table: int) -> None:
        self.table = table
        super().__init__(k.TABLES[table].name)


class Network:
    """The instructions of one arena, and what has been emitted under which name."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._header = arena.header
        self._counts = memoryview(arena.header).cast("B").cast("q")  # type: ignore[arg-type]
        self._net = _flat(arena.tables[k.NET])
        self._switch = _flat(arena.tables[k.SWITCH])
        self._notes = _flat(arena.tables[k.NOTES])
        self._needs = _flat(arena.tables[k.NEEDS])
        self._objects = _flat(arena.tables[k.OBJECTS])
        self._object_keys = _flat(arena.tables[k.OBJECT_KEYS])
        self._entrances = _flat(arena.tables[k.RULES])
        self._buffer: list[int] = []
        self._base = 0  # pc of the first buffered instruction
        self._next = 0  # pc of the next instruction
        self._switch_rows: list[int] = []
        self._switch_base = 0
        self._new: list[int] = []  # the last LAZY instructions
        self._classes: dict[int, int] = {1 << b: b for b in range(256)}
        self._scopes = KnownScopes()
        self._common = Scope(_COMMON, None, self._scopes)
        self._scope = self._common  # of what is being emitted
        self.has_guards = False
        self.roles: dict[int, int] = {}  # of rules that have one
        self._tails: dict[tuple[Any, ...], text.Tail] = {}
        single_bytes(self._header)
        assert self.byte_class(1 << 0x22 | 1 << 0x5C) == k.QUOTING
        self._counts[k.COUNT + k.STATES] = k.FIRST_STATE
        for table in (k.ENTRIES, k.RULES, k.GUARDED_EXITS, k.ENTRY_CALLS, k.MEMBERS):
            self._counts[k.COUNT + table] = 1  # 0 means "none" in hash tables
        self.instruction(k.FAIL, rule=0)
        self.flush()

    # ---- instructions ------------------------------------------------------------------------------------------

    def instruction(self, op: int, a: int = 0, b: int = 0, c: int = 0, *, rule: int) -> int:
        """Append an instruction; its pc."""
        pc = self._next
        self._next = pc + 1
        self._buffer += (op, a, b, c, rule)
        return pc

    def patch(self, pc: int, a: int, b: int) -> None:
        """Set the operands of an instruction that was appended as a forward reference."""
        if pc >= self._base:
            at = (pc - self._base) * _WIDTH
            self._buffer[at + 1] = a
            self._buffer[at + 2] = b
        else:
            self._net[pc * _WIDTH + 1] = a
            self._net[pc * _WIDTH + 2] = b

    def byte(self, mask: int, target: int, *, rule: int) -> int:
        """One byte out of a 256-bit set, then target."""
        return self.instruction(k.BYTE, self.byte_class(mask), target, rule=rule)

    def split(self, *targets: int, rule: int) -> int:
        """All targets at once; FAIL targets are dropped."""
        live = [t for t in targets if t != _FAIL_PC]
        if not live:
            return _FAIL_PC
        pc = live[-1]
        for target in reversed(live[:-1]):
            pc = self.instruction(k.SPLIT, target, pc, rule=rule)
        return pc

    def switch(self, masks: dict[int, int], *, rule: int) -> int:
        """One byte, then the target whose 256-bit set has it. The sets (the values) must be disjoint."""
        pcs, single = [], []
        for target, mask in masks.items():
            if mask & (mask - 1):
                pcs.append(self.byte(mask, target, rule=rule))
            else:
                single.append((mask.bit_length() - 1, target))
        if len(single) <= 2:
            pcs += [self.instruction(k.BYTE, byte, target, rule=rule) for byte, target in single]
        else:
            first = self._switch_base + len(self._switch_rows) // 2
            single.sort()
            for row in single:
                self._switch_rows += row
            union = sum(1 << byte for byte, _ in single)
            pcs.append(self.instruction(k.SWITCHED, self.byte_class(union), first, len(single), rule=rule))
        return self.split(*pcs, rule=rule)

    def lazy(self, function: Callable[..., int], *args: Any, rule: int, light: bool = False) -> int:
        """An instruction that stands for `function(*args)` until it is reached. `light`: the function only emits,
        nothing has to be worked out for it.

        The function returns a pc to jump to, or `~pc` of an instruction to become.
        """
        return self._lazy_in(self._scope, function, args, rule, light)

    def _lazy_in(
        self, scope: Scope, function: Callable[..., int], args: tuple[Any, ...], rule: int, light: bool
    ) -> int:
        pc = self.instruction(k.LAZY, scope.number, rule=rule)
        scope.parts[pc] = (function, args, 1 if light else _PART)
        self._new.append(pc)
        return pc

    def once(
        self, key: tuple[Any, ...], function: Callable[..., int], *args: Any, rule: int, light: bool = False
    ) -> int:
        """A lazy instruction that is emitted once per key."""
        shared = self._scope.shared
        pc = shared.get(key)
        if pc is None:
            pc = shared[key] = self.lazy(function, *args, rule=rule, light=light)
        return pc

    def call(self, rule_id: int, after: int, arg: int = 0, *, rule: int) -> int:
        """Call a rule (or a way into one), its counter starting at `arg`."""
        return self.instruction(k.CALL, rule_id, after, arg, rule=rule)

    def note(self, target: int, *, base: int, slack: int, rule: int) -> int:
        """An instruction that goes on at `target` and says of its items that they are nearly `base` (see `arena`)."""
        row = self.note_row(base, slack)
        return self.instruction(k.NOTE, target, row, rule=rule)

    def note_row(self, base: int, slack: int) -> int:
        """A row of NOTES."""
        row = self._take(k.NOTES, 1)
        self._notes[2 * row] = base
        self._notes[2 * row + 1] = slack
        return row

    def other_texts(
        self, words: tuple[str, ...], ways_in: npt.NDArray[np.int64], after: int, note: int, *, rule: int
    ) -> int:
        """The strings other than some words, in bulk: see the kernel."""
        data, starts = _joined([word.encode() for word in words])
        return self._written(other_texts, data, starts, ways_in, rule, after, note)

    def _written(self, kernel: Callable[..., int], *args: Any) -> int:
        """The pc of what a kernel writes into the arena."""
        self.flush()
        pc = kernel(self._header, *args)
        if pc < 0:
            raise ArenaFull(self._counts[k.FULL_TABLE])
        self._base = self._next = self._counts[k.COUNT + k.NET]
        self._switch_base = self._counts[k.COUNT + k.SWITCH]
        return pc

    def counter(self, target: int, value: int, *, rule: int) -> int:
        """Set the item's counter, then go on at `target`."""
        if value > k.MAX_COUNT:
            raise GrammarTooComplex(f"at least {value} repetitions", pointer="", advice="ask for less")
        return self.instruction(k.SET, target, value, rule=rule)

    def note_needed(self, rule: int, constant: int) -> None:
        """A rule's counter is compared with a constant: only what brings it near that can tell counters apart."""
        needed = self._arena.tables[k.NEEDED]
        needed[rule] = max(int(needed[rule]), constant)

    def ends_rule(self, pc: int) -> bool:
        """Whether a rule is complete at pc."""
        if pc >= self._base:
            return self._buffer[(pc - self._base) * _WIDTH] == k.END
        return self._net[pc * _WIDTH] == k.END

    def entrance(self, start: int, into: int | None = None, *, flags: int = 0) -> int:
        """A way to call a rule: it starts at pc `start`, and `into` (by default itself) is complete at its end."""
        index = self._take(k.RULES, 1)
        rows, at = self._entrances, 3 * index
        rows[at] = start
        rows[at + 1] = flags
        rows[at + 2] = index if into is None else into
        return index

    def _take(self, table: int, rows: int) -> int:
        """The first of some new rows of a table."""
        counts = self._counts
        first = counts[k.COUNT + table]
        if first + rows > counts[k.CAPACITY + table]:
            raise ArenaFull(table)
        counts[k.COUNT + table] = first + rows
        return first

    def shared(self, key: tuple[Any, ...], function: Callable[..., int], *args: Any) -> int:
        """`function(*args)`, emitted at once, and once per key."""
        shared = self._scope.shared
        pc = shared.get(key)
        if pc is None:
            pc = shared[key] = function(*args)
        return pc

    def call_once(self, rule_id: int, after: int, arg: int = 0, *, rule: int) -> int:
        """Like `call`; equal calls are one instruction."""
        key = ("call", rule_id, after, arg)
        shared = self._scope.shared
        pc = shared.get(key)
        if pc is None:
            pc = shared[key] = self.call(rule_id, after, arg, rule=rule)
        return pc

    def name_of(self, value: object) -> int:
        """A name for an object that is costly to compare; the object stays alive, so the name stays its own."""
        return self._scope.name_of(value)

    def tail(self, key: tuple[Any, ...], make: Callable[[], text.Tail]) -> text.Tail:
        """A tail that all grammars share, made once a key."""
        tail = self._tails.get(key)
        if tail is None:
            scope, self._scope = self._scope, self._common
            try:
                tail = self._tails[key] = make()
            finally:
                self._scope = scope
        return tail

    def byte_class(self, mask: int) -> int:
        """The id of a byte class."""
        index = self._classes.get(mask)
        if index is None:
            index = class_of(self._header, *(np.uint64(mask >> shift & _WORD) for shift in (0, 64, 128, 192)))
            if index < 0:
                raise ArenaFull(k.CLASSES)
            self._classes[mask] = index
        return index

    def flush(self) -> None:
        """Write buffered instructions into the arena."""
        if self._buffer:
            self._copy(self._buffer, self._net, k.NET, self._base, _WIDTH)
            self._base = self._next
            self._buffer.clear()
        if self._switch_rows:
            self._copy(self._switch_rows, self._switch, k.SWITCH, self._switch_base, 2)
            self._switch_base += len(self._switch_rows) // 2
            self._switch_rows.clear()

    def _copy(self, rows: list[int], view: memoryview, table: int, base: int, width: int) -> None:
        end = base + len(rows) // width
        if end > self._counts[k.CAPACITY + table]:
            raise ArenaFull(table)
        view[base * width : end * width] = array("i", rows)
        self._counts[k.COUNT + table] = end

    def expand_needed(self) -> None:
        """Expand the LAZY instructions a kernel stopped at, those that are not expanded yet."""
        self._expand(list(dict.fromkeys(self._needs[: self._counts[k.NUM_NEEDS]].tolist())))

    def expand_ahead(self, frontier: list[int], most: int, until: float = inf) -> None:
        """Expand up to `most` LAZY instructions before a text gets there: those of the frontier, then those they lead
        to, breadth first. The frontier becomes what is left. Eight light ones count as one. When `time.perf_counter()`
        is past `until`, sixteen at most are expanded.
        """
        net = self._net
        left = most * _PART
        leave = left - _PARTS_AT_LEAST * _PART  # what may be left when the time is up
        while frontier and left > 0 and (left > leave or perf_counter() < until):
            now: list[int] = []
            for pc in frontier[:_PARTS_AT_ONCE]:
                scope = self._scopes.get(net[pc * _WIDTH + 1]) if net[pc * _WIDTH] == k.LAZY else None
                left -= 0 if scope is None else scope.parts[pc][2]
                if left < 0:
                    break
                now.append(pc)
            del frontier[: len(now)]
            self._expand(now)
            frontier += self._new

    def _expand(self, pcs: list[int]) -> None:
        net = self._net
        made: list[tuple[int, Scope, int]] = []
        self._new.clear()
        try:
            for pc in pcs:
                scope = self._scopes.get(net[pc * _WIDTH + 1]) if net[pc * _WIDTH] == k.LAZY else None
                if scope is not None:  # a grammar that another thread asked for may have gone
                    self._scope = scope
                    function, args, _ = scope.parts[pc]
                    made.append((pc, scope, function(*args)))
        finally:  # what raises stays as it is, the others are done
            self._scope = self._common
            self.flush()
            for pc, scope, target in made:
                at = pc * _WIDTH
                del scope.parts[pc]
                if target >= 0:
                    net[at] = k.JUMP
                    net[at + 1] = target
                    net[at + 2] = net[at + 3] = 0
                else:  # a note stands in for the instruction itself
                    net[at : at + 4] = net[~target * _WIDTH : ~target * _WIDTH + 4]

    # ---- rules -------------------------------------------------------------------------------------------------

    def root(self, node: Node) -> Scope:
        """The scope of a grammar, whose number is the rule of its root. That is entered at the start of a text only.

        Whoever has states of the grammar holds the scope.
        """
        scope = self._scopes.of_root(node)
        if scope is None:
            rule = self.entrance(_FAIL_PC, flags=k.ROOTED)
            scope = Scope(rule, node, self._scopes)
            self.start_rule(rule, self._lazy_in(scope, self._emit_rule, (node, rule), rule, False))
            self.flush()
        return scope

    def rule(self, rule: Rule) -> int:
        """The id of a rule; equal keys are one rule, of all grammars."""
        scope = self._scope if rule.key is None else self._common
        key = rule.key if rule.key is not None else scope.name_of(rule)
        index = scope.rules.get(key)
        if index is None:
            index = scope.rules[key] = self.entrance(_FAIL_PC, flags=_flags(rule))
            self.start_rule(index, self._lazy_in(scope, self._emit_rule, (rule, index), index, rule.light))
            if rule.role:
                self.roles[index] = rule.role
        return index

    def start_of(self, rule: int) -> int:
        """The pc at which a rule starts."""
        return self._entrances[3 * rule]

    def start_rule(self, index: int, start: int) -> None:
        """Set where a rule starts."""
        self._entrances[3 * index] = start

    def _emit_rule(self, body: Rule | Node, index: int) -> int:
        end = self.instruction(k.END, index, rule=index)
        return emit(self, body.body() if isinstance(body, Rule) else body, end, index)

    # ---- what is more than an instruction ----------------------------------------------------------------------

    def chain(self, data: bytes, after: int, rule: int) -> int:
        """A literal."""
        pc, buffer = self._next, self._buffer
        for byte in reversed(data):
            buffer += (k.BYTE, byte, after, 0, rule)
            after = pc
            pc += 1
        self._next = pc
        return after

    def counted(self, body: Callable[[int], int], low: int, high: int | None, after: int, rule: int) -> int:
        """`low` to `high` bodies; `body(loop)` emits one that is followed by pc `loop`."""
        if high is None or high > low:
            loop = self.instruction(k.SPLIT, rule=rule)
            if high is None:
                self.patch(loop, body(loop), after)
                tail = self.counter(loop, 0, rule=rule)
            else:
                done = self.counter(after, 0, rule=rule)
                self.patch(loop, self.instruction(k.TAKE, body(loop), 0, k.MAX_COUNT, rule=rule), done)
                tail = self.counter(loop, min(high - low, k.MAX_COUNT), rule=rule)
        else:
            tail = after
        if low == 0:
            return tail
        loop = self.instruction(k.SPLIT, rule=rule)
        take = self.instruction(k.TAKE, body(loop), 0, k.MAX_COUNT, rule=rule)
        self.patch(loop, take, self.instruction(k.ZERO, tail, rule=rule))
        return self.counter(loop, low, rule=rule)

    def list_of_members(self, places: list[int], required: list[bool], *, ordered: bool, extras: bool) -> int:
        """Write a list of members into the tables; the row of MEMBERS where nothing is written yet.

        places, required: of each key, in the order of their bytes: its place in the declared order, and whether it must
        be there. extras: whether there may be additional keys.
        """
        n = len(places)
        row, first = self._take(k.OBJECTS, 1), self._take(k.OBJECT_KEYS, n)
        self._objects[k.OBJECT_WIDTH * row : k.OBJECT_WIDTH * (row + 1)] = array("i", (n, first, ordered, extras))
        sorted_at = [0] * n
        for at, place in enumerate(places):
            sorted_at[place] = at
        rows = [value for columns in zip(places, sorted_at, required, strict=True) for value in columns]
        self._object_keys[3 * first : 3 * (first + n)] = array("i", rows)
        found: int = no_members(self._header, row)
        if found < 0:
            raise ArenaFull(self._counts[k.FULL_TABLE])
        return found

    def picks(self, keys: list[bytes], targets: list[int], *, rule: int) -> int:
        """The trie of some sorted keys: see the kernel."""
        data, starts = _joined(keys)
        return self._written(picks, data, starts, np.array(targets, np.int32), rule)


def _joined(words: list[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """Some texts one after the other, and where each begins and the last ends."""
    starts = np.array([0, *accumulate(map(len, words))], np.int32)
    return np.frombuffer(bytearray(b"".join(words)), np.uint8), starts


def _flags(rule: Rule) -> int:
    return k.APART * rule.apart | k.COMPOSED * rule.composed | k.ALIKE * rule.alike


def _flat(table: npt.NDArray[np.int32]) -> memoryview:
    """An int32 table as one run of ints: reading or writing one takes a tenth of what numpy takes."""
    return memoryview(table).cast("B").cast("i")  # type: ignore[arg-type]


__all__ = ["ArenaFull", "Network"]
