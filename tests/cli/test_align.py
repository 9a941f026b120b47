"""`structgen align` and `jsonschemabench align`: figures that fit together, and a chart that is one."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner

import structgen
from jsonschemabench import nearer
from jsonschemabench.align import TASKS, AlignTask, measure, tables
from structgen import embedded
from structgen.cli import app
from structgen.cli.chart import line_chart
from structgen.vocab import Vocabulary

has_model = pytest.mark.skipif(
    not (embedded.model_path() / "config.json").is_file(), reason="the embedded model is not in this checkout"
)
VOCAB = Vocabulary.from_bytes([b"0", b"1", b"<end>"], eos_token_ids=2)


class Bits:
    """Five fair bits, then the end."""

    def next_logprobs(self, prefixes: list[list[int]]) -> np.ndarray:
        return np.array([[-np.inf, -np.inf, 0.0] if len(p) == 5 else [-math.log(2)] * 2 + [-np.inf] for p in prefixes])


def test_the_closed_form_in_a_report() -> None:
    """00000, and all that begins with 1: Z = 17/32, and masking is 0.754 nats off."""
    found = structgen.aligned.compare(
        Bits(),
        structgen.compile_regex("00000|1[01]{4}", VOCAB),
        max_tokens=5,
        budget=200,
        seeds=(0, 1),
        most_samples=150,
    )
    assert found.is_exact and found.is_enumerated and found.num_texts == 17
    assert math.exp(found.log_z.value) == pytest.approx(17 / 32, abs=1e-9)
    assert found.masking_kl == pytest.approx(0.754, abs=5e-4)
    assert found.asap_kl < 1e-9 and found.acceptance == pytest.approx(1.0)
    last = {run.name: run.curve[-1][1] for run in found.runs}
    assert last["masking"] == pytest.approx(0.754, abs=0.15)
    for name in ("masking, weighted", "rejection", "ASAp", "CARS", "SMC", "AWRS", "exact"):
        assert last[name] < 0.2, name  # 150 exact draws are 0.05 away
    assert last["MH"] < 0.5  # ten steps


def test_a_report_without_the_truth_is_an_estimate() -> None:
    """Not enough passes to work the language out: the estimates lie around what it is."""
    found = structgen.aligned.compare(
        Bits(),
        structgen.compile_regex("00000|1[01]{4}", VOCAB),
        max_tokens=5,
        budget=400,
        seeds=(0,),
        explore_budget=3,
        most_samples=20,
    )
    assert not found.is_exact and not found.is_enumerated
    assert abs(found.masking_kl - 0.754) < 5 * found.masking_kl_stderr
    assert abs(math.exp(found.log_z.value) - 17 / 32) < 5 * found.log_z.stderr + 1e-9
    assert found.asap_kl < 5 * found.asap_kl_stderr + 1e-3


def test_a_chart_is_well_formed_and_names_its_curves() -> None:
    text = line_chart("a & b", "x <", "y", [("one", [(1, 2.0), (1000, 0.01)]), ("none", []), ("flat", [(5, 1e-3)])])
    root = ElementTree.fromstring(text)
    labels = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a & b", "x <", "one", "flat", "100", "0.1"} <= set(labels)
    assert "none" not in labels


@has_model
def test_the_command(tmp_path: Path) -> None:
    plot = tmp_path / "chart.svg"
    arguments = ["align", "--schema", '{"enum": [1, 2, 12]}', "--budget", "60", "--seeds", "1", "--plot", str(plot)]
    done = CliRunner().invoke(app, [*arguments, "--sampler", "masking, weighted", "--sampler", "SMC", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["log_z"]["lower"] <= found["log_z"]["value"] <= found["log_z"]["upper"]
    assert found["masking_kl"] >= 0.0
    assert "masking, weighted" in plot.read_text()
    shown = CliRunner().invoke(app, [*arguments, "--sampler", "CARS", "--sampler", "GCD"])
    assert shown.exit_code == 2
    shown = CliRunner().invoke(app, [*arguments, "--sampler", "CARS"])
    assert shown.exit_code == 0 and "CARS" in shown.stdout and "KL(masking ‖ aligned)" in shown.stdout


@has_model
def test_the_tasks_of_the_benchmark_have_grammars() -> None:
    vocab = Vocabulary.from_file(embedded.tokenizer_path())
    texts = {
        "strings": '(str.++ (str.at name 0) ".")',
        "bit vectors": "(bvand s (bvnot #x7))",
        "parses": "(S (NP (DT the) (NN cat)) (VP (VBZ sees) (NP (NNP Tom))))",
    }
    for task in TASKS:
        matcher = structgen.compile_grammar(str(task.grammar), vocab, lexer="dynamic").matcher()
        assert matcher.accept_bytes(texts[task.name].encode()), task.name
        assert matcher.is_accepting()


def test_the_table_of_when_samplers_come_nearer() -> None:
    listed = nearer.Nearer("a", 5, -1.0, 0.0, 0.5, 0.0, 12.0, 0.05, 3.0, 9.0, 0.0, 1.0)
    drawn = nearer.Nearer("b", None, -2.0, 0.1, 0.7, 0.02, None, 0.6, 4.0, None, None, 2.0)
    rows, summary = nearer.tables([listed, drawn], Counter({"refused": 2}))
    assert [row[4] for row in rows.rows] == ["12", "–"] and "± 0.10" in rows.rows[1][2]
    assert "2: refused" in rows.note
    assert summary.rows[2] == ("passes until CARS' first text (exact)", "3", "4", "4", "0")
    assert summary.rows[1][1:] == ("12", "–", "–", "1")


@has_model
def test_a_schema_in_the_benchmark() -> None:
    task = AlignTask("numbers", "", 4, schema={"enum": [1, 2, 12]})
    found = measure(task, None, 40, (0,))
    off, runs = tables([(task, found)])
    assert len(off.rows) == 1 and len(runs.rows) == len(found.runs)
    assert "numbers" in off.markdown()
