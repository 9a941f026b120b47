"""`StructgenLogitsProcessor`: structgen inside `model.generate` of transformers.

State is kept by prefix, never by the order of calls: beams are reordered, assisted decoding goes back and forth, and a
processor may be used again. A row of `input_ids` that is no row seen before and one token more is a new prompt.

    processor = StructgenLogitsProcessor(structgen.compile_schema(schema, vocab))
    model.generate(**tokenizer(prompt, return_tensors="pt"), logits_processor=[processor], max_new_tokens=200)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor

from structgen.compiler import CompiledGrammar
from structgen.matcher import Matcher, fill_batch
from structgen_kernels.bitmask import apply_bitmask

MAX_PREFIXES = 8_192
"""Prefixes remembered; the longest unused go first. One step of a batch uses two a row."""


class StructgenLogitsProcessor(LogitsProcessor):  # type: ignore[misc]
    """Sets the score of every token that the grammar forbids to -inf.

    `grammars` is one compiled grammar for all prompts of a batch, or one for each (beams of a prompt stand together, as
    transformers lays them out). With `max_new_tokens`, the number given to `generate`, a token is allowed only if the
    text can still be closed in time after it (end-of-text itself needs no room). `prompt_length` is the padded width of
    the prompts. Without it prompts are told apart by themselves, which fails in one case: a prompt that is an earlier
    row and exactly one token more.

    A row that left the grammar (transformers fills up beams with forbidden tokens where fewer are allowed) or that has
    ended may only end.
    """

    def __init__(
        self,
        grammars: CompiledGrammar | Sequence[CompiledGrammar],
        *,
        max_new_tokens: int | None = None,
        prompt_length: int | None = None,
    ) -> None:
        self.grammars = [grammars] if isinstance(grammars, CompiledGrammar) else list(grammars)
        self.max_new_tokens = max_new_tokens
        self.prompt_length = prompt_length
        self._prefixes = _Prefixes()
        if not self.grammars:
            raise ValueError("no grammar given")
        self._width = max(grammar.vocab.num_words for grammar in self.grammars)

    def for_row(self, row: int, num_rows: int) -> StructgenLogitsProcessor:
        """A processor of its own for one of `num_rows` rows, for decoders that take rows one by one."""
        grammar = self.grammars[row // max(num_rows // len(self.grammars), 1)]
        return StructgenLogitsProcessor(grammar, max_new_tokens=self.max_new_tokens, prompt_length=self.prompt_length)

    def matcher_at(self, token_ids: Sequence[int]) -> Matcher | None:
        """The matcher after a row of the first grammar: not to be moved. None if the row left the grammar."""
        return self._matcher(0, np.asarray(token_ids, np.int64))

    def reset(self) -> None:
        """Forgets every prefix: the next rows are prompts."""
        self._prefixes = _Prefixes()

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Scores [rows, V] with -inf where the grammar of the row forbids the token after input_ids [rows, length]."""
        ids = input_ids.cpu().numpy().astype(np.int64)
        if len(ids) % len(self.grammars):
            raise ValueError(f"{len(ids)} rows cannot be shared out to {len(self.grammars)} grammars")
        rows_each = len(ids) // len(self.grammars)
        bitmask = np.zeros((len(ids), self._width), dtype=np.int32)
        matchers, rows = [], []
        for i, row in enumerate(ids):
            matcher = self._matcher(i // rows_each, row)
            if matcher is not None and not matcher.is_terminated() and not self._closes(bitmask, i, matcher):
                matchers.append(matcher)
                rows.append(i)
            elif matcher is None or matcher.is_terminated():
                self._only_end(bitmask, i, self.grammars[i // rows_each])
        fill_batch(matchers, bitmask, rows)
        masked = scores.clone()
        apply_bitmask(masked, torch.from_numpy(bitmask))
        return masked

    def _only_end(self, bitmask: Any, index: int, grammar: CompiledGrammar) -> None:
        for token in grammar.vocab.eos_token_ids:
            bitmask[index, token // 32] |= np.uint32(1 << (token % 32)).astype(np.int32)

    def _closes(self, bitmask: Any, index: int, matcher: Matcher) -> bool:
        """Writes the mask that closes in time; False if there is no need, or no way."""
        if self.max_new_tokens is None:
            return False
        return matcher.fill_closing_bitmask(bitmask, index, self.max_new_tokens - matcher.num_tokens + 1)

    def _matcher(self, which: int, row: Any) -> Matcher | None:
        """The matcher after this row; None if the row left the grammar."""
        if self._prefixes.has(which, row):
            return self._prefixes.get(which, row)
        if len(row) > (self.prompt_length or 0) and self._prefixes.has(which, row[:-1]):
            matcher = _after(self._prefixes.get(which, row[:-1]), row[-1:])
        else:
            start = len(row) if self.prompt_length is None else min(self.prompt_length, len(row))
            matcher = _after(self.grammars[which].matcher(), row[start:])
        self._prefixes.put(which, row, matcher)
        return matcher


def _after(matcher: Matcher | None, token_ids: Any) -> Matcher | None:
    """A matcher of its own after these tokens; None if they leave the grammar. After the end, padding stays ended."""
    if matcher is None:
        return None
    fork = matcher.fork()
    for token in token_ids:
        if not fork.is_terminated() and not fork.accept_token(int(token)):
            return None
    return fork


class _Prefixes:
    """Matchers by (grammar, token ids), under 16-byte digests; the least recently used are dropped."""

    def __init__(self) -> None:
        self._matchers: OrderedDict[bytes, Matcher | None] = OrderedDict()

    def has(self, which: int, row: Any) -> bool:
        return self._key(which, row) in self._matchers

    def get(self, which: int, row: Any) -> Matcher | None:
        key = self._key(which, row)
        self._matchers.move_to_end(key)
        return self._matchers[key]

    def put(self, which: int, row: Any, matcher: Matcher | None) -> None:
        self._matchers[self._key(which, row)] = matcher
        if len(self._matchers) > MAX_PREFIXES:
            self._matchers.popitem(last=False)

    @staticmethod
    def _key(which: int, row: Any) -> bytes:
        return blake2b(row.tobytes(), digest_size=16, salt=which.to_bytes(8, "little")).digest()
