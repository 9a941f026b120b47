"""Strict JSON, and verdicts on texts."""

from __future__ import annotations

import sys

import pytest

from jsonschemabench.judge import Judge, JudgeMissing, NotStrictJson, read_strictly


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'[{"b": {"a": 1, "a": 2}}]',
        b"NaN",
        b"[-Infinity]",
        b'"\\ud800"',
        b'{"\\udc00x": 1}',
        b'"\xff"',
        b"",
        b"1 2",
        b'{"a": 1,}',
        b'"\t"',
        b"01",
        b"\xef\xbb\xbf1",
        b"[" * 100_000,
    ],
)
def test_what_is_not_strictly_json(text: bytes) -> None:
    with pytest.raises(NotStrictJson):
        read_strictly(text)


@pytest.mark.parametrize("text", [b' {"a": [1, null]}\n', b'"\\ud83d\\ude00"', b"-0.5e-3", '"☃"'.encode()])
def test_what_is(text: bytes) -> None:
    read_strictly(text)


def test_verdicts() -> None:
    pytest.importorskip("jsonschema_rs")
    judge = Judge()
    day = {"type": "string", "format": "date"}
    assert judge.judge(day, b'"2024-02-29"').valid is True
    wrong = judge.judge(day, b'"2023-02-29"')
    assert (wrong.is_json, wrong.valid) == (True, False) and "date" in wrong.error
    cut = judge.judge(day, b'"2023-')
    assert (cut.is_json, cut.valid) == (False, False)
    for schema in ({"type": 3}, {"$ref": "https://example.com/elsewhere.json"}):
        unknown = judge.judge(schema, b"1")
        assert (unknown.is_json, unknown.valid) == (True, None) and "cannot read the schema" in unknown.error


def test_without_the_validator_there_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(JudgeMissing, match="pip install"):
        Judge()
