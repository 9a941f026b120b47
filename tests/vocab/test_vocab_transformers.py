"""transformers tokenizers: the fast wrapper over a file, and stand-ins for those written in Python."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from vocab_specs import REAL_EOS, load, spiece_json

from structgen.errors import TokenizerError
from structgen.vocab import Vocabulary
from structgen.vocab.spelling import BYTE_LEVEL_ALPHABET

transformers = pytest.importorskip("transformers")


def test_fast_equals_file(tmp_path: Path, byte_level: Tokenizer) -> None:
    path = tmp_path / "some.json"
    byte_level.save(str(path))
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(path), eos_token="<|im_end|>")
    vocab = Vocabulary.from_tokenizer(fast)
    assert vocab.eos_token_ids == (fast.eos_token_id,)
    assert vocab == Vocabulary.from_file(path, eos_token_ids=fast.eos_token_id)
    assert vocab.encode("the {fox}\n") == fast.encode("the {fox}\n", add_special_tokens=False)


def test_fast_without_end_of_text_falls_back_on_names(byte_level: Tokenizer) -> None:
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=byte_level)
    assert Vocabulary.from_tokenizer(fast) == Vocabulary.from_tokenizer(byte_level)


@pytest.mark.slow
def test_a_real_fast_tokenizer_equals_its_file(tmp_path: Path, real_path: Path, real: Vocabulary) -> None:
    path = tmp_path / "some.json"
    path.write_bytes(gzip.decompress(real_path.read_bytes()))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(path), eos_token=REAL_EOS[real_path.name.split(".")[0]]
    )
    vocab = Vocabulary.from_tokenizer(fast, eos_token_ids=real.eos_token_ids)
    assert vocab == real
    text = 'The {"naïve": "test"}  of\n\n\tit 你好'
    assert vocab.encode(text) == real.encode(text)


class Slow:
    """What transformers' Python tokenizers offer, over a fast one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.added_tokens_decoder = tokenizer.get_added_tokens_decoder()

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def convert_ids_to_tokens(self, token_id: int) -> str | None:
        return self.tokenizer.id_to_token(token_id)

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]:
        self.tokenizer.encode_special_tokens = split_special_tokens
        return self.tokenizer.encode(text, add_special_tokens=add_special_tokens).ids


class Pieces:
    """What a SentencePiece model says of its pieces."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.piece_to_id = tokenizer.token_to_id

    def is_control(self, piece: int) -> bool:
        return piece in (1, 2)

    def is_unknown(self, piece: int) -> bool:
        return piece == 0

    def is_byte(self, piece: int) -> bool:
        return 3 <= piece < 259


def spiece_without_added_text() -> Tokenizer:
    spec = spiece_json()
    del spec["added_tokens"][3:]
    return load(spec)


def test_slow_sentencepiece() -> None:
    fast = Vocabulary.from_tokenizer(spiece_without_added_text())
    slow: Any = Slow(spiece_without_added_text())
    slow.sp_model = Pieces(slow.tokenizer)
    vocab = Vocabulary.from_tokenizer(slow)
    assert vocab == fast
    assert vocab.dummy_prefix == b" "
    for text in ("the", " the", "  the ▁", "</s>\n", ""):
        assert vocab.decode(vocab.encode(text)) == text.encode()


def test_slow_byte_level(byte_level: Tokenizer) -> None:
    slow: Any = Slow(Tokenizer.from_str(byte_level.to_str()))
    slow.byte_decoder = BYTE_LEVEL_ALPHABET
    vocab = Vocabulary.from_tokenizer(slow)
    assert vocab == Vocabulary.from_tokenizer(byte_level)
    assert vocab.decode(vocab.encode(" <tool_call> <|im_end|>")) == b" <tool_call> <|im_end|>"


def test_slow_of_no_known_kind_is_refused(byte_level: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="Slow is not a tokenizer we can read"):
        Vocabulary.from_tokenizer(Slow(byte_level))
