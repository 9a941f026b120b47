"""From maskbench.jsonl.gz to (schema, instance) pairs: the split, the pairs and their variations.

Knows nothing of tokens or models. Everything random comes from a `random.Random` that the caller seeds, so that the
same seed gives the same pairs. A variation whose instance no longer satisfies its schema is not used.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import jsonschema_rs

from structgen.embedded import compact_json

HELD_OUT_ONE_IN = 20
MAX_PART_CHARS = 500  # of a property's schema, to be mixed into a made-up object
MAX_SCHEMA_CHARS = 12_000  # longer schemas are met through their parts only

_ANNOTATIONS = frozenset(
    ["$comment", "$id", "$schema", "default", "deprecated", "description", "examples", "id", "title"]
)
_NAMES_BELOW = frozenset(
    ["properties", "patternProperties", "definitions", "$defs", "dependencies", "dependentSchemas"]
)
_VALUES_BELOW = frozenset(["const", "default", "enum", "example", "examples", "required"])
_DEFINITIONS = ("definitions", "$defs")


class Pair(NamedTuple):
    """A schema and an instance that satisfies it."""

    schema: Any
    instance: Any


class Part(NamedTuple):
    """A property seen somewhere: its name, its schema (no references) and a value."""

    name: str
    schema: Any
    value: Any


@dataclass(frozen=True)
class Corpus:
    """What training draws from: whole pairs, pairs of sub-schemas, and properties to mix."""

    whole: tuple[Pair, ...]
    sub: tuple[Pair, ...]
    parts: tuple[Part, ...]


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    """The rows of `path`, a gzip of JSON lines `{id, split, schema, tests: [{valid, data}]}`."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def is_held_out(row_id: str) -> bool:
    """Whether the schema of this id is kept from training: one in `HELD_OUT_ONE_IN`, by hash."""
    digest = hashlib.sha256(row_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % HELD_OUT_ONE_IN == 0


def split_rows(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(training, held out), by schema; a training schema that is also a held-out one's twin is dropped."""
    held_out = [row for row in rows if is_held_out(row["id"])]
    twins = {_canonical(row["schema"]) for row in held_out}
    return [row for row in rows if not is_held_out(row["id"]) and _canonical(row["schema"]) not in twins], held_out


def valid_pairs(rows: list[dict[str, Any]]) -> list[Pair]:
    """A pair for each test that the data calls valid."""
    return [Pair(row["schema"], test["data"]) for row in rows for test in row["tests"] if test["valid"]]


def tokenizer_texts(rows: list[dict[str, Any]], max_chars: int = 4000) -> Iterator[str]:
    """The texts to train a tokenizer on: every schema's beginning, and every valid instance's."""
    for row in rows:
        yield compact_json(row["schema"])[:max_chars]
    for pair in valid_pairs(rows):
        yield dumps(pair.instance)[:max_chars]
        yield dumps(pair.instance, indent=2)[: max_chars // 8]


def dumps(value: Any, *, indent: int | None = None) -> str:
    """`json.dumps` with its default separators, escaped only where a lone surrogate has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def satisfies(schema: Any, instance: Any) -> bool:
    """Whether `instance` satisfies `schema`; False too where the schema is broken or refers outside itself."""
    try:
        return jsonschema_rs.is_valid(schema, instance, retriever=_refuse)
    except Exception:  # the validator's errors share no base class, and all mean "not usable"
        return False


def build_corpus(rows: list[dict[str, Any]]) -> Corpus:
    """Whole pairs of `rows`, and what is found inside them, each distinct one once."""
    whole = valid_pairs(rows)
    subs: dict[str, Pair] = {}
    parts: dict[str, Part] = {}
    for pair in whole:
        for name, schema, value in _walk(pair.schema, pair.instance, pair.schema, depth=0):
            alone = with_definitions(schema, pair.schema)
            text = compact_json(alone)
            if len(text) > MAX_SCHEMA_CHARS:
                continue
            key = f"{name}\0{text}\0{compact_json(value)}"
            if key in subs or key in parts or not satisfies(alone, value):
                continue
            if isinstance(value, dict | list) and value:
                subs[key] = Pair(alone, value)
            if name and len(key) <= MAX_PART_CHARS and '"$ref"' not in text:
                parts[key] = Part(name, alone, value)
    short = tuple(pair for pair in whole if len(compact_json(pair.schema)) <= MAX_SCHEMA_CHARS)
    return Corpus(short, tuple(subs.values()), tuple(parts.values()))


def draw_pair(corpus: Corpus, rng: random.Random) -> Pair:
    """A training pair: whole, a sub-schema's, or an object made of unrelated properties."""
    kind = rng.random()
    if kind < 0.30:
        return mix_parts(corpus.parts, rng)
    pair = rng.choice(corpus.whole if kind < 0.75 else corpus.sub)
    if rng.random() < 0.35:
        pair = drop_properties(pair, rng, keep_absent=0.5, keep_present=rng.choice([1.0, 0.6]))
    if rng.random() < 0.4:
        pair = checked(pair, Pair(strip_annotations(pair.schema), pair.instance))
    return pair


def shorter_pairs(pair: Pair, rng: random.Random) -> Iterator[Pair]:
    """`pair`, then ever shorter variations of it, for a caller that looks for one that fits."""
    yield pair
    pair = checked(pair, Pair(prune_definitions(pair.schema), pair.instance))
    yield pair
    pair = checked(pair, Pair(strip_annotations(pair.schema), pair.instance))
    yield pair
    for keep_present in (1.0, 0.6, 0.4):
        pair = drop_properties(pair, rng, keep_absent=0.15, keep_present=keep_present)
        pair = checked(pair, Pair(prune_definitions(pair.schema), pair.instance))
        yield pair


def checked(old: Pair, new: Pair) -> Pair:
    """`new` if its instance still satisfies its schema, else `old`."""
    return new if satisfies(new.schema, new.instance) else old


def strip_annotations(schema: Any) -> Any:
    """`schema` without the keywords that say nothing about which instances are valid."""
    if isinstance(schema, list):
        return [strip_annotations(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    stripped = {}
    for key, value in schema.items():
        if key in _ANNOTATIONS:
            continue
        if key in _NAMES_BELOW and isinstance(value, dict):
            stripped[key] = {name: strip_annotations(below) for name, below in value.items()}
        else:
            stripped[key] = value if key in _VALUES_BELOW else strip_annotations(value)
    return stripped


def prune_definitions(schema: Any) -> Any:
    """`schema` without the definitions that no reference reaches."""
    if not isinstance(schema, dict) or not any(key in schema for key in _DEFINITIONS):
        return schema
    return with_definitions({key: value for key, value in schema.items() if key not in _DEFINITIONS}, schema)


def with_definitions(schema: Any, root: Any) -> Any:
    """`schema`, a part of `root`, with those of the root's definitions that it reaches by reference."""
    if not isinstance(schema, dict):
        return schema
    reached: dict[str, dict[str, Any]] = {}
    todo = list(_references(schema))
    while todo:
        steps = todo.pop().split("/")
        if len(steps) < 3 or steps[0] != "#" or steps[1] not in _DEFINITIONS:
            continue
        name = unquote(steps[2]).replace("~1", "/").replace("~0", "~")
        definitions = root.get(steps[1]) if isinstance(root, dict) else None
        if isinstance(definitions, dict) and name in definitions and name not in reached.get(steps[1], {}):
            reached.setdefault(steps[1], {})[name] = definitions[name]
            todo.extend(_references(definitions[name]))
    return {**schema, **reached} if reached else schema


def drop_properties(pair: Pair, rng: random.Random, *, keep_absent: float, keep_present: float) -> Pair:
    """Drop properties at the root: those the instance lacks, and (from both sides) those it has; in a new order."""
    schema, instance = pair
    if not (isinstance(schema, dict) and isinstance(schema.get("properties"), dict) and isinstance(instance, dict)):
        return pair
    kept = [name for name in schema["properties"] if rng.random() < (keep_present if name in instance else keep_absent)]
    if not any(name in instance for name in kept):
        return pair
    dropped = set(schema["properties"]) - set(kept)
    new_schema = {**schema, "properties": {name: schema["properties"][name] for name in kept}}
    if isinstance(schema.get("required"), list):
        new_schema["required"] = [name for name in schema["required"] if name not in dropped]
    new_instance = {name: value for name, value in instance.items() if name not in dropped}
    return checked(pair, Pair(new_schema, new_instance))


def mix_parts(parts: tuple[Part, ...], rng: random.Random) -> Pair:
    """An object of one to eight properties that were never seen together; some optional, some of those absent."""
    chosen = {part.name: part for part in rng.choices(parts, k=rng.randint(1, 8))}
    required = [name for name in chosen if rng.random() < 0.6]
    present = [name for name in chosen if name in required or rng.random() < 0.5] or list(chosen)[:1]
    keywords: list[tuple[str, Any]] = [
        ("type", "object"),
        ("properties", {name: part.schema for name, part in chosen.items()}),
    ]
    if required:
        keywords.append(("required", required))
    if rng.random() < 0.4:
        keywords.append(("additionalProperties", False))
    if rng.random() < 0.5:
        rng.shuffle(keywords)
    instance = {name: chosen[name].value for name in present}
    return Pair(dict(keywords), instance)


def _canonical(schema: Any) -> str:
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


def _refuse(uri: str) -> Any:
    raise LookupError(f"{uri} is outside the schema, and training reads nothing from the network")


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _references(item)


def _resolve(schema: Any, root: Any) -> Any:
    """Follow local references, at most eight; None where one leads nowhere."""
    for _ in range(8):
        if not (isinstance(schema, dict) and isinstance(schema.get("$ref"), str)):
            return schema
        found = root
        for step in schema["$ref"].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            found = found.get(name) if isinstance(found, dict) else None
        schema = found
    return None


def _walk(schema: Any, instance: Any, root: Any, *, depth: int) -> Iterator[tuple[str, Any, Any]]:
    """(name, sub-schema, value) for each property and list of `instance` that `schema` describes directly."""
    schema = _resolve(schema, root)
    if not isinstance(schema, dict) or depth > 8:
        return
    if isinstance(instance, dict):
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        for name, value in instance.items():
            below = _resolve(properties.get(name, schema.get("additionalProperties")), root)
            if isinstance(below, dict):
                yield name, below, value
                yield from _walk(below, value, root, depth=depth + 1)
    elif isinstance(instance, list) and isinstance(schema.get("items"), dict):
        for value in instance[:2]:
            yield from _walk(schema["items"], value, root, depth=depth + 1)
            if isinstance(value, dict):
                yield "", _resolve(schema["items"], root), value
