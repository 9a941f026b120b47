"""Small shared types: limits, and the protocols other layers speak."""

from __future__ import annotations

from dataclasses import dataclass, fields

from structgen.errors import StructgenError


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on what one vocabulary's engine may hold; shared by all grammars compiled for that vocabulary.

    When a table is full a new generation of tables starts and matchers carry over by replaying their own bytes; one
    grammar that does not fit an empty generation raises `BudgetExceeded`. Memory is only taken as it is used.

    Args:
        max_states: parser states (about 1.2 KiB each).
        max_instructions: instructions of all grammars' networks (20 bytes each).
        max_row_bytes: bytes of dense mask rows; beyond it the least used rows are recomputed when needed.
        max_mask_steps: trie nodes that one mask may visit (None: no limit).
    """

    max_states: int = 1 << 17
    max_instructions: int = 3 << 20
    max_row_bytes: int = 128 << 20
    max_mask_steps: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise StructgenError(f"Limits.{field.name} must be a positive integer, not {value!r}")
