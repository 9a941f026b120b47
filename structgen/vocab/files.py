"""`tokenizer.json` on disk, and the files beside it that say which tokens end a text."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from structgen.errors import TokenizerError
from structgen.vocab.backend import read_backend
from structgen.vocab.table import TokenTable

_NAMES: Final = ("tokenizer.json", "tokenizer.json.gz")
_GZIP_MAGIC: Final = b"\x1f\x8b"


def read_file(path: Path) -> TokenTable:
    """The table of a `tokenizer.json`, plain or gzipped, or of a directory that holds one.

    The end of text is what `tokenizer_config.json`, `special_tokens_map.json` and `generation_config.json` of the
    same directory say. A file by another name is taken to stand alone.
    """
    from tokenizers import Tokenizer

    if path.is_dir():
        found = next((path / name for name in _NAMES if (path / name).is_file()), None)
        if found is None:
            raise TokenizerError(f"{path} holds no {' or '.join(_NAMES)}", advice="pass the path of the file")
        path = found
    try:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:  # the last two: gzip data cut short or damaged
        raise TokenizerError(f"{path} cannot be read: {error}", advice="pass the path of a tokenizer.json") from error
    try:
        tokenizer = Tokenizer.from_buffer(data)
    except Exception as error:  # the only type the library raises
        raise TokenizerError(f"{path} is not a tokenizer.json: {error}", advice="pass another file") from error
    table = read_backend(tokenizer)
    if path.name in _NAMES:
        table = replace(table, eos_token_ids=_end_of_text(path.parent, table))
    return table


def _end_of_text(folder: Path, table: TokenTable) -> tuple[int, ...]:
    """First the token the tokenizer's own files name, then those that generation stops at."""
    names = []
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        token = _read_json(folder / file).get("eos_token")
        names.append(token["content"] if isinstance(token, dict) else token)
    generation = _read_json(folder / "generation_config.json").get("eos_token_id")
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
