"""`structgen warmup`: do now what the first use would wait for."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from structgen.cache import cache_folder
from structgen.cli.exits import reports_errors
from structgen.cli.inputs import JsonOption, TokenizerOption, read_vocabulary
from structgen.cli.output import print_json, steps


@reports_errors
def warmup(
    tokenizer: TokenizerOption = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="The model's number of logits, where it is not the tokenizer's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the kernels, and keep on disk what is made of a tokenizer and of the grammars that ship.

    Then checks that the masks of common terminals can be built. Nothing is kept twice: run it again at any time.
    """
    began = time.perf_counter()
    with steps() as step:
        with step("tokenizer"):
            vocab = read_vocabulary(tokenizer, vocab_size)
        with step("kernels"):
            from structgen.compiler import warmup as run
        with step("masks of common terminals") as on_step:
            run(vocab, on_step=on_step)
        if cache_folder() is not None:
            from structgen.grammar.dialects import scanned_grammar
            from structgen.grammar.shipped import list_grammars, load_grammar

            names = list_grammars()
            with step("grammars that ship") as on_step:
                for i, name in enumerate(names, 1):
                    scanned_grammar(load_grammar(name))
                    on_step(i, len(names))
    seconds = time.perf_counter() - began
    if as_json:
        print_json({"vocab_size": vocab.vocab_size, "seconds": seconds})
    else:
        print(f"ready in {seconds:.1f} s for {vocab.vocab_size:,} tokens")
