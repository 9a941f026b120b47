"""Charts as SVG text: lines over two scales, and bars. It knows no engine and no record.

A chart is 480 units wide, which a phone shows at about three quarters of its size. Colours are classes (``s0`` …)
that the page defines for light and dark; markers and dashes tell series apart without colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 480
NUM_STYLES = 6
TOP, RIGHT, BOTTOM = 12, 28, 46
LETTER = 9.0
"""Room for a letter of a label at the size that a phone shows, in the widest fonts that browsers take for it."""
LONGEST_LABEL = 24
"""Letters; what is longer is cut."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A mapping of values to positions that runs linearly from ``low`` to ``high``; ticks are (position, label)."""

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def at(self, position: float) -> float:
        """0 … 1."""
        return (position - self.low) / (self.high - self.low)


@dataclass(frozen=True, slots=True)
class Series:
    """A named curve; points are positions on the two scales. ``breaks`` is (x, why): where it ends, and how."""

    name: str
    style: int
    points: tuple[tuple[float, float], ...]
    dashed: bool = False
    markers: bool = False
    breaks: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """``inner`` of ``outer``, drawn solid over faint; ``text`` is the tooltip."""

    style: int
    inner: float
    outer: float
    text: str


def log_scale(label: str, values: Sequence[float], names: dict[int, str] | None = None) -> Scale:
    """Decades around positive values; ``names`` are labels of exponents, else the number itself."""
    known = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    low, high = math.floor(math.log10(min(known)) + 1e-9), math.ceil(math.log10(max(known)) - 1e-9)
    high = max(high, low + 1)
    step = 1 if high - low <= 7 else 2
    ticks = tuple((float(each), (names or {}).get(each, f"{10**each:,}")) for each in range(low, high + 1, step))
    return Scale(label, low, high, ticks)


def time_scale(label: str, values_us: Sequence[float]) -> Scale:
    """Decades of microseconds, labelled with units; positions are log10 of µs."""
    amounts = (("ns", -3), ("µs", 0), ("ms", 3), ("s", 6))
    names = {start + digit: f"{10**digit} {unit}" for unit, start in amounts for digit in range(3)}
    return log_scale(label, values_us, names)


def linear_scale(label: str, high: float, unit: str) -> Scale:
    """From 0 to at least ``high``, in four or five round steps."""
    if not high > 0 or not math.isfinite(high):
        high = 1.0
    raw = high / 4
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw * (1 - 1e-9))
    num = math.ceil(high / step - 1e-9)
    return Scale(label, 0, step * num, tuple((step * i, f"{step * i:g}{unit}") for i in range(num + 1)))


def line_chart(chart_id: str, title: str, description: str, series: Sequence[Series], x: Scale, y: Scale) -> str:
    """Curves; a cross at the upper edge stands where one breaks."""
    left, height = _room(label for _, label in y.ticks), 300
    box = (left, TOP, WIDTH - left - RIGHT, height - TOP - BOTTOM)
    parts = [_grid(box, x, y)]
    for curve in series:
        places = [_place(box, x.at(px), y.at(py)) for px, py in curve.points]
        dash = ' stroke-dasharray="5 4"' if curve.dashed else ""
        if len(places) > 1:
            path = " ".join(f"{px:.1f},{py:.1f}" for px, py in places)
            parts.append(f'<polyline class="line s{curve.style}" points="{path}"{dash}/>')
        if curve.markers or len(places) == 1:
            parts += [_marker(curve.style, px, py) for px, py in places]
        if curve.breaks is not None:
            px, _ = _place(box, x.at(curve.breaks[0]), 1)
            px += (curve.style - (NUM_STYLES - 1) / 2) * 5  # engines that break at one size do not hide each other
            px = max(px, left + 6)
            parts.append(_cross(curve.style, px, TOP + 8, f"{curve.name}: {curve.breaks[1]}"))
    return _svg(chart_id, title, description, height, parts)


def bar_chart(chart_id: str, title: str, description: str, rows: Sequence[tuple[str, Sequence[Bar]]], x: Scale) -> str:
    """Rows of bars, one bar a series."""
    labels = [label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…" for label, _ in rows]
    left, lane, gap = _room(labels), 11, 10
    height = TOP + sum(lane * len(bars) + gap for _, bars in rows) + BOTTOM
    box = (left, TOP, WIDTH - left - RIGHT, height - TOP - BOTTOM)
    parts = [_grid(box, x, None)]
    top = TOP + gap / 2
    for label, (_, bars) in zip(labels, rows, strict=True):
        middle = top + lane * len(bars) / 2
        parts.append(
            f'<text class="label" x="{left - 8}" y="{middle + 4:.1f}" text-anchor="end">{escape(label)}</text>'
        )
        for bar in bars:
            outer, inner = (box[2] * max(0.0, x.at(value)) for value in (bar.outer, bar.inner))
            parts.append(
                f'<g><title>{escape(bar.text)}</title><rect class="faint s{bar.style}" x="{left}" y="{top + 1:.1f}" '
                f'width="{outer:.1f}" height="{lane - 2}"/><rect class="bar s{bar.style}" x="{left}" y="{top + 1:.1f}" '
                f'width="{inner:.1f}" height="{lane - 2}"/></g>'
            )
            top += lane
        top += gap
    return _svg(chart_id, title, description, height, parts)


def _room(labels: Iterable[str]) -> float:
    """What is left of a plotting area: its labels, right-aligned."""
    return max(68.0, 10 + LETTER * max(map(len, labels), default=0))


def swatch(style: int) -> str:
    """A piece of a line with its marker, for a legend."""
    line = f'<line class="line s{style}" x1="1" y1="7" x2="27" y2="7"/>'
    return f'<svg class="swatch" viewBox="0 0 28 14" aria-hidden="true">{line}{_marker(style, 14, 7)}</svg>'


Box = tuple[float, float, float, float]
"""left, top, width, height of the plotting area."""


def _place(box: Box, x: float, y: float) -> tuple[float, float]:
    return box[0] + box[2] * x, box[1] + box[3] * (1 - y)


def _svg(chart_id: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" role="img" aria-labelledby="{chart_id}-t {chart_id}-d" viewBox="0 0 {WIDTH} {height:g}">'
        f'<title id="{chart_id}-t">{escape(title)}</title><desc id="{chart_id}-d">{escape(description)}</desc>'
        f"{''.join(parts)}</svg>"
    )


def _grid(box: Box, x: Scale, y: Scale | None) -> str:
    left, top, width, height = box
    parts = []
    for position, label in x.ticks:
        px, _ = _place(box, x.at(position), 0)
        parts.append(f'<line class="grid" x1="{px:.1f}" y1="{top}" x2="{px:.1f}" y2="{top + height:.1f}"/>')
        parts.append(f'<text x="{px:.1f}" y="{top + height + 17:.1f}" text-anchor="middle">{escape(label)}</text>')
    middle = left + width / 2
    parts.append(f'<text x="{middle:.1f}" y="{top + height + 37:.1f}" text-anchor="middle">{escape(x.label)}</text>')
    for position, label in y.ticks if y else ():
        _, py = _place(box, 0, y.at(position) if y else 0)
        parts.append(f'<line class="grid" x1="{left}" y1="{py:.1f}" x2="{left + width:.1f}" y2="{py:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{py + 4:.1f}" text-anchor="end">{escape(label)}</text>')
    return "".join(parts)


def _marker(style: int, x: float, y: float) -> str:
    shapes = (
        f'<circle class="dot s{style}" cx="{x:.1f}" cy="{y:.1f}" r="3.6"/>',
        f'<rect class="dot s{style}" x="{x - 3.2:.1f}" y="{y - 3.2:.1f}" width="6.4" height="6.4"/>',
        f'<path class="dot s{style}" d="M{x:.1f} {y - 4.4:.1f}l4.2 7.6h-8.4z"/>',
        f'<path class="dot s{style}" d="M{x:.1f} {y - 4.8:.1f}l4.8 4.8l-4.8 4.8l-4.8 -4.8z"/>',
        f'<path class="dot s{style}" d="M{x:.1f} {y + 4.4:.1f}l4.2 -7.6h-8.4z"/>',
        f'<rect class="dot s{style}" x="{x - 4.6:.1f}" y="{y - 1.8:.1f}" width="9.2" height="3.6"/>',
    )
    return shapes[style % NUM_STYLES]


def _cross(style: int, x: float, y: float, text: str) -> str:
    path = f"M{x - 4:.1f} {y - 4:.1f}l8 8m0 -8l-8 8"
    return f'<g><title>{escape(text)}</title><path class="line s{style}" d="{path}"/></g>'
