"""A matcher that goes up and down a draft tree, so that drafters propose legal nodes only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from structgen.decode.speculation.build import Path
from structgen.decode.speculation.tree import DraftTree

if TYPE_CHECKING:
    from structgen.matcher import Matcher


class Walker:
    """Where a matcher would stand after a path of drafted tokens. The matcher itself is not moved.

    Without a matcher everything is allowed.
    """

    def __init__(self, matcher: Matcher | None) -> None:
        self._matcher = None if matcher is None else matcher.fork()
        self._path: list[int] = []
        self._bitmask: npt.NDArray[np.int32] | None = None

    def go(self, path: Path) -> bool:
        """Moves to the end of `path`; False if the grammar forbids it (it then stands where the path breaks off)."""
        if self._matcher is None:
            return True
        same = 0
        while same < min(len(path), len(self._path)) and path[same] == self._path[same]:
            same += 1
        self._matcher.rollback(len(self._path) - same)
        del self._path[same:]
        return all(self.step(token) for token in path[same:])

    def step(self, token: int) -> bool:
        """Takes one token; False, and it stays where it is, if the grammar forbids it."""
        if self._matcher is None:
            return True
        if not self._matcher.accept_token(token):
            return False
        self._path.append(token)
        return True

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        if self._matcher is None:
            return True
        if not self._matcher.accept_token(token):
            return False
        self._matcher.rollback(1)
        return True

    def legal_prefix(self, tokens: list[int]) -> list[int]:
        """The longest beginning of `tokens` that is allowed after where it stands; it stays there."""
        if self._matcher is None:
            return tokens
        taken = 0
        while taken < len(tokens) and self._matcher.accept_token(tokens[taken]):
            taken += 1
        self._matcher.rollback(taken)
        return tokens[:taken]

    def mask(self, vocab_size: int) -> npt.NDArray[np.bool_] | None:
        """bool [vocab_size]: what may come next; None where everything may. All False after the end."""
        if self._matcher is None:
            return None
        if self._matcher.is_terminated():
            return np.zeros(vocab_size, np.bool_)
        if self._bitmask is None:
            self._bitmask = np.zeros((1, self._matcher.grammar.vocab.num_words), np.int32)
        self._matcher.fill_next_token_bitmask(self._bitmask)
        bits = np.unpackbits(self._bitmask[0].view(np.uint8), bitorder="little")[:vocab_size].view(np.bool_)
        return bits if len(bits) == vocab_size else np.pad(bits, (0, vocab_size - len(bits)))


def legal_nodes(tree: DraftTree, matcher: Matcher) -> npt.NDArray[np.bool_]:
    """bool [n]: whether the grammar allows each node after its ancestors."""
    walker = Walker(matcher)
    legal = np.zeros(tree.num_nodes, np.bool_)
    paths: list[Path] = [()]
    for i, (token, parent) in enumerate(zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True)):
        path = (*paths[parent], token)
        paths.append(path)
        legal[i] = (parent == 0 or legal[parent - 1]) and walker.go(path)
    return legal
