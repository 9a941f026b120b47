"""What a run with a model leaves behind: a header and one line a text, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jsonschemabench.lane import Outcome
from jsonschemabench.record import FORMAT, REFUSED, Header
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
    def complete(self) -> bool:
        return self.done and self.finish == END

    @property
    def truncated(self) -> bool:
        return self.done and self.finish == LENGTH

    @property
    def stuck(self) -> bool:
        return self.done and self.finish == STUCK


def written_of(engine: str, task: Task, outcome: Outcome) -> Written:
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


@dataclass(frozen=True, slots=True)
class WrittenRun:
    """A header with its texts; ``damages`` are the lines of its file that could not be read."""

    header: Header
    texts: tuple[Written, ...]
    damages: tuple[str, ...] = ()


def written_line(text: Written) -> str:
    return json.dumps({"written": asdict(text)}, separators=(",", ":"))


def file_of(out: Path, engine: str) -> Path:
    """The file of an engine's run: ``out`` itself where it names one file, else one in that folder."""
    return out if out.suffix == ".jsonl" else out / f"{engine}.jsonl"


def read_written(file: Path) -> list[WrittenRun]:
    """The runs of one file. A damaged line is skipped and named in ``damages``."""
    headers: dict[str, Header] = {}
    texts: dict[str, dict[str, Written]] = {}
    damages: list[str] = []
    with open(file, encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                if "header" in row:
                    if row["format"] != FORMAT:
                        raise ValueError(f"format {row['format']}, this version reads {FORMAT}")
                    header = Header(**row["header"])
                    headers.setdefault(header.engine, header)
                else:
                    text = _written_from(row["written"])
                    texts.setdefault(text.engine, {})[text.id] = text
            except (ValueError, KeyError, TypeError) as error:
                damages.append(f"{file.name} line {number}: {type(error).__name__}: {error}")
    return [
        WrittenRun(header, tuple(texts.get(engine, {}).values()), tuple(damages)) for engine, header in headers.items()
    ]


def _written_from(row: dict[str, Any]) -> Written:
    return Written(**{**row, "step_ns": tuple(row["step_ns"]), "engine_ns": tuple(row["engine_ns"])})


def common_ids(runs: Sequence[WrittenRun]) -> frozenset[str]:
    """The tasks for which every run has a text."""
    return frozenset.intersection(*(frozenset(text.id for text in run.texts if text.done) for run in runs))
