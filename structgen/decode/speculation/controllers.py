"""Controllers: how many nodes are worth drafting and verifying. They never change the text."""

from __future__ import annotations

from typing import Protocol

from structgen.decode.speculation.drafter import Seen
from structgen.decode.speculation.tree import DraftTree


class Controller(Protocol):
    """Asked before drafting, and before the pass; told what came of it. Shared by the texts of a batch."""

    def budget(self, num_texts: int) -> int:
        """Nodes that a drafter may propose for one of `num_texts` texts in the next pass; 0: do not speculate."""

    def trim(self, tree: DraftTree, num_texts: int) -> DraftTree:
        """What of a deterministic tree is worth a place in the pass."""

    def drafted(self, seconds: float, num_texts: int) -> None:
        """What drafting for a pass took."""

    def observe(self, seen: Seen) -> None:
        """What the target said of one tree."""

    def passed(self, num_tokens: int, num_texts: int, seconds: float) -> None:
        """What a pass over `num_tokens` tokens of `num_texts` texts took."""


class Fixed:
    """The same number of nodes always."""

    def __init__(self, num_nodes: int = 32) -> None:
        if num_nodes < 0:
            raise ValueError(f"num_nodes must not be negative, not {num_nodes}")
        self.num_nodes = num_nodes

    def budget(self, num_texts: int) -> int:
        return self.num_nodes

    def trim(self, tree: DraftTree, num_texts: int) -> DraftTree:
        return tree

    def drafted(self, seconds: float, num_texts: int) -> None:
        pass

    def observe(self, seen: Seen) -> None:
        pass

    def passed(self, num_tokens: int, num_texts: int, seconds: float) -> None:
        pass
