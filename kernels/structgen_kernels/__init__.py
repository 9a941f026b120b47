"""Kernels of structgen: loops over arrays, compiled by numba. This package never imports structgen.

They are compiled when their modules are imported, and kept in numba's cache: the first use ever takes half a minute
(36 s measured on a slow core), and says so; later processes load them in about a second. One process compiles while
others wait: numba's cache is not safe when several write it (numba issue 4807).

Numba asks only whether the file of a function has changed. Kernels of one file are compiled into those of another, so
the cache is given up as a whole when any file of this package changes.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from numba.core import config

_CORE = ("masks", "tree_masks", "bitmask")  # what the engine imports; everything else is compiled along with these


def _sources() -> str:
    """What tells one state of the sources from another."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    parts = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process is in here with the same folder (where files can be locked)."""
    try:
        import fcntl
    except ImportError:  # not POSIX: as safe as numba itself
        yield
        return
    with (folder / "structgen.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prepare() -> None:
    """Compile the kernels unless numba's cache has them as they are now."""
    own = Path(__file__).parent / "__pycache__"
    folder = Path(config.CACHE_DIR) if config.CACHE_DIR else own
    stamp, sources = folder / "structgen.stamp", _sources()
    try:
        if stamp.exists() and stamp.read_text() == sources:
            return
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            if stamp.exists() and stamp.read_text() == sources:
                return
            for file in folder.rglob("*.nb[ic]"):
                if file.parent == own or file.parent.name.startswith("structgen_kernels"):
                    file.unlink(missing_ok=True)
            print(
                "structgen: compiling kernels for the first use; this takes about half a minute, once", file=sys.stderr
            )
            for name in _CORE:
                import_module(f"{__name__}.{name}")
            stamp.write_text(sources)
    except OSError:  # a folder that cannot be written: numba finds another one, or compiles every time
        print("structgen: compiling kernels; no cache can be written beside the package", file=sys.stderr)


_prepare()
