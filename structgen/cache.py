"""Files that are kept from one process to the next: where they are, how they are written, and how many there may be.

Everything in here can be made again, so nothing is ever an error: what cannot be read, is damaged or cut off is as good
as absent, and a folder that cannot be written means that nothing is kept. Processes may read and write at once: a file
appears as a whole or not at all. What is in the files, and what a key must contain so that none is ever stale, is the
business of who keeps them.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path

VARIABLE = "STRUCTGEN_CACHE"
"""The environment variable that names another folder, or, if it is empty, says that nothing is to be kept."""

_DIGEST = 32  # bytes in front of what is kept


def cache_folder() -> Path | None:
    """Where files are kept: `$STRUCTGEN_CACHE`, or the user's cache folder; None if nothing is to be kept."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named).expanduser() if named else None
    import platformdirs

    return platformdirs.user_cache_path("structgen")


class Cache:
    """A folder of files of one kind, by key. Beyond `max_bytes` those that were used least recently go."""

    def __init__(self, kind: str, *, max_bytes: int) -> None:
        self.kind = kind
        self.max_bytes = max_bytes

    def read(self, key: str) -> bytes | None:
        """What was kept under a key; None if there is nothing, or nothing sound."""
        path = self._path(key)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            if hashlib.blake2b(data[_DIGEST:], digest_size=_DIGEST).digest() != data[:_DIGEST]:
                return None
            os.utime(path)
        except OSError:
            return None
        return data[_DIGEST:]

    def map(self, key: str) -> memoryview | None:
        """As `read`, mapped into memory: processes share the pages. It stays as it is, whatever becomes of the file."""
        path = self._path(key)
        if path is None:
            return None
        try:
            with path.open("rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            os.utime(path)
        except (OSError, ValueError):  # the latter: an empty file
            return None
        if hashlib.blake2b(data[_DIGEST:], digest_size=_DIGEST).digest() != data[:_DIGEST]:
            return None
        return data[_DIGEST:]

    def write(self, key: str, data: bytes) -> bool:
        """Keep something under a key, in place of what was there. Whether that worked."""
        path = self._path(key)
        if path is None or len(data) > self.max_bytes:
            return False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.blake2b(data, digest_size=_DIGEST).digest() + data)
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
            self._shrink(path.parent)
        except OSError:
            return False
        return True

    def _path(self, key: str) -> Path | None:
        folder = cache_folder()
        return None if folder is None else folder / self.kind / key

    def _shrink(self, folder: Path) -> None:
        """Remove the files used least recently until the rest fits; and what a process that died left half written."""
        known = []
        for file in folder.iterdir():
            with suppress(OSError):
                stat = file.stat()
                known.append((stat.st_mtime, stat.st_size, file))
        newest = max((time for time, _, _ in known), default=0.0)
        left = self.max_bytes
        for time, size, file in sorted(known, key=lambda one: -one[0]):
            left -= size
            if left < 0 or (file.suffix == ".part" and time < newest - _ABANDONED):
                with suppress(OSError):
                    file.unlink()


_ABANDONED = 3600  # seconds after which a file that is being written is not any more
