"""A pass over trees says at every node what a pass over that node's own text says, whatever cache, window and batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    DynamicCache,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    StaticCache,
)

from structgen.decode.speculation.forward import NO_PARENT, TreeForward
from structgen.errors import SpeculationError

VOCAB = 50
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "initializer_range": 0.5,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}


def _model(name: str) -> Any:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    if name == "full":
        model: Any = LlamaForCausalLM(LlamaConfig(**SHAPE))
    elif name == "sliding":
        model = MistralForCausalLM(MistralConfig(**SHAPE, sliding_window=6))
    else:
        layers = ["sliding_attention", "full_attention"]
        model = Gemma3ForCausalLM(Gemma3TextConfig(**SHAPE, head_dim=8, sliding_window=6, layer_types=layers))
    model.set_attn_implementation("sdpa")
    return model.eval().double()


MODELS = {name: _model(name) for name in ("full", "sliding", "mixed")}


def _cache(kind: str, model: Any) -> Any:
    if kind == "own":
        return None
    return DynamicCache(config=model.config) if kind == "dynamic" else StaticCache(model.config, max_cache_len=80)


def _said(model: Any, ids: list[int]) -> Any:
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, -1].float()


@pytest.mark.parametrize("kind", ["own", "dynamic", "static"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("batch", [1, 3])
def test_tree_logits_are_those_of_the_paths(name: str, kind: str, batch: int) -> None:
    """Random trees, random accepted paths of different lengths, rows that leave: twelve rounds past the window."""
    model = MODELS[name]
    rng = np.random.default_rng(7 * batch)
    texts = [rng.integers(2, VOCAB, size=n).tolist() for n in (9, 3, 5)[:batch]]
    forward = TreeForward(model, cache=_cache(kind, model))
    with torch.inference_mode():
        logits = forward.prefill(texts, 0)
    for text, row in zip(texts, logits, strict=True):
        torch.testing.assert_close(row[0], _said(model, text))
    for turn in range(9):
        if turn == 5 and batch == 3:
            forward.select([0, 2])
            texts = [texts[0], texts[2]]
        n = int(rng.integers(1, 6))
        tokens = rng.integers(2, VOCAB, size=(len(texts), n))
        parents = np.full((len(texts), n), NO_PARENT)
        for j in range(1, n):
            parents[:, j] = rng.integers(0, j, size=len(texts))
        with torch.inference_mode():
            logits = forward.append(tokens, parents)
        chosen = []
        for b, text in enumerate(texts):
            paths: list[list[int]] = []
            for j in range(n):
                paths.append([*(paths[parents[b, j]] if parents[b, j] >= 0 else []), j])
                said = _said(model, text + [int(tokens[b, i]) for i in paths[-1]])
                torch.testing.assert_close(logits[b, j], said)
            chosen.append(paths[int(rng.integers(0, n))])
        forward.commit(chosen)
        for b, text in enumerate(texts):
            text += [int(tokens[b, i]) for i in chosen[b]]
        assert forward.lengths.tolist() == [len(text) for text in texts]


def test_pending_tokens_may_be_added_to() -> None:
    """A draft model expands its tree in several passes before anything is committed."""
    model = MODELS["full"]
    forward = TreeForward(model)
    with torch.inference_mode():
        forward.prefill([[3, 4, 5]], 0)
        forward.append(np.array([[6, 7]]), np.array([[NO_PARENT, NO_PARENT]]))
        logits = forward.append(np.array([[8, 9]]), np.array([[1, 2]]))
    torch.testing.assert_close(logits[0, 0], _said(model, [3, 4, 5, 7, 8]))
    torch.testing.assert_close(logits[0, 1], _said(model, [3, 4, 5, 7, 8, 9]))
    forward.commit([[1, 2]])
    with torch.inference_mode():
        logits = forward.append(np.array([[2]]), np.array([[NO_PARENT]]))
    torch.testing.assert_close(logits[0, 0], _said(model, [3, 4, 5, 7, 8, 2]))


@pytest.mark.parametrize("implementation", ["eager", pytest.param("flex_attention", marks=pytest.mark.slow)])
def test_other_attention(implementation: str) -> None:
    """In the precision that such attention has; flex attention is compiled first."""
    model = _model("full").float()
    model.set_attn_implementation(implementation)
    forward = TreeForward(model)
    with torch.inference_mode():
        forward.prefill([[3, 4, 5]], 0)
        logits = forward.append(np.array([[6, 7, 8]]), np.array([[NO_PARENT, NO_PARENT, 0]]))
    for row, path in enumerate(([6], [7], [6, 8])):
        torch.testing.assert_close(logits[0, row], _said(model, [3, 4, 5, *path]), atol=1e-4, rtol=1e-4)


def test_what_cannot_run_trees_is_refused() -> None:
    model = _model("full")
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(SpeculationError, match="takes no mask of a tree"):
        TreeForward(model)
