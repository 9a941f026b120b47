"""`structgen check`: is this a schema, can it be enforced, and do these instances satisfy it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from structgen.cli.exits import FAILED, reports_errors
from structgen.cli.inputs import JsonOption, SchemaArgument, byte_vocabulary, read_schema, read_text
from structgen.cli.output import print_json, progress, show_byte_set
from structgen.cli.walk import first_rejected
from structgen.errors import InvalidSchemaError

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar


@reports_errors
def check(
    schema: SchemaArgument,
    instances: Annotated[
        list[str] | None,
        typer.Argument(help="JSON files to hold against the schema; - is standard input."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a schema against its meta-schema, whether structgen enforces it exactly, and instances against it.

    For each instance: whether a validator finds it valid, and whether its text could have been generated. A valid text
    may be spelled otherwise than structgen does (order of keys, white space); an invalid one is never generated.
    """
    if schema == "-" and "-" in (instances or []):
        raise ValueError("only one of the schema and the instances can be standard input")
    document = read_schema(schema)
    with progress("checking"):
        _check_meta_schema(document)
        from structgen.compiler import compile_schema

        grammar = compile_schema(document, byte_vocabulary())
        verdicts = [_verdict(document, grammar, name) for name in instances or []]
    if as_json:
        print_json({"schema": "supported", "instances": verdicts})
    else:
        print("schema: valid, satisfiable, enforced exactly")
        for verdict in verdicts:
            print(_told(verdict))
    if not all(verdict["valid"] for verdict in verdicts):
        raise typer.Exit(FAILED)


def _check_meta_schema(document: Any) -> None:
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    try:
        validator_for(document, default=Draft202012Validator).check_schema(document)
    except SchemaError as error:
        pointer = "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in error.absolute_path)
        raise InvalidSchemaError(error.message, pointer=pointer, keyword=_last_name(error.absolute_path)) from error


def _last_name(path: Any) -> str | None:
    return next((part for part in reversed(path) if isinstance(part, str)), None)


def _verdict(document: Any, grammar: CompiledGrammar, name: str) -> dict[str, Any]:
    """What a validator says of one instance, and where structgen's grammar would have refused its text, if it would."""
    from jsonschema.validators import Draft202012Validator, validator_for

    text = read_text(name).strip()
    verdict: dict[str, Any] = {"instance": name, "valid": False, "generable": False}
    try:
        instance = json.loads(text)
    except ValueError as error:
        return verdict | {"reason": f"not JSON: {error}"}
    checker = validator_for(document, default=Draft202012Validator)
    validator = checker(document, format_checker=checker.FORMAT_CHECKER)
    errors = sorted(validator.iter_errors(instance), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        verdict["reason"] = f"at {errors[0].json_path}: {errors[0].message}"
    matcher = grammar.matcher()
    data = text.encode()
    rejected = first_rejected(matcher, data)
    verdict |= {"valid": not errors, "generable": rejected is None and matcher.is_accepting()}
    if rejected is not None:
        matcher.accept_bytes(data[:rejected])
        verdict |= {"byte_offset": rejected, "expected": show_byte_set(matcher.allowed_bytes())}
    return verdict


def _told(verdict: dict[str, Any]) -> str:
    line = f"{verdict['instance']}: {'valid' if verdict['valid'] else 'INVALID, ' + verdict.get('reason', '')}"
    if verdict["valid"] and not verdict["generable"]:
        where = f"byte {verdict['byte_offset']}" if "byte_offset" in verdict else "its end"
        line += f", but spelled otherwise than structgen does: at {where}, expected {verdict.get('expected', 'more')}"
    return line
