"""The entry point: a JSON Schema in, IR out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from structgen.automata.regular import LanguageTooComplex
from structgen.errors import GrammarTooComplex, UnsatisfiableSchemaError
from structgen.ir import Node, seq
from structgen.schema.expand import Expander
from structgen.schema.forms import Term
from structgen.schema.lower import Lowering
from structgen.schema.numbers import NumberTooComplex
from structgen.schema.options import SchemaOptions
from structgen.schema.satisfiable import Satisfiability
from structgen.schema.schemas import Registry, Schemas
from structgen.schema.survey import Survey


@dataclass(frozen=True, slots=True)
class SchemaIR:
    """A compiled schema: the root node, most of it still lazy."""

    root: Node


def compile_to_ir(schema: Any, options: SchemaOptions | None = None, *, registry: Registry | None = None) -> SchemaIR:
    """The texts of all instances of a JSON Schema, spelled as the options say.

    Raises `InvalidSchemaError`, `UnsupportedSchemaError`, `UnsatisfiableSchemaError` or `GrammarTooComplex`; the first
    problem in the order of the document, with the others in `advice`.
    """
    schemas = Schemas(schema, options or SchemaOptions(), registry)
    survey = Survey(schemas)
    survey.run()
    if survey.problems:
        raise survey.problems[0]
    expander = Expander(schemas)
    satisfiability = Satisfiability(expander)
    root = schemas.root_term()
    if not satisfiability.term(root):
        raise UnsatisfiableSchemaError("no JSON value satisfies it", pointer="")
    lowering = Lowering(expander, satisfiability)
    if survey.hard:
        lowering.explore(root)
    node = lowering.value(root, lowering.layout.step)
    return SchemaIR(seq(lowering.layout.edge, node, lowering.layout.edge))
