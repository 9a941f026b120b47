"""A case: one schema and the instances that an engine is to judge, whoever made them and whoever judges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Instance:
    """A text, and whether the schema's validator takes it."""

    valid: bool
    text: str


@dataclass(frozen=True, slots=True)
class Case:
    """A schema with its instances. ``split`` is the part of the data set that it belongs to."""

    id: str
    split: str
    schema: Any
    instances: tuple[Instance, ...]


def instance_text(data: Any) -> str:
    """The text that stands for ``data``: ``json.dumps`` as in MaskBench, escaped where a lone surrogate forces it."""
    text = json.dumps(data, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(data)
    return text


def digest_of(cases: Iterable[Case], *more: Any) -> str:
    """The same for the same cases in the same order, and the same of what else counts, as JSON."""
    content = hashlib.sha256()
    for case in cases:
        content.update(json.dumps([case.id, case.schema, [[i.valid, i.text] for i in case.instances]]).encode())
    for each in more:
        content.update(json.dumps(each).encode())
    return content.hexdigest()[:16]


def case_from_row(row: Any, *, default_id: str) -> Case:
    """A case from a row ``{id, split, schema, tests: [{valid, data}]}``. Raises ValueError that names the fault."""
    if not isinstance(row, dict):
        raise ValueError("not a JSON object")
    if "schema" not in row:
        raise ValueError("no 'schema'")
    tests = row.get("tests", [])
    if not isinstance(tests, list):
        raise ValueError("'tests' is not an array")
    instances = []
    for index, test in enumerate(tests):
        if not isinstance(test, dict) or "data" not in test or not isinstance(test.get("valid"), bool):
            raise ValueError(f"tests[{index}] needs 'data' and a boolean 'valid'")
        instances.append(Instance(test["valid"], instance_text(test["data"])))
    case_id = str(row.get("id", default_id))
    return Case(case_id, str(row.get("split") or split_of_id(case_id)), row["schema"], tuple(instances))


def split_of_id(case_id: str) -> str:
    """The split that a MaskBench file name tells: ``Github_easy---o1`` is Github_easy, ``BFCL_java_1`` is BFCL."""
    head, separator, _ = case_id.partition("---")
    return head if separator else head.partition("_")[0]
