"""Where cases come from: a JSON-lines file, a MaskBench folder, a Hugging Face data set, or the embedded set."""

from __future__ import annotations

import functools
import gzip
import hashlib
import importlib
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from jsonschemabench.case import Case, case_from_row

EMBEDDED = Path(__file__).parent / "data" / "small.jsonl"
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


class DataProblem(Exception):
    """Data that cannot be read at all, and why. A single bad row is a ``Damage`` instead."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A row that was skipped: where, and why."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """All cases of a source, in the order of their ids, and the rows that were skipped."""

    source: str
    digest: str
    cases: tuple[Case, ...]
    damages: tuple[Damage, ...]


def load_dataset(source: str | None) -> Dataset:
    """Read a source: a path, ``owner/name[:config]`` on the Hugging Face hub, or None for the embedded set."""
    path = EMBEDDED if source is None else Path(source)
    if path.is_dir():
        rows = _folder_rows(path)
    elif path.is_file():
        rows = _line_rows(path)
    elif source is not None and HUB_NAME.fullmatch(source):
        rows = _hub_rows(source)
    else:
        raise DataProblem(f"there is no file or folder {source}")
    return _collect("embedded" if source is None else source, rows)


Row = tuple[str, str, Callable[[], Any]]
"""(where it stands, the id it has if it names none, what parses it)"""


def _collect(source: str, rows: Iterator[Row]) -> Dataset:
    cases: dict[str, Case] = {}
    damages: list[Damage] = []
    for where, default_id, parse in rows:
        try:
            case = case_from_row(parse(), default_id=default_id)
            if case.id in cases:
                raise ValueError(f"the id {case.id!r} was seen before")
        except (ValueError, RecursionError) as error:
            damages.append(Damage(where, str(error)))
        else:
            cases[case.id] = case
    if not cases:
        first = f"; the first fault: {damages[0].where}: {damages[0].reason}" if damages else ""
        raise DataProblem(f"{source} holds no cases{first}")
    ordered = tuple(cases[case_id] for case_id in sorted(cases))
    return Dataset(source, _digest(ordered), ordered, tuple(damages))


def _digest(cases: tuple[Case, ...]) -> str:
    content = hashlib.sha256()
    for case in cases:
        content.update(json.dumps([case.id, case.schema, [[i.valid, i.text] for i in case.instances]]).encode())
    return content.hexdigest()[:16]


def _line_rows(path: Path) -> Iterator[Row]:
    with open(path, "rb") as raw:
        gzipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        lines: IO[bytes] = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if gzipped else raw
        try:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"{path.name} line {number}", f"line_{number}", functools.partial(json.loads, line)
        except (OSError, EOFError, zlib.error) as error:
            yield f"{path.name}, compressed data", "", _raiser(f"the file ends early or is damaged: {error}")


def _raiser(reason: str) -> Callable[[], Any]:
    def parse() -> Any:
        raise ValueError(reason)

    return parse


def _folder_rows(path: Path) -> Iterator[Row]:
    for file in sorted(path.rglob("*.json")):
        yield str(file.relative_to(path)), file.stem, functools.partial(_json_file, file)


def _json_file(file: Path) -> Any:
    return json.loads(file.read_bytes())


def _hub_rows(source: str) -> Iterator[Row]:
    """JSONSchemaBench on the hub has schemas (as text) and no instances: only compile and first mask are measured."""
    try:
        hub = importlib.import_module("datasets")
    except ImportError as error:
        raise DataProblem(
            f"{source} is not a path, and reading it from the Hugging Face hub needs the package datasets "
            f"(pip install datasets): {error}"
        ) from error
    name, _, config = source.partition(":")
    configs = [config] if config else [each for each in hub.get_dataset_config_names(name) if each != "default"]
    for each in configs:
        for part, rows in hub.load_dataset(name, each).items():
            for number, row in enumerate(rows):
                where = f"{name} {each}/{part} row {number}"
                yield where, f"{each}---{part}-{number}", functools.partial(_hub_row, row, each)


def _hub_row(row: dict[str, Any], split: str) -> dict[str, Any]:
    if "json_schema" not in row:
        return {"split": split, **row}
    schema = json.loads(row["json_schema"])
    identity = {"id": str(row["unique_id"])} if "unique_id" in row else {}
    return {**identity, "split": split, "schema": schema, "tests": []}
