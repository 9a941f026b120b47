"""Where cases come from: a JSON-lines file, a MaskBench folder, a Hugging Face data set, or the embedded set."""

from __future__ import annotations

import functools
import gzip
import importlib
import json
import operator
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar, cast

from jsonschemabench.case import Case, case_from_row, digest_of

EMBEDDED = Path(__file__).parent / "data" / "small.jsonl"
AnswerT = TypeVar("AnswerT")
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
    """Read a source: a path, ``owner/name[:config]`` on the Hugging Face hub, or None for the embedded set.

    A folder is MaskBench's, one JSON file a schema, or a copy of a data set of the hub, with its parquet files.
    """
    path = EMBEDDED if source is None else Path(source)
    if path.is_dir():
        is_hub_copy = next(path.rglob("*.parquet"), None) is not None
        rows = _hub_rows(str(source), str(path), "") if is_hub_copy else _folder_rows(path)
    elif path.is_file():
        rows = line_rows(path)
    elif source is not None and HUB_NAME.fullmatch(source):
        name, _, config = source.partition(":")
        rows = _hub_rows(source, name, config)
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
    return Dataset(source, digest_of(ordered), ordered, tuple(damages))


def line_rows(path: Path) -> Iterator[Row]:
    """The lines of a file, gzipped or not, that are not blank."""
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


def from_hub(source: str, ask: Callable[[Any], AnswerT]) -> AnswerT:
    """What ``ask`` gets out of the package ``datasets``. Raises ``DataProblem`` where it gets nothing."""
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise DataProblem(
            f"{source} is a data set of the Hugging Face hub, which needs the package datasets ({error}). "
            "Try: pip install 'structgen[datasets]', or name a file or folder with --data"
        ) from error
    try:
        return ask(library)
    except (
        OSError,
        ValueError,
        RuntimeError,
        EOFError,
    ) as error:  # all that it raises: not found, no network, bad data
        said = " ".join(str(error).split())[:300]
        raise DataProblem(f"{source} cannot be loaded: {type(error).__name__}: {said}") from error


def _hub_rows(source: str, name: str, config: str) -> Iterator[Row]:
    """JSONSchemaBench on the hub has schemas (as text) and no instances: only compile and first mask are measured."""
    configs = from_hub(source, operator.methodcaller("get_dataset_config_names", name))
    if config and config not in configs:
        raise DataProblem(f"{name} has no part {config!r}; it has {', '.join(configs)}")
    # "default" holds the rows of all others once more.
    for each in [config] if config else [each for each in configs if each != "default"] or configs:
        for part, rows in from_hub(source, operator.methodcaller("load_dataset", name, each)).items():
            for number, row in enumerate(rows):
                where = f"{Path(name).name} {each}/{part} row {number}"
                yield where, f"{each}---{part}-{number}", functools.partial(_hub_row, row, each)


def _hub_row(row: dict[str, Any], split: str) -> dict[str, Any]:
    if "json_schema" not in row:
        return {"split": split, **row}
    schema = json.loads(row["json_schema"])
    identity = {"id": str(row["unique_id"])} if "unique_id" in row else {}
    return {**identity, "split": split, "schema": schema, "tests": []}
