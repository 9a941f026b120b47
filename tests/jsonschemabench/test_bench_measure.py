"""The verdicts and which masks are timed, on one case in this process."""

from __future__ import annotations

from typing import Any

import pytest
from bench_fakes import case

from jsonschemabench.case import Case
from jsonschemabench.measure import Bench, measure_case


def judge(bench: Bench, schema: dict[str, Any], text: str, valid: bool = True) -> dict[str, Any]:
    """The event of the second of two equal instances: the first has its first mask in TTFM."""
    events = list(measure_case(bench, case("id", schema, (valid, text), (valid, text))))
    assert [event["event"] for event in events] == ["compiled", "instance", "instance"]
    first, second = events[1:]
    for name in ("accepted", "num_read", "error", "disagree"):
        assert first[name] == second[name]
    return second


def test_accepted_needs_every_token_and_an_end(bench: Bench) -> None:
    texts = {"texts": ["abcd", "x"]}
    assert judge(bench, texts, "abcd")["accepted"]
    prefix = judge(bench, texts, "abc")
    assert (prefix["accepted"], prefix["num_read"], prefix["disagree"]) == (False, 2, False)
    wrong = judge(bench, texts, "abz")
    assert (wrong["accepted"], wrong["num_read"]) == (False, 1)
    assert not judge(bench, {**texts, "never_ends": True}, "abcd")["accepted"]


def test_the_empty_text(bench: Bench) -> None:
    assert judge(bench, {"texts": [""]}, "")["accepted"]
    assert not judge(bench, {"texts": ["a"]}, "")["accepted"]


def test_every_mask_is_timed_once_and_the_first_belongs_to_ttfm(bench: Bench) -> None:
    compiled, first, second, stopped = measure_case(
        bench, case("id", {"texts": ["abcd"]}, (True, "abcd"), (True, "abcd"), (False, "abz!"))
    )
    assert compiled["ttfm_ns"] > compiled["compile_ns"] > 0
    assert (len(first["mask_ns"]), first["first_in_ttfm"]) == (2, True)  # ab, c, d
    assert (len(second["mask_ns"]), second["first_in_ttfm"]) == (3, False)
    assert len(stopped["mask_ns"]) == 2  # ab, and the mask that forbids z
    assert {mask["token"] for mask in first["slowest"]} == {1, 2}
    assert {(mask["token"], mask["tail"]) for mask in second["slowest"]} == {(0, ""), (1, "ab"), (2, "abc")}


def test_mask_and_commit_that_disagree_are_counted_both_ways(bench: Bench) -> None:
    allowed_not_taken = judge(bench, {"texts": ["abc"], "mask_lies": True}, "abz")
    assert (allowed_not_taken["accepted"], allowed_not_taken["disagree"], allowed_not_taken["num_read"]) == (
        False,
        True,
        1,
    )
    taken_not_allowed = judge(bench, {"texts": ["abc"], "commit_lies": True}, "abz")
    assert (taken_not_allowed["accepted"], taken_not_allowed["disagree"]) == (False, True)
    task = case("id", {"texts": ["abc"], "commit_lies": True}, (True, "azzb"))
    _, stopped = measure_case(bench, task)
    _, trusted = measure_case(bench, task, trust_commit=True)
    assert (stopped["num_read"], len(stopped["mask_ns"])) == (1, 1)  # the first mask is in TTFM
    assert (trusted["num_read"], len(trusted["mask_ns"]), trusted["disagree"]) == (4, 3, True)


def test_run_time_errors_are_never_acceptance(bench: Bench) -> None:
    raised = judge(bench, {"texts": ["abcd"], "fail_at": 2}, "abcd")
    assert (raised["accepted"], raised["error"]) == (False, "RuntimeError: the mask failed")
    broken = judge(bench, {"texts": ["abcd"], "broken_at": 3}, "abcd")
    assert (broken["accepted"], broken["error"]) == (False, "too complex")


@pytest.mark.parametrize(
    ("schema", "reason", "by_exception"),
    [
        ({"refuse": "no"}, "no", False),
        ({"raise": "x"}, "KeyError: 'x'", True),
        ({"fail_at": 0}, "RuntimeError: the mask failed", True),
        ({"broken_at": 0}, "first mask: too complex", True),
    ],
)
def test_refusals(bench: Bench, schema: dict[str, Any], reason: str, by_exception: bool) -> None:
    (event,) = measure_case(bench, Case("id", "split", schema, ()))
    assert event == {"event": "refused", "reason": reason, "by_exception": by_exception}


def test_a_text_that_is_cut_needs_no_end(bench: Bench) -> None:
    _, event = measure_case(bench, case("id", {"texts": ["abcdef"]}, (True, "abcdef")), max_tokens=3)
    assert (event["accepted"], event["cut"], event["num_tokens"], len(event["mask_ns"])) == (True, True, 3, 2)
