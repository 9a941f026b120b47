"""A picture of a page, taken by a headless Chromium if one is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from jsonschemabench.report.results import ReportProblem

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless_shell")
TIMEOUT_S = 60


def find_browser() -> str | None:
    """The program, or None. The environment variable ``CHROMIUM`` goes before what is on the path."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


def take_picture(html: str, width: int, height: int, out: Path) -> None:
    """Write a PNG of a page, two pixels to a CSS pixel. Raises ``ReportProblem``."""
    browser = find_browser()
    if browser is None:
        raise ReportProblem("--png needs a Chromium or Chrome, and none was found: install one, or set CHROMIUM")
    with tempfile.TemporaryDirectory(prefix="jsonschemabench-") as folder:
        page = Path(folder) / "page.html"
        page.write_text(html, encoding="utf-8")
        picture = Path(folder) / "page.png"
        size = [f"--window-size={width},{height}", "--force-device-scale-factor=2", "--hide-scrollbars"]
        run_browser(browser, [*size, f"--screenshot={picture}", page.as_uri()], Path(folder))
        if not picture.is_file():
            raise ReportProblem(f"{browser} took no picture")
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, out)


def run_browser(browser: str, arguments: list[str], folder: Path) -> str:
    """Run it headless with a profile of its own in ``folder``; what it prints. Raises ``ReportProblem``."""
    fixed = ["--headless", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        fixed.append("--no-sandbox")  # Chromium's sandbox does not start for root, as in most containers
    command = [browser, *fixed, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or ""
        raise ReportProblem(f"{browser} failed: {error} {str(said)[-300:]}".strip()) from error
    return done.stdout
