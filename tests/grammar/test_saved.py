"""A grammar's saved form is the grammar; a stale, damaged or half-written one is never used."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import test_shipped_engine as engine
from hypothesis import given
from hypothesis import strategies as st

import structgen
from structgen import CompiledGrammar, Limits, Vocabulary
from structgen.automata.charset import CharSet
from structgen.automata.regular import Language, chars, complement, concat, finite, intersect, repeat, string, union
from structgen.automata.regular_nodes import Kind, children
from structgen.cache import VARIABLE, Cache
from structgen.errors import GrammarSyntaxError
from structgen.grammar import dialects, saved
from structgen.grammar.lexemes import read_lexemes
from structgen.grammar.saved_terms import TermReader, TermWriter
from structgen.grammar.scanned import Lines, Scanned

ROOT = Path(structgen.__file__).resolve().parent
# Read from their text in seconds, not milliseconds.
LARGE = {"c", "go", "java", "javascript", "python", "sql"}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in structgen.list_grammars()]
TEXTS = {"python": ["class A:\n    def f(self, x):\n        if x: return [1,\n 2]\n\n\treturn\n"], **engine.SAMPLES}


def texts_of(name: str) -> list[str]:
    return (TEXTS.get(name) or engine.CODE[name])[:3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which forms are kept, however quickly a grammar is read; nothing is in memory."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    monkeypatch.setattr(dialects, "_WORTH_KEEPING", 0.0)
    monkeypatch.setattr(dialects, "_remembered", dialects.OrderedDict())
    return tmp_path / "grammars"


def read_anew(name: str) -> Scanned | Lines:
    """A shipped grammar as its text says, whatever ships or has been kept."""
    return dialects.scanned(dialects.read_grammar(structgen.load_grammar(name)))


def compiled(grammar: Scanned | Lines, vocabulary: Vocabulary, limits: Limits) -> CompiledGrammar:
    return CompiledGrammar(dialects.scanned_to_ir(grammar), vocabulary, report=None, limits=limits)


def assert_same_masks(name: str, vocabulary: Vocabulary, texts: list[str]) -> None:
    """From the text and from the form, in engines that share nothing: the same mask before each token of the texts.

    Nor do they with those of other grammars: an engine that is full makes states invalid.
    """
    read = read_anew(name)
    limit = (1 << 17) + 2 * structgen.list_grammars().index(name)
    one = compiled(read, vocabulary, Limits(max_states=limit))
    other = compiled(saved.load(saved.dump(read)), vocabulary, Limits(max_states=limit + 1))
    assert one.binding().engine is not other.binding().engine
    for text in texts:
        here, there = one.start, other.start
        for token in vocabulary.encode(text):
            assert (one.mask(here) == other.mask(there)).all(), text
            here, there = one.advance(here, token), other.advance(there, token)
        assert one.is_accepting(here) == other.is_accepting(there)
        assert (one.mask(here) == other.mask(there)).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_form_is_the_grammar(name: str) -> None:
    read = read_anew(name)
    form = saved.dump(read)
    loaded = saved.load(form)
    assert type(loaded) is type(read)
    assert saved.dump(loaded) == form
    assert loaded.flat == read.flat
    assert loaded.digest == read.digest
    if isinstance(read, Scanned) and isinstance(loaded, Scanned):
        assert [[token.key for token in tokens] for tokens in loaded.tokens.values()] == [
            [token.key for token in tokens] for tokens in read.tokens.values()
        ]
        assert list(loaded.tokens) == list(read.tokens)
        assert {context: [token.key for token in tokens] for context, tokens in loaded.ignored.items()} == {
            context: [token.key for token in tokens] for context, tokens in read.ignored.items()
        }
    assert_same_masks(name, engine.byte_vocabulary(), texts_of(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", structgen.list_grammars())
def test_the_form_has_the_same_masks_of_a_real_vocabulary(name: str, tokenizers_path: Path) -> None:
    vocabulary = Vocabulary.from_file(tokenizers_path / "llama3.tokenizer.json.gz")
    assert_same_masks(name, vocabulary, texts_of(name)[:1])


# ---- terms --------------------------------------------------------------------------------------------------------

_SETS = st.sampled_from([CharSet.of("a"), CharSet.of("ab"), CharSet([(0x61, 0x7A)]), CharSet([(0x80, 0x10FFFF)])])
_COUNTS = st.sampled_from([(0, None), (1, None), (2, 5), (3, 3)])
_LEAVES = _SETS.map(chars) | st.text("ab", max_size=4).map(string) | st.lists(st.text("abc", max_size=3)).map(finite)
_LANGUAGES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: concat(*pair))
        | st.tuples(inner, inner).map(lambda pair: union(*pair))
        | st.tuples(inner, inner).map(lambda pair: intersect(*pair))
        | inner.map(complement)
        | st.tuples(inner, _COUNTS).map(lambda pair: repeat(pair[0], *pair[1]))
    ),
    max_leaves=8,
)
# Terms that look back, loops, and derivatives of tries, which no constructor above makes.
_PATTERNS = [r"(?<!a)b\b", r"(a(?=b)|ab*(?!c))+d", r"(?:(?!-->)[\s\S])*-->", r"\w+\b.*?x", "(?i:select|from)(?!\\w)"]


def round_trip(languages: list[Language]) -> list[Language]:
    writer = TermWriter()
    numbers = [writer.term(language) for language in languages]
    reader = TermReader(writer.tables())
    return [reader.terms[number] for number in numbers]


def looping(language: Language) -> bool:
    todo, seen = [language], set()
    while todo:
        top = todo.pop()
        if top.kind == Kind.LOOP:
            return True
        inner = [child for child in children(top) if child not in seen]
        seen.update(inner)
        todo.extend(inner)
    return False


@given(st.lists(_LANGUAGES, min_size=1, max_size=3), st.text("abc", max_size=3))
def test_terms_come_back_as_themselves(languages: list[Language], text: str) -> None:
    for char in text:
        languages += [languages[0].step(ord(char))]
    assert all(one is other for one, other in zip(languages, round_trip(languages), strict=True))


@pytest.mark.parametrize("pattern", _PATTERNS)
def test_terms_of_patterns_come_back(pattern: str) -> None:
    languages = [lexeme.language for lexeme in read_lexemes(pattern)]
    for language in list(languages):
        languages += [target for _, target in language.edges()]
    for one, other in zip(languages, round_trip(languages), strict=True):
        assert one.key == other.key
        assert one is other or looping(one)
        for text in ("", "b", "ab", "abd", "abcd", "d", "--", "-->", "a-->", "select", "FROM", "x y", "xx"):
            assert one.matches(text) == other.matches(text), text


# ---- keys ---------------------------------------------------------------------------------------------------------


def test_the_key_tells_texts_and_options_apart() -> None:
    what = [("a", "lark", None, "basic"), ("b", "lark", None, "basic"), ("a", "gbnf", None, "basic"),
            ("a", "lark", "a", "basic"), ("a", "lark", None, "dynamic")]  # fmt: skip
    keys = {saved.key_of(*one) for one in what}
    assert len(keys) == len(what) and None not in keys
    assert saved.key_of(*what[0]) in keys


def test_the_key_changes_with_the_code(tmp_path: Path) -> None:
    copy = tmp_path / "structgen"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("__pycache__", "embedded", "decode"))
    assert saved.code_digest(copy) == saved.code_digest(ROOT)
    for file in (copy / "grammar" / "flatten.py", copy / "automata" / "regular_algebra.py"):
        before = saved.code_digest(copy)
        file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
        assert saved.code_digest(copy) not in (before, None)
    (copy / "grammar" / "new.py").write_text("")
    assert saved.code_digest(copy) != saved.code_digest(ROOT)
    shutil.rmtree(copy / "grammar")
    assert saved.code_digest(copy) is None


def test_the_key_covers_all_code_that_decides() -> None:
    """Whatever of the package is imported, on whatever way, by the modules that read grammars."""
    deciding = {file for pattern in saved.DECIDING for file in ROOT.glob(pattern)}
    todo = [ROOT / "grammar" / "dialects.py"]
    seen = set(todo)
    for file in todo:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("structgen."):
                parts = node.module.split(".")[1:]
                base = ROOT.joinpath(*parts)
                found = [
                    base.with_suffix(".py"),
                    base / "__init__.py",
                    *(base / f"{one.name}.py" for one in node.names),
                ]
                for one in found:
                    if one.exists() and one not in seen:
                        seen.add(one)
                        todo.append(one)
    assert ROOT / "automata" / "regular_derive.py" in seen
    assert seen - deciding <= {ROOT / "cache.py"}


# ---- the folder ---------------------------------------------------------------------------------------------------

GRAMMAR = 'start: (NAME | "if")+\nNAME: /[a-z]+/\n%ignore " "\n'


def test_a_second_process_does_not_read_the_text(folder: Path) -> None:
    program = (
        "import sys, structgen.grammar.dialects as d; d._WORTH_KEEPING = 0.0\n"
        "from structgen.grammar import saved\n"
        f"found = d.scanned_grammar({GRAMMAR!r}); print(saved.dump(found).decode()); print('lark' in sys.modules)"
    )
    run = [subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True) for _ in "12"]
    first, second = (one.stdout.split("\n") for one in run)
    assert first[0] == second[0]
    assert (first[1], second[1]) == ("True", "False")
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("damage", [
    lambda data: b"", lambda data: data[:-1], lambda data: data[: len(data) // 2], lambda data: data + b" ",
    lambda data: data[:40] + bytes((data[40] ^ 1,)) + data[41:], lambda data: bytes(len(data)),
])  # fmt: skip
def test_what_is_damaged_is_read_again(folder: Path, damage: object, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = saved.dump(dialects.scanned_grammar(GRAMMAR))
    (file,) = folder.iterdir()
    sound = file.read_bytes()
    file.write_bytes(damage(sound))  # type: ignore[operator]
    monkeypatch.setattr(dialects, "_remembered", dialects.OrderedDict())
    assert saved.dump(dialects.scanned_grammar(GRAMMAR)) == expected
    assert file.read_bytes() == sound


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b'{"terms": 3}', b"\xff", b'{"terms":[[],[[1]]]}'])
def test_what_is_sound_but_not_a_form_is_not_used(folder: Path, data: bytes) -> None:
    key = saved.key_of("x")
    assert key is not None and saved.FORMS.write(key, data)
    assert saved.find(key) is None


def test_nothing_is_kept_when_told_so(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    dialects.scanned_grammar(GRAMMAR)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_does_no_harm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, os.devnull + "/nowhere")
    assert isinstance(dialects.scanned_grammar(GRAMMAR), Scanned)


def test_errors_are_not_kept(folder: Path) -> None:
    for _ in range(2):
        with pytest.raises(GrammarSyntaxError):
            dialects.scanned_grammar("start: missing\n")
    assert not folder.exists()


def test_a_grammar_that_imports_files_follows_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "main.py"), raising=False)
    text = "%import .words (WORD)\nstart: WORD\n"
    forms = []
    for word in ("a", "b"):
        (tmp_path / "words.lark").write_text(f'WORD: "{word}"\n')
        found = dialects.scanned_grammar(text)
        forms.append((found.digest, saved.dump(found)))
    assert forms[0][0] != forms[1][0]
    assert not folder.exists()
    assert dialects.scanned_grammar("%import common (WORD)\nstart: WORD\n")
    assert len(list(folder.iterdir())) == 1


def test_the_least_recently_used_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    kept = Cache("some", max_bytes=400)
    for at, key in enumerate("abc"):
        kept.write(key, bytes(96))
        os.utime(tmp_path / "some" / key, (at, at))
    assert kept.read("a") is not None
    kept.write("d", bytes(96))
    assert {file.name for file in (tmp_path / "some").iterdir()} == {"a", "c", "d"}
    assert not kept.write("e", bytes(401))


HAMMER = """
import sys
from structgen.cache import Cache
kept, seed = Cache("some", max_bytes=1 << 14), int(sys.argv[1])
for at in range(300):
    key = str((seed + at) % 3)
    assert kept.write(key, key.encode() * (1000 + 10 * seed))
    found = kept.read(str(at % 3))
    assert found is None or set(found) == {ord(str(at % 3))}
"""


def test_processes_that_write_at_once_see_whole_files(folder: Path, tmp_path: Path) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", HAMMER, str(seed)]) for seed in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert {file.name for file in (tmp_path / "some").iterdir()} == {"0", "1", "2"}
