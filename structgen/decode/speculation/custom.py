"""`speculative`: drafts inside `model.generate` of transformers, whatever its logits processors are.

    model.generate(**inputs, custom_generate=speculative, logits_processor=[processor], max_new_tokens=200)
    model.generate(**inputs, custom_generate=speculative, drafter=TokenRecycling())

Processors are called for one row at a time, with the tokens that row has so far: a processor must depend on its row
only, never on the order of calls or on a row's place in the batch (`StructgenLogitsProcessor` is split into one for
each row). Where one knows the grammar of its row, the drafts are pruned by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from structgen.decode.chance import Chance
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.entry import Speculate, plan_of
from structgen.decode.speculation.forward import TreeForward
from structgen.decode.speculation.loop import run_speculative
from structgen.decode.speculation.offered import Offered
from structgen.errors import SpeculationError

if TYPE_CHECKING:
    from structgen.matcher import Matcher

REFUSED = ("output_scores", "output_logits", "output_attentions", "output_hidden_states")


def speculative(
    model: Any,
    input_ids: Any,
    logits_processor: Any = None,
    stopping_criteria: Any = None,
    generation_config: Any = None,
    drafter: Speculate = "auto",
    **model_kwargs: Any,
) -> Any:
    """A `custom_generate` for transformers: token ids [B, width + new], prompts first, padded on the right.

    `drafter` is what `speculate=` is in `structgen.generate`. Greedy output is that of `generate` without it, up to
    ties that rounding decides; so is a single sampled text of the same torch seed, unless the drafter draws.

    Raises `SpeculationError` for what cannot be served: beams, scores or attentions in the output, caches that cannot
    be compacted, models that take no mask of a tree.
    """
    if getattr(generation_config, "num_beams", 1) not in (None, 1):
        raise SpeculationError("beams do not speculate", advice="leave num_beams at 1, or custom_generate out")
    wanted = [name for name in REFUSED if getattr(generation_config, name, False)]
    if wanted:
        raise SpeculationError(
            f"{', '.join(wanted)} cannot be given for tokens that were drafted", advice="leave it out"
        )
    plan = plan_of(drafter)
    mask = model_kwargs.get("attention_mask")
    mask = torch.ones_like(input_ids) if mask is None else mask
    pad = getattr(generation_config, "_pad_token_tensor", None)
    texts = [
        ProcessedText(
            input_ids[i],
            int(mask[i].sum()),
            _processors_of_row(logits_processor or [], i, len(input_ids)),
            stopping_criteria or [],
            do_sample=bool(getattr(generation_config, "do_sample", False)),
            max_length=getattr(generation_config, "max_length", None),
            is_told=plan.constrain,
            draws=plan.drafter.kind == "drawn",
        )
        for i in range(len(input_ids))
    ]
    forward = TreeForward(model, cache=model_kwargs.get("past_key_values"), hidden=plan.drafter.wants_hidden)

    def prefill(going: list[Any]) -> Any:
        device_ids, device_mask = input_ids.to(model.device), mask.to(model.device)
        return forward.prefill_tensors(device_ids, device_mask)

    for _ in run_speculative(forward, texts, prefill, plan):
        pass
    width = max(len(text.ids) for text in texts)
    fill = 0 if pad is None else int(pad)
    out = torch.tensor([text.ids + [fill] * (width - len(text.ids)) for text in texts], device=input_ids.device)
    if getattr(generation_config, "return_dict_in_generate", False):
        from transformers.generation import GenerateDecoderOnlyOutput

        return GenerateDecoderOnlyOutput(sequences=out, past_key_values=forward.cache)
    return out


class ProcessedText:
    """A text whose next token is drawn from processed scores, as `generate` of transformers draws it."""

    def __init__(
        self,
        ids: Any,
        num_prompt: int,
        processors: list[Any],
        criteria: Any,
        *,
        do_sample: bool,
        max_length: int | None,
        is_told: bool,
        draws: bool,
    ) -> None:
        self.ids: list[int] = ids.tolist()
        """With the padding on its left, as processors and criteria see it."""
        self.token_ids = self.ids[len(self.ids) - num_prompt :]
        self.num_prompt = num_prompt
        # temperature, top-k and top-p are among the processors
        self.sampling = Sampling(temperature=1.0 if do_sample else 0.0)
        # taken from torch's own stream only where it is needed: else a seed gives what it gives without drafts
        self.generator = np.random.default_rng(int(torch.randint(1 << 62, (1,))) if draws and do_sample else 0)
        self._device = ids.device
        self._processors = processors
        self._criteria = criteria
        self._max_length = max_length
        self._chance = Chance()
        self._is_told = is_told
        self._ended = False

    @property
    def matcher(self) -> Matcher | None:
        """The matcher of a processor that has one for this row."""
        if self._is_told:
            for processor in self._processors:
                if hasattr(processor, "matcher_at"):
                    found: Matcher | None = processor.matcher_at(self.ids)
                    return found
        return None

    @property
    def room(self) -> int:
        return (1 << 30) if self._max_length is None else self._max_length - len(self.ids)

    def open(self) -> bool:
        return not self._ended

    def choose(self, logits: Any, offered: Offered | None) -> int:
        ids = torch.tensor([self.ids], device=self._device)
        scores = logits[None].to(self._device)
        for processor in self._processors:
            scores = processor(ids, scores)
        if self.sampling.temperature == 0.0:
            token = int(scores.argmax(-1))
        elif offered is None:
            token = int(torch.multinomial(torch.softmax(scores, -1), 1))
        else:
            p = torch.softmax(scores[0].double(), -1).cpu().numpy()
            token = offered.choose(p / p.sum(), self._chance)
        self.ids.append(token)
        self.token_ids.append(token)
        if self._criteria:
            longer = torch.cat((ids, ids.new_tensor([[token]])), dim=1)
            self._ended = any(bool(torch.as_tensor(each(longer, None)).all()) for each in self._criteria)
        return token

    def passed(self, num_drafted: int, num_accepted: int, forward_s: float) -> None:
        """Nothing is counted."""


def _processors_of_row(processors: Any, row: int, num_rows: int) -> list[Any]:
    """The processors for one row; those that differ from row to row are split."""
    return [each.for_row(row, num_rows) if hasattr(each, "for_row") else each for each in processors]
