"""Rows of the table: lists made of a vocabulary's trie when an engine is set up, and instructions written in bulk."""

from __future__ import annotations

import codecs
import json
import re
from functools import cache
from itertools import pairwise, product
from typing import Any

import numpy as np
from kernel_program import Program
from kernel_scene import Scene
from kernel_table import Rows, Trial

from structgen_kernels import arena as k
from structgen_kernels import chars, texts, tries
from structgen_kernels.classes import class_of

ROWS = Rows()


# ---- the vocabulary's trie ----------------------------------------------------------------------------------------
def _paths(scene: Scene) -> list[bytes]:
    """The bytes of each node."""
    nodes = scene.arena.tables[k.NODES]
    found: list[bytes] = []
    path = b""
    for byte, _, depth, _ in nodes[: len(scene.vocab.spelled_trie.nodes) - 1].tolist():
        path = path[:depth] + bytes((byte,))
        found.append(path)
    return found


def _token_bytes(scene: Scene) -> list[bytes]:
    trie = scene.vocab.spelled_trie
    data, starts = trie.token_data.tobytes(), trie.token_start.tolist()
    return [data[a:b] for a, b in pairwise(starts)]


@ROWS("tries.list_siblings")
def list_siblings(scene: Scene) -> Trial:
    """The children of each node, by their bytes, in Python."""
    siblings, at = scene.arena.tables[k.SIBLINGS], scene.arena.tables[k.SIBLING_AT]

    def found(count: int) -> Any:
        rows = siblings[:count].tolist()
        return [next(byte for byte, _ in rows[i:]) for i in at[: len(_paths(scene))].tolist()], _runs(rows)

    def _runs(rows: list[list[int]]) -> list[list[int]]:
        runs: list[list[int]] = [[]]
        for byte, node in rows:
            if byte == 256:
                runs.append([])
            else:
                runs[-1].append(node)
        return sorted(run for run in runs if run)

    def expected() -> Any:
        paths = _paths(scene)
        children: dict[bytes, list[int]] = {}
        for node, path in enumerate(paths):
            children.setdefault(path[:-1], []).append(node)
        return [path[-1] for path in paths], sorted(children.values())

    return Trial(lambda: tries.list_siblings(scene.header), found, expected)


@ROWS("tries.list_lengths")
def list_lengths(scene: Scene) -> Trial:
    """Lengths in Python."""
    tables = scene.arena.tables

    def expected() -> Any:
        paths, tokens = _paths(scene), _token_bytes(scene)
        deepest: dict[bytes, int] = {}
        for token in tokens:
            for n in range(1, len(token) + 1):
                deepest[token[:n]] = max(deepest.get(token[:n], 0), len(token))
        lengths = [len(token) for token in tokens if token]
        order = sorted(range(len(tokens)), key=lambda t: -len(tokens[t]))
        longer = [sum(length > n for length in lengths) for n in range(len(tables[k.LONGER]))]
        return len(lengths), [deepest[path] for path in paths], order, longer

    return Trial(
        lambda: tries.list_lengths(scene.header),
        lambda count: (
            count,
            tables[k.DEEPEST][: len(scene.vocab.spelled_trie.nodes) - 1].tolist(),
            tables[k.BY_LENGTH].tolist(),
            tables[k.LONGER].tolist(),
        ),
        expected,
    )


@ROWS("tries.list_quoted")
def list_quoted(scene: Scene) -> Trial:
    """The nodes whose path, or that of a node below, has a quote or a backslash, in Python."""
    rows = scene.arena.tables[k.QUOTED]

    def expected() -> Any:
        paths = _paths(scene)
        quoting = {path[:n] for path in paths if set(path) & set(b'"\\') for n in range(1, len(path) + 1)}
        listed = [(node, path) for node, path in enumerate(paths) if path in quoting]
        ends = [
            next((j for j in range(i + 1, len(listed)) if not listed[j][1].startswith(path)), len(listed))
            for i, (_, path) in enumerate(listed)
        ]
        return len(listed), [
            [node, end, len(path) - 1, path[-1]] for (node, path), end in zip(listed, ends, strict=True)
        ]

    return Trial(lambda: tries.list_quoted(scene.header), lambda count: (count, rows[:count].tolist()), expected)


@ROWS("chars.list_well_formed")
def list_well_formed(scene: Scene) -> Trial:
    """Python's decoder of UTF-8."""
    well = scene.arena.tables[k.WELL_FORMED]

    def is_good(data: bytes) -> bool:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(data)
        except UnicodeDecodeError:
            return False
        return True

    def expected() -> list[bool]:
        paths = _paths(scene)
        good = []
        for node, path in enumerate(paths):
            end = node
            while end < len(paths) and paths[end].startswith(path):
                end += 1
            begins = path[-1] < 0x80 or 0xC2 <= path[-1] <= 0xF4
            good.append(begins and all(is_good(other[len(path) - 1 :]) for other in paths[node:end]))
        return good

    return Trial(
        lambda: chars.list_well_formed(scene.header),
        lambda count: (well[: len(scene.vocab.spelled_trie.nodes) - 1].astype(bool).tolist(), count == well.sum()),
        lambda: (expected(), True),
    )


# ---- instructions ---------------------------------------------------------------------------------------------------
_AFTER = 1 << 24  # a pc behind all that is written: what leads there is read no further


def _kept(scene: Scene, kernel: Any, *args: Any) -> int:
    """What a kernel writes, of which the arena then knows nothing."""
    header, slots = scene.header, [k.COUNT + k.NET, k.COUNT + k.PICKS, k.COUNT + k.SWITCH]
    before = header[slots]
    pc = int(kernel(header, *args))
    header[slots] = before
    return pc


def _joined(words: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *map(len, words)], dtype=np.int32)
    return np.frombuffer(bytearray(b"".join(words)), np.uint8), starts


@ROWS("texts.picks")
def picks(scene: Scene) -> Trial:
    """A dict of the keys, and their instructions read in Python."""
    rng = np.random.default_rng(2)
    keys = sorted({bytes(rng.choice(list(b"abc"), rng.integers(0, 6)).tolist()) + b'":' for _ in range(60)})
    data, starts = _joined(keys)
    targets = np.arange(_AFTER, _AFTER + len(keys), dtype=np.int32)
    tried = [*keys, *(key[:-1] for key in keys), *(key[1:] for key in keys), *(b"c" + key for key in keys)]

    def found(pc: int) -> Any:
        program = Program(scene.arena)
        return [program.ends(pc, text) for text in tried]

    def expected() -> Any:
        target = dict(zip(keys, targets.tolist(), strict=True))
        return [{(len(text), target[text])} if text in target else set() for text in tried]

    return Trial(lambda: _kept(scene, texts.picks, data, starts, targets, 0), found, expected)


_HEX = rb"[0-9a-fA-F]"
_PAIR = rb"[89abAB]" + _HEX + rb"{2}\\u[dD][c-fC-F]" + _HEX + rb"{2}"  # behind the digit D
_UNIT = rb"(?:(?![dD][89a-fA-F])" + _HEX + rb"{4}|[dD]" + _PAIR + rb")"
_TAIL = rb'(?:[^"\\\x00-\x1f\x80-\xff]|\xc3[\x80-\xbf]|\\["\\/bfnrt]|\\u' + _UNIT + rb')*"'
_BEHIND_D = rb"(?:[0-7]" + _HEX + rb"{2}|" + _PAIR + rb")"
_WAYS = (b"", _HEX, _HEX + rb"{2}", _HEX + rb"{3}", _UNIT, _BEHIND_D, rb"[\x80-\xbf]")
_PIECES = [
    "a",
    "b",
    "/",
    "é",
    r"\/",
    r"\u0061",
    r"\u00",
    r"\u00E9",
    r"\ud83d",
    r"\ude00",
    r"\uD83D\uDE00",
    r"\n",
    "\\",
    '"',
]


@ROWS("texts.other_texts")
def other_texts(scene: Scene) -> Trial:
    """Python's JSON reader says which string it is; the instructions are read in Python."""
    words = sorted({"a", "ab", "aab", "b", "/a", "abba", "a/"})
    data, starts = _joined([word.encode() for word in words])
    lead = int(class_of(scene.header, *(np.uint64(1 << 3 if w == 3 else 0) for w in range(4))))  # 0xC3
    rules = 1 << 20  # stand for ways into the tail
    ways_in = np.array([*range(rules, rules + texts.W_LEADS), lead, rules + texts.W_LEADS], np.int64)
    patterns = {rules + i: re.compile(way + _TAIL) for i, way in enumerate(_WAYS)}
    some = [*(each for n in range(4) for each in product(_PIECES, repeat=n)), *product(*[_PIECES] * 3, '"')]
    tried = sorted({"".join(each).encode() for each in some})

    def is_other(text: bytes) -> bool:
        try:
            value = json.loads(b'"' + text)
            value.encode()
        except ValueError:  # also a surrogate alone
            return False
        return value not in words

    def found(pc: int) -> list[bool]:
        program = Program(scene.arena)

        @cache
        def is_rest(rule: int, rest: bytes) -> bool:
            return patterns[rule].fullmatch(rest) is not None

        return [
            any(
                at == len(text) if target == _AFTER else target < 0 and is_rest(~target, text[at:])
                for at, target in program.ends(pc, text)
            )
            for text in tried
        ]

    return Trial(
        lambda: _kept(scene, texts.other_texts, data, starts, ways_in, 0, _AFTER, -1),
        found,
        lambda: [is_other(text) for text in tried],
    )
