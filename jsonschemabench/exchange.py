"""What a supervisor and its worker leave for each other: tasks, and what was told of them, in files without names.

Not in messages: one that is sent wakes the other side's core, and a task that is longer than a pipe holds would have to
wait for its reader, who would then wait for it. The two only say to each other that a task is there, or has ended. What
is written is there too when the worker is killed.
"""

from __future__ import annotations

import errno
import io
import os
import pickle
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from jsonschemabench.measure import Event


class Exchange:
    """The last two tasks of a worker; ``place`` counts its tasks from 0.

    Two, because the worker may be at the next task before what it told of the last is read. Whoever is handed a task
    has read what was told of the one before the last.
    """

    def __init__(self) -> None:
        self._tasks, self._events = _files(), _files()

    def hand_over(self, place: int, task: bytes) -> None:
        """Leave a pickled task for the worker."""
        _write(_empty(self._tasks[place % 2]), task)
        _empty(self._events[place % 2])

    def task(self, place: int) -> Any:
        """The task, in the worker."""
        return pickle.loads(_content(self._tasks[place % 2]))

    def tell(self, place: int, event: Event) -> None:
        """Write an event of the task down, in the worker."""
        _write(self._events[place % 2], pickle.dumps(event))

    def told(self, place: int) -> list[Event]:
        """The events of the task; of one that was being written when the worker was killed, nothing."""
        return list(_unpickled(_content(self._events[place % 2])))

    def close(self) -> None:
        for file in (*self._tasks, *self._events):
            file.close()


def _files() -> list[IO[bytes]]:
    return [tempfile.TemporaryFile(buffering=0) for _ in range(2)]


def _empty(file: IO[bytes]) -> IO[bytes]:
    file.seek(0)
    file.truncate()
    return file


def _write(file: IO[bytes], content: bytes) -> None:
    if file.write(content) != len(content):
        raise OSError(errno.ENOSPC, "a task or what was told of it does not fit into the temporary folder")


def _content(file: IO[bytes]) -> bytes:
    """What is in a file. Both sides share the place where it is written on, which therefore stays where it is."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def _unpickled(content: bytes) -> Iterator[Event]:
    stream = io.BytesIO(content)
    while True:
        try:
            yield pickle.load(stream)
        except (EOFError, pickle.UnpicklingError):
            return
