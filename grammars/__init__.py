"""The grammars that ship with structgen, as text: one `.lark` file each in this folder.

`forms/` holds what structgen makes of each when it reads it.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
FORMS = _FOLDER / "forms"


def list_grammars() -> list[str]:
    """The names of the grammars that `load_grammar` knows, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.lark"))


def load_grammar(name: str) -> str:
    """The text of one shipped grammar. Raises `KeyError`, naming what there is, if there is none of that name."""
    if name not in list_grammars():
        raise KeyError(f"no grammar called {name!r}; there is: {', '.join(list_grammars()) or 'none'}")
    return (_FOLDER / f"{name}.lark").read_text(encoding="utf-8")
