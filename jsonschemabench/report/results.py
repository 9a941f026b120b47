"""Result files of any command, told apart by what is in them, and grouped for a report."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from jsonschemabench.comparison import Column
from jsonschemabench.record import Header, read_runs
from jsonschemabench.scale import Point
from jsonschemabench.written import WrittenRun, read_written

SUITE, QUALITY = "suite draft ", "quality "


class ReportProblem(Exception):
    """A report that cannot be made, and why."""


@dataclass
class Results:
    """What was read, by command. Suites are by draft, quality by task; ``damages`` name what could not be read."""

    masks: list[Column] = field(default_factory=list)
    suites: dict[str, list[Column]] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    efficiency: list[WrittenRun] = field(default_factory=list)
    quality: dict[str, list[WrittenRun]] = field(default_factory=dict)
    damages: list[str] = field(default_factory=list)

    def headers(self) -> list[Header]:
        """Every run's header; ``scale`` keeps none."""
        columns = [*self.masks, *(column for columns in self.suites.values() for column in columns)]
        texts = [*self.efficiency, *(run for runs in self.quality.values() for run in runs)]
        return [*(column.run.header for column in columns), *(run.header for run in texts)]


def read_results(paths: Sequence[Path]) -> Results:
    """Everything in these files, and in the ``*.jsonl`` of these folders. Raises ``ReportProblem``."""
    results = Results()
    for file in _files(paths):
        first = _first_row(file)
        if first is None:
            results.damages.append(f"{file.name}: no line that can be read")
        elif "header" in first:
            _add_runs(results, file, str(first["header"].get("command", "")))
        elif "family" in first:
            _add_points(results, file)
        else:
            results.damages.append(f"{file.name}: not a result of masks, suite, scale, efficiency or quality")
    results.masks = _named_in_order(results.masks)
    results.suites = {draft: _named_in_order(columns) for draft, columns in sorted(results.suites.items())}
    for runs in (results.efficiency, *results.quality.values()):
        runs.sort(key=lambda run: run.header.started)
    if not results.headers() and not results.points:
        raise ReportProblem("nothing to report: " + ("; ".join(results.damages) or "no *.jsonl was found"))
    return results


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    seen = set()
    for path in paths:
        if not path.exists():
            raise ReportProblem(f"there is no {path}")
        for file in sorted(path.rglob("*.jsonl")) if path.is_dir() else [path]:
            if file.is_file() and file.resolve() not in seen:
                seen.add(file.resolve())
                yield file


def _rows(file: Path) -> Iterator[tuple[int, Any]]:
    """(line number, parsed line or the error) of every line that is not empty."""
    with open(file, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except ValueError as error:
                    yield number, error


def _first_row(file: Path) -> dict[str, Any] | None:
    return next((row for _, row in _rows(file) if isinstance(row, dict)), None)


def _add_runs(results: Results, file: Path, command: str) -> None:
    if command == "efficiency" or command.startswith(QUALITY):
        texts = read_written(file)
        is_quality = command.startswith(QUALITY)
        known = results.quality.setdefault(command.removeprefix(QUALITY), []) if is_quality else results.efficiency
        known += [run for run in texts if run.texts]
        results.damages += [damage for run in texts[:1] for damage in run.damages]
        return
    runs = read_runs(file)
    is_suite = command.startswith(SUITE)
    columns = results.suites.setdefault(command.removeprefix(SUITE), []) if is_suite else results.masks
    for run in runs:
        results.damages += run.damages
        if run.records:
            columns.append(Column(run.header.engine, run))


def _named_in_order(columns: Sequence[Column]) -> list[Column]:
    """Columns in the order in which they were measured; an engine's second run is numbered."""
    named: list[Column] = []
    for column in sorted(columns, key=lambda column: column.run.header.started):
        same = sum(each.run.header.engine == column.run.header.engine for each in named)
        named.append(Column(f"{column.name} ({same + 1})", column.run) if same else column)
    return named


def _add_points(results: Results, file: Path) -> None:
    times = {each.name for each in fields(Point) if each.name.endswith("_us")}
    for number, row in _rows(file):
        try:
            if isinstance(row, ValueError):
                raise row
            named: dict[str, Any] = {
                name: math.nan if name in times and value is None else value for name, value in row.items()
            }
            results.points.append(Point(**named))
        except (ValueError, TypeError, AttributeError) as error:
            results.damages.append(f"{file.name} line {number}: {type(error).__name__}: {error}")
