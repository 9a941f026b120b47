"""What commands write: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console

out = Console()
err = Console(stderr=True)

PROGRESS_AFTER_S = 1.0


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
