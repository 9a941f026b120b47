"""Rows of the table: states and transitions, the members of objects, classes of bytes."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
from kernel_scene import Scene
from kernel_table import Rows, Trial

from structgen_kernels import arena as k
from structgen_kernels import classes, machine, members
from structgen_kernels.arena import Arena

ROWS = Rows()


def _alive(scene: Scene, text: bytes) -> bool:
    return scene.recognizer.viable(text)


@ROWS("machine.start_state")
def start_state(scene: Scene) -> Trial:
    """The bytes that may begin a text, by the executable specification."""
    rule = scene.engine.add(scene.grammar.root).number
    return Trial(
        lambda: machine.start_state(scene.header, rule),
        lambda state: set(scene.engine.allowed_bytes(state)),
        lambda: {byte for byte in range(256) if _alive(scene, bytes((byte,)))},
    )


@ROWS("machine.state_of")
def state_of(scene: Scene) -> Trial:
    """The state whose items they are."""
    items = [np.array(scene.engine.kernel(step.state), np.int32).reshape(-1, 3) for step in scene.steps]
    return Trial(
        lambda: [machine.state_of(scene.header, each) for each in items],
        lambda states: states,
        lambda: scene.states.tolist(),
        len(items),
    )


@ROWS("machine.advance_token")
def advance_token(scene: Scene) -> Trial:
    """Whether a text can go on with a token's bytes, by the executable specification."""
    tokens = scene.some_tokens.tolist()
    return Trial(
        lambda: [machine.advance_token(scene.header, step.state, t) for step in scene.steps for t in tokens],
        lambda states: [state > 0 for state in states],
        lambda: [
            scene.tokens[t] != b"" and _alive(scene, step.text + scene.tokens[t])
            for step in scene.steps
            for t in tokens
        ],
        len(scene.steps) * len(tokens),
    )


@ROWS("machine.advance_bytes")
def advance_bytes(scene: Scene) -> Trial:
    """The states of the text, token by token; none after a byte that may not come."""
    start = scene.steps[0].state
    texts = [np.frombuffer(bytearray(step.text + end), np.uint8) for step in scene.steps for end in (b"", b"\x00")]
    return Trial(
        lambda: [machine.advance_bytes(scene.header, start, text) for text in texts],
        lambda states: states,
        lambda: [state for step in scene.steps for state in (step.state, 0)],
        len(texts),
    )


@ROWS("machine.advance_each")
def advance_each(scene: Scene) -> Trial:
    """The executable specification's mask."""
    out = np.zeros((len(scene.steps), len(scene.some_tokens)), np.int32)
    return Trial(
        lambda: [
            machine.advance_each(scene.header, step.state, scene.some_tokens, out[i])
            for i, step in enumerate(scene.steps)
        ],
        lambda statuses: (statuses, [set(scene.some_tokens[row > 0].tolist()) for row in out]),
        lambda: (
            [0] * len(scene.steps),
            [(allowed - set(scene.vocab.eos_token_ids)) & set(scene.some_tokens.tolist()) for allowed in scene.allowed],
        ),
        len(scene.steps),
    )


@ROWS("machine.forced_byte")
def forced_byte(scene: Scene) -> Trial:
    """The only byte that keeps a text viable where it may not end, by the executable specification; else -1."""
    out = np.zeros((len(scene.steps), 1), np.int64)

    def expected(text: bytes) -> int:
        ways = [byte for byte in range(256) if _alive(scene, text + bytes((byte,)))]
        return ways[0] if len(ways) == 1 and not scene.recognizer.accepts(text) else -1

    return Trial(
        lambda: [machine.forced_byte(scene.header, step.state, out[i]) for i, step in enumerate(scene.steps)],
        lambda states: (states, out[:, 0].tolist()),
        lambda: (scene.states.tolist(), [expected(step.text) for step in scene.steps]),
        len(scene.steps),
    )


@ROWS("machine.goto")
def goto(scene: Scene) -> Trial:
    """The items behind the calls of a rule, read from the table in Python."""
    states, calls = scene.arena.tables[k.STATES], scene.arena.tables[k.CALLS]

    def calls_of(origin: int) -> list[list[int]]:
        first, count = states[origin, k.S_CALLS], states[origin, k.S_NUM_CALLS]
        rows: list[list[int]] = calls[first : first + count].tolist()
        return rows

    pairs = sorted({(step.state, call[0]) for step in scene.steps for call in calls_of(step.state)})
    return Trial(
        lambda: [machine.goto(scene.header, origin, rule) for origin, rule in pairs],
        lambda found: [set(scene.engine.kernel(state)) for state in found],
        lambda: [
            {(pc, origin if of == k.SELF else of, arg) for called, pc, of, arg in calls_of(origin) if called == rule}
            for origin, rule in pairs
        ],
        len(pairs),
    )


@ROWS("machine.accepts")
def accepts(scene: Scene) -> Trial:
    """Whether it is a text of the schema, by the executable specification."""
    texts = [*(step.text for step in scene.steps), b'{"name": "abc"}', b'{"name": "abc"} ']
    states = [scene.engine.advance_bytes(scene.steps[0].state, text) for text in texts]
    return Trial(
        lambda: [machine.accepts(scene.header, state) for state in states],
        lambda found: [each != 0 for each in found],
        lambda: [scene.recognizer.accepts(text) for text in texts],
        len(texts),
    )


# ---- members ------------------------------------------------------------------------------------------------------
def _object(scene: Scene, obj: int) -> tuple[list[list[int]], bool]:
    """The keys of a list of members, sorted (place, sorted index of the key at this place, required), and whether they
    come in declared order."""
    num_keys, first, ordered, _ = scene.arena.tables[k.OBJECTS][obj].tolist()
    return scene.arena.tables[k.OBJECT_KEYS][first : first + num_keys].tolist(), bool(ordered)


def _row_of(scene: Scene, row: int) -> tuple[set[int], int, int]:
    """The keys that may come next, how many required ones are missing, how many are left."""
    obj, _, start, owed, left = scene.arena.tables[k.MEMBERS][row].tolist()
    num_keys = int(scene.arena.tables[k.OBJECTS][obj, k.O_KEYS])
    words = scene.arena.tables[k.MEMBER_BITS][start : start + (num_keys + 63) // 64]
    return {i for i in range(num_keys) if int(words[i >> 6]) >> (i & 63) & 1}, owed, left


def _model(keys: list[list[int]], ordered: bool, written: list[int]) -> tuple[set[int], int, int]:
    """The same for an object that has some keys, in Python."""
    owed = sum(required for _, _, required in keys) - sum(keys[i][2] for i in written)
    if not ordered:
        return set(range(len(keys))) - set(written), owed, len(keys) - len(written)
    position = max((keys[i][0] + 1 for i in written), default=0)
    following = set()
    for place in range(position, len(keys)):
        i = keys[place][1]
        following.add(i)
        if keys[i][2]:
            break
    return following, owed, len(keys) - position


@ROWS("members.no_members")
def no_members(scene: Scene) -> Trial:
    """The keys of an object, in Python."""
    objects = range(scene.arena.count(k.OBJECTS))
    return Trial(
        lambda: [members.no_members(scene.header, obj) for obj in objects],
        lambda rows: [_row_of(scene, row) for row in rows],
        lambda: [_model(*_object(scene, obj), []) for obj in objects],
        len(objects),
    )


@ROWS("members.with_member")
def with_member(scene: Scene) -> Trial:
    """Sets of keys in Python; equal sets of one object are one row."""
    cases: list[tuple[int, list[int]]] = []
    for obj in range(scene.arena.count(k.OBJECTS)):
        keys, ordered = _object(scene, obj)
        for some in permutations(range(min(len(keys), 4)), min(len(keys), 3)):
            written: list[int] = []
            for key in some:
                if key in _model(keys, ordered, written)[0]:
                    written.append(key)
            cases.append((obj, written))

    def run() -> list[int]:
        rows = []
        for obj, written in cases:
            row = members.no_members(scene.header, obj)
            for key in written:
                row = members.with_member(scene.header, row, key)
            rows.append(row)
        return rows

    def expected() -> Any:
        states = [_model(*_object(scene, obj), written) for obj, written in cases]
        names = [(obj, frozenset(ways), left) for (obj, _), (ways, _, left) in zip(cases, states, strict=True)]
        return states, [names.index(name) for name in names]

    return Trial(
        run,
        lambda rows: ([_row_of(scene, row) for row in rows], [rows.index(row) for row in rows]),
        expected,
        sum(len(written) for _, written in cases),
    )


# ---- classes ------------------------------------------------------------------------------------------------------
@ROWS("classes.class_of")
def class_of(scene: Scene) -> Trial:
    """Sets of bytes in Python: equal sets, and no others, have one id."""
    rng = np.random.default_rng(1)
    sets = [frozenset(np.flatnonzero(rng.random(256) < share).tolist()) for share in (0.01, 0.2, 0.5, 0.9) * 6]
    sets += [*sets[:8], frozenset({7}), frozenset()]
    words = [[np.uint64(sum(1 << byte - 64 * w for byte in each if byte >> 6 == w)) for w in range(4)] for each in sets]
    return Trial(
        lambda: [classes.class_of(scene.header, *each) for each in words],
        lambda ids: ([frozenset(scene.engine.class_bytes(i)) for i in ids], [ids.index(i) for i in ids], ids[-2]),
        lambda: (sets, [sets.index(each) for each in sets], 7),
        len(sets),
    )


@ROWS("classes.single_bytes")
def single_bytes(scene: Scene) -> Trial:
    """The class of a byte is the byte."""
    sizes = {**dict.fromkeys(range(k.NUM_TABLES), 0), k.CLASSES: 300, k.CLASS_TABLE: 1 << 12}
    arena = Arena(sizes, num_words=1)
    header, table, slots = arena.header, arena.tables[k.CLASSES], arena.tables[k.CLASS_TABLE]

    def run() -> int:
        header[k.COUNT + k.CLASSES] = 0
        slots[:] = 0
        return int(classes.single_bytes(header))

    return Trial(
        run,
        lambda last: (
            last,
            [np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist() for row in table[:256]],
        ),
        lambda: (255, [[byte] for byte in range(256)]),
    )
