"""Walking a matcher byte by byte: where a text dies, and what was expected there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structgen.matcher import Matcher


def first_rejected(matcher: Matcher, data: bytes) -> int | None:
    """Index of the first byte that the matcher does not take, None if it takes all; it stands before that byte then."""
    for i in range(len(data)):
        if not matcher.accept_bytes(data[i : i + 1]):
            return i
    return None
