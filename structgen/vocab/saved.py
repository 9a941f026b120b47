"""Vocabularies on disk: read from a tokenizer once, mapped into memory by every later process.

Reading a tokenizer of 128,000 tokens and building its trie takes about a second; this takes a twentieth of that. A
vocabulary is kept under a digest of everything it was made from: the tokenizer's content, the arguments, and the code
that read it. The arrays of the trie are not copied: processes share the pages.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from structgen.cache import Cache
from structgen.vocab.encoder import Encoder
from structgen.vocab.trie import TokenTrie

MIN_TOKENS = 4096  # smaller vocabularies are made as fast as they are read
_CACHE = Cache("vocabularies", max_bytes=1 << 30)
_ALIGNMENT = 64
_OWN = "own "  # before the names of the arrays that hold the tokens themselves

Arrays = dict[str, npt.NDArray[Any]]


class Saved(NamedTuple):
    """What is kept of a vocabulary: see the fields of `Vocabulary`."""

    tokens: tuple[bytes, ...]
    eos_token_ids: tuple[int, ...]
    dummy_prefix: bytes
    specials: tuple[tuple[int, bytes], ...]
    fingerprint: str
    trie: TokenTrie


def key_of(identity: str, *arguments: Any) -> str:
    """Where a vocabulary is kept that was made from a tokenizer of this identity with these arguments."""
    return hashlib.blake2b(repr((_code(), identity, arguments)).encode(), digest_size=32).hexdigest()


@functools.cache
def _code() -> str:
    """A digest of this package: whatever reads tokenizers, and the form they are kept in."""
    digest = hashlib.blake2b(digest_size=32)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


def load(key: str) -> Saved | None:
    """What is kept under a key; None if there is nothing sound."""
    data = _CACHE.map(key)
    if data is None:
        return None
    try:
        about, arrays = _unpack(data)
    except (ValueError, KeyError, TypeError):
        return None
    own = {name.removeprefix(_OWN): arrays.pop(name) for name in list(arrays) if name.startswith(_OWN)}
    start, joined = own["token_start"].tolist(), own["token_data"].tobytes()
    return Saved(
        tokens=tuple([joined[begin:end] for begin, end in pairwise(start)]),
        eos_token_ids=tuple(about["eos_token_ids"]),
        dummy_prefix=bytes.fromhex(about["dummy_prefix"]),
        specials=tuple((token_id, bytes.fromhex(name)) for token_id, name in about["specials"]),
        fingerprint=about["fingerprint"],
        trie=TokenTrie(**arrays),
    )


def save(key: str, vocabulary: Saved) -> bool:
    """Keep a vocabulary. Whether that worked."""
    start = np.zeros(len(vocabulary.tokens) + 1, np.int64)
    np.cumsum(list(map(len, vocabulary.tokens)), out=start[1:])
    joined = np.frombuffer(b"".join(vocabulary.tokens), np.uint8)
    arrays: Arrays = {_OWN + "token_start": start, _OWN + "token_data": joined}
    arrays.update(vars(vocabulary.trie))
    about = {
        "eos_token_ids": vocabulary.eos_token_ids,
        "dummy_prefix": vocabulary.dummy_prefix.hex(),
        "specials": [(token_id, name.hex()) for token_id, name in vocabulary.specials],
        "fingerprint": vocabulary.fingerprint,
    }
    return _CACHE.write(key, _pack(about, arrays))


def _pack(about: dict[str, Any], arrays: Arrays) -> bytes:
    """A line of JSON that says what follows, then the arrays, each at a multiple of `_ALIGNMENT` bytes."""
    places, at, parts = [], 0, []
    for name, array in arrays.items():
        places.append((name, array.dtype.str, array.shape, at))
        data = np.ascontiguousarray(array).tobytes()
        parts.append(data.ljust(-(-len(data) // _ALIGNMENT) * _ALIGNMENT, b"\0"))
        at += len(parts[-1])
    head = json.dumps({"about": about, "arrays": places}).encode() + b"\n"
    return b"".join([len(head).to_bytes(8, "little"), head, *parts])


def _unpack(data: memoryview) -> tuple[dict[str, Any], Arrays]:
    begin = 8 + int.from_bytes(data[:8], "little")
    head = json.loads(bytes(data[8:begin]))
    arrays: Arrays = {}
    for name, dtype, shape, at in head["arrays"]:
        count = int(np.prod(shape))
        arrays[name] = np.frombuffer(data, dtype, count, begin + at).reshape(shape)
    return head["about"], arrays


@dataclass(eq=False)
class DeferredEncoder:
    """An encoder of a tokenizer file whose vocabulary was kept: the file is parsed when something is encoded."""

    data: bytes
    """The file's content."""
    excluded: frozenset[int]
    """Token ids it does not produce."""
    made: Encoder | None = None

    @property
    def unspellable(self) -> str:
        return self._encoder().unspellable

    def __call__(self, text: str) -> list[int]:
        return self._encoder()(text)

    def without(self, token_ids: Collection[int]) -> DeferredEncoder:
        return DeferredEncoder(self.data, self.excluded | frozenset(token_ids))

    def _encoder(self) -> Encoder:
        if self.made is None:
            from structgen.vocab.files import table_of

            encoder = table_of(self.data).encoder
            assert encoder is not None
            self.made, self.data = encoder.without(self.excluded), b""
        return self.made
