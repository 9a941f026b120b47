"""Small tokenizers made here, of both kinds, and the real ones where they are at hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from vocab_specs import REAL_EOS, load, spiece_json

from structgen.vocab import Vocabulary


@pytest.fixture(scope="session")
def byte_level() -> Tokenizer:
    """A byte-level BPE trained on a few lines, with special and other added tokens after the model's vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    lines = ['{"name": "value", "other": [1, 2, 3]}', "the quick brown fox 你好 é", "    return None\n\n"]
    tokenizer.train_from_iterator(lines * 20, trainer)
    tokenizer.add_special_tokens([AddedToken("<|im_end|>", special=True)])
    tokenizer.add_tokens([AddedToken("<tool_call>", lstrip=True, rstrip=True), AddedToken("    é  ", normalized=False)])
    return tokenizer


@pytest.fixture(scope="session")
def spiece() -> Tokenizer:
    return load(spiece_json())


@pytest.fixture(scope="session", params=["byte_level", "spiece"])
def made(request: pytest.FixtureRequest) -> Vocabulary:
    """The vocabulary of each small tokenizer."""
    return Vocabulary.from_tokenizer(request.getfixturevalue(request.param))


@pytest.fixture(scope="session", params=sorted(REAL_EOS))
def real_path(request: pytest.FixtureRequest, tokenizers_path: Path) -> Path:
    path = tokenizers_path / f"{request.param}.tokenizer.json.gz"
    if not path.exists():
        pytest.skip(f"the real tokenizer {request.param} is not at hand")
    return path


@pytest.fixture(scope="session")
def real_tokenizer(real_path: Path) -> Tokenizer:
    return Tokenizer.from_buffer(gzip.decompress(real_path.read_bytes()))


@pytest.fixture(scope="session")
def real(real_path: Path) -> Vocabulary:
    return Vocabulary.from_file(real_path)
