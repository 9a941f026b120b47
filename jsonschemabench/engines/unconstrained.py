"""No engine: the model alone, for the commands that run one. ``masks`` and its like do not offer it."""

from __future__ import annotations

from typing import Any

from jsonschemabench.engines.base import Refused, Settings
from jsonschemabench.tokenizer import Tokenizer

UNCONSTRAINED = "unconstrained"


class UnconstrainedEngine:
    """It compiles nothing; the decoding loop knows it by its name and asks it for no mask."""

    name = UNCONSTRAINED

    def version(self) -> str:
        return "—"

    def options(self) -> str:
        return "the model alone"

    def setup(self, tokenizer: Tokenizer, settings: Settings) -> None:
        pass

    def compile(self, schema: Any) -> Any:
        raise Refused("there is no engine")
