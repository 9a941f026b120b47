"""Kernels: one specialisation each, compiled when needed; their cache is neither stale nor needed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numba
import numpy as np
import pytest

import structgen_kernels
from structgen_kernels.jit import Kernel, helper, kernel

PACKAGE = Path(structgen_kernels.__file__).parent
MODULES = [*structgen_kernels._HERE, *structgen_kernels._BESIDE]


@helper("int64(int64)")
def _twice(x):
    return 2 * x


@kernel("int64(int64[::1], int64)")
def _fill_twice(out, x):
    out[:] = _twice(x)
    return x


def test_compiled_when_called_and_as_declared() -> None:
    assert isinstance(_fill_twice, Kernel)
    for each in (_fill_twice, _twice):
        each._reset_overloads()
        each._can_compile = True
    out = np.zeros(3, np.int64)
    with pytest.raises(TypeError):  # the first call, too, takes what was declared only
        _fill_twice(np.zeros(3, np.float32), 4)
    assert _fill_twice(out, np.int32(4)) == 4
    assert out.tolist() == [8, 8, 8]
    with pytest.raises(TypeError):
        _fill_twice(out[::2], 4)
    assert len(_fill_twice.signatures) == 1
    assert _fill_twice.is_entry
    assert not _twice.is_entry


def test_the_core_exists() -> None:
    for name in MODULES:
        module, _, single = name.partition(".")
        assert (PACKAGE / f"{module}.py").exists()
        if single:
            assert f"def {single}(" in (PACKAGE / f"{module}.py").read_text()


def test_linked_kernels_are_called_by_their_names() -> None:
    """Callers from the cache name them: `Kernel._named` has to see which they are, or the process ends at the call."""
    kernels = [
        (f"{file.name}, {function.name}", function, made)
        for file in PACKAGE.glob("*.py")
        for function in ast.parse(file.read_text()).body
        if isinstance(function, ast.FunctionDef)
        for made in function.decorator_list
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id in ("kernel", "helper")
    ]
    linked = {function.name for _, function, made in kernels if any(word.arg == "linked" for word in made.keywords)}
    assert {"walk", "lives_below"} <= linked
    called = 0
    for where, function, _ in kernels:
        names = {call.func for call in ast.walk(function) if isinstance(call, ast.Call)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id in linked:
                assert node in names, f"{where}, line {node.lineno}: {node.id} is used, and not called"
                called += 1
            assert not (isinstance(node, ast.Attribute) and node.attr in linked), f"{where}, line {node.lineno}"
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (isinstance(node, ast.alias) and node.name in linked and node.asname), file.name
    assert called > len(linked) / 2


PART = """
from structgen_kernels.jit import helper, kernel
{imports}

@helper("int64(int64)")
def part(x):
    return x + {value}
"""
ENTRY = """
@kernel("int64(int64)")
def {name}(x):
    return {call}(x)
"""
SHOW = (
    "import sys, structgen_kernels\n"
    "structgen_kernels.prepare()\n"
    "from structgen_kernels.masks import entry\n"
    "print(entry(1), sum(entry.stats.cache_misses.values()))"
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package with its own `__init__` and `jit`, and in place of each core module a kernel of one line."""
    folder = tmp_path / "source" / "structgen_kernels"
    folder.mkdir(parents=True)
    for name in ("__init__.py", "jit.py"):
        shutil.copy(PACKAGE / name, folder)
    write(folder, "other", 10)
    for module in {name.partition(".")[0] for name in MODULES}:
        singles = [name.partition(".")[2] for name in MODULES if name.startswith(f"{module}.")]
        if module == "masks":
            imports = "from structgen_kernels.other import part as far"
            write(folder, module, 1, imports=imports, call="far", names=["entry", *singles])
        else:
            write(folder, module, 1, names=["entry", *singles])
    return folder


def write(
    folder: Path, module: str, value: int, *, imports: str = "", call: str = "part", names: Sequence[str] = ("entry",)
) -> None:
    text = PART.format(imports=imports, value=value)
    (folder / f"{module}.py").write_text(text + "".join(ENTRY.format(name=name, call=call) for name in names))


def start(package: Path, **environment: str) -> subprocess.Popen[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA", "XDG", "STRUCTGEN"))}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", SHOW],
        env={**kept, "PYTHONPATH": str(package.parent), "PYTHONDONTWRITEBYTECODE": "1", **environment},
        stdout=pipe,
        stderr=pipe,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, int, str]:
    """What the kernel returned for 1, how often the cache did not have it, and what was said."""
    out, said = process.communicate()
    assert process.returncode == 0, said
    value, misses = map(int, out.split())
    return value, misses, said


@pytest.mark.slow
def test_compiled_once_and_anew_when_another_file_changes(package: Path) -> None:
    value, _, said = finish(start(package))
    assert value == 11
    assert "for the first use" in said
    assert finish(start(package)) == (11, 0, "")
    write(package, "other", 20)  # what the kernel calls, not the kernel's own file
    value, misses, said = finish(start(package))
    assert (value, misses) == (21, 1)
    assert "for the first use" in said
    assert finish(start(package)) == (21, 0, "")


@pytest.mark.slow
def test_processes_at_once(package: Path) -> None:
    running = [start(package) for _ in range(3)]
    found = [finish(process) for process in running]
    assert [value for value, _, _ in found] == [11] * 3
    assert sorted(misses for _, misses, _ in found) == [0, 0, 1]
    assert sorted(said != "" for _, _, said in found) == [False, False, True]


@pytest.mark.slow
def test_an_installation_that_cannot_be_written(package: Path, tmp_path: Path) -> None:
    (package / "__pycache__").write_bytes(b"")  # no folder, nor can there be one: as if it were read-only
    home = tmp_path / "home"
    home.mkdir()
    assert "for the first use" in finish(start(package, HOME=str(home)))[2]
    assert finish(start(package, HOME=str(home))) == (11, 0, "")
    nowhere = str(tmp_path / "home" / "file")
    Path(nowhere).write_bytes(b"")
    for _ in range(2):
        value, misses, said = finish(start(package, HOME=nowhere))
        assert (value, misses) == (11, 1)
        assert "no cache can be written" in said


@pytest.mark.slow
def test_a_stamp_of_other_versions(package: Path) -> None:
    finish(start(package))
    (stamp,) = (package / "__pycache__").glob("*.stamp")
    stamp.write_text("another numba, or another processor")
    assert "for the first use" in finish(start(package))[2]
    assert finish(start(package))[2] == ""


@kernel("int64(int64[::1], int64)")
def _at(values, index):
    return values[index]


def test_others_count_from_the_end_and_kernels_never_do() -> None:
    """Kernels are compiled without numba's wraparound; what else the process compiles keeps it, before and after."""
    values = np.arange(5)
    for _ in range(2):
        assert numba.njit(lambda array, index: array[index])(values, -1) == 4
        _at._reset_overloads()
        _at._can_compile = True
        assert _at(values, 3) == 3
    for file in PACKAGE.glob("*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            if not any("kernel" in ast.dump(mark) or "helper" in ast.dump(mark) for mark in function.decorator_list):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Subscript):
                    indices = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
                    assert not any(isinstance(i, ast.UnaryOp) for i in indices), f"{file.name}:{node.lineno}"
