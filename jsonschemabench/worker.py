"""In the worker: tasks one after another, until the supervisor hangs up or kills it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import traceback
from multiprocessing.connection import Connection
from typing import IO

from jsonschemabench.garbage import Garbage
from jsonschemabench.measure import Bench, Job
from jsonschemabench.process import (
    die_with_parent,
    file_mib,
    involuntary_switches,
    pin_to,
    private_mib,
    reset_peak,
    resident_mib,
)


def work(bench: Bench, job: Job, pin: int | None, supervisor: Connection, theirs: Connection, noise: IO[bytes]) -> None:
    """Yield what ``job`` tells of every task to the supervisor, and an ``end`` after it. ``theirs`` is its own end."""
    theirs.close()
    die_with_parent()
    for stream in (1, 2):
        os.dup2(noise.fileno(), stream)
    if pin is not None:
        pin_to(pin)
    garbage = Garbage()
    faulthandler.disable()  # a crash leaves the engine's own last words, not ours
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task = supervisor.recv()
            garbage.collect()
            noise.seek(0)
            noise.truncate()
            reset_peak()
            begin_mib, switches = private_mib(), involuntary_switches()
            ended, detail = "done", ""
            try:
                for event in job(bench, task):
                    supervisor.send(event)
            except MemoryError as error:
                ended, detail = "memory", f"MemoryError {error}".strip()
            except (EOFError, ConnectionError):
                raise
            except BaseException:
                supervisor.send({"event": "harness", "traceback": traceback.format_exc()})
                continue
            supervisor.send(
                {
                    "event": "end",
                    "ended": ended,
                    "detail": detail,
                    "peak_mib": resident_mib(os.getpid(), peak=True),
                    "begin_mib": begin_mib,
                    "end_mib": private_mib(),
                    "file_mib": file_mib(),
                    "switches": involuntary_switches() - switches,
                }
            )
