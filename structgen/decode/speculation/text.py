"""A text as the speculative loop sees it: it opens for a token, chooses one, and says what it is now.

`RowText` is a row of `generate`: a grammar, a budget, a sampling. What other stacks decode (`custom`) is another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from structgen.decode.loop import take
from structgen.decode.row import Row
from structgen.decode.sampling import Sampling, broken_row, choose
from structgen.decode.speculation.offered import Offered

if TYPE_CHECKING:
    from structgen.decode.chance import Chance
    from structgen.matcher import Matcher


class Text(Protocol):
    """One text on its way. `open` and `choose` alternate; a text that does not open has ended."""

    token_ids: list[int]
    """Prompt and text so far."""
    num_prompt: int
    sampling: Sampling
    generator: Any
    """`numpy.random.Generator` for the drafters of this text."""

    @property
    def matcher(self) -> Matcher | None:
        """Where it stands in its grammar, or None. Not to be moved."""

    @property
    def room(self) -> int:
        """How many tokens may still be appended at most."""

    def open(self) -> bool:
        """Gets ready for the next token; False if there is none."""

    def choose(self, logits: Any, offered: Offered | None) -> int:
        """Draws the next token under the mask, from logits float [V] of the model, and appends it.

        `offered` are drawn children; their rule decides then. Greedy decoding takes no notice of it.
        """

    def passed(self, num_drafted: int, num_accepted: int, forward_s: float) -> None:
        """Told after each forward pass."""


class RowText:
    """A row of `generate`. What is chosen, and how, is what the loop without speculation does, token by token."""

    def __init__(self, row: Row, sampling: Sampling, index: int) -> None:
        self.row = row
        self.sampling = sampling
        self.token_ids = list(row.prompt_ids)
        self.num_prompt = len(row.prompt_ids)
        self.generator = np.random.default_rng(None if sampling.seed is None else [sampling.seed + index, 1])
        self._bitmask: npt.NDArray[np.int32] = np.zeros((1, row.grammar.vocab.num_words), np.int32)

    @property
    def matcher(self) -> Matcher:
        return self.row.matcher

    @property
    def room(self) -> int:
        return self.row.remaining

    def open(self) -> bool:
        return self.row.finish is None and self.row.fill_mask(self._bitmask, 0)

    @property
    def is_closing(self) -> bool:
        """Whether the mask it opened with is not that of its grammar's state."""
        return self.row.is_closing

    @property
    def mask(self) -> npt.NDArray[np.int32]:
        """The mask it opened with, int32 [1, words]."""
        return self._bitmask

    def take(self, token: int, logprob: float, raw_logprob: float, num_used: int, logits: Any) -> int:
        """Appends a token that was chosen for it, or, where no ending fits after it, another; returns that.

        `num_used`: how many of the text's random numbers the choice took.
        """
        chosen = token, logprob
        self.row.chance.used(num_used)
        taken = take(self.row, chosen, logits, self._bitmask, self.sampling, raw_logprob=raw_logprob)
        self.token_ids.append(taken)
        return taken

    def choose(self, logits: Any, offered: Offered | None) -> int:
        if offered is None or self.sampling.temperature == 0.0:
            (chosen,) = choose(logits[None], self._bitmask, self.sampling, [self.row.chance])
        else:
            chosen = draw_offered(logits, self._bitmask, self.sampling, offered, self.row.chance)
        token = take(self.row, chosen, logits, self._bitmask, self.sampling)
        self.token_ids.append(token)
        return token

    def passed(self, num_drafted: int, num_accepted: int, forward_s: float) -> None:
        self.row.num_forward_passes += 1
        self.row.num_draft_tokens += num_drafted
        self.row.num_accepted_tokens += num_accepted
        self.row.forward_s += forward_s


def draw_offered(
    logits: Any, bitmask: npt.NDArray[np.int32], sampling: Sampling, offered: Offered, chance: Chance
) -> tuple[int, float]:
    """A token of a row of logits [V] under its mask int32 [1, words], and its log-probability, by the rule for drawn
    children. Raises `MatcherError` where an allowed logit is NaN or +inf, or none is finite."""
    from structgen_kernels.verify import masked_probabilities  # compiles kernels where they are not yet

    p = masked_probabilities(
        logits[None], bitmask, 0, 0, temperature=sampling.temperature, top_k=sampling.top_k, top_p=sampling.top_p
    )
    if not p.any() or np.isnan(p[0]):
        raise broken_row()
    token = offered.choose(p, chance)
    return token, float(np.log(p[token]))
