"""The text closes within the token budget wherever that is possible, and says so where it is not."""

from __future__ import annotations

from typing import Any

import jsonschema
import numpy as np
import pytest
from decode_schemas import PERSON, SCHEMAS, TREE

import structgen

LONG = {
    "type": "object",
    "properties": {f"a_rather_long_name_{i}": {"type": "boolean"} for i in range(12)},
    "required": [f"a_rather_long_name_{i}" for i in range(12)],
}
SUDDEN = {"anyOf": [{"type": "integer"}, LONG]}
"""One token, `{`, commits the text to some two hundred more."""


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.parametrize("max_new_tokens", [24, 33])
def test_texts_close_in_time(tiny_model: Any, name: str, max_new_tokens: int) -> None:
    for seed in range(3):
        result = structgen.generate(
            "Go",
            schema=SCHEMAS[name],
            model=tiny_model,
            max_new_tokens=max_new_tokens,
            temperature=1.0,
            seed=seed,
            return_result=True,
        )
        jsonschema.validate(result.value, SCHEMAS[name])
        assert result.stats.num_tokens <= max_new_tokens


def test_a_token_that_commits_to_too_much_is_taken_back(tiny_model: Any) -> None:
    for seed in range(8):
        value = structgen.generate("Go", schema=SUDDEN, model=tiny_model, max_new_tokens=16, temperature=2.0, seed=seed)
        assert isinstance(value, int)


def test_a_budget_that_fits_exactly(tiny_model: Any) -> None:
    """The shortest text just fits: end-of-text itself needs no room."""
    from structgen.decode.models import load

    loaded = load(tiny_model)
    shortest = len(loaded.vocab.encode('{"value":0,"children":[]}'))
    value = structgen.generate("Go", schema=TREE, model=tiny_model, max_new_tokens=shortest)
    jsonschema.validate(value, TREE)


def test_impossible_budgets_raise_with_the_partial(tiny_model: Any) -> None:
    with pytest.raises(structgen.Truncated) as caught:
        structgen.generate("Go", schema=LONG, model=tiny_model, max_new_tokens=10)
    assert caught.value.partial.startswith("{")
    assert caught.value.result.finish == "truncated"
    assert caught.value.result.value is None
    assert len(caught.value.result.token_ids) == 10
    assert "max_new_tokens" in str(caught.value)


def test_a_truncated_row_of_a_batch_takes_none_of_the_others_along(tiny_model: Any) -> None:
    with pytest.raises(structgen.Truncated, match="prompt 1 of 3") as caught:
        structgen.generate(["a", "b", "c"], schema=[PERSON, LONG, TREE], model=tiny_model, max_new_tokens=40)
    first, cut, last = caught.value.result
    assert cut.finish == "truncated"
    jsonschema.validate(first.value, PERSON)
    jsonschema.validate(last.value, TREE)


def test_streams_raise_at_their_end(tiny_model: Any) -> None:
    seen = []
    with pytest.raises(structgen.Truncated):
        for value in structgen.generate("Go", schema=LONG, model=tiny_model, max_new_tokens=30, stream=True):
            seen.append(value)
    assert seen


def test_the_models_context_is_a_budget_too(tiny_model: Any) -> None:
    model, tokenizer = tiny_model
    prompt = "word " * 400
    room = model.config.max_position_embeddings - len(tokenizer(prompt)["input_ids"])
    if room < 24:
        prompt = prompt[: len(prompt) // 4]
    result = structgen.generate(
        prompt, schema={"type": "array", "items": {"type": "integer"}}, model=tiny_model, max_new_tokens=5000,
        temperature=1.0, seed=0, return_result=True,
    )  # fmt: skip
    assert isinstance(result.value, list)
    assert result.stats.num_prompt_tokens + result.stats.num_tokens <= model.config.max_position_embeddings


def test_an_ending_that_is_spelled_longer_on_its_own_is_followed_anyway() -> None:
    """`x` and then `aaaa` fit two tokens as `xa`, `aaa`; after `xa` the bound says three single ones."""
    from structgen.decode.chance import Chance
    from structgen.decode.row import Row
    from structgen.decode.targets import Target

    tokens = [b"x", b"a", b"xa", b"aaa", b"<end>"]
    vocab = structgen.Vocabulary.from_bytes(tokens, eos_token_ids=4)
    row = Row([0], Target(True, str), structgen.compile_regex("xaaaa", vocab), 2, Chance())
    row._matcher = _LongWinded(row._matcher)  # type: ignore[assignment]
    row._closing = 3
    taken = []
    bitmask = np.zeros((1, vocab.num_words), np.int32)
    while row.fill_mask(bitmask, 0):
        allowed = [token for token in range(5) if bitmask[0, 0] >> token & 1]
        taken.append(allowed[0])
        assert row.accept(allowed[0])
    assert taken == [2, 3]
    assert row.finish in ("budget", "complete")


class _LongWinded:
    """A matcher whose bounds count a token for each byte once the text has begun."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def __getattr__(self, name: str) -> Any:
        return getattr(self._matcher, name)

    def closing_tokens(self, limit: int) -> int | None:
        needed = len(self._matcher.shortest_completion()) + 1
        return needed if needed <= limit else None

    def fill_closing_bitmask(self, bitmask: Any, index: int, budget: int) -> bool:
        bitmask[index] = 0
        if self._matcher.is_accepting():
            self._matcher.fill_next_token_bitmask(bitmask, index)
            return True
        return False
