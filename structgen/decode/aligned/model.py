"""Language models as the samplers see them, and what is done to their probabilities before anything is recorded."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from structgen.errors import StructgenError

Rows: TypeAlias = npt.NDArray[np.float64]
"""Log-probabilities in nats, [prefixes, V]."""
Logits: TypeAlias = npt.NDArray[np.float32]
"""Logits, [prefixes, V]: log-probabilities but for a constant in each row."""


@runtime_checkable
class LanguageModel(Protocol):
    """A model with its prompt: what it says after a prefix of the text.

    Equal prefixes must get equal rows. A transformers model is wrapped by `TransformersModel`; a toy is three lines:

    >>> class Uniform:
    ...     def next_logprobs(self, prefixes):
    ...         return np.full((len(prefixes), 3), -np.log(3))
    """

    def next_logprobs(self, prefixes: Sequence[Sequence[int]]) -> Rows:
        """Log-probabilities of the next token after each prefix: float64 [n, V], each row normalised."""
        ...


@runtime_checkable
class LogitsModel(LanguageModel, Protocol):
    """A model that gives its logits as they are: the samplers' kernels normalise, temper and mask them in one pass.

    They are then what is recorded, and `next_logprobs` is for those who need whole rows.
    """

    def next_logits(self, prefixes: Sequence[Sequence[int]]) -> Logits:
        """Logits of the next token after each prefix: float32 [n, V], as wide as `next_logprobs`."""
        ...


class KnownModel(LanguageModel, Protocol):
    """A model that can say who it is, with its prompt, so that what was learnt about it can be kept and found again."""

    @property
    def fingerprint(self) -> str:
        """The same for the same weights and prompt in every process, and different for others."""
        ...


class ContextModel(LanguageModel, Protocol):
    """A model whose next token depends on less than the whole prefix (a Markov chain, an n-gram model)."""

    def context(self, prefix: Sequence[int]) -> Hashable:
        """What the next token depends on: prefixes with equal contexts have equal rows, now and ever after."""
        ...


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Temperature, top-k and top-p, in this order; the model that the samplers know is the one behind them."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive and finite, not {self.temperature}: nothing is drawn at 0")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {self.top_k}")
        if self.top_p is not None and not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")

    def apply(self, rows: Rows) -> Rows:
        """Rows [n, V] of log-probabilities after temperature, top-k and top-p; -inf for what is cut off.

        Ties at the edge of top-k and top-p are kept by the lowest token.
        """
        rows = np.asarray(rows, np.float64)
        if not (rows.max(-1, initial=-np.inf) > -np.inf).all() or np.isnan(rows).any():
            raise broken_row()
        if self.temperature != 1.0:
            rows = normalised(rows / self.temperature)
        elif np.abs(np.exp(rows).sum(-1) - 1.0).max(initial=0.0) > 1e-6:
            raise StructgenError("the model's probabilities do not sum to 1", advice="return log_softmax in float64")
        if self.top_k is not None and self.top_k < rows.shape[1]:
            rows = normalised(_kept(rows, np.broadcast_to(np.arange(rows.shape[1]) < self.top_k, rows.shape)))
        if self.top_p is not None and self.top_p < 1.0:
            ranked = np.exp(-np.sort(-rows, axis=-1, kind="stable"))
            before = np.cumsum(ranked, -1) - ranked
            rows = normalised(_kept(rows, before < self.top_p))
        return rows


def broken_row() -> StructgenError:
    """What is raised where a model says nothing that can be drawn from."""
    return StructgenError(
        "the model gave a row without a finite log-probability, or with NaN",
        advice="look for NaN in the model, or try float32",
    )


def normalised(rows: Rows) -> Rows:
    """Rows whose probabilities sum to 1."""
    top = rows.max(-1, keepdims=True)
    out: Rows = rows - (top + np.log(np.exp(rows - top).sum(-1, keepdims=True)))
    return out


def _kept(rows: Rows, kept_ranks: npt.NDArray[np.bool_]) -> Rows:
    """Rows with -inf at the ranks (likeliest first) that are not kept."""
    order = np.argsort(-rows, axis=-1, kind="stable")
    kept = np.zeros(rows.shape, bool)
    np.put_along_axis(kept, order, kept_ranks, -1)
    return np.where(kept, rows, -np.inf)
