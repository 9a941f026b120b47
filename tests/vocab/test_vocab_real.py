"""The real tokenizers: every byte of random text, special tokens, agreement with the library."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from vocab_specs import REAL_EOS

from structgen.vocab import Vocabulary


@settings(max_examples=200)
@given(text=st.text(max_size=80))
def test_round_trip(real: Vocabulary, text: str) -> None:
    token_ids = real.encode(text)
    assert real.decode(token_ids) == text.encode()
    assert not real.special_token_ids & set(token_ids)


@given(data=st.binary(max_size=40))
def test_round_trip_of_any_bytes(real: Vocabulary, data: bytes) -> None:
    assert real.decode(real.encode(data)) == data


def test_special_tokens_are_never_text(real: Vocabulary) -> None:
    assert not real.special_token_ids & set(real.trie.tokens.tolist())
    for name, token_id in real.special_tokens.items():
        assert real.token_bytes(token_id) == b""
        assert real.special_token_bytes(token_id) == name.encode()
        assert real.decode(real.encode(name)) == name.encode()


def test_end_of_text(real_path: Path, real: Vocabulary) -> None:
    name = REAL_EOS[real_path.name.split(".")[0]]
    assert real.eos_token_ids[0] == real.special_tokens[name]
    assert set(real.eos_token_ids) <= real.special_token_ids


def test_encode_is_the_tokenizer_s_own(real_tokenizer: Tokenizer, real: Vocabulary) -> None:
    if real.dummy_prefix:
        return  # its own encoding begins with the prefix; the small SentencePiece tokenizer has this test

    @settings(max_examples=200, database=None)
    @given(st.text(max_size=80).map(lambda text: unicodedata.normalize("NFC", text)))
    def check(text: str) -> None:
        assert real.encode(text) == real_tokenizer.encode(text, add_special_tokens=False).ids

    real_tokenizer.encode_special_tokens = True  # hypothesis found <|im_end|> in our sources
    check()


def test_every_text_token_decodes_as_the_library_decodes_it(real_tokenizer: Tokenizer, real: Vocabulary) -> None:
    mark = real.encode("x")  # shields the next token from the strip of a dummy prefix
    token_ids = [i for i in range(0, real.vocab_size, 7) if real.tokens[i]]
    decoded = real_tokenizer.decode_batch([[*mark, token_id] for token_id in token_ids], skip_special_tokens=False)
    for token_id, text in zip(token_ids, decoded, strict=True):
        assert text == (b"x" + real.tokens[token_id]).decode(errors="replace")
