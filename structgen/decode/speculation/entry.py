"""From `speculate=` to a running loop: what the word "auto" means, and rows of `generate` as texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from structgen.decode.models import LoadedModel
from structgen.decode.row import Row
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.controllers import Fixed, Goodput
from structgen.decode.speculation.copying import Copy
from structgen.decode.speculation.drafter import Drafter
from structgen.decode.speculation.forced import Forced
from structgen.decode.speculation.forward import TreeForward
from structgen.decode.speculation.loop import Plan, run_speculative
from structgen.decode.speculation.mixed import Mixed
from structgen.decode.speculation.outline import Outline
from structgen.decode.speculation.recycling import TokenRecycling
from structgen.decode.speculation.text import RowText, Text
from structgen.decode.speculation.trigram import Trigram

Speculate: TypeAlias = "str | Drafter | Plan | None"


def plan_of(speculate: Speculate) -> Plan:
    """The plan that `speculate=` names: a drafter, a plan, or "auto"."""
    if isinstance(speculate, Plan):
        return speculate
    if isinstance(speculate, str):
        if speculate != "auto":
            raise ValueError(f'speculate is "auto", a drafter or a Plan, not {speculate!r}')
        return Plan(Mixed([Forced(), Outline(), Copy(), TokenRecycling(), Trigram()]), Goodput())
    if isinstance(speculate, Drafter):
        return Plan(speculate, Fixed())
    raise TypeError(f'speculate is "auto", a drafter or a Plan, not {type(speculate).__name__}')


def run_rows(model: LoadedModel, rows: list[Row], sampling: Sampling, plan: Plan) -> Iterator[None]:
    """Like `structgen.decode.loop.run`, with drafts: decodes all rows to their ends and yields after every pass."""
    from structgen.decode.speculation.verifier import verifier_for  # compiles kernels where they are not yet

    texts = [RowText(row, sampling, i) for i, row in enumerate(rows)]
    forward = TreeForward(model.model, cache=_cache(model, rows, plan), hidden=plan.drafter.wants_hidden)

    def prefill(going: list[Text]) -> Any:
        return forward.prefill([text.token_ids for text in going], model.pad_token_id)

    verifier = verifier_for(texts, model.model.device, model.vocab.vocab_size)
    return run_speculative(forward, texts, prefill, plan, model.few_threads, verifier)


def _cache(model: LoadedModel, rows: list[Row], plan: Plan) -> Any:
    """The cache a plan asks for; None: the forward pass makes its own."""
    if plan.cache == "dynamic":
        return None
    from transformers import DynamicCache, StaticCache

    if plan.cache == "sliding":
        return DynamicCache(config=model.model.config)
    longest = max(len(row.prompt_ids) for row in rows) + max(row.budget for row in rows)
    return StaticCache(config=model.model.config, max_cache_len=longest + plan.static_room)
