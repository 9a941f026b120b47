"""`structgen check`: is this a schema (or a grammar), can it be enforced, and do these instances satisfy it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from structgen.cli.check_grammar import check_grammar
from structgen.cli.exits import FAILED, describe, exit_code, reports_errors
from structgen.cli.inputs import (
    GRAMMAR_SUFFIXES,
    DialectOption,
    JsonOption,
    SchemaArgument,
    StartOption,
    byte_vocabulary,
    read_grammar_text,
    read_schema,
    read_text,
)
from structgen.cli.output import print_json, progress, show_byte_set
from structgen.cli.walk import first_rejected
from structgen.errors import CompileError, InvalidSchemaError

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.schema.report import SchemaReport


@reports_errors
def check(
    schema: SchemaArgument,
    instances: Annotated[
        list[str] | None,
        typer.Argument(help="JSON files (texts, for a grammar) to hold against it; - is standard input."),
    ] = None,
    dialect: DialectOption = None,
    start: StartOption = None,
    every: Annotated[
        bool, typer.Option("--report", help="List every keyword occurrence, also those that are enforced.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check a schema against its meta-schema, whether structgen enforces it exactly, and instances against it.

    Keywords that are annotations, what is refused with a suggestion, and what commonly surprises are listed. For each
    instance: whether a validator finds it valid, and whether its text could have been generated. A valid text may be
    spelled otherwise than structgen does (white space, numbers); an invalid one is never generated.

    A file that ends in .lark, .gbnf or .ebnf is a grammar: it is read and compiled, rules that cannot be used are
    named, and each text is held against it.
    """
    if schema == "-" and "-" in (instances or []):
        raise ValueError("only one of the schema and the instances can be standard input")
    if dialect is not None or Path(schema).suffix.lstrip(".") in GRAMMAR_SUFFIXES:
        check_grammar(read_grammar_text(schema, dialect, start), instances or [], as_json=as_json)
        return
    document = read_schema(schema)
    with progress("checking"):
        _check_meta_schema(document)
        from structgen.compiler import compile_schema
        from structgen.schema import check_schema

        report = check_schema(document)
        try:
            grammar = compile_schema(document, byte_vocabulary())
        except CompileError as error:
            _refuse(error, report, as_json=as_json)
        verdicts = [_verdict(document, grammar, name) for name in instances or []]
    if as_json:
        occurrences = [asdict(occurrence) for occurrence in report.occurrences] if every else []
        keywords = report.as_dict() | ({"occurrences": occurrences} if every else {})
        print_json({"schema": "supported", "keywords": keywords, "instances": verdicts})
    else:
        print("schema: valid, satisfiable, enforced exactly")
        for line in _lines(report, every=every):
            print(line)
        for verdict in verdicts:
            print(_told(verdict))
    if not all(verdict["valid"] for verdict in verdicts):
        raise typer.Exit(FAILED)


def _refuse(error: CompileError, report: SchemaReport, *, as_json: bool) -> NoReturn:
    """Say why, and what else is refused, each with a suggestion where there is one."""
    if as_json:
        print_json({"error": describe(error), "keywords": report.as_dict()})
    else:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        for line in _lines(report, every=False):
            print(line, file=sys.stderr)
    raise typer.Exit(exit_code(error)) from error


def _lines(report: SchemaReport, *, every: bool) -> Iterator[str]:
    """A line for each keyword occurrence that is not simply enforced, then the warnings."""
    for item in report.occurrences:
        if item.status != "enforced" or every:
            told = f"{item.status} {_place(item.pointer, item.keyword)}"
            told += f": {item.note}" if item.note else ""
            yield told + (f" (suggestion: {item.suggestion})" if item.suggestion else "")
    for warning in report.warnings:
        yield f"warning {_place(warning.pointer, warning.keyword)}: {warning.text}"


def _place(pointer: str, keyword: str) -> str:
    return f"{pointer}/{keyword}" if keyword else pointer or "(root)"


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
