"""Imports go downward only, optional weight is loaded late, and pyproject.toml lists the packages that exist."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli", reason="tomllib needs Python 3.11")

ROOT = Path(__file__).resolve().parents[1]

# Rank of each part of structgen. A part may import parts of lower rank, or of its own as long as no cycle arises.
RANKS = {
    "cache": 0,
    "errors": 0,
    "types": 0,
    "ir": 1,
    "embedded": 1,
    "grammar": 2,
    "automata": 2,
    "vocab": 2,
    "reference": 2,
    "schema": 3,
    "masks": 3,
    "tags": 3,
    "compiler": 4,
    "matcher": 5,
    "decode": 6,
    "monitors": 6,
    "integrations": 7,
    "cli": 7,
    "__main__": 8,
    "__init__": 9,
}
# The one way up: `CompiledGrammar.matcher()` makes a matcher, inside the function.
UPWARD = {("compiler", "matcher")}
# What `jsonschemabench` may use: the package itself, and these modules.
PUBLIC_MODULES = {"structgen.errors", "structgen.embedded"}
# … and what these packages export.
PUBLIC_PACKAGES = {"structgen.decode.speculation"}


class _Imports(ast.NodeVisitor):
    """The absolute names a module imports at run time, also inside functions; `if TYPE_CHECKING:` is left out."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.names: list[str] = []

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")[: len(self.package.split(".")) - node.level + 1]
            base = ".".join([*parents, base] if base else parents)
        self.names += [f"{base}.{alias.name}" for alias in node.names]


def _imports(path: Path, package: str) -> list[str]:
    visitor = _Imports(package)
    visitor.visit(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))
    return visitor.names


def _structgen_modules() -> Iterator[tuple[str, Path, str]]:
    """(part, file, dotted package) for every module of structgen."""
    folder = ROOT / "structgen"
    for path in sorted(folder.rglob("*.py")):
        relative = path.relative_to(folder)
        part = relative.parts[0].removesuffix(".py")
        yield part, path, ".".join(("structgen", *relative.parts[:-1]))


def _imported_part(name: str) -> str | None:
    """The part of structgen an absolute name belongs to; `__init__` for what the package itself re-exports."""
    head, *rest = name.split(".")
    if head != "structgen":
        return None
    return rest[0] if rest and rest[0] in RANKS else "__init__"


def test_every_part_has_a_rank() -> None:
    assert {part for part, _, _ in _structgen_modules()} <= RANKS.keys()


def test_imports_go_downward() -> None:
    upward = [
        f"{path.relative_to(ROOT)} (rank {RANKS[part]}) imports {name} (rank {RANKS[target]})"
        for part, path, package in _structgen_modules()
        for name in _imports(path, package)
        if (target := _imported_part(name)) is not None and RANKS[target] > RANKS[part] and (part, target) not in UPWARD
    ]
    assert not upward, "\n".join(upward)


def test_parts_of_one_rank_form_no_cycle() -> None:
    edges: dict[str, set[str]] = {}
    for part, path, package in _structgen_modules():
        targets = {_imported_part(name) for name in _imports(path, package)}
        edges.setdefault(part, set()).update(target for target in targets if target is not None and target != part)
    while leaves := {part for part, targets in edges.items() if not targets & edges.keys()}:
        edges = {part: targets for part, targets in edges.items() if part not in leaves}
    assert not edges, f"these parts import each other in a circle: {edges}"


def test_kernels_never_import_structgen() -> None:
    for path in sorted((ROOT / "kernels").rglob("*.py")):
        names = _imports(path, "structgen_kernels")
        assert not [name for name in names if name.split(".")[0] == "structgen"], path


def test_jsonschemabench_uses_the_public_api_only() -> None:
    for path in sorted((ROOT / "jsonschemabench").rglob("*.py")):
        package = ".".join(path.relative_to(ROOT).parts[:-1])
        for name in _imports(path, package):
            parts = name.split(".")
            if parts[0] != "structgen" or len(parts) == 1:
                continue
            public = ".".join(parts[:2]) in PUBLIC_MODULES or (len(parts) == 2 and parts[1] not in RANKS)
            public = public or ".".join(parts[:-1]) in PUBLIC_PACKAGES
            assert public, f"{path.relative_to(ROOT)} imports {name}"


def test_importing_structgen_loads_neither_torch_nor_transformers() -> None:
    code = "import structgen, sys; print(*sorted({'torch', 'transformers', 'numba'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_compiling_a_schema_loads_no_reader_of_grammars() -> None:
    code = (
        "import structgen.compiler, sys; print(*sorted({'torch', 'transformers', 'tokenizers', 'lark', 'interegular', "
        "'structgen.grammar.dialects', 'structgen.tags'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_pyproject_lists_the_packages_that_exist() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        listed = tomllib.load(file)["tool"]["setuptools"]["packages"]
    on_disk = {"structgen_grammars"}
    for root, top in ((ROOT, "structgen"), (ROOT, "jsonschemabench"), (ROOT / "kernels", "structgen_kernels")):
        for init in (root / top).rglob("__init__.py"):
            on_disk.add(".".join(init.parent.relative_to(root).parts))
    assert sorted(listed) == sorted(on_disk)
    assert len(set(listed)) == len(listed)
