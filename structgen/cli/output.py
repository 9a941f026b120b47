"""What commands write: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

out = Console()
err = Console(stderr=True)

PROGRESS_AFTER_S = 1.0

OnStep = Callable[[int, int], None]


def print_json(document: Any) -> None:
    """One JSON document for machines."""
    print(json.dumps(document, ensure_ascii=False))


@contextmanager
def progress(doing: str) -> Iterator[None]:
    """Says what goes on if it takes longer than a second, on a terminal."""
    status = err.status(doing)
    timer = threading.Timer(PROGRESS_AFTER_S, status.start)
    timer.daemon = True
    if err.is_terminal:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        status.stop()


@contextmanager
def steps() -> Iterator[Callable[[str], AbstractContextManager[OnStep]]]:
    """Progress bars for what is done in several steps, on a terminal: `with step(name) as on_step` is one of them.

    `on_step(done, total)` moves its bar; where it is never called the bar says only that something goes on.
    """
    columns = (TextColumn("{task.description:<26}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as bars:

        @contextmanager
        def step(name: str) -> Iterator[OnStep]:
            task = bars.add_task(name, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)
            bars.update(task, completed=1, total=1)

        yield step


def show_bytes(data: bytes) -> str:
    """Bytes as a reader sees them: a quoted string where they are UTF-8, else a Python bytes literal."""
    try:
        return json.dumps(data.decode(), ensure_ascii=False)
    except UnicodeDecodeError:
        return repr(data)


def show_byte_set(values: Iterable[int]) -> str:
    """A set of bytes as ranges: `"0"-"9", "}"`."""
    runs: list[tuple[int, int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], value)
        else:
            runs.append((value, value))
    return ", ".join(_show_run(low, high) for low, high in runs) or "nothing"


def _show_run(low: int, high: int) -> str:
    if low == high:
        return _show_byte(low)
    return f"{_show_byte(low)}, {_show_byte(high)}" if high == low + 1 else f"{_show_byte(low)}-{_show_byte(high)}"


def _show_byte(value: int) -> str:
    return json.dumps(chr(value)) if value < 0x7F else f"0x{value:02X}"
