"""The report: what it reads, what the page is made of, and how it looks in a real browser where there is one."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import struct
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jsonschemabench.cli import app
from jsonschemabench.record import RECORDS, Record, Verdict
from jsonschemabench.report import svg
from jsonschemabench.report.browser import find_browser, run_browser
from jsonschemabench.report.results import ReportProblem, read_results
from jsonschemabench.runfile import Header, header_line, row_line
from jsonschemabench.written import WRITTEN, Written

runner = CliRunner()
HOSTILE = "<script>alert('&')</script>"
LONG_SPLITS = ("JsonSchemaStore", "a split with a name of several words")
VOID = {"meta", "link", "br"}


def header(command: str, engine: str, second: int) -> Header:
    return Header(
        command=command,
        engine=engine,
        version="1.0",
        options=HOSTILE,
        tokenizer={"file": "tokenizer.json", "digest": "0", "vocab_size": 4096},
        data={"source": "somewhere/data.jsonl", "digest": "0", "sampled": 40, "model": "m", "max_tokens": 64},
        limits={"compile_s": 20.0, "schema_s": 40.0, "memory_gib": 4.0},
        machine={
            "processor": "A Processor of some Family @ 2.50GHz",
            "cores": 4,
            "memory_gib": 8.0,
            "system": "Linux",
            "python": "3.11",
        },
        started=f"2024-01-01T00:00:{second:02d}+00:00",
    )


def mask_records(engine: str, seed: int) -> list[Record]:
    chance = random.Random(seed)
    records = []
    for number in range(40):
        ended = {3: "timeout", 5: "refused"}.get(number * (seed + 1), "done")
        times = tuple(int(10 ** chance.gauss(4 + seed / 4, 0.7)) for _ in range(50))
        times *= 2100 if number == 0 else 1  # enough for a scale of five nines
        times += (10**9,) if number == 9 else ()  # the hardest
        case_id = f"{HOSTILE}{number}" if number == 7 else f"case {number}"
        right = Verdict(valid=True, accepted=number != 9, num_tokens=51, num_read=51)
        slowest = ({"instance": 0, "token": 4, "ns": max(times), "tail": '{"a": "</td>'},)
        done: dict[str, Any] = {
            "verdicts": (right,),
            "mask_ns": (times,),
            "slowest": slowest,
            "compile_ns": 10**6,
            "ttfm_ns": 2 * 10**6,
        }
        split = LONG_SPLITS[number % 12] if number % 12 < len(LONG_SPLITS) else f"split {number % 12}"
        records.append(Record(engine, case_id, split, ended, **(done if ended == "done" else {})))
    return records


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small results of every command, and lines and files that cannot be read."""
    folder = tmp_path_factory.mktemp("results")
    for second, engine in enumerate(("zeta", "alpha")):
        records = mask_records(engine, second)
        for command, sub in (("masks", "masks"), ("suite draft 7", "suite/draft7")):
            file = folder / sub / f"{engine}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [header_line(header(command, engine, second)), *(row_line(RECORDS, each) for each in records)]
            file.write_text("\n".join([*lines, '{"record": {"id"']))
        for command in ("efficiency", "quality gsm8k"):
            text = Written(
                engine,
                "t",
                "s",
                "done",
                "",
                10,
                20,
                (9_000_000, 8_000_000),
                (3000, 4000),
                3,
                3,
                1,
                "end",
                HOSTILE,
                True,
                False,
            )
            file = folder / command.replace(" ", "/") / f"{engine}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(header_line(header(command, engine, second)) + "\n" + row_line(WRITTEN, text) + "\n")
    right = (Verdict(valid=True, accepted=True, num_tokens=3, num_read=3),)
    grown = [
        Record("zeta", f"enum/{size}", "enum", "done", "", False, size * 9000, 10, right, ((size * 150, size * 500),))
        for size in (10, 1000)
    ]
    lost = Record("alpha", "enum/10", "enum", "timeout", "too long")
    lines = [header_line(header("scale", "zeta", 0)), *(row_line(RECORDS, each) for each in grown)]
    lines += [header_line(header("scale", "alpha", 1)), row_line(RECORDS, lost)]
    (folder / "scale.jsonl").write_text("\n".join(lines) + "\n")
    held = dataclasses.replace(grown[0], begin_mib=100.0, end_mib=300.0, peak_mib=400.0)
    told = dataclasses.replace(header("memory", "zeta", 0), data={"source": "d", "digest": "0", "keep": False})
    (folder / "memory.jsonl").write_text(header_line(told) + "\n" + row_line(RECORDS, held) + "\n")
    (folder / "other.jsonl").write_text('{"schema": {}}\n')
    return folder


@pytest.fixture(scope="module")
def page(results: Path) -> Path:
    out = results / "out" / "report.html"
    done = runner.invoke(app, ["report", str(results), "-o", str(out), "--markdown", str(out.with_suffix(".md"))])
    assert done.exit_code == 0, done.output
    return out


class Outline(HTMLParser):
    """Tags in pairs, ids, links, and what each table and chart has."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.inside: dict[str, list[set[str]]] = {"table": [], "svg": []}

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.stack.append(tag)
        if tag in self.inside:
            self.inside[tag].append(set())
        for outer, found in self.inside.items():
            if outer in self.stack:
                found[-1].add(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag


def test_the_page_is_whole_and_asks_for_nothing(page: Path) -> None:
    outline = Outline()
    outline.feed(page.read_text(encoding="utf-8"))
    assert outline.stack == []
    tags = [tag for tag, _ in outline.tags]
    assert tags.count("h1") == tags.count("main") == tags.count("nav") == 1
    assert "script" not in tags and "img" not in tags
    ids = [attributes["id"] for _, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in outline.tags:
        for name in ("href", "src"):
            target = attributes.get(name)
            assert target is None or target == "data:," or (target[0] == "#" and target[1:] in ids), target
    assert not re.search(r"url\(|@import|https?:", page.read_text(encoding="utf-8"))
    assert len(outline.inside["table"]) > 10
    assert all({"caption", "thead", "tbody", "th"} <= inside for inside in outline.inside["table"])
    charts = [attributes for tag, attributes in outline.tags if tag == "svg" and attributes["class"] == "chart"]
    assert len(charts) == 5
    assert all(attributes["role"] == "img" and attributes["aria-labelledby"] for attributes in charts)
    titles = [attributes["id"] for tag, attributes in outline.tags if tag in ("title", "desc") and "id" in attributes]
    assert titles == [each for chart in charts for each in str(chart["aria-labelledby"]).split()]
    heads = [attributes for tag, attributes in outline.tags if tag == "th"]
    assert all(attributes["scope"] in ("row", "col") for attributes in heads)


def test_what_the_page_says(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    for said in (
        "Ratios on the 38 schemas that all compile and finish: times of each ÷ times of zeta",  # measured first
        "JSON Schema Test Suite, draft 7",
        "breaks at 10: timeout (too long)",
        "With a model",
        "Quality: gsm8k",
        "A Processor of some Family @ 2.50GHz, 4 cores, 8.0 GiB, Linux, Python 3.11. Measured 2024-01-01.",
        "1 of 1 verdicts wrong; the first: after 51 of 51 tokens",
        "other.jsonl: not a result of this version",
        "Memory of one process",
        "204,800.0",  # KiB a schema: 200 MiB for one
        "zeta.jsonl line 42",
    ):
        assert said in html, said
    assert "somewhere/" not in html


def test_markdown_has_the_same_tables(page: Path) -> None:
    text = page.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith("# JSON Schema decoding: benchmark report\n\nA Processor")
    for title in ("### Ratios on", "### Runs", "### Where each bends or breaks", "### The hardest schemas"):
        assert title in text
    widths = {len(line.split("|")) for line in text.split("### Ratios on")[1].split("###")[0].splitlines()[4:8]}
    assert len(widths) == 1


def test_an_engine_s_second_run_is_numbered_and_colours_stay(results: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    again.write_text((results / "masks" / "zeta.jsonl").read_text())
    read = read_results([results / "masks", again, results / "scale.jsonl", again])
    assert [column.name for column in read.masks] == ["zeta", "zeta (2)", "alpha"]
    out = tmp_path / "report.html"
    runner.invoke(app, ["report", str(results / "masks"), str(results / "scale.jsonl"), "-o", str(out)])
    html = out.read_text(encoding="utf-8")
    legends = re.findall(r'<ul class="legend">(.*?)</ul>', html)
    styles = {re.search(r"s(\d)", item)[1] for legend in legends for item in legend.split("</li>") if "alpha" in item}  # type: ignore[index]
    assert len(styles) == 1


def test_nothing_to_report(tmp_path: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    for path in (tmp_path, tmp_path / "nowhere", results / "other.jsonl"):
        with pytest.raises(ReportProblem):
            read_results([path])
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CHROMIUM", raising=False)
    out = tmp_path / "report.html"
    done = runner.invoke(app, ["report", str(results), "-o", str(out), "--png", str(tmp_path / "report.png")])
    assert done.exit_code == 2
    assert "none was found: install one" in " ".join(done.output.split())
    assert out.exists()


def test_scales() -> None:
    scale = svg.time_scale("time", [2.5, 40_000.0])
    assert [label for _, label in scale.ticks] == ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms"]
    assert (scale.at(0), scale.at(5)) == (0, 1)
    assert [label for _, label in svg.linear_scale("", 17.2, " ms").ticks] == [
        "0 ms",
        "5 ms",
        "10 ms",
        "15 ms",
        "20 ms",
    ]
    assert svg.log_scale("", []).ticks == ((0.0, "1"), (1.0, "10"))
    assert svg.linear_scale("", 0, "").high > 0


# --- in a real browser ----------------------------------------------------------------------------------------------

LOOK = """
const page = document.querySelector('iframe').contentDocument, root = page.documentElement, faults = [];
if (root.scrollWidth > WIDTH) faults.push('scrolls sideways: ' + root.scrollWidth);
for (const chart of page.querySelectorAll('svg.chart')) {
  const name = chart.querySelector('title').textContent, box = chart.getBoundingClientRect();
  if (box.width < 250 || box.height < 60) faults.push(name + ' is drawn at ' + box.width + ' x ' + box.height);
  for (const mark of chart.querySelectorAll('text, polyline, .dot, .bar, path')) {
    const at = mark.getBoundingClientRect(), what = name + ': ' + (mark.textContent || mark.tagName);
    if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1)
      faults.push(what + ' is outside');
    const size = parseFloat(getComputedStyle(mark).fontSize) * box.width / 480;
    if (mark.tagName === 'text' && size < 8.5) faults.push(what + ' is too small: ' + size);
  }
}
for (const row of page.querySelectorAll('tbody tr')) {
  const height = row.getBoundingClientRect().height;
  if (height > 130) faults.push('a row of ' + height + ': ' + row.textContent.slice(0, 60));
}
const style = page.defaultView.getComputedStyle(page.body);
const lines = [...page.querySelectorAll('polyline')].map(line => page.defaultView.getComputedStyle(line).stroke);
const fetched = page.defaultView.performance.getEntriesByType('resource').length;
document.body.textContent = 'LOOKED' + JSON.stringify(
  {faults, fetched, paper: style.backgroundColor, ink: style.color, lines: [...new Set(lines)].length}) + 'LOOKED';
"""
BROWSER = find_browser()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_it_looks_right_in_a_browser(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    frame = tmp_path / "frame.html"
    script = LOOK.replace("WIDTH", str(width))
    frame.write_text(
        f'<body><iframe src="{page.as_uri()}" style="border:0;width:{width}px;height:900px"></iframe>'
        f"<script>onload = () => {{{script}}}</script></body>"
    )
    arguments = ["--allow-file-access-from-files", "--window-size=1400,1000", "--dump-dom", frame.as_uri()]
    printed = run_browser(str(BROWSER), [*(["--force-dark-mode"] if dark else []), *arguments], tmp_path)
    looked: dict[str, Any] = json.loads(printed.split("LOOKED")[1].replace("&gt;", ">").replace("&lt;", "<"))
    assert looked["faults"] == []
    assert looked["fetched"] == 0
    assert looked["paper"] == ("rgb(17, 19, 24)" if dark else "rgb(255, 255, 255)")
    assert looked["lines"] == 2


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here")
def test_the_picture(results: Path, tmp_path: Path) -> None:
    out, png, markdown = (tmp_path / name for name in ("r.html", "r.png", "r.md"))
    arguments = ["report", str(results), "-o", str(out), "--png", str(png), "--markdown", str(markdown)]
    done = runner.invoke(app, arguments)
    assert done.exit_code == 0, done.output
    content = png.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", content[16:24])[0] == 2000
    assert len(content) > 100_000  # an empty page of this size has a tenth of it
    assert "](r.png)" in markdown.read_text(encoding="utf-8")
