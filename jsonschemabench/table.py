"""Tables: rows of text, drawn for a terminal (rich) or as Markdown. It knows no engine and no record."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text


@dataclass(frozen=True)
class Table:
    """A titled table; the first column is left-aligned, the others right-aligned unless ``text_columns`` says else."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]] = ()
    note: str = ""
    text_columns: frozenset[int] = frozenset({0})

    def print(self, console: Console) -> None:
        """Draw for a terminal."""
        drawn = RichTable()
        for index, column in enumerate(self.columns):
            text = index in self.text_columns
            drawn.add_column(
                Text(column), justify="left" if text else "right", overflow="fold", no_wrap=not text or index == 0
            )
        for row in self.rows:
            drawn.add_row(*(Text(cell) for cell in row))
        console.print(Text(self.title), style="bold")
        console.print(drawn)
        if self.note:
            console.print(Text(self.note), style="dim")
        console.print()

    def markdown(self) -> str:
        """The same as Markdown, columns aligned."""
        cells = [[_escape(cell) for cell in row] for row in [self.columns, *self.rows]]
        widths = [max(len(row[index]) for row in cells) for index in range(len(self.columns))]
        rule = [
            ":" + "-" * (width - 1 + 2) if index in self.text_columns else "-" * (width + 1) + ":"
            for index, width in enumerate(widths)
        ]
        lines = [f"## {self.title}", ""]
        if self.note:
            lines += [self.note, ""]
        for number, row in enumerate(cells):
            aligned = [
                cell.ljust(width) if index in self.text_columns else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ]
            lines.append("| " + " | ".join(aligned) + " |")
            if number == 0:
                lines.append("|" + "|".join(rule) + "|")
        return "\n".join(lines) + "\n"


def _escape(cell: str) -> str:
    return cell.replace("|", "\\|").replace("\n", " ")


def show(tables: Sequence[Table], *, markdown: bool, console: Console, write: Callable[[str], None]) -> None:
    """Draw all tables, one after another."""
    for table in tables:
        if markdown:
            write(table.markdown())
        else:
            table.print(console)


def microseconds(value: float) -> str:
    """A time with three digits at least: 2.7, 37.4, 129, 146,660."""
    if math.isnan(value):
        return "—"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def number(value: float) -> str:
    """A count with thousands set off."""
    return "—" if math.isnan(value) else f"{value:,.0f}"


def ratio(value: float, base: float) -> str:
    """``value`` as a multiple of ``base``."""
    if math.isnan(value) or math.isnan(base) or base <= 0:
        return "—"
    times = value / base
    return f"{times:.2g}×" if times < 0.1 else f"{times:.2f}×" if times < 10 else f"{times:,.0f}×"
