"""Where in a schema something became too complex."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from structgen.automata.regular import LanguageTooComplex
from structgen.errors import GrammarTooComplex
from structgen.schema.forms import Term
from structgen.schema.numbers import NumberTooComplex
from structgen.schema.reach import TooManyStates

if TYPE_CHECKING:
    from structgen.schema.schemas import Schemas


class Located:
    """A block of work: whatever is too complex in it is so at the place of a term, and raised as `GrammarTooComplex`.

    A class, since there are a dozen such blocks a schema and a generator for each took a hundredth of all time.
    """

    __slots__ = ("_schemas", "_term")

    def __init__(self, schemas: Schemas, term: Term) -> None:
        self._schemas = schemas
        self._term = term

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (LanguageTooComplex, NumberTooComplex, TooManyStates)):
            term = self._term
            pointer = self._schemas.atoms[term[-1] >> 1].pointer if term else ""
            raise GrammarTooComplex(error.message, pointer=pointer) from error
