"""Shipped grammars in the engine: the texts that lark takes, and every true next token in the mask."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import shipped
import test_shipped_code as code
import test_shipped_data as data
import test_shipped_formal as formal
import test_shipped_sql as sql

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


CODE = {"sql": sql.prepared(40, 5), **{name: [text] for name, text in code.WHOLE.items()}}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_engine_takes_what_lark_takes(name: str) -> None:
    rng = random.Random(7)
    alphabet = "".join(sorted({char for text in SAMPLES[name] for char in text}))
    for text in SAMPLES[name]:
        assert engine_accepts(name, text), text
        for mutated in shipped.mutations(rng, text, alphabet, 60):
            assert engine_accepts(name, mutated) == shipped.accepts(name, mutated), mutated


@pytest.mark.slow
@pytest.mark.parametrize("name", CODE)
def test_the_engine_takes_the_code_that_lark_takes(name: str) -> None:
    """Where LALR prefers to shift (see the grammars' headers) the engine also takes the other reading: never less."""
    rng = random.Random(8)
    more = count = 0
    for text in CODE[name]:
        assert engine_accepts(name, text), text
        for mutated in shipped.mutations(rng, text, "()[]{};,.=+/*\"' a1\n", 200 // len(CODE[name])):
            engine, lark = engine_accepts(name, mutated), shipped.accepts(name, mutated)
            assert engine or not lark, mutated
            count += 1
            more += engine != lark
    assert more <= 0.02 * count, (more, count)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*SAMPLES, *CODE])
def test_every_true_next_token_is_in_the_mask(name: str, tokenizers_path: Path) -> None:
    vocabulary = Vocabulary.from_file(tokenizers_path / "llama3.tokenizer.json.gz")
    compiled = structgen.compile_grammar(structgen.load_grammar(name), vocabulary)
    bitmask = np.zeros((1, vocabulary.num_words), np.int32)
    for text in (SAMPLES | CODE)[name]:
        matcher = compiled.matcher()
        for token in vocabulary.encode(text):
            matcher.fill_next_token_bitmask(bitmask)
            assert bitmask[0, token // 32] >> (token % 32) & 1, (text, token)
            assert matcher.accept_token(token)
        assert matcher.is_accepting(), text


def next_words(name: str, prefix: str, words: list[str]) -> list[str]:
    """Those of some texts that may come next: every byte of them, in the mask of a text that can be completed."""
    found = []
    for word in words:
        matcher = grammar(name).matcher()
        assert matcher.accept_bytes(prefix.encode())
        if matcher.accept_bytes(word.encode()):
            found.append(word)
    return found


def test_remainders_of_arithmetic() -> None:
    """SynCode's example: after `113 + 235 + 17` the number may go on, the sum may, and the text may end."""
    assert next_words("arithmetic", "113 + 235 + 17", ["8", ".5", " + ", "*", " 8", "x", "(", ")", "\n", "e"]) == [
        "8", ".5", " + ", "*", "\n", "e",
    ]  # fmt: skip
    assert engine_accepts("arithmetic", "113 + 235 + 17")


@pytest.mark.slow
def test_remainders_of_sql() -> None:
    prefix = "SELECT name FROM student WHERE stuid NOT"
    words = [" IN (", " in(", " BETWEEN", " LIKE", " NULL", "NULL", "hing", " 5", " =", " AND", ";", "\n"]
    assert next_words("sql", prefix, words) == [" IN (", " in(", " BETWEEN", " LIKE", " NULL", "NULL", "\n"]
    assert not engine_accepts("sql", prefix)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "prefix", "yes", "no"),
    [
        ("java", "/**", [" doc */ class A { }", "/ class A { }", "*/"], []),
        ("go", "package p\n/**", ["/", " x */\nvar x int", "*/"], []),
        ("c", "int x; /**", ["/", " x */ int y;"], []),
        ("java", "class A { int x", [";", "1;", " = 1;", "[]"], [" y", "(;", "."]),
        ("go", "package p\nvar x", [" int", "1 int", " = 1"], [" 1", ";", "\n"]),
        ("go", "package p\nvar x = 12", ["3", ".5", "_000", "\n", "e1"], ["a", " 3", "x"]),
        ("javascript", "x = 12", ["3", ".5", ";", "n", "\n"], ["a", " 3", "$"]),
        ("c", "int x = 12", ["3", "u", ".", ";"], ["a", " 3"]),
        ("json", "[", ['{"a": 1}]', '{"', "]"], ["}", ","]),
        ("json", '{"a": "', ["\\u00e9", "\\n", "é"], ["\n", "\\x"]),
    ],
)
def test_known_failures_of_others(name: str, prefix: str, yes: list[str], no: list[str]) -> None:
    assert next_words(name, prefix, yes + no) == yes
