"""Every kernel that Python may call says what its oracle says, and is timed: two readings of one table."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import pytest
import table_machine
import table_masks
import table_sampling
import table_vocabulary
from kernel_scene import Scene, small_vocabulary
from kernel_table import Row

import structgen_kernels
from structgen.embedded import tokenizer_path
from structgen.vocab import Vocabulary
from structgen_kernels.jit import Kernel

TABLE: dict[str, Row] = {
    **table_machine.ROWS,
    **table_masks.ROWS,
    **table_vocabulary.ROWS,
    **table_sampling.ROWS,
}
EACH = pytest.mark.parametrize("row", TABLE.values(), ids=list(TABLE))


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(small_vocabulary())


@pytest.fixture(scope="module")
def large_scene() -> Scene:
    """Of Llama 3, if STRUCTGEN_TOKENIZERS says where it is; else of the embedded model."""
    folder = os.environ.get("STRUCTGEN_TOKENIZERS")
    return Scene(Vocabulary.from_file(Path(folder) / "llama3.tokenizer.json.gz" if folder else tokenizer_path()))


def test_every_kernel_has_a_row() -> None:
    names = set()
    for module in pkgutil.iter_modules(structgen_kernels.__path__):
        if module.name.startswith(("bench", "triton")):
            continue
        found = vars(importlib.import_module(f"structgen_kernels.{module.name}"))
        names |= {
            f"{module.name}.{name}"
            for name, each in found.items()
            if isinstance(each, Kernel) and each.is_entry and each.py_func.__module__.endswith("." + module.name)
        }
    assert names == TABLE.keys()


@EACH
def test_a_kernel_says_what_its_oracle_says(row: Row, scene: Scene) -> None:
    trial = row.make(scene)
    for _ in range(2):  # what it finds known, it leaves alone
        assert trial.found(trial.run()) == trial.expected()


@EACH
def test_time_of_a_kernel(row: Row, large_scene: Scene, benchmark: Any) -> None:
    trial = row.make(large_scene)
    benchmark.name = row.kernel if trial.calls == 1 else f"{row.kernel} × {trial.calls}"
    benchmark.extra_info["calls"] = trial.calls
    benchmark(trial.run)
