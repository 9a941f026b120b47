"""Exit codes, and the one place where errors become messages."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import typer

from structgen.errors import (
    BudgetExceeded,
    GrammarSyntaxError,
    GrammarTooComplex,
    InvalidSchemaError,
    InvalidTagError,
    StructgenError,
    Truncated,
    UnsatisfiableSchemaError,
    UnsupportedGrammarError,
    UnsupportedSchemaError,
    UnsupportedTagError,
)

OK, FAILED, USAGE, UNSUPPORTED, UNSATISFIABLE, INVALID, TOO_COMPLEX, TRUNCATED = range(8)

EPILOG = (
    "Exit codes: 0 done, 1 not accepted or another failure, 2 wrong usage or unreadable file, 3 unsupported schema "
    "or grammar, 4 unsatisfiable schema, 5 invalid schema, regex or grammar, 6 too complex or out of time, 7 truncated."
)

_CODES: list[tuple[type[Exception], int]] = [
    (UnsupportedSchemaError, UNSUPPORTED),
    (UnsupportedGrammarError, UNSUPPORTED),
    (UnsupportedTagError, UNSUPPORTED),
    (UnsatisfiableSchemaError, UNSATISFIABLE),
    (InvalidSchemaError, INVALID),
    (InvalidTagError, INVALID),
    (GrammarSyntaxError, INVALID),
    (GrammarTooComplex, TOO_COMPLEX),
    (BudgetExceeded, TOO_COMPLEX),
    (Truncated, TRUNCATED),
    (StructgenError, FAILED),
    (OSError, USAGE),
    (ValueError, USAGE),
]

Command = TypeVar("Command", bound=Callable[..., None])


def exit_code(error: Exception) -> int:
    """The exit code of an error that a command may meet."""
    return next(code for kind, code in _CODES if isinstance(error, kind))


def reports_errors(command: Command) -> Command:
    """A command whose expected errors become one message and an exit code; anything else is a bug and shows as one."""

    @functools.wraps(command)
    def reporting(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except tuple(kind for kind, _ in _CODES) as error:
            if kwargs.get("as_json"):
                print(json.dumps({"error": describe(error)}, ensure_ascii=False))
            else:
                print(f"{type(error).__name__}: {error}", file=sys.stderr)
                if isinstance(error, Truncated):
                    print(f"so far: {error.partial}", file=sys.stderr)
            raise typer.Exit(exit_code(error)) from error

    return reporting  # type: ignore[return-value]


def describe(error: Exception) -> dict[str, Any]:
    """An error as data: its type, its message, and the fields that its type has."""
    fields = ("pointer", "keyword", "reason", "line", "column", "advice", "partial")
    described: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    described.update({field: getattr(error, field) for field in fields if getattr(error, field, None) is not None})
    return described
