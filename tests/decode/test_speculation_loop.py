"""With drafts the text is that without: greedy and sampled, for every drafter, cache, batch and controller.

The model runs in float64, so that no rounding decides between two tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from decode_schemas import PERSON, SCHEMAS
from tiny_model import make_tiny_model
from transformers import LlamaConfig, LlamaForCausalLM

import structgen
from structgen.decode import sampling
from structgen.decode.speculation import verifier
from structgen.decode.speculation.controllers import Fixed, Goodput, StopByRejection
from structgen.decode.speculation.copying import Copy
from structgen.decode.speculation.draft_model import DraftModel
from structgen.decode.speculation.forced import Forced
from structgen.decode.speculation.layer_skip import LayerSkip
from structgen.decode.speculation.loop import Plan
from structgen.decode.speculation.mixed import Mixed
from structgen.decode.speculation.outline import Outline
from structgen.decode.speculation.recycling import TokenRecycling
from structgen.decode.speculation.sampled import ConstantBranching, StochasticBeam
from structgen.decode.speculation.text import RowText
from structgen.decode.speculation.trigram import Trigram
from structgen.errors import SpeculationError


@lru_cache(maxsize=1)
def target() -> tuple[Any, Any]:
    model, tokenizer = make_tiny_model(seed=0)
    model.set_attn_implementation("sdpa")
    return model.double(), tokenizer


@lru_cache(maxsize=1)
def draft() -> Any:
    model, _ = make_tiny_model(seed=1)
    model.set_attn_implementation("sdpa")
    return model


DRAFTERS: dict[str, Callable[[], Any]] = {
    "forced": Forced,
    "outline": Outline,
    "copy": Copy,
    "recycling": TokenRecycling,
    "trigram": Trigram,
    "draft model": lambda: DraftModel(draft()),
    "constant": lambda: ConstantBranching(draft()),
    "independent": lambda: ConstantBranching(draft(), branching=(2, 2, 1), replacement=True),
    "beam": lambda: StochasticBeam(draft()),
    "layer skip": lambda: LayerSkip(target()[0]),
    "mixed": lambda: Mixed([Forced(), Outline(), Copy(), TokenRecycling(), Trigram()]),
}
PROMPTS = ["Hi", 'A much longer prompt than the first one: {"name": "Ada", "age": 36', ""]
OPTIONS: dict[str, Any] = {"max_new_tokens": 32, "seed": 3, "return_result": True}


@lru_cache(maxsize=64)
def plain(name: str, temperature: float) -> list[Any]:
    """What the loop without drafts gives for each prompt."""
    return structgen.generate(PROMPTS, schema=SCHEMAS[name], model=target(), temperature=temperature, **OPTIONS)


@pytest.mark.parametrize("name", DRAFTERS)
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_greedy_text_is_the_same(name: str, cache: Any) -> None:
    drafter = DRAFTERS[name]()
    accepted = 0
    for schema in ("person", "either"):
        plan = Plan(drafter, Fixed(16), cache=cache)
        expected = plain(schema, 0.0)
        together = structgen.generate(PROMPTS, schema=SCHEMAS[schema], model=target(), speculate=plan, **OPTIONS)
        alone = structgen.generate(PROMPTS[1], schema=SCHEMAS[schema], model=target(), speculate=plan, **OPTIONS)
        for got, wanted in zip([*together, alone], [*expected, expected[1]], strict=True):
            assert got.token_ids == wanted.token_ids
            assert got.finish == wanted.finish
            assert got.logprobs == pytest.approx(wanted.logprobs, abs=1e-5)
            assert got.raw_logprobs == pytest.approx(wanted.raw_logprobs, abs=1e-5)
            stats = got.stats
            passes_saved = wanted.stats.num_forward_passes - stats.num_forward_passes
            assert stats.num_accepted_tokens in (passes_saved, passes_saved + 1)  # the last one may end the text
            accepted += stats.num_accepted_tokens
    assert accepted > 0


def _counting(method: Callable[..., int], counts: dict[str, int], name: str) -> Callable[..., int]:
    def call(*arguments: Any) -> int:
        counts[name] += 1
        return method(*arguments)

    return call


@pytest.mark.parametrize("name", ["mixed", "independent", "outline"])
def test_the_fused_kernel_chooses_what_the_texts_choose(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it pays: on wide rows and on devices. Budgets of 32 and 9 tokens need closing masks."""
    monkeypatch.setattr(sampling, "MIN_GREEDY_ON_CPU", 0)
    counts = {"taken": 0, "chosen": 0}
    for method, counted in (("take", "taken"), ("choose", "chosen")):
        monkeypatch.setattr(RowText, method, _counting(getattr(RowText, method), counts, counted))
    drafter = DRAFTERS[name]()
    for schema in ("person", "either", "tree", "anything"):
        for budget in (32, 9):
            options = {**OPTIONS, "max_new_tokens": budget}
            try:
                wanted = structgen.generate(PROMPTS, schema=SCHEMAS[schema], model=target(), **options)
            except structgen.StructgenError:  # no text fits
                continue
            for constrain in (True, False):
                plan = Plan(drafter, Fixed(12), constrain=constrain)
                got = structgen.generate(PROMPTS, schema=SCHEMAS[schema], model=target(), speculate=plan, **options)
                assert [each.token_ids for each in got] == [each.token_ids for each in wanted]
                for one, other in zip(got, wanted, strict=True):
                    assert one.finish == other.finish
                    assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
                    assert one.raw_logprobs == pytest.approx(other.raw_logprobs, abs=1e-5)
    assert counts["taken"] > counts["chosen"] > 0, "both ways are met"


@pytest.mark.parametrize("name", ["mixed", "constant", "independent", "beam"])
@pytest.mark.parametrize("how", [{"temperature": 0.9}, {"temperature": 1.4, "top_k": 40, "top_p": 0.9}], ids=str)
def test_samples_of_the_fused_kernels_are_those_of_the_rules(
    name: str, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row with the rule for each row, or all trees in one call: the same random numbers, the same text.

    Budgets of 32 and 9 tokens need closing masks, under which a text chooses for itself.
    """
    counts = {"taken": 0, "chosen": 0}
    for method, counted in (("take", "taken"), ("choose", "chosen")):
        monkeypatch.setattr(RowText, method, _counting(getattr(RowText, method), counts, counted))

    def results() -> list[Any]:
        found = []
        for budget, schema in ((32, "anything"), (9, "either")):
            plan = Plan(DRAFTERS[name](), Fixed(12))
            options = {**OPTIONS, "max_new_tokens": budget, **how}
            found += structgen.generate(PROMPTS, schema=SCHEMAS[schema], model=target(), speculate=plan, **options)
        return found

    fused = results()
    assert counts["taken"] > counts["chosen"] > 0, "both ways are met"
    monkeypatch.setattr(verifier.Verifier, "__call__", lambda *_: None)
    for one, other in zip(fused, results(), strict=True):
        assert (one.token_ids, one.finish) == (other.token_ids, other.finish)
        assert one.stats.num_accepted_tokens == other.stats.num_accepted_tokens
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)
        assert one.raw_logprobs == pytest.approx(other.raw_logprobs, abs=1e-5)


@pytest.mark.parametrize("name", [name for name, make in DRAFTERS.items() if make().kind == "deterministic"])
def test_samples_of_a_seed_are_the_same_where_nothing_is_drawn(name: str) -> None:
    plan = Plan(DRAFTERS[name](), Fixed(16))
    got = structgen.generate(PROMPTS, schema=PERSON, model=target(), speculate=plan, temperature=0.9, **OPTIONS)
    assert [each.token_ids for each in got] == [each.token_ids for each in plain("person", 0.9)]


@pytest.mark.parametrize("name", ["constant", "independent", "beam"])
def test_drawn_drafts_give_the_same_distribution(name: str) -> None:
    """Frequencies of a small language against those of the plain loop, by a chi-square bound that a wrong rule fails:
    accepting every child gives the draft model's frequencies, which differ."""
    options: dict[str, Any] = {"regex": "[ab]{2}", "model": target(), "temperature": 2.0, "return_result": True}
    n = 250
    prompts = ["x"] * n
    counts = []
    for speculate in (None, Plan(DRAFTERS[name](), Fixed(8))):
        results = structgen.generate(prompts, seed=0 if speculate is None else 10_000, speculate=speculate, **options)
        texts = [result.text for result in results]
        counts.append(np.array([texts.count(each) for each in ("aa", "ab", "ba", "bb")]))
    assert sum(result.stats.num_accepted_tokens for result in results) > n / 8
    pooled = np.maximum((counts[0] + counts[1]) / 2, 1e-9)
    chi_square = float(sum(((count - pooled) ** 2 / pooled).sum() for count in counts))
    assert chi_square < 21.1  # 3 degrees of freedom: one in 10,000


@pytest.mark.parametrize("controller", [Goodput(), StopByRejection(0.8), Fixed(0), Fixed(1)])
def test_controllers_change_no_text(controller: Any) -> None:
    plan = Plan(Mixed([Forced(), Trigram()]), controller)
    for temperature in (0.0, 0.9):
        got = structgen.generate(
            PROMPTS, schema=PERSON, model=target(), speculate=plan, temperature=temperature, **OPTIONS
        )
        assert [each.token_ids for each in got] == [each.token_ids for each in plain("person", temperature)]


def test_drafters_that_are_not_told_of_the_grammar_change_no_text() -> None:
    for name in ("mixed", "draft model", "constant"):
        plan = Plan(DRAFTERS[name](), Fixed(12), constrain=False)
        got = structgen.generate(PROMPTS, schema=PERSON, model=target(), speculate=plan, **OPTIONS)
        assert [each.token_ids for each in got] == [each.token_ids for each in plain("person", 0.0)]


@pytest.mark.parametrize("name", ["person", "tree", "anything", "pattern"])
@pytest.mark.parametrize("max_new_tokens", [24, 33])
def test_the_budget_law_holds(name: str, max_new_tokens: int) -> None:
    """Texts close in time, at any temperature, also when a draft runs into the end of the budget."""
    plan = Plan(DRAFTERS["mixed"](), Fixed(24))
    for seed in range(2):
        options: dict[str, Any] = {"schema": SCHEMAS[name], "model": target(), "max_new_tokens": max_new_tokens}
        options |= {"temperature": 1.0, "seed": seed, "return_result": True}
        result = structgen.generate("Go", speculate=plan, **options)
        jsonschema.validate(result.value, SCHEMAS[name])
        assert result.stats.num_tokens <= max_new_tokens
        assert result.token_ids == structgen.generate("Go", **options).token_ids


def test_auto_streams_and_counts() -> None:
    values = list(
        structgen.generate("Go", schema=PERSON, model=target(), max_new_tokens=40, stream=True, speculate="auto")
    )
    assert values[-1] == structgen.generate("Go", schema=PERSON, model=target(), max_new_tokens=40)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="speculate is"):
        structgen.generate("x", schema=True, model=target(), speculate="always")
    with pytest.raises(TypeError, match="speculate is"):
        structgen.generate("x", schema=True, model=target(), speculate=3)
    with pytest.raises(SpeculationError, match="draws its nodes"):
        Mixed([Forced(), ConstantBranching(draft())])
    other = LlamaForCausalLM(LlamaConfig(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=1))
    with pytest.raises(SpeculationError, match="the draft model has 50 logits"):
        structgen.generate("x", schema=True, model=target(), speculate=DraftModel(other))


def test_a_model_in_training_precision_speculates_too() -> None:
    """In float32 rounding may decide between tokens; the text must be valid all the same."""
    model, tokenizer = make_tiny_model(seed=0)
    result = structgen.generate("Go", schema=PERSON, model=(model, tokenizer), max_new_tokens=40, speculate="auto")
    jsonschema.validate(result, PERSON)
    assert torch.get_num_threads() == 1
