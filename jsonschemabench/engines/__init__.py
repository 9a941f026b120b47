"""The engines by name. Each lives in a module of its own that is imported only when the engine is asked for."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points

from jsonschemabench.engines.base import Compiled, Engine, EngineUnavailable, Refused, Session, Settings

ENTRY_POINT_GROUP = "jsonschemabench.engines"

BUILT_IN = {
    "structgen": "jsonschemabench.engines.structgen:StructgenEngine",
    "llguidance": "jsonschemabench.engines.llguidance:LlguidanceEngine",
    "xgrammar": "jsonschemabench.engines.xgrammar:XgrammarEngine",
    "xgrammar-compliant": "jsonschemabench.engines.xgrammar:XgrammarCompliantEngine",
    "outlines-core": "jsonschemabench.engines.outlines_core:OutlinesCoreEngine",
    "lm-format-enforcer": "jsonschemabench.engines.lmformatenforcer:LmFormatEnforcerEngine",
}


def engine_names() -> list[str]:
    """The built-in engines, then those that installed packages add."""
    added = [point.name for point in entry_points(group=ENTRY_POINT_GROUP) if point.name not in BUILT_IN]
    return [*BUILT_IN, *sorted(added)]


def make_engine(name: str) -> Engine:
    """The engine of that name, not yet set up. Raises ``EngineUnavailable``."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        engine: Engine = getattr(importlib.import_module(module), attribute)()
        return engine
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            try:
                engine = point.load()()
            except Exception as error:
                raise EngineUnavailable(
                    f"engine {name!r} ({point.value}) failed to load: {type(error).__name__}: {error}"
                ) from error
            return engine
    raise EngineUnavailable(f"there is no engine {name!r}; known are: {', '.join(engine_names())}")


__all__ = [
    "Compiled",
    "Engine",
    "EngineUnavailable",
    "Refused",
    "Session",
    "Settings",
    "engine_names",
    "make_engine",
]
