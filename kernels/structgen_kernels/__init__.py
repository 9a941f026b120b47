"""Kernels of structgen: loops over arrays, compiled by numba. This package never imports structgen.

They are compiled when their modules are imported, and kept in numba's cache: the first use ever takes half a minute
(36 s measured on a slow core), and says so; later processes load them in about a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from numba.core import config


def _is_cached() -> bool:
    """Whether the largest kernel is in numba's cache (of any numba version: a notice is all that hangs on it)."""
    folder = Path(config.CACHE_DIR) if config.CACHE_DIR else Path(__file__).parent / "__pycache__"
    return next(folder.rglob("masks.fill_mask-*.nbi"), None) is not None


if not _is_cached():
    print("structgen: compiling kernels for the first use; this takes about half a minute, once", file=sys.stderr)
