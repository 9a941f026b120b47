"""A model that has one text in mind, and engines whose masks can end a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from bench_fakes import FakeCompiled, FakeEngine, FakeSession

from jsonschemabench.engines.base import Bitmask
from jsonschemabench.engines.unconstrained import UNCONSTRAINED, UnconstrainedEngine
from jsonschemabench.tokenizer import Tokenizer

PROMPT_ID = 7


class FakeContinuation:
    """Wants the next token of the model's text; where the mask forbids it, the lowest one that is allowed."""

    def __init__(self, model: FakeModel) -> None:
        self._model = model
        self._num_read = 0

    def read(self, token_ids: Sequence[int]) -> None:
        assert token_ids
        self._num_read += len(token_ids)

    def choose(self, bitmask: Bitmask | None) -> int | None:
        wanted = self._model.wanted[min(self._num_read - 1, len(self._model.wanted) - 1)]
        if bitmask is None:
            return wanted
        allowed = np.flatnonzero(np.unpackbits(bitmask[0].view(np.uint8), bitorder="little"))
        if wanted in allowed:
            return wanted
        return int(allowed[0]) if len(allowed) else None


class FakeModel:
    name = "fake"
    context: int | None = 100

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self.tokenizer = tokenizer
        self.settings: dict[str, Any] = {}
        self.end_ids = frozenset({tokenizer.eos_token_id})
        self.wanted = [*tokenizer.encode(text), tokenizer.eos_token_id]

    def load(self) -> None: ...

    def ready(self) -> None: ...

    def encode(self, prompt: str) -> list[int]:
        return [PROMPT_ID]

    def begin(self) -> FakeContinuation:
        return FakeContinuation(self)


class EndingSession(FakeSession):
    def mask(self, bitmask: Bitmask) -> None:
        super().mask(bitmask)
        if self.may_end():
            last = self._engine.eos_token_id  # type: ignore[attr-defined]
            bitmask.view(np.uint32)[0, last // 32] |= np.uint32(1 << last % 32)


class EndingCompiled(FakeCompiled):
    def start(self) -> EndingSession:
        return EndingSession(self._engine, self._schema)


class EndingEngine(FakeEngine):
    """The fake engine, with end-of-text in the mask of a text that may end."""

    name = "ending"

    def setup(self, tokenizer: Tokenizer, settings: Any) -> None:
        super().setup(tokenizer, settings)
        self.eos_token_id = tokenizer.eos_token_id

    def compile(self, schema: Any) -> EndingCompiled:
        super().compile(schema)
        return EndingCompiled(self, schema)


def make_beside(name: str) -> Any:
    """An engine by name; a function of a module, so that another process can have it."""
    return {"ending": EndingEngine, "fake": FakeEngine, UNCONSTRAINED: UnconstrainedEngine}[name]()
