"""What a front end tells matchers of languages that can be used up: one int, which may change as a grammar is expanded.

Keys of an object, and items of an array, that must differ are remembered beside the state. Where a beginning of one
goes on in few ways, all of them may be there already: a dead end, for which a matcher has to look.
"""

from __future__ import annotations

THIN_KEYS, THIN_ITEMS = 1, 2  # bits
FEWEST, SHORTEST = 2, 34  # from which bit on there is a number
FEW_WAYS = 1000


def thinness(shortest: int | None, fewest: int | None, thin_items: bool) -> int:
    """The bits: THIN_KEYS and THIN_ITEMS where beginnings of them may be dead ends.

    shortest: of the beginnings, in code points, of keys that go on in `FEW_WAYS` ways or fewer; None: there are none.
    fewest: how many values an item that differs has to choose from at the least.
    """
    thin_keys = 0 if shortest is None else shortest << SHORTEST | THIN_KEYS
    return thin_keys | (fewest or 0) << FEWEST | THIN_ITEMS * thin_items


def fewest_values(thin: int) -> int:
    """`fewest` of the bits."""
    return thin >> FEWEST & (1 << SHORTEST - FEWEST) - 1


def shortest_beginning(thin: int) -> int:
    """`shortest` of the bits."""
    return thin >> SHORTEST
