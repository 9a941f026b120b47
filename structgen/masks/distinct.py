"""Memory of values: no two items of an array are equal where the grammar says so (`uniqueItems`).

A grammar marks such arrays, and each item of one, as rules with a role (`structgen.ir.Rule`). Where a byte ends a value
that its array has already, the items of the state that would end a marked rule are taken out of it: what is left is a
state like any other (a number that may go on, another way to read the array). So nothing depends on which of several
readings of a text is the right one, and a mask is that of a state, less the tokens that lead to no state.

A beginning of an item may be a *dead end*: all ways in which it can go on are there already. Where an item can still
become one that is there we look for another way on. A compiler sees to it that this is the only kind of dead end: any
item that must come can be chosen to differ from those before it.

Beside it stands the memory of keys (`structgen.masks.memory`), without change. A memory of both is one int.
"""

from __future__ import annotations

import re
import threading
import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from structgen.automata.network import ArenaFull
from structgen.errors import BudgetExceeded
from structgen.ir import ITEM, ITEMS, MEMBERS, NO_ROLE
from structgen.ir.thinness import THIN_ITEMS, THIN_KEYS, fewest_values
from structgen.masks import values as kinds
from structgen.masks.memory import START, Memory, memory_of
from structgen.masks.values import Seen, Values
from structgen.vocab.derived import derived
from structgen_kernels import arena as k
from structgen_kernels import keys

if TYPE_CHECKING:
    from structgen.masks.engine import Engine
    from structgen.vocab import Vocabulary

FLAG = 1 << 59  # of memories of this kind
MAX_REMOVED = 1 << 16  # masks of which it is kept what was taken out, most often a few words of them
MAX_SEARCHED = 20_000  # places looked at to tell whether a beginning is a dead end

Place: TypeAlias = "tuple[int, int, Seen]"
"""A state, a memory of keys and a memory of values; state 0: dead."""

Trail: TypeAlias = "tuple[tuple[int, int, int], Trail | None]"
"""A place as it is remembered, and the places before it in a search."""

_SCANNING = (k.BYTE, k.SWITCHED, k.PICK, k.CALL, k.GUARD, k.MARK, k.ENDS, k.LEFT, k.EXTRA, k.LAZY)
NO_KEYS = 0  # a memory of keys: the schemas are parts of a grammar, and their keys are remembered as values are
_OPEN, _OPEN_OBJECT = 0x5B, 0x7B
_ROLE_OF = {_OPEN: ITEMS, _OPEN_OBJECT: MEMBERS}
_ANY = frozenset(range(256))
_STIRRING = [_ANY] * 16  # by mode of the memory of keys: the bytes that may change it
_STIRRING[keys.VALUE] = frozenset(b'"{}[],')
_STIRRING[keys.IN_STRING] = frozenset(b'"\\')


def distinct_memory_of(engine: Engine) -> DistinctMemory:
    """The memories of values of an engine; they are ints of its generation."""
    found = _memories.get(engine)
    return found if found is not None else _memories.setdefault(engine, DistinctMemory(engine))


def remembering(engine: Engine, distinct: bool) -> Memory | DistinctMemory:
    """The memories that a grammar needs: of keys, or also of values."""
    return distinct_memory_of(engine) if distinct else memory_of(engine)


def first_memory(engine: Engine, distinct: bool, embedded: bool) -> int:
    """The memory at the start of a text; `embedded`: it is not JSON, but parts of it may be."""
    return distinct_memory_of(engine).start_embedded if embedded else remembering(engine, distinct).start


class DistinctMemory:
    """Memories of values and keys of one engine generation; 0 is none. Thread-safe.

    The methods are those of `Memory`, with the states that come out of them: a repeated value changes the state. Raises
    `ArenaFull` when the tables are full, `BudgetExceeded` where a dead end is not told from a way on within
    `MAX_SEARCHED` places.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.proxy(engine)
        self._keys = memory_of(engine)
        self._values = Values()
        self._pairs: dict[tuple[int, int], int] = {}
        self._of: list[tuple[int, Seen]] = []
        self._without: dict[int, int] = {}
        self._opening: dict[int, int] = {}
        self._alive: dict[tuple[int, int, int], bool] = {}
        self._removed: dict[tuple[int, int, int], tuple[npt.NDArray[np.intp], npt.NDArray[np.uint32]]] = {}
        self._tokens = _tokens_of(engine.vocab)
        self._lock = threading.RLock()
        self.start = self._pair(START, self._values.nothing)
        self.start_embedded = self._pair(NO_KEYS, self._values.nothing)

    # ---- moving ------------------------------------------------------------------------------------------------

    def advance(self, engine: Engine, state: int, memory: int, token: int, thin: int) -> tuple[int, int]:
        """The state and the memory after a token; (0, 0): dead. `engine` is the memory's."""
        after = engine.advance(state, token)
        return self.commit(state, memory, token, after, thin) if after else (0, 0)

    def commit(self, state: int, memory: int, token: int, after: int, thin: int) -> tuple[int, int]:
        """The state and the memory after a token, `after` being the state if nothing is repeated; (0, 0): dead."""
        known, seen = self._of[memory & ~FLAG]
        if seen is self._values.nothing and not self._tokens.opens[token] & (3 if known == NO_KEYS else 1):
            known = known and self._keys.after_token(known, token, after, thin)
            if known == 0 and self._of[memory & ~FLAG][0] == NO_KEYS:
                return after, memory
            with self._lock:
                return (after, self._pair(known, seen)) if known else (0, 0)
        return self.commit_bytes(state, memory, self._tokens.bytes_of[token], after, thin)

    def commit_bytes(self, state: int, memory: int, data: bytes, after: int, thin: int) -> tuple[int, int]:
        """The state and the memory after some bytes; (0, 0): dead."""
        with self._lock:
            known, seen = self._of[memory & ~FLAG]
            place = self._read((state, known, seen), data)
            if place[0] == 0 or not self._is_open(place, thin):
                return 0, 0
            return place[0], self._pair(place[1], place[2])

    def commit_each(
        self, state: int, memory: int, tokens: npt.NDArray[np.int32], states: npt.NDArray[np.int32], thin: int
    ) -> npt.NDArray[np.int64]:
        """int64[n, 2]: state and memory after each of some tokens, which lead to `states` if nothing is repeated."""
        out = np.zeros((len(tokens), 2), np.int64)
        for i, (token, after) in enumerate(zip(tokens.tolist(), states.tolist(), strict=True)):
            if after:
                out[i] = self.commit(state, memory, token, after, thin)
        return out

    def _read(self, place: Place, data: bytes) -> Place:
        state, known, seen = place
        values, engine = self._values, self._engine
        if known == NO_KEYS:
            if seen is values.nothing and _OPEN not in data and _OPEN_OBJECT not in data:
                return engine.advance_bytes(state, data), known, seen
        elif seen is values.nothing and _OPEN not in data:
            known = self._keys.after_bytes(known, data)
            return (engine.advance_bytes(state, data), known, seen) if known else (0, 0, seen)
        rows, following = engine.arena.tables[k.TRANS], engine.arena.tables[k.STEPS]
        for byte in data:
            mode = known & 15
            if known != NO_KEYS and byte in _STIRRING[mode]:
                known = self._keys.after_bytes(known, bytes((byte,)))
                if not known:
                    return 0, 0, seen
            after = following.item(rows.item(state, byte >> 5), byte & 31)  # mostly it is known, and no call is needed
            state = after if after > 0 else engine.advance_bytes(state, bytes((byte,)))
            if state == 0:
                return 0, 0, seen
            if seen is values.nothing:
                if byte == _OPEN and mode in (keys.VALUE, NO_KEYS) and self._opens(state) == ITEMS:
                    seen = values.opened(kinds.DISTINCT)
                elif byte == _OPEN_OBJECT and mode == NO_KEYS and self._opens(state) == MEMBERS:
                    seen = values.opened(kinds.MEMBERS)
                continue
            distinct = byte in _ROLE_OF and not seen.in_string and self._opens(state) == _ROLE_OF[byte]
            seen, repeated = values.read(seen, byte, distinct)
            if repeated:
                state = self._without_item(state)
                if state == 0:
                    return 0, 0, seen
        if values.is_full:
            raise ArenaFull(k.STATES)
        return state, known, seen

    def _pair(self, known: int, seen: Seen) -> int:
        found = self._pairs.get((known, seen.id))
        if found is None:
            found = self._pairs[known, seen.id] = len(self._of) | FLAG
            self._of.append((known, seen))
        return found

    # ---- states ------------------------------------------------------------------------------------------------

    def _opens(self, state: int) -> int:
        """The role of the array or object that the bracket that leads to a state opens, in some reading of the text."""
        found = self._opening.get(state)
        if found is None:
            roles, net = self._engine.network.roles, self._engine.arena.tables[k.NET]
            of_rules = [roles.get(int(net[pc, 4]), NO_ROLE) for pc, _, _ in self._engine.kernel(state)]
            found = next((role for role in of_rules if role in _ROLE_OF.values()), NO_ROLE)
            self._opening[state] = found
        return found

    def _without_item(self, state: int) -> int:
        """What is left of a state where the value that has just ended must not end an item; 0: nothing."""
        found = self._without.get(state)
        if found is None:
            found = self._without[state] = self._left_over(state)
        return found

    def _left_over(self, state: int) -> int:
        engine = self._engine
        tables, roles = engine.arena.tables, engine.network.roles
        net, states, calls = tables[k.NET], tables[k.STATES], tables[k.CALLS]
        pending = engine.kernel(state)
        seen, kept, dropped = set(pending), [], False
        while pending:
            pc, origin, arg = item = pending.pop()
            op, a, b, c, _ = net[pc].tolist()
            following: list[tuple[int, int, int]] = []
            if op in _SCANNING or (op == k.END and origin in (k.ROOT, k.TOP)):
                kept.append(item)
            elif op == k.SPLIT:
                following = [(a, origin, arg), (b, origin, arg)]
            elif op in (k.JUMP, k.NOTE):
                following = [(a, origin, arg)]
            elif op == k.SET:
                following = [(a, origin, b)]
            elif op == k.TAKE:
                following = [(a, origin, arg - 1)] if b <= arg - 1 <= c else []
            elif op == k.ZERO:
                following = [(a, origin, 0)] if arg == 0 else []
            elif op == k.END and roles.get(a) == ITEM:
                dropped = True
            elif op == k.END:
                first = int(states[origin, k.S_CALLS])
                for rule, back, caller, counter in calls[first : first + int(states[origin, k.S_NUM_CALLS])].tolist():
                    if rule == a:
                        following.append((back, origin if caller == k.SELF else caller, counter))
            for new in following:
                if new not in seen:
                    seen.add(new)
                    pending.append(new)
        return engine.state_of(kept) if dropped else state

    # ---- masks -------------------------------------------------------------------------------------------------

    def forbid(self, memory: int, row: npt.NDArray[np.uint32], state: int, thin: int) -> None:
        """Take out of a state's mask, uint32[words], the tokens after which something is repeated, or has to be."""
        known = self._of[memory & ~FLAG][0]
        if known != NO_KEYS:
            self._keys.forbid(known, row, state, thin)
        self._forbid_values(memory, row, state, thin)

    def fill(self, engine: Engine, state: int, memory: int, out: npt.NDArray[np.uint32], index: int, thin: int) -> None:
        """Write what a state and a memory allow into row `index` of uint32[rows, words]; `engine` is the memory's."""
        known = self._of[memory & ~FLAG][0]
        if known == NO_KEYS:
            engine.fill(state, 0, out, index)
        else:
            self._keys.fill(engine, state, known, out, index, thin)
        self._forbid_values(memory, out[index], state, thin)

    def _forbid_values(self, memory: int, row: npt.NDArray[np.uint32], state: int, thin: int) -> None:
        """`forbid`, without what repeats a key; found once for a state and a memory, as long as there is room."""
        key = (state, memory, thin)
        with self._lock:
            removed = self._removed.get(key)
            if removed is None:
                before = row.copy()
                self._find_values(memory, row, state, thin)
                before &= ~row
                words = np.flatnonzero(before)
                if len(self._removed) >= MAX_REMOVED:
                    self._removed.clear()
                self._removed[key] = (words, before[words])
            elif len(removed[0]):
                row[removed[0]] &= ~removed[1]

    def _find_values(self, memory: int, row: npt.NDArray[np.uint32], state: int, thin: int) -> None:
        known, seen = self._of[memory & ~FLAG]
        tokens = self._tokens
        with self._lock:
            if seen is self._values.nothing:
                self._check(memory, row, state, tokens.opening_any if known == NO_KEYS else tokens.opening, thin)
                return
            thin = _thinness(known, thin)
            if not seen.in_string or self._values.is_near(seen):
                self._walk((state, known, seen), row, thin)
            few = thin & THIN_ITEMS and seen.most >= fewest_values(thin)
            kind = _Tokens.ALL if few else _Tokens.BEGUN if thin & THIN_ITEMS else _Tokens.ENDED
            self._check(
                memory, row, state, (tokens.beyond_string if seen.in_string else tokens.beyond_value)[kind], thin
            )

    def _check(
        self, memory: int, row: npt.NDArray[np.uint32], state: int, tokens: npt.NDArray[np.int32], thin: int
    ) -> None:
        """Try each of some tokens."""
        allowed = row[tokens >> 5] >> (tokens & 31).astype(np.uint32) & np.uint32(1)
        for token in tokens[allowed != 0].tolist():
            if not self.commit_bytes(state, memory, self._tokens.bytes_of[token], 0, thin)[0]:
                row[token >> 5] &= ~np.uint32(1 << (token & 31))

    def _walk(self, start: Place, row: npt.NDArray[np.uint32], thin: int) -> None:
        """Walk the trie of tokens as far as a value is near one that is there. Further on only tokens with a comma
        behind a value matter, and they are tried one by one."""
        tokens, values = self._tokens, self._values
        roots = (node for node in tokens.roots if node >= 0)
        pending: list[tuple[Place, bool, Iterable[int]]] = [(start, False, roots)]
        while pending:
            place, narrowed, children = pending.pop()  # narrowed: the state allows less than the mask has it
            allowed = frozenset(self._engine.allowed_bytes(place[0]))
            leading = values.leading_on(place[2])
            for node in children:
                byte = tokens.byte(node)
                if byte not in allowed:
                    if narrowed:
                        tokens.clear(row, node)
                    continue
                if leading is not None and byte not in leading:
                    continue
                one = bytes((byte,))
                after = self._read(place, one)
                if after[0] == 0 or not self._is_open(after, thin):
                    tokens.clear(row, node)
                elif after[2] is not values.nothing and values.is_near(after[2]):
                    less = narrowed or after[0] != self._engine.advance_bytes(place[0], one)
                    pending.append((after, less, tokens.children(node)))

    # ---- dead ends ---------------------------------------------------------------------------------------------

    def _is_open(self, place: Place, thin: int) -> bool:
        """Whether some text goes on from here to its end."""
        if place[1] == NO_KEYS:
            thin = _thinness(place[1], thin)
        elif not self._keys.is_open(place[0], place[1], thin):
            return False
        seen = place[2]
        if not thin & THIN_ITEMS or seen is self._values.nothing or not self._values.is_pending(seen):
            return True
        if self._values.is_next(seen) and seen.most < fewest_values(thin):
            return True
        found = self._alive.get(self._key(place))
        return self._way_off(place, self._alive) is not None if found is None else found

    def _key(self, place: Place) -> tuple[int, int, int]:
        return place[0], place[1], self._values.folded(place[2]).id

    def way_off(self, start: Place) -> bytes | None:
        """Bytes after which no item in the making can become one that its array has; None if there are none."""
        return self._way_off(start, {})

    def _way_off(self, start: Place, known: dict[tuple[int, int, int], bool]) -> bytes | None:
        """The same; or bytes that lead to a place `known` to have such a way. What is found out is written there.

        Depth first, with the bytes first that are in no such item and white space last: what is near an item is no
        longer than the item but for white space, and each place is looked at once.
        """
        values = self._values
        trail: Trail = (self._key(start), None)
        reached = {trail[0]}
        pending: list[tuple[Place, bytes, Trail]] = [(start, b"", trail)]
        while pending:
            place, written, trail = pending.pop()
            later = []
            for byte in self._in_turn(place):
                after = self._read(place, bytes((byte,)))
                if after[0] == 0:
                    continue
                key = self._key(after)
                off = not values.is_pending(after[2]) and (
                    not after[1] or self._keys.is_open(after[0], after[1], THIN_KEYS)
                )
                if off or known.get(key):
                    _note_all(trail, known)
                    return written + bytes((byte,))
                if key not in reached and key not in known:
                    reached.add(key)
                    later.append((after, written + bytes((byte,)), (key, trail)))
            if len(reached) > MAX_SEARCHED:
                raise BudgetExceeded(
                    "an item of an array whose items must differ can go on in too many ways that are there already",
                    advice="drop uniqueItems, or make the items simpler",
                )
            pending.extend(reversed(later))
        known.update(dict.fromkeys(reached, False))
        return None

    def _in_turn(self, place: Place) -> Iterator[int]:
        """The bytes that may come, the most promising first. Mostly that is all that is asked for."""
        leading = self._values.leading_on(place[2]) or frozenset()
        allowed = self._engine.allowed_bytes(place[0])
        first = next((byte for byte in allowed if byte not in leading and byte in _PLAIN), None)
        if first is not None:
            yield first
        for _, byte in sorted((_rank(byte, leading), byte) for byte in allowed):
            if byte != first:
                yield byte

    # ---- completions -------------------------------------------------------------------------------------------

    def holds(self, state: int, memory: int, data: bytes) -> bool:
        """Whether nothing is repeated in some bytes, which the state alone allows."""
        return self.follow(state, memory, data)[0] != 0

    def follow(self, state: int, memory: int, data: bytes) -> tuple[int, int]:
        """The state and the memory after some bytes, dead ends included; (0, 0): dead."""
        return self.commit_bytes(state, memory, data, 0, 0)

    def turn(self, state: int, memory: int) -> bytes | None:
        """A short way on after which no item in the making can become one that its array has."""
        with self._lock:
            return self.way_off((state, *self._of[memory & ~FLAG]))


def _thinness(known: int, thin: int) -> int:
    """Where keys are remembered as values are, a dead end among them is one of those."""
    return thin | THIN_ITEMS if known == NO_KEYS and thin & THIN_KEYS else thin


def _note_all(trail: Trail | None, known: dict[tuple[int, int, int], bool]) -> None:
    """From all places on the trail a way leads off."""
    while trail is not None:
        known[trail[0]] = True
        trail = trail[1]


_PLAIN = frozenset(range(0x21, 0x7F)) - {0x5C}


def _rank(byte: int, leading: frozenset[int]) -> int:
    if byte in b" \t\r\n":
        return 3
    return 2 if byte in leading else int(byte not in _PLAIN)


_BEHIND_COMMA = [b"", rb"[ \t\r\n]*[^ \t\r\n]", rb'.*".*"']


class _Tokens:
    """What is known of a vocabulary's tokens.

    `opening`: those that may open an array and begin its second item. `beyond_string`, `beyond_value`: those that may
    end an item and go on behind the comma, from within a string or not; all of them, those that may begin another
    item, and those that may end another string.
    """

    ALL, BEGUN, ENDED = 0, 1, 2

    def __init__(self, vocab: Vocabulary) -> None:
        trie = vocab.spelled_trie
        self._nodes = memoryview(trie.nodes).cast("B").cast("i")  # type: ignore[arg-type]
        self.roots: list[int] = trie.root.tolist()
        self._token_of = trie.tokens
        data, start = trie.token_data.tobytes(), trie.token_start.tolist()
        self.bytes_of = [data[start[i] : start[i + 1]] for i in range(len(start) - 1)]
        self.opens = [(b"[" in token) | (b"{" in token) << 1 for token in self.bytes_of]
        self.opening = self._like(rb"\[.*,")
        self.opening_any = self._like(rb"[\[{].*,")
        self.beyond_string = [self._like(rb'".*,' + rest) for rest in _BEHIND_COMMA]
        self.beyond_value = [self._like(rb"[^ \t\r\n].*," + rest) for rest in _BEHIND_COMMA]

    def _like(self, pattern: bytes) -> npt.NDArray[np.int32]:
        search = re.compile(pattern, re.DOTALL).search
        return np.array([i for i, token in enumerate(self.bytes_of) if b"," in token and search(token)], np.int32)

    def byte(self, node: int) -> int:
        """The byte that leads to a node."""
        return self._nodes[4 * node]

    def children(self, node: int) -> Iterable[int]:
        """The nodes one byte further."""
        end, child = self._nodes[4 * node + 1], node + 1
        while child < end:
            yield child
            child = self._nodes[4 * child + 1]

    def clear(self, row: npt.NDArray[np.uint32], node: int) -> None:
        """Take the tokens of a subtree out of a mask."""
        end = self._nodes[4 * node + 1]
        for token in self._token_of[self._nodes[4 * node + 3] : self._nodes[4 * end + 3]].tolist():
            row[token >> 5] &= ~np.uint32(1 << (token & 31))


_tokens_of = derived(_Tokens)
_memories: weakref.WeakKeyDictionary[Engine, DistinctMemory] = weakref.WeakKeyDictionary()
