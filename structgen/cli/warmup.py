"""`structgen warmup`: do now what the first use would wait for."""

from __future__ import annotations

import time

from structgen.cache import cache_folder
from structgen.cli.exits import reports_errors
from structgen.cli.inputs import JsonOption, TokenizerOption, read_vocabulary
from structgen.cli.output import print_json, progress


@reports_errors
def warmup(tokenizer: TokenizerOption = None, as_json: JsonOption = False) -> None:
    """Compile the kernels, build the masks of common terminals for a tokenizer, and read the grammars that ship."""
    with progress("reading the tokenizer"):
        vocab = read_vocabulary(tokenizer)
    started = time.perf_counter()
    with progress("compiling kernels and building masks"):
        from structgen.compiler import warmup as run

        run(vocab)
    if cache_folder() is not None:
        with progress("reading the grammars that ship"):
            from structgen.grammar.dialects import scanned_grammar
            from structgen.grammar.shipped import list_grammars, load_grammar

            for name in list_grammars():
                scanned_grammar(load_grammar(name))
    seconds = time.perf_counter() - started
    if as_json:
        print_json({"vocab_size": vocab.vocab_size, "seconds": seconds})
    else:
        print(f"ready in {seconds:.1f} s for {vocab.vocab_size:,} tokens")
