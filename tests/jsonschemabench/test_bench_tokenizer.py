"""Cutting texts into tokens whose bytes are the text's, for tokenizers that make that hard."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, normalizers

from jsonschemabench.tokenizer import Tokenizer, TokenizerProblem


def spell(tokenizer: Tokenizer, text: str) -> list[bytes | None]:
    return [tokenizer.token_bytes[token_id] for token_id in tokenizer.encode(text)]


@given(text=st.text())
def test_the_bytes_of_the_tokens_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    try:
        wanted = text.encode()
    except UnicodeEncodeError:
        return
    assert tokenizer.decode_bytes(tokenizer.encode(text)) == wanted


def test_merges_are_used_and_special_tokens_in_a_text_are_text(tokenizer: Tokenizer) -> None:
    assert spell(tokenizer, "abc") == [b"ab", b"c"]
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.token_bytes[tokenizer.eos_token_id] is None
    assert tokenizer.eos_token_id not in tokenizer.encode("a<|endoftext|>b")


def test_gzip_folder_and_names(tokenizer_file: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json.gz").write_bytes(gzip.compress(tokenizer_file.read_bytes()))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": {"content": "ab"}}))
    tokenizer = Tokenizer(tmp_path)
    assert tokenizer.digest == Tokenizer(tokenizer_file).digest
    assert tokenizer.eos_token == "ab"
    assert Tokenizer(tokenizer_file, eos="a").eos_token == "a"
    with pytest.raises(TokenizerProblem, match="--eos"):
        Tokenizer(tokenizer_file, eos="nothing")
    with pytest.raises(TokenizerProblem, match="there is no tokenizer file"):
        Tokenizer(tmp_path / "nowhere.json")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(TokenizerProblem, match="not a tokenizer"):
        Tokenizer(tmp_path / "other.json")


def test_sentencepiece_puts_no_space_before_the_text_and_falls_back_to_bytes(tmp_path: Path) -> None:
    pieces = ["</s>", "\u2581", "{", '"', "\u2581{", '{"', "a", "}", ":", *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    backend = Backend(models.BPE(vocab=vocabulary, merges=[("\u2581", "{"), ("{", '"')], byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    backend.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    backend.add_special_tokens(["</s>"])
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path)
    assert spell(tokenizer, '{"a": "ä"}') == [b'{"', b"a", b'"', b":", b" ", b'"', b"\xc3", b"\xa4", b'"', b"}"]


def test_a_normalizer_does_not_change_the_text(tokenizer_file: Path, tmp_path: Path) -> None:
    backend = Backend.from_file(str(tokenizer_file))
    backend.normalizer = normalizers.NFC()
    backend.save(str(tmp_path / "tokenizer.json"))
    tokenizer = Tokenizer(tmp_path)
    for text in ("ab e\u0301", "\u212b"):  # a decomposed letter, and the Ångström sign
        assert tokenizer.decode_bytes(tokenizer.encode(text)) == text.encode()
