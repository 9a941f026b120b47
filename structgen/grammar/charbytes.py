"""Characters as the bytes with which their UTF-8 begins."""

from __future__ import annotations

from functools import lru_cache

from structgen.automata.charset import CharSet


@lru_cache(4096)
def byte_mask(charset: CharSet) -> int:
    """The bytes with which the UTF-8 of a character of the set begins, as a 256-bit integer."""
    mask = 0
    for low, high in charset.ranges:
        for first, last in ((0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF)):
            if low <= last and high >= first:
                begin, end = chr(max(low, first)), chr(min(high, last))
                mask |= (2 << _lead(end)) - (1 << _lead(begin))
    return mask


def _lead(char: str) -> int:
    return char.encode("utf-8", "surrogatepass")[0]
