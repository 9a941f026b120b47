"""Kernels of structgen: loops over arrays, compiled by numba. This package never imports structgen.

They are compiled once for a machine and kept in numba's cache (see `jit`): the first engine ever takes half a
minute (`prepare`) and says so; later processes load each kernel when they call it first, some milliseconds each.
Two processes compile, while others wait for them.
"""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path

import llvmlite
import llvmlite.binding
import numba
from numba.core import config

from structgen_kernels import jit

# What the engine calls, modules or single kernels, shared out to two processes so that they take about as long and what
# both need is there when the second asks for it: the state machine (10 of 30 s) when the other process comes to
# `lives_below`. Everything else (the kernels of verification, of sampling) is compiled when it is called first.
_HERE = (
    "machine.goto",
    "walks.removed",
    "masks._leaves",
    "machine.advance_token",
    "store.ensure",
    "masks._find_mask",
    "masks",
    "tree_masks",
)
_BESIDE = (
    "tries.guarded_trie",
    "tries.list_siblings",
    "tries.list_lengths",
    "tries.list_quoted",
    "chars.list_well_formed",
    "tries.remainder_trie",
    "classes",
    "members.no_members",
    "bitmask",
    "texts.picks",
    "safe.lives_below",
    "chars.loops_below",
    "texts",
    "keys",
    "members",
    "machine",
    "batches",
)
_BESIDE_ONLY = "STRUCTGEN_KERNELS_BESIDE"  # in the environment of the second process, which only compiles its share


def _stamp() -> str:
    """What tells kernels that can be used from those that cannot: sources, versions, processor."""
    processor = config.CPU_NAME or llvmlite.binding.get_host_cpu_name()
    features = config.CPU_FEATURES or llvmlite.binding.get_host_cpu_features().flatten()
    parts = (jit.SOURCES, sys.version, numba.__version__, llvmlite.__version__, processor, features)
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process is in here with the same folder (where files can be locked)."""
    try:
        import fcntl
    except ImportError:  # not POSIX: two processes may do the same work
        yield
        return
    with (folder / "structgen.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def compile_named(names: Iterable[str]) -> None:
    """Compile, or load, every kernel of these modules that Python may call, and these `module.kernel`s."""
    collects = gc.isenabled()
    gc.disable()  # an eighth of the time: compilers make many objects and few cycles
    try:
        for name in names:
            module, _, single = name.partition(".")
            found = vars(import_module(f"{__name__}.{module}"))
            for each in [found[single]] if single else list(found.values()):
                if isinstance(each, jit.Kernel) and (single or each.is_entry):
                    each.prepare()
    finally:
        if collects:
            gc.enable()


def _start_beside() -> subprocess.Popen[bytes] | None:
    """Another process that compiles its share, if there is a second processor and an interpreter to run it."""
    python = Path(sys.executable or "").name.startswith(("python", "pypy")) and not getattr(sys, "frozen", False)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not python or processors < 2:
        return None
    code = f"import sys; sys.path[:] = {sys.path!r}; import {__name__} as k; k.compile_named({_BESIDE!r})"
    try:
        return subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, _BESIDE_ONLY: "1"},
        )
    except OSError:
        return None


def _compile_core() -> None:
    """Compile what the engine calls, half of it in another process.

    Both write the cache: numba replaces its files in one step, and a kernel that both compile comes out the same.
    """
    beside = _start_beside()
    try:
        compile_named(_HERE)
    finally:
        failed = beside is None or beside.wait() != 0
    if failed:
        compile_named(_BESIDE)


@cache
def prepare() -> None:
    """Compile the kernels of the engine unless the cache has them as they are now, for this processor."""
    if os.environ.get(_BESIDE_ONLY) or config.DISABLE_JIT:
        return
    folder = jit.cache_folder()
    if folder is None:
        print(
            "structgen: compiling kernels, in every process: no cache can be written (set NUMBA_CACHE_DIR)",
            file=sys.stderr,
        )
        return
    stamp_file, stamp = folder / f"structgen-{sys.implementation.cache_tag}.stamp", _stamp()
    if _is_stamped(stamp_file, stamp):
        return
    with _alone(folder):
        if _is_stamped(stamp_file, stamp):
            return
        print("structgen: compiling kernels for the first use; this takes half a minute or more, once", file=sys.stderr)
        _compile_core()
        written = stamp_file.with_suffix(f".{os.getpid()}")
        written.write_text(stamp)
        written.replace(stamp_file)


def load() -> None:
    """Load every kernel of the engine now, so that no text waits for one (each takes some milliseconds)."""
    prepare()
    if not config.DISABLE_JIT:
        compile_named((*_HERE, *_BESIDE))


def _is_stamped(file: Path, stamp: str) -> bool:
    try:
        return file.read_text() == stamp
    except OSError:
        return False
