"""A small byte-level tokenizer, made here, and lanes over the fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench_fakes import FakeEngine
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers

from jsonschemabench.engines import Settings
from jsonschemabench.lane import Lane
from jsonschemabench.measure import Bench, Job, measure_case
from jsonschemabench.outcome import Limits
from jsonschemabench.tokenizer import Tokenizer


@pytest.fixture(scope="session")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """256 bytes, the pairs "ab" and '":', and an end-of-text token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {character: index for index, character in enumerate(alphabet)}
    merges = [("a", "b"), ('"', ":")]
    vocabulary.update({left + right: 256 + index for index, (left, right) in enumerate(merges)})
    backend = Backend(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<|endoftext|>"])
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    backend.save(str(path))
    return path


@pytest.fixture(scope="session")
def tokenizer(tokenizer_file: Path) -> Tokenizer:
    return Tokenizer(tokenizer_file)


@pytest.fixture
def bench(tokenizer: Tokenizer) -> Bench:
    return Bench.set_up(FakeEngine(), tokenizer, Settings())


@pytest.fixture
def make_lane(tokenizer: Tokenizer) -> Iterator[Callable[..., Lane]]:
    """Makes started lanes and closes them."""
    lanes = []

    def make(limits: Limits | None = None, engine: type = FakeEngine, job: Job = measure_case) -> Lane:
        lane = Lane(engine, tokenizer, job, limits or Limits(compile_s=5, schema_s=10))
        lanes.append(lane)
        lane.start()
        return lane

    yield make
    for lane in lanes:
        lane.close()
