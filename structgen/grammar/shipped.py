"""The grammars that ship with structgen: the package `structgen_grammars`, or its folder beside a source tree.

Their forms ship, too, so that nobody waits for them to be read. A manifest says which source files they were made with
(`saved.sources_digest`, without the versions of lark, regex and Python: a form is data, and good on all of them) and of
which text and options each is. With other sources, as in a checkout that is being edited, no form is used at all.
`forms` writes them.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, cast

from structgen.grammar import saved
from structgen.grammar.scanned import Lines, Scanned

MANIFEST = "manifest.json"
OPTIONS = ("lark", None, "contextual")
"""Dialect, start and lexer of the forms that ship."""
_GZIP = 16 + zlib.MAX_WBITS


@cache
def _package() -> ModuleType:
    beside = Path(__file__).resolve().parents[2] / "grammars" / "__init__.py"
    if not beside.exists():
        return import_module("structgen_grammars")
    spec = spec_from_file_location("structgen_grammars", beside, submodule_search_locations=[str(beside.parent)])
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def list_grammars() -> list[str]:
    """The names of the grammars that ship with structgen, sorted."""
    return cast("list[str]", _package().list_grammars())


def load_grammar(name: str) -> str:
    """The text of a shipped grammar, in Lark's dialect. Raises `KeyError`, which names them all."""
    return cast(str, _package().load_grammar(name))


def forms_folder() -> Path:
    """Where the forms of the shipped grammars are."""
    return cast(Path, _package().FORMS)


def find_shipped(*what: object) -> Scanned | Lines | None:
    """The grammar with these text and options, if it ships with a form that the present sources made."""
    name = _forms().get(text_key(*what))
    if name is None:
        return None
    try:
        data = zlib.decompress((forms_folder() / f"{name}.json.gz").read_bytes(), _GZIP)
    except (OSError, zlib.error):
        return None
    return saved.load_sound(data)


def text_key(*what: object) -> str:
    """A digest of a grammar's text and options."""
    return hashlib.blake2b(repr(what).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of forms: `sources` (a digest), `unicode` (the version of its tables), `forms` (name →
    `text_key`); empty if there is none."""
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@cache
def _forms() -> Mapping[str, str]:
    """Names by `text_key`; empty where the forms are of other sources."""
    manifest = read_manifest(forms_folder())
    sources = saved.own_sources()
    if sources is None or manifest.get("sources") != sources.hex():
        return MappingProxyType({})
    return MappingProxyType({key: name for name, key in manifest["forms"].items()})
