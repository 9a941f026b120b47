"""What commands are given: schemas, texts, vocabularies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from structgen import embedded
from structgen.decode.targets import target
from structgen.vocab import Vocabulary

SCHEMA_HELP = "A JSON Schema: a file, - for standard input, or JSON text."

SchemaArgument = Annotated[str, typer.Argument(help=SCHEMA_HELP, metavar="SCHEMA")]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        help="A tokenizer.json (also gzipped), its folder, or a Hugging Face name; else the embedded one.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]


def read_schema(spec: str) -> Any:
    """The schema that a command was given, parsed. Raises `InvalidSchemaError` for what is not JSON."""
    if spec == "-":
        return target(sys.stdin.read().lstrip() or "{").schema
    return target(spec).schema


def read_text(spec: str) -> str:
    """Standard input for `-`, else the text of the file."""
    return sys.stdin.read() if spec == "-" else Path(spec).read_text(encoding="utf-8")


def read_vocabulary(spec: str | None) -> Vocabulary:
    """The vocabulary of a tokenizer file, folder or name; of the embedded model for None."""
    if spec is None:
        return Vocabulary.from_file(embedded.tokenizer_path())
    if Path(spec).exists():
        return Vocabulary.from_file(spec)
    from transformers import AutoTokenizer

    return Vocabulary.from_tokenizer(AutoTokenizer.from_pretrained(spec))


def byte_vocabulary() -> Vocabulary:
    """One token a byte: enough where only the language matters, and ready at once."""
    return Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)
