"""What an engine is to the benchmark: four small protocols, and nothing about any particular library.

An engine is set up once, before the worker processes are forked; it compiles a schema; the compiled schema starts
sessions; a session fills masks and takes tokens. To add an engine, write one class with the methods of ``Engine``
and name it under the entry-point group ``jsonschemabench.engines``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from jsonschemabench.tokenizer import Tokenizer

Bitmask = NDArray[np.int32]
"""Shape [1, ceil(vocab_size / 32)]; bit t % 32 of word t // 32 is token t, 1 is allowed."""


class Refused(Exception):
    """The engine says that it does not take this schema. Any other exception of ``compile`` is counted apart."""


class EngineUnavailable(Exception):
    """The engine cannot run here; the text says what to install or change."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run asks of every engine. One that has no notion of it ignores it; ``options()`` shows what was used."""

    profile: str = "default"
    """``default`` is the engine as its documentation first shows it, ``exact`` its most standard-conforming mode."""
    registry: Mapping[str, Any] = field(default_factory=dict)
    """Documents that ``$ref`` may reach: absolute URI to schema."""


class Session(Protocol):
    """One text under one compiled schema."""

    def mask(self, bitmask: Bitmask) -> None:
        """Write the tokens that may come next into row 0."""

    def commit(self, token_id: int) -> bool:
        """Append a token; False where the engine does not take it."""

    def may_end(self) -> bool:
        """Whether the text so far is complete."""

    def error(self) -> str:
        """What went wrong inside the engine (a limit, an internal error); empty where nothing did."""


class Compiled(Protocol):
    """A compiled schema."""

    def start(self) -> Session:
        """A session at the beginning of a text."""


class Engine(Protocol):
    """An engine under test."""

    name: str

    def version(self) -> str:
        """The library's version. Raises ``EngineUnavailable`` where it is not installed."""

    def options(self) -> str:
        """The settings that matter for the figures, in one line."""

    def setup(self, tokenizer: Tokenizer, settings: Settings) -> None:
        """Everything that a server does once: load the vocabulary, build indexes, warm up."""

    def compile(self, schema: Any) -> Compiled:
        """Compile a schema given as the Python value of its JSON. Raises ``Refused``."""
