"""Every exception structgen raises, as data: what failed, where, why, and what to do about it.

Compile-time refusals derive from `CompileError`; whatever we cannot enforce exactly is refused there and never dropped.
This module knows nothing else of the package.
"""

from __future__ import annotations

from typing import Any


class StructgenError(Exception):
    """Base of all structgen errors. `advice` says what the caller can do; it is part of `str(error)`."""

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        self.message = message
        self.advice = advice
        super().__init__(message if advice is None else f"{message} ({advice})")


class TokenizerError(StructgenError):
    """A tokenizer whose tokens cannot be mapped to exact bytes."""


class MatcherError(StructgenError):
    """A matcher was asked for something its state does not allow (a mask after the end, a rollback too far)."""


class BudgetExceeded(StructgenError):
    """A time or memory limit of `structgen.types.Limits` was reached; nothing was opened."""


class SpeculationError(StructgenError):
    """A model, cache or drafter with which drafts cannot be verified exactly."""


class CompileError(StructgenError):
    """A schema or grammar was not compiled."""


class GrammarSyntaxError(CompileError):
    """A grammar or regular expression that cannot be read. `line` and `column` count from 1."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1, advice: str | None = None) -> None:
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column}: {message}", advice=advice)


class UnsupportedGrammarError(CompileError):
    """A grammar that can be read but not enforced exactly, and is therefore refused. `line` and `column` from 1."""

    def __init__(self, message: str, *, line: int = 1, column: int = 1, advice: str | None = None) -> None:
        self.line = line
        self.column = column
        super().__init__(f"line {line}, column {column}: {message}", advice=advice)


class _SchemaError(CompileError):
    """A compile error that belongs to one place of a JSON Schema, named by its JSON pointer (`""` is the root)."""

    def __init__(self, reason: str, *, pointer: str, keyword: str | None = None, advice: str | None = None) -> None:
        self.pointer = pointer
        self.keyword = keyword
        self.reason = reason
        where = f"at {pointer or '(root)'}" + (f", keyword {keyword!r}" if keyword else "")
        super().__init__(f"{self._what} {where}: {reason}", advice=advice)

    _what = "schema error"


class InvalidSchemaError(_SchemaError):
    """The document is not a JSON Schema (a keyword has a value of the wrong kind, a reference points nowhere)."""

    _what = "invalid schema"


class UnsupportedSchemaError(_SchemaError):
    """A keyword that structgen cannot enforce exactly, and therefore refuses."""

    _what = "unsupported schema"


class InvalidTagError(_SchemaError):
    """The document is not a structural tag, a list of tools or a response format."""

    _what = "invalid structural tag"


class UnsupportedTagError(_SchemaError):
    """A part of a structural tag that structgen cannot enforce exactly, and therefore refuses."""

    _what = "unsupported structural tag"


class UnsatisfiableSchemaError(_SchemaError):
    """No JSON value satisfies the schema."""

    _what = "unsatisfiable schema"


class GrammarTooComplex(_SchemaError):
    """The automata a schema or grammar needs would pass a limit."""

    _what = "too complex"


class Truncated(StructgenError):
    """The token budget cannot hold even the shortest valid text. `partial` is the text so far."""

    def __init__(self, message: str, *, partial: str, result: Any = None, advice: str | None = None) -> None:
        self.partial = partial
        self.result = result
        super().__init__(message, advice=advice)
