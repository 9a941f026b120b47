"""What a written text is worth: is it JSON, strictly, and does its schema's validator take it?

Strictly: UTF-8, one value with nothing but white space around it, no key twice in an object, no NaN or Infinity, no
lone surrogate. The validator is jsonschema-rs with formats; a schema that it cannot read is not judged.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from typing import Any


class NotStrictJson(ValueError):
    """Why a text is not JSON in the strict sense."""


class JudgeMissing(Exception):
    """The validator is not installed; the text says what to install."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``valid`` is None where there is no verdict; ``error`` says why a text is not JSON, not valid or not judged."""

    is_json: bool
    valid: bool | None
    error: str = ""


def read_strictly(text: bytes) -> Any:
    """The value of a JSON text. Raises ``NotStrictJson``."""
    try:
        value = json.loads(text.decode(), parse_constant=_refuse_constant, object_pairs_hook=_object)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise NotStrictJson(f"not UTF-8: {error.reason} at byte {error.start}") from None
    except UnicodeEncodeError:
        raise NotStrictJson("a lone surrogate") from None
    except RecursionError:
        raise NotStrictJson("nested too deeply to be read") from None
    except NotStrictJson:
        raise
    except ValueError as error:
        raise NotStrictJson(str(error)) from None
    return value


def _refuse_constant(name: str) -> Any:
    raise NotStrictJson(f"{name} is no JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotStrictJson(f"the key {twice!r} twice in one object")
    return members


class Judge:
    """Judges texts. Raises ``JudgeMissing`` where jsonschema-rs is not installed."""

    def __init__(self) -> None:
        try:
            self._library = importlib.import_module("jsonschema_rs")
        except ImportError as error:
            raise JudgeMissing(
                f"judging texts needs the package jsonschema-rs ({error}). Try: pip install 'structgen[bench]'"
            ) from error

    def judge(self, schema: Any, text: bytes) -> Judgement:
        """The verdict on one text."""
        try:
            value = read_strictly(text)
        except NotStrictJson as error:
            return Judgement(False, False, str(error))
        try:
            validator = self._library.validator_for(schema, validate_formats=True, retriever=_nothing_remote)
        except Exception as error:  # the library's own error types, and ValueError
            return Judgement(True, None, f"the validator cannot read the schema: {_short(error)}")
        try:
            if validator.is_valid(value):
                return Judgement(True, True)
            first = next(iter(validator.iter_errors(value)))
        except Exception as error:  # a value that the library cannot take over, such as 1e400
            return Judgement(True, None, f"the validator cannot read the text: {_short(error)}")
        return Judgement(True, False, _short(first.message))


def _nothing_remote(uri: str) -> Any:
    raise ValueError(f"{uri} is not fetched")


def _short(error: Any) -> str:
    return " ".join(str(error).split())[:200]
