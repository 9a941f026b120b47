"""The figures of one engine over a set of schemas: the rows of the tables, each computed from records alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from jsonschemabench.record import CRASH, MEMORY, PASSING, REFUSED, TIMEOUT, Record
from jsonschemabench.times import Times


def _count(test: Callable[[Record], bool]) -> Callable[[Collection[Record]], int]:
    return lambda records: sum(1 for record in records if test(record))


def _instances(valid: bool, wrong_only: bool) -> Callable[[Collection[Record]], int]:
    return lambda records: sum(
        verdict.valid == valid and (not wrong_only or verdict.accepted != valid)
        for record in records
        for verdict in record.verdicts
    )


def _has_wrong(valid: bool) -> Callable[[Record], bool]:
    return lambda record: record.compiled and any(v.valid == valid and v.accepted != valid for v in record.verdicts)


COUNTS: dict[str, Callable[[Collection[Record]], int]] = {
    "schemas": len,
    "passing": _count(lambda record: record.category == PASSING),
    "refused": _count(lambda record: record.ended == REFUSED),
    "— by an unexpected exception": _count(lambda record: record.ended == REFUSED and record.by_exception),
    "timeout": _count(lambda record: record.ended == TIMEOUT),
    "crash": _count(lambda record: record.ended == CRASH),
    "out of memory": _count(lambda record: record.ended == MEMORY),
    "with valid rejected": _count(_has_wrong(valid=True)),
    "with invalid accepted": _count(_has_wrong(valid=False)),
    "— valid instances tried": _instances(valid=True, wrong_only=False),
    "— valid rejected": _instances(valid=True, wrong_only=True),
    "— invalid instances tried": _instances(valid=False, wrong_only=False),
    "— invalid accepted": _instances(valid=False, wrong_only=True),
    "— run-time errors": lambda records: sum(bool(v.error) for record in records for v in record.verdicts),
    "— mask and commit disagree": lambda records: sum(v.disagree for record in records for v in record.verdicts),
    "involuntary switches": lambda records: sum(record.switches for record in records),
}
"""Rows without a dash count schemas (one with both kinds of wrong verdict is in both rows), rows with one instances."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of one column."""

    tbm: Times
    ttfm: Times
    counts: dict[str, int]
    peak_mib: float

    @classmethod
    def of(cls, records: Collection[Record]) -> Summary:
        return cls(
            tbm=Times.of(times for record in records for times in record.mask_ns),
            ttfm=Times.of([[record.ttfm_ns for record in records if record.ttfm_ns is not None]]),
            counts={name: count(records) for name, count in COUNTS.items()},
            peak_mib=max((record.peak_mib for record in records), default=0.0),
        )

    def time_rows(self) -> list[tuple[str, float]]:
        """(name, µs), in the order of the tables."""
        return [(f"{kind} {name}", us) for kind in ("TBM", "TTFM") for name, us in getattr(self, kind.lower()).rows()]

    def count_rows(self) -> list[tuple[str, float]]:
        """(name, number), in the order of the tables."""
        return [("masks timed (TBM)", self.tbm.num), *self.counts.items(), ("peak memory MiB", round(self.peak_mib))]


def reasons(records: Iterable[Record], limit: int = 15) -> list[tuple[str, int]]:
    """The reasons of refusals with what is particular to one schema taken out, most frequent first."""
    tally = Counter(general_reason(record.detail) for record in records if record.ended == REFUSED)
    return tally.most_common(limit)


def general_reason(detail: str) -> str:
    """A refusal's text without pointers, quoted values and numbers, so that like falls together with like."""
    text = re.sub(r"\[\d\d:\d\d:\d\d\]|/[\w./-]+\.(cc|rs|py):\d+:?", " ", detail)
    first = next((line for line in text.splitlines() if line.strip()), "")
    for pattern, blank in ((r"\(at [^)]*\)|\bat [/#(][^\s,:]*", ""), (r"\{.*\}", "{…}"), (r"(?<!\w)\d+(?!\w)", "N")):
        first = re.sub(pattern, blank, first)
    return " ".join(first.split()).replace(" ,", ",").replace(" :", ":")[:110]
