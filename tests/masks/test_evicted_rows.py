"""With room for a few rows only, bases and what is derived from them are given up again and again; masks stay."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

import structgen
from structgen import Limits
from structgen.compiler import CompiledGrammar, engine_host
from structgen.embedded import tokenizer_path
from structgen.vocab import Vocabulary

NAMES = "abcdefghij"
SCHEMA: Any = {
    "type": "object",
    "properties": {
        name: {"type": "string", "maxLength": 5 + 7 * i, "minLength": i % 3, "pattern": f"^[{name}-z]*[^{other}]*$"}
        for i, (name, other) in enumerate(zip(NAMES, "qrstuvwxyz", strict=True))
    },
    "additionalProperties": {"anyOf": [{"type": "string", "minLength": 3}, {"type": "string", "maxLength": 40}]},
}
TEXT = json.dumps({**{name: "x" * (4 + i) for i, name in enumerate(NAMES)}, "other": "some text é", "more": "abc"})


def masks(grammar: CompiledGrammar) -> list[bytes]:
    matcher, row, out = grammar.matcher(), np.zeros((1, grammar.vocab.num_words), np.int32), []
    for byte in TEXT.encode():
        matcher.fill_next_token_bitmask(row)
        out.append(row.tobytes())
        assert matcher.accept_bytes(bytes((byte,)))
    return out


def test_rows_that_were_given_up_come_back_as_they_were() -> None:
    vocab, few = Vocabulary.from_file(tokenizer_path()), Limits(max_row_bytes=1)  # 16 rows, the fewest
    expected = masks(structgen.compile_schema(SCHEMA, vocab))
    grammar = structgen.compile_schema(SCHEMA, vocab, limits=few)
    for _ in range(3):
        assert masks(grammar) == expected
    assert engine_host(vocab, few).engine.statistics()["rows_evicted"] > 100
