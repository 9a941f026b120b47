"""The arena: every table of the engine, behind one int64 header, so that a kernel takes one array and not thirty.

A numba call pays for each array it is handed (about 70 ns); with all tables behind one header a call costs 0.3 µs
whatever it touches. The arrays are allocated at their limits once: untouched pages cost no memory, addresses never
change, and a kernel that finds a table full says so (`FULL`) instead of growing it.

Header slots: `COUNT + table` is the number of rows in use, `ADDRESS + table` the address of row 0, `CAPACITY + table`
the number of rows allocated; the named slots below hold everything else.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import sys
import threading
from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic

from structgen_kernels.ahead import Ahead
from structgen_kernels.jit import helper

# ---- tables -------------------------------------------------------------------------------------------------------
NET = 0  # instructions: OP, A, B, C, RULE
SWITCH = 1  # branches of SWITCH instructions: byte, next pc; sorted by byte within an instruction
CLASSES = 2  # byte classes: 256 bits; class b < 256 is the single byte b
RULES = 3  # ways into rules: START (pc), flags (ROOTED, APART, …), RULE (what is called then)
STATES = 4  # see the S_ columns
ALLOWED = 5  # per state: the bytes that lead anywhere
LOOPS = 6  # per state: bytes already known to lead back to the state itself
TRANS = 7  # per state, by the first three bits of a byte: the row of STEPS, row 0 where none is known
ITEMS = 8  # kernels of states, and the items that completions added: PC, ORIGIN, ARG
ACTIVE = 9  # items of states that wait for a byte: PC of a BYTE or SWITCH, ORIGIN, ARG
CALLS = 10  # items of states that wait for a rule: RULE, return PC, ORIGIN, ARG
STATE_TABLE = 11  # hash table of states by kernel
KERNEL = 12  # scratch: a kernel in the making
WORK = 13  # scratch: the closure's queue: PC, ORIGIN, ARG
SEEN = 14  # scratch: hash set over WORK: stamp, index
NODES = 15  # tries, depth first: BYTE, END (one past the subtree), DEPTH, TOK (start of its tokens)
BELOW = 16  # per trie node: the set of bytes strictly below it
NODE_TOKENS = 17  # tokens of the trie nodes, depth first
TRIES = 18  # see the T_ columns
TRIE_TABLE = 19  # hash table of tries by (parent, exit nodes)
ROOTS = 20  # vocabulary trie: node of each first byte, or -1
TOKEN_START = 21  # bytes of token t: TOKEN_DATA[TOKEN_START[t]:TOKEN_START[t + 1]]
TOKEN_DATA = 22
ENTRIES = 23  # the token-mask store: see the E_ columns
ENTRY_TABLE = 24  # hash table of entries by (trie, pc, arg)
POOL = 25  # token ids of narrow entries
ROWS = 26  # bit rows of wide entries
PARTS = 27  # per state, the entries whose union is its mask
EXITS = 28  # scratch: trie nodes at which the unknown caller's rule completes; also kept lists of tries
RANGES = 29  # scratch: runs of tokens found alive
STACK = 30  # scratch: states along the path of a walk
FRAMES = 31  # scratch of the trie merge
CURSORS = 32  # scratch of the trie merge
PENDING = 33  # scratch: (state, trie, 1 if only what completions added) to resolve
ROW_OWNER = 34  # per row: the entry that owns it, and whether it was used since the clock hand passed
NEEDS = 35  # with status LAZY_PC: the instructions to expand
NOTES = 36  # what is known of items at NOTE instructions: see the N_ columns
PAIRS = 37  # scratch: pairs of states along the path of a walk
SHORT = 38  # row r: tokens of at most r code points, and all that hold a byte of QUOTING
GUARDED = 39  # states behind guards: CLASS the next byte may not be in, STATE; a state's rows hold nested guards too
GUARD_ITEMS = 40  # items behind guards, as a closure found them: CLASS, PC, ORIGIN, ARG
GUARDED_EXITS = 41  # exits behind guards of entries: TRIE, next row or 0
EXIT_GUARDS = 42  # scratch beside EXITS: the guard of an exit, or -1
OBJECTS = 43  # lists of members: see the O_ columns
OBJECT_KEYS = 44  # their keys: see the K_ columns
MEMBERS = 45  # which members of an object are behind: see the M_ columns; row 0 is no one's
MEMBER_BITS = 46  # 64-bit words: the keys that may come next, in sorted order
MEMBER_TABLE = 47  # hash table of MEMBERS
PICKS = 48  # branches of PICK instructions: byte, next pc, and the keys below it [low, high), sorted by byte
LEAVES = 49  # scratch: what an item is before any byte: PC of an instruction that waits for one or calls a rule, ARG,
# and the class of bytes that may not come next, or -1
CLASS_TABLE = 50  # hash table of CLASSES
CALLED = 51  # scratch beside EXITS: trie nodes at which an item is about to call a rule: NODE, PC of the CALL, ARG
ENTRY_CALLS = 52  # what is left of entries' tokens where they call a rule: TRIE, PC of the CALL, ARG, next row or 0
SIBLINGS = 53  # the vocabulary's trie by parent: BYTE, node; behind a node's children a row (256, end of its subtree)
SIBLING_AT = 54  # where in SIBLINGS a node of the vocabulary's trie is
ASKED = 55  # scratch: hash table of PENDING: stamp, row
ENDING = 56  # tokens that end a text
STEPS = 57  # by the other five bits of a byte: the next state; -1 unknown, 0 dead
CHARS = 58  # per state, by first byte (from 0xC0 on) of a character in UTF-8: whether it is known that every such
# character leads back to the state itself, and whether it is so
WELL_FORMED = 59  # per node of the vocabulary's trie: whether what is below is UTF-8 wherever it ends; see `chars`
DEEPEST = 60  # per node of the vocabulary's trie: bytes of the longest token that is there or below
BY_LENGTH = 61  # the vocabulary's tokens, the longest first
LONGER = 62  # how many tokens have more than so many bytes
NEEDED = 63  # per rule: the largest constant a counter in it is compared with
SCRATCH = 64  # scratch: one bit row
WANTED = 65  # scratch: composites to put together, each before those that are further down
ALIKE_TABLE = 66  # hash table of states by their rows of CALLS
SAFE = 67  # per state: ASCII bytes (two words) any text over which is alive, and how many bytes such a text may have
# (as `safe` counts them)
QUOTED = 68  # the nodes of the vocabulary's trie at a byte of QUOTING, below one or on the way to one: the Q_ columns
NUM_TABLES = 69
COUNTED = {
    ALLOWED: STATES,
    LOOPS: STATES,
    CHARS: STATES,
    SAFE: STATES,
    TRANS: STATES,
    BELOW: NODES,
    ROW_OWNER: ROWS,
}
# The next slots are those of a memory (see `keys`), for the kernels that follow state and memory at once.
QUOTING = 256  # byte class {", \\}: outside of these a code point of a JSON string is spelled as itself

# ---- header -------------------------------------------------------------------------------------------------------
COUNT = 0
ADDRESS = 96
CAPACITY = 192
NUM_NEEDS = 288  # with status LAZY_PC: how many rows of NEEDS to expand
FULL_TABLE = 289  # with status FULL: the table
STAMP = 290  # number of closures computed
ARG_CAP = 291  # counters at or above this are FOREVER for one token
WORDS = 292  # words of a bit row
WIDE = 293  # an entry with at least this many tokens gets a bit row
WALK_ENTRY = 294  # the entry being built (-1: none), and where its walk stands
WALK_NODE = 295
WALK_EXITS = 296
WALK_RANGES = 297
VISITED = 298  # statistics: trie nodes visited
BIRTHS = 299  # statistics: states born
FIRST_BYTE = 300  # where the walk stands in the vocabulary trie's first bytes
CLOCK = 301  # the row hand
EVICTED = 302  # statistics: rows given up
STEPS_LEFT = 303  # budget of trie nodes for one mask (negative: none)
EXIT_LISTS = 304  # rows of EXITS taken by kept lists (from the end)
LONGEST_TOKEN = 305  # bytes
REFINED = 306  # four slots, a 256-bit set: the bytes that do what the byte being stepped does
REMOVED_ENTRY = 310  # the entry whose walk beside its base stands at the next slots (-1: none)
REMOVED_ROW, REMOVED_EXITS = 311, 312
WALK_CALLS = 315  # rows of CALLED
ASKS = 316  # number of masks put together: a stamp
BUSY = 317  # 1 while somebody holds the lock: nobody else may touch the tables (see `Lock`)
GENERATION = 318  # number of the engine that the tables belong to
NUM_WANTED = 319  # rows of WANTED
WANTED_FOR = 320  # the state whose mask needs them
QUICK = 321  # trie nodes that a mask may visit while the GIL is kept (0: none)
PAUSE = 322  # trie nodes left until a walk pauses (negative: it does not)
WALK_LEFT_OUT = 323  # tokens of at most so many bytes are left out of the walk
HEADER_SIZE = 384

# ---- statuses (negative, so that they never look like a state) ---------------------------------------------------
LAZY_PC = -2
FULL = -3
BUDGET = -4
NOT_READY = -5  # it would take long, or the tables are in use: ask with the lock

# ---- origins and reserved states ----------------------------------------------------------------------------------
SELF = 0  # an origin: "the state this item is in"; as a state: dead
TOP = 1  # an origin: "some caller, not known here"
ROOT = 2  # an origin: "the start of the text"; completing into it means the text may end
FIRST_STATE = 3

# ---- instructions -------------------------------------------------------------------------------------------------
FAIL = 0
BYTE = 1  # A = class, B = next
SPLIT = 2  # A, B = both next
CALL = 3  # A = rule, B = return, C = the counter the rule starts with
END = 4  # A = rule
SWITCHED = 5  # A = class, B = first row in SWITCH, C = number of rows
LAZY = 6  # A = thunk: asks Python to expand it
JUMP = 7  # A = next
SET = 8  # A = next, B = the counter's new value
TAKE = 9  # A = next; the counter goes down by one if the result is within B and C
ZERO = 10  # A = next, if the counter is zero
NOTE = 11  # A = next; B = a row of NOTES
# An item inside a list of members has minus a row of MEMBERS for a counter.
PICK = 13  # A = class, B = first row in PICKS, C = number of rows; open are the branches to keys that may come next
MARK = 14  # A = next; B = the key that is behind now, -1: an additional one
ENDS = 15  # A = next, if no required key is missing
LEFT = 16  # A = next, if another member may follow
EXTRA = 17  # A = next, if an additional key may follow
GUARD = 12  # A = next, if the byte that follows (if any) is not in class B

# A note says that an item is nearly another one, its base: every text that lives in the item lives in the base, step
# by step, and of the texts without bytes of QUOTING the item keeps those of the base's that have at most as many code
# points as its counter (plus SLACK).
N_BASE = 0  # pc of the base, whose counter is zero
N_SLACK = 1  # added to the item's counter; -1: any number of code points
NOTE_WIDTH = 2
MAX_COUNT = 1 << 30  # the counter of a repeat without an upper limit; no text gets there
FOREVER = MAX_COUNT + 1  # in the store: any counter that no token can bring to an end; it does not go down

# ---- columns ------------------------------------------------------------------------------------------------------
S_ITEMS, S_KERNEL, S_EXTENDED = 0, 1, 2  # first row in ITEMS; rows of the kernel; rows with what completions added
S_ACTIVE, S_NUM_ACTIVE = 3, 4
S_CALLS, S_NUM_CALLS = 5, 6
S_FLAGS = 7
S_PARTS, S_NUM_PARTS = 8, 9  # the mask, once known; S_NUM_PARTS = -1: not yet
S_GUARDED, S_NUM_GUARDED = 10, 11  # rows of GUARDED; while UNSETTLED: of GUARD_ITEMS
S_ALIKE = 12  # the first state that its callees cannot tell from it
STATE_WIDTH = 13
ACCEPTS = 1  # flag: the text may end here
EXITED = 2  # flag: a rule completed into the unknown caller
UNSETTLED = 4  # flag: the states behind its guards are not known yet
EXITED_GUARDED = 8  # flag: a rule completed into the unknown caller, behind a guard

O_KEYS, O_FIRST, O_ORDERED, O_EXTRAS = 0, 1, 2, 3  # number of keys, first row in OBJECT_KEYS, two flags
OBJECT_WIDTH = 4
K_DECLARED, K_SORTED, K_REQUIRED = 0, 1, 2  # place of sorted key i, sorted index of the key at place i, of sorted key i
M_OBJECT, M_POSITION, M_BITS, M_OWED, M_LEFT = 0, 1, 2, 3, 4  # owed: required keys missing; left: keys not yet behind
MEMBER_WIDTH = 5

ROOTED = 1  # flag of a rule: only entered as the start of a text
APART = 2  # flag of a rule: where it is called, its mask is put together from what it becomes without a byte
COMPOSED = 4  # flag of a rule: its items have composites (see `composites`)
ALIKE = 8  # flag of a rule: callers that go on in the same way are one to it

Q_NODE, Q_END, Q_DEPTH, Q_BYTE = 0, 1, 2, 3  # end: the row behind those of its subtree

T_FIRST, T_END, T_DEPTH = 0, 1, 2  # nodes [FIRST, END), whose depths start at DEPTH
T_PARENT, T_EXITS, T_NUM_EXITS = 3, 4, 5
T_GUARD = 6  # class of bytes that no token of it may start with, or -1
TRIE_WIDTH = 7
VOCABULARY = 0  # trie 0

E_TRIE, E_PC, E_ARG = 0, 1, 2
E_START, E_TOKENS = 3, 4  # narrow: rows of POOL; LESS: the tokens it lacks
E_ROW = 5  # wide: row, or -1
E_EXIT = 6  # the trie of remainders, or -1
E_KIND = 7
E_BASE = 8  # the entry this one was derived from, or -1
E_GUARDED = 9  # first row of its GUARDED_EXITS, or 0
E_CALLS = 10  # first row of its ENTRY_CALLS, or 0
E_SEEN = 11  # the stamp of the last mask it was put into
E_PARTS, E_NUM_PARTS = 12, 13  # of a composite, whose E_PC is ~pc: rows of POOL, the entries it is made of; -1: not yet
ENTRY_WIDTH = 14
NARROW, WIDE_KIND, UNBUILT, SAME = 0, 1, 2, 3  # SAME: equal to its base
COMPOSING = 4  # kind of a composite whose parts are being looked for
LESS = 5  # its base's row without at most FEW_LESS tokens, rows of POOL
FEW_LESS = 64


class Table(NamedTuple):
    """Shape of one table."""

    name: str
    dtype: type
    width: int  # columns; 0 for one dimension


TABLES: dict[int, Table] = {
    NET: Table("instructions", np.int32, 5),
    SWITCH: Table("switch rows", np.int32, 2),
    CLASSES: Table("byte classes", np.uint64, 4),
    RULES: Table("rules", np.int32, 3),
    STATES: Table("states", np.int32, STATE_WIDTH),
    ALLOWED: Table("states", np.uint64, 4),
    LOOPS: Table("states", np.uint64, 4),
    TRANS: Table("states", np.int32, 8),
    ITEMS: Table("items", np.int32, 3),
    ACTIVE: Table("active items", np.int32, 3),
    CALLS: Table("call items", np.int32, 4),
    STATE_TABLE: Table("state table", np.int32, 2),
    KERNEL: Table("kernel scratch", np.int32, 3),
    WORK: Table("closure scratch", np.int32, 3),
    SEEN: Table("closure scratch", np.int32, 2),
    NODES: Table("trie nodes", np.int32, 4),
    BELOW: Table("trie nodes", np.uint64, 4),
    NODE_TOKENS: Table("trie tokens", np.int32, 0),
    TRIES: Table("tries", np.int32, TRIE_WIDTH),
    TRIE_TABLE: Table("trie table", np.int32, 2),
    ROOTS: Table("roots", np.int32, 0),
    TOKEN_START: Table("token offsets", np.int64, 0),
    TOKEN_DATA: Table("token bytes", np.uint8, 0),
    ENTRIES: Table("store entries", np.int32, ENTRY_WIDTH),
    ENTRY_TABLE: Table("entry table", np.int32, 2),
    POOL: Table("entry tokens", np.int32, 0),
    ROWS: Table("rows", np.uint32, -1),  # width: WORDS
    PARTS: Table("mask parts", np.int32, 0),
    EXITS: Table("exit nodes", np.int32, 0),
    RANGES: Table("token runs", np.int32, 2),
    STACK: Table("walk stack", np.int32, 0),
    FRAMES: Table("merge frames", np.int32, 3),
    CURSORS: Table("merge cursors", np.int32, 2),
    PENDING: Table("pending masks", np.int32, 3),
    ROW_OWNER: Table("rows", np.int32, 2),
    NEEDS: Table("needs", np.int32, 0),
    NOTES: Table("notes", np.int32, NOTE_WIDTH),
    PAIRS: Table("walk stack", np.int32, 2),
    SHORT: Table("length rows", np.uint32, -1),
    GUARDED: Table("guarded states", np.int32, 2),
    GUARD_ITEMS: Table("guarded items", np.int32, 4),
    GUARDED_EXITS: Table("guarded exits", np.int32, 2),
    EXIT_GUARDS: Table("exit nodes", np.int32, 0),
    OBJECTS: Table("objects", np.int32, OBJECT_WIDTH),
    OBJECT_KEYS: Table("object keys", np.int32, 3),
    MEMBERS: Table("sets of members", np.int32, MEMBER_WIDTH),
    MEMBER_BITS: Table("sets of members", np.uint64, 0),
    MEMBER_TABLE: Table("member table", np.int32, 2),
    PICKS: Table("object keys", np.int32, 4),
    LEAVES: Table("leaves", np.int32, 3),
    CLASS_TABLE: Table("class table", np.int32, 2),
    CALLED: Table("calling nodes", np.int32, 3),
    ENTRY_CALLS: Table("calls of entries", np.int32, 4),
    SIBLINGS: Table("trie nodes", np.int32, 2),
    SIBLING_AT: Table("trie nodes", np.int32, 0),
    ASKED: Table("pending masks", np.int32, 2),
    ENDING: Table("end tokens", np.int32, 0),
    STEPS: Table("transitions", np.int32, 32),
    CHARS: Table("states", np.uint64, 2),
    WELL_FORMED: Table("trie nodes", np.uint8, 0),
    DEEPEST: Table("trie nodes", np.int32, 0),
    BY_LENGTH: Table("tokens", np.int32, 0),
    LONGER: Table("token lengths", np.int32, 0),
    NEEDED: Table("rules", np.int32, 0),
    SCRATCH: Table("scratch row", np.uint32, -1),
    WANTED: Table("wanted composites", np.int32, 0),
    ALIKE_TABLE: Table("alike table", np.int32, 2),
    SAFE: Table("states", np.uint64, 3),
    QUOTED: Table("trie nodes", np.int32, 4),
}


_FREE = 0 if getattr(sys, "_is_gil_enabled", lambda: True)() else 1  # BUSY while nobody holds the lock

OF_STATES = frozenset((STATES, STEPS, ITEMS, ACTIVE, CALLS, PARTS, GUARDED, GUARD_ITEMS))
"""Tables of which a generation's states have rows: full, they are emptied on their own."""

BESIDE_STATES = frozenset((ALLOWED, LOOPS, CHARS, SAFE, TRANS))
"""Tables of one row a state."""

HASHED = {
    STATE_TABLE: STATES,
    ALIKE_TABLE: STATES,
    ENTRY_TABLE: ENTRIES,
    TRIE_TABLE: TRIES,
    MEMBER_TABLE: MEMBERS,
    CLASS_TABLE: CLASSES,
}
"""Hash tables (see `hashing`), and what they index. They have so many slots at first:"""
FIRST_SLOTS = 1 << 14
_SLOTS_AHEAD = 4  # for each row they index: half full a table takes twice its slots, which are there by then


def pages(shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """An array of zeros that is written from its beginning on, a little at a time: memory is taken as it is touched.

    In small pages: numpy asks for huge ones, and whoever touches a new one waits until 2 MiB are zeroed (1 to 3 ms).
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size == 0 or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(shape, dtype)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype).reshape(shape)


class Lock:
    """The lock around an arena's tables.

    It says in the header that it is held. A kernel that keeps the GIL runs alone while nobody else holds the lock, so
    a short one need not take it: it looks at BUSY instead, which costs nothing. Without a GIL BUSY is never taken back.
    """

    __slots__ = ("_header", "_lock")

    def __init__(self, header: np.ndarray) -> None:
        self._header = header
        self._lock = threading.Lock()
        header[BUSY] = _FREE

    def __enter__(self) -> None:
        self._lock.acquire()
        self._header[BUSY] = 1

    def __exit__(self, *error: object) -> None:
        self._header[BUSY] = _FREE
        self._lock.release()


class Arena:
    """Owns the tables of one engine generation and keeps them alive. `header` is what kernels take."""

    def __init__(self, capacities: dict[int, int], *, num_words: int) -> None:
        """Allocate every table with the given number of rows; contents start as zeros."""
        self.header = np.zeros(HEADER_SIZE, np.int64)
        self.lock = Lock(self.header)
        self.header[WORDS] = num_words
        self.header[WALK_ENTRY] = -1
        self.header[REMOVED_ENTRY] = -1
        self.header[STEPS_LEFT] = -1
        self.header[PAUSE] = -1
        self.tables: list[np.ndarray] = []
        for index in range(NUM_TABLES):
            _, dtype, width = TABLES[index]
            rows = capacities[index]
            shape = (rows,) if width == 0 else (rows, num_words if width < 0 else width)
            table = pages(shape, dtype)
            self.tables.append(table)
            self.header[ADDRESS + index] = table.ctypes.data
            self.header[CAPACITY + index] = rows
        self.tables[STEPS][:1] = -1  # nothing known
        counted = [HASHED.get(index, COUNTED.get(index, index)) for index in range(NUM_TABLES)]
        taken = [_SLOTS_AHEAD if index in HASHED else 1 for index in range(NUM_TABLES)]
        self._ahead = Ahead(self.tables, COUNT + np.array(counted), np.array(taken))
        self._begin()
        self._ahead.begin(self.header)

    def _begin(self) -> None:
        """Set the counts that do not start at zero."""
        self.header[COUNT + STEPS] = 1
        for table in HASHED:
            self.header[COUNT + table] = min(FIRST_SLOTS, self.header[CAPACITY + table])

    def clear(self) -> None:
        """Empty every table, for a new generation in the same memory (whose pages are there already).

        Only what is read before it is written is zeroed.
        """
        header, kept_slots = self.header, [STAMP, ASKS, WORDS, BUSY, GENERATION]
        values = header[kept_slots]
        for table, counted in ((CLASSES, CLASSES), (ENTRIES, ENTRIES), (ROW_OWNER, ROWS), (NEEDED, RULES)):
            self.tables[table][: self.count(counted)] = 0
        for table in HASHED:
            self.tables[table][: self.count(table)] = 0
        kept = header[ADDRESS:NUM_NEEDS].copy()
        header[:] = 0
        header[ADDRESS:NUM_NEEDS] = kept
        header[kept_slots] = values
        header[[WALK_ENTRY, STEPS_LEFT, PAUSE, REMOVED_ENTRY]] = -1
        self._begin()

    def forget_states(self) -> None:
        """Empty the tables of states, and keep instructions and the mask store: their rows name no states."""
        header = self.header
        for table in OF_STATES:
            header[COUNT + table] = 0
        header[COUNT + STATES], header[COUNT + STEPS] = FIRST_STATE, 1
        for table in (STATE_TABLE, ALIKE_TABLE):
            self.tables[table][: self.count(table)] = 0
        header[WALK_ENTRY] = header[REMOVED_ENTRY] = -1
        header[FULL_TABLE] = NET

    def ask_ahead(self) -> None:
        """Ask the system for the memory of the rows that come next."""
        self._ahead.ask(self.header)

    def count(self, table: int) -> int:
        """Rows of a table in use."""
        return int(self.header[COUNT + table])

    def used_bytes(self) -> int:
        """Bytes of all table rows in use (what the arena costs in memory, up to page size)."""
        total = 0
        for index, table in enumerate(self.tables):
            rows = self.count(COUNTED.get(index, index))
            total += rows * (table.nbytes // len(table)) if len(table) else 0
        return total


@intrinsic
def _pointer(typingctx, address):  # type: ignore[no-untyped-def]
    """An int64 address as a pointer."""
    signature = types.voidptr(types.int64)

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.inttoptr(args[0], cgutils.voidptr_t)

    return signature, codegen


@intrinsic
def prefetch(typingctx, address):  # type: ignore[no-untyped-def]
    """Ask for the memory at an int64 address, and wait for nothing."""

    def codegen(context, builder, sig, args):  # type: ignore[no-untyped-def]
        i32 = ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", [cgutils.voidptr_t], ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, i32, i32, i32])
        )
        builder.call(function, [builder.inttoptr(args[0], cgutils.voidptr_t), i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@helper("int64[::1](int64)")
def header_at(address):
    """The header that stands at an address: an int is handed to a kernel sooner than an array."""
    return carray(_pointer(address), (HEADER_SIZE,), np.int64)


@helper("uint32[:, ::1](int64, int64)")
def bit_row_at(address, words):
    """One row of a bitmask, uint32[1, words], at an address."""
    return carray(_pointer(address), (1, words), np.uint32)


@helper("int32[::1](int64[::1], int64)")
def i32(h, table):
    """One-dimensional int32 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table],), np.int32)


@helper("int32[:, ::1](int64[::1], int64)")
def i32x2(h, table):
    """Two-column int32 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], 2), np.int32)


@helper("int32[:, ::1](int64[::1], int64)")
def i32x3(h, table):
    """Three-column int32 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], 3), np.int32)


@helper("int32[:, ::1](int64[::1], int64)")
def i32x4(h, table):
    """Four-column int32 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], 4), np.int32)


@helper("int32[:, ::1](int64[::1], int64, int64)")
def i32xn(h, table, width):
    """int32 table of any width."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], width), np.int32)


@helper("uint64[:, ::1](int64[::1], int64)")
def u64x2(h, table):
    """Two-column uint64 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], 2), np.uint64)


@helper("uint64[:, ::1](int64[::1], int64)")
def u64x3(h, table):
    """Three-column uint64 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], 3), np.uint64)


@helper("uint64[:, ::1](int64[::1], int64)")
def u64x4(h, table):
    """Four-column uint64 table: a 256-bit set a row."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], 4), np.uint64)


@helper("int64[::1](int64[::1], int64)")
def i64(h, table):
    """One-dimensional int64 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table],), np.int64)


@helper("uint64[::1](int64[::1], int64)")
def u64(h, table):
    """One-dimensional uint64 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table],), np.uint64)


@helper("uint8[::1](int64[::1], int64)")
def u8(h, table):
    """One-dimensional uint8 table."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table],), np.uint8)


@helper("uint32[:, ::1](int64[::1], int64)")
def bit_rows(h, table):
    """A table of bit rows: uint32[rows, words]."""
    return carray(_pointer(h[ADDRESS + table]), (h[CAPACITY + table], h[WORDS]), np.uint32)


@helper("int64(int64[::1], int64)")
def full(h, table):
    """Note which table is full. Returns FULL."""
    h[FULL_TABLE] = table
    return FULL
