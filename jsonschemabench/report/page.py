"""The report as one HTML page: no script, nothing fetched, all text escaped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from jsonschemabench.report.figures import Figure
from jsonschemabench.report.hardest import diagnosis, hardest_table
from jsonschemabench.report.sections import Section, machine_line
from jsonschemabench.report.svg import swatch
from jsonschemabench.table import Table

STYLE = Path(__file__).parents[1] / "data" / "report.css"
TITLE = "JSON Schema decoding: benchmark report"
LONG_TEXT = 40
"""Letters from which on a column is given more room, so that its rows do not grow tall."""

SHEET_WIDTH, SHEET_CELL_HEIGHT, SHEET_HEAD = 1000, 440, 90
"""The picture: two figures side by side in cells of one height, in CSS pixels."""


def html_page(sections: Sequence[Section]) -> str:
    """The whole report."""
    links = "".join(f'<li><a href="#{section.id}">{escape(section.title)}</a></li>' for section in sections)
    parts = [f'<nav aria-label="Contents"><ul>{links}</ul></nav></header><main>']
    for section in sections:
        parts.append(f'<section aria-labelledby="{section.id}"><h2 id="{section.id}">{escape(section.title)}</h2>')
        if section.note:
            parts.append(f'<p class="note">{escape(section.note)}</p>')
        if section.figures:
            parts.append(f'<div class="figures">{"".join(map(_figure, section.figures))}</div>')
        parts += [_table(table) for table in section.tables]
        parts += [
            f"<details><summary>{escape(table.title)}</summary>{_table(table)}</details>" for table in section.folded
        ]
        if section.hard:
            columns = section.columns
            anchors = {hard.id: _anchor(hard.id) for hard in section.hard}
            parts.append(_table(hardest_table(section.hard, columns), anchors))
            for hard in section.hard:
                inside = "".join(map(_table, diagnosis(hard)))
                head = f'<h3>{escape(hard.id)}</h3><p class="quiet">split {escape(hard.split)}</p>'
                parts.append(f'<article id="{anchors[hard.id]}">{head}{inside}</article>')
        parts.append("</section>")
    return _document(sections, "".join([*parts, "</main>"]))


def sheet(sections: Sequence[Section]) -> tuple[str, int, int]:
    """(HTML, width, height in CSS pixels) of the figures alone, laid out so that their size is known."""
    figures = [figure for section in sections for figure in section.figures]
    rows = -(-sum(2 if figure.tall else 1 for figure in figures) // 2)
    style = (
        f"body{{max-width:none;width:{SHEET_WIDTH}px;padding:16px}}"
        f"header{{height:{SHEET_HEAD - 16}px;overflow:hidden}}"
        "h1{white-space:nowrap}"
        f".figures{{grid-template-columns:1fr 1fr;grid-auto-rows:{SHEET_CELL_HEIGHT - 16}px}}"
        f"figure{{overflow:hidden}}.tall .chart{{max-height:{2 * SHEET_CELL_HEIGHT - 140}px}}"
    )
    body = f'</header><main class="figures">{"".join(map(_figure, figures))}</main>'
    return _document(sections, body, style), SHEET_WIDTH, SHEET_HEAD + 16 + rows * SHEET_CELL_HEIGHT


def _document(sections: Sequence[Section], body: str, style: str = "") -> str:
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,">'
        f"<title>{escape(TITLE)}</title><style>{STYLE.read_text(encoding='utf-8')}{style}</style>"
    )
    opening = f'<header><h1>{escape(TITLE)}</h1><p class="quiet">{escape(machine_line(sections))}</p>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{opening}{body}</body></html>\n'


def _figure(figure: Figure) -> str:
    items = "".join(f"<li>{swatch(style)}{escape(name)}</li>" for style, name in figure.legend)
    legend = f'<ul class="legend">{items}</ul>' if items else ""
    caption = f"<figcaption><b>{escape(figure.title)}</b><span>{escape(figure.note)}</span></figcaption>"
    kind = ' class="tall"' if figure.tall else ""
    return f'<figure id="{figure.id}"{kind}>{caption}{legend}{figure.drawing}</figure>'


def _table(table: Table, links: dict[str, str] | None = None) -> str:
    """A table in a region that scrolls sideways and can be reached by keyboard."""
    heads = "".join(
        f'<th scope="col"{_class(table, index)}>{escape(name)}</th>' for index, name in enumerate(table.columns)
    )
    rows = "".join(f"<tr>{_cells(table, row, links or {})}</tr>" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    name = escape(table.title, quote=True)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{name}"><table>'
        f"<caption><span>{name}</span></caption><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


def _cells(table: Table, row: Sequence[str], links: dict[str, str]) -> str:
    cells = []
    for index, cell in enumerate(row):
        text = escape(cell)
        if index == 0:
            inner = f'<a href="#{links[cell]}">{text}</a>' if cell in links else text
            cells.append(f'<th scope="row"{_class(table, index)}>{inner}</th>')
        else:
            cells.append(f"<td{_class(table, index)}>{text}</td>")
    return "".join(cells)


def _class(table: Table, index: int) -> str:
    if index not in table.text_columns:
        return ""
    is_long = index > 0 and any(len(row[index]) > LONG_TEXT for row in table.rows)
    return ' class="text long"' if is_long else ' class="text"'


def _anchor(case_id: Any) -> str:
    return "schema-" + re.sub(r"[^A-Za-z0-9_-]+", "-", str(case_id))
