"""`structgen compile`: what a schema, a regex or a grammar becomes, and what that takes."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer

from structgen.cli.exits import reports_errors
from structgen.cli.inputs import (
    SCHEMA_HELP,
    DialectOption,
    GrammarOption,
    JsonOption,
    StartOption,
    TokenizerOption,
    compiled,
    read_vocabulary,
)
from structgen.cli.output import print_json, progress


@reports_errors
def compile_(
    schema: Annotated[str | None, typer.Argument(help=SCHEMA_HELP)] = None,
    regex: Annotated[str | None, typer.Option(help="A regular expression, instead of a schema.")] = None,
    grammar: GrammarOption = None,
    dialect: DialectOption = None,
    start: StartOption = None,
    tokenizer: TokenizerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a schema, a regex or a grammar for a tokenizer; report times and the first mask."""
    if [schema, regex, grammar].count(None) != 2:
        raise ValueError("give exactly one of a schema, --regex and --grammar")
    with progress("reading the tokenizer"):
        vocab = read_vocabulary(tokenizer)
    with progress("compiling kernels"):
        from structgen.compiler import compile_regex

        compile_regex("a", vocab)  # the engine of a vocabulary is made on its first use: not this grammar's cost
    with progress("compiling"):
        started = time.perf_counter()
        made = compiled(vocab, schema=schema, regex=regex, grammar=grammar, dialect=dialect, start=start)
        done = time.perf_counter()
        first_mask = made.mask(made.start)
        masked = time.perf_counter()
    report: dict[str, Any] = {
        "vocab_size": vocab.vocab_size,
        "compile_ms": 1e3 * (done - started),
        "first_mask_ms": 1e3 * (masked - done),
        "first_tokens": int(np.unpackbits(np.asarray(first_mask).view(np.uint8)).sum()),
    }
    if made.report is not None:
        report["report"] = made.report.as_dict()
    if as_json:
        print_json(report)
        return
    print(f"compiled in {report['compile_ms']:.2f} ms for {report['vocab_size']:,} tokens")
    print(f"first mask in {report['first_mask_ms']:.2f} ms: {report['first_tokens']:,} tokens allowed")
    if made.report is not None:
        counts = ", ".join(f"{number} {status}" for status, number in sorted(made.report.counts.items()))
        print(f"keywords: {counts or 'none'}")
