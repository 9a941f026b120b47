"""Results: what one prompt gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from structgen.decode.aligned.result import Sample, Samples

Finish = Literal["eos", "complete", "budget", "truncated"]


@dataclass(frozen=True, kw_only=True)
class Stats:
    """What it took. Forward passes and forward time are those this prompt took part in, shared with its batch."""

    num_prompt_tokens: int
    num_tokens: int
    num_forward_passes: int
    num_closing_masks: int
    """Steps whose mask was narrowed so that the text still ends within the budget."""
    compile_s: float
    forward_s: float
    total_s: float
    mask_us: float
    """Median time per mask, the narrowing for the budget included."""
    max_mask_us: float
    """The first mask of a process, mostly: it waits for the kernels to load."""
    num_draft_tokens: int = 0
    """With `speculate`: tokens that drafters proposed and the model was asked about."""
    num_accepted_tokens: int = 0
    """With `speculate`: those of them that are in the text."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One finished text.

    `token_ids` are the tokens the model chose, the end-of-text token with them if it chose that. `logprobs` are the
    log-probabilities (nats) of those choices under the distribution that was drawn from (masked, tempered, top-k,
    top-p; masked at temperature 1 for greedy decoding), `raw_logprobs` under the unconstrained model at temperature 1.
    Both are empty for texts drawn by a `sampler`; `sample` and `samples` have what those know: weight and cost of this
    text, and of the whole call with its estimate of log Z.
    `finish` is "eos" (the model ended the text), "complete" (nothing could follow), "budget" (the budget ended where
    the text may end) or "truncated". `value` is None for a truncated or unfinished text.
    """

    value: Any
    text: str
    token_ids: list[int]
    logprobs: list[float]
    raw_logprobs: list[float]
    finish: Finish | None
    """None while the text is still growing (streams)."""
    stats: Stats
    sample: Sample | None = None
    samples: Samples | None = None
