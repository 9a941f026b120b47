"""`structgen warmup`: do now what the first use would wait for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from structgen.cache import cache_folder
from structgen.cli.exits import reports_errors
from structgen.cli.inputs import JsonOption, TokenizerOption, read_grammar_text, read_vocabulary
from structgen.cli.output import print_json, steps


@reports_errors
def warmup(
    tokenizer: TokenizerOption = None,
    vocab_size: Annotated[
        int | None, typer.Option(help="The model's number of logits, where it is not the tokenizer's.")
    ] = None,
    grammar: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A grammar to read and keep: a file, or one that ships (repeatable); none: none at all.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the kernels, and keep on disk what is made of a tokenizer and of grammars.

    Then checks that the masks of common terminals can be built. Nothing is kept twice: run it again at any time. The
    grammars that ship come with all that is kept of them, so naming them only checks that they can be read.
    """
    from structgen.grammar.shipped import list_grammars

    began = time.perf_counter()
    shipped = list_grammars()
    names = shipped if grammar is None else [] if grammar == ["none"] else grammar
    for name in names:
        if name not in shipped and not Path(name).is_file():
            raise typer.BadParameter(f"no file and no grammar {name!r} that ships: these are {', '.join(shipped)}")
    texts = [read_grammar_text(name, None, None) for name in names]
    with steps() as step:
        with step("tokenizer"):
            vocab = read_vocabulary(tokenizer, vocab_size)
        with step("kernels"):
            from structgen.compiler import warmup as run
        with step("masks of common terminals") as on_step:
            run(vocab, on_step=on_step)
        if texts and cache_folder() is not None:
            from structgen.grammar.dialects import scanned_grammar

            with step("grammars") as on_step:
                for i, one in enumerate(texts, 1):
                    scanned_grammar(one.text, one.dialect, one.start)
                    on_step(i, len(texts))
    seconds = time.perf_counter() - began
    if as_json:
        print_json({"vocab_size": vocab.vocab_size, "grammars": names, "seconds": seconds})
    else:
        print(f"ready in {seconds:.1f} s for {vocab.vocab_size:,} tokens")
