"""`tokenizer.json` on disk, and the files beside it that say which tokens end a text."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from structgen.errors import TokenizerError
from structgen.vocab.backend import read_backend
from structgen.vocab.table import TokenTable

_NAMES: Final = ("tokenizer.json", "tokenizer.json.gz")
_NAMING_END: Final = ("tokenizer_config.json", "special_tokens_map.json")
_GENERATION: Final = "generation_config.json"
_WHICH_FILE: Final = "pass the path of a tokenizer.json"
_GZIP_MAGIC: Final = b"\x1f\x8b"


@dataclass(frozen=True)
class TokenizerFile:
    """A `tokenizer.json`, plain or gzipped, or that of a directory that holds one.

    The end of text is what `tokenizer_config.json`, `special_tokens_map.json` and `generation_config.json` of the
    same directory say. A file by another name is taken to stand alone.
    """

    path: Path
    data: bytes
    """Its content as it is on disk."""

    @classmethod
    def read(cls, path: Path) -> TokenizerFile:
        """Raises `TokenizerError` where there is no such file."""
        if path.is_dir():
            found = next((path / name for name in _NAMES if (path / name).is_file()), None)
            if found is None:
                raise TokenizerError(f"{path} holds no {' or '.join(_NAMES)}", advice="pass the path of the file")
            path = found
        try:
            return cls(path, path.read_bytes())
        except OSError as error:
            raise TokenizerError(f"{path} cannot be read: {error}", advice=_WHICH_FILE) from error

    @property
    def stands_alone(self) -> bool:
        return self.path.name not in _NAMES

    def identity(self) -> str:
        """A digest of the content, and of the files beside it that count."""
        digest = hashlib.blake2b(digest_size=32)
        beside = [] if self.stands_alone else [self.path.parent / name for name in (*_NAMING_END, _GENERATION)]
        for data in (self.data, *(file.read_bytes() if file.is_file() else b"" for file in beside)):
            digest.update(hashlib.blake2b(data).digest())
        return digest.hexdigest()

    def table(self) -> TokenTable:
        """Raises `TokenizerError` where it is no tokenizer, or its tokens have no exact bytes."""
        table = table_of(self.data, str(self.path))
        return table if self.stands_alone else replace(table, eos_token_ids=_end_of_text(self.path.parent, table))


def table_of(data: bytes, name: str = "the file") -> TokenTable:
    """The table of the content of a `tokenizer.json`, plain or gzipped."""
    from tokenizers import Tokenizer

    try:
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:  # gzip data cut short or damaged
        raise TokenizerError(f"{name} cannot be read: {error}", advice=_WHICH_FILE) from error
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the only type the library raises
        raise TokenizerError(f"{name} is not a tokenizer.json: {error}", advice="pass another file") from error
    return read_backend(tokenizer)


def _end_of_text(folder: Path, table: TokenTable) -> tuple[int, ...]:
    """First the token the tokenizer's own files name, then those that generation stops at."""
    names = []
    for file in _NAMING_END:
        token = _read_json(folder / file).get("eos_token")
        names.append(token["content"] if isinstance(token, dict) else token)
    generation = _read_json(folder / _GENERATION).get("eos_token_id")
    token_ids = generation if isinstance(generation, list) else [] if generation is None else [generation]
    return tuple(dict.fromkeys([*table.end_of_text(name for name in names if name is not None), *token_ids]))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise TokenizerError(f"{path} is not JSON: {error}", advice="repair or remove it") from error
    return read if isinstance(read, dict) else {}
