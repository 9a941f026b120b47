"""How far masking is from the aligned law for one model, prompt and grammar, and what each sampler makes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from structgen.decode.aligned.asap import ASAp
from structgen.decode.aligned.awrs import AWRS
from structgen.decode.aligned.cars import CARS
from structgen.decode.aligned.diagnostics import Recorded, empirical_kl
from structgen.decode.aligned.exact import Exact
from structgen.decode.aligned.gcd import GCD
from structgen.decode.aligned.metropolis import MetropolisHastings
from structgen.decode.aligned.model import LanguageModel, Shape
from structgen.decode.aligned.reference import Reference
from structgen.decode.aligned.rejection import Rejection
from structgen.decode.aligned.result import LogZ, Sample
from structgen.decode.aligned.smc import SMC
from structgen.errors import BudgetExceeded

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar

MOST_SAMPLES = 400
"""Samples that a sampler draws at most for each seed: where all prefixes are known, no budget ends it."""
_POPULATION = 16
_CHECKPOINTS = 24
_MOST_ATTEMPTS = 20  # for each forward pass of the budget: rejection may go on for ever where nothing is new


@dataclass(frozen=True)
class Entry:
    """A sampler of the comparison. step: texts asked for at once; weighted: whether weights are made use of."""

    make: Any
    options: dict[str, Any]
    step: int = 1
    weighted: bool = True


SAMPLERS: dict[str, Entry] = {
    "masking": Entry(GCD, {"batch_size": 1}, weighted=False),
    "masking, weighted": Entry(GCD, {"batch_size": 1}),
    "rejection": Entry(Rejection, {"batch_size": 1}),
    "ASAp": Entry(ASAp, {"batch_size": 1}),
    "CARS": Entry(CARS, {"batch_size": 1}),
    "MH": Entry(MetropolisHastings, {"batch_size": 1, "steps": 10}),
    "SMC": Entry(SMC, {"particles": _POPULATION}, _POPULATION),
    "AWRS": Entry(AWRS, {"particles": _POPULATION}, _POPULATION),
    "exact": Entry(Exact, {}, 256),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one sampler did with the budget, over all seeds.

    curve: (forward passes, mean over the seeds of the KL from the weighted law of the texts so far to the aligned law).
        Draws from the aligned law itself do not start at 0: n of them are about (texts - 1) / 2n away.
    num_samples, forward_passes, seconds: totals. The model's time is not in `seconds`: its rows are recorded.
    note: why there is nothing, where there is nothing.
    """

    name: str
    curve: tuple[tuple[int, float], ...]
    num_samples: int
    forward_passes: int
    seconds: float
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The distance of masking from the aligned law, and a run of every sampler.

    log_z: worked out where `is_exact` (then `value` is the middle of the bracket), else estimated by CARS.
    is_enumerated: whether every text of the language was seen.
    masking_kl, masking_kl_stderr: KL(masking ‖ aligned) in nats; summed over the texts (error 0) where `is_enumerated`,
        else estimated from draws of masking and CARS, the error of log Z included (see `Reference.kl`).
    effective_size: what `num_masked` samples of masking are worth, weighted (Kish).
    asap_kl, asap_kl_stderr: KL(ASAp's next text ‖ aligned) after the budget, likewise, the mean over seeds.
    acceptance: of CARS after the budget, by its bound: Z / theta; nan where CARS did nothing.
    num_texts, explored: texts found while log Z was worked out, and the forward passes that took.
    """

    log_z: LogZ
    is_exact: bool
    is_enumerated: bool
    masking_kl: float
    masking_kl_stderr: float
    num_masked: int
    effective_size: float
    asap_kl: float
    asap_kl_stderr: float
    acceptance: float
    num_texts: int
    explored: int
    runs: tuple[Run, ...]


def compare(
    model: LanguageModel,
    grammar: CompiledGrammar,
    *,
    max_tokens: int,
    budget: int = 2000,
    num_masked: int = 200,
    seeds: Sequence[int] = (0, 1, 2),
    samplers: Sequence[str] = tuple(SAMPLERS),
    explore_budget: int | None = None,
    most_samples: int = MOST_SAMPLES,
    **shape: Any,
) -> Comparison:
    """Compares samplers at `budget` forward passes each and seed.

    Every sampler has a trie of its own and pays for every prefix itself; the rows of the model are recorded, so that
    none is worked out twice. A sampler ends at `most_samples`: where everything is known, no budget ends it. `shape` is
    temperature, top_k, top_p.
    """
    model = Recorded(model)
    reference = Reference(
        model,
        grammar,
        max_tokens=max_tokens,
        shape=Shape(**shape),
        list_budget=budget if explore_budget is None else explore_budget,
        num_draws=num_masked,
        budget=4 * budget,
        seed=seeds[0],
    )
    log_z, masked = reference.log_z, reference.masked
    kl, stderr = reference.kl()
    runs, asap_kls, thetas = [], [], []
    for name in samplers:
        entry = SAMPLERS[name]
        made = [
            entry.make(model, grammar, max_tokens=max_tokens, seed=seed, **entry.options, **shape) for seed in seeds
        ]
        runs.append(_run(name, entry, made, budget, log_z.value, most_samples))
        if name == "ASAp":
            asap_kls = [reference.kl(sampler.futures) for sampler in made]
        if name == "CARS":
            thetas = [sampler.futures.bracket()[1] for sampler in made]
    return Comparison(
        log_z=log_z,
        is_exact=reference.is_exact,
        is_enumerated=reference.is_listed,
        masking_kl=kl,
        masking_kl_stderr=stderr,
        num_masked=len(masked),
        effective_size=masked.effective_size(),
        asap_kl=float(np.mean([value for value, _ in asap_kls])) if asap_kls else math.nan,
        asap_kl_stderr=float(np.mean([error for _, error in asap_kls])) if asap_kls else math.nan,
        acceptance=math.exp(min(log_z.value - float(np.mean(thetas)), 0.0)) if thetas else math.nan,
        num_texts=len(reference.listed.texts),
        explored=reference.explored,
        runs=tuple(runs),
    )


def _run(name: str, entry: Entry, made: Sequence[Any], budget: int, log_z: float, most_samples: int) -> Run:
    """One sampler of each seed, drawn from until its budget is spent."""
    paths: list[list[tuple[int, float]]] = []
    num_samples = forward_passes = 0
    started = time.perf_counter()
    note = ""
    for sampler in made:
        path: list[tuple[int, float]] = []
        found: list[Sample] = []
        passes = attempts = 0
        at = 1
        while passes < budget and attempts < _MOST_ATTEMPTS * budget and len(found) < most_samples:
            try:
                samples = sampler.sample(entry.step, budget=budget - passes)
            except BudgetExceeded:  # only `Exact` refuses
                note = "too large to list"
                break
            passes += samples.forward_passes
            attempts += samples.attempts
            found += samples if entry.weighted else [replace(sample, log_weight=0.0) for sample in samples]
            if samples.status == "empty":
                break
            if found and (passes >= at or len(found) >= most_samples):
                path.append((max(passes, 1), empirical_kl(found, log_z)))
                at = max(passes + 1, math.ceil(passes * budget ** (1.0 / _CHECKPOINTS)))
        if found:
            path.append((max(passes, 1), empirical_kl(found, log_z)))
            paths.append(path)
        num_samples += len(found)
        forward_passes += passes
    return Run(
        name=name,
        curve=_mean_curve(paths),
        num_samples=num_samples,
        forward_passes=forward_passes,
        seconds=time.perf_counter() - started,
        note=note if num_samples == 0 else "",
    )


def _mean_curve(paths: Sequence[Sequence[tuple[int, float]]]) -> tuple[tuple[int, float], ...]:
    """The mean over paths at every place where one of them has a point, from where all have begun."""
    if not paths:
        return ()
    begun = max(path[0][0] for path in paths)
    places = sorted({x for path in paths for x, _ in path if x >= begun})
    curve = []
    for x in places:
        heights = [next(y for px, y in reversed(path) if px <= x) for path in paths]
        curve.append((x, float(np.mean(heights))))
    return tuple(curve)
