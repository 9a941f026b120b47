"""What all samplers have in common: how they are made, and the count of what a call costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from structgen.decode.aligned.futures import DEFAULT_MAX_BYTES, Futures
from structgen.decode.aligned.model import LanguageModel, Shape
from structgen.decode.aligned.result import LogZ, Sample, Samples, Status
from structgen.decode.aligned.source import Random, Source
from structgen.decode.aligned.space import Space

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.decode.speculation.entry import Speculate

BATCH_SIZE = 8


class Sampler:
    """A way to draw texts of a language from a model.

    The aligned law is P(w | w in the language, at most `max_tokens` tokens and an end of text), P being the model's
    law after temperature, top-k and top-p. It is a law over token sequences: a text has one for each spelling.

    Args:
        model: a `LanguageModel`, with its prompt.
        grammar: a `CompiledGrammar` over the model's vocabulary.
        max_tokens: the longest text in tokens; its end-of-text token is not counted.
        temperature, top_k, top_p: applied in this order, before anything is recorded. Above 0; None leaves all.
        seed: makes draws repeatable, for the same options and the same calls; None is fresh entropy.
        batch_size: how many texts are under way at once. More are faster a text, and learn less from each other.
        futures: what was learnt before, by any sampler, under the same key; None begins anew.
        max_bytes: memory of a new trie (see `Futures`).
        constraint: a name for the grammar that outlives the process, for tries that are saved.
        source: where choices come from, instead of `seed`.
        speculate: "auto", a drafter or a `structgen.decode.speculation.Plan`: a call into the model then also reads
            drafted prefixes, so that texts need fewer calls. Texts, weights and the trie are those without it: the same
            for the same seed (with a drafter that draws, in law).
        learn_drafts: whether drafted prefixes go to the trie at once: `ASAp` and `CARS` then learn also from what no
            text has come to. Draws of `CARS` are exact all the same; not for drafters that draw.
    """

    def __init__(
        self,
        model: LanguageModel,
        grammar: CompiledGrammar,
        *,
        max_tokens: int,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        batch_size: int = BATCH_SIZE,
        futures: Futures | None = None,
        max_bytes: int = DEFAULT_MAX_BYTES,
        constraint: str | None = None,
        source: Source | None = None,
        speculate: Speculate = None,
        learn_drafts: bool = False,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        shape = Shape(temperature=temperature, top_k=top_k, top_p=top_p)
        self.space = Space(
            model,
            grammar,
            max_tokens=max_tokens,
            shape=shape,
            futures=futures,
            max_bytes=max_bytes,
            constraint=constraint,
            speculate=speculate,
            learn_drafts=learn_drafts,
            seed=seed,
        )
        self.batch_size = batch_size
        self.source: Source = source if source is not None else Random(seed)

    @property
    def futures(self) -> Futures:
        """What was learnt so far; other samplers with the same key may go on from it."""
        return self.space.futures

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """Draws n texts.

        Args:
            n: how many.
            budget: forward passes (prefixes that the model is asked about) after which no further attempt is begun;
                those under way are finished, because to drop them would favour short texts. Failed attempts count as
                one pass at least, so that a call ends also where everything is known. None: no limit.
        """
        raise NotImplementedError


class Tally:
    """What one call of `sample` has used."""

    def __init__(self, space: Space, n: int, budget: int | None) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, not {n}")
        if budget is not None and budget < 1:
            raise ValueError(f"budget must be at least 1 forward pass, not {budget}")
        self._space = space
        self._passes = space.forward_passes
        self._calls = space.forward_calls
        self._drafted = space.num_drafted
        self._budget = math.inf if budget is None else budget
        self.n = n
        self.attempts = 0
        self.checks = 0
        self.estimates: list[float] = []
        self.failures = 0

    @property
    def forward_passes(self) -> int:
        """Prefixes asked about since the call began."""
        return self._space.forward_passes - self._passes

    def status(self, num_found: int) -> Status | None:
        """How the call ends, None if it goes on."""
        if num_found >= self.n:
            return "complete"
        if self._space.futures.bracket()[1] == -math.inf:
            return "empty"
        return "budget" if max(self.forward_passes, self.failures) >= self._budget else None

    def estimate(self, log_z: float) -> None:
        """Note an unbiased estimate of Z, as a logarithm; -inf is a failure."""
        self.estimates.append(log_z)
        self.failures += log_z == -math.inf

    def samples(self, found: Sequence[Sample], status: Status, log_z: LogZ | None = None) -> Samples:
        """The call's result."""
        return Samples(
            items=tuple(found[: self.n]),
            status=status,
            log_z=log_z or LogZ.of(self.estimates, self._space.futures.bracket()),
            attempts=self.attempts,
            forward_passes=self.forward_passes,
            forward_calls=self._space.forward_calls - self._calls,
            checks=self.checks,
            num_drafted=self._space.num_drafted - self._drafted,
        )
