"""`generate`: a prompt and a schema in, a valid value out."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from structgen import embedded
from structgen.compiler import (
    CompiledGrammar,
    compile_grammar,
    compile_regex,
    compile_schema,
    compile_structural_tag,
)
from structgen.decode.loop import run
from structgen.decode.models import LoadedModel, ModelSpec, load
from structgen.decode.partial import NOTHING, partial_value
from structgen.decode.row import Row
from structgen.decode.sampling import Sampling
from structgen.decode.targets import TEXT, GrammarText, Target, target, tools_target
from structgen.errors import Truncated
from structgen.tags import tools_format
from structgen.vocab import Vocabulary

if TYPE_CHECKING:
    from structgen.schema import SchemaOptions


def generate(
    prompt: str | Sequence[str],
    *,
    schema: Any = None,
    regex: str | Sequence[str] | None = None,
    grammar: Any = None,
    tools: Sequence[Any] | None = None,
    tool_choice: Any = "auto",
    tool_format: str = "hermes",
    model: ModelSpec = None,
    max_new_tokens: int = 512,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int | None = None,
    sampler: str | None = None,
    n: int | None = None,
    budget: int | None = None,
    stream: bool = False,
    return_result: bool = False,
    chat: bool = False,
    options: SchemaOptions | None = None,
    speculate: Any = None,
) -> Any:
    """The value that the model gives for the prompt, certain to satisfy the schema or to match the regex.

    `schema` is a JSON Schema (dict, text, path), a Pydantic model, dataclass, TypedDict, `Literal`, `Enum`, or any type
    a Pydantic `TypeAdapter` takes; types come back as instances (their own validators may still raise Pydantic's
    `ValidationError`). `regex` gives a `str`. A sequence of prompts gives a list of values, with one schema (or regex)
    for all, or a list with one for each.

    `grammar` is a grammar in Lark's dialect, a `GrammarText` in another one, a structural tag (a dict), or what
    `compile_grammar` and `compile_structural_tag` give; the value is a `str`. `tools` are OpenAI's tools: the value is
    `{"text": …, "tool_calls": [{"name": …, "arguments": …}, …]}`, with `tool_choice` and the calls written as
    `tool_format` says (one of `structgen.tags.TOOL_FORMATS`).

    `model` is a name or folder for transformers or a (model, tokenizer) pair; None is the embedded model, which sees
    the schema in its prompt. Other models see the prompt as it stands, through their chat template if `chat`.

    `temperature` 0 is greedy; row i of a batch draws with `seed + i`. At most `max_new_tokens` tokens of text are
    generated: near the end of the budget the mask narrows so that the text closes in time, and where not even the
    shortest ending fits, `Truncated` is raised with what there is.

    `sampler` draws from P(text | the text is valid), which masking distorts: "cars", "asap", "smc", "mh", "awrs",
    "rejection", "exact", or "gcd" for masking itself (docs/sampling.md says which when). Each prompt then gives one
    value, or a list of `n`, within `budget` forward passes (None: as many as it takes), or `Truncated` is raised;
    `temperature` 0 stands for 1. A later call about the same prompt goes on from what this one learnt. `speculate`
    (but for "exact") takes fewer calls into the model and leaves the law as it is.

    `stream=True` gives an iterator of growing values, the last one being the finished value: an unfinished one is plain
    JSON data (None while there is nothing), also for types. For a batch it yields lists. `return_result=True` gives
    `Result`s in place of values.

    `speculate` gives the same text in fewer passes of the model: "auto", a drafter, or a
    `structgen.decode.speculation.Plan` (see docs/speculation.md). Greedy text is the same token for token, up to ties
    that rounding decides; so are samples of the same seed, except with drafters that draw, where they are distributed
    the same.

    >>> generate("The capital of France.", schema={"enum": ["Paris", "Rome"]})  # doctest: +SKIP
    'Paris'
    """
    asked = {"schema": schema, "regex": regex, "grammar": grammar, "tools": tools}
    given = [name for name, spec in asked.items() if spec is not None]
    if len(given) != 1:
        raise ValueError("pass exactly one of schema=, regex=, grammar= and tools=")
    kind = given[0]
    if max_new_tokens < 1:
        raise ValueError(f"max_new_tokens must be at least 1, not {max_new_tokens}")
    if sampler is None and (n is not None or budget is not None):
        raise ValueError("n= and budget= go with sampler=")
    if sampler is not None and stream:
        raise ValueError("sampler= draws whole texts: leave out stream=")
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    is_batch = not isinstance(prompt, str)
    prompts = list(prompt) if is_batch else [str(prompt)]
    wanted = [tools] * len(prompts) if kind == "tools" else _one_each(kind, asked[kind], prompts, is_batch)
    loaded = load(model)
    rows = []
    for i, (text, spec) in enumerate(zip(prompts, wanted, strict=True)):
        started = time.perf_counter()
        if kind == "schema":
            goal, compiled = _compile(spec, loaded.vocab, options)
        elif kind == "tools":
            goal, compiled = _compile_tools(spec, tool_choice, tool_format, loaded.vocab, options)
        else:
            goal = TEXT
            compiled = (_compiled_regex if kind == "regex" else _compile_grammar)(spec, loaded.vocab)
        compile_s = time.perf_counter() - started
        if loaded.is_embedded and kind == "schema":
            text = embedded.format_prompt(goal.schema, text)
        prompt_ids = loaded.encode_prompt(text, chat=chat)
        num_tokens = _budget(loaded, prompt_ids, max_new_tokens)
        rows.append(Row(prompt_ids, goal, compiled, num_tokens, sampling.chance(i), compile_s))
    if sampler is not None:
        from structgen.decode.aligned.generate import sample_rows

        drawn: dict[str, Any] = {"sampler": sampler, "n": n, "budget": budget, "speculate": speculate}
        return sample_rows(loaded, rows, sampling, **drawn, is_batch=is_batch, return_result=return_result)
    steps = _steps(loaded, rows, sampling, speculate)
    if stream:
        return _stream(steps, rows, is_batch=is_batch, return_result=return_result)
    for _ in steps:
        pass
    return _finished(rows, is_batch=is_batch, return_result=return_result)


def _one_each(name: str, spec: Any, prompts: list[str], is_batch: bool) -> list[Any]:
    """The schema or regex of each prompt."""
    if not isinstance(spec, (list, tuple)):
        return [spec] * len(prompts)
    if not is_batch:
        raise ValueError(f"a list of {name} needs a list of prompts")
    if len(spec) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts, but {len(spec)} {name}: pass one for all, or one each")
    return list(spec)


def _compile(spec: Any, vocab: Vocabulary, options: SchemaOptions | None) -> tuple[Target, CompiledGrammar]:
    goal = target(spec)
    return goal, _compiled_schema(json.dumps(goal.schema), vocab, options)


def _compile_tools(
    tools: Sequence[Any], choice: Any, style: str, vocab: Vocabulary, options: SchemaOptions | None
) -> tuple[Target, CompiledGrammar]:
    tag = tools_format(tools, tool_choice=choice, style=style)
    return tools_target(tools, style), _compiled_tag(json.dumps(tag), vocab, options)


def _compile_grammar(spec: Any, vocab: Vocabulary) -> CompiledGrammar:
    if isinstance(spec, CompiledGrammar):
        if spec.vocab != vocab:
            raise ValueError("this grammar was compiled for another vocabulary than the model's")
        return spec
    if isinstance(spec, dict):
        return _compiled_tag(json.dumps(spec), vocab, None)
    if not isinstance(spec, (str, GrammarText)):
        raise TypeError(f"a grammar is text, a GrammarText, a structural tag or compiled, not {type(spec).__name__}")
    return _compiled_grammar(GrammarText(spec) if isinstance(spec, str) else spec, vocab)


# Grammars fill with masks as they are used: the same schema again finds them all.
@lru_cache(maxsize=64)
def _compiled_schema(schema_text: str, vocab: Vocabulary, options: SchemaOptions | None) -> CompiledGrammar:
    return compile_schema(json.loads(schema_text), vocab, options=options)


@lru_cache(maxsize=64)
def _compiled_regex(pattern: str, vocab: Vocabulary) -> CompiledGrammar:
    return compile_regex(pattern, vocab)


@lru_cache(maxsize=64)
def _compiled_grammar(spec: GrammarText, vocab: Vocabulary) -> CompiledGrammar:
    return compile_grammar(spec.text, vocab, dialect=spec.dialect, start=spec.start, lexer=spec.lexer)


@lru_cache(maxsize=64)
def _compiled_tag(tag_text: str, vocab: Vocabulary, options: SchemaOptions | None) -> CompiledGrammar:
    return compile_structural_tag(json.loads(tag_text), vocab, options=options)


def _budget(model: LoadedModel, prompt_ids: list[int], max_new_tokens: int) -> int:
    """Tokens of text that fit the caller's limit and the model's context."""
    if model.max_tokens is None:
        return max_new_tokens
    room = model.max_tokens - len(prompt_ids)
    if room < 1:
        raise ValueError(f"the prompt has {len(prompt_ids)} tokens, the model's context holds {model.max_tokens}")
    return min(max_new_tokens, room)


def _finished(rows: list[Row], *, is_batch: bool, return_result: bool) -> Any:
    """The values or results of finished rows. Raises `Truncated` if one is not finished, with the results of all."""
    results = [row.result(row.parse()) for row in rows]
    cut = [i for i, row in enumerate(rows) if row.finish == "truncated"]
    if cut:
        which = f" (prompt {cut[0]} of {len(rows)})" if is_batch else ""
        raise Truncated(
            f"{rows[cut[0]].budget} tokens cannot hold a valid text{which}",
            partial=results[cut[0]].text,
            result=results if is_batch else results[0],
            advice="raise max_new_tokens, or shorten the prompt if the model's context is full",
        )
    values = results if return_result else [result.value for result in results]
    return values if is_batch else values[0]


def _steps(model: LoadedModel, rows: list[Row], sampling: Sampling, speculate: Any) -> Iterator[None]:
    """The decoding loop over these rows, not yet begun."""
    if not rows:
        return iter(())
    if speculate is None:
        return run(model, rows, sampling)
    from structgen.decode.speculation.entry import plan_of, run_rows

    return run_rows(model, rows, sampling, plan_of(speculate))


def _stream(steps: Iterator[None], rows: list[Row], *, is_batch: bool, return_result: bool) -> Iterator[Any]:
    """Growing values whenever one has grown, then the finished ones."""
    shown: list[Any] | None = None
    for _ in steps:
        values = [_growing(row) for row in rows]
        if values == shown and not return_result:
            continue
        shown = values
        out = [row.result(value) for row, value in zip(rows, values, strict=True)] if return_result else values
        yield out if is_batch else out[0]
    yield _finished(rows, is_batch=is_batch, return_result=return_result)


def _growing(row: Row) -> Any:
    """What an unfinished row already says, None if nothing."""
    text = row.text()
    if row.target.growing is not None:
        return row.target.growing(text)
    value = partial_value(text, finished=row.finish not in (None, "truncated"))
    return None if value is NOTHING else value
