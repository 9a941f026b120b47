"""Draft trees whose children were drawn at random, by how they were drawn: the type decides which rules verify them.

A plain `DraftTree` is deterministic: which nodes it has depends on the text so far alone. In a drawn tree the children
of a row with `q_of_row[row] >= 0` were drawn from that row of `q_rows`, in the order in which they stand. Rows with -1
may have children that were not drawn (forced text, say); those are verified by drawing from the target.

Whether a further child is drawn, and which nodes get children, may depend on what was drawn before (except for `KSeq`,
where the number of draws at a row is fixed beforehand). A child that was drawn must not be dropped because of what it
is, with one exception: tokens that the grammar forbids may be left out.
"""

from __future__ import annotations

from structgen.decode.speculation.tree import DraftTree


class DrawnWithReplacement(DraftTree):
    """Siblings are independent draws from one distribution; the same token may stand there twice."""

    __slots__ = ()


class DrawnWithoutReplacement(DraftTree):
    """Each sibling was drawn from the distribution less its earlier siblings (so do Gumbel top-k, stochastic beams)."""

    __slots__ = ()
