"""Generated pairs: schemas at random, instances that satisfy them, and mutations of these, against a validator.

Instances come from `hypothesis-jsonschema`, where it takes the schema; a mutation changes one thing in one.
`pytest tests/schema/test_pairs.py -m slow` runs 20,000 pairs; STRUCTGEN_PAIRS sets another number.
"""

from __future__ import annotations

import json
import os
from copy import deepcopy
from random import Random
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from structgen.compiler import CompiledGrammar
from structgen.errors import GrammarTooComplex, InvalidSchemaError, UnsatisfiableSchemaError, UnsupportedSchemaError
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.vocab import Vocabulary

from .strategies import schemas, values

hypothesis_jsonschema = pytest.importorskip("hypothesis_jsonschema")

BYTES = Vocabulary.from_bytes([*(bytes([byte]) for byte in range(256)), b"<end>"], eos_token_ids=256)
EXACT = SchemaOptions.exact(format_assertion=True)
PAIRS = int(os.environ.get("STRUCTGEN_PAIRS", "20000"))
_A_SCHEMA = 8  # Pairs of one schema: instances and mutations.
_OTHER: tuple[Any, ...] = (None, True, 0, 1, -1, 0.5, 10**20, "", "a", "\n", [], {}, [1, 1], {"a": 1})


def mutated(value: Any, random: Random) -> Any:
    """The value with one thing changed."""
    value = deepcopy(value)
    place: Any = value
    holder, key = None, None
    while isinstance(place, (list, dict)) and place and random.random() < 0.7:
        holder, key = place, random.choice(list(place if isinstance(place, dict) else range(len(place))))
        place = place[key]
    if isinstance(holder, (list, dict)) and random.random() < 0.3:
        del holder[key]
        return value
    if isinstance(place, list) and random.random() < 0.5:
        place.append(random.choice([*place, *_OTHER]))
        return value
    if isinstance(place, dict) and random.random() < 0.5:
        place[random.choice(["a", "b", "", "x"])] = random.choice(_OTHER)
        return value
    if isinstance(place, str) and random.random() < 0.7:
        changed: Any = random.choice([place + "a", place[1:], place.upper(), place + "\u00e9"])
    elif isinstance(place, (int, float)) and not isinstance(place, bool) and random.random() < 0.7:
        changed = random.choice([place + 1, -place, place * 2, place - 1])
    else:
        changed = random.choice(_OTHER)
    if holder is None:
        return changed
    holder[key] = changed
    return value


def accepts(grammar: CompiledGrammar, text: bytes) -> bool:
    """Whether the engine takes the whole text."""
    state = grammar.start
    for byte in text:
        state = grammar.advance(state, byte)
        if state == grammar.DEAD:
            return False
    return grammar.is_accepting(state)


def compare(schema: Any, instances: list[Any]) -> None:
    """Ours and the validator's verdicts on instances that both can read."""
    try:
        oracle = jsonschema_rs.validator_for(schema, validate_formats=True)
        root = compile_to_ir(schema, EXACT).root
    except (ValueError, GrammarTooComplex, InvalidSchemaError, UnsupportedSchemaError):
        return
    except UnsatisfiableSchemaError:
        assert not any(map(oracle.is_valid, instances)), schema
        return
    grammar = CompiledGrammar(root, BYTES, report=None)
    for value in instances:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
            verdict = oracle.is_valid(value)
        except ValueError:  # A lone surrogate, an infinite float.
            continue
        if "e" in text.decode() and any(isinstance(part, float) for part in leaves(value)):
            continue  # `1e-05` is not normalised for every schema; see the documentation of spellings.
        assert accepts(grammar, text) == verdict, (schema, value)


def leaves(value: Any) -> list[Any]:
    """The scalars in a value."""
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


@st.composite
def pairs(draw: st.DrawFn, of_schema: st.SearchStrategy[Any]) -> tuple[Any, list[Any]]:
    """A schema with instances and mutations."""
    schema = draw(of_schema)
    random = Random(draw(st.integers(0, 2**32)))
    found = [draw(values()) for _ in range(2)]
    try:
        found += [draw(hypothesis_jsonschema.from_schema(schema)) for _ in range(2)]
    except Exception:  # Its generator does not take every schema; what it raises is its own.
        found += [draw(values()) for _ in range(2)]
    return schema, found + [mutated(value, random) for value in found]


@pytest.mark.slow
@settings(max_examples=PAIRS // _A_SCHEMA, deadline=None, suppress_health_check=list(HealthCheck))
@given(pairs(schemas()))
def test_agrees_with_a_validator(pair: tuple[Any, list[Any]]) -> None:
    compare(*pair)
