"""Drawn children of a node, and the token that comes of testing them by the rule of how they were drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from structgen.decode.chance import Chance
from structgen.decode.speculation.drawn import DrawnWithoutReplacement, DrawnWithReplacement
from structgen.decode.speculation.rules import DrawnRule, Rejection, RejectionWithoutReplacement
from structgen.decode.speculation.tree import DraftTree

RULES: dict[type[DraftTree], DrawnRule[Any]] = {
    DrawnWithReplacement: Rejection(),
    DrawnWithoutReplacement: RejectionWithoutReplacement(),
}
"""The rule of a tree is that of its type; a plain `DraftTree` is deterministic and needs none."""


@dataclass(frozen=True, slots=True)
class Offered:
    """Children of one row in the order in which they were drawn from q (float32 [V]), and the rule for them."""

    tokens: list[int]
    q: npt.NDArray[np.float32]
    rule: DrawnRule[Any]

    def choose(self, p: npt.NDArray[np.float64], chance: Chance) -> int:
        """A token distributed as p (float64 [V], sum 1): an offered one as often as the rule allows."""
        q = np.where(p > 0, self.q.astype(np.float64), 0.0)
        inside = [token for token in self.tokens if q[token] > 0]
        if not inside:
            return chance.draw(p)
        return self.rule.choose(p, q / q.sum(), inside, chance)[1]


def offered_at(tree: DraftTree, row: int, children: list[int]) -> Offered | None:
    """What is offered at a row of a tree with these rows below it; None where nothing was drawn."""
    rule = RULES.get(type(tree))
    if rule is None or not children or tree.q_rows is None or tree.q_of_row[row] < 0:
        return None
    return Offered([int(tree.tokens[child - 1]) for child in children], tree.q_rows[tree.q_of_row[row]], rule)
