"""What single entries stand for, kind by kind, and which decoders are refused."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import pre_tokenizers
from vocab_specs import SPIECE_DECODER

from structgen.errors import TokenizerError
from structgen.vocab.spelling import BYTE_LEVEL_ALPHABET, Spelling

BYTE_LEVEL = {"type": "ByteLevel"}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
NO_DECODER: Any = None


def test_alphabet_is_the_library_s() -> None:
    assert sorted(BYTE_LEVEL_ALPHABET) == sorted(pre_tokenizers.ByteLevel.alphabet())
    assert sorted(BYTE_LEVEL_ALPHABET.values()) == list(range(256))


@pytest.mark.parametrize(
    ("decoder", "token", "spelled"),
    [
        (BYTE_LEVEL, "Ġthe", b" the"),
        (BYTE_LEVEL, "ĊĊ", b"\n\n"),
        (BYTE_LEVEL, "Ã©", "é".encode()),
        (BYTE_LEVEL, "â", b"\xe2"),
        (BYTE_LEVEL, "<0x0A>", b"<0x0A>"),
        (BYTE_LEVEL, "▁x", "▁x".encode()),
        (SPIECE_DECODER, "▁the", b" the"),
        (SPIECE_DECODER, "a▁▁", b"a  "),
        (SPIECE_DECODER, "<0x0A>", b"\n"),
        (SPIECE_DECODER, "<0xe2>", b"\xe2"),
        (SPIECE_DECODER, "<0xZZ>", b"<0xZZ>"),
        (SPIECE_DECODER, "<0x0A>x", b"<0x0A>x"),
        (SPIECE_DECODER, "<0x٣٣>", "<0x٣٣>".encode()),
        (SPIECE_DECODER, "Ġé", "Ġé".encode()),
        (METASPACE, "▁a", b" a"),
        (METASPACE, "<0x0A>", b"<0x0A>"),
        ({"type": "Fuse"}, "▁a", "▁a".encode()),
    ],
)
def test_spelling(decoder: dict[str, Any], token: str, spelled: bytes) -> None:
    assert Spelling(decoder)(token) == spelled


def test_the_model_s_byte_fallback_counts_without_a_decoder_step() -> None:
    assert Spelling(METASPACE, byte_fallback=True)("<0x0A>") == b"\n"


def test_a_byte_level_pre_tokenizer_counts_without_a_decoder() -> None:
    assert Spelling(NO_DECODER, byte_level=True)("Ġa") == b" a"


@pytest.mark.parametrize(
    ("decoder", "named"),
    [
        (NO_DECODER, "no decoder"),
        ({"type": "WordPiece", "prefix": "##", "cleanup": True}, "'WordPiece'"),
        ({"type": "BPEDecoder", "suffix": "</w>"}, "'BPEDecoder'"),
        ({"type": "CTC"}, "'CTC'"),
        ({"type": "Strip", "content": " ", "start": 1, "stop": 0}, "'Strip'"),
        ({"type": "Sequence", "decoders": [{"type": "Fuse"}, METASPACE]}, "'Metaspace'"),
        ({"type": "Replace", "pattern": {"Regex": "_+"}, "content": " "}, "regular expression"),
    ],
)
def test_refused(decoder: Any, named: str) -> None:
    with pytest.raises(TokenizerError, match=named) as caught:
        Spelling(decoder)
    assert "from_bytes" in str(caught.value)
