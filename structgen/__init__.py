"""structgen: exact constrained decoding. A schema, pattern or grammar in; token masks and valid text out.

Names are imported on first use, so that `import structgen` loads neither torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from structgen.errors import (
    BudgetExceeded,
    CompileError,
    GrammarSyntaxError,
    GrammarTooComplex,
    InvalidSchemaError,
    InvalidTagError,
    MatcherError,
    StructgenError,
    TokenizerError,
    Truncated,
    UnsatisfiableSchemaError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
    UnsupportedTagError,
)
from structgen.types import Limits

if TYPE_CHECKING:
    from structgen.compiler import (
        CompiledGrammar,
        compile_grammar,
        compile_regex,
        compile_schema,
        compile_structural_tag,
        warmup,
    )
    from structgen.decode.generate import generate
    from structgen.decode.result import Result
    from structgen.decode.speculation.row_store import RowStore
    from structgen.decode.targets import GrammarText
    from structgen.grammar.shipped import list_grammars, load_grammar
    from structgen.matcher import Matcher, fill_batch
    from structgen.schema import SchemaOptions
    from structgen.vocab import Vocabulary

__version__ = "0.1.0"

_HOME = {
    "CompiledGrammar": "structgen.compiler",
    "GrammarText": "structgen.decode.targets",
    "Matcher": "structgen.matcher",
    "Result": "structgen.decode.result",
    "RowStore": "structgen.decode.speculation.row_store",
    "SchemaOptions": "structgen.schema",
    "Vocabulary": "structgen.vocab",
    "compile_grammar": "structgen.compiler",
    "compile_regex": "structgen.compiler",
    "compile_schema": "structgen.compiler",
    "compile_structural_tag": "structgen.compiler",
    "fill_batch": "structgen.matcher",
    "generate": "structgen.decode.generate",
    "list_grammars": "structgen.grammar.shipped",
    "load_grammar": "structgen.grammar.shipped",
    "warmup": "structgen.compiler",
}


_MODULES = {"aligned": "structgen.decode.aligned"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value: Any = import_module(_MODULES[name])
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'structgen' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, *_MODULES})


__all__ = [
    "BudgetExceeded",
    "CompileError",
    "CompiledGrammar",
    "GrammarSyntaxError",
    "GrammarText",
    "GrammarTooComplex",
    "InvalidSchemaError",
    "InvalidTagError",
    "Limits",
    "Matcher",
    "MatcherError",
    "Result",
    "RowStore",
    "SchemaOptions",
    "StructgenError",
    "TokenizerError",
    "Truncated",
    "UnsatisfiableSchemaError",
    "UnsupportedGrammarError",
    "UnsupportedSchemaError",
    "UnsupportedTagError",
    "Vocabulary",
    "__version__",
    "compile_grammar",
    "compile_regex",
    "compile_schema",
    "compile_structural_tag",
    "fill_batch",
    "generate",
    "list_grammars",
    "load_grammar",
    "warmup",
]
