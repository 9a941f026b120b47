"""The grammars that ship with structgen: the package `structgen_grammars`, or its folder beside a source tree."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import cast


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
