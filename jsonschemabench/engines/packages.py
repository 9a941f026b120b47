"""Finding the optional packages that engines need, with one wording for all of them when one is missing."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as distribution_version
from types import ModuleType

from jsonschemabench.engines.base import EngineUnavailable

INSTALL = "pip install 'structgen[bench]'"


def require(engine: str, module: str, distribution: str) -> ModuleType:
    """Import ``module`` for ``engine``. Raises ``EngineUnavailable`` with the command that installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise EngineUnavailable(
            f"engine {engine!r} needs the package {distribution}, which cannot be imported here ({error}). "
            f"Try: {INSTALL}, or: pip install {distribution}"
        ) from error


def installed_version(engine: str, distribution: str) -> str:
    """The version of an installed distribution. Raises ``EngineUnavailable``."""
    try:
        return distribution_version(distribution)
    except PackageNotFoundError:
        raise EngineUnavailable(
            f"engine {engine!r} needs the package {distribution}, which is not installed. "
            f"Try: {INSTALL}, or: pip install {distribution}"
        ) from None
