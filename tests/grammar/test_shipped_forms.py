"""The forms that ship are those that reading gives, are used where the sources are theirs, and nowhere else."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

import structgen
from structgen.cache import VARIABLE
from structgen.grammar import dialects, forms, saved, shipped

FOLDER = shipped.forms_folder()
LARGE = {"c", "go", "java", "javascript", "python", "sql"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in structgen.list_grammars()]
STALE = "stale: run `make forms` (python -m structgen.grammar.forms) and commit grammars/forms"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of forms in place of the one that ships; nothing is in memory, and nothing is kept."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(shipped, "forms_folder", lambda: tmp_path)
    monkeypatch.setattr(dialects, "_remembered", dialects.OrderedDict())
    shipped._forms.cache_clear()
    yield tmp_path
    shipped._forms.cache_clear()


def ship(folder: Path, form: bytes, **changes: object) -> None:
    (folder / "json.json.gz").write_bytes(gzip.compress(form))
    (folder / shipped.MANIFEST).write_text(json.dumps(forms.manifest() | changes))


def test_the_forms_that_ship_are_not_stale() -> None:
    manifest = shipped.read_manifest(FOLDER)
    now = forms.manifest()
    assert manifest["sources"] == now["sources"], STALE
    assert manifest["forms"] == now["forms"], STALE
    assert {file.name for file in FOLDER.iterdir()} == {
        shipped.MANIFEST, *(f"{name}.json.gz" for name in structgen.list_grammars())
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_form_that_ships_is_what_reading_gives(name: str) -> None:
    if shipped.read_manifest(FOLDER)["unicode"] != unicodedata.unidata_version:
        pytest.skip("Python has other tables of characters than the one that wrote the forms")
    assert forms.kept_form(FOLDER, name) == forms.fresh_form(name), STALE


def test_a_form_that_ships_is_used_without_lark() -> None:
    program = (
        "import sys, structgen\nfrom structgen.grammar import dialects\n"
        "for name in structgen.list_grammars(): dialects.scanned_grammar(structgen.load_grammar(name))\n"
        "print('lark' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert run.stdout == "False\n"


def test_only_the_very_text_and_options_have_a_form() -> None:
    text = structgen.load_grammar("json")
    assert shipped.find_shipped(text, *shipped.OPTIONS) is not None
    assert shipped.find_shipped(text + " ", *shipped.OPTIONS) is None
    assert shipped.find_shipped(text, "lark", None, "basic") is None
    assert shipped.find_shipped(text, "lark", "value", "contextual") is None


def test_a_form_of_other_sources_is_not_used(folder: Path) -> None:
    # Another grammar's form under JSON's name: what is accepted shows which of the two is used.
    arithmetic = forms.kept_form(FOLDER, "arithmetic")
    assert arithmetic is not None
    text = structgen.load_grammar("json")
    ship(folder, arithmetic)
    assert saved.dump(dialects.scanned_grammar(text)) == arithmetic
    ship(folder, arithmetic, sources="00" * 32)
    shipped._forms.cache_clear()
    dialects._remembered.clear()
    assert saved.dump(dialects.scanned_grammar(text)) == forms.fresh_form("json")


@pytest.mark.parametrize(
    "data",
    [b"", b"no gzip", gzip.compress(b"no form", mtime=0), gzip.compress(bytes(999), mtime=0)[:-9]],
    ids=["empty", "no gzip", "no form", "cut off"],
)
def test_what_is_damaged_is_read_from_its_text(folder: Path, data: bytes) -> None:
    ship(folder, b"")
    (folder / "json.json.gz").write_bytes(data)
    assert saved.dump(dialects.scanned_grammar(structgen.load_grammar("json"))) == forms.fresh_form("json")


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", "no JSON", '{"sources": 3}'])
def test_without_a_manifest_texts_are_read(folder: Path, manifest: str | None) -> None:
    if manifest is not None:
        (folder / shipped.MANIFEST).write_text(manifest)
    assert saved.dump(dialects.scanned_grammar(structgen.load_grammar("json"))) == forms.fresh_form("json")


def test_files_are_written_only_where_they_change(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["csv", "json"]
    monkeypatch.setattr(shipped, "list_grammars", lambda: small)
    assert forms.write_forms(folder) == ["csv.json.gz", "json.json.gz", "manifest.json"]
    before = {file.name: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.iterdir()}
    assert forms.write_forms(folder) == []
    (folder / "csv.json.gz").write_bytes(gzip.compress(forms.fresh_form("csv"), 1, mtime=7))  # packed otherwise
    monkeypatch.setattr(saved, "own_sources", lambda: bytes(32))  # other sources, the same grammars
    assert forms.write_forms(folder) == ["manifest.json"]
    assert (folder / "json.json.gz").stat().st_mtime_ns == before["json.json.gz"][1]
    (folder / "json.json.gz").write_bytes(b"damaged")
    small.remove("csv")
    assert forms.write_forms(folder) == ["json.json.gz", "csv.json.gz", "manifest.json"]
    assert (folder / "json.json.gz").read_bytes() == before["json.json.gz"][0]


def test_the_command_says_what_is_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert forms.main(["--check"]) == 1
    assert "make forms" in capsys.readouterr().err
    (folder / shipped.MANIFEST).write_text(json.dumps(forms.manifest()))
    assert forms.main(["--check"]) == 0
    assert forms.main(["--what"]) == 2
