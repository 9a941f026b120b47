"""Decoding: `generate` and what it is made of.

Reading order: `targets` (what was asked for), `models` (what generates), `row` (one prompt on its way), `sampling` (one
token), `loop` (the batch), `speculation` (drafts), `partial` (values of unfinished text), `result`, `generate`. Nothing
is loaded here: `models`, `targets`, `partial` and `result` do without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structgen.decode.speculation.custom import speculative

__all__ = ["speculative"]


def __getattr__(name: str) -> Any:
    if name != "speculative":
        raise AttributeError(f"module 'structgen.decode' has no attribute {name!r}")
    from structgen.decode.speculation.custom import speculative

    return speculative
