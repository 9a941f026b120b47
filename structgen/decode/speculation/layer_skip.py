"""The target as its own draft model, with some of its layers left out. Nothing is trained and no weights are added.

"SWIFT: On-the-Fly Self-Speculative Decoding for LLM Inference Acceleration" chooses the layers while it decodes, by how
well the shortened model says what the text then was. Here they are chosen once, on the first text long enough: of a
number of subsets, the one whose likeliest tokens agree most often with those of the whole model.
"""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any

import torch

from structgen.decode.speculation.draft_model import DraftModel, DraftText
from structgen.decode.speculation.forward import TreeForward
from structgen.errors import SpeculationError

MAX_TRIED = 32
CALIBRATION_TOKENS = 256


class LayerSkip(DraftModel):
    """A dynamic tree from the target without some of its layers.

    `layers` are those that are kept; None chooses `num_layers` of them (half, rounded up) on the first text.
    """

    def __init__(
        self,
        model: Any,
        *,
        layers: tuple[int, ...] | None = None,
        num_layers: int | None = None,
        width: int = 4,
        branching: int = 4,
        max_passes: int = 6,
        least: float = 0.02,
    ) -> None:
        total = len(_layers_of(model))
        self._target = model
        self._num_layers = num_layers or (total + 1) // 2
        if not 1 <= self._num_layers <= total:
            raise ValueError(f"num_layers must be in 1 … {total}, not {num_layers}")
        self.layers = layers
        first = layers if layers is not None else tuple(range(self._num_layers))
        super().__init__(
            without_layers(model, first), width=width, branching=branching, max_passes=max_passes, least=least
        )

    def begin(self, prompt_ids: list[int]) -> DraftText:
        """Chooses the layers, if that has not been done; the prompt is read on the first proposal."""
        if self.layers is None and len(prompt_ids) > 8:
            self.layers = choose_layers(self._target, self._num_layers, prompt_ids[-CALIBRATION_TOKENS:])
            self.model = without_layers(self._target, self.layers)
        return DraftText(TreeForward(self.model))


def without_layers(model: Any, kept: tuple[int, ...]) -> Any:
    """The model with these decoder layers only, in order. Weights are shared; the model itself stays as it is."""
    layers = _layers_of(model)
    if not kept or list(kept) != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < len(layers):
        raise ValueError(f"layers to keep are some of 0 … {len(layers) - 1}, in order, not {list(kept)}")
    short = _shallow(model)
    base = _shallow(getattr(model, model.base_model_prefix))
    short._modules[model.base_model_prefix] = base
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = len(kept)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = [config.layer_types[i] for i in kept]
    short.config = base.config = config
    copies = []
    for index, i in enumerate(kept):
        layer = _shallow(layers[i])
        for name, child in list(layer._modules.items()):
            if hasattr(child, "layer_idx"):
                layer._modules[name] = _shallow(child)
                layer._modules[name].layer_idx = index
        if hasattr(layer, "layer_idx"):
            layer.layer_idx = index
        copies.append(layer)
    base._modules["layers"] = torch.nn.ModuleList(copies)
    return short


def choose_layers(model: Any, num_layers: int, token_ids: list[int], *, seed: int = 0) -> tuple[int, ...]:
    """The `num_layers` layers that alone agree best with the whole model on a text; all subsets are tried if they are
    few, else `MAX_TRIED` of them. Agreement is counted on the likeliest token at each place."""
    total = len(_layers_of(model))
    subsets = list(itertools.islice(itertools.combinations(range(total), num_layers), MAX_TRIED + 1))
    if len(subsets) > MAX_TRIED:
        rng = random.Random(seed)
        spread = tuple(sorted({round(i * (total - 1) / max(num_layers - 1, 1)) for i in range(num_layers)}))
        drawn = {tuple(sorted(rng.sample(range(total), num_layers))) for _ in range(MAX_TRIED - 1)}
        subsets = [*([spread] if len(spread) == num_layers else []), *sorted(drawn)]
    with torch.inference_mode():
        ids = torch.tensor([token_ids], device=model.device)
        wanted = model(input_ids=ids, use_cache=False).logits.argmax(-1)

        def agreement(kept: tuple[int, ...]) -> int:
            said = without_layers(model, kept)(input_ids=ids, use_cache=False).logits.argmax(-1)
            return int((said == wanted).sum())

        return max(subsets, key=agreement)


def _layers_of(model: Any) -> Any:
    layers = getattr(getattr(model, getattr(model, "base_model_prefix", ""), None), "layers", None)
    if layers is None:
        raise SpeculationError(
            f"the layers of {type(model).__name__} were not found, so none can be skipped",
            advice="use another drafter",
        )
    return layers


def _shallow(module: Any) -> Any:
    """The module with submodules of its own to replace, and the same weights."""
    other = copy.copy(module)
    other._modules = dict(module._modules)
    return other
