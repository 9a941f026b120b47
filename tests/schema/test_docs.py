"""docs/json-schema.md keeps in step with the options and the formats."""

from __future__ import annotations

from pathlib import Path

from structgen.schema.departures import departures, table
from structgen.schema.formats import known_format
from structgen.schema.options import SchemaOptions

PAGE = Path(__file__).resolve().parents[2] / "docs" / "json-schema.md"


def test_the_table_of_departures_is_the_one_that_is_generated() -> None:
    text = PAGE.read_text(encoding="utf-8")
    between = text.partition("<!-- departures -->\n")[2].partition("\n<!-- /departures -->")[0]
    assert between == table(), "run python -m structgen.schema.departures and paste it"


def test_every_departure_is_one() -> None:
    """The exact profile with one departure is not the exact profile, and all of them make the default."""
    exact = SchemaOptions.exact()
    for name, default, standard, about in departures():
        assert getattr(exact, name) == standard != default
        assert about


def test_formats_that_are_said_to_be_stricter_exist() -> None:
    text = PAGE.read_text(encoding="utf-8")
    section = text.partition("## Formats")[2].partition("## What is refused")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    names = [name.strip(" `") for row in rows for name in row.split("|")[1].split(",")]
    assert names and all(map(known_format, names))
