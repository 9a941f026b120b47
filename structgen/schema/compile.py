"""The entry point: a JSON Schema in, IR out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from structgen.automata.regular import LanguageTooComplex
from structgen.errors import (
    GrammarTooComplex,
    InvalidSchemaError,
    UnsatisfiableSchemaError,
    UnsupportedSchemaError,
)
from structgen.ir import Node, seq
from structgen.schema.expand import Expander
from structgen.schema.lower import Lowering
from structgen.schema.numbers import NumberTooComplex
from structgen.schema.open_keys import OpenKeys, has_open_keys
from structgen.schema.options import DEFAULT, SchemaOptions
from structgen.schema.reach import TooManyStates
from structgen.schema.report import Problem, SchemaReport, survey_report
from structgen.schema.satisfiable import Satisfiability
from structgen.schema.schemas import Registry, Schemas
from structgen.schema.surprises import Surprise, of_values
from structgen.schema.survey import Problem as SurveyProblem
from structgen.schema.survey import Survey


@dataclass(frozen=True, slots=True)
class SchemaIR:
    """A compiled schema: the root node, most of it still lazy, and what became of each keyword.

    `open_keys` is None where every key is one that the schema names, and items that must differ are of finitely many
    values: then the node alone says it all. Elsewhere the matcher must see to it that no object repeats a key, and that
    no two items of arrays with a role (see `ir.Rule`) are equal.
    """

    root: Node
    report: SchemaReport
    open_keys: OpenKeys | None


def compile_to_ir(
    schema: Any,
    options: SchemaOptions | None = None,
    *,
    registry: Registry | None = None,
    embedded: OpenKeys | None = None,
) -> SchemaIR:
    """The texts of all instances of a JSON Schema, spelled as the options say.

    `registry` maps URIs to further documents; nothing is ever fetched. `embedded` is for a schema that is part of a
    grammar: it gathers what the schemas of the grammar have the matcher remember. Raises `InvalidSchemaError`,
    `UnsupportedSchemaError`, `UnsatisfiableSchemaError` or `GrammarTooComplex`; where there are several problems, the
    one nearest to the root, with the others named in `advice`.
    """
    schemas, survey = _surveyed(schema, options, registry)
    if survey.problems:
        raise _first(survey.problems)
    expander = Expander(schemas)
    open_keys = OpenKeys() if embedded is None else embedded
    root = _compiled(expander, Satisfiability(expander), open_keys, explore=survey.hard)
    visited = (schema for schema, _, _ in survey.visited)
    needed = schemas.some_ignored or has_open_keys(visited) or open_keys.distinct
    if embedded is not None and needed:
        embedded.used = embedded.distinct = True
    return SchemaIR(root, survey_report(survey), open_keys if needed else None)


def check_schema(
    schema: Any, options: SchemaOptions | None = None, *, registry: Registry | None = None
) -> SchemaReport:
    """The coverage report of any schema, also of one that is refused. Everything in it is looked at."""
    schemas, survey = _surveyed(schema, options, registry)
    problems: list[Problem] = list(survey.problems)
    surprises: list[Surprise] = []
    if not problems:
        expander = Expander(schemas)
        satisfiability = Satisfiability(expander)
        try:
            _compiled(expander, satisfiability, OpenKeys(), explore=True)
            surprises.extend(of_values(expander, satisfiability))
        except (InvalidSchemaError, UnsupportedSchemaError, UnsatisfiableSchemaError, GrammarTooComplex) as error:
            problems.append(error)
    return SchemaReport(schemas, survey.visited, problems, surprises)


def _compiled(expander: Expander, satisfiability: Satisfiability, open_keys: OpenKeys, *, explore: bool) -> Node:
    try:
        return _root_node(expander, satisfiability, open_keys, explore=explore)
    except (LanguageTooComplex, NumberTooComplex, TooManyStates) as error:
        raise GrammarTooComplex(error.message, pointer="", advice=error.advice) from error
    except RecursionError as error:
        raise GrammarTooComplex("it is nested too deeply", pointer="") from error


def _surveyed(schema: Any, options: SchemaOptions | None, registry: Registry | None) -> tuple[Schemas, Survey]:
    schemas = Schemas(schema, options or DEFAULT, registry)
    survey = Survey(schemas)
    survey.run()
    if survey.hard and not survey.problems:
        schemas.merge_equal()
    return schemas, survey


def _first(problems: list[SurveyProblem]) -> SurveyProblem:
    first, *others = problems
    if not others:
        return first
    places = "; ".join(f"{other.pointer or '(root)'} {other.keyword or ''}".rstrip() for other in others[:20])
    more = f"{len(others)} more: {places}{' …' if len(others) > 20 else ''}"
    advice = more if first.advice is None else f"{first.advice}; {more}"
    return type(first)(first.reason, pointer=first.pointer, keyword=first.keyword, advice=advice)


def _root_node(expander: Expander, satisfiability: Satisfiability, open_keys: OpenKeys, *, explore: bool) -> Node:
    root = expander.schemas.root_term()
    if not satisfiability.term(root):
        raise UnsatisfiableSchemaError("no JSON value satisfies it", pointer="")
    lowering = Lowering(expander, satisfiability, open_keys)
    if explore:
        lowering.explore(root)
    edge = lowering.layout.edge
    return seq(edge, lowering.value(root, lowering.layout.step), edge)
