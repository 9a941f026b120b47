"""The coverage report: what became of every keyword occurrence. Computed when it is first asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from structgen.errors import (
    GrammarTooComplex,
    InvalidSchemaError,
    UnsatisfiableSchemaError,
    UnsupportedSchemaError,
)
from structgen.schema.formats import known_format
from structgen.schema.schemas import ANNOTATIONS, Path, Resource, Schemas, is_bare_reference, pointer
from structgen.schema.surprises import Surprise, of_words
from structgen.schema.survey import CHECKS, Survey

Status: TypeAlias = Literal["enforced", "annotation", "ignored", "refused"]
Problem: TypeAlias = InvalidSchemaError | UnsupportedSchemaError | UnsatisfiableSchemaError | GrammarTooComplex


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One keyword at one place ("" for the schema as a whole).

    `note` says why, where that is not plain from the status; `suggestion` what to write instead of what is refused.
    """

    pointer: str
    keyword: str
    status: Status
    note: str = ""
    suggestion: str = ""


class SchemaReport:
    """Every keyword occurrence that the root reaches, in breadth-first order."""

    def __init__(
        self,
        schemas: Schemas,
        visited: Iterable[tuple[Any, Resource, Path]],
        problems: Iterable[Problem],
        surprises: Iterable[Surprise] = (),
    ):
        self._schemas = schemas
        self._surprises = surprises
        self._visited = visited
        self._problems = {(problem.pointer, problem.keyword or ""): problem for problem in problems}

    @cached_property
    def occurrences(self) -> tuple[Occurrence, ...]:
        """All occurrences."""
        seen: set[int] = set()
        found: list[Occurrence] = []
        for schema, resource, path in self._visited:
            if isinstance(schema, dict) and id(schema) not in seen:
                seen.add(id(schema))
                found.extend(self._of_schema(schema, self._schemas.enter(schema, resource, path), path))
        told = {(item.pointer, item.keyword) for item in found}
        for (where, keyword), problem in self._problems.items():
            if (where, keyword) not in told:
                found.append(Occurrence(where, keyword, "refused", problem.reason, problem.advice or ""))
        return tuple(found)

    @cached_property
    def warnings(self) -> tuple[Surprise, ...]:
        """What commonly surprises. Branches that no value takes are only looked for by `check_schema`."""
        return (*of_words(self._visited), *self._surprises)

    @property
    def counts(self) -> dict[str, int]:
        """How many occurrences there are of each status."""
        return dict(Counter(occurrence.status for occurrence in self.occurrences))

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON: the counts, and the occurrences that are not simply enforced."""
        rest = [item for item in self.occurrences if item.status != "enforced"]
        fields = ("pointer", "keyword", "status", "note", "suggestion")
        return {
            "counts": self.counts,
            "not_enforced": [{field: getattr(item, field) for field in fields} for item in rest],
            "warnings": [warning._asdict() for warning in self.warnings],
        }

    def _of_schema(self, schema: dict[str, Any], resource: Resource, path: Path) -> Iterable[Occurrence]:
        where = pointer(path)
        alone = "$ref" in schema and is_bare_reference(schema, resource.draft)
        for keyword, value in schema.items():
            refused = self._problems.get((where, keyword))
            if refused is not None:
                yield Occurrence(where, keyword, "refused", refused.reason, refused.advice or "")
            elif keyword not in CHECKS:
                note = "" if keyword in ANNOTATIONS else "not a keyword of the specification"
                yield Occurrence(where, keyword, "annotation", note)
            elif alone and keyword != "$ref":
                yield Occurrence(where, keyword, "ignored", f"{resource.draft} ignores what stands beside $ref")
            elif not resource.knows(keyword):
                unknown = "its vocabulary is not in use" if keyword in resource.dialect.ignored else "does not know it"
                yield Occurrence(where, keyword, "annotation", f"{resource.draft}: {unknown}")
            elif keyword == "format" and (note := self._format_note(value, resource)):
                yield Occurrence(where, keyword, "annotation", note)
            else:
                yield Occurrence(where, keyword, "enforced")

    def _format_note(self, value: Any, resource: Resource) -> str:
        if not self._schemas.asserts_format(resource):
            return "formats are not asserted"
        return "an unknown format" if not isinstance(value, str) or not known_format(value) else ""


def survey_report(survey: Survey) -> SchemaReport:
    """The report of a finished survey."""
    return SchemaReport(survey.schemas, survey.visited, survey.problems)
