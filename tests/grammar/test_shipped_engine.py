"""Shipped grammars in the engine: the same texts as lark takes, byte for byte, and every true next token in the mask."""

from __future__ import annotations

import random
from functools import lru_cache

import pytest
import shipped
import test_shipped_data as data
import test_shipped_formal as formal

import structgen
from structgen import CompiledGrammar, Vocabulary

SAMPLES = {
    "json": data.JSON_TEXTS,
    "csv": ["a,b,c\r\n1,2,3\r\n", '"x, y","say ""hi""",\n,,\n\n'],
    "s_expression": data.S_EXPRESSIONS,
    "xml": data.XML_TEXTS,
    "markdown_table": data.MARKDOWN_TABLES,
    "graphql": data.GRAPHQL_TEXTS,
    "arithmetic": formal.ARITHMETIC,
    "first_order_logic": formal.LOGIC,
    "regex": formal.PATTERNS,
}


@lru_cache(1)
def byte_vocabulary() -> Vocabulary:
    """Every byte, and the end."""
    return Vocabulary.from_bytes([bytes((byte,)) for byte in range(256)] + [b"<end>"], eos_token_ids=256)


@lru_cache(None)
def grammar(name: str) -> CompiledGrammar:
    return structgen.compile_grammar(structgen.load_grammar(name), byte_vocabulary())


def engine_accepts(name: str, text: str) -> bool:
    matcher = grammar(name).matcher()
    return matcher.accept_bytes(text.encode()) and matcher.is_accepting()


@pytest.mark.parametrize("name", SAMPLES)
def test_the_engine_takes_what_lark_takes(name: str) -> None:
    rng = random.Random(7)
    alphabet = "".join(sorted({char for text in SAMPLES[name] for char in text}))
    for text in SAMPLES[name]:
        assert engine_accepts(name, text), text
        for mutated in shipped.mutations(rng, text, alphabet, 60):
            assert engine_accepts(name, mutated) == shipped.accepts(name, mutated), mutated
