"""`structgen compile`: what a schema or a regex becomes, and what that takes."""

from __future__ import annotations

import time
from typing import Annotated, Any

import numpy as np
import typer

from structgen.cli.exits import reports_errors
from structgen.cli.inputs import SCHEMA_HELP, JsonOption, TokenizerOption, read_schema, read_vocabulary
from structgen.cli.output import print_json, progress


@reports_errors
def compile_(
    schema: Annotated[str | None, typer.Argument(help=SCHEMA_HELP)] = None,
    regex: Annotated[str | None, typer.Option(help="A regular expression, instead of a schema.")] = None,
    tokenizer: TokenizerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compile a schema or a regex for a tokenizer; report times and the first mask."""
    if (schema is None) == (regex is None):
        raise ValueError("give either a schema or --regex")
    with progress("reading the tokenizer"):
        vocab = read_vocabulary(tokenizer)
    with progress("compiling kernels"):
        from structgen.compiler import compile_regex, compile_schema

        compile_regex("a", vocab)  # the engine of a vocabulary is made on its first use: not this grammar's cost
    with progress("compiling"):
        started = time.perf_counter()
        grammar = (
            compile_schema(read_schema(schema), vocab) if schema is not None else compile_regex(regex or "", vocab)
        )
        compiled = time.perf_counter()
        first_mask = grammar.mask(grammar.start)
        masked = time.perf_counter()
    report: dict[str, Any] = {
        "vocab_size": vocab.vocab_size,
        "compile_ms": 1e3 * (compiled - started),
        "first_mask_ms": 1e3 * (masked - compiled),
        "first_tokens": int(np.unpackbits(np.asarray(first_mask).view(np.uint8)).sum()),
    }
    if grammar.report is not None:
        report["report"] = grammar.report.as_dict()
    if as_json:
        print_json(report)
        return
    print(f"compiled in {report['compile_ms']:.2f} ms for {report['vocab_size']:,} tokens")
    print(f"first mask in {report['first_mask_ms']:.2f} ms: {report['first_tokens']:,} tokens allowed")
    if grammar.report is not None:
        counts = ", ".join(f"{number} {status}" for status, number in sorted(grammar.report.counts.items()))
        print(f"keywords: {counts or 'none'}")
