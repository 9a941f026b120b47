"""Workers that are too slow, too large, or dead: each is recorded as such, and the next schema is measured."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_fakes import AbsentEngine, BrokenEngine, FakeEngine, case

from jsonschemabench.engines import EngineUnavailable
from jsonschemabench.exchange import Exchange
from jsonschemabench.fleet import LocalFleet
from jsonschemabench.lane import HarnessError, Lane
from jsonschemabench.measure import Bench, Event, measure_case
from jsonschemabench.outcome import Limits
from jsonschemabench.process import memory_is_watched
from jsonschemabench.record import Record, record_of
from jsonschemabench.tokenizer import Tokenizer

MakeLane = Callable[..., Lane]


def run(lane: Lane, schema: dict[str, Any]) -> Record:
    task = case("id", schema, (True, "abc"))
    return record_of("fake", task, lane.run(task), lane.limits)


def test_a_worker_is_killed_at_each_limit_and_the_next_schema_runs(make_lane: MakeLane) -> None:
    lane = make_lane(Limits(compile_s=0.3, schema_s=0.8))
    slow = run(lane, {"texts": ["abc"], "hang_compile": True})
    assert (slow.category, slow.ttfm_ns, slow.compiled) == ("timeout", 300_000_000, False)
    assert "0.3 s" in slow.detail and slow.seconds < 2
    stuck = run(lane, {"texts": ["abc"], "hang_mask": True})
    assert stuck.category == "timeout" and "0.8 s" in stuck.detail
    assert stuck.ttfm_ns is not None and stuck.ttfm_ns < 300_000_000
    assert run(lane, {"texts": ["abc"]}).category == "passing"


def test_what_was_measured_before_a_time_limit_is_kept(make_lane: MakeLane) -> None:
    lane = make_lane(Limits(compile_s=2, schema_s=1))
    task = case("id", {"texts": ["a", "abc"], "hang_mask": True}, (True, "a"), (True, "abc"))
    record = record_of("fake", task, lane.run(task), lane.limits)
    assert record.category == "timeout"
    assert [verdict.accepted for verdict in record.verdicts] == [True]


def test_deaths_are_crashes_with_their_last_words(make_lane: MakeLane) -> None:
    lane = make_lane()
    exited = run(lane, {"exit": 3})
    assert (exited.category, exited.detail) == ("crash", "exit status 3 last words")
    assert "SIGSEGV" in run(lane, {"signal": int(signal.SIGSEGV)}).detail
    assert run(lane, {"signal": int(signal.SIGKILL)}).category == "memory"  # so the system ends those that take all
    assert run(lane, {"memory_error": True}).category == "memory"
    assert run(lane, {"texts": ["abc"]}).category == "passing"


@pytest.mark.skipif(not memory_is_watched(), reason="resident memory cannot be told on this system")
def test_the_memory_limit(make_lane: MakeLane) -> None:
    # The worker is forked from this process, which may have grown large: limits follow what it was seen to hold.
    with_room = make_lane(Limits(compile_s=20, schema_s=20, memory_gib=64))
    record = run(with_room, {"texts": ["abc"], "hold_mib": 50})
    assert record.category == "passing" and record.peak_mib > 50
    tight = make_lane(Limits(compile_s=20, schema_s=20, memory_gib=(record.peak_mib + 100) / 1024))
    assert run(tight, {"texts": ["abc"], "hold_mib": 400}).category == "memory"
    assert run(tight, {"texts": ["abc"]}).category == "passing"


def test_refusals_do_not_cost_the_worker(make_lane: MakeLane) -> None:
    def pid(bench: Bench, task: Any) -> Iterator[Event]:
        yield {"event": "pid", "pid": os.getpid()}

    lane = make_lane(job=pid)
    first, second = (lane.run(None).events[0]["pid"] for _ in range(2))
    assert first == second != os.getpid()


@pytest.mark.parametrize("num_bytes", [0, 1 << 22], ids=["short", "longer-than-a-pipe"])
def test_the_next_task_lies_with_the_worker_before_the_last_has_ended(
    make_lane: MakeLane, tmp_path: Path, num_bytes: int
) -> None:
    """While its nursery is stopped nobody could hand it one."""

    def wait_and_tell(bench: Bench, task: tuple[str, bytes]) -> Iterator[Event]:
        name, content = task
        (tmp_path / name).write_text(str(os.getppid()))
        while name == "first" and not (tmp_path / "go").exists():
            time.sleep(0.01)
        yield {"event": name if len(content) == num_bytes else "cut"}

    lane = make_lane(job=wait_and_tell)
    lane.submit(("first", bytes(num_bytes)))
    lane.submit(("second", bytes(num_bytes)))
    nursery = _wait_for(tmp_path / "first")
    time.sleep(0.3)
    os.kill(nursery, signal.SIGSTOP)
    try:
        (tmp_path / "go").touch()
        _wait_for(tmp_path / "second")
    finally:
        os.kill(nursery, signal.SIGCONT)
    assert [lane.take().events[0]["event"] for _ in range(2)] == ["first", "second"]


def test_a_task_outlives_the_worker_that_it_was_handed_to(make_lane: MakeLane) -> None:
    lane = make_lane(Limits(compile_s=0.3, schema_s=0.8))
    schemas = [
        {"texts": ["abc"]},
        {"hang_compile": True},
        {"exit": 3},
        {"texts": ["abc"]},
        {"signal": 11},
        {"texts": []},
    ]
    tasks = [case(str(index), schema, (True, "abc")) for index, schema in enumerate(schemas)]
    for task in tasks:
        lane.submit(task)
    records = [record_of("fake", task, lane.take(), lane.limits) for task in tasks]
    assert [each.category for each in records] == ["passing", "timeout", "crash", "passing", "crash", "failing"]


def test_long_tasks_and_long_outcomes_do_not_wait_for_each_other(make_lane: MakeLane) -> None:
    """Four MiB each way: far more than a pipe holds."""

    def echo(bench: Bench, task: bytes) -> Iterator[Event]:
        yield {"event": "echo", "task": task}

    lane = make_lane(job=echo)
    tasks = [bytes([index]) * (1 << 22) for index in range(4)]
    for task in tasks:
        lane.submit(task)
    for _ in range(4):
        tasks.append(tasks[len(tasks) - 4][:-1])
        lane.submit(tasks[-1])
    assert [lane.take().events[0]["task"] for _ in tasks] == tasks


def test_few_tasks_are_for_all_workers(make_lane: MakeLane) -> None:
    def pid(bench: Bench, task: int) -> Iterator[Event]:
        yield {"event": "pid", "pid": os.getpid()}
        time.sleep(0.05)

    fleet = LocalFleet([make_lane(job=pid), make_lane(job=pid)])
    tasks_of = Counter(outcome.events[0]["pid"] for _, outcome in fleet.run(iter(range(4)), depth=4))
    assert list(tasks_of.values()) == [2, 2]


def test_a_nursery_that_dies_is_one_message(make_lane: MakeLane, tmp_path: Path) -> None:
    lane = make_lane(job=_hang)
    lane.submit(tmp_path / "pid")
    nursery = _wait_for(tmp_path / "pid.nursery")
    os.kill(nursery, signal.SIGSTOP)  # what is handed over now is never read
    lane.submit(tmp_path / "other")
    os.kill(nursery, signal.SIGKILL)
    with pytest.raises(HarnessError, match="supervising process died"):
        lane.take()
    with pytest.raises(HarnessError, match="supervising process died"):
        lane.submit(tmp_path / "third")


def test_an_event_that_was_not_written_to_its_end_was_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = pickle.dumps({"event": "cut", "text": "x" * 300})
    exchange = Exchange()
    for place in range(len(cut)):
        exchange.hand_over(place, pickle.dumps("task"))
        exchange.tell(place, {"event": "whole"})
        with monkeypatch.context() as patch:
            patch.setattr(pickle, "dumps", lambda event, length=place: cut[:length])
            exchange.tell(place, {"event": "cut"})
        assert (exchange.task(place), exchange.told(place)) == ("task", [{"event": "whole"}])
    exchange.close()


def test_a_fault_of_the_harness_is_not_the_engine_s(make_lane: MakeLane) -> None:
    def fault(bench: Bench, task: Any) -> Iterator[Event]:
        yield {"event": "compiled", "ttfm_ns": 1, "compile_ns": 1}
        raise ZeroDivisionError

    lane = make_lane(job=fault)
    with pytest.raises(HarnessError, match="ZeroDivisionError"):
        lane.run(None)


def test_an_engine_that_cannot_be_set_up_says_why(make_lane: MakeLane) -> None:
    with pytest.raises(EngineUnavailable, match="needs the package nowhere"):
        make_lane(engine=AbsentEngine)
    with pytest.raises(EngineUnavailable, match="ValueError: set-up went wrong"):
        make_lane(engine=BrokenEngine)


def test_a_lane_that_is_started_afresh_measures_the_same(tokenizer: Tokenizer) -> None:
    lane = Lane(FakeEngine, tokenizer, measure_case, Limits(compile_s=5, schema_s=10), spawned=True)
    try:
        assert lane.start().version == "1.0"
        assert run(lane, {"texts": ["abc"]}).category == "passing"
        assert run(lane, {"exit": 3}).ended == "crash"
        assert run(lane, {"texts": ["abc"]}).category == "passing"
    finally:
        lane.close()


def test_closing_a_busy_lane_ends_its_worker(make_lane: MakeLane, tmp_path: Path) -> None:
    lane = make_lane(job=_hang)
    lane.submit(tmp_path / "pid")
    pid = _wait_for(tmp_path / "pid")
    lane.close()
    for _ in range(100):
        if not _alive(pid):
            break
        time.sleep(0.02)
    assert not _alive(pid)


def _hang(bench: Bench, task: Path) -> Iterator[Event]:
    """Write down who the worker and its nursery are, and go no further."""
    yield {"event": "pid"}
    task.write_text(str(os.getpid()))
    task.with_suffix(".nursery").write_text(str(os.getppid()))
    time.sleep(60)


def _wait_for(path: Path) -> int:
    for _ in range(200):
        try:
            return int(path.read_text())
        except (OSError, ValueError):
            time.sleep(0.02)
    raise AssertionError("the worker did not start")


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
