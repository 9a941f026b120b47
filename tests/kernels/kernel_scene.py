"""What the table of kernels is tried on: a text on its way through a schema, state by state."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

import structgen
from structgen.ir import Node
from structgen.masks.memory import Memory, memory_of
from structgen.reference import Recognizer
from structgen.vocab import Vocabulary

SCHEMA: Any = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "maxLength": 12},
        "kind": {"enum": ["alpha", "alphabet", "beta"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "n": {"type": "integer"},
    },
    "required": ["name"],
    "additionalProperties": {"type": ["string", "null", "object"]},
}
TEXT = b'{"name": "an ex\xc3\xa9", "tags": ["x", "two"], "n": 12, "other": null, "othello": {"a": 1}}'
_PRINTABLE = [bytes((b,)) for b in range(0x20, 0x7F)]
_WORDS = (
    b'{"', b'": ', b'": "', b'", "', b'"}', b'"]', b", ", b'"a', b"na", b"name", b'name"', b'"name"', b'"name": "',
    b"alpha", b"alph", b"bet", b"oth", b"other", b'other"', b"othello", b"ello", b'ello": ', b"null", b"12", b"],",
    b'], "', b"}}", b"\\u00", b"\\u006", b"\\", b'\\"', b"e\xc3\xa9", b"\xc3\xa9", b"\xc3", b"\xa9", b"\xe2\x82",
    b"\xac", b"\n", b"  ", b'{"a": 1', b'null, "', b'x", "two', b": n", b"long and longer",
    b'"other": null, "other"',
)  # fmt: skip


def small_vocabulary() -> Vocabulary:
    """Some 140 tokens, among them several that end a key, and several that end within a character or an escape."""
    return Vocabulary.from_bytes([b"", *_PRINTABLE, *_WORDS], eos_token_ids=[0])


class Step(NamedTuple):
    """Before a token: the text so far, the state and the memory of keys after it."""

    text: bytes
    state: int
    memory: int
    token: int


class Scene:
    """A vocabulary, an engine for it, and a text that it has followed and written every mask of."""

    def __init__(self, vocab: Vocabulary) -> None:
        self.vocab = vocab
        self.tokens = [bytes(each or b"") for each in vocab.tokens]
        self.grammar = structgen.compile_schema(SCHEMA, vocab)
        self.engine = self.grammar.binding().engine
        self.header, self.arena = self.engine.header, self.engine.arena
        self.words = vocab.num_words
        self.memory: Memory = memory_of(self.engine)
        row = np.zeros((1, self.words), np.uint32)
        self.steps: list[Step] = []
        state, seen, text = self.grammar.binding().start, self.memory.start, b""
        for token in self._tokens_of(TEXT):
            self.engine.fill(state, seen, row, 0)
            self.steps.append(Step(text, state, seen, token))
            state, seen = self.engine.advance_text(state, seen, token)
            assert state and seen
            text += self.tokens[token]
        self.states = np.array([step.state for step in self.steps], np.int32)
        self.memories = np.array([step.memory for step in self.steps], np.int64)
        self.where = np.arange(len(self.steps), dtype=np.int32)
        rng = np.random.default_rng(5)
        self.some_tokens = np.sort(rng.choice(len(self.tokens), min(len(self.tokens), 200), replace=False)).astype(
            np.int32
        )
        for step in self.steps:  # all transitions are known from here on
            self.engine.advance_each(step.state, self.some_tokens)

    def _tokens_of(self, text: bytes) -> list[int]:
        """The longest token first."""
        ids = {token: i for i, token in enumerate(self.tokens) if token}
        found: list[int] = []
        while text:
            length = next(n for n in range(min(len(text), 24), 0, -1) if text[:n] in ids)
            found.append(ids[text[:length]])
            text = text[length:]
        return found

    def rows(self, *, repeats: bool = True) -> np.ndarray:
        """uint32 [steps, words]: the mask of each step; with `repeats` also tokens that repeat a key."""
        out = np.zeros((len(self.steps), self.words), np.uint32)
        for i, step in enumerate(self.steps):
            self.engine.fill(step.state, 0 if repeats else step.memory, out, i)
        return out

    @cached_property
    def recognizer(self) -> Recognizer:
        """What a text of the schema is, by the executable specification."""
        root: Node = self.grammar.root
        return Recognizer(root)

    def may_follow(self, text: bytes) -> set[int]:
        """The tokens after which a text can still become one of the schema, repeated keys or not; the end of text."""
        ending = set(self.vocab.eos_token_ids) if self.recognizer.accepts(text) else set()
        return set(self.recognizer.mask(text, self.tokens)) | ending

    def repeating(self, text: bytes) -> set[int]:
        """The tokens that may follow, but for a key that they repeat."""
        return {token for token in self.may_follow(text) if keys_of(text + self.tokens[token]).repeated}

    @cached_property
    def allowed(self) -> list[set[int]]:
        """Of each step."""
        return [self.may_follow(step.text) for step in self.steps]

    @cached_property
    def allowed_once(self) -> list[set[int]]:
        """Of each step, less what would repeat a key."""
        return [allowed - self.repeating(step.text) for allowed, step in zip(self.allowed, self.steps, strict=True)]


def ids_of(row: np.ndarray) -> set[int]:
    """The tokens of a row of a mask."""
    return set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little")).tolist())


class Keys(NamedTuple):
    """What a text says of its keys so far."""

    stack: list[list[str] | None]
    """The keys of each open object, the innermost last; None for an array."""
    begun: bytes | None
    """The key in the making, as it is spelled."""
    repeated: bool


def keys_of(text: bytes) -> Keys:
    """Read a JSON text, or the beginning of one."""
    stack: list[list[str] | None] = []
    at_key = False
    i = 0
    while i < len(text):
        char = text[i : i + 1]
        if char == b'"':
            end = i + 1
            while end < len(text) and text[end : end + 1] != b'"':
                end += 2 if text[end : end + 1] == b"\\" else 1
            if end >= len(text):
                return Keys(stack, text[i + 1 :] if at_key else None, False)
            if at_key:
                keys, key = stack[-1], json.loads(text[i : end + 1])
                assert keys is not None
                if key in keys:
                    return Keys(stack, None, True)
                keys.append(key)
                at_key = False
            i = end
        elif char in (b"{", b"["):
            stack.append([] if char == b"{" else None)
            at_key = char == b"{"
        elif char in (b"}", b"]"):
            stack.pop()
            at_key = False
        elif char == b",":
            at_key = bool(stack) and stack[-1] is not None
        i += 1
    return Keys(stack, None, False)
