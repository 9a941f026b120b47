"""The keys of an object, as a text has them so far: a JSON scanner whose whole state is one int.

A *memory* is (stack, key, mode) packed into an int64: the open objects with the keys they have, the decoded part of the
key that is being written, and where in JSON the text stands. Stacks and keys are cells, hash-consed, so that equal
memories are equal ints and nothing is ever undone. It reads texts that a grammar of JSON has let through; it is no
validator. 0: a key was repeated.
"""

from __future__ import annotations

import numpy as np

from structgen_kernels.arena import (
    FULL,
    LONGEST_TOKEN,
    NODE_TOKENS,
    NODES,
    ROOTS,
    TOKEN_DATA,
    TOKEN_START,
    helper,
    i32,
    i32x4,
    i32xn,
    i64,
    u8,
)
from structgen_kernels.jit import kernel

# ---- cells: int32[rows, CELL_WIDTH]; row 0 is the empty stack, row 2 holds counts -----------------------------------
A, B, C, KIND, STAMP = 0, 1, 2, 3, 4
DEPTH = 5  # of a LETTER: bytes of the key
BEFORE, WITHIN = 6, 8  # of a LETTER: where in LISTS the tokens are that spell the key (see `forbid_keys`), and behind
# that, plus one, how many
CELL_WIDTH = 10
LETTER = 1  # A = the key without its last byte, B = that byte; the key "" is cell NO_LETTERS
ESCAPE = 2  # A = a key, B = what is known of the escape behind it; see `_letter`
OBJECT = 3  # A = the stack below, B = this object without its last key (0: it has none), C = that key
ARRAY = 4  # A = the stack below
NO_LETTERS = 1
COUNTS = 2
NUM_CELLS, LAST_STAMP, NUM_SLOTS = 0, 1, 2  # columns of row 2; slots of the hash table that are in use
FIRST_SLOTS, _GROWTH = 1 << 10, 2  # of that table, which grows with the cells: each slot at random touches a page

# ---- tables in a header of its own, beside those of the arena that it has in common with the engine's ---------------
CELLS, CELL_TABLE, LISTS, DOUBLE, QUOTES = 90, 91, 92, 93, 94  # LISTS[0]: how much of it is taken
NUM_TABLES = 5

# ---- modes ---------------------------------------------------------------------------------------------------------
VALUE = 1  # before, after and inside values that are no strings
BEFORE_KEY = 2  # behind `{`, or behind a comma in an object
IN_KEY = 3
IN_STRING = 4
BEHIND_BACKSLASH = 5  # in a string that is a value
START = VALUE
_MODE_BITS = 4
_KEY_BITS = 28
STACK_SHIFT = _MODE_BITS + _KEY_BITS

REPEATED = 0
FULL_CELLS = FULL
OFF = -1  # no cell: none of the keys seen so far goes on like this

_QUOTE, _BACKSLASH, _COMMA, _U = 0x22, 0x5C, 0x2C, 0x75
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_ARRAY, _CLOSE_ARRAY = 0x7B, 0x7D, 0x5B, 0x5D


@helper("int64(int64, int64, int64, int64)")
def _hash(kind, a, b, c):
    """A hash of a cell's contents."""
    x = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(c) * np.uint64(0x94D049BB133111EB)
    x = (x ^ np.uint64(kind)) * np.uint64(0xD6E8FEB86659FD93)
    return np.int64(x >> np.uint64(20))


@helper("void(int32[:, ::1], int32[::1])", linked=True)
def _grow(cells, table):
    """Give the hash table of the cells more slots."""
    old = table[: cells[COUNTS, NUM_SLOTS]].copy()
    n = min(_GROWTH * len(old), len(table))
    table[: len(old)] = 0
    for i in old:
        if i != 0:
            p = _hash(cells[i, KIND], cells[i, A], cells[i, B], cells[i, C]) & (n - 1)
            while table[p] != 0:
                p = (p + 1) & (n - 1)
            table[p] = i
    cells[COUNTS, NUM_SLOTS] = n


@helper("int64(int32[:, ::1], int32[::1], int64, int64, int64, int64, boolean)")
def _cell(cells, table, kind, a, b, c, add):
    """The cell with these contents; OFF if there is none and none is to be made, FULL_CELLS if there is no room.

    To add one, the table is that of all cells; to look for one it may be any.
    """
    last = np.int64(cells[COUNTS, NUM_SLOTS] if add else len(table)) - 1
    p = _hash(kind, a, b, c) & last
    while table[p] != 0:
        i = table[p]
        if cells[i, A] == a and cells[i, B] == b and cells[i, C] == c and cells[i, KIND] == kind:
            return np.int64(i)
        p = (p + 1) & last
    if not add:
        return OFF
    i = cells[COUNTS, NUM_CELLS]
    if i >= len(cells):
        return FULL_CELLS
    if 2 * (i + 1) > last and last + 1 < len(table):
        _grow(cells, table)
        last = np.int64(cells[COUNTS, NUM_SLOTS]) - 1
        p = _hash(kind, a, b, c) & last
        while table[p] != 0:
            p = (p + 1) & last
    cells[i, A] = a
    cells[i, B] = b
    cells[i, C] = c
    cells[i, KIND] = kind
    if kind == LETTER:
        cells[i, DEPTH] = cells[a, DEPTH] + 1
    cells[COUNTS, NUM_CELLS] = i + 1
    table[p] = i
    return np.int64(i)


@helper("int64(int32[:, ::1], int32[::1], int64, int64, boolean)")
def _spell(cells, table, key, code, add):
    """The key with one more code point, as UTF-8."""
    if code < 0x80:
        return _cell(cells, table, LETTER, key, code, 0, add)
    if code < 0x800:
        key = _cell(cells, table, LETTER, key, 0xC0 | code >> 6, 0, add)
    else:
        if code < 0x10000:
            key = _cell(cells, table, LETTER, key, 0xE0 | code >> 12, 0, add)
        else:
            key = _cell(cells, table, LETTER, key, 0xF0 | code >> 18, 0, add)
            if key > 0:
                key = _cell(cells, table, LETTER, key, 0x80 | code >> 12 & 63, 0, add)
        if key > 0:
            key = _cell(cells, table, LETTER, key, 0x80 | code >> 6 & 63, 0, add)
    return key if key <= 0 else _cell(cells, table, LETTER, key, 0x80 | code & 63, 0, add)


@helper("UniTuple(int64, 2)(int64, int64)")
def _escaped(escape, byte):
    """An escape in the making after one more byte: (escape, -1), or, where it is complete, (0, code point).

    It is stage | digits << 3 | (high surrogate + 1) << 15. Stages: 1 behind a backslash, 2 to 5 behind `u` and 0 to 3
    digits, 6 behind a high surrogate, 7 behind the backslash after one.
    """
    stage, digits, high = escape & 7, escape >> 3 & 0xFFF, escape >> 15
    if stage == 6:
        return 7 | high << 15, np.int64(-1)
    if stage == 7:
        return 2 | high << 15, np.int64(-1)
    if stage == 1:
        if byte == _U:
            return np.int64(2), np.int64(-1)
        code = byte
        if byte == 0x62:
            code = 8
        elif byte == 0x66:
            code = 12
        elif byte == 0x6E:
            code = 10
        elif byte == 0x72:
            code = 13
        elif byte == 0x74:
            code = 9
        return np.int64(0), np.int64(code)
    digit = byte - 0x30 if byte < 0x3A else (byte | 0x20) - 0x57
    digits = digits << 4 | digit
    if stage < 5:
        return stage + 1 | digits << 3 | high << 15, np.int64(-1)
    if high > 0:
        return np.int64(0), 0x10000 + ((high - 1) << 10) + (digits & 0x3FF)
    if digits >> 10 == 0x36:  # D800 to DBFF
        return 6 | ((digits & 0x3FF) + 1) << 15, np.int64(-1)
    return np.int64(0), np.int64(digits)


@helper("UniTuple(int64, 2)(int32[:, ::1], int32[::1], int64, int64, int64, boolean)")
def _letter(cells, table, key, escape, byte, add):
    """The key and the escape behind it after one more byte of its spelling (not the closing quote)."""
    if escape == 0:
        if byte == _BACKSLASH:
            return key, np.int64(1)
        return _cell(cells, table, LETTER, key, byte, 0, add), np.int64(0)
    escape, code = _escaped(escape, byte)
    return (key, escape) if code < 0 else (_spell(cells, table, key, code, add), np.int64(0))


@helper("boolean(int32[:, ::1], int64, int64)")
def _has(cells, stack, key):
    """Whether the object on top has this key."""
    while cells[stack, B] != 0:
        if cells[stack, C] == key:
            return True
        stack = cells[stack, B]
    return False


@helper("int64(int32[:, ::1], int32[::1], int64, uint8[::1], int64, int64)")
def _read(cells, table, memory, data, start, end):
    """The memory after data[start:end]."""
    mode, key, escape = memory & 15, memory >> _MODE_BITS & (1 << _KEY_BITS) - 1, np.int64(0)
    stack = memory >> _MODE_BITS + _KEY_BITS
    if cells[key, KIND] == ESCAPE:
        key, escape = np.int64(cells[key, A]), np.int64(cells[key, B])
    for i in range(start, end):
        byte = np.int64(data[i])
        if mode == IN_STRING:
            if byte == _QUOTE:
                mode = VALUE
            elif byte == _BACKSLASH:
                mode = BEHIND_BACKSLASH
        elif mode == IN_KEY:
            if byte == _QUOTE and escape == 0:
                if _has(cells, stack, key):
                    return REPEATED
                stack = _cell(cells, table, OBJECT, cells[stack, A], stack, key, True)
                if stack < 0:
                    return FULL_CELLS
                mode, key = VALUE, 0
            else:
                key, escape = _letter(cells, table, key, escape, byte, True)
                if key < 0:
                    return FULL_CELLS
        elif mode == BEHIND_BACKSLASH:
            mode = IN_STRING
        elif byte == _QUOTE:
            if mode == BEFORE_KEY:
                mode, key = IN_KEY, NO_LETTERS
            else:
                mode = IN_STRING
        elif byte in (_OPEN_OBJECT, _OPEN_ARRAY):
            mode = BEFORE_KEY if byte == _OPEN_OBJECT else VALUE
            stack = _cell(cells, table, OBJECT if byte == _OPEN_OBJECT else ARRAY, stack, 0, 0, True)
            if stack < 0:
                return FULL_CELLS
        elif byte in (_CLOSE_OBJECT, _CLOSE_ARRAY):
            mode, stack = VALUE, np.int64(cells[stack, A])
        elif byte == _COMMA:
            mode = BEFORE_KEY if cells[stack, KIND] == OBJECT else VALUE
    if escape != 0:
        key = _cell(cells, table, ESCAPE, key, escape, 0, True)
        if key < 0:
            return FULL_CELLS
    return stack << _MODE_BITS + _KEY_BITS | key << _MODE_BITS | mode


@kernel("int64(int32[:, ::1], int32[::1], int64, uint8[::1])")
def read_bytes(cells, table, memory, data):
    """The memory after some bytes; REPEATED, or FULL_CELLS."""
    return _read(cells, table, memory, data, 0, len(data))


@kernel("int64(int64[::1], int32[:, ::1], int32[::1], int64, int64)", linked=True)
def read_token(h, cells, table, memory, token):
    """The memory after a token's bytes; REPEATED, or FULL_CELLS. `h` is the header of the engine's arena."""
    start = i64(h, TOKEN_START)
    return _read(cells, table, memory, u8(h, TOKEN_DATA), start[token], start[token + 1])


@kernel("int64(int64[::1], int32[:, ::1], int32[::1], int64, int32[::1], int64[::1])")
def read_each(h, cells, table, memory, tokens, out):
    """The memories after each of some tokens, into `out`; FULL_CELLS where there is no room, else 0."""
    start, data = i64(h, TOKEN_START), u8(h, TOKEN_DATA)
    for i in range(len(tokens)):
        out[i] = _read(cells, table, memory, data, start[tokens[i]], start[tokens[i] + 1])
        if out[i] < 0:
            return FULL_CELLS
    return 0


@kernel("int64(int32[:, ::1], int64)")
def goes_on(cells, memory):
    """1 if the key in the making is the beginning of one that its object has already, or all of it."""
    if memory & 15 != IN_KEY:
        return 0
    key = memory >> _MODE_BITS & (1 << _KEY_BITS) - 1
    if cells[key, KIND] == ESCAPE:
        key = np.int64(cells[key, A])
    version = memory >> _MODE_BITS + _KEY_BITS
    while cells[version, B] != 0:
        at = np.int64(cells[version, C])
        while at != 0:
            if at == key:
                return 1
            at = np.int64(cells[at, A])
        version = np.int64(cells[version, B])
    return 0


@helper("int64(int32[:, ::1], int32[::1], int64, uint32[::1], int32[::1], int64)")
def _kept(nodes, tokens, node, row, out, count):
    """Write the tokens of a node that a mask allows to out[count:]; how many there are then."""
    for i in range(nodes[node, 3], nodes[node + 1, 3]):
        token = np.int64(tokens[i])
        if row[token >> 5] >> np.uint32(token & 31) & np.uint32(1):
            out[count] = token
            count += 1
    return count


@kernel(
    "int64(int64[::1], int32[:, ::1], int32[::1], int64, int32[:, ::1], int32[::1], uint32[::1], int32[::1])",
)
def forbid_repeated(h, cells, table, memory, double, quotes, row, beginning):
    """Take out of a mask the tokens that would repeat a key. Returns how many it wrote to `beginning`, or FULL_CELLS.

    Args:
        quotes: int32[q], the nodes of the vocabulary's trie that are reached by white space and a quote.
        beginning: int32[n], for the tokens that are left after which the text is within the spelling of a key that the
            object has already; length 0: they are not wanted.
        double: int32[modes, n], for each mode the tokens that end a second key, or, where the text is not at a key, a
            first one; filled up with -1.
        row: uint32[words], the mask.
    """
    mode, key, escape = memory & 15, memory >> _MODE_BITS & (1 << _KEY_BITS) - 1, np.int64(0)
    stack = memory >> _MODE_BITS + _KEY_BITS
    starts, num_beginning = i64(h, TOKEN_START), 0
    for i in range(double.shape[1]):
        token = np.int64(double[mode, i])
        if token < 0:
            break
        bit = np.uint32(1) << np.uint32(token & 31)
        if row[token >> 5] & bit:
            after = _read(cells, table, memory, u8(h, TOKEN_DATA), starts[token], starts[token + 1])
            if after < 0:
                return after
            if after == REPEATED:
                row[token >> 5] &= ~bit
    if (mode != IN_KEY and mode != BEFORE_KEY) or cells[stack, B] == 0:
        return 0
    if mode == BEFORE_KEY:
        key = NO_LETTERS
    elif cells[key, KIND] == ESCAPE:
        key, escape = np.int64(cells[key, A]), np.int64(cells[key, B])
    # The beginnings of all keys that are there, in a small table of their own: the walk asks for many that are not.
    stamp = cells[COUNTS, LAST_STAMP] + 1
    cells[COUNTS, LAST_STAMP] = stamp
    first = np.zeros(256, np.uint8)
    num_known, version = 0, stack
    while cells[version, B] != 0:
        at = cells[version, C]
        if at == key:
            first[_QUOTE] = 1
        while at != 0 and cells[at, STAMP] != stamp:
            cells[at, STAMP] = stamp
            num_known += 1
            if cells[at, A] == key:
                first[cells[at, B]] = 1
            at = cells[at, A]
        version = cells[version, B]
    if cells[key, STAMP] != stamp:
        return 0
    size = 64
    while size < 4 * num_known:
        size *= 2
    known = np.zeros(size, np.int32)
    version = stack
    while cells[version, B] != 0:
        at = cells[version, C]
        while at != 0 and cells[at, STAMP] == stamp:
            cells[at, STAMP] = 0
            p = _hash(LETTER, cells[at, A], cells[at, B], 0) & size - 1
            while known[p] != 0:
                p = (p + 1) & size - 1
            known[p] = at
            at = cells[at, A]
        version = cells[version, B]
    first[_BACKSLASH] = 1
    if escape != 0:
        first[:] = 1
    nodes, tokens, roots = i32x4(h, NODES), i32(h, NODE_TOKENS), i32(h, ROOTS)
    path = np.empty((h[LONGEST_TOKEN] + 2, 2), np.int64)  # by depth: key, escape
    for entrance in range(len(quotes) if mode == BEFORE_KEY else 256):
        if mode == BEFORE_KEY:
            node = np.int64(quotes[entrance])
            end = np.int64(nodes[node, 1])
            if len(beginning) > 0:
                num_beginning = _kept(nodes, tokens, node, row, beginning, num_beginning)
            node += 1
            if node < end:
                path[nodes[node, 2], 0], path[nodes[node, 2], 1] = key, 0
        else:
            node = np.int64(roots[entrance])
            if first[entrance] == 0 or node < 0:
                continue
            end = np.int64(nodes[node, 1])
            path[0, 0], path[0, 1] = key, escape
        while node < end:
            depth, char = np.int64(nodes[node, 2]), np.int64(nodes[node, 0])
            at, behind = path[depth, 0], path[depth, 1]
            if char == _QUOTE and behind == 0:
                if _has(cells, stack, at):
                    for i in range(nodes[node, 3], nodes[nodes[node, 1], 3]):
                        row[tokens[i] >> 5] &= ~(np.uint32(1) << np.uint32(tokens[i] & 31))
                node = np.int64(nodes[node, 1])
                continue
            at, behind = _letter(cells, known, at, behind, char, False)
            if at < 0:
                node = np.int64(nodes[node, 1])
                continue
            path[depth + 1, 0], path[depth + 1, 1] = at, behind
            if len(beginning) > 0:
                num_beginning = _kept(nodes, tokens, node, row, beginning, num_beginning)
            node += 1
    return num_beginning


# ---- without the list of beginnings: the tokens that spell a key are found once a key --------------------------------
@helper("int64(uint8[::1], int64, int64, int64)")
def _read_letter(letters, at, end, code):
    """Behind the UTF-8 of a code point in letters[at:end]; -1 if it is not there."""
    size = 1 if code < 0x80 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
    if at + size > end:
        return -1
    if size == 1:
        return at + 1 if letters[at] == code else -1
    for i in range(size - 1, 0, -1):
        if letters[at + i] != 0x80 | code & 63:
            return -1
        code >>= 6
    return at + size if letters[at] == (0xF00 >> size & 0xFF | code) else -1


@helper("int64(int64[::1], uint8[::1], int64, int64, int64, int64, int64[:, ::1], int64)")
def _spellings(h, letters, num_letters, node, end, escape, path, count):
    """Write to LISTS[count:] the tokens of the nodes [node, end) that spell all of the letters and the closing quote.

    The nodes are a run of siblings and what is below them; `escape` is the escape in the making before them. Returns
    the new count; FULL_CELLS.
    """
    nodes, tokens, lists = i32x4(h, NODES), i32(h, NODE_TOKENS), i32(h, LISTS)
    if node >= end:
        return count
    base = np.int64(nodes[node, 2])
    path[0, 0], path[0, 1] = 0, escape
    while node < end:
        depth, byte = nodes[node, 2] - base, np.int64(nodes[node, 0])
        at, behind = path[depth, 0], path[depth, 1]
        if behind != 0:
            behind, code = _escaped(behind, byte)
            if code >= 0:
                at = _read_letter(letters, at, num_letters, code)
        elif byte == _QUOTE:
            if at == num_letters:
                for i in range(nodes[node, 3], nodes[nodes[node, 1], 3]):
                    if count >= len(lists):
                        return FULL_CELLS
                    lists[count] = tokens[i]
                    count += 1
            at = -1
        elif byte == _BACKSLASH:
            behind = 1
        else:
            at = at + 1 if at < num_letters and letters[at] == byte else -1
        if at < 0:
            node = np.int64(nodes[node, 1])
            continue
        path[depth + 1, 0], path[depth + 1, 1] = at, behind
        node += 1
    return count


@helper("int64(int64[::1], int64, int64, int64, boolean, int64)", linked=True)
def _spell_rest(h, key, prefix, escape, before, count):
    """Write to LISTS[count:] the tokens that go on from a prefix of a key (and an escape) to its closing quote, or,
    with `before`, from where a key may begin. Returns the new count; -1: it is no prefix; FULL_CELLS.
    """
    cells, nodes, roots = i32xn(h, CELLS, CELL_WIDTH), i32x4(h, NODES), i32(h, ROOTS)
    num_letters = np.int64(cells[key, DEPTH] - cells[prefix, DEPTH])
    at = key
    for _ in range(num_letters):
        at = np.int64(cells[at, A])
    if num_letters < 0 or at != prefix:
        return -1
    letters = np.empty(num_letters, np.uint8)
    at = key
    for i in range(num_letters - 1, -1, -1):
        letters[i] = cells[at, B]
        at = np.int64(cells[at, A])
    path = np.empty((h[LONGEST_TOKEN] + 2, 2), np.int64)  # by depth: letters read, escape
    if before:
        quotes = i32(h, QUOTES)
        for i in range(len(quotes)):
            node = np.int64(quotes[i])
            count = _spellings(h, letters, num_letters, node + 1, np.int64(nodes[node, 1]), 0, path, count)
            if count < 0:
                return count
        return count
    for byte in range(256):
        if escape == 0 and byte != _BACKSLASH and byte != (letters[0] if num_letters else _QUOTE):
            continue
        node = np.int64(roots[byte])
        if node >= 0:
            count = _spellings(h, letters, num_letters, node, np.int64(nodes[node, 1]), escape, path, count)
            if count < 0:
                return count
    return count


@kernel("int64(int64[::1], int64, uint32[::1])", linked=True)
def forbid_keys(h, memory, row):
    """Take out of a mask, uint32[words], the tokens that would repeat a key. Returns 0, or FULL_CELLS.

    Which tokens spell a key does not depend on the object: where a key may begin, and behind its quote, they are
    listed once a key; within a key the few keys that go on like it are spelled each time. DOUBLE has for each mode the
    tokens that end a second key, or, where the text is not at a key, a first one, filled up with -1; these are read.
    """
    cells, table, lists = i32xn(h, CELLS, CELL_WIDTH), i32(h, CELL_TABLE), i32(h, LISTS)
    mode, key, escape = memory & 15, memory >> _MODE_BITS & (1 << _KEY_BITS) - 1, np.int64(0)
    stack = memory >> _MODE_BITS + _KEY_BITS
    starts, double = i64(h, TOKEN_START), i32(h, DOUBLE)
    width = len(double) // 16
    for i in range(mode * width, (mode + 1) * width):
        token = np.int64(double[i])
        if token < 0:
            break
        bit = np.uint32(1) << np.uint32(token & 31)
        if row[token >> 5] & bit:
            after = _read(cells, table, memory, u8(h, TOKEN_DATA), starts[token], starts[token + 1])
            if after < 0:
                return after
            if after == REPEATED:
                row[token >> 5] &= ~bit
    if mode != IN_KEY and mode != BEFORE_KEY:
        return 0
    if cells[key, KIND] == ESCAPE:
        key, escape = np.int64(cells[key, A]), np.int64(cells[key, B])
    before = mode == BEFORE_KEY
    listed = before or (key == NO_LETTERS and escape == 0)
    while cells[stack, B] != 0:
        known = np.int64(cells[stack, C])
        stack = np.int64(cells[stack, B])
        column = BEFORE if before else WITHIN
        if listed and cells[known, column + 1]:
            start = np.int64(cells[known, column])
            end = start + cells[known, column + 1] - 1
        else:
            start = np.int64(lists[0])
            end = _spell_rest(h, known, NO_LETTERS if before else key, escape, before, start)
            if end == FULL_CELLS:
                return FULL_CELLS
            if listed:
                cells[known, column] = start
                cells[known, column + 1] = end - start + 1
                lists[0] = end
        for i in range(start, end):
            token = lists[i]
            row[token >> 5] &= ~(np.uint32(1) << np.uint32(token & 31))
    return 0
