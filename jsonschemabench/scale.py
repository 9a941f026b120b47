"""Growth curves: every family of ``scale_families`` at growing sizes under every engine, until something gives.

When an engine refuses, dies or runs out at a size, the larger sizes of that family are not tried.
"""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from jsonschemabench.engines import Engine, EngineUnavailable, make_engine
from jsonschemabench.lane import Lane, Limits
from jsonschemabench.measure import Bench, Event, measure_case
from jsonschemabench.process import keep_off
from jsonschemabench.record import Record, record_of
from jsonschemabench.scale_families import FAMILIES, family_case
from jsonschemabench.table import Table
from jsonschemabench.times import Times
from jsonschemabench.tokenizer import Tokenizer

SIZES = (10, 100, 1_000, 10_000, 100_000)
BEND = 2.0
"""A curve bends where a time grows more than this many times faster than the size."""


@dataclass(frozen=True, slots=True)
class Point:
    """One engine at one size of one family. Times are NaN where they were not reached."""

    engine: str
    family: str
    size: int
    ended: str
    """done, refused, timeout, crash, memory, or wrong where the valid text was rejected."""
    detail: str
    ttfm_us: float
    mean_us: float
    max_us: float
    num_masks: int
    cut: bool
    peak_mib: float


def probe(bench: Bench, task: tuple[str, int, int]) -> Iterator[Event]:
    """The lane's job: the schema is made in the worker, since a deep one does not pass through a pipe."""
    family, size, max_tokens = task
    yield from measure_case(bench, family_case(family, size), max_tokens)


def run_scale(
    engines: Sequence[str],
    tokenizer: Tokenizer,
    families: Sequence[str],
    sizes: Sequence[int],
    limits: Limits,
    max_tokens: int,
    console: Console,
    pin: int | None = None,
    factory: Callable[[str], Engine] = make_engine,
) -> Generator[Point, None, None]:
    """Points as they are measured. Raises ``EngineUnavailable``."""
    if pin is not None:
        keep_off({pin})
    for engine in engines:
        lane = Lane(functools.partial(factory, engine), tokenizer, probe, limits, pin=pin)
        try:
            console.print(f"{engine}: setting up", style="dim")
            try:
                lane.start()
            except EngineUnavailable as error:
                raise EngineUnavailable(f"{engine}: {error}") from error
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            with Progress(*columns, console=console) as progress:
                bar = progress.add_task(engine, total=len(families) * len(sizes))
                for family in families:
                    for size in sizes:
                        progress.update(bar, description=f"{engine} {family} {size:,}")
                        outcome = lane.run((family, size, max_tokens))
                        record = record_of(engine, f"{family}/{size}", family, outcome, limits.compile_s)
                        point = point_of(record, size)
                        yield point
                        progress.advance(bar)
                        if point.ended != "done":
                            progress.advance(bar, len(sizes) - 1 - list(sizes).index(size))
                            break
        finally:
            lane.close()


def point_of(record: Record, size: int) -> Point:
    """What a record says of its size."""
    masks = Times.of(record.mask_ns)
    wrong = [verdict for verdict in record.verdicts if not verdict.right]
    ended, detail = record.ended, record.detail
    if record.compiled and wrong:
        ended, detail = "wrong", wrong[0].error or f"valid text rejected at token {wrong[0].num_read}"
    return Point(
        engine=record.engine,
        family=record.split,
        size=size,
        ended=ended,
        detail=detail,
        ttfm_us=math.nan if record.ttfm_ns is None else record.ttfm_ns / 1000,
        mean_us=masks.mean_us,
        max_us=masks.percentiles_us[-1],
        num_masks=masks.num,
        cut=any(verdict.cut for verdict in record.verdicts),
        peak_mib=record.peak_mib,
    )


def write_points(path: Path, points: Sequence[Point]) -> None:
    """Points as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(point_json(point)) + "\n" for point in points), encoding="utf-8")


def point_json(point: Point) -> dict[str, Any]:
    """A point as JSON, which has no NaN."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value for name, value in asdict(point).items()
    }


def scale_tables(points: Sequence[Point], engines: Sequence[str], sizes: Sequence[int]) -> list[Table]:
    """A table a family, and one that says where each engine bends or breaks."""
    by_key = {(point.family, point.engine, point.size): point for point in points}
    families = [family for family in FAMILIES if any(point.family == family for point in points)]
    note = "first mask · mean / slowest mask · peak memory of the process; * the text was cut at the token limit"
    tables = []
    for family in families:
        rows = [(f"{size:,}", *(_cell(by_key.get((family, engine, size))) for engine in engines)) for size in sizes]
        tables.append(Table(f"{family}: {FAMILIES[family][0]}", ("size", *engines), rows, note))
    verdicts = []
    for family in families:
        curves = ([by_key[key] for size in sizes if (key := (family, engine, size)) in by_key] for engine in engines)
        verdicts.append((family, *map(verdict_of, curves)))
    bends = f"A curve bends where its first mask or its mean mask grows more than {BEND:g} times faster than the size."
    every_column = frozenset(range(len(engines) + 1))
    return [*tables, Table("Where each bends or breaks", ("family", *engines), verdicts, bends, every_column)]


def verdict_of(curve: Sequence[Point]) -> str:
    """Where a curve first bends and where it breaks."""
    if not curve:
        return "—"
    words = []
    for before, after in itertools.pairwise(curve):
        bound = BEND * after.size / before.size
        bent = [
            f"{what} ×{getattr(after, name) / getattr(before, name):,.0f}"
            for what, name in (("first mask", "ttfm_us"), ("mean mask", "mean_us"))
            if after.ended == "done" and getattr(after, name) > bound * getattr(before, name)
        ]
        if bent:
            words.append(f"bends at {after.size:,} ({', '.join(bent)})")
            break
    last = curve[-1]
    if last.ended == "done":
        words.append(f"holds to {last.size:,}")
    else:
        words.append(f"breaks at {last.size:,}: {last.ended} ({' '.join(last.detail.split())[:70]})")
    return "; ".join(words)


def _cell(point: Point | None) -> str:
    if point is None:
        return "—"
    if point.ended != "done":
        return point.ended
    cut = "*" if point.cut else ""
    return f"{_time(point.ttfm_us)} · {_time(point.mean_us)} / {_time(point.max_us)}{cut} · {point.peak_mib:,.0f} MiB"


def _time(us: float) -> str:
    if math.isnan(us):
        return "—"
    for limit, unit, scale in ((1e3, "µs", 1.0), (1e6, "ms", 1e3), (math.inf, "s", 1e6)):
        if us < limit:
            value = us / scale
            return f"{value:.1f} {unit}" if value < 100 else f"{value:.0f} {unit}"
    raise AssertionError(us)
