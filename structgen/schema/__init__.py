"""JSON Schema to IR: exact, or refused with a reason.

Reading order: `schemas` (documents, references, atoms), `survey` (the cheap pass), `forms` and `algebra` (the normal
form and its operations), `keywords` and `expand` (from schemas to the normal form), `complement`, `satisfiable`,
`lower` with `objects`, `arrays`, `strings`, `numbers`, `whitespace` (from the normal form to IR), `compile`.
"""

from structgen.schema.compile import SchemaIR, check_schema, compile_to_ir
from structgen.schema.options import SchemaOptions
from structgen.schema.report import Occurrence, SchemaReport

__all__ = ["Occurrence", "SchemaIR", "SchemaOptions", "SchemaReport", "check_schema", "compile_to_ir"]
