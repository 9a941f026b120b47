"""What a wheel holds: every package, the embedded models, the grammars and their forms, the type marker."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("structgen", "kernels", "grammars", "jsonschemabench", "pyproject.toml", "README.md", "LICENSE")


@pytest.mark.slow
def test_a_wheel_holds_everything(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(path, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(source),
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
    ]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = tmp_path.glob("structgen-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    roots = {"structgen": "structgen", "jsonschemabench": "jsonschemabench"}
    roots |= {"kernels/structgen_kernels": "structgen_kernels", "grammars": "structgen_grammars"}
    for folder, package in roots.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".lark", ".json", ".safetensors", ".gz", ".typed"):
                assert f"{package}/{path.relative_to(ROOT / folder).as_posix()}" in inside
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    program = (
        "import structgen, sys; from structgen.grammar.shipped import OPTIONS, find_shipped\n"
        "for name in structgen.list_grammars(): assert find_shipped(structgen.load_grammar(name), *OPTIONS), name\n"
        "print(structgen.__file__, 'lark' in sys.modules)"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed"), "STRUCTGEN_CACHE": ""},
    )  # fmt: skip
    assert run.stdout.split() == [str(tmp_path / "installed" / "structgen" / "__init__.py"), "False"]


def test_shipped_grammars_can_be_read() -> None:
    structgen_grammars = pytest.importorskip("structgen_grammars", reason="only where structgen is installed")
    for name in structgen_grammars.list_grammars():
        assert structgen_grammars.load_grammar(name).strip()
    with pytest.raises(KeyError, match="no grammar called 'no-such-grammar'"):
        structgen_grammars.load_grammar("no-such-grammar")
