"""The table of departures from the standard: what the default options change, as `docs/json-schema.md` shows it.

`python -m structgen.schema.departures` prints it.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import fields

from structgen.schema.options import SchemaOptions


def departures() -> list[tuple[str, object, object, str]]:
    """(option, default, value that follows the standard, what it is about) where the two differ."""
    default, exact = SchemaOptions(), SchemaOptions.exact()
    told = _told()
    return [
        (field.name, getattr(default, field.name), getattr(exact, field.name), told[field.name])
        for field in fields(SchemaOptions)
        if getattr(default, field.name) != getattr(exact, field.name)
    ]


def table() -> str:
    """The departures as Markdown."""
    rows = ["| option | default | exact profile | meaning |", "|---|---|---|---|"]
    rows += [f"| `{name}` | `{default!r}` | `{exact!r}` | {about} |" for name, default, exact, about in departures()]
    return "\n".join(rows)


def _told() -> dict[str, str]:
    """What the docstring of the options says of each."""
    entries = re.split(r"\n(?=[a-z_, ]+: )", inspect.getdoc(SchemaOptions) or "")
    found: dict[str, str] = {}
    for entry in entries[1:]:
        names, _, text = entry.partition(": ")
        found.update(dict.fromkeys(names.split(", "), " ".join(text.split())))
    return found


if __name__ == "__main__":
    print(table())
