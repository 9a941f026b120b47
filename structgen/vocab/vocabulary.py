"""A vocabulary: what each token id stands for, in bytes.

Owns the immutable result of reading a tokenizer, and its identity. Knows nothing of grammars and masks, and nothing of
how tokenizers are read (`backend`, `slow`, `files`).

Law: `decode(encode(text)) == text` for every text the vocabulary can spell, byte for byte. Special tokens are never
text: they have no bytes, no place in the trie, and `encode` never returns them, not even for a text that spells one's
name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import index
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any, SupportsIndex

from structgen.errors import TokenizerError
from structgen.vocab import saved
from structgen.vocab.backend import identity, read_backend
from structgen.vocab.encoder import Encoder, LongestMatch, encode_exactly
from structgen.vocab.files import TokenizerFile
from structgen.vocab.slow import read_slow
from structgen.vocab.table import TokenTable
from structgen.vocab.trie import TokenTrie

TokenIds = SupportsIndex | Iterable[SupportsIndex]


@dataclass(frozen=True, eq=False, repr=False)
class Vocabulary:
    """Token ids and their exact bytes. Immutable; equal where bytes, special tokens, end of text and size are equal.

    Made by `from_tokenizer`, `from_file` or `from_bytes`.

    >>> vocab = Vocabulary.from_bytes([b"a", b"ab", b"<end>"], eos_token_ids=2)
    >>> vocab.encode("aba"), vocab.decode([1, 0, 2])
    ([1, 0], b'aba')
    """

    tokens: tuple[bytes, ...]
    """Bytes by id; empty for ids that are never text: special tokens, padding, holes, tokens without bytes."""
    eos_token_ids: tuple[int, ...]
    """Ids that end a text, the most usual first. All are special. May be empty only if that was asked for."""
    dummy_prefix: bytes = b""
    """What the tokenizer puts before a text it encodes the usual way (a space, for some SentencePiece models).

    `encode` leaves it out. A model may begin its own output with it.
    """
    _specials: tuple[tuple[int, bytes], ...] = ()
    _encoder: Encoder | None = None

    @classmethod
    def from_tokenizer(
        cls,
        tokenizer: Any,
        vocab_size: int | None = None,
        *,
        eos_token_ids: TokenIds | None = None,
        special_token_ids: TokenIds = (),
    ) -> Vocabulary:
        """The vocabulary of a transformers tokenizer (fast or slow) or of a `tokenizers.Tokenizer`.

        `vocab_size` is the number of logits, which may exceed the tokenizer's; ids past it are padding and never
        allowed. `eos_token_ids` replaces the end of text found: the tokenizer's `eos_token_id`, or else every added
        token with a well-known name (`table.END_OF_TEXT_NAMES`). Added tokens marked special are special; the others
        (Qwen's `<tool_call>`) are text, unless named in `special_token_ids`.

        Raises `TokenizerError` where tokens cannot be given exact bytes, or no end of text is found.
        """
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None and hasattr(tokenizer, "get_added_tokens_decoder"):
            backend = tokenizer
        if eos_token_ids is None:
            eos_token_ids = getattr(tokenizer, "eos_token_id", None)
        arguments = _arguments(vocab_size, eos_token_ids, special_token_ids)
        if backend is None:
            return cls._from_table(read_slow(tokenizer), *arguments)
        same = None if backend.get_vocab_size() < saved.MIN_TOKENS else identity(backend)
        key = None if same is None else saved.key_of(same, *arguments)
        kept = key and saved.load(key)
        if not kept:
            return cls._from_table(read_backend(backend), *arguments)._keep(key)
        known = TokenTable(list(kept.tokens), specials=dict(kept.specials))
        encoder = read_backend(backend, known=known).encoder
        return cls._from_saved(kept, encoder and encoder.without(known.specials))

    @classmethod
    def from_file(
        cls,
        path: str | PathLike[str],
        vocab_size: int | None = None,
        *,
        eos_token_ids: TokenIds | None = None,
        special_token_ids: TokenIds = (),
    ) -> Vocabulary:
        """The vocabulary of a `tokenizer.json` (plain or gzipped), or of a directory that holds one.

        Arguments and errors are those of `from_tokenizer`; the end of text is what `tokenizer_config.json`,
        `special_tokens_map.json` and `generation_config.json` beside the file say, or else well-known names.
        """
        file = TokenizerFile.read(Path(path))
        arguments = _arguments(vocab_size, eos_token_ids, special_token_ids)
        key = saved.key_of(file.identity(), *arguments)
        kept = saved.load(key)
        if not kept:
            return cls._from_table(file.table(), *arguments)._keep(key)
        return cls._from_saved(kept, saved.DeferredEncoder(file.data, frozenset(dict(kept.specials))))

    @classmethod
    def from_bytes(
        cls,
        tokens: Sequence[bytes],
        *,
        eos_token_ids: TokenIds,
        special_token_ids: TokenIds = (),
        vocab_size: int | None = None,
    ) -> Vocabulary:
        """A vocabulary of these byte strings, by id. `encode` takes the longest match.

        End-of-text and special tokens are never text, whatever their bytes: those serve as their names.
        """
        table = TokenTable(list(map(bytes, tokens)), specials={})
        return cls._from_table(table, vocab_size, eos_token_ids, special_token_ids)

    @classmethod
    def _from_table(
        cls, table: TokenTable, vocab_size: int | None, eos_token_ids: TokenIds | None, special_token_ids: TokenIds
    ) -> Vocabulary:
        size = len(table.tokens) if vocab_size is None else vocab_size
        if size < len(table.tokens):
            raise TokenizerError(
                f"vocab_size is {size}, but the tokenizer has ids up to {len(table.tokens) - 1}",
                advice="pass the number of logits of the model that goes with this tokenizer",
            )
        eos = table.eos_token_ids or table.end_of_text() if eos_token_ids is None else _ids(eos_token_ids)
        if not eos and eos_token_ids is None:
            raise TokenizerError("the tokenizer does not say which token ends a text", advice="pass eos_token_ids")
        tokens = table.tokens + [b""] * (size - len(table.tokens))
        specials = dict(table.specials)
        for token_id in (*eos, *_ids(special_token_ids)):
            if not 0 <= token_id < size:
                raise TokenizerError(f"special token id {token_id} is outside 0..{size - 1}", advice="pass vocab_size")
            specials.setdefault(token_id, tokens[token_id])
        for token_id in specials:
            tokens[token_id] = b""
        encoder = table.encoder and table.encoder.without(specials)
        return cls(tuple(tokens), eos, table.dummy_prefix, tuple(sorted(specials.items())), encoder)

    @classmethod
    def _from_saved(cls, kept: saved.Saved, encoder: Encoder | None) -> Vocabulary:
        made = cls(kept.tokens, kept.eos_token_ids, kept.dummy_prefix, kept.specials, encoder)
        vars(made).update(spelled_trie=kept.trie, fingerprint=kept.fingerprint)
        return made

    def _keep(self, key: str | None) -> Vocabulary:
        """Itself, kept on disk for the next process if it is large."""
        if key is not None and len(self.tokens) >= saved.MIN_TOKENS:
            kept = (self.tokens, self.eos_token_ids, self.dummy_prefix, self._specials)
            saved.save(key, saved.Saved(*kept, self.fingerprint, self.spelled_trie))
        return self

    @property
    def vocab_size(self) -> int:
        """Number of ids, padding included: the width of a row of logits."""
        return len(self.tokens)

    @property
    def num_words(self) -> int:
        """Number of 32-bit words of a mask."""
        return -(-len(self.tokens) // 32)

    @cached_property
    def max_token_bytes(self) -> int:
        """Length of the longest text token, in bytes."""
        return max(map(len, self.tokens), default=0)

    @cached_property
    def special_token_ids(self) -> frozenset[int]:
        """Ids that are never text, end of text included; padding is not among them."""
        return frozenset(token_id for token_id, _ in self._specials)

    @cached_property
    def special_tokens(self) -> Mapping[str, int]:
        """Special tokens by name; of equal names the lowest id. Nameless ones are left out."""
        names: dict[str, int] = {}
        for token_id, name in self._specials:
            if name:
                names.setdefault(name.decode(errors="replace"), token_id)
        return MappingProxyType(names)

    def special_token_bytes(self, token_id: int) -> bytes:
        """The name of a special token, such as `b"<|im_start|>"`. Raises `TokenizerError` for any other id."""
        for special_id, name in self._specials:
            if special_id == token_id:
                return name
        raise TokenizerError(f"token id {token_id} is not special", advice="see Vocabulary.special_tokens")

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes of a token; empty where it is never text. Raises `TokenizerError` outside the vocabulary."""
        if not 0 <= token_id < len(self.tokens):
            raise TokenizerError(f"token id {token_id} is outside 0..{len(self.tokens) - 1}", advice="check vocab_size")
        return self.tokens[token_id]

    def decode(self, token_ids: Iterable[int]) -> bytes:
        """The bytes these tokens spell; special tokens spell none. Not always UTF-8: tokens may split characters."""
        return b"".join(map(self.token_bytes, token_ids))

    def encode(self, text: str | bytes) -> list[int]:
        """Token ids that spell exactly `text`: the tokenizer's own choice, without special tokens and dummy prefix.

        Where that would not give the text back (bytes that are not UTF-8, a literal ▁ under SentencePiece), and for
        vocabularies made from bytes, it is the longest match. Raises `TokenizerError` where no token fits.
        """
        data = text.encode() if isinstance(text, str) else bytes(text)
        return encode_exactly(data, self._encoder, tokens=self.tokens, longest_match=self._longest_match)

    @cached_property
    def _longest_match_table(self) -> LongestMatch:
        return LongestMatch(self.tokens)

    def _longest_match(self, data: bytes) -> list[int]:
        return self._longest_match_table(data)

    @cached_property
    def trie(self) -> TokenTrie:
        """The trie over all text tokens, built when first asked for. What masks walk is `spelled_trie`."""
        return TokenTrie.from_tokens(self.tokens)

    def special_spelling(self, token_id: int) -> bytes:
        """How masks spell a special token: four bytes that no text holds, because UTF-8 has no byte 0xFF.

        Raises `TokenizerError` for an id that is not special, or that ends a text.
        """
        name = self.special_token_bytes(token_id)
        if token_id in self.eos_token_ids:
            raise TokenizerError(
                f"{name.decode(errors='replace')} ends a text and cannot stand inside one",
                advice="pass eos_token_ids without it",
            )
        return _private(token_id)

    @cached_property
    def spelled_tokens(self) -> tuple[bytes, ...]:
        """The bytes of each token as masks see them: special tokens have private ones, end of text and padding none.

        Tokens that hold the byte 0xFF have none either: no text does, and none must spell a special token.
        """
        spelled = [b"" if _PRIVATE in token else token for token in self.tokens]
        for token_id, _ in self._specials:
            if token_id not in self.eos_token_ids:
                spelled[token_id] = _private(token_id)
        return tuple(spelled)

    @cached_property
    def spelled_trie(self) -> TokenTrie:
        """The trie over `spelled_tokens`, built when first asked for."""
        return TokenTrie.from_tokens(self.spelled_tokens)

    @cached_property
    def max_spelled_bytes(self) -> int:
        """Length of the longest of `spelled_tokens`, in bytes."""
        return int(self.spelled_trie.token_length.max(initial=0))

    @cached_property
    def byte_tokens(self) -> tuple[int | None, ...]:
        """For each byte the first token that masks see as this byte alone, or None."""
        found: dict[bytes, int] = {}
        for token_id, spelled in enumerate(self.spelled_tokens):
            if len(spelled) == 1:
                found.setdefault(spelled, token_id)
        return tuple(found.get(bytes((byte,))) for byte in range(256))

    def spell(self, data: bytes) -> list[int]:
        """Token ids for bytes as masks see them: `encode`, and special tokens where their spellings stand."""
        out: list[int] = []
        begin = at = 0
        while (at := data.find(_PRIVATE, at)) >= 0:
            token_id = sum(
                (byte & 0x7F) << shift for byte, shift in zip(data[at + 1 : at + 4], (14, 7, 0), strict=False)
            )
            if token_id not in self.special_token_ids or data[at : at + 4] != _private(token_id):
                at += 1
                continue
            out += [*(self.encode(data[begin:at]) if at > begin else ()), token_id]
            begin = at = at + 4
        return out + self.encode(data[begin:]) if begin < len(data) else out

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, over bytes, special tokens, end of text and size: the same in every process."""
        digest = hashlib.sha256(b"structgen vocabulary 1\n")
        for strings in (self.tokens, [name for _, name in self._specials]):
            digest.update(f"{len(strings)} {','.join(str(len(string)) for string in strings)}\n".encode())
            digest.update(b"".join(strings))
        ids = [",".join(map(str, ids)) for ids in (sorted(self.special_token_ids), self.eos_token_ids)]
        digest.update("\n".join(ids).encode())
        return digest.hexdigest()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tokens, self.eos_token_ids, self.dummy_prefix, self._specials, self._encoder)

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, Vocabulary) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __repr__(self) -> str:
        return f"<Vocabulary of {self.vocab_size} tokens, eos {list(self.eos_token_ids)}, {self.fingerprint[:12]}>"


_PRIVATE = b"\xff"


def _arguments(
    vocab_size: int | None, eos_token_ids: TokenIds | None, special_token_ids: TokenIds
) -> tuple[int | None, tuple[int, ...] | None, tuple[int, ...]]:
    """What a vocabulary is made with besides the tokenizer, in a form that says it all."""
    eos = None if eos_token_ids is None else _ids(eos_token_ids)
    return None if vocab_size is None else index(vocab_size), eos, _ids(special_token_ids)


def _private(token_id: int) -> bytes:
    """0xFF and the id in three bytes of seven bits, all above 0x7F: a prefix of no other spelling."""
    return bytes((0xFF, *(0x80 | token_id >> shift & 0x7F for shift in (14, 7, 0))))


def _ids(token_ids: TokenIds) -> tuple[int, ...]:
    return tuple(dict.fromkeys(map(index, [token_ids] if isinstance(token_ids, SupportsIndex) else token_ids)))
