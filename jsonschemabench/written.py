"""A row of ``efficiency`` and ``quality``: one text under one engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jsonschemabench.outcome import Limits, Outcome
from jsonschemabench.record import REFUSED
from jsonschemabench.runfile import Kind, Run
from jsonschemabench.writing import END, LENGTH, STUCK, Task


@dataclass(frozen=True, slots=True)
class Written:
    """One text under one engine. Times in nanoseconds; ``step_ns`` and ``engine_ns`` lack the first token's step."""

    engine: str
    id: str
    split: str
    ended: str
    """How the schema ended: done, refused, timeout, crash or memory."""
    detail: str = ""
    compile_ns: int | None = None
    ttft_ns: int | None = None
    """Compile + start + first mask + the prompt's forward pass + choice and commit of the first token."""
    step_ns: tuple[int, ...] = ()
    engine_ns: tuple[int, ...] = ()
    """The part of each step that is the engine's: mask and commit."""
    num_tokens: int = 0
    num_passes: int = 0
    num_forced: int = 0
    """Tokens to which the mask left no alternative."""
    finish: str = ""
    """end, length (cut at the limit) or stuck (the engine allowed or took no token)."""
    text: str = ""
    """Bytes that are not UTF-8 stand as the lone surrogates of ``surrogateescape``."""
    is_json: bool | None = None
    valid: bool | None = None
    error: str = ""

    @property
    def done(self) -> bool:
        """Whether a text was written, however it ended."""
        return self.ended == "done"

    @property
    def category(self) -> str:
        """The one word for this text: how it ended, or how its schema did where there is none."""
        return self.finish if self.done else self.ended

    @property
    def complete(self) -> bool:
        return self.done and self.finish == END

    @property
    def truncated(self) -> bool:
        return self.done and self.finish == LENGTH

    @property
    def stuck(self) -> bool:
        return self.done and self.finish == STUCK

    @classmethod
    def read(cls, row: dict[str, Any]) -> Written:
        """From the JSON of a line."""
        return cls(**{**row, "step_ns": tuple(row["step_ns"]), "engine_ns": tuple(row["engine_ns"])})


def written_of(engine: str, task: Task, outcome: Outcome, limits: Limits) -> Written:
    """Fold what a worker reported into one line; it is not judged yet."""
    events = {event["event"]: event for event in outcome.events}
    compiled, refused, text = events.get("compiled"), events.get("refused"), events.get("written")
    known: dict[str, Any] = {"compile_ns": compiled["compile_ns"] if compiled else None}
    if text is not None:
        known.update({name: text[name] for name in ("ttft_ns", "num_tokens", "num_passes", "num_forced", "finish")})
        known.update(text=text["text"], step_ns=tuple(text["step_ns"]), engine_ns=tuple(text["engine_ns"]))
    return Written(
        engine=engine,
        id=task.id,
        split=task.split,
        ended=REFUSED if refused else outcome.ended,
        detail=refused["reason"] if refused else (text["detail"] if text else outcome.detail),
        **known,
    )


WRITTEN = Kind("written", Written.read)
WrittenRun = Run[Written]


def common_ids(runs: Sequence[WrittenRun]) -> frozenset[str]:
    """The tasks for which every run has a text."""
    return frozenset.intersection(*(frozenset(text.id for text in run.rows if text.done) for run in runs))
