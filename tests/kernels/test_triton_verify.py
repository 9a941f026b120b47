"""The Triton kernels under Triton's interpreter, in a process of its own: it is chosen when Triton is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")


def run_cases(*options: str) -> None:
    here = Path(__file__).parent
    cases = str(here / "triton_cases.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *options, cases],
        capture_output=True, text=True, cwd=here.parents[1], env={**os.environ, "TRITON_INTERPRET": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "passed" in done.stdout


def test_triton_kernels_agree_under_the_interpreter() -> None:
    run_cases("-k", "ties or 5-torch.bfloat16")


@pytest.mark.slow
def test_triton_kernels_agree_on_more_under_the_interpreter() -> None:
    run_cases()
