"""The report as Markdown, for a README or a page of documentation."""

from __future__ import annotations

from collections.abc import Sequence

from jsonschemabench.report.hardest import hardest_table
from jsonschemabench.report.page import TITLE
from jsonschemabench.report.sections import Section, machine_line


def markdown_page(sections: Sequence[Section], picture: str = "") -> str:
    """All tables, one level below the sections; ``picture`` is the path of the figures, if there is one."""
    parts = [f"# {TITLE}", "", machine_line(sections), ""]
    if picture:
        said = ", ".join(figure.title for section in sections for figure in section.figures)
        parts += [f"![{said}]({picture})", ""]
    for section in sections:
        parts += [f"## {section.title}", ""]
        if section.note:
            parts += [section.note, ""]
        tables = [*section.tables, *section.folded]
        if section.hard:
            tables.append(hardest_table(section.hard, section.columns))
        parts += ["#" + table.markdown() for table in tables]
    return "\n".join(parts)
