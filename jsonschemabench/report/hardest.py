"""The schemas that were hardest for anyone, and what is known of each: verdicts, times, the slowest masks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from jsonschemabench.comparison import Column
from jsonschemabench.record import CRASH, MEMORY, PASSING, TIMEOUT, Record
from jsonschemabench.table import Table, microseconds

NUM_EACH = 8
"""So many schemas by each of: lost, slowest mask, slowest first mask."""


@dataclass(frozen=True, slots=True)
class Hard:
    """A schema under every engine that ran it, by the engine's name in the tables."""

    id: str
    split: str
    records: dict[str, Record]


def slowest_us(record: Record) -> float:
    """The slowest later mask of a schema; NaN where there was none."""
    return max((ns for times in record.mask_ns for ns in times), default=math.nan) / 1000


def first_us(record: Record) -> float:
    return math.nan if record.ttfm_ns is None else record.ttfm_ns / 1000


def hardest(columns: Sequence[Column]) -> list[Hard]:
    """Schemas that an engine lost, then those with the slowest masks and the slowest first masks, each once."""
    by_id: dict[str, dict[str, Record]] = {}
    for column in columns:
        for record in column.run.rows:
            by_id.setdefault(record.id, {})[column.name] = record

    def lost(records: Sequence[Record]) -> float:
        return sum(record.ended in (TIMEOUT, CRASH, MEMORY) for record in records)

    def worst(measure: Callable[[Record], float]) -> Callable[[Sequence[Record]], float]:
        return lambda records: max((us for record in records if not math.isnan(us := measure(record))), default=0.0)

    chosen: dict[str, None] = {}
    for rank in (lost, worst(slowest_us), worst(first_us)):
        ranked = sorted(by_id, key=lambda each: (-rank(list(by_id[each].values())), each))
        chosen.update(dict.fromkeys(each for each in ranked[:NUM_EACH] if rank(list(by_id[each].values())) > 0))
    return [Hard(each, next(iter(by_id[each].values())).split, by_id[each]) for each in chosen]


def hardest_table(schemas: Sequence[Hard], columns: Sequence[Column]) -> Table:
    """One row a schema; the first cell is the schema's id, which a page can make a link."""
    names = [column.name for column in columns]
    rows = [(hard.id, *(_cell(hard.records.get(name)) for name in names)) for hard in schemas]
    note = "first mask · slowest later mask, µs; a word where it is not passing"
    return Table("The hardest schemas", ("schema", *names), rows, note)


def _cell(record: Record | None) -> str:
    if record is None:
        return "—"
    times = f"{microseconds(first_us(record))} · {microseconds(slowest_us(record))}"
    if record.category == PASSING:
        return times
    return f"{record.category}: {times}" if record.compiled else record.category


def diagnosis(hard: Hard) -> list[Table]:
    """What every engine made of a schema, and where its slowest masks are."""
    verdicts, masks = [], []
    for name, record in hard.records.items():
        compile_us = math.nan if record.compile_ns is None else record.compile_ns / 1000
        wrong = [verdict for verdict in record.verdicts if not verdict.right]
        told = record.detail
        if wrong and not told:
            where = wrong[0].error or f"after {wrong[0].num_read} of {wrong[0].num_tokens} tokens"
            told = f"{len(wrong)} of {len(record.verdicts)} verdicts wrong; the first: {where}"
        times = (microseconds(each) for each in (compile_us, first_us(record), slowest_us(record)))
        verdicts.append((name, record.category, *times, f"{record.peak_mib:,.0f}", " ".join(told.split())[:200]))
        masks += [
            (name, str(mask["instance"]), str(mask["token"]), microseconds(mask["ns"] / 1000), repr(mask["tail"]))
            for mask in record.slowest
        ]
    names = ("engine", "verdict", "compile µs", "first mask µs", "slowest mask µs", "memory MiB", "detail")
    tables = [Table("What each engine made of it", names, verdicts, "", frozenset({0, 1, 6}))]
    if masks:
        heads = ("engine", "instance", "token", "µs", "text before it")
        tables.append(Table("Slowest masks", heads, masks, "", frozenset({0, 4})))
    return tables
