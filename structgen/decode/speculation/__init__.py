"""Speculative decoding under a grammar: draft trees, drafters, verification, and the loop that runs them.

Reading order: `tree` and `build` (trees as arrays), `drafter` (the protocol), the drafters (`forced`, `names` and
`outline`, `copying`, `recycling`, `trigram`, `draft_model`, `sampled`, `layer_skip`, `heads`, `mixed`), `rules` and
`chance` (verification), `controllers`, `forward` and `caches` (a pass over trees), `text` and `loop`, `entry`
(`speculate=`), `custom` (transformers' `custom_generate`). Names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structgen.decode.speculation.controllers import Controller, Fixed, Goodput, StopByRejection
    from structgen.decode.speculation.copying import Copy
    from structgen.decode.speculation.custom import speculative
    from structgen.decode.speculation.draft_model import DraftModel
    from structgen.decode.speculation.drafter import Context, Drafter, Seen
    from structgen.decode.speculation.forced import Forced
    from structgen.decode.speculation.heads import HeadDrafter, HydraHead, load_head, save_head, train_head
    from structgen.decode.speculation.layer_skip import LayerSkip
    from structgen.decode.speculation.loop import Plan
    from structgen.decode.speculation.mixed import Mixed
    from structgen.decode.speculation.outline import Outline
    from structgen.decode.speculation.recycling import TokenRecycling
    from structgen.decode.speculation.sampled import ConstantBranching, StochasticBeam
    from structgen.decode.speculation.tree import DraftTree
    from structgen.decode.speculation.trigram import Trigram

_HOME = {
    "ConstantBranching": "sampled",
    "Context": "drafter",
    "Controller": "controllers",
    "Copy": "copying",
    "DraftModel": "draft_model",
    "DraftTree": "tree",
    "Drafter": "drafter",
    "Fixed": "controllers",
    "Forced": "forced",
    "Goodput": "controllers",
    "HeadDrafter": "heads",
    "HydraHead": "heads",
    "LayerSkip": "layer_skip",
    "Mixed": "mixed",
    "Outline": "outline",
    "Plan": "loop",
    "Seen": "drafter",
    "StochasticBeam": "sampled",
    "StopByRejection": "controllers",
    "TokenRecycling": "recycling",
    "Trigram": "trigram",
    "load_head": "heads",
    "save_head": "heads",
    "speculative": "custom",
    "train_head": "heads",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


__all__ = [
    "ConstantBranching",
    "Context",
    "Controller",
    "Copy",
    "DraftModel",
    "DraftTree",
    "Drafter",
    "Fixed",
    "Forced",
    "Goodput",
    "HeadDrafter",
    "HydraHead",
    "LayerSkip",
    "Mixed",
    "Outline",
    "Plan",
    "Seen",
    "StochasticBeam",
    "StopByRejection",
    "TokenRecycling",
    "Trigram",
    "load_head",
    "save_head",
    "speculative",
    "train_head",
]
