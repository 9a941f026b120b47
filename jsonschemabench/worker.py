"""In the worker: tasks one after another, until the supervisor hangs up or kills it."""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import os
import traceback
from multiprocessing.connection import Connection
from typing import IO

from jsonschemabench.exchange import Exchange
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


def work(
    bench: Bench,
    job: Job,
    pin: int | None,
    supervisor: Connection,
    theirs: Connection,
    exchange: Exchange,
    noise: IO[bytes],
) -> None:
    """Leave what ``job`` tells of every task in the exchange, and tell the supervisor when it has ended.

    ``theirs`` is the supervisor's own end of the connection.
    """
    theirs.close()
    die_with_parent()
    for stream in (1, 2):
        os.dup2(noise.fileno(), stream)
    if pin is not None:
        pin_to(pin)
    garbage = Garbage()
    faulthandler.disable()  # a crash leaves the engine's own last words, not ours
    with contextlib.suppress(EOFError, ConnectionError):
        for place in itertools.count():
            supervisor.recv_bytes()
            task = exchange.task(place)
            garbage.collect()
            noise.seek(0)
            noise.truncate()
            reset_peak()
            begin_mib, switches = private_mib(), involuntary_switches()
            ended, detail = "done", ""
            try:
                for event in job(bench, task):
                    exchange.tell(place, event)
            except MemoryError as error:
                ended, detail = "memory", f"MemoryError {error}".strip()
            except BaseException:
                supervisor.send(traceback.format_exc())
                continue
            supervisor.send(
                {
                    "ended": ended,
                    "detail": detail,
                    "peak_mib": resident_mib(os.getpid(), peak=True),
                    "begin_mib": begin_mib,
                    "end_mib": private_mib(),
                    "file_mib": file_mib(),
                    "switches": involuntary_switches() - switches,
                }
            )
