"""The tables of ``suite``: groups and tests in all, then by keyword file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from jsonschemabench.comparison import Column, reasons_table
from jsonschemabench.record import PASSING, REFUSED, Record
from jsonschemabench.table import Table, number


def suite_counts(records: Collection[Record]) -> dict[str, int]:
    """The rows of the first table. Verdicts are counted over the tests of groups that compiled."""
    compiled = [record for record in records if record.compiled]
    verdicts = [verdict for record in compiled for verdict in record.verdicts]
    return {
        "groups": len(records),
        "groups compiled": len(compiled),
        "groups refused": sum(record.ended == REFUSED for record in records),
        "groups lost (timeout, crash, memory)": sum(not r.compiled and r.ended != REFUSED for r in records),
        "groups compiled and all verdicts right": sum(record.category == PASSING for record in records),
        "tests of compiled groups": len(verdicts),
        "right": sum(verdict.valid == verdict.accepted for verdict in verdicts),
        "valid rejected": sum(verdict.valid and not verdict.accepted for verdict in verdicts),
        "invalid accepted": sum(verdict.accepted and not verdict.valid for verdict in verdicts),
        "error on an invalid instance": sum(bool(v.error) and not v.valid for v in verdicts),
    }


def keyword_cell(records: Collection[Record]) -> str:
    """``compiled/all; right, n vr, n ia``: valid rejected and invalid accepted only where there are any."""
    counts = suite_counts(records)
    cell = f"{counts['groups compiled']}/{counts['groups']}; {counts['right']}"
    for name, short in (("valid rejected", "vr"), ("invalid accepted", "ia")):
        if counts[name]:
            cell += f", {counts[name]} {short}"
    return cell


def suite_tables(columns: Sequence[Column], draft: str) -> list[Table]:
    """The tables of a draft: totals, keyword files, reasons of refusal."""
    names = [column.name for column in columns]
    about = "\n".join(column.about() for column in columns)
    totals = [
        (parts[0][0], *(number(value) for _, value in parts))
        for parts in zip(*(suite_counts(column.records()).items() for column in columns), strict=True)
    ]
    files = sorted({record.split for column in columns for record in column.run.rows})
    by_file = [
        (file, *(keyword_cell([record for record in column.run.rows if record.split == file]) for column in columns))
        for file in files
    ]
    legend = "groups compiled/all; right, valid rejected (vr) and invalid accepted (ia) tests of those groups"
    return [
        Table(f"JSON Schema Test Suite, draft {draft}", ("tests", *names), totals, about),
        Table(f"Draft {draft} by file", ("file", *names), by_file, legend),
        *(reasons_table(column) for column in columns if suite_counts(column.records())["groups refused"]),
    ]


def wrong_verdicts(column: Column, limit: int) -> Table:
    """The first wrong verdicts of an engine, group by group."""
    rows = [
        (record.id, str(index), "valid rejected" if verdict.valid else "invalid accepted", str(verdict.num_read))
        for record in column.run.rows
        for index, verdict in enumerate(record.verdicts)
        if verdict.valid != verdict.accepted
    ]
    names = ("group", "test", "verdict", "tokens read")
    return Table(f"Wrong verdicts of {column.name} ({len(rows):,})", names, sorted(rows)[:limit], "", frozenset({0, 2}))


def suite_json(columns: Sequence[Column], draft: str) -> dict[str, Any]:
    """The figures for machines."""
    engines = {}
    for column in columns:
        by_file: dict[str, list[Record]] = {}
        for record in column.run.rows:
            by_file.setdefault(record.split, []).append(record)
        engines[column.name] = {
            "version": column.run.header.version,
            "options": column.run.header.options,
            "all": suite_counts(column.run.rows),
            "by_file": {file: suite_counts(records) for file, records in sorted(by_file.items())},
        }
    return {"draft": draft, "engines": engines}
