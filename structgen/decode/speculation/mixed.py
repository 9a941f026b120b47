"""Several drafters at once: the likeliest nodes of all their trees become one tree.

Each member's confidence is calibrated by what the target did with its nodes, so a member that is often right gets the
places, text by text, and one that is silent or wrong costs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from structgen.decode.speculation.build import TreeBuilder, likeliest
from structgen.decode.speculation.calibration import Calibration, outcomes
from structgen.decode.speculation.drafter import Context, Drafter, Extends, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.errors import SpeculationError

MAX_EXTENDED = 8
LEAST_EXTENDED = 0.05
"""Nodes of others below which a member may go on, at most, and the chance that they are reached, at least."""


@dataclass
class MixedState:
    """The members' states, and for each node last proposed, by its path, which member said what."""

    states: list[Any]
    said: dict[tuple[int, ...], list[tuple[int, float]]] = field(default_factory=dict)


class Mixed:
    """Merges the trees of deterministic drafters and keeps the most probable nodes.

    Members that can (`Extends`) go on below the likeliest nodes of the others.

    A node that several members propose is as likely as the most confident of them says.
    """

    kind: Kind = "deterministic"

    def __init__(self, members: Sequence[Drafter]) -> None:
        drawn = [type(member).__name__ for member in members if member.kind != "deterministic"]
        if drawn:
            raise SpeculationError(
                f"{', '.join(drawn)} draws its nodes; a mixture would have to drop some, which is not exact",
                advice="mix deterministic drafters, such as DraftModel",
            )
        if not members:
            raise ValueError("a mixture needs a member")
        self.members = tuple(members)
        self.wants_hidden = any(member.wants_hidden for member in members)
        self._calibrations = [Calibration() for _ in members]

    def begin(self, prompt_ids: list[int]) -> MixedState:
        """A state for each member."""
        return MixedState([member.begin(prompt_ids) for member in self.members])

    def propose(self, context: Context, state: MixedState, budget: int) -> DraftTree:
        """The `budget` likeliest nodes of what the members propose."""
        merged = TreeBuilder()
        state.said.clear()
        for i, (member, own) in enumerate(zip(self.members, state.states, strict=True)):
            self._add(merged, state, i, member.propose(context, own, budget), 0)
        for i, (member, own) in enumerate(zip(self.members, state.states, strict=True)):
            if isinstance(member, Extends):
                for row in self._worth_extending(merged, state, i):
                    self._add(merged, state, i, member.extend(context, own, merged.path(row), budget), row)
        return likeliest(merged.tree(), budget)

    def _add(self, merged: TreeBuilder, state: MixedState, i: int, tree: DraftTree, below: int) -> None:
        """Adds what member i proposes below a row."""
        if not tree.num_nodes:
            return
        said = np.ones(tree.num_nodes, np.float32) if tree.confidence is None else tree.confidence
        chances = self._calibrations[i](said)
        paths: list[tuple[int, ...]] = [merged.path(below)]
        rows = [below]
        for token, parent, confidence, chance in zip(
            tree.tokens.tolist(), tree.parents.tolist(), said.tolist(), chances.tolist(), strict=True
        ):
            paths.append((*paths[parent], token))
            rows.append(merged.add(rows[parent], token, chance))
            state.said.setdefault(paths[-1], []).append((i, confidence))

    def _worth_extending(self, merged: TreeBuilder, state: MixedState, i: int) -> list[int]:
        """The likeliest nodes that others proposed and member i did not."""
        chances = merged.chances()
        rows = sorted(range(1, len(chances)), key=lambda row: -chances[row])[: 2 * MAX_EXTENDED]
        others = [
            row
            for row in rows
            if chances[row] >= LEAST_EXTENDED and all(j != i for j, _ in state.said[merged.path(row)])
        ]
        return others[:MAX_EXTENDED]

    def observe(self, context: Context, state: MixedState, seen: Seen) -> None:
        """Calibrates, and tells all members, each of which learns from the whole tree."""
        tested, accepted = outcomes(seen)
        paths: list[tuple[int, ...]] = [()]
        for token, parent in zip(seen.tree.tokens.tolist(), seen.tree.parents.tolist(), strict=True):
            paths.append((*paths[parent], token))
        for node, was_accepted in zip(tested.tolist(), accepted.tolist(), strict=True):
            for member, confidence in state.said.get(paths[node + 1], ()):
                self._calibrations[member].observe(np.array([confidence], np.float32), np.array([was_accepted]))
        for member_, own in zip(self.members, state.states, strict=True):
            member_.observe(context, own, seen)
