"""The command ``report``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from jsonschemabench.options import message_console
from jsonschemabench.report.results import ReportProblem, read_results


def report(
    runs: Annotated[list[Path], typer.Argument(help="Result files, or folders of them, of any command.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown, too.")] = None,
    png: Annotated[Path | None, typer.Option("--png", help="Write the figures as a picture (needs Chromium).")] = None,
) -> None:
    """One self-contained page from results: tables, distributions, growth curves, the hardest schemas, the machine."""
    from jsonschemabench.report.browser import take_picture
    from jsonschemabench.report.markdown import markdown_page
    from jsonschemabench.report.page import html_page, sheet
    from jsonschemabench.report.sections import sections_of

    results = read_results(runs)
    for damage in results.damages:
        message_console().print(f"skipped {damage}", style="yellow", markup=False, highlight=False)
    sections = sections_of(results)
    _write(out, html_page(sections))
    if png:
        if not any(section.figures for section in sections):
            raise ReportProblem("--png: these results have no figures")
        take_picture(*sheet(sections), png)
    if markdown:
        picture = os.path.relpath(png, markdown.parent) if png else ""
        _write(markdown, markdown_page(sections, picture))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    typer.echo(path)
