"""Masks of real tokenizers: a token is allowed exactly if its bytes are accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import structgen
from structgen.vocab import Vocabulary

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "id": {"type": "string", "pattern": "^[a-f0-9]{4,8}$"},
        "tags": {"type": "array", "items": {"enum": ["red", "green", "blue é"]}, "minItems": 2, "maxItems": 3},
        "at": {"type": "number", "minimum": -1.5, "maximum": 1e3},
        "any": {},
        "note": {"type": "string", "minLength": 3},
    },
    "required": ["name", "tags"],
}
VALUE = {
    "name": 'Zoë "Q" 🎉',
    "id": "00ff9a",
    "tags": ["red", "blue é"],
    "at": -0.25,
    "any": [{"a": [1, "\u00e9\n"]}, None],
    "note": "a longer text, with spaces",
    "extra": {"deep": [[]]},
}
NAMES = ["llama3", "tekken", "qwen", "mistral"]


@pytest.fixture(scope="module", params=NAMES)
def vocab(request: Any, tokenizers_path: Path) -> Vocabulary:
    return Vocabulary.from_file(tokenizers_path / f"{request.param}.tokenizer.json.gz")


@pytest.mark.slow
@pytest.mark.parametrize("indent", [None, 2])
def test_masks_agree_with_acceptance(vocab: Vocabulary, indent: int | None) -> None:
    grammar = structgen.compile_schema(SCHEMA, vocab)
    rng = np.random.default_rng(0)
    state = grammar.start
    for token in vocab.encode(json.dumps(VALUE, ensure_ascii=False, indent=indent)):
        bits = np.unpackbits(grammar.mask(state).view(np.uint8), bitorder="little")[: vocab.vocab_size]
        allowed, forbidden = np.flatnonzero(bits), np.flatnonzero(bits == 0)
        assert bits[token]
        for some, expected in ((allowed, True), (forbidden, False)):
            for other in rng.choice(some, min(len(some), 300), replace=False).tolist():
                assert bool(grammar.advance(state, other)) == expected, (other, vocab.token_bytes(other))
        state = grammar.advance(state, token)
    assert grammar.is_accepting(state)


@pytest.mark.slow
def test_special_and_padding_tokens_are_never_text(tokenizers_path: Path) -> None:
    import gzip

    from tokenizers import Tokenizer

    text = gzip.decompress((tokenizers_path / "llama3.tokenizer.json.gz").read_bytes()).decode()
    vocab = Vocabulary.from_tokenizer(Tokenizer.from_str(text), vocab_size=128_512)
    matcher = structgen.compile_schema({"type": "string"}, vocab).matcher()
    assert matcher.accept_bytes(b'"a')
    row = np.zeros((1, vocab.num_words), np.int32)
    matcher.fill_next_token_bitmask(row)
    bits = np.unpackbits(row.view(np.uint8), bitorder="little")
    assert bits.sum() > 100_000
    assert not bits[sorted(vocab.special_token_ids)].any()
    assert not bits[128_256:].any()
    assert matcher.accept_bytes(b'"')
    matcher.fill_next_token_bitmask(row)
    assert set(np.flatnonzero(np.unpackbits(row.view(np.uint8), bitorder="little"))) == set(vocab.eos_token_ids)
