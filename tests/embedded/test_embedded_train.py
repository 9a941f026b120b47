"""Laws of training: a stopped run that goes on ends where an unbroken one does, and updates are orthogonal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("jsonschema_rs")

import torch

from structgen.embedded import data, tokenizer_path, train
from structgen.embedded.muon import orthogonalise
from structgen.embedded.tokenizer import load_tokenizer

SCHEMA = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}


class Stopped(Exception):
    """What stops a run in the middle."""


@pytest.mark.parametrize("shape", [(24, 24), (48, 16), (16, 48)])
def test_orthogonalised_singular_values_are_about_one(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    well_conditioned = left @ torch.diag(torch.linspace(1, 3, min(shape))) @ right
    singular = torch.linalg.svdvals(orthogonalise(well_conditioned))
    assert 0.5 < singular.min() <= singular.max() < 1.3


def test_a_stopped_run_goes_on_as_if_unbroken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "STEP_TOKENS", 150)
    monkeypatch.setattr(train, "SAVE_EVERY_S", -1.0)
    corpus = data.build_corpus(
        [{"id": "r", "schema": SCHEMA, "tests": [{"valid": True, "data": {"a": {"b": value}}} for value in range(5)]}]
    )
    options: dict[str, Any] = {"name": "draft", "corpus": corpus, "tokenizer": load_tokenizer(tokenizer_path())}
    options |= {"minutes": None, "steps": 4, "seed": 1}
    train.train(**options, out=tmp_path / "unbroken")

    draw_batches = train.draw_batches

    def stop_at_two(*args: Any, **kwargs: Any) -> Any:
        if kwargs["step"] == 2:
            raise Stopped
        return draw_batches(*args, **kwargs)

    monkeypatch.setattr(train, "draw_batches", stop_at_two)
    with pytest.raises(Stopped):
        train.train(**options, out=tmp_path / "stopped")
    monkeypatch.setattr(train, "draw_batches", draw_batches)
    train.train(**options, out=tmp_path / "stopped")

    unbroken, stopped = (torch.load(tmp_path / name / "draft.state.pt") for name in ("unbroken", "stopped"))
    assert stopped["done"]["losses"] == unbroken["done"]["losses"]
    for name, weight in unbroken["model"].items():
        assert torch.equal(weight, stopped["model"][name]), name
    assert (tmp_path / "stopped" / "draft" / "model.safetensors").exists()
