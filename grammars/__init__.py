"""The grammars that ship with structgen, as text: one `.lark` file each in this folder."""

from __future__ import annotations

from importlib.resources import files


def names() -> list[str]:
    """The names of the grammars that `load` knows, sorted."""
    return sorted(
        entry.name.removesuffix(".lark") for entry in files(__name__).iterdir() if entry.name.endswith(".lark")
    )


def load(name: str) -> str:
    """The text of one shipped grammar. Raises `KeyError`, naming what there is, if there is none of that name."""
    if name not in names():
        raise KeyError(f"no grammar called {name!r}; there is: {', '.join(names()) or 'none'}")
    return (files(__name__) / f"{name}.lark").read_text(encoding="utf-8")
