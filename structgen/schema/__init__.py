"""JSON Schema to IR: exact, or refused with a reason."""

from structgen.schema.compile import SchemaIR, compile_to_ir
from structgen.schema.options import SchemaOptions

__all__ = ["SchemaIR", "SchemaOptions", "compile_to_ir"]
