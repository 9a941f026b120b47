"""The language that samples must lie in, followed token by token.

`Masked` follows a `CompiledGrammar`: its states are ints of an engine generation, and where the generation is over a
state is derived again from its tokens. `Predicate` is what AWRS takes: a black box that judges one token at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from structgen.errors import MatcherError

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.vocab import Vocabulary

NO_STATE = -1
"""In place of a state: derive it from the tokens."""


@runtime_checkable
class Predicate(Protocol):
    """A black box: may this token follow this prefix? End-of-text tokens are asked about like any other."""

    def allows(self, prefix: Sequence[int], token: int) -> bool:
        """Whether some text of the language begins with the prefix and the token (or is the prefix, for an end)."""
        ...


class Masked:
    """A grammar's states and masks, by state and tokens."""

    def __init__(self, grammar: CompiledGrammar) -> None:
        self.grammar = grammar
        self.ends = frozenset(grammar.vocab.eos_token_ids)
        self._ends_only: npt.NDArray[np.uint32] = np.zeros(grammar.vocab.num_words, np.uint32)
        for token in self.ends:
            self._ends_only[token // 32] |= np.uint32(1) << np.uint32(token % 32)

    def mask(self, state: int, tokens: Sequence[int], *, ends_only: bool = False) -> tuple[int, npt.NDArray[np.uint32]]:
        """The state after `tokens` (given, or `NO_STATE`) as it is now, and its mask: uint32 [words].

        With `ends_only`, only end-of-text tokens are left in the mask: the text has no room for more.
        """
        try:
            state, row = self._mask(state, tokens)
        except MatcherError:  # the generation ended while, or before, the state was used
            state, row = self._mask(NO_STATE, tokens)
        return state, row & self._ends_only if ends_only else row

    def after(self, state: int, tokens: Sequence[int], token: int) -> int:
        """The state after `tokens` and one more token, which the mask allows."""
        try:
            return self.grammar.advance(self._derived(state, tokens), token)
        except MatcherError:
            return self.grammar.advance(self._derived(NO_STATE, tokens), token)

    def _mask(self, state: int, tokens: Sequence[int]) -> tuple[int, npt.NDArray[np.uint32]]:
        state = self._derived(state, tokens)
        return state, self.grammar.mask(state).view(np.uint32)

    def _derived(self, state: int, tokens: Sequence[int]) -> int:
        if state != NO_STATE:
            return state
        state = self.grammar.start
        for token in tokens:
            state = self.grammar.advance(state, token)
        return state


class TextPredicate:
    """A check of text as a black box, alone or beside a grammar: a static analysis, say.

    >>> def starts_small(text: bytes) -> bool:
    ...     return not text[:1].isupper()
    >>> TextPredicate(vocab, starts_small)  # doctest: +SKIP

    Args:
        vocab: the vocabulary.
        may_begin: whether some good text may begin with these bytes (which may end within a character). Where it says
            yes too often, texts come to nothing later; where it says no, no text begins so.
        is_whole: whether these bytes are a good text; None: as `may_begin`.
        grammar: what texts must satisfy besides; it is asked first.
    """

    def __init__(
        self,
        vocab: Vocabulary,
        may_begin: Callable[[bytes], bool],
        is_whole: Callable[[bytes], bool] | None = None,
        *,
        grammar: CompiledGrammar | None = None,
    ) -> None:
        self.vocab = vocab
        self._may_begin = may_begin
        self._is_whole = is_whole or may_begin
        self._grammar = None if grammar is None else GrammarPredicate(grammar)
        self._ends = frozenset(vocab.eos_token_ids)

    def allows(self, prefix: Sequence[int], token: int) -> bool:
        """See `Predicate.allows`."""
        if self._grammar is not None and not self._grammar.allows(prefix, token):
            return False
        text = self.vocab.decode(list(prefix))
        if token in self._ends:
            return self._is_whole(text)
        added = self.vocab.token_bytes(token)
        return bool(added) and self._may_begin(text + added)


class GrammarPredicate:
    """A compiled grammar as a black box, which never computes a mask."""

    def __init__(self, grammar: CompiledGrammar) -> None:
        self._masked = Masked(grammar)
        self._states: dict[tuple[int, ...], int] = {}

    def allows(self, prefix: Sequence[int], token: int) -> bool:
        """See `Predicate.allows`."""
        known = tuple(prefix)
        state = self._states.get(known, NO_STATE)
        if state == NO_STATE:
            if known:
                state = self._masked.after(self._states.get(known[:-1], NO_STATE), known[:-1], known[-1])
            if len(self._states) >= 1 << 16:
                self._states.clear()
            self._states[known] = state
        return self._masked.after(state, known, token) != self._masked.grammar.DEAD
