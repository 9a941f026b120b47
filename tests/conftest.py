"""What every test may use: hypothesis profiles and the real tokenizers, where they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]

# Nothing is kept between runs: what a test sees comes from the code as it is. Processes that tests start inherit this.
os.environ["STRUCTGEN_CACHE"] = ""

# `fast` is what runs by default; HYPOTHESIS_PROFILE=thorough looks longer. Neither has a deadline: kernels are
# compiled on their first call.
_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("fast", max_examples=50, **_COMMON)
settings.register_profile("thorough", max_examples=1000, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


def tokenizer_folder() -> Path | None:
    """Where `<name>.tokenizer.json.gz` files of real models are: $STRUCTGEN_TOKENIZERS, or ../shared/tokenizers."""
    named = os.environ.get("STRUCTGEN_TOKENIZERS")
    folder = Path(named) if named else ROOT.parent / "shared" / "tokenizers"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session")
def tokenizers_path() -> Path:
    """The folder of real tokenizers; the test is skipped where it is absent."""
    folder = tokenizer_folder()
    if folder is None:
        pytest.skip("no real tokenizers here: set STRUCTGEN_TOKENIZERS to a folder of <name>.tokenizer.json.gz files")
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> tuple[object, object]:
    """A Llama of two layers with random weights, and a byte-level BPE tokenizer: it says anything the mask lets it."""
    from tiny_model import make_tiny_model

    return make_tiny_model(seed=0)


@pytest.fixture(scope="session")
def tiny_assistant() -> tuple[object, object]:
    """Another such model with the same tokenizer."""
    from tiny_model import make_tiny_model

    return make_tiny_model(seed=1)
