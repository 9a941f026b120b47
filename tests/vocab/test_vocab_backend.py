"""Vocabularies of `tokenizers.Tokenizer` objects: small ones, variants of them, and the ones that are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from vocab_specs import SPIECE_REPLACE, added_token, load, spiece_json

from structgen.errors import TokenizerError
from structgen.vocab import Vocabulary

texts = st.text(max_size=60) | st.lists(
    st.sampled_from(
        [
            "the ",
            "  ",
            "▁",
            "<0x0A>",
            "<tool>",
            "<tool_call>",
            " <tool_call> ",
            "</s>",
            "<|im_end|>",
            "é",
            "e\u0301",
            "\n",
        ]
    )
).map("".join)


@given(text=texts)
def test_round_trip(made: Vocabulary, text: str) -> None:
    token_ids = made.encode(text)
    assert made.decode(token_ids) == text.encode()
    assert not made.special_token_ids & set(token_ids)


@given(data=st.binary(max_size=40))
def test_round_trip_of_any_bytes(made: Vocabulary, data: bytes) -> None:
    assert made.decode(made.encode(data)) == data


@given(text=st.text(st.characters(codec="utf-8", exclude_characters="▁"), max_size=40))
def test_encode_is_the_tokenizer_s_own(byte_level: Tokenizer, spiece: Tokenizer, text: str) -> None:
    plain = Vocabulary.from_tokenizer(byte_level)
    assert plain.encode(text) == byte_level.encode(text, add_special_tokens=False).ids
    spaced = Vocabulary.from_tokenizer(spiece)
    spiece.normalizer = load(spiece_json() | {"normalizer": SPIECE_REPLACE}).normalizer
    assert spaced.encode(text) == spiece.encode(text, add_special_tokens=False).ids
    spiece.normalizer = load(spiece_json()).normalizer


def test_the_tokenizer_is_left_alone() -> None:
    tokenizer = load(spiece_json())
    before = tokenizer.to_str()
    Vocabulary.from_tokenizer(tokenizer).encode("the")
    assert tokenizer.to_str() == before


def test_sentencepiece_entries(spiece: Tokenizer) -> None:
    vocab = Vocabulary.from_tokenizer(spiece)
    token_ids = spiece.get_vocab()
    spelled = {"▁": b" ", "▁▁": b"  ", "▁the": b" the", "<0x20>": b" ", "<0xE9>": b"\xe9", "<0x0G>": b"<0x0G>"}
    assert {entry: vocab.token_bytes(token_ids[entry]) for entry in spelled} == spelled
    assert vocab.dummy_prefix == b" "
    assert vocab.eos_token_ids == (token_ids["</s>"],)
    assert vocab.special_tokens == {"<unk>": 0, "<s>": 1, "</s>": 2}


def test_byte_level_entries(byte_level: Tokenizer) -> None:
    vocab = Vocabulary.from_tokenizer(byte_level)
    token_ids = byte_level.get_vocab()
    assert {bytes((byte,)) for byte in range(256)} <= set(vocab.tokens)
    assert vocab.token_bytes(token_ids["    é  "]) == "    é  ".encode()
    assert vocab.dummy_prefix == b""
    assert vocab.eos_token_ids == (token_ids["<|im_end|>"], token_ids["<|endoftext|>"])


def test_added_tokens_that_are_not_special_are_text_unless_asked(byte_level: Tokenizer) -> None:
    tool = byte_level.token_to_id("<tool_call>")
    text = " <tool_call>\n"
    vocab = Vocabulary.from_tokenizer(byte_level)
    assert vocab.token_bytes(tool) == b"<tool_call>"
    assert tool in vocab.encode(text)
    asked = Vocabulary.from_tokenizer(byte_level, special_token_ids=[tool])
    assert asked.special_tokens["<tool_call>"] == tool
    assert asked.token_bytes(tool) == b""
    assert asked.decode(asked.encode(text)) == text.encode()


def test_eos_override_and_padding(byte_level: Tokenizer) -> None:
    newline = byte_level.token_to_id("Ċ")
    vocab = Vocabulary.from_tokenizer(byte_level, 1000, eos_token_ids=newline)
    assert vocab.eos_token_ids == (newline,)
    assert vocab.vocab_size == len(vocab.trie.token_length) == 1000
    assert vocab.special_token_bytes(newline) == b"\n"
    assert newline not in vocab.trie.tokens
    assert not any(vocab.tokens[byte_level.get_vocab_size() :])


def test_a_vocab_size_below_the_tokenizer_s_is_an_error(byte_level: Tokenizer) -> None:
    with pytest.raises(TokenizerError, match="vocab_size is 10"):
        Vocabulary.from_tokenizer(byte_level, 10)


def test_no_end_of_text_is_an_error() -> None:
    spec = spiece_json()
    spec["added_tokens"][2]["content"] = "</end>"
    spec["model"]["vocab"]["</end>"] = spec["model"]["vocab"].pop("</s>")
    with pytest.raises(TokenizerError, match="eos_token_ids"):
        Vocabulary.from_tokenizer(load(spec))
    assert Vocabulary.from_tokenizer(load(spec), eos_token_ids=2).special_tokens["</end>"] == 2


@pytest.mark.parametrize("scheme", ["always", "first", "never"])
def test_metaspace_pre_tokenizer(scheme: str) -> None:
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    vocab = Vocabulary.from_tokenizer(load(spiece_json() | {"normalizer": None, "pre_tokenizer": metaspace}))
    assert vocab == Vocabulary.from_tokenizer(load(spiece_json()))
    assert vocab.dummy_prefix == (b"" if scheme == "never" else b" ")
    assert vocab.decode(vocab.encode(" the▁  the")) == " the▁  the".encode()


@pytest.mark.parametrize("normalizer", ["NFC", "NFKC", "NFD", "Lowercase", "StripAccents"])
def test_normalizers_do_not_change_what_is_encoded(normalizer: str) -> None:
    spec = spiece_json()
    spec["normalizer"]["normalizers"].append({"type": normalizer})
    vocab = Vocabulary.from_tokenizer(load(spec))
    text = "The e\u0301é ﬁ"
    assert vocab.decode(vocab.encode(text)) == text.encode()


def test_an_added_token_the_model_also_has_is_spelled_by_the_decoder() -> None:
    spec = spiece_json()
    double = spec["model"]["vocab"]["▁▁"]
    spec["added_tokens"].insert(3, added_token(double, "▁▁", special=False))
    vocab = Vocabulary.from_tokenizer(load(spec))
    assert vocab.token_bytes(double) == b"  "
    assert vocab.decode(vocab.encode("▁▁  ")) == "▁▁  ".encode()


def test_byte_level_prefix_space_is_declared_and_not_encoded(byte_level: Tokenizer) -> None:
    tokenizer = Tokenizer.from_str(byte_level.to_str())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    vocab = Vocabulary.from_tokenizer(tokenizer)
    assert vocab.dummy_prefix == b" "
    assert vocab == Vocabulary.from_tokenizer(byte_level)
    assert vocab.encode("the") == byte_level.encode("the", add_special_tokens=False).ids


def test_holes_have_no_bytes() -> None:
    spec = spiece_json()
    del spec["added_tokens"][3:]
    spec["model"]["vocab"]["{}"] = 500
    vocab = Vocabulary.from_tokenizer(load(spec))
    assert vocab.vocab_size == 501
    assert vocab.token_bytes(500) == b"{}"
    assert not any(vocab.tokens[len(spec["model"]["vocab"]) - 1 : 500])


def test_dropout_does_not_reach_encode() -> None:
    spec = spiece_json()
    spec["model"]["dropout"] = 0.9
    tokenizer = load(spec)
    expected = Vocabulary.from_tokenizer(load(spiece_json())).encode("the the the")
    vocab = Vocabulary.from_tokenizer(tokenizer)
    assert [vocab.encode("the the the") for _ in range(5)] == [expected] * 5
    assert tokenizer.model.dropout == pytest.approx(0.9)


def word_level() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def word_piece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0, "the": 1, "##re": 2}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def without_byte_tokens() -> Tokenizer:
    spec = spiece_json()
    spec["model"]["byte_fallback"] = False
    return load(spec)


def wrong_decoder() -> Tokenizer:
    return load(spiece_json() | {"decoder": {"type": "Fuse"}})


@pytest.mark.parametrize(
    ("tokenizer", "named"),
    [
        (word_level, "plain text probe"),
        (word_piece, "WordPiece model"),
        (without_byte_tokens, "plain text probe"),
        (wrong_decoder, "decoder does not undo"),
        (object, "object is not a tokenizer"),
    ],
)
def test_refused_with_advice(tokenizer: Any, named: str) -> None:
    with pytest.raises(TokenizerError, match=named) as caught:
        Vocabulary.from_tokenizer(tokenizer(), eos_token_ids=0)
    assert "Vocabulary.from_bytes" in str(caught.value)


def test_custom_components_are_refused(byte_level: Tokenizer) -> None:
    class Custom:
        def pre_tokenize(self, pretok: Any) -> None: ...

    tokenizer = Tokenizer.from_str(byte_level.to_str())
    tokenizer.pre_tokenizer = pre_tokenizers.PreTokenizer.custom(Custom())
    with pytest.raises(TokenizerError, match="pre_tokenizer is custom code"):
        Vocabulary.from_tokenizer(tokenizer)
