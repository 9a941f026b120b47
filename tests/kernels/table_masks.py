"""Rows of the table: masks and commits, of one text, of many, and of draft trees, and the keys that objects have."""

from __future__ import annotations

from typing import Any

import numpy as np
from kernel_scene import Scene, ids_of, keys_of
from kernel_table import Rows, Trial

from structgen.masks.memory import Memory
from structgen_kernels import batches, key_trees, keys, masks, tree_masks
from structgen_kernels.arena import FIRST_STATE

ROWS = Rows()
_OTHER: Any = {"type": "array", "items": {"type": "boolean"}}  # no mask of its texts is ever asked for


def _ids(rows: np.ndarray) -> list[set[int]]:
    return [ids_of(row) for row in rows]


def _empty(scene: Scene, n: int) -> np.ndarray:
    return np.zeros((n, scene.words), np.uint32)


@ROWS("masks.fill_text")
def fill_text(scene: Scene) -> Trial:
    """The executable specification's mask, less what repeats a key as a JSON reader sees it."""
    out = _empty(scene, len(scene.steps))
    return Trial(
        lambda: [masks.fill_text(scene.header, step.state, step.memory, out, i) for i, step in enumerate(scene.steps)],
        lambda statuses: (statuses, _ids(out)),
        lambda: ([0] * len(scene.steps), scene.allowed_once),
        len(scene.steps),
    )


@ROWS("masks.fill_found")
def fill_found(scene: Scene) -> Trial:
    """As `masks.fill_text`."""
    out = _empty(scene, len(scene.steps))
    rows = [out.ctypes.data + 4 * scene.words * i for i in range(len(out))]
    address, generation = scene.engine.address, scene.engine.generation
    return Trial(
        lambda: [
            masks.fill_found(address, generation, step.state, step.memory, row, scene.words)
            for step, row in zip(scene.steps, rows, strict=True)
        ],
        lambda statuses: (statuses, _ids(out)),
        lambda: ([0] * len(scene.steps), scene.allowed_once),
        len(scene.steps),
    )


def _after(scene: Scene) -> list[bool]:
    ending = set(scene.vocab.eos_token_ids)
    return [
        token in allowed and token not in ending
        for allowed in scene.allowed_once
        for token in scene.some_tokens.tolist()
    ]


@ROWS("masks.advance_text")
def advance_text(scene: Scene) -> Trial:
    """A token is taken where the mask of the executable specification has it."""
    tokens = scene.some_tokens.tolist()
    return Trial(
        lambda: [
            masks.advance_text(scene.header, step.state, step.memory, token) for step in scene.steps for token in tokens
        ],
        lambda after: [state > 0 for state, _ in after],
        lambda: _after(scene),
        len(scene.steps) * len(tokens),
    )


@ROWS("masks.advance_found")
def advance_found(scene: Scene) -> Trial:
    """As `masks.advance_text`."""
    tokens = scene.some_tokens.tolist()
    address, generation = scene.engine.address, scene.engine.generation
    return Trial(
        lambda: [
            masks.advance_found(address, generation, step.state, step.memory, token)
            for step in scene.steps
            for token in tokens
        ],
        lambda after: [state > 0 for state, _ in after],
        lambda: _after(scene),
        len(scene.steps) * len(tokens),
    )


# ---- many texts -----------------------------------------------------------------------------------------------------
@ROWS("batches.survey")
def survey(scene: Scene) -> Trial:
    """What was filled before is found, and so is what is no state; what was never asked for is not."""
    engine = scene.engine
    scope = engine.add(_root_of(scene))
    start = engine.start(scope)
    others = [engine.advance_bytes(start, text) for text in (b"[tr", b"[tru", b"[true, fals")]
    states = np.array([*scene.states, 0, 1, *others], np.int32)
    found = np.zeros(len(states), np.uint8)
    known = len(scene.states) + 2
    return Trial(
        lambda: batches.survey(scene.header, states, found),
        lambda count: (count, found.tolist()),
        lambda: (known, [1] * known + [0] * len(others)),
    )


def _root_of(scene: Scene) -> Any:
    import structgen

    return structgen.compile_schema(_OTHER, scene.vocab).root


@ROWS("batches.copy_masks")
def copy_masks(scene: Scene) -> Trial:
    """The executable specification's masks; other rows stay as they are."""
    out = np.full((len(scene.steps), scene.words), 0x55555555, np.uint32)
    found = np.ones(len(scene.steps), np.uint8)
    found[1] = 0
    end = len(scene.steps) - 1
    where = np.roll(scene.where, 1)

    def expected() -> list[set[int]]:
        rows = {int(where[i]): scene.allowed[i] for i in range(end) if found[i]}
        untouched = {token for token in range(32 * scene.words) if token % 2 == 0}
        return [rows.get(i, untouched) for i in range(len(out))]

    return Trial(
        lambda: batches.copy_masks(scene.header, scene.states, found, where, out, 0, end),
        lambda _: _ids(out),
        expected,
    )


def _narrowed(scene: Scene, forbid: Any) -> Trial:
    """`forbid(rows)` leaves what repeats no key."""
    filled = scene.rows()
    out = filled.copy()

    def run() -> Any:
        out[:] = filled
        return forbid(out)

    return Trial(
        run,
        lambda status: (status, _ids(out)),
        lambda: (0, scene.allowed_once),
        len(scene.steps),
    )


@ROWS("batches.forbid_rows")
def forbid_rows(scene: Scene) -> Trial:
    """Keys as a JSON reader sees them."""
    header = scene.memory._header
    return _narrowed(scene, lambda rows: batches.forbid_rows(header, scene.memories, scene.where, rows))


# ---- draft trees ----------------------------------------------------------------------------------------------------
class _Tree:
    """A draft tree below a step: legal tokens and others, the end of text, a key that is there already."""

    def __init__(self, scene: Scene) -> None:
        at = next(i for i, step in enumerate(scene.steps) if step.text.endswith(b'null, "'))
        self.step = scene.steps[at]
        rng = np.random.default_rng(3)
        ids = {token: i for i, token in enumerate(scene.tokens)}
        known = [ids[bytes((b,))] for b in b'name": othr}']
        tokens: list[int] = []
        parents: list[int] = []
        for node in range(40):
            tokens.append(int(rng.choice(known)) if node % 3 else int(rng.integers(len(scene.tokens))))
            parents.append(int(rng.integers(max(0, node - 6), node + 1)))
        row = 0
        for byte in b'name": 1':  # repeats a key
            tokens.append(ids[bytes((byte,))])
            parents.append(row)
            row = len(tokens)
        row = 0
        for byte in b'x": null}':
            tokens.append(ids[bytes((byte,))])
            parents.append(row)
            row = len(tokens)
        tokens.append(scene.vocab.eos_token_ids[0])
        parents.append(row)
        self.tokens, self.parents = np.array(tokens, np.int32), np.array(parents, np.int32)

    def texts(self, scene: Scene) -> list[bytes | None]:
        """The text of each row; None below an end of text."""
        found: list[bytes | None] = [self.step.text]
        for token, parent in zip(self.tokens.tolist(), self.parents.tolist(), strict=True):
            before = found[parent]
            data = scene.tokens[token]
            found.append(before + data if before is not None and data else None)
        return found

    def kinds(self, scene: Scene, *, keys_once: bool) -> list[int]:
        """0: illegal, 1: ended, 2: alive."""
        texts, out = self.texts(scene), [2]
        for i, text in enumerate(texts[1:]):
            parent = int(self.parents[i])
            before = texts[parent]
            if out[parent] != 2 or before is None:
                out.append(0)
            elif text is None:
                out.append(int(self.tokens[i] in scene.vocab.eos_token_ids and scene.recognizer.accepts(before)))
            else:
                repeated = keys_once and keys_of(text).repeated
                out.append(2 if scene.recognizer.viable(text) and not repeated else 0)
        return out

    def states(self, scene: Scene) -> np.ndarray:
        found = scene.engine.tree_states(self.step.state, self.tokens, self.parents)
        assert found is not None
        return found


def _kind(state: int) -> int:
    return min(state, 2)


@ROWS("tree_masks.tree_states")
def tree_states(scene: Scene) -> Trial:
    """What becomes of each node's text, by the executable specification."""
    tree = _Tree(scene)
    tree.states(scene)
    states = np.zeros(len(tree.tokens) + 1, np.int32)
    states[0] = tree.step.state
    return Trial(
        lambda: tree_masks.tree_states(scene.header, tree.tokens, tree.parents, states, np.zeros(1, np.int64)),
        lambda status: (status, [_kind(state) for state in states.tolist()]),
        lambda: (0, tree.kinds(scene, keys_once=False)),
    )


@ROWS("tree_masks.fill_masks")
def fill_masks(scene: Scene) -> Trial:
    """The executable specification's mask of each node; nothing where there is no state."""
    tree = _Tree(scene)
    states = tree.states(scene)
    where = np.arange(len(states), dtype=np.int32)
    out = _empty(scene, len(states))
    scene.engine.fill_each(states, out, where)
    return Trial(
        lambda: tree_masks.fill_masks(scene.header, states, where, out, -1, np.zeros(2, np.int64)),
        lambda status: (status, _ids(out)),
        lambda: (
            0,
            [
                scene.may_follow(text) if kind == 2 and text is not None else set()
                for text, kind in zip(tree.texts(scene), tree.kinds(scene, keys_once=False), strict=True)
            ],
        ),
        len(states),
    )


@ROWS("tree_masks.rows_of_states")
def rows_of_states(scene: Scene) -> Trial:
    """A dict."""
    rng = np.random.default_rng(4)
    row_of = rng.integers(-1, 5, 60).astype(np.int32)
    states = rng.integers(0, 80, 300).astype(np.int32)
    ids, used = np.zeros(len(states), np.int32), np.zeros(5, np.int64)

    def expected() -> Any:
        rows = dict(enumerate(row_of.tolist()))
        found = [rows.get(state, -1) for state in states.tolist()]
        return found.count(-1), found, [7 if row and row in found else 0 for row in range(5)]

    return Trial(
        lambda: tree_masks.rows_of_states(states, row_of, used, 7, ids),
        lambda missing: (missing, ids.tolist(), used.tolist()),
        expected,
    )


@ROWS("key_trees.tree_memories")
def tree_memories(scene: Scene) -> Trial:
    """A JSON reader on each node's text: none repeats a key, and where a token could the row is marked."""
    tree, memory = _Tree(scene), scene.memory
    before = tree.states(scene)
    states, memories = before.copy(), np.zeros(len(before), np.int64)
    narrows = np.zeros(len(before), np.uint8)
    memories[0] = tree.step.memory

    def run() -> int:
        states[:] = before
        return int(
            key_trees.tree_memories(memory._header, memory._cells, memory._table, memory._tokens.inert_in,
                                    memory._tokens.double, tree.tokens, tree.parents, states, memories, narrows)
        )  # fmt: skip

    def may_narrow() -> list[bool]:
        return [
            kind == 2 and text is not None and bool(scene.repeating(text))
            for text, kind in zip(tree.texts(scene), tree.kinds(scene, keys_once=True), strict=True)
        ]

    return Trial(
        run,
        lambda count: (
            [_kind(state) for state in states.tolist()],
            count == narrows.sum(),
            not any(must and not marked for must, marked in zip(may_narrow(), narrows.tolist(), strict=True)),
        ),
        lambda: (tree.kinds(scene, keys_once=True), True, True),
        len(states),
    )


@ROWS("key_trees.forbid_each")
def forbid_each(scene: Scene) -> Trial:
    """Keys as a JSON reader sees them; a row has changed where it held a token that repeats one."""
    filled = scene.rows()
    out, changed = filled.copy(), np.zeros(len(filled), np.uint8)

    def run() -> int:
        out[:] = filled
        return int(key_trees.forbid_each(scene.memory._header, scene.memories, out, scene.where, changed))

    return Trial(
        run,
        lambda status: (status, _ids(out), changed.tolist()),
        lambda: (
            0,
            scene.allowed_once,
            [int(a != b) for a, b in zip(scene.allowed, scene.allowed_once, strict=True)],
        ),
        len(scene.steps),
    )


# ---- memories -------------------------------------------------------------------------------------------------------
_CONTINUED = (
    b"",
    b"na",
    b'name"',
    b'"name"',
    b'other"',
    b"\\u006",
    b'\\u006eame"',
    b'fresh"',
    b'"fresh": 1, "fresh"',
)


def _cells(memory: Memory) -> tuple[np.ndarray, np.ndarray]:
    return memory._cells, memory._table


def _texts(scene: Scene) -> list[bytes]:
    """Texts that are JSON so far, with keys once and twice."""
    texts = [step.text + more for step in scene.steps for more in _CONTINUED]
    return [text for text in texts if scene.recognizer.viable(text)]


@ROWS("keys.read_bytes")
def read_bytes(scene: Scene) -> Trial:
    """A JSON reader finds a key twice."""
    texts = _texts(scene)
    arrays = [np.frombuffer(bytearray(text), np.uint8) for text in texts]
    cells, table = _cells(scene.memory)
    return Trial(
        lambda: [keys.read_bytes(cells, table, keys.START, data) for data in arrays],
        lambda memories: [memory == keys.REPEATED for memory in memories],
        lambda: [keys_of(text).repeated for text in texts],
        len(texts),
    )


def _legal(scene: Scene) -> list[tuple[int, int]]:
    """Steps and tokens that the grammar allows there."""
    return [
        (i, token)
        for i, step in enumerate(scene.steps)
        for token in scene.some_tokens.tolist()
        if scene.engine.advance(step.state, token)
    ]


@ROWS("keys.read_token")
def read_token(scene: Scene) -> Trial:
    """A JSON reader finds a key twice; else the memory is that of the text as a whole."""
    cells, table = _cells(scene.memory)
    pairs = _legal(scene)
    return Trial(
        lambda: [
            keys.read_token(scene.memory._header, cells, table, scene.steps[i].memory, token) for i, token in pairs
        ],
        lambda memories: memories,
        lambda: [_memory(scene, scene.steps[i].text + scene.tokens[token]) for i, token in pairs],
        len(pairs),
    )


def _memory(scene: Scene, text: bytes) -> int:
    """The memory of a text, read from its beginning; 0 where a JSON reader finds a key twice."""
    return 0 if keys_of(text).repeated else scene.memory.after_bytes(keys.START, text)


@ROWS("keys.read_each")
def read_each(scene: Scene) -> Trial:
    """As `keys.read_token`."""
    cells, table = _cells(scene.memory)
    tokens = [
        np.array([token for token in scene.some_tokens.tolist() if scene.engine.advance(step.state, token)], np.int32)
        for step in scene.steps
    ]
    out = [np.zeros(len(some), np.int64) for some in tokens]
    return Trial(
        lambda: [
            keys.read_each(scene.memory._header, cells, table, step.memory, some, into)
            for step, some, into in zip(scene.steps, tokens, out, strict=True)
        ],
        lambda statuses: (statuses, [each.tolist() for each in out]),
        lambda: (
            [0] * len(scene.steps),
            [
                [_memory(scene, step.text + scene.tokens[token]) for token in some.tolist()]
                for step, some in zip(scene.steps, tokens, strict=True)
            ],
        ),
        len(scene.steps),
    )


def _is_known(text: bytes) -> bool:
    """Whether the key in the making, which has no escapes, begins one that its object has."""
    stack, begun, _ = keys_of(text)
    return begun is not None and any(key.encode().startswith(begun) for key in stack[-1] or ())


@ROWS("keys.goes_on")
def goes_on(scene: Scene) -> Trial:
    """Prefixes in Python."""
    texts = [text for text in _texts(scene) if b"\\" not in text and not keys_of(text).repeated]
    memories = [scene.memory.after_bytes(keys.START, text) for text in texts]
    cells, _ = _cells(scene.memory)
    return Trial(
        lambda: [keys.goes_on(cells, memory) for memory in memories],
        lambda found: [each != 0 for each in found],
        lambda: [_is_known(text) for text in texts],
        len(texts),
    )


@ROWS("keys.forbid_keys")
def forbid_keys(scene: Scene) -> Trial:
    """Keys as a JSON reader sees them."""
    header, memories = scene.memory._header, scene.memories.tolist()

    def forbid(rows: np.ndarray) -> int:
        return max(keys.forbid_keys(header, memory, row) for memory, row in zip(memories, rows, strict=True))

    return _narrowed(scene, forbid)


@ROWS("keys.forbid_repeated")
def forbid_repeated(scene: Scene) -> Trial:
    """Keys as a JSON reader sees them, and prefixes of keys in Python for the tokens that are listed."""
    memory, filled = scene.memory, scene.rows()
    cells, table = _cells(memory)
    out, listed = filled.copy(), np.zeros((len(filled), len(scene.tokens)), np.int32)

    def run() -> list[int]:
        out[:] = filled
        return [
            int(keys.forbid_repeated(memory._header, cells, table, step.memory, memory._tokens.double,
                                     memory._tokens.quotes, out[i], listed[i]))
            for i, step in enumerate(scene.steps)
        ]  # fmt: skip

    def plain(i: int, tokens: set[int]) -> set[int]:
        """Those without an escape, at or behind the start of a key: what becomes of others is not a matter of bytes."""
        text = scene.steps[i].text
        at_key = keys_of(text).begun is not None or text.rstrip().endswith((b"{", b", ", b","))
        return {t for t in tokens if b"\\" not in scene.tokens[t]} if at_key else set()

    return Trial(
        run,
        lambda counts: (_ids(out), [plain(i, set(listed[i, :n].tolist())) for i, n in enumerate(counts)]),
        lambda: (
            scene.allowed_once,
            [
                plain(i, {t for t in allowed if scene.tokens[t] and _is_known(step.text + scene.tokens[t])})
                for i, (step, allowed) in enumerate(zip(scene.steps, scene.allowed_once, strict=True))
            ],
        ),
        len(scene.steps),
    )


assert FIRST_STATE > tree_masks.ENDED  # `_kind`
