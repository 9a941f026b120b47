"""How kernels are compiled: one specialisation each, the declared one, when something asks for it, and kept on disk.

numba compiles a function with an explicit signature when it is decorated, and loads it from its cache at the same
moment: a process that wants one mask paid for more than a hundred functions, most of which are inlined where they are
called and never entered by themselves. So the signature is kept until the function is called, or until a kernel that
calls it is compiled; a kernel that comes from the cache asks for none of those it calls.

What numba links into a caller is a copy: of the function, of all it calls, and of all these call, at every level
anew. Along the engine's dozen levels that came to a hundred copies of the closure. So the larger functions are compiled
once (`linked`), and their callers name them, as a C compiler would do it; small ones (`helper`) are copied and inlined.

The cache is numba's, with two changes. Numba asks whether the file of a function is the one it was compiled from; but
kernels of one file are compiled into those of another. So what is asked is whether all files of the package are the
same (`SOURCES`), which also keeps a process that still runs an older version from handing its kernels to a newer one.

Indices are not negative in kernels (`_Indices`); `make test-bounds` asks each of them.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llvmlite.binding
from numba.core import config, typeinfer, types
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.core.runtime import rtsys


def _digest() -> str:
    digest = hashlib.blake2b(digest_size=16)
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + hashlib.blake2b(file.read_bytes()).digest())
    return digest.hexdigest()


SOURCES = _digest()  # of the names and contents of this package's files

# LLVM's level for helpers: whoever calls them optimises them again, at numba's own level. By level, seconds of CPU for
# all kernels of the engine: 60 (3), 52 (1), 98 (0: all is left to the callers, of which there are many levels).
_HELPER_LEVEL = 1


# What makes arrays; numba refuses to compile one that is not named here where nothing is counted (see `kernel`).
_MAKERS = frozenset(("empty", "zeros", "full", "copy", "sort", "carray"))


class _Indices:
    """Compiling without wraparound: no kernel counts from an array's end, and asking at every access whether it does
    was a twentieth of a mask's time. Whatever else the process compiles with numba keeps its rule.

    Entered with the compiler's lock, and once more for each kernel that another one calls.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._module: Any = None
        self._original: Any = None

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *error: object) -> None:
        self._depth -= 1
        if self._depth == 0 and self._original is not None:
            self._module.fix_integer_index, self._original = self._original, None

    def from_the_start(self) -> None:
        """numba is about to compile, and may load what it needs for that."""
        if self._depth and self._original is None:
            self._module = importlib.import_module("numba.np.arrayobj")
            self._original = getattr(self._module, "fix_integer_index", None)  # of numba 0.61 to 0.68 at the least
            if self._original is not None:
                self._module.fix_integer_index = _as_it_is


def _as_it_is(context: Any, builder: Any, kind: Any, index: Any, size: Any) -> Any:
    """`numba.np.arrayobj.fix_integer_index` for indices that are not negative."""
    return context.cast(builder, index, kind, types.intp if kind.signed else types.uintp)


_INDICES = _Indices()


class _Cache(FunctionCache):
    """numba's cache of one function, fresh as long as no file of the package has changed."""

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, SOURCES)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """What was compiled, from the cache.

        numba would first learn all that it can compile (its modules for arrays, lists, dicts and, where it is
        installed, scipy's for linear algebra: half a second). Machine code needs its runtime only; the compiler sees
        to the rest itself when it has to compile.
        """
        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
            if found is None:
                _INDICES.from_the_start()
            return found


def cache_folder() -> Path | None:
    """Where numba keeps the kernels; None if it finds no folder that it may write to."""
    try:
        return Path(FunctionCache(_digest).cache_path)
    except RuntimeError:
        return None


class Kernel(CPUDispatcher):
    """A function with declared signatures, compiled (or loaded from the cache) when it is first needed."""

    declared: tuple[Any, ...] = ()
    linked = False  # whether callers name it, and take no copy

    def _named(self) -> Iterator[Kernel]:
        """The linked kernels that it calls, itself or in what is copied into it."""
        names = self.py_func.__globals__
        for called in {names.get(name) for name in self.py_func.__code__.co_names}:
            if isinstance(called, Kernel):
                if called.linked:
                    yield called
                else:
                    yield from called._named()

    def add_overload(self, compiled: Any) -> None:  # what numba calls with what it compiled or found in the cache
        super().add_overload(compiled)
        if self.linked:
            described = copy.copy(compiled.fndesc)
            described.mangled_name = f"{self.py_func.__module__}.{self.py_func.__name__}"
            address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
            llvmlite.binding.add_symbol(described.mangled_name, address)
            # of several functions of one signature the one that was inserted last is called
            self.targetctx.insert_user_function(compiled.entry_point, described)

    def prepare(self) -> None:
        """Compile the declared signatures, and no other from now on."""
        with global_compiler_lock:
            if not self._can_compile:
                return
            for called in self._named():  # machine code from the cache names them too
                called.prepare()
            level = config.OPT
            if not self.is_entry and not self.linked and level > _HELPER_LEVEL:
                config.OPT = type(level)(_HELPER_LEVEL)
            try:
                with typeinfer.register_dispatcher(self), _INDICES:
                    if not isinstance(self._cache, _Cache):
                        _INDICES.from_the_start()
                    for signature in self.declared:
                        self.compile(signature)
            finally:
                config.OPT = level
            self.disable_compile()

    @property
    def is_entry(self) -> bool:
        """Whether Python may call it."""
        return not self.targetoptions.get("no_cpython_wrapper")

    @property
    def entry(self) -> Any:
        """The compiled function itself, for calls that must be quick: arguments of the declared types, and no other.

        numba looks at the types of all arguments first, which for a call of a microsecond is a sixth of it.
        """
        self.prepare()
        (only,) = self.overloads.values()
        return only.entry_point

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        """What numba asks for where no overload fits: something to call in its place. Now one may."""
        if not self._can_compile:
            return super()._compile_for_args(*args, **kws)
        self.prepare()
        return self

    def get_call_template(self, args: Any, kws: Any) -> Any:  # what numba calls when a caller is compiled
        if not self.is_compiling:
            self.prepare()
        return super().get_call_template(args, kws)


def kernel(*signatures: Any, linked: bool = False, **options: Any) -> Any:
    """A function with these signatures (numba's text or types), run without the GIL and kept in numba's cache.

    linked: it has one signature, and is compiled once for all kernels that call it and never inlined.
    Where no folder can be written to it is compiled in every process that calls it.
    """

    def decorate(function: Any) -> Any:
        if config.DISABLE_JIT:
            return function
        # Only what makes arrays has to count who holds them: counting, with the bus locked, was 3 % of masks.
        counts = not _MAKERS.isdisjoint(function.__code__.co_names)
        made = Kernel(
            function, targetoptions={"nopython": True, "nogil": True, "boundscheck": None, "_nrt": counts, **options}
        )
        made.declared, made.linked = signatures, linked
        with contextlib.suppress(RuntimeError):  # no folder can be written to
            made._cache = _Cache(function)
        return made

    return decorate


def entry(function: Any) -> Any:
    """`Kernel.entry`, or the function where it is not compiled (NUMBA_DISABLE_JIT)."""
    return function.entry if isinstance(function, Kernel) else function


def helper(signature: str, *, linked: bool = False) -> Any:
    """A function that only kernels call: no Python wrapper."""
    return kernel(signature, linked=linked, no_cpython_wrapper=True, no_cfunc_wrapper=True)
