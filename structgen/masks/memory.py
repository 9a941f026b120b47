"""Memory: what of a text a grammar cannot know, so that no object repeats a key, however it is spelled.

The network is exact but for this: additional keys come from a language, and a language does not remember which of its
texts were used. So beside the state stands a second int, the memory (see `structgen_kernels.keys`): masks are those of
the state, less the tokens that would end a key its object has already. The keys are read off the text itself, so no
grammar needs to say which of its keys are additional ones, and ambiguity does not matter.

A language may be *thin*: after some beginning of a key only finitely many keys go on. Where an object has all of these
the beginning is a dead end, so behind the beginnings of known keys we look for another way on.

It knows JSON, tokens, states and masks; of schemas it knows nothing.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from structgen.automata.network import ArenaFull
from structgen.ir.thinness import FEW_WAYS, THIN_KEYS, shortest_beginning
from structgen.vocab.derived import derived
from structgen_kernels import arena as k
from structgen_kernels import batches, key_trees, keys

if TYPE_CHECKING:
    from structgen.masks.engine import Engine
    from structgen.vocab import Vocabulary

MAX_CELLS = 1 << 20  # letters of keys and members of objects in one generation, 40 bytes each
MAX_LISTED = 1 << 20  # tokens that spell keys, 4 bytes each
START = keys.START
BITS = 60  # of a memory

_NO_ROWS = np.zeros(0, np.intp)
_HEADER_TABLES = (k.NODES, k.NODE_TOKENS, k.ROOTS, k.TOKEN_START, k.TOKEN_DATA)


def memory_of(engine: Engine) -> Memory:
    """The memories of an engine; they are ints of its generation."""
    found = _memories.get(engine)
    if found is None:
        with _making:  # one only: the engine's kernels know its addresses
            found = _memories.get(engine)
            if found is None:
                found = _memories[engine] = Memory(engine)
    return found


class Memory:
    """Memories of one engine generation; 0 is none: a key was repeated. Thread-safe.

    Raises `ArenaFull` when its tables are full. `thin` is whether a language of keys in the grammar is.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = weakref.proxy(engine)
        self._arena = engine.arena  # stays alive, and with it the vocabulary's trie, which no generation changes
        self._header = np.zeros(k.HEADER_SIZE, np.int64)
        for table in _HEADER_TABLES:
            for slot in (k.ADDRESS, k.CAPACITY):
                self._header[slot + table] = engine.header[slot + table]
        self._header[k.LONGEST_TOKEN] = engine.header[k.LONGEST_TOKEN]
        self.start = START
        self._lock = engine.lock  # the engine's kernels read and write the cells too
        self._cells: npt.NDArray[np.int32] = k.pages((MAX_CELLS, keys.CELL_WIDTH), np.int32)
        self._table: npt.NDArray[np.int32] = k.pages((2 * MAX_CELLS,), np.int32)
        self._cells[keys.COUNTS, keys.NUM_CELLS] = keys.COUNTS + 1
        self._cells[keys.COUNTS, keys.NUM_SLOTS] = min(keys.FIRST_SLOTS, len(self._table))
        self._cells[keys.NO_LETTERS, keys.KIND] = keys.LETTER
        self._tokens = _tables_of(engine.vocab)
        self._lists: npt.NDArray[np.int32] = k.pages((MAX_LISTED,), np.int32)
        self._lists[0] = 1
        for slot, array in (
            (keys.CELLS, self._cells),
            (keys.CELL_TABLE, self._table),
            (keys.LISTS, self._lists),
            (keys.DOUBLE, self._tokens.double),
            (keys.QUOTES, self._tokens.quotes),
        ):
            self._header[k.ADDRESS + slot] = array.ctypes.data
            self._header[k.CAPACITY + slot] = array.size if slot != keys.CELLS else len(array)
        with engine.lock:
            if not engine.retired:  # its kernels follow a memory beside the state
                for first in (k.ADDRESS + keys.CELLS, k.CAPACITY + keys.CELLS):
                    engine.header[first : first + keys.NUM_TABLES] = self._header[first : first + keys.NUM_TABLES]
        self._found = np.zeros(len(engine.vocab.tokens), np.int32)
        self._open: dict[tuple[int, int], bool] = {}
        self._known: dict[int, tuple[int, int]] = {0: (0, 0)}

    def after_token(self, memory: int, token: int, after: int, thin: int) -> int:
        """The memory after a token that leads to the state `after`; 0 if it repeats a key, or can only do so."""
        if self._tokens.inert[token] >> (memory & 15) & 1:
            return memory
        with self._lock:
            read = _checked(keys.read_token(self._header, self._cells, self._table, memory, token))
        return read if not thin or read == 0 or self.is_open(after, read, thin) else 0

    def after_bytes(self, memory: int, data: bytes, after: int = 0, thin: int = 0) -> int:
        """The memory after bytes that lead to the state `after`; 0 if they repeat a key, or can only do so."""
        with self._lock:
            read = keys.read_bytes(self._cells, self._table, memory, np.frombuffer(bytearray(data), np.uint8))
        read = _checked(read)
        return read if not thin or read == 0 or self.is_open(after, read, thin) else 0

    def after_each(
        self, memory: int, tokens: npt.NDArray[np.int32], states: npt.NDArray[np.int32], thin: int
    ) -> npt.NDArray[np.int64]:
        """The memories after each of some tokens that lead to `states`."""
        out = np.zeros(len(tokens), np.int64)
        with self._lock:
            _checked(keys.read_each(self._header, self._cells, self._table, memory, tokens, out))
        if thin:
            for i in np.flatnonzero(out):
                out[i] *= self.is_open(int(states[i]), int(out[i]), thin)
        return out

    def fill(self, engine: Engine, state: int, memory: int, out: npt.NDArray[np.uint32], index: int, thin: int) -> None:
        """Write what a state and a memory allow into row `index` of uint32[rows, words]; `engine` is the memory's."""
        if thin and self._may_run_out(memory, thin):
            engine.fill(state, 0, out, index)
            self.forbid(memory, out[index], state, thin)
        else:
            engine.fill(state, memory, out, index)

    def advance(self, engine: Engine, state: int, memory: int, token: int, thin: int) -> tuple[int, int]:
        """The state and the memory after a token; state 0: dead. `engine` is the memory's."""
        after, memory = engine.advance_text(state, memory, token)
        return (after, memory) if not thin or after == 0 or self.is_open(after, memory, thin) else (0, 0)

    def commit(self, state: int, memory: int, token: int, after: int, thin: int) -> tuple[int, int]:
        """The state and the memory after a token that leads from `state` to `after`; (0, 0) if it repeats a key."""
        memory = self.after_token(memory, token, after, thin)
        return (after, memory) if memory else (0, 0)

    def commit_bytes(self, state: int, memory: int, data: bytes, after: int, thin: int) -> tuple[int, int]:
        """The same after some bytes."""
        memory = self.after_bytes(memory, data, after, thin)
        return (after, memory) if memory else (0, 0)

    def commit_each(
        self, state: int, memory: int, tokens: npt.NDArray[np.int32], states: npt.NDArray[np.int32], thin: int
    ) -> npt.NDArray[np.int64]:
        """int64[n, 2]: state and memory after each of some tokens that lead from `state` to `states`."""
        return np.column_stack((states.astype(np.int64), self.after_each(memory, tokens, states, thin)))

    def holds(self, state: int, memory: int, data: bytes) -> bool:
        """Whether no key is repeated in some bytes, which the state alone allows."""
        return self.after_bytes(memory, data) != 0

    def of_tree(
        self,
        memory: int,
        tokens: npt.NDArray[np.int32],
        parents: npt.NDArray[np.int32],
        states: npt.NDArray[np.int32],
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
        """`tree_memories.follow` where no language of keys is thin: the memories, and the rows that they narrow."""
        memories, narrows = np.zeros(len(states), np.int64), np.zeros(len(states), np.uint8)
        memories[0] = memory
        with self._lock:
            count = _checked(
                key_trees.tree_memories(
                    self._header,
                    self._cells,
                    self._table,
                    self._tokens.inert_in,
                    self._tokens.double,
                    tokens,
                    parents,
                    states,
                    memories,
                    narrows,
                )
            )
        return memories, np.flatnonzero(narrows) if count else _NO_ROWS

    def forbid_each(
        self, memories: npt.NDArray[np.int64], masks: npt.NDArray[np.uint32], where: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.uint8]:
        """`forbid` for rows `where` of masks uint32 [R, words] where no language of keys is thin.

        Returns uint8 [m]: whether it took anything out of each.
        """
        changed = np.zeros(len(memories), np.uint8)
        with self._lock:
            _checked(key_trees.forbid_each(self._header, memories, masks, where, changed))
        return changed

    def forbid(self, memory: int, row: npt.NDArray[np.uint32], state: int, thin: int) -> None:
        """Take out of a state's mask, uint32[words], the tokens after which a key is repeated, or has to be."""
        mode = memory & 15
        thin = thin if self._may_run_out(memory, thin) else 0
        if self._tokens.quiet[mode] and not thin:
            return
        if not thin:
            with self._lock:
                _checked(keys.forbid_keys(self._header, memory, row))
            return
        with self._lock:
            count = _checked(
                keys.forbid_repeated(
                    self._header,
                    self._cells,
                    self._table,
                    memory,
                    self._tokens.double,
                    self._tokens.quotes,
                    row,
                    self._found,
                )
            )
            beginning = self._found[:count].tolist()
        entering = (t for t in self._tokens.entering[mode] if row[t >> 5] >> np.uint32(t & 31) & 1)
        for token in (*beginning, *entering):
            after = self._engine.advance(state, token)
            if after and not self.after_token(memory, token, after, thin):
                row[token >> 5] &= ~np.uint32(1 << (token & 31))

    def forbid_rows(
        self, memories: npt.NDArray[np.int64], out: npt.NDArray[np.uint32], where: npt.NDArray[np.int32]
    ) -> None:
        """`forbid` for memories[i] in row where[i] of uint32[rows, words], of grammars that are not thin; 0: none."""
        with self._lock:
            _checked(batches.forbid_rows(self._header, memories, where, out))

    def is_known(self, memory: int) -> bool:
        """Whether the text is within the spelling of a key that its object has already."""
        return bool(keys.goes_on(self._cells, memory))

    def in_key(self, memory: int) -> bool:
        """Whether the text is within a key."""
        return memory & 15 == keys.IN_KEY

    def _may_run_out(self, memory: int, thin: int) -> bool:
        """Whether an object may have all keys in which some beginning goes on: a few ways are left only behind long
        beginnings, and these must be those of a key that is there."""
        shortest = shortest_beginning(thin)
        if not thin & THIN_KEYS or shortest <= self._tokens.most_begun:
            return bool(thin & THIN_KEYS)
        longest, count = self._keys_of(memory >> keys.STACK_SHIFT)
        return longest >= shortest or count > FEW_WAYS

    def _keys_of(self, stack: int) -> tuple[int, int]:
        """The bytes of the longest key of the object on top, and how many keys it has."""
        cells, known, behind = self._cells, self._known, []
        while stack not in known and cells[stack, keys.B] != 0:
            behind.append(stack)
            stack = int(cells[stack, keys.B])
        found = known.get(stack, (0, 0))
        for each in reversed(behind):
            depth = int(cells[cells[each, keys.C], keys.DEPTH])
            found = known[each] = (max(found[0], depth), found[1] + 1)
        return found

    def is_open(self, state: int, memory: int, thin: int) -> bool:
        """Whether the key in the making can become one that its object has not."""
        if not self._may_run_out(memory, thin) or not self.is_known(memory):
            return True
        known = self._open.get((state, memory))
        if known is None:
            known = self._open[state, memory] = self._way_out(state, memory)
        return known

    def _way_out(self, state: int, memory: int) -> bool:
        """Look for a byte that leads off the known keys, depth first; the bytes of escapes come last."""
        pending = [(state, memory)]
        while pending:
            state, memory = pending.pop()
            later = []
            for byte in sorted(self._engine.allowed_bytes(state), key=lambda byte: (byte == 0x5C, byte)):
                following = self.after_bytes(memory, bytes((byte,)))
                if following and not self.is_known(following):
                    return True
                if following:
                    later.append((self._engine.advance_bytes(state, bytes((byte,))), following))
            pending.extend(reversed(later))
        return False


def _checked(status: int) -> int:
    if status < 0:
        raise ArenaFull(k.STATES)
    return status


class _Tokens(NamedTuple):
    """What is known of a vocabulary's tokens, by mode."""

    double: npt.NDArray[np.int32]  # those that end a key which `forbid_repeated` does not find by itself
    quotes: npt.NDArray[np.int32]  # nodes of the trie: white space and a quote
    entering: list[list[int]]  # those that start a key in a mode that is not at one
    quiet: list[bool]  # whether no token ends a key
    most_begun: int  # bytes of a second key in one token, or of one that follows a value
    inert: bytes  # by token: the modes, as bits, in which it cannot change the memory
    inert_in: npt.NDArray[np.uint8]  # the same, for kernels


@derived
def _tables_of(vocab: Vocabulary) -> _Tokens:
    data, start = vocab.spelled_trie.token_data, vocab.spelled_trie.token_start
    inert = np.zeros(len(start) - 1, np.uint8)
    for mode, structural in ((keys.VALUE, b'"{}[],'), (keys.IN_STRING, b'"\\')):
        counts = np.concatenate(([0], np.cumsum(np.isin(data, np.frombuffer(structural, np.uint8)))))
        inert |= (np.diff(counts[start]) == 0).astype(np.uint8) << mode
    quotes = np.diff(np.concatenate(([0], np.cumsum(data == 0x22)))[start])
    double: list[list[int]] = [[] for _ in range(16)]
    entering: list[list[int]] = [[] for _ in range(16)]
    most_begun = 0
    for token in np.flatnonzero(quotes).tolist():
        for mode in (keys.VALUE, keys.BEFORE_KEY, keys.IN_KEY, keys.IN_STRING, keys.BEHIND_BACKSLASH):
            ways = [_keys_in(vocab.tokens[token], mode)]
            if mode == keys.IN_KEY:  # the backslash of an escape may be behind
                ways.append(_keys_in(vocab.tokens[token], mode, escaped=True))
            at_key = mode in (keys.BEFORE_KEY, keys.IN_KEY)
            if any(ended > at_key for ended, _ in ways):
                double[mode].append(token)
            if any(begun and (ended or not at_key) for ended, begun in ways):
                entering[mode].append(token)
                most_begun = max(most_begun, len(vocab.tokens[token].rpartition(b'"')[2]))
    width = max(map(len, double)) + 1
    table = np.array([row + [-1] * (width - len(row)) for row in double], np.int32)
    at_keys = (keys.BEFORE_KEY, keys.IN_KEY)
    quiet = [not double[mode] and mode not in at_keys for mode in range(len(double))]
    return _Tokens(table, _quotes(vocab), entering, quiet, most_begun, inert.tobytes(), inert)


def _quotes(vocab: Vocabulary) -> npt.NDArray[np.int32]:
    nodes, roots = vocab.spelled_trie.nodes, vocab.spelled_trie.root
    found = []
    pending = [int(roots[byte]) for byte in b' \t\r\n"' if roots[byte] >= 0]
    while pending:
        node = pending.pop()
        if nodes[node, 0] == 0x22:
            found.append(node)
        elif nodes[node, 0] in b" \t\r\n":
            child, end = node + 1, int(nodes[node, 1])
            while child < end:
                pending.append(child)
                child = int(nodes[child, 1])
    return np.array(sorted(found), np.int32)


def _keys_in(data: bytes, mode: int, *, escaped: bool = False) -> tuple[int, bool]:
    """How many keys end in these bytes at most, whatever is around them, and whether they end within one.

    (0, False) where what follows a key is no colon: no grammar of JSON lets such bytes through.
    """
    ended, letters, colon_due = 0, False, False
    if mode == keys.BEHIND_BACKSLASH:
        mode, escaped = keys.IN_STRING, True
    for byte in data:
        if mode in (keys.IN_KEY, keys.IN_STRING):
            letters = True
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                colon_due = mode == keys.IN_KEY
                ended += colon_due
                mode = keys.VALUE
        elif colon_due and byte not in b" \t\r\n:":
            return 0, False
        elif byte == 0x22:
            mode = keys.IN_KEY if mode == keys.BEFORE_KEY else keys.IN_STRING
            letters = False
        elif byte in b"{,":
            mode = keys.BEFORE_KEY
        elif byte == 0x3A:
            colon_due = False
    return ended, mode == keys.IN_KEY and letters


_memories: weakref.WeakKeyDictionary[Engine, Memory] = weakref.WeakKeyDictionary()
_making = threading.Lock()
