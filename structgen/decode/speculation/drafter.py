"""What a drafter is: something that proposes a tree of tokens below a text.

A drafter is one of two kinds, and the kind decides the verification rule, not the user's care. A *deterministic* one
proposes the same tree for the same text and statistics; the target's own draw is followed as far as it goes (greedy and
target-only rule). A *drawn* one samples its children from distributions q that it hands over with the tree; those are
tested by recursive rejection (`rules`).

A drafter is shared by texts; what belongs to one text is in the state that `begin` makes. Whatever a drafter proposes,
the text that comes out is the target's: drafters decide only how fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from structgen.decode.speculation.tree import DraftTree

if TYPE_CHECKING:
    from structgen.decode.sampling import Sampling
    from structgen.matcher import Matcher

Kind = Literal["deterministic", "drawn"]


@dataclass(frozen=True, slots=True)
class Context:
    """A text as a drafter sees it.

    token_ids: prompt and text so far; the last one is the root of the tree. Not to be changed.
    num_prompt: how many of them are the prompt.
    matcher: after the last token, or None: no grammar, or a drafter that is not told of it. Not to be moved (see
        `walker.Walker`). Where there is one, every node proposed must be legal.
    max_depth: levels of the tree that can be of use.
    sampling: temperature, top-k, top-p of the target; a drawn drafter draws under the same.
    generator: `numpy.random.Generator` of this text, for what is drawn.
    """

    token_ids: list[int]
    num_prompt: int
    matcher: Matcher | None
    max_depth: int
    sampling: Sampling
    generator: Any


@dataclass(frozen=True, slots=True)
class Seen:
    """What the target said of a tree.

    tree: as it was verified.
    root_token: the token at the root.
    path: rows that were accepted, in order, without the root.
    new_tokens: what the pass added to the text: the tokens of `path`, then, unless the text ended there, one more.
    logits: torch tensor [n + 1, V], unmasked, as the model gave it, a row for each row of the tree.
    hidden: torch tensor [n + 1, H] or None: the last hidden states, where the drafter asked for them.
    """

    tree: DraftTree
    root_token: int
    path: list[int]
    new_tokens: list[int]
    logits: Any
    hidden: Any


@runtime_checkable
class Drafter(Protocol):
    """Proposes trees. `kind` and `wants_hidden` do not change during its life."""

    kind: Kind
    wants_hidden: bool
    """Whether `observe` needs the target's last hidden states."""

    def begin(self, prompt_ids: list[int]) -> Any:
        """The state of a new text."""

    def propose(self, context: Context, state: Any, budget: int) -> DraftTree:
        """A tree of at most `budget` nodes, none deeper than `context.max_depth`; an empty one where nothing is
        known."""

    def observe(self, context: Context, state: Any, seen: Seen) -> None:
        """Told after each verification; `context.token_ids` has the new tokens at its end."""


@runtime_checkable
class Extends(Protocol):
    """A drafter that can also go on from drafted tokens, its own or another's."""

    def extend(self, context: Context, state: Any, path: tuple[int, ...], budget: int) -> DraftTree:
        """A tree of at most `budget` nodes below the end of `path`, which hangs below the text.

        Called after `propose` for the same text; nothing may be learnt from the path.
        """
