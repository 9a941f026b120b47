"""One generation of the engine: the tables of an arena for one vocabulary, its network, and the calls into the kernels.

States are ints of this generation. All grammars of a vocabulary share it, and with it every terminal, state and mask
row they have in common. When a table is full the generation is retired and the next one takes over its memory; who
holds states of it starts again there (see `structgen.compiler`).
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, c_char
from math import inf
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

import structgen_kernels
from structgen.automata.network import ArenaFull, Network
from structgen.automata.scope import Scope
from structgen.errors import BudgetExceeded
from structgen.ir import Node
from structgen.masks.threads import share
from structgen.types import Limits
from structgen.vocab import Vocabulary
from structgen_kernels import arena as k
from structgen_kernels import batches, chars, jit, machine, masks, tree_masks, tries
from structgen_kernels import members as kernel_members
from structgen_kernels.arena import Arena

WIDE_TOKENS = 512  # an entry with fewer tokens is a list of ids, 4 bytes each; with more it is a bit row
LENGTH_ROWS = 1024  # rows of SHORT at most
QUICK_STEPS = 1000  # trie nodes that a mask may visit while the GIL is kept, some 0.1 ms
SERVED_AHEAD = 16  # memory is asked for when the network has grown so many times: a look at all tables takes 10 µs
SHARED_ROWS = 32  # fewer rows than these are copied sooner than another thread wakes up
COUNTER_SLACK = 64  # constants a counter may be compared with (see `network`)

Mask = npt.NDArray[np.uint32]  # [rows, words]
Lineage = dict[int, npt.NDArray[np.int32]]
"""States, oldest first, and the items of each: PC, ORIGIN, ARG."""


def _power_of_two(n: int) -> int:
    return 1 << max(n - 1, 1).bit_length()


def _capacities(vocab: Vocabulary, limits: Limits) -> dict[int, int]:
    states, trie = limits.max_states, vocab.spelled_trie
    rows = max(limits.max_row_bytes // (4 * vocab.num_words), 16)
    nodes = 4 * len(trie.nodes) + (1 << 20)
    tokens = 4 * len(trie.tokens) + (1 << 21)
    return {
        k.NET: limits.max_instructions,
        k.SWITCH: limits.max_instructions,
        k.CLASSES: 1 << 16,
        k.RULES: 1 << 18,
        k.STATES: states,
        k.ALLOWED: states,
        k.LOOPS: states,
        k.CHARS: states,
        k.SAFE: states,
        k.TRANS: states,
        k.STEPS: 4 * states,
        k.ITEMS: 16 * states,
        k.ACTIVE: 32 * states,
        k.CALLS: 16 * states,
        k.STATE_TABLE: _power_of_two(2 * states),
        k.ALIKE_TABLE: _power_of_two(2 * states),
        k.KERNEL: 1 << 18,
        k.WORK: 1 << 19,
        k.SEEN: 1 << 20,
        k.NODES: nodes,
        k.BELOW: nodes,
        k.NODE_TOKENS: tokens,
        k.TRIES: 1 << 16,
        k.TRIE_TABLE: 1 << 17,
        k.ROOTS: 256,
        k.TOKEN_START: len(trie.token_start),
        k.TOKEN_DATA: max(len(trie.token_data), 1),
        k.ENTRIES: 4 * states,
        k.ENTRY_TABLE: _power_of_two(8 * states),
        k.POOL: 64 * states + 4 * len(trie.tokens),
        k.ROWS: rows,
        k.ROW_OWNER: rows,
        k.PARTS: 16 * states,
        k.EXITS: len(trie.nodes) + (1 << 20),
        k.EXIT_GUARDS: len(trie.nodes) + (1 << 20),
        k.CALLED: len(trie.nodes) + 1,
        k.ENTRY_CALLS: 4 * states,
        k.SIBLINGS: 2 * len(trie.nodes),
        k.SIBLING_AT: len(trie.nodes),
        k.WELL_FORMED: len(trie.nodes),
        k.DEEPEST: len(trie.nodes),
        k.BY_LENGTH: len(trie.token_start) - 1,
        k.LONGER: vocab.max_spelled_bytes + COUNTER_SLACK,
        k.QUOTED: len(trie.nodes),
        k.NEEDED: 1 << 18,
        k.OBJECTS: states,
        k.OBJECT_KEYS: 4 * states,
        k.MEMBERS: 2 * states,
        k.MEMBER_BITS: 16 * states,
        k.MEMBER_TABLE: _power_of_two(4 * states),
        k.PICKS: 8 * states,
        k.LEAVES: 512,
        k.CLASS_TABLE: 1 << 17,
        k.GUARDED: 4 * states,
        k.GUARD_ITEMS: 8 * states,
        k.GUARDED_EXITS: 4 * states,
        k.RANGES: max(len(trie.tokens), 1) + 1,
        k.STACK: vocab.max_spelled_bytes + 2,
        k.FRAMES: vocab.max_spelled_bytes + 2,
        k.CURSORS: 2 * len(trie.nodes) + 1024,
        k.PENDING: 1 << 16,
        k.ASKED: 1 << 17,
        k.NEEDS: 1 << 12,
        k.NOTES: 1 << 18,
        k.SCRATCH: 1,
        k.WANTED: 1 << 14,
        k.PAIRS: vocab.max_spelled_bytes + 2,
        k.ENDING: len(vocab.eos_token_ids),
        k.SHORT: min(vocab.max_spelled_bytes + 1, LENGTH_ROWS),
    }


def address_of(rows: Mask) -> int:
    """The address of a writable, contiguous array that is not empty: in a third of the time of `rows.ctypes.data`."""
    return addressof(c_char.from_buffer(rows))  # type: ignore[arg-type]


def _members(words: npt.NDArray[np.uint64]) -> bytes:
    return np.flatnonzero(np.unpackbits(words.view(np.uint8), bitorder="little")).astype(np.uint8).tobytes()


def _short_rows(vocab: Vocabulary, rows: npt.NDArray[np.uint32]) -> None:
    """Row r: the tokens of at most r code points (bytes that start one), and all that hold a quote or a backslash."""
    trie = vocab.spelled_trie
    data = trie.token_data
    starts = np.concatenate(([0], np.cumsum((data & 0xC0) != 0x80)))[trie.token_start]
    quoting = np.concatenate(([0], np.cumsum((data == 0x22) | (data == 0x5C))))[trie.token_start]
    code_points = np.where(np.diff(quoting) > 0, 0, np.diff(starts))
    padding = 32 * rows.shape[1] - len(code_points)
    for r in range(len(rows)):
        bits = np.packbits(np.pad(code_points <= r, (0, padding)), bitorder="little")
        rows[r] = bits.view(np.uint32)


NO_ARENA = Arena(dict.fromkeys(range(k.NUM_TABLES), 0), num_words=1)
"""What a retired engine has: tables without rows, always in use."""
NO_ARENA.header[k.BUSY] = 1


class Engine:
    """States, transitions and masks of one generation. Thread-safe: one lock around every kernel call."""

    def __init__(
        self, vocab: Vocabulary, limits: Limits, *, arena: Arena | None = None, network: Network | None = None
    ) -> None:
        """The first generation, or the next, in the arena that `retire` gave back; with `network`, and the mask store,
        if it only forgot its states."""
        self.vocab = vocab
        self.limits = limits
        structgen_kernels.prepare()
        self.arena = arena or Arena(_capacities(vocab, limits), num_words=vocab.num_words)
        self.lock = self.arena.lock
        self.header = self.arena.header
        self.retired = False
        self._found_in = self.header  # stays alive, and its generation passes
        self.address: int = self.header.ctypes.data
        self.generation = int(self.header[k.GENERATION])
        self.fill_found, self.advance_found = jit.entry(masks.fill_found), jit.entry(masks.advance_found)
        self.header[k.QUICK] = QUICK_STEPS if limits.max_mask_steps is None else 0
        self._max_steps = limits.max_mask_steps
        self._byte_out = np.zeros(1, np.int64)
        self._found = np.zeros((1, vocab.num_words), np.uint32)  # written by any thread, and read by none
        self._served = 0
        if network is not None:
            self.network = network
            return
        self.header[k.WIDE] = WIDE_TOKENS
        self.header[k.ARG_CAP] = vocab.max_spelled_bytes + COUNTER_SLACK
        self.header[k.LONGEST_TOKEN] = vocab.max_spelled_bytes
        self._load_trie(fresh=arena is None)
        self.network = Network(self.arena)

    def _load_trie(self, *, fresh: bool) -> None:
        """Put the vocabulary's trie into the tables; in memory used before it is still there."""
        trie, tables, header = self.vocab.spelled_trie, self.arena.tables, self.header
        num_nodes = len(trie.nodes) - 1
        for table, data in (
            (k.NODES, trie.nodes),
            (k.BELOW, trie.below),
            (k.NODE_TOKENS, trie.tokens),
            (k.ROOTS, trie.root),
            (k.TOKEN_START, trie.token_start),
            (k.TOKEN_DATA, trie.token_data),
            (k.ENDING, np.array(self.vocab.eos_token_ids, np.int32)),
        ):
            if fresh:
                tables[table][: len(data)] = data
            header[k.COUNT + table] = len(data)
        if fresh:
            _short_rows(self.vocab, tables[k.SHORT])
        tables[k.TRIES][k.VOCABULARY] = (0, num_nodes, 0, -1, 0, 0, -1)
        header[k.COUNT + k.TRIES] = 1
        if fresh:
            tries.list_siblings(header)
            chars.list_well_formed(header)
            tries.list_lengths(header)
        tries.list_quoted(header)

    def retire(self, *, keep_store: bool) -> Arena:
        """Give the tables back for the next generation: emptied, or only without states. Every later call raises
        `ArenaFull`."""
        with self.lock:
            self.retired = True
            self.header[k.GENERATION] += 1
            arena, self.arena = self.arena, NO_ARENA
            self.header = NO_ARENA.header
        if keep_store:
            arena.forget_states()
        else:
            arena.clear()
        return arena

    @property
    def states_are_full(self) -> bool:
        """Whether what ended this generation is a table of states; the others may be kept."""
        return int(self.header[k.FULL_TABLE]) in k.OF_STATES

    @property
    def states_are_nearly_full(self) -> bool:
        """Whether a table of states has little room left."""
        header = memoryview(self.header)  # type: ignore[arg-type]
        return any(8 * header[k.COUNT + table] > 7 * header[k.CAPACITY + table] for table in k.OF_STATES)

    def lineage(self, state: int) -> Lineage:
        """A state and all it rests on, in a form that `adopt` of the next generation understands if that has the same
        network."""
        with self.lock:
            self._check()
            states, items = self.arena.tables[k.STATES], self.arena.tables[k.ITEMS]
            found: Lineage = {}
            todo = [state]
            while todo:
                here = todo.pop()
                if here >= k.FIRST_STATE and here not in found:
                    first, count = int(states[here, k.S_ITEMS]), int(states[here, k.S_KERNEL])
                    found[here] = items[first : first + count].copy()
                    todo += set(found[here][:, 1].tolist())
            return dict(sorted(found.items()))

    def adopt(self, lineage: Lineage) -> int:
        """The state with a lineage of the generation before, of the same network."""
        numbers = {state: state for state in range(k.FIRST_STATE)}
        state = 0
        for state, items in lineage.items():  # what a state rests on is older, and comes first
            items[:, 1] = [numbers[origin] for origin in items[:, 1].tolist()]
            numbers[state] = self._run(machine.state_of, items)
        return numbers[state]

    def _check(self) -> None:
        if self.retired:
            raise ArenaFull(k.STATES)

    def _run(self, kernel: Callable[..., int], *args: Any) -> int:
        with self.lock:
            self._check()
            result = kernel(self.header, *args)
            while result < 0:
                self._serve(result)
                result = kernel(self.header, *args)
            return result

    def _serve(self, status: int) -> None:
        """Do what a kernel stopped for."""
        if status == k.LAZY_PC:
            self.network.expand_needed()
            self._served += 1
            if self._served % SERVED_AHEAD == 0:
                self.arena.ask_ahead()
        elif status == k.BUDGET:
            self.header[k.WALK_ENTRY] = -1
            raise BudgetExceeded(
                f"a mask visits more than {self.limits.max_mask_steps} trie nodes", advice="raise Limits.max_mask_steps"
            )
        else:
            raise ArenaFull(int(self.header[k.FULL_TABLE]))

    def add(self, root: Node) -> Scope:
        """The scope of a grammar: to be held as long as there are states of it."""
        with self.lock:
            if self.retired:
                raise ArenaFull(k.RULES)
            return self.network.root(root)

    def frontier(self, scope: Scope) -> list[int]:
        """What `emit_ahead` starts with."""
        with self.lock:
            self._check()
            return [self.network.start_of(scope.number)]

    def emit_ahead(self, frontier: list[int], most: int, until: float = inf) -> None:
        """Emit up to `most` parts of a grammar before a text gets there; fewer if the clock is past `until` (see
        `Network.expand_ahead`)."""
        with self.lock:
            self._check()
            self.network.expand_ahead(frontier, most, until)
            self.arena.ask_ahead()

    def start(self, scope: Scope) -> int:
        """The state at the start of a text."""
        return self._run(machine.start_state, scope.number)

    def advance(self, state: int, token: int) -> int:
        """The state after a token's bytes; 0: dead."""
        return self._run(machine.advance_token, state, token)

    def advance_bytes(self, state: int, data: bytes) -> int:
        """The state after some bytes; 0: dead."""
        return self._run(machine.advance_bytes, state, np.frombuffer(bytearray(data), np.uint8))

    def advance_each(self, state: int, tokens: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """The states after each of some tokens; 0: dead."""
        out = np.zeros(len(tokens), np.int32)
        self._run(machine.advance_each, state, tokens, out)
        return out

    def with_member(self, members: int, key: int) -> int:
        """The row of MEMBERS after one more key."""
        return self._run(kernel_members.with_member, members, key)

    def kernel(self, state: int) -> list[tuple[int, int, int]]:
        """The items (pc, origin, arg) that a state was made from."""
        with self.lock:
            self._check()
            first, count = self.arena.tables[k.STATES][state, [k.S_ITEMS, k.S_KERNEL]].tolist()
            return [tuple(item) for item in self.arena.tables[k.ITEMS][first : first + count].tolist()]

    def state_of(self, items: list[tuple[int, int, int]]) -> int:
        """The state that is made from these items; 0: none."""
        return self._run(machine.state_of, np.array(items, np.int32).reshape(-1, 3))

    def goto(self, origin: int, rule: int) -> int:
        """The state after a rule that was called in `origin` is complete."""
        return self._run(machine.goto, origin, rule)

    def fill(self, state: int, memory: int, out: Mask, index: int) -> None:
        """Write what a state and a memory of keys (see `masks.memory`; 0: none) allow into a row of a bitmask.

        out: uint32 [rows, at least num_words], of which row `index` is written; C-contiguous and writable, which is
        not checked.
        """
        words = out.shape[1]
        row = address_of(out) + 4 * words * index
        status = self.fill_found(self.address, self.generation, state, memory, row, words)
        if status:
            self.fill_rest(status, state, memory, out, index)

    def find_mask(self, state: int, until: float) -> None:
        """Find what a state allows, for a text that comes to it later: as far as `QUICK_STEPS` nodes lead, and emitting
        what is missing while `time.perf_counter()` is not past `until`. A text goes on from there."""
        row, words = address_of(self._found), self._found.shape[1]
        while self.fill_found(self.address, self.generation, state, 0, row, words) == k.LAZY_PC:
            if perf_counter() > until:
                return
            with self.lock:
                self._check()
                self._serve(k.LAZY_PC)

    def fill_rest(self, status: int, state: int, memory: int, out: Mask, index: int) -> None:
        """`fill` where `masks.fill_found` has returned a status."""
        with self.lock:
            self._check()
            if self._max_steps is not None:
                self.header[k.STEPS_LEFT] = self._max_steps
            if status == k.NOT_READY:
                status = masks.fill_text(self.header, state, memory, out, index)
            while status < 0:
                self._serve(status)
                status = masks.fill_text(self.header, state, memory, out, index)

    def advance_text(self, state: int, memory: int, token: int) -> tuple[int, int]:
        """The state and the memory of keys (0: none) after a token; state 0: dead, also where a key is repeated."""
        after: tuple[int, int] = self.advance_found(self.address, self.generation, state, memory, token)
        return self.advance_rest(after[0], state, memory, token) if after[0] < 0 else after

    def advance_rest(self, status: int, state: int, memory: int, token: int) -> tuple[int, int]:
        """`advance_text` where `masks.advance_found` has returned a status."""
        with self.lock:
            self._check()
            after: tuple[int, int] = (status, 0)
            if status == k.NOT_READY:
                after = masks.advance_text(self.header, state, memory, token)
            while after[0] < 0:
                self._serve(after[0])
                after = masks.advance_text(self.header, state, memory, token)
        return after

    def tree_states(
        self, state: int, tokens: npt.NDArray[np.int32], parents: npt.NDArray[np.int32]
    ) -> npt.NDArray[np.int32] | None:
        """The states of a draft tree's n + 1 rows below a state (see `structgen_kernels.tree_masks`).

        None if a parent does not come before its child.
        """
        states = np.zeros(len(tokens) + 1, np.int32)
        states[0] = state
        result = self._run(tree_masks.tree_states, tokens, parents, states, np.zeros(1, np.int64))
        return None if result == tree_masks.WRONG_PARENT else states

    def fill_each(self, states: npt.NDArray[np.int32], out: Mask, where: npt.NDArray[np.int32]) -> None:
        """Write the mask of each state into its row of `out`; zeros where there is none."""
        steps = -1 if self.limits.max_mask_steps is None else self.limits.max_mask_steps
        self._run(tree_masks.fill_masks, states, where, out, steps, np.zeros(2, np.int64))

    def fill_batch(
        self, states: npt.NDArray[np.int32], out: Mask, where: npt.NDArray[np.int32], *, num_threads: int
    ) -> None:
        """`fill_each` for states of many texts, in `num_threads` threads, this one among them.

        Masks that are in the store are copied by all threads; the others are found by this one.
        """
        found = np.zeros(len(states), np.uint8)
        with self.lock:  # held while the others copy: no row is given up meanwhile
            self._check()
            num_found = batches.survey(self.header, states, found)

            def copy(begin: int, end: int) -> None:
                batches.copy_masks(self.header, states, found, where, out, begin, end)

            share(copy, len(states), num_threads if num_found >= SHARED_ROWS else 1)
        if num_found < len(states):
            rest = np.flatnonzero(found == 0)
            self.fill_each(states[rest], out, where[rest])

    def accepts(self, state: int) -> bool:
        """Whether the text may end here."""
        return self._run(machine.accepts, state) != 0

    def allowed_bytes(self, state: int) -> bytes:
        """The bytes that lead anywhere from a state, ascending."""
        with self.lock:
            self._check()
            return _members(self.arena.tables[k.ALLOWED][state])

    def expand(self, pc: int) -> None:
        """Expand a LAZY instruction."""
        with self.lock:
            if self.retired:
                raise ArenaFull(k.NET)
            self.arena.tables[k.NEEDS][0] = pc
            self.header[k.NUM_NEEDS] = 1
            self.network.expand_needed()

    def class_bytes(self, byte_class: int) -> bytes:
        """The bytes of a byte class, ascending."""
        return _members(self.arena.tables[k.CLASSES][byte_class])

    def forced_bytes(self, state: int, limit: int) -> bytes:
        """The bytes that must come next: as long as there is one choice and the text may not end, at most `limit`."""
        out = bytearray()
        while len(out) < limit:
            self._run(machine.forced_byte, state, self._byte_out)
            byte = int(self._byte_out[0])
            if byte < 0:
                break
            out.append(byte)
            state = self.advance_bytes(state, bytes((byte,)))
        return bytes(out)

    def statistics(self) -> dict[str, int]:
        """Counts of what the tables hold, and of the work done."""
        header, count = self.header, self.arena.count
        return {
            "states": count(k.STATES) - k.FIRST_STATE,
            "instructions": count(k.NET),
            "entries": count(k.ENTRIES),
            "rows": count(k.ROWS),
            "tries": count(k.TRIES),
            "bytes": self.arena.used_bytes(),
            "trie_nodes_visited": int(header[k.VISITED]),
            "rows_evicted": int(header[k.EVICTED]),
        }
