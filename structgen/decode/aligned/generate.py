"""`structgen.generate(…, sampler=…)`: samples in place of one decoded text a prompt.

Owns the names of the samplers, and what is remembered between calls: tries of futures by their key, so that a second
call about the same prompt, grammar and options begins with what the first has learnt.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from structgen.decode.aligned.asap import ASAp
from structgen.decode.aligned.awrs import AWRS
from structgen.decode.aligned.cars import CARS
from structgen.decode.aligned.exact import Exact
from structgen.decode.aligned.futures import Futures, Key, Kind
from structgen.decode.aligned.gcd import GCD
from structgen.decode.aligned.metropolis import MetropolisHastings
from structgen.decode.aligned.model import LanguageModel, Shape
from structgen.decode.aligned.rejection import Rejection
from structgen.decode.aligned.result import Sample, Samples
from structgen.decode.aligned.smc import SMC
from structgen.decode.aligned.space import key_of, kind_of
from structgen.decode.result import Result, Stats
from structgen.errors import Truncated

if TYPE_CHECKING:
    from structgen.decode.models import LoadedModel
    from structgen.decode.row import Row
    from structgen.decode.sampling import Sampling
    from structgen.decode.speculation.entry import Speculate

SAMPLERS: dict[str, Callable[..., Any]] = {
    "gcd": GCD,
    "rejection": Rejection,
    "asap": ASAp,
    "cars": CARS,
    "mh": MetropolisHastings,
    "smc": SMC,
    "awrs": AWRS,
    "exact": Exact,
}
_WITHOUT_TRIE = ("awrs", "exact")
_POPULATIONS = ("smc", "awrs")


class Memory:
    """Tries by key, the last used ones; each is used by one call at a time."""

    def __init__(self, max_tries: int = 16, max_bytes: int = 64 << 20) -> None:
        self._max_tries = max_tries
        self._max_bytes = max_bytes
        self._tries: OrderedDict[Key, Futures] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: Key, kind: Kind) -> Futures:
        """What is known about a key, for the caller alone until `put`; a new trie if there is none at hand."""
        with self._lock:
            return self._tries.pop(key, None) or Futures(key, max_bytes=self._max_bytes, kind=kind)

    def put(self, futures: Futures) -> None:
        """Keep a trie; the one used longest ago goes where there are too many."""
        with self._lock:
            self._tries[futures.key] = futures
            while len(self._tries) > self._max_tries:
                self._tries.popitem(last=False)


MEMORY = Memory()


def sample_rows(
    loaded: LoadedModel,
    rows: Sequence[Row],
    sampling: Sampling,
    *,
    sampler: str,
    n: int | None,
    budget: int | None,
    speculate: Speculate,
    is_batch: bool,
    return_result: bool,
) -> Any:
    """For each prompt a value (n None) or a list of n; `Result`s if asked, each with its `sample` and its `samples`."""
    from structgen.decode.aligned.transformers_model import TransformersModel

    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, not {sampler!r}")
    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1, not {n}")
    shape = Shape(temperature=sampling.temperature or 1.0, top_k=sampling.top_k, top_p=sampling.top_p)
    if speculate is not None:
        if sampler == "exact":
            raise ValueError("sampler='exact' visits every prefix once: leave out speculate=")
        from structgen.decode.speculation.entry import plan_of

        speculate = plan_of(speculate)  # one for all prompts
    given = []
    for i, row in enumerate(rows):
        model = TransformersModel(loaded, row.prompt_ids)
        seed = None if sampling.seed is None else sampling.seed + i
        started = time.perf_counter()
        samples = _sample(model, row, shape, seed, sampler, n or 1, budget, speculate)
        took_s = time.perf_counter() - started
        chosen = samples.resampled(n or 1, seed) if sampler in _POPULATIONS and len(samples) else samples.items
        results = [_result(row, sample, samples, took_s) for sample in chosen]
        if len(results) < (n or 1):
            why = "no text fits" if samples.status == "empty" else f"{len(results)} of {n or 1} texts were found within"
            raise Truncated(
                f"{why} {row.budget} tokens" + ("" if samples.status == "empty" else f" and {budget} forward passes"),
                partial=results[0].text if results else "",
                result=results,
                advice="raise max_new_tokens" if samples.status == "empty" else "raise budget, or use sampler='asap'",
            )
        values = results if return_result else [result.value for result in results]
        given.append(values[0] if n is None else values)
    return given if is_batch else given[0]


def _sample(
    model: LanguageModel,
    row: Row,
    shape: Shape,
    seed: int | None,
    name: str,
    n: int,
    budget: int | None,
    speculate: Speculate,
) -> Samples:
    options: dict[str, Any] = {
        "max_tokens": row.budget,
        "temperature": shape.temperature,
        "top_k": shape.top_k,
        "top_p": shape.top_p,
        "seed": seed,
    }
    if speculate is not None:
        options["speculate"] = speculate
    make = SAMPLERS[name]
    if name in _WITHOUT_TRIE:
        samples: Samples = make(model, row.grammar, **options).sample(n, budget=budget)
        return samples
    futures = MEMORY.take(key_of(model, row.grammar, row.budget, shape), kind_of(model))
    try:
        samples = make(model, row.grammar, futures=futures, **options).sample(n, budget=budget)
    finally:
        MEMORY.put(futures)
    return samples


def _result(row: Row, sample: Sample, samples: Samples, took_s: float) -> Result:
    ends = row.grammar.vocab.eos_token_ids
    text = row.grammar.vocab.decode([token for token in sample.tokens if token not in ends]).decode()
    stats = Stats(
        num_prompt_tokens=len(row.prompt_ids),
        num_tokens=len(sample.tokens),
        num_forward_passes=sample.forward_passes,
        num_closing_masks=0,
        compile_s=row.compile_s,
        forward_s=0.0,  # not told apart here
        total_s=row.compile_s + took_s,
        mask_us=0.0,
        max_mask_us=0.0,
    )
    return Result(
        value=row.target.parse(text),
        text=text,
        token_ids=list(sample.tokens),
        logprobs=[],
        raw_logprobs=[],
        finish="eos",
        stats=stats,
        sample=sample,
        samples=samples,
    )
