"""A line chart as SVG text, both scales logarithmic. It knows nothing of what is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 740, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 130, 36, 52
COLOURS = ("#c62828", "#8d6e63", "#1565c0", "#2e7d32", "#6a1b9a", "#ef6c00", "#00838f", "#37474f", "#9e9d24")
DASHES = ("", "6 3", "", "", "2 3", "8 3 2 3", "4 4", "1 3", "10 4")

Points = Sequence[tuple[float, float]]


def line_chart(title: str, x_label: str, y_label: str, series: Sequence[tuple[str, Points]]) -> str:
    """Curves with their names at the right. Points with a coordinate of 0 or less are left out."""
    kept = [(name, [(x, y) for x, y in points if x > 0 and y > 0]) for name, points in series]
    every = [point for _, points in kept for point in points] or [(1.0, 1.0)]
    x_low, x_high = _decades([x for x, _ in every])
    y_low, y_high = _decades([y for _, y in every])

    def place(x: float, y: float) -> tuple[float, float]:
        across = (math.log10(x) - x_low) / (x_high - x_low)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [f'<text x="{LEFT}" y="20" font-weight="bold">{escape(title)}</text>']
    for tick in _ticks(x_low, x_high):
        x, _ = place(tick, 10.0**y_low)
        parts.append(_line(x, TOP, x, HEIGHT - BOTTOM))
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:,.10g}</text>')
    for tick in _ticks(y_low, y_high):
        _, y = place(10.0**x_low, tick)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y))
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>')
    height = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="16" y="{height:.0f}" text-anchor="middle" transform="rotate(-90 16 {height:.0f})">'
        f"{escape(y_label)}</text>"
    )
    labels = []
    for i, (name, points) in enumerate(kept):
        if not points:
            continue
        colour, dash = COLOURS[i % len(COLOURS)], DASHES[i % len(DASHES)]
        places = [place(x, y) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"/>'
        )
        x, y = places[-1]
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        labels.append((y, x, name, colour))
    taken = -math.inf
    for y, x, name, colour in sorted(labels):
        taken = max(y, taken + 14)  # names of curves that end together stand below each other
        parts.append(f'<line x1="{x + 4:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT + 12}" y2="{taken:.1f}" stroke="#ccc"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 16}" y="{taken + 4:.1f}" fill="{colour}">{escape(name)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" font-family="sans-serif" '
        f'font-size="12"><title>{escape(title)}</title><rect width="100%" height="100%" fill="white"/>'
        + "".join(parts)
        + "</svg>\n"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two exponents: powers of ten, and twice and five times those where there are few."""
    steps = (1.0,) if high - low >= 1.5 else (1.0, 2.0, 5.0)
    numbers = [step * 10.0**exponent for exponent in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return [number for number in numbers if low - 1e-9 <= math.log10(number) <= high + 1e-9]


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """The range of the logarithms of positive values, at least a decade."""
    low, high = math.log10(min(values)), math.log10(max(values))
    if high - low < 1.0:
        low, high = math.floor(low), max(math.ceil(high), math.floor(low) + 1)
    return low, high + 0.03 * (high - low)


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#eee"/>'
