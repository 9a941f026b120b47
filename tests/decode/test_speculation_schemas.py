"""Greedy text is the same with drafts on real schemas: every drafter, cache and batch size.

    python -m pytest tests/decode/test_speculation_schemas.py -m slow

`STRUCTGEN_MASKBENCH` names maskbench.jsonl.gz (default: ../shared/data beside the checkout), `STRUCTGEN_SCHEMAS` how
many schemas are taken (500), `STRUCTGEN_SLICE=2/10` takes the third tenth of them only, so that a long run can be made
in parts. Every schema meets every drafter; caches and batch sizes take turns.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
from collections.abc import Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import pytest
from test_speculation_loop import DRAFTERS, target

import structgen
from structgen.decode.speculation.controllers import Fixed
from structgen.decode.speculation.loop import Plan

NAMED = os.environ.get("STRUCTGEN_MASKBENCH")
DATA = Path(NAMED) if NAMED else Path(__file__).resolve().parents[3] / "shared" / "data" / "maskbench.jsonl.gz"
COUNT = int(os.environ.get("STRUCTGEN_SCHEMAS", "500"))
BATCHES = [["Go"], ["Go", "A longer prompt"], ["a", "b", "A longer prompt", "d"]]
OPTIONS: dict[str, Any] = {"max_new_tokens": 24, "return_result": True}
EVERY = 15  # of the file's schemas, so that all its sources are there, and some are left where others are refused
SLICE, SLICES = map(int, os.environ.get("STRUCTGEN_SLICE", "0/1").split("/"))


@lru_cache(maxsize=1)
def schemas() -> list[tuple[Any, list[str]]]:
    """(schema, prompts) of those that structgen takes, with the texts of decoding without drafts known to fit."""
    return list(itertools.islice(_usable(), COUNT // SLICES))


def _usable() -> Iterator[tuple[Any, list[str]]]:
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            if number % EVERY or number // EVERY % SLICES != SLICE:
                continue
            schema = json.loads(line)["schema"]
            prompts = BATCHES[number // EVERY % len(BATCHES)]
            try:
                _plain(json.dumps(schema), tuple(prompts))
            except structgen.StructgenError:  # refused, or no text fits the budget
                continue
            yield schema, prompts


@cache
def _plain(schema: str, prompts: tuple[str, ...]) -> list[list[int]]:
    results = structgen.generate(list(prompts), schema=schema, model=target(), **OPTIONS)
    return [result.token_ids for result in results]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_file(), reason="maskbench.jsonl.gz is not here: set STRUCTGEN_MASKBENCH")
@pytest.mark.parametrize("name", DRAFTERS)
def test_greedy_text_is_the_same_on_real_schemas(name: str) -> None:
    drafter = DRAFTERS[name]()
    caches: Any = itertools.cycle(["dynamic", "static", "sliding"])
    differing = []
    for schema, prompts in schemas():
        plan = Plan(drafter, Fixed(12), cache=next(caches))
        results = structgen.generate(list(prompts), schema=schema, model=target(), speculate=plan, **OPTIONS)
        if [result.token_ids for result in results] != _plain(json.dumps(schema), tuple(prompts)):
            differing.append(schema)
    assert schemas()
    assert not differing, f"{len(differing)} of {len(schemas())} texts differ, the first under {differing[0]}"
