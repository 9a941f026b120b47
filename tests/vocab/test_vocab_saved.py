"""A vocabulary from disk is the vocabulary, whatever became of the file; a stale one is never used."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from vocab_specs import load, spiece_json

from structgen.cache import VARIABLE
from structgen.vocab import TokenTrie, Vocabulary, files, saved
from structgen.vocab.backend import identity

TEXTS = ["", "the quick brown fox", '{"name": [1, 2]}', "é 你好 ▁ \n\t", "<tool_call> x", "a\x00b"]


@pytest.fixture(autouse=True)
def kept_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which even the smallest vocabulary is kept."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(VARIABLE, str(folder))
    monkeypatch.setattr(saved, "MIN_TOKENS", 1)
    return folder


@pytest.fixture
def path(byte_level: Tokenizer, tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    byte_level.save(str(path))
    return path


def kept_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


def assert_same(one: Vocabulary, two: Vocabulary) -> None:
    """Equal in everything that a vocabulary says, the fingerprint worked out anew."""
    assert (one.tokens, one.eos_token_ids, one.dummy_prefix) == (two.tokens, two.eos_token_ids, two.dummy_prefix)
    assert one.special_tokens == two.special_tokens
    assert one.special_token_ids == two.special_token_ids
    fresh = [Vocabulary(each.tokens, each.eos_token_ids, each.dummy_prefix, each._specials) for each in (one, two)]
    assert one.fingerprint == two.fingerprint == fresh[0].fingerprint == fresh[1].fingerprint
    assert one.max_spelled_bytes == two.max_spelled_bytes
    for name in vars(one.spelled_trie):
        first, second = getattr(one.spelled_trie, name), getattr(two.spelled_trie, name)
        expected = getattr(TokenTrie.from_tokens(one.spelled_tokens), name)
        assert first.dtype == second.dtype == expected.dtype
        assert np.array_equal(first, second)
        assert np.array_equal(first, expected)
    for text in TEXTS:
        assert one.encode(text) == two.encode(text)


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("the tokenizer was read again")

    monkeypatch.setattr(files, "table_of", fail)


def test_a_file_is_read_once(path: Path, kept_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Vocabulary.from_file(path)
    assert len(kept_files(kept_in)) == 1
    with monkeypatch.context() as patched:
        forbid_reading(patched)
        again = Vocabulary.from_file(path)
    assert_same(made, again)  # which encodes, and reads the file for that
    assert len(kept_files(kept_in)) == 1
    assert_same(again, pickle.loads(pickle.dumps(again)))


def test_the_encoder_does_not_need_the_file_any_more(path: Path) -> None:
    made = Vocabulary.from_file(path)
    again = Vocabulary.from_file(path)
    path.unlink()
    assert_same(made, again)


def test_whatever_a_vocabulary_is_made_from_is_in_its_key(path: Path, byte_level: Tokenizer) -> None:
    size = len(Vocabulary.from_file(path).tokens)
    for options in ({"vocab_size": size + 7}, {"eos_token_ids": [3]}, {"special_token_ids": [5, 6]}, {}):
        for _ in range(2):  # made, then kept
            found = Vocabulary.from_file(path, **options)  # type: ignore[arg-type]
            assert_same(found, Vocabulary.from_tokenizer(byte_level, **options))  # type: ignore[arg-type]
    (path.parent / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    first = Vocabulary.from_file(path)
    (path.parent / "generation_config.json").write_text(json.dumps({"eos_token_id": [4]}))
    second = Vocabulary.from_file(path)
    assert second.eos_token_ids == (*first.eos_token_ids, 4)
    changed = json.loads(path.read_text())
    changed["added_tokens"][-1]["content"] = "   ü   "
    path.write_text(json.dumps(changed))
    third = Vocabulary.from_file(path)
    assert "   ü   ".encode() in third.tokens
    assert third != second


@pytest.mark.parametrize("where", [0, 31, 40, 300, -1])
def test_a_damaged_file_is_as_good_as_none(path: Path, kept_in: Path, where: int) -> None:
    made = Vocabulary.from_file(path)
    (file,) = kept_files(kept_in)
    data = bytearray(file.read_bytes())
    data[where] ^= 0x10
    file.write_bytes(data)
    assert_same(made, Vocabulary.from_file(path))
    assert file.read_bytes() != data  # it was made again


@pytest.mark.parametrize("size", [0, 10, 33, 1000])
def test_a_file_cut_short_is_as_good_as_none(path: Path, kept_in: Path, size: int) -> None:
    made = Vocabulary.from_file(path)
    (file,) = kept_files(kept_in)
    file.write_bytes(file.read_bytes()[:size])
    assert_same(made, Vocabulary.from_file(path))


def test_a_folder_that_cannot_be_written(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    made = Vocabulary.from_file(path)
    for folder in (str(tmp_path / "file" / "below"), ""):
        monkeypatch.setenv(VARIABLE, folder)
        assert_same(made, Vocabulary.from_file(path))
        assert_same(made, Vocabulary.from_file(path))


@pytest.mark.parametrize("kind", ["byte_level", "spiece"])
def test_a_tokenizer_object(kind: str, request: pytest.FixtureRequest, kept_in: Path) -> None:
    tokenizer = request.getfixturevalue(kind)
    made = Vocabulary.from_tokenizer(tokenizer, eos_token_ids=[2])
    again = Vocabulary.from_tokenizer(tokenizer, eos_token_ids=[2])
    assert_same(made, again)
    assert len(kept_files(kept_in)) == 1


def test_a_tokenizer_that_was_changed_is_another() -> None:
    tokenizer = load(spiece_json())
    seen = {identity(tokenizer)}
    assert identity(load(spiece_json())) in seen
    before = Vocabulary.from_tokenizer(tokenizer)
    tokenizer.add_tokens(["<new>"])
    assert identity(tokenizer) not in seen
    after = Vocabulary.from_tokenizer(tokenizer)
    assert after.tokens == (*before.tokens, b"<new>")
    assert after.encode("<new>") == [len(before.tokens)]


@pytest.mark.slow
def test_processes_at_once(path: Path, kept_in: Path) -> None:
    code = (
        "import sys; from structgen.vocab import Vocabulary, saved; saved.MIN_TOKENS = 1\n"
        "for _ in range(20): print(Vocabulary.from_file(sys.argv[1]).fingerprint)"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    printed = {line for process in running for line in process.communicate()[0].split()}
    assert [process.returncode for process in running] == [0] * 4
    assert printed == {Vocabulary.from_file(path).fingerprint}
    assert len(kept_files(kept_in)) == 1
