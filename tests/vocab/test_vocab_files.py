"""Files, gzip, directories, and where the end of text is read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from structgen.errors import TokenizerError
from structgen.vocab import Vocabulary


@pytest.fixture
def folder(tmp_path: Path, byte_level: Tokenizer) -> Path:
    byte_level.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def write(folder: Path, **files: Any) -> None:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


def test_a_file_is_what_the_tokenizer_is(folder: Path, byte_level: Tokenizer) -> None:
    expected = Vocabulary.from_tokenizer(byte_level)
    plain = folder / "tokenizer.json"
    zipped = folder / "zipped.json.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (folder, plain, zipped, str(folder)):
        assert Vocabulary.from_file(path) == expected
    plain.unlink()
    zipped.rename(folder / "tokenizer.json.gz")
    assert Vocabulary.from_file(folder) == expected


def test_end_of_text_beside_the_file(folder: Path, byte_level: Tokenizer) -> None:
    end, turn = (byte_level.token_to_id(name) for name in ("<|endoftext|>", "<|im_end|>"))
    assert Vocabulary.from_file(folder).eos_token_ids == (turn, end)
    write(folder, special_tokens_map={"eos_token": {"content": "<|endoftext|>"}})
    assert Vocabulary.from_file(folder).eos_token_ids == (end,)
    write(folder, generation_config={"eos_token_id": [turn, end]})
    assert Vocabulary.from_file(folder).eos_token_ids == (end, turn)
    write(folder, tokenizer_config={"eos_token": "<|im_end|>"}, generation_config={"eos_token_id": end})
    assert Vocabulary.from_file(folder).eos_token_ids == (turn, end)
    assert Vocabulary.from_file(folder, eos_token_ids=end).eos_token_ids == (end,)


def test_a_file_by_another_name_stands_alone(folder: Path) -> None:
    write(folder, generation_config={"eos_token_id": 5})
    (folder / "tokenizer.json").rename(folder / "other.json")
    assert 5 not in Vocabulary.from_file(folder / "other.json").eos_token_ids


def test_a_sidecar_that_names_nothing_known_is_passed_over(folder: Path) -> None:
    expected = Vocabulary.from_file(folder)
    write(folder, tokenizer_config={"eos_token": "</nowhere>"}, generation_config={"eos_token_id": None})
    assert Vocabulary.from_file(folder) == expected


@pytest.mark.parametrize("content", [b"{}", b"not json", b"\x1f\x8bnot gzip", b""])
def test_damaged_files_are_tokenizer_errors(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        Vocabulary.from_file(path)


def test_a_cut_gzip_file_is_a_tokenizer_error(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json.gz"
    path.write_bytes(gzip.compress(b"{}" * 100)[:-12])
    with pytest.raises(TokenizerError, match=r"tokenizer\.json\.gz"):
        Vocabulary.from_file(path)


def test_missing_files_are_tokenizer_errors(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match=r"holds no tokenizer\.json"):
        Vocabulary.from_file(tmp_path)
    with pytest.raises(TokenizerError, match="cannot be read"):
        Vocabulary.from_file(tmp_path / "tokenizer.json")


def test_damaged_sidecars_are_errors(folder: Path) -> None:
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"generation_config\.json is not JSON"):
        Vocabulary.from_file(folder)
