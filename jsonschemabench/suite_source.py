"""Reading the official JSON Schema Test Suite: a ``.tar.gz``, a folder, or a git checkout of it.

Each group of a file becomes a case. A schema that names no ``$schema`` is given its draft's, the same for every engine,
since that is how a document says which draft it is written in.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from jsonschemabench.case import Case, Instance, digest_of, instance_text

REMOTES_BASE = "http://localhost:1234/"
"""The address that the suite's schemas expect its ``remotes`` folder to be served at."""

DRAFTS = {
    "4": ("draft4", "http://json-schema.org/draft-04/schema#"),
    "6": ("draft6", "http://json-schema.org/draft-06/schema#"),
    "7": ("draft7", "http://json-schema.org/draft-07/schema#"),
    "2019-09": ("draft2019-09", "https://json-schema.org/draft/2019-09/schema"),
    "2020-12": ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
}


class SuiteProblem(Exception):
    """A test suite that cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The groups of one draft as cases (``split`` is the keyword's file) and the documents that ``$ref`` may reach."""

    draft: str
    cases: tuple[Case, ...]
    remotes: dict[str, Any]

    @property
    def digest(self) -> str:
        """The same for the same groups and documents."""
        return digest_of(self.cases, self.remotes)


def load_suite(source: Path, draft: str, *, optional: bool = False, formats: bool = False) -> Suite:
    """Read a draft's required tests; ``optional`` adds ``optional/``, ``formats`` adds ``optional/format/``."""
    if draft not in DRAFTS:
        raise SuiteProblem(f"there is no draft {draft!r}; known are {', '.join(DRAFTS)}")
    folder, dialect = DRAFTS[draft]
    files = dict(_json_files(source))
    cases: list[Case] = []
    for path, content in sorted(files.items()):
        parts = PurePosixPath(path).parts
        if parts[:2] != ("tests", folder):
            continue
        where = parts[2:-1]
        if where == () or (optional and where == ("optional",)) or (formats and where == ("optional", "format")):
            cases += _cases("/".join([*where, PurePosixPath(path).stem]), content, dialect)
    if not cases:
        known = sorted({PurePosixPath(path).parts[1] for path in files if path.startswith("tests/")})
        raise SuiteProblem(f"{source} has no tests/{folder}; it has {', '.join(known) or 'no tests folder'}")
    remotes = {
        REMOTES_BASE + path.removeprefix("remotes/"): _parse(path, content)
        for path, content in sorted(files.items())
        if path.startswith("remotes/")
    }
    return Suite(draft, tuple(cases), remotes)


def _cases(name: str, content: bytes, dialect: str) -> Iterator[Case]:
    for number, group in enumerate(_parse(name, content)):
        schema = group["schema"]
        if isinstance(schema, dict) and "$schema" not in schema:
            schema = {"$schema": dialect, **schema}
        instances = tuple(Instance(test["valid"], instance_text(test["data"])) for test in group["tests"])
        yield Case(f"{name}/{number:03d} {group['description']}", name, schema, instances)


def _parse(name: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise SuiteProblem(f"{name} is not JSON: {error}") from error


def _json_files(source: Path) -> Iterator[tuple[str, bytes]]:
    """(path below the suite's root, content) of every JSON file under ``tests`` and ``remotes``."""
    if source.is_dir():
        for top in ("tests", "remotes"):
            for file in sorted((source / top).rglob("*.json")):
                yield file.relative_to(source).as_posix(), file.read_bytes()
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                path = _below_root(member.name)
                if member.isfile() and path is not None and path.endswith(".json"):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield path, content.read()
    except (OSError, tarfile.TarError) as error:
        raise SuiteProblem(f"{source} is neither a folder nor a readable tar file: {error}") from error


def _below_root(name: str) -> str | None:
    """``./x/tests/draft7/a.json`` → ``tests/draft7/a.json``."""
    parts = PurePosixPath(name).parts
    for index, part in enumerate(parts):
        if part in ("tests", "remotes"):
            return "/".join(parts[index:])
    return None
