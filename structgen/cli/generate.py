"""`structgen generate`: a prompt and a schema in, a value out."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Annotated, Any

import typer

from structgen.cli.exits import reports_errors
from structgen.cli.inputs import (
    SCHEMA_HELP,
    DialectOption,
    GrammarOption,
    JsonOption,
    StartOption,
    read_grammar_text,
    read_schema,
    read_text,
)
from structgen.cli.output import out, print_json, progress


@reports_errors
def generate(
    prompt: Annotated[str, typer.Argument(help="The prompt, or - for standard input.")] = "",
    schema: Annotated[str | None, typer.Option(help=SCHEMA_HELP)] = None,
    regex: Annotated[str | None, typer.Option(help="A regular expression, instead of a schema.")] = None,
    grammar: GrammarOption = None,
    dialect: DialectOption = None,
    start: StartOption = None,
    tools: Annotated[str | None, typer.Option(help="A file with a JSON list of OpenAI tools.")] = None,
    tool_choice: Annotated[str, typer.Option(help="auto, none or required.")] = "auto",
    tool_format: Annotated[
        str, typer.Option(help="How calls are written: hermes, function, qwen_coder, llama.")
    ] = "hermes",
    model: Annotated[str | None, typer.Option(help="A name or folder; else the embedded model.")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="The longest text, in tokens.")] = 512,
    temperature: Annotated[float, typer.Option(help="0 is greedy.")] = 0.0,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k likeliest tokens.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Draw from the likeliest tokens of this mass.")] = None,
    seed: Annotated[int | None, typer.Option(help="Makes sampling repeatable.")] = None,
    chat: Annotated[bool, typer.Option("--chat", help="Put the prompt through the model's chat template.")] = False,
    stream: Annotated[bool, typer.Option("--stream", help="Write growing values, one JSON document a line.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Generate a value that satisfies a schema, or a text that matches a regex or grammar, or calls of tools.

    On standard output: the value as JSON, or the text for a regex or grammar; with --json value, text, tokens, times.
    """
    if prompt == "-" and schema == "-":
        raise ValueError("only one of the prompt and the schema can be standard input")
    request: dict[str, Any] = {
        "schema": None if schema is None else read_schema(schema),
        "regex": regex,
        "grammar": None if grammar is None else read_grammar_text(grammar, dialect, start),
        "tools": None if tools is None else json.loads(read_text(tools)),
        "tool_choice": tool_choice,
        "tool_format": tool_format,
        "model": model,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "seed": seed,
        "chat": chat,
    }
    with progress("loading"):
        from structgen.decode.generate import generate as run
    text = sys.stdin.read() if prompt == "-" else prompt
    if stream:
        for growing in run(text, stream=True, return_result=as_json, **request):
            print_json(_described(growing) if as_json else growing)
        return
    with progress("generating"):
        result = run(text, return_result=True, **request)
    if as_json:
        print_json(_described(result))
    elif regex is not None or grammar is not None:
        print(result.text)
    elif out.is_terminal:
        out.print_json(json.dumps(result.value))
    else:
        print_json(result.value)


def _described(result: Any) -> dict[str, Any]:
    return {
        "value": result.value,
        "text": result.text,
        "finish": result.finish,
        "token_ids": result.token_ids,
        "logprobs": result.logprobs,
        "stats": asdict(result.stats),
    }
