"""`python -m structgen.grammar.forms`: write the forms of the shipped grammars anew, where they have changed.

With `--check` nothing is written: what is stale is named, and the exit status is 1.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import unicodedata
import zlib
from pathlib import Path
from typing import Any

from structgen.grammar import dialects, saved, shipped


def fresh_form(name: str) -> bytes:
    """The form of a shipped grammar, read from its text."""
    dialect, start, lexer = shipped.OPTIONS
    grammar = dialects.read_grammar(shipped.load_grammar(name), dialect=dialect, start=start)
    return saved.dump(dialects.scanned(grammar, lexer=lexer))


def kept_form(folder: Path, name: str) -> bytes | None:
    """The form of a grammar in a folder; None if it is not there or damaged."""
    try:
        return gzip.decompress((folder / f"{name}.json.gz").read_bytes())
    except (OSError, EOFError, zlib.error):
        return None


def manifest() -> dict[str, Any]:
    """What the manifest must say for the present sources and texts."""
    sources = saved.own_sources()
    assert sources is not None, "this package has no source files"
    forms = {name: shipped.text_key(shipped.load_grammar(name), *shipped.OPTIONS) for name in shipped.list_grammars()}
    return {"sources": sources.hex(), "unicode": unicodedata.unidata_version, "forms": forms}


def write_forms(folder: Path) -> list[str]:
    """Bring a folder up to date; the names of the files that were not. Equal grammars give equal bytes."""
    folder.mkdir(exist_ok=True)
    changed = []
    for name in shipped.list_grammars():
        form = fresh_form(name)
        if kept_form(folder, name) != form:  # what another zlib packed differently is not another form
            _replace(folder / f"{name}.json.gz", gzip.compress(form, 9, mtime=0))
            changed.append(f"{name}.json.gz")
    for file in folder.glob("*.json.gz"):
        if file.name.removesuffix(".json.gz") not in shipped.list_grammars():
            file.unlink()
            changed.append(file.name)
    now = manifest()
    if shipped.read_manifest(folder) != now:
        _replace(folder / shipped.MANIFEST, (json.dumps(now, indent=1) + "\n").encode())
        changed.append(shipped.MANIFEST)
    return changed


def _replace(file: Path, data: bytes) -> None:
    part = file.with_name(file.name + ".part")
    part.write_bytes(data)
    os.replace(part, file)


def main(arguments: list[str]) -> int:
    """The command; its exit status."""
    folder = shipped.forms_folder()
    if arguments == ["--check"]:
        if shipped.read_manifest(folder) == manifest():
            return 0
        print("the forms of the shipped grammars are stale: run `make forms`", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    for name in write_forms(folder):
        print(f"written: {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
