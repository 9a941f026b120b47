"""A row: one prompt on its way to a finished text.

Owns the matcher, the token budget and the decision which mask applies at a step. Knows nothing of models and tensors
other than its own row of the bitmask.

The budget law: once the text can be ended within the budget, it stays so. Each step leaves `remaining` tokens, and
`matcher.closing_tokens` bounds what an ending takes (end-of-text counted, which itself needs no place in the budget).
While there is ample room the plain mask applies, and a token after which no ending fits is taken back and drawn again
from the closing mask: drawing, rejecting and drawing again from the rest is the same distribution as masking at once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from structgen.decode.chance import Chance
from structgen.decode.result import Finish, Result, Stats
from structgen.decode.targets import Target
from structgen.matcher import fill_batch

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.matcher import Matcher

CLOSING_MARGIN = 8
"""With this many tokens to spare or fewer, the closing mask applies from the start of a step."""


@dataclass(eq=False)
class Row:
    """Running state of one prompt. `chance` draws its tokens; `compile_s` is what its grammar took."""

    prompt_ids: list[int]
    target: Target
    grammar: CompiledGrammar
    budget: int
    chance: Chance
    compile_s: float = 0.0

    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    raw_logprobs: list[float] = field(default_factory=list)
    finish: Finish | None = None
    num_forward_passes: int = 0
    num_closing_masks: int = 0
    num_draft_tokens: int = 0
    num_accepted_tokens: int = 0
    forward_s: float = 0.0
    is_closing: bool = False
    """Whether the mask of this step is a closing one, and not that of the matcher's state."""

    def __post_init__(self) -> None:
        self._matcher: Matcher = self.grammar.matcher()
        self._eos = frozenset(self.grammar.vocab.eos_token_ids)
        self._not_eos = _words_without(self._eos, self.grammar.vocab.num_words)
        self._started = time.perf_counter()
        self._ended: float | None = None
        self._mask_s: list[float] = []
        self._closing: int | None = self._matcher.closing_tokens(self.remaining + 1)
        self._way_out: list[int] = []

    @property
    def matcher(self) -> Matcher:
        """Where the text stands in its grammar. Not to be moved."""
        return self._matcher

    @property
    def remaining(self) -> int:
        """Tokens of text that still fit."""
        return self.budget - len(self.token_ids)

    def fill_mask(self, bitmask: Any, index: int) -> bool:
        """Writes this step's mask into row `index` of bitmask. False if there is nothing left to ask the model."""
        if self.remaining == 0:
            return self._spent()
        started = time.perf_counter()
        self.is_closing = self._must_close()
        if self.is_closing:
            self.fill_closing_mask(bitmask, index)
        else:
            self._matcher.fill_next_token_bitmask(bitmask, index)
        return self._filled(bitmask[index], time.perf_counter() - started)

    def _spent(self) -> bool:
        return self._end("budget" if self._matcher.is_accepting() else "truncated")

    def _must_close(self) -> bool:
        return self._closing is not None and self.remaining + 1 - self._closing <= CLOSING_MARGIN

    def _filled(self, words: Any, mask_s: float) -> bool:
        self._mask_s.append(mask_s)
        if not (words & self._not_eos).any():
            return self._end("complete")
        return True

    def accept(self, token: int) -> bool:
        """Appends a token drawn under the mask of this step. False: no ending would fit after it, draw again.

        The caller then draws from `fill_closing_mask`, whose tokens are all accepted.
        """
        accepted = self._matcher.accept_token(token)
        assert accepted, "mask and commit disagree"
        if token in self._eos:
            self.token_ids.append(token)
            self._end("eos")
            return True
        closing = self._matcher.closing_tokens(self.remaining)
        if closing is None and self._way_out[:1] == [token]:
            self._way_out = self._way_out[1:]
            closing = len(self._way_out) + 1
        else:
            self._way_out = []
        if closing is None and self._closing is not None:
            self._matcher.rollback(1)
            return False
        self._closing = closing
        self.token_ids.append(token)
        return True

    def fill_closing_mask(self, bitmask: Any, index: int) -> None:
        """Writes the mask of the tokens after which an ending still fits; some ending does from here.

        The matcher's bound is not monotone: the rest of a shortest ending may be spelled in more tokens on its own than
        as a part of the whole. Where that leaves nothing, the tokens of the ending that is known to fit are followed.
        """
        self.num_closing_masks += 1
        if self._matcher.fill_closing_bitmask(bitmask, index, self.remaining + 1):
            return
        if not self._way_out:
            ending = self._matcher.shortest_completion(self.remaining * self.grammar.vocab.max_spelled_bytes)
            assert ending, "an ending fits here, and where it is empty the end of text was left"
            self._way_out = self.grammar.vocab.spell(ending)
        bitmask[index] = 0
        bitmask[index, self._way_out[0] // 32] = np.uint32(1 << (self._way_out[0] % 32)).view(np.int32)

    def _end(self, finish: Finish) -> bool:
        self.finish = finish
        self._ended = time.perf_counter()
        return False

    def text(self) -> str:
        """The text so far; an unfinished character at its end is left out."""
        data = self.grammar.vocab.decode(self.token_ids)
        return data.decode("utf-8", errors="strict" if self.finish not in (None, "truncated") else "ignore")

    def parse(self) -> Any:
        """The caller's value of the finished text; None for a truncated one."""
        return None if self.finish == "truncated" else self.target.parse(self.text())

    def result(self, value: Any) -> Result:
        """The result so far, with this value."""
        ended = time.perf_counter() if self._ended is None else self._ended
        mask_us = [1e6 * each for each in self._mask_s] or [0.0]
        return Result(
            value=value,
            text=self.text(),
            token_ids=list(self.token_ids),
            logprobs=list(self.logprobs),
            raw_logprobs=list(self.raw_logprobs),
            finish=self.finish,
            stats=Stats(
                num_prompt_tokens=len(self.prompt_ids),
                num_tokens=len(self.token_ids),
                num_forward_passes=self.num_forward_passes,
                num_closing_masks=self.num_closing_masks,
                num_draft_tokens=self.num_draft_tokens,
                num_accepted_tokens=self.num_accepted_tokens,
                compile_s=self.compile_s,
                forward_s=self.forward_s,
                total_s=self.compile_s + ended - self._started,
                mask_us=median(mask_us),
                max_mask_us=max(mask_us),
            ),
        )


def fill_masks(rows: list[Row], bitmask: Any) -> list[int]:
    """`fill_mask` of each row that is not finished, those with ample room in one call. Those that go on, ascending.

    What one call took is shared out to its rows.
    """
    together: list[int] = []
    alone: list[int] = []
    for i, row in enumerate(rows):
        if row.finish is None:
            (together if row.remaining and not row._must_close() else alone).append(i)
    if len(together) == 1:
        alone += together
        together = []
    going = [i for i in alone if rows[i].fill_mask(bitmask, i)]
    if together:
        started = time.perf_counter()
        fill_batch([rows[i].matcher for i in together], bitmask, together)
        each_s = (time.perf_counter() - started) / len(together)
        going += [i for i in together if rows[i]._filled(bitmask[i], each_s)]
    return sorted(going)


def _words_without(token_ids: frozenset[int], num_words: int) -> Any:
    """int32 [words] with every bit set except those of `token_ids`."""
    words = np.full(num_words, -1, dtype=np.int32)
    for token in token_ids:
        words[token // 32] &= ~np.int32(np.uint32(1 << (token % 32)).view(np.int32))
    return words
