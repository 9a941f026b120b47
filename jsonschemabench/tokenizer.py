"""The tokenizer of a run: a Hugging Face ``tokenizer.json``, how it cuts instances, and what bytes its tokens are.

Every engine gets the same one. The instances are cut here, never by an engine, and each cut is checked byte for byte.
Needs the package ``tokenizers`` and nothing of structgen.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

END_OF_TEXT_NAMES = (
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end_of_turn|>",
    "<|return|>",
    "<end_of_turn>",
    "</s>",
    "<eos>",
    "<|eos|>",
)
SENTINEL = "\x02"
SENTENCEPIECE_SPACE = "\u2581"


class TokenizerProblem(Exception):
    """A tokenizer file that cannot be used, and why."""


class Tokenizer:
    """A tokenizer file. ``eos`` names the end-of-text token where the usual names and files do not tell it."""

    folder: tempfile.TemporaryDirectory[str] | None = None
    """Where the file is, if it was made here and goes with this object."""

    def __init__(self, path: str | Path, *, eos: str | None = None) -> None:
        self.path = _find_file(Path(path))
        raw = self.path.read_bytes()
        self.json_text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        self.digest = hashlib.sha256(self.json_text.encode()).hexdigest()[:16]
        try:
            from tokenizers import Tokenizer as Backend
        except ImportError as error:
            raise TokenizerProblem(f"the package tokenizers is needed to read {self.path.name}: {error}") from error
        try:
            self.backend: Any = Backend.from_str(self.json_text)
        except Exception as error:  # tokenizers raises plain Exception
            raise TokenizerProblem(f"{self.path.name} is not a tokenizer.json: {error}") from error
        self.backend.no_padding()
        self.backend.no_truncation()
        self.backend.encode_special_tokens = True  # "<s>" inside an instance is text
        vocabulary = self.backend.get_vocab(with_added_tokens=True)
        self.vocab_size = max(vocabulary.values()) + 1
        self.eos_token = eos or _end_of_text(self.path, vocabulary)
        if self.eos_token not in vocabulary:
            raise TokenizerProblem(f"{self.path.name} has no token {self.eos_token!r}; name its end of text with --eos")
        self.eos_token_id: int = vocabulary[self.eos_token]

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels as its text: another process, or another machine, may not have the file."""
        return _unpacked, (str(self.path), self.digest, self.json_text, self.eos_token)

    @functools.cached_property
    def token_bytes(self) -> list[bytes | None]:
        """The bytes of each token; None for special tokens and for ids that no token has."""
        data = json.loads(self.json_text)
        decode = _byte_level_bytes if '"ByteLevel"' in json.dumps(data.get("decoder")) else _sentencepiece_bytes
        spellings: list[bytes | None] = [None] * self.vocab_size
        for token, token_id in self.backend.get_vocab(with_added_tokens=False).items():
            spellings[token_id] = decode(token)
        for token_id, added in self.backend.get_added_tokens_decoder().items():
            spellings[token_id] = None if added.special else added.content.encode()
        spellings[self.eos_token_id] = None
        return spellings

    @functools.cached_property
    def _ids_by_bytes(self) -> dict[bytes, int]:
        return {spelling: token_id for token_id, spelling in reversed(list(enumerate(self.token_bytes))) if spelling}

    @functools.cached_property
    def _num_bytes_longest(self) -> int:
        return max(map(len, self._ids_by_bytes))

    def encode(self, text: str) -> list[int]:
        """The tokens of ``text``, whose bytes are exactly its UTF-8."""
        wanted = text.encode()
        token_ids = self._encode(text)
        if self.decode_bytes(token_ids) == wanted:
            return token_ids
        # SentencePiece puts a space before a text; behind a sentinel it does not.
        before, whole = self._encode(SENTINEL), self._encode(SENTINEL + text)
        if whole[: len(before)] == before and self.decode_bytes(whole[len(before) :]) == wanted:
            return whole[len(before) :]
        return self._encode_greedily(wanted)  # a normalizer changed the text (Unicode NFC)

    def decode_bytes(self, token_ids: list[int]) -> bytes:
        """The bytes of a sequence of tokens."""
        return b"".join(self.token_bytes[token_id] or b"" for token_id in token_ids)

    def as_transformers(self) -> Any:
        """The same as a ``transformers.PreTrainedTokenizerFast``, for engines that want one."""
        from tokenizers import Tokenizer as Backend
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast(tokenizer_object=Backend.from_str(self.json_text), eos_token=self.eos_token)

    def _encode(self, text: str) -> list[int]:
        token_ids: list[int] = self.backend.encode(text, add_special_tokens=False).ids
        return token_ids

    def _encode_greedily(self, wanted: bytes) -> list[int]:
        token_ids: list[int] = []
        at = 0
        while at < len(wanted):
            for length in range(min(self._num_bytes_longest, len(wanted) - at), 0, -1):
                token_id = self._ids_by_bytes.get(wanted[at : at + length])
                if token_id is not None:
                    token_ids.append(token_id)
                    at += length
                    break
            else:
                raise TokenizerProblem(f"{self.path.name} has no token for the byte {wanted[at]:#04x}")
        return token_ids


def _unpacked(path: str, digest: str, json_text: str, eos: str) -> Tokenizer:
    """The tokenizer of another process: its file where it is the same here, else a copy that lives as long as it."""
    with contextlib.suppress(TokenizerProblem, OSError, ValueError):
        found = Tokenizer(path, eos=eos)
        if found.digest == digest:
            return found
    folder = tempfile.TemporaryDirectory(prefix="jsonschemabench-")
    copy = Path(folder.name) / Path(path).name.removesuffix(".gz")
    copy.write_text(json_text, encoding="utf-8")
    (copy.parent / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}), encoding="utf-8")
    tokenizer = Tokenizer(copy, eos=eos)
    tokenizer.folder = folder
    return tokenizer


def default_tokenizer_path() -> Path:
    """The tokenizer that structgen carries. Raises ``TokenizerProblem`` where it does not."""
    try:
        from structgen.embedded import tokenizer_path
    except ImportError as error:
        raise TokenizerProblem(f"no --tokenizer was given, and structgen's own cannot be loaded: {error}") from error
    return Path(tokenizer_path())


def _find_file(path: Path) -> Path:
    if path.is_dir():
        for name in ("tokenizer.json", "tokenizer.json.gz"):
            if (path / name).is_file():
                return path / name
        raise TokenizerProblem(f"the folder {path} has no tokenizer.json")
    if not path.is_file():
        raise TokenizerProblem(f"there is no tokenizer file {path}")
    return path


def _end_of_text(path: Path, vocabulary: dict[str, int]) -> str:
    config = path.parent / "tokenizer_config.json"
    if config.is_file():
        named = json.loads(config.read_text(encoding="utf-8")).get("eos_token")
        named = named.get("content") if isinstance(named, dict) else named
        if named in vocabulary:
            return str(named)
    for name in END_OF_TEXT_NAMES:
        if name in vocabulary:
            return name
    raise TokenizerProblem(f"the end-of-text token of {path.name} is not known; name it with --eos")


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """GPT-2's table of printable characters for bytes, inverted."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in plain}
    others = [byte for byte in range(256) if byte not in set(plain)]
    table.update({chr(256 + index): byte for index, byte in enumerate(others)})
    return table


def _byte_level_bytes(token: str) -> bytes:
    table = _byte_of_character()
    if all(character in table for character in token):
        return bytes(table[character] for character in token)
    return token.encode()


def _sentencepiece_bytes(token: str) -> bytes:
    if len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace(SENTENCEPIECE_SPACE, " ").encode()
