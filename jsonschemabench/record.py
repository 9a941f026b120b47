"""What a run leaves behind: a header and one record a schema, as JSON lines that a later run can be compared with.

Times are kept one by one, in nanoseconds: percentiles of runs that were merged are then exact.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jsonschemabench.lane import Outcome
from jsonschemabench.measure import NUM_SLOWEST

FORMAT = 1
"""Version of the lines below; a file of another version is not read."""

PASSING, REFUSED, TIMEOUT, CRASH, MEMORY, FAILING = "passing", "refused", "timeout", "crash", "memory", "failing"


@dataclass(frozen=True, slots=True)
class Header:
    """What was run on what. Runs whose headers agree in ``identity()`` may be continued one by the other."""

    command: str
    engine: str
    version: str
    options: str
    tokenizer: dict[str, Any]
    data: dict[str, Any]
    limits: dict[str, Any]
    machine: dict[str, Any]
    started: str
    setup: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """The part that two runs must share for one to go on where the other stopped."""
        both = {name: getattr(self, name) for name in ("command", "engine", "version", "options", "limits")}
        return {**both, "tokenizer": self.tokenizer["digest"], "data": self.data["digest"]}


@dataclass(frozen=True, slots=True)
class Verdict:
    """One instance of a compiled schema."""

    valid: bool
    accepted: bool
    num_tokens: int
    num_read: int
    error: str = ""
    disagree: bool = False
    cut: bool = False

    @property
    def right(self) -> bool:
        return self.valid == self.accepted and not self.error


@dataclass(frozen=True, slots=True)
class Record:
    """One schema under one engine. ``mask_ns`` is one list an instance; the first lacks the mask that is in TTFM."""

    engine: str
    id: str
    split: str
    ended: str
    """How it ended: done, refused, timeout, crash or memory."""
    detail: str = ""
    by_exception: bool = False
    ttfm_ns: int | None = None
    compile_ns: int | None = None
    verdicts: tuple[Verdict, ...] = ()
    mask_ns: tuple[tuple[int, ...], ...] = ()
    slowest: tuple[dict[str, Any], ...] = ()
    seconds: float = 0.0
    peak_mib: float = 0.0
    switches: int = 0

    @property
    def category(self) -> str:
        """The one word for this schema; ``failing`` is compiled, judged, and wrong or in error somewhere."""
        if self.ended != "done":
            return self.ended
        return PASSING if all(verdict.right for verdict in self.verdicts) else FAILING

    @property
    def compiled(self) -> bool:
        """Whether the engine compiled it and lived through all its instances."""
        return self.ended == "done"


def record_of(engine: str, case_id: str, split: str, outcome: Outcome, compile_limit_s: float) -> Record:
    """Fold what a worker reported into a record. A schema that did not compile in time counts as the limit."""
    compiled = next((event for event in outcome.events if event["event"] == "compiled"), None)
    refused = next((event for event in outcome.events if event["event"] == "refused"), None)
    instances = [event for event in outcome.events if event["event"] == "instance"]
    slowest = [{"instance": index, **mask} for index, instance in enumerate(instances) for mask in instance["slowest"]]
    slowest.sort(key=lambda mask: -mask["ns"])
    ttfm_ns = compiled["ttfm_ns"] if compiled else None
    if outcome.ended == TIMEOUT and compiled is None:
        ttfm_ns = round(compile_limit_s * 1e9)
    return Record(
        engine=engine,
        id=case_id,
        split=split,
        ended=REFUSED if refused else outcome.ended,
        detail=refused["reason"] if refused else outcome.detail,
        by_exception=bool(refused and refused["by_exception"]),
        ttfm_ns=ttfm_ns,
        compile_ns=compiled["compile_ns"] if compiled else None,
        verdicts=tuple(Verdict(**{name: event[name] for name in _VERDICT_FIELDS}) for event in instances),
        mask_ns=tuple(tuple(event["mask_ns"]) for event in instances),
        slowest=tuple(slowest[:NUM_SLOWEST]),
        seconds=round(outcome.seconds, 4),
        peak_mib=round(outcome.peak_mib, 1),
        switches=outcome.switches,
    )


_VERDICT_FIELDS = tuple(Verdict.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Run:
    """A header with its records; ``damages`` are the lines of its file that could not be read."""

    header: Header
    records: tuple[Record, ...]
    damages: tuple[str, ...] = ()


def header_line(header: Header) -> str:
    return json.dumps({"format": FORMAT, "header": asdict(header)}, ensure_ascii=False)


def record_line(record: Record) -> str:
    return json.dumps({"record": asdict(record)}, ensure_ascii=False, separators=(",", ":"))


def read_runs(path: Path) -> list[Run]:
    """The runs of a file, or of all ``*.jsonl`` in a folder. A damaged line is skipped and named in ``damages``."""
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    headers: dict[str, Header] = {}
    records: dict[str, dict[str, Record]] = {}
    damages: dict[str, list[str]] = {}
    for file in files:
        engine = ""
        for number, line in _lines(file):
            try:
                row = json.loads(line)
                if "header" in row:
                    if row["format"] != FORMAT:
                        raise ValueError(f"format {row['format']}, this version reads {FORMAT}")
                    header = Header(**row["header"])
                    engine = header.engine
                    headers.setdefault(engine, header)
                else:
                    record = _record_from(row["record"])
                    records.setdefault(record.engine, {})[record.id] = record
            except (ValueError, KeyError, TypeError) as error:
                damages.setdefault(engine, []).append(f"{file.name} line {number}: {type(error).__name__}: {error}")
    return [
        Run(header, tuple(records.get(engine, {}).values()), tuple(damages.get(engine, ())))
        for engine, header in headers.items()
    ]


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    with open(file, encoding="utf-8", errors="replace") as lines:
        yield from ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _record_from(row: dict[str, Any]) -> Record:
    verdicts = tuple(Verdict(**verdict) for verdict in row["verdicts"])
    mask_ns = tuple(tuple(times) for times in row["mask_ns"])
    return Record(**{**row, "verdicts": verdicts, "mask_ns": mask_ns, "slowest": tuple(row["slowest"])})


class RunFile:
    """A JSON-lines file that runs are written to, a line at a time, so that an interruption loses nothing."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        broken = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115, closed by close()
        if broken:  # the last line was cut off; ours must not be glued to it
            self._file.write("\n")

    def write(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()
