"""Choosing cases: a sample stratified by split, the same for the same seed whatever order the source had."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

from jsonschemabench.case import Case


def sample_cases(cases: Sequence[Case], num_cases: int | None, seed: int) -> list[Case]:
    """``num_cases`` of ``cases``, each split in proportion to its size, in random order.

    The order is random so that a run which stops early did a random part. None, or more than there are, takes all.
    """
    by_split: dict[str, list[Case]] = defaultdict(list)
    for case in sorted(cases, key=lambda case: case.id):
        by_split[case.split].append(case)
    sizes = {split: len(members) for split, members in sorted(by_split.items())}
    quotas = sizes if num_cases is None or num_cases >= len(cases) else apportion(sizes, num_cases)
    chosen: list[Case] = []
    for split, quota in quotas.items():
        chosen += random.Random(f"{seed}/{split}").sample(by_split[split], quota)
    random.Random(seed).shuffle(chosen)
    return chosen


def apportion(sizes: dict[str, int], total: int) -> dict[str, int]:
    """Shares of ``total`` in proportion to ``sizes``, whole numbers by the largest-remainder method (ties by name)."""
    whole = sum(sizes.values())
    shares = {name: size * total // whole for name, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda name: (-(sizes[name] * total % whole), name))
    for name in by_remainder[: total - sum(shares.values())]:
        shares[name] += 1
    return shares
