"""What a report draws: from results to charts, each with a legend and a sentence that says what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from jsonschemabench.comparison import Column
from jsonschemabench.efficiency import figures as efficiency_figures
from jsonschemabench.record import PASSING
from jsonschemabench.report import svg
from jsonschemabench.report.results import Results
from jsonschemabench.scale import Point
from jsonschemabench.scale_families import FAMILIES
from jsonschemabench.table import microseconds
from jsonschemabench.times import Times
from jsonschemabench.written import WrittenRun

NUM_QUANTILES = 160


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn chart. ``legend`` is (style, name); a ``tall`` chart stands beside two others."""

    id: str
    title: str
    note: str
    drawing: str
    legend: tuple[tuple[int, str], ...]
    tall: bool = False


Styles = Mapping[str, int]
"""Colour and marker by the name of an engine, the same in all charts."""


def styles_of(results: Results) -> dict[str, int]:
    """Engines in order of appearance; more than there are styles begin anew."""
    names = [column.name for column in results.masks]
    names += [run.header.engine for run in results.scale]
    names += [run.header.engine for run in results.efficiency]
    return {name: index % svg.NUM_STYLES for index, name in enumerate(dict.fromkeys(names))}


def mask_figures(columns: Sequence[Column], styles: Styles) -> list[Figure]:
    """Mask times, coverage by split, and times to the first mask."""
    if not columns:
        return []
    later = [[ns for record in column.run.rows for times in record.mask_ns for ns in times] for column in columns]
    first = [[r.ttfm_ns for r in column.run.rows if r.ttfm_ns is not None] for column in columns]
    named = {column.name: styles[column.name] for column in columns}
    return [
        _distribution("ecdf-masks", "Time of one mask", named, later),
        _coverage(columns, named),
        _distribution("ecdf-first", "Time to the first mask, with the compile", named, first),
    ]


def _distribution(figure_id: str, title: str, styles: Styles, lists_ns: Sequence[Sequence[int]]) -> Figure:
    """An ECDF whose vertical scale is in nines: every step up leaves a tenth of the rest."""
    most = max((len(times) for times in lists_ns), default=1)
    nines = max(1.0, math.log10(max(2, most)))
    labels = ("0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %", "99.99999 %")
    ticks = [(0.0, "0 %"), (math.log10(2), "50 %")]
    ticks += [(float(each), labels[each]) for each in range(1, min(len(labels), math.floor(nines) + 1))]
    if nines - ticks[-1][0] > 0.3:
        ticks.append((nines, "all"))
    series = []
    for (name, style), times in zip(styles.items(), lists_ns, strict=True):
        if times:
            ordered = np.sort(np.asarray(times, dtype=np.float64)) / 1000
            top = math.log10(len(ordered)) if len(ordered) > 1 else 0.0
            rungs = np.linspace(0.0, top, NUM_QUANTILES)
            index = np.clip(np.ceil(len(ordered) * (1 - 10.0**-rungs)).astype(int) - 1, 0, len(ordered) - 1)
            points = zip(np.log10(np.maximum(ordered[index], 1e-3)).tolist(), rungs.tolist(), strict=True)
            series.append(svg.Series(name, style, tuple(points)))
    x = svg.time_scale("time", [10.0**px for each in series for px, _ in each.points])
    y = svg.Scale("share of all", 0.0, nines, tuple(ticks))
    each = [(name, Times.of([times])) for name, times in zip(styles, lists_ns, strict=True)]
    said = "; ".join(
        f"{name}: median {microseconds(t.percentiles_us[1])} µs, p99 {microseconds(t.percentiles_us[5])} µs"
        for name, t in each
        if t.num
    )
    drawing = svg.line_chart(figure_id, title, f"Empirical distribution. {said}.", series, x, y)
    note = "Share of all that took at most so long. Every step up leaves a tenth of the rest; left is faster."
    return Figure(figure_id, title, note, drawing, _legend(styles))


def _coverage(columns: Sequence[Column], styles: Styles) -> Figure:
    splits = sorted({record.split for column in columns for record in column.run.rows})
    rows = []
    for split in splits:
        bars, sizes = [], []
        for column in columns:
            records = [record for record in column.run.rows if record.split == split]
            passing, compiled = (
                100 * sum(test) / max(1, len(records))
                for test in ([r.category == PASSING for r in records], [r.compiled for r in records])
            )
            text = f"{column.name}, {split}: {passing:.1f} % passing, {compiled:.1f} % compiled, of {len(records)}"
            bars.append(svg.Bar(styles[column.name], passing, compiled, text))
            sizes.append(len(records))
        rows.append((f"{split[:17]} ({max(sizes)})", bars))
    said = " ".join(f"{bar.text}." for _, bars in rows for bar in bars)
    title = "Coverage by split"
    drawing = svg.bar_chart("coverage", title, said, rows, svg.linear_scale("schemas", 100, " %"))
    note = "Solid: compiled, and right about every instance. Faint: compiled."
    return Figure("coverage", title, note, drawing, _legend(styles), tall=True)


def scale_figures(points: Sequence[Point], styles: Styles) -> list[Figure]:
    """A chart a family: first mask and mean later mask over the size, on log scales."""
    named = {engine: styles[engine] for engine in dict.fromkeys(point.engine for point in points)}
    families = list(dict.fromkeys(point.family for point in points))
    return [_curves(family, named, [point for point in points if point.family == family]) for family in families]


def _curves(family: str, styles: Styles, points: Sequence[Point]) -> Figure:
    series = []
    for engine, style in styles.items():
        curve = sorted((point for point in points if point.engine == engine), key=lambda point: point.size)
        lost = next((point for point in curve if point.ended != "done"), None)
        for name, dashed in (("ttfm_us", False), ("mean_us", True)):
            known = [(point.size, getattr(point, name)) for point in curve if point.ended == "done"]
            places = tuple((math.log10(size), math.log10(us)) for size, us in known if us > 0)
            breaks = (math.log10(lost.size), f"{lost.ended} at {lost.size:,}") if lost and not dashed else None
            series.append(svg.Series(engine, style, places, dashed, True, breaks))
    x = svg.log_scale("size", [point.size for point in points])
    y = svg.time_scale("time", [10.0**py for each in series for _, py in each.points])
    y = svg.Scale(y.label, y.low, y.high + 0.35, y.ticks)  # room for crosses
    title = f"{family}: {FAMILIES[family][0]}" if family in FAMILIES else family
    ends = (f"{each.name} breaks: {each.breaks[1]}" for each in series if each.breaks)
    said = "; ".join(ends) or "no engine breaks at these sizes"
    drawing = svg.line_chart(f"scale-{family}", title, f"Time over size. {said}.", series, x, y)
    note = "Solid: first mask. Dashed: mean later mask. A cross: refused, wrong, or out of time or memory."
    return Figure(f"scale-{family}", title, note, drawing, _legend(styles))


def efficiency_figure(runs: Sequence[WrittenRun], styles: Styles) -> Figure:
    """Time of a later token, and the engine's part of it."""
    each = [(run.header.engine, efficiency_figures(run.rows)) for run in runs]
    whole, part = "time per later token µs, mean", "— of it the engine's (mask, commit), mean"
    most = max((found[whole] for _, found in each if not math.isnan(found[whole])), default=0.0)
    unit, size = ("ms", 1000) if most >= 1000 else ("µs", 1)
    rows = []
    for name, found in each:
        inner, outer = (0.0 if math.isnan(found[key]) else found[key] / size for key in (part, whole))
        text = f"{name}: {outer:,.4g} {unit} a token, of it {inner:,.3g} {unit} the engine's"
        rows.append((name, [svg.Bar(styles[name], inner, outer, text)]))
    scale = svg.linear_scale("time per later token", most / size, f" {unit}")
    title = "Time per token with a model"
    drawing = svg.bar_chart("per-token", title, " ".join(f"{bars[0].text}." for _, bars in rows), rows, scale)
    return Figure("per-token", title, "Faint: the whole step. Solid: the engine's part, mask and commit.", drawing, ())


def _legend(styles: Styles) -> tuple[tuple[int, str], ...]:
    return tuple((style, name) for name, style in styles.items())
