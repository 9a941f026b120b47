"""Laws of a vocabulary made from bytes, and its identity."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from structgen.errors import TokenizerError
from structgen.vocab import Vocabulary

ALL_BYTES = [bytes((byte,)) for byte in range(256)]
SMALL = [b"a", b"ab", b"<end>", b"", b"a", b"<tool>"]


def small(**options: object) -> Vocabulary:
    return Vocabulary.from_bytes(SMALL, **{"eos_token_ids": 2, "special_token_ids": [5]} | options)  # type: ignore[arg-type]


def test_attributes() -> None:
    vocab = small(vocab_size=70)
    assert vocab.vocab_size == 70
    assert vocab.num_words == 3
    assert vocab.max_token_bytes == 2
    assert vocab.tokens[:6] == (b"a", b"ab", b"", b"", b"a", b"")
    assert vocab.tokens[6:] == (b"",) * 64
    assert vocab.eos_token_ids == (2,)
    assert vocab.special_token_ids == {2, 5}
    assert dict(vocab.special_tokens) == {"<end>": 2, "<tool>": 5}
    assert vocab.special_token_bytes(5) == b"<tool>"
    assert vocab.token_bytes(5) == b""
    assert vocab.dummy_prefix == b""


@pytest.mark.parametrize(("size", "num_words"), [(0, 0), (1, 1), (32, 1), (33, 2)])
def test_num_words_is_rounded_up(size: int, num_words: int) -> None:
    assert Vocabulary.from_bytes([b"a"] * size, eos_token_ids=()).num_words == num_words


@pytest.mark.parametrize("token_id", [-1, 6])
def test_ids_outside_the_vocabulary_are_errors(token_id: int) -> None:
    with pytest.raises(TokenizerError, match=r"outside 0\.\.5"):
        small().token_bytes(token_id)
    with pytest.raises(TokenizerError, match=r"outside 0\.\.5"):
        small().decode([0, token_id])


def test_only_special_tokens_have_special_bytes() -> None:
    with pytest.raises(TokenizerError, match="not special"):
        small().special_token_bytes(0)


@pytest.mark.parametrize("options", [{"eos_token_ids": 6}, {"special_token_ids": [-1]}, {"vocab_size": 5}])
def test_impossible_options_are_errors(options: dict[str, object]) -> None:
    with pytest.raises(TokenizerError):
        small(**options)


@given(st.lists(st.binary(max_size=5), max_size=30), st.binary(max_size=40))
def test_longest_match_round_trip(tokens: list[bytes], data: bytes) -> None:
    vocab = Vocabulary.from_bytes([*tokens, *ALL_BYTES], eos_token_ids=())
    token_ids = vocab.encode(data)
    assert vocab.decode(token_ids) == data
    rest = data
    for token_id in token_ids:
        token = vocab.token_bytes(token_id)
        assert len(token) == max(len(other) for other in vocab.tokens if rest.startswith(other))
        assert token_id == vocab.tokens.index(token)
        rest = rest[len(token) :]


def test_encode_never_returns_special_tokens() -> None:
    vocab = Vocabulary.from_bytes([*ALL_BYTES, b"<end>"], eos_token_ids=256)
    assert vocab.encode("<end>") == list(b"<end>")


def test_bytes_no_token_spells_are_an_error() -> None:
    with pytest.raises(TokenizerError, match="0x63 at offset 3"):
        small().encode(b"abac")


@given(st.lists(st.binary(max_size=4), max_size=10), st.integers(0, 9))
def test_equal_by_content(tokens: list[bytes], changed: int) -> None:
    vocab = Vocabulary.from_bytes(tokens, eos_token_ids=())
    again = Vocabulary.from_bytes(list(tokens), eos_token_ids=[])
    assert vocab == again
    assert hash(vocab) == hash(again)
    if changed < len(tokens):
        other = [*tokens[:changed], tokens[changed] + b"x", *tokens[changed + 1 :]]
        assert vocab != Vocabulary.from_bytes(other, eos_token_ids=())
        assert vocab != Vocabulary.from_bytes(tokens, eos_token_ids=changed)


def test_fingerprint_tells_everything_apart() -> None:
    variants = [
        small(),
        small(vocab_size=7),
        small(eos_token_ids=5, special_token_ids=[2]),
        small(eos_token_ids=(2, 5)),
        small(eos_token_ids=(5, 2)),
        small(special_token_ids=()),
        small(eos_token_ids=()),
        Vocabulary.from_bytes([b"aa", b"b", *SMALL[2:]], eos_token_ids=2, special_token_ids=[5]),
        Vocabulary.from_bytes([*SMALL[:5], b"<took>"], eos_token_ids=2, special_token_ids=[5]),
    ]
    assert len({vocab.fingerprint for vocab in variants}) == len(variants)
    assert small() != "a vocabulary"


def test_fingerprint_is_the_same_in_every_process() -> None:
    assert small().fingerprint == "490959ad2ef8103d3bbfd3c92674114616bc550ec480e7b5eb8755bce9a2639b"


def test_copies_are_equal_and_work(made: Vocabulary) -> None:
    made.trie, made.special_tokens  # noqa: B018  # caches must not get in the way
    for twin in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert twin == made
        assert twin.encode("the {fox}") == made.encode("the {fox}")


def test_immutable() -> None:
    vocab = small()
    with pytest.raises(AttributeError):
        vocab.tokens = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        vocab.special_tokens["x"] = 1  # type: ignore[index]
    assert vocab.trie is vocab.trie


def test_import_loads_no_tokenizer_library() -> None:
    code = "import sys, structgen.vocab; print({'tokenizers', 'transformers', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
