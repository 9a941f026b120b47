"""What commands are given: schemas, texts, vocabularies."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from structgen import embedded
from structgen.decode.targets import GrammarText, target
from structgen.grammar.shipped import list_grammars, load_grammar
from structgen.vocab import Vocabulary

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar

GRAMMAR_SUFFIXES = ("lark", "gbnf", "ebnf")
SCHEMA_HELP = "A JSON Schema: a file, - for standard input, or JSON text."

SchemaArgument = Annotated[str, typer.Argument(help=SCHEMA_HELP, metavar="SCHEMA")]
TokenizerOption = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        help="A tokenizer.json (also gzipped), its folder, or a Hugging Face name; else the embedded one.",
    ),
]
GrammarOption = Annotated[
    str | None,
    typer.Option("--grammar", help="A grammar, instead of a schema: a file, -, or the name of a shipped one."),
]
DialectOption = Annotated[
    str | None, typer.Option("--dialect", help="The grammar's dialect: lark, gbnf, ebnf or regex; else its suffix.")
]
StartOption = Annotated[str | None, typer.Option("--start", help="The rule a grammar begins with.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Write one JSON document.")]


def read_schema(spec: str) -> Any:
    """The schema that a command was given, parsed. Raises `InvalidSchemaError` for what is not JSON."""
    if spec == "-":
        return target(sys.stdin.read().lstrip() or "{").schema
    return target(spec).schema


def read_grammar_text(spec: str, dialect: str | None, start: str | None) -> GrammarText:
    """A grammar given as a file, - for standard input, or the name of a shipped one.

    Its dialect is what `--dialect` or the file's suffix says, else Lark.
    """
    suffix = Path(spec).suffix.lstrip(".")
    if dialect is None:
        dialect = suffix if suffix in GRAMMAR_SUFFIXES else "lark"
    text = load_grammar(spec) if spec in list_grammars() and not Path(spec).exists() else read_text(spec)
    return GrammarText(text, dialect, start)


def compiled(
    vocab: Vocabulary,
    *,
    schema: str | None,
    regex: str | None,
    grammar: str | None,
    dialect: str | None = None,
    start: str | None = None,
) -> CompiledGrammar:
    """What a command was given, compiled: exactly one of schema, regex and grammar."""
    if [schema, regex, grammar].count(None) != 2:
        raise ValueError("give exactly one of a schema, --regex and --grammar")
    from structgen.compiler import compile_grammar, compile_regex, compile_schema

    if schema is not None:
        return compile_schema(read_schema(schema), vocab)
    if regex is not None:
        return compile_regex(regex, vocab)
    spec = read_grammar_text(grammar or "", dialect, start)
    return compile_grammar(spec.text, vocab, dialect=spec.dialect, start=spec.start)


def read_text(spec: str) -> str:
    """Standard input for `-`, else the text of the file."""
    return sys.stdin.read() if spec == "-" else Path(spec).read_text(encoding="utf-8")


def read_vocabulary(spec: str | None, vocab_size: int | None = None) -> Vocabulary:
    """The vocabulary of a tokenizer file, folder or name; of the embedded model for None."""
    if spec is None:
        return Vocabulary.from_file(embedded.tokenizer_path(), vocab_size)
    if Path(spec).exists():
        return Vocabulary.from_file(spec, vocab_size)
    from transformers import AutoTokenizer

    return Vocabulary.from_tokenizer(AutoTokenizer.from_pretrained(spec), vocab_size)


def byte_vocabulary() -> Vocabulary:
    """One token a byte: enough where only the language matters, and ready at once."""
    return Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)
