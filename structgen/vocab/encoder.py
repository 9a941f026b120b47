"""Bytes → token ids.

Owns the text encoder made from a `tokenizers.Tokenizer`, and the law that what `encode_exactly` returns spells exactly
the bytes it was given. Knows nothing of files or of how tokens got their bytes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from structgen.errors import TokenizerError
from structgen.vocab.spelling import ADVICE, Component, Spelling, flatten


class Encoder(Protocol):
    """The canonical tokenization of a text, without special tokens. It may be inexact: `encode_exactly` checks it."""

    @property
    def unspellable(self) -> str:
        """Characters that stand for something else in this tokenizer, so that the text encoder must not see them."""

    def __call__(self, text: str) -> list[int]: ...

    def without(self, token_ids: Collection[int]) -> Encoder:
        """The same encoder, not producing these added tokens."""


@dataclass(frozen=True)
class BackendEncoder:
    """A `tokenizers.Tokenizer` reduced to what keeps every byte: no special tokens, no dummy prefix, no rewriting."""

    backend: Any
    atoms: Mapping[str, int]
    """Added tokens that are text: found before the model sees the text, the longest first."""
    unspellable: str = ""

    def __call__(self, text: str) -> list[int]:
        if not self.atoms:
            return list(self.backend.encode(text, add_special_tokens=False).ids)
        pattern = "|".join(map(re.escape, sorted(self.atoms, key=len, reverse=True)))
        token_ids: list[int] = []
        for i, part in enumerate(re.split(f"({pattern})", text)):
            if i % 2:
                token_ids.append(self.atoms[part])
            elif part:
                token_ids.extend(self.backend.encode(part, add_special_tokens=False).ids)
        return token_ids

    def without(self, token_ids: Collection[int]) -> BackendEncoder:
        return replace(self, atoms={name: i for name, i in self.atoms.items() if i not in token_ids})

    @classmethod
    def from_model(
        cls,
        model: Any,
        *,
        normalizer: Component | None,
        pre_tokenizer: Component | None,
        spelling: Spelling,
        atoms: Mapping[str, int],
    ) -> BackendEncoder:
        """An encoder that shares `model` (a `tokenizers.models.Model`) and leaves the tokenizer it came from alone.

        Of the normalizer only those replacements stay which the decoder undoes (SentencePiece's space → ▁): Unicode
        normalization, case folding and the like would change the text.
        """
        from tokenizers import Tokenizer

        kept: list[Component] = []
        unspellable = ""
        for step in flatten(normalizer, "normalizers"):
            if step["type"] == "ByteLevel":
                kept.append(step)
            elif step["type"] == "Replace" and step["content"] and step["pattern"].get("String"):
                before, after = step["pattern"]["String"], step["content"]
                if spelling(after) == before.encode():
                    kept.append(step)
                    unspellable += after
                elif before == " ":
                    raise _not_undone(after)
        pieces = [_without_prefix(step) for step in flatten(pre_tokenizer, "pretokenizers")]
        for step in pieces:
            if step["type"] == "Metaspace":
                unspellable += step["replacement"]
                if spelling(step["replacement"]) != b" ":
                    raise _not_undone(step["replacement"])
        frame: dict[str, Any] = {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": {"type": "Sequence", "normalizers": kept} if kept else None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": pieces} if pieces else None,
            "post_processor": None,
            "decoder": None,
            "model": {"type": "BPE", "vocab": {}, "merges": []},
        }
        backend = Tokenizer.from_str(json.dumps(frame))
        backend.model = model
        return cls(backend, atoms, unspellable)


def _not_undone(space: str) -> TokenizerError:
    return TokenizerError(f"the tokenizer writes spaces as {space!r}, which its decoder does not undo", advice=ADVICE)


def _without_prefix(step: Component) -> Component:
    if step["type"] == "Metaspace":
        return {**step, "add_prefix_space": False, "prepend_scheme": "never"}
    return {**step, "add_prefix_space": False} if step["type"] == "ByteLevel" else step


class LongestMatch:
    """Token ids that spell some bytes, each the longest token that fits there, and of equal ones the lowest id."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._by_bytes = {token: token_id for token_id, token in reversed(list(enumerate(tokens))) if token}
        self._lengths = sorted(set(map(len, self._by_bytes)), reverse=True)

    def __call__(self, data: bytes) -> list[int]:
        """Raises `TokenizerError` where no token fits, even if another split would have avoided the place."""
        token_ids = []
        offset = 0
        while offset < len(data):
            fitting = (length for length in self._lengths if data[offset : offset + length] in self._by_bytes)
            length = next(fitting, 0)
            if not length:
                raise TokenizerError(
                    f"no token of the vocabulary spells byte 0x{data[offset]:02x} at offset {offset}",
                    advice="encode only text the vocabulary can spell",
                )
            token = data[offset : offset + length]
            token_ids.append(self._by_bytes[token])
            offset += len(token)
        return token_ids


def encode_exactly(
    data: bytes, encoder: Encoder | None, *, tokens: Sequence[bytes], longest_match: Callable[[bytes], list[int]]
) -> list[int]:
    """Token ids whose bytes are `data`: the encoder's, and the longest match where there is none or it is inexact.

    Bytes that are not UTF-8 and the encoder's `unspellable` characters never reach it.
    """
    if encoder is None:
        return longest_match(data)
    token_ids: list[int] = []
    foreign = re.compile(f"([\udc80-\udcff{re.escape(encoder.unspellable)}]+)")
    for i, part in enumerate(foreign.split(data.decode("utf-8", "surrogateescape"))):
        part_data = part.encode("utf-8", "surrogateescape")
        part_ids = [] if i % 2 else encoder(part)
        exact = b"".join([tokens[token_id] for token_id in part_ids]) == part_data
        token_ids.extend(part_ids if exact else longest_match(part_data))
    return token_ids
