"""What an unfinished JSON text already says: the value so far, for streaming.

Law: values only grow. Lists and objects gain members, strings gain characters, and nothing that was shown is taken
back. So a number or a literal shows only once it has ended, a key only once its value shows, and a string is cut before
an escape that is not complete.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

NOTHING: Final = object()
"""There is no value yet."""

_SPACE = re.compile(r"[ \t\n\r]*")
_STRING_BODY = re.compile(r'(?:[^"\\]|\\(?:[^u]|u[0-9a-fA-F]{4}))*', re.DOTALL)
_SCALAR = re.compile(r"[-+.\w]+")
_HIGH_SURROGATE = re.compile("[\ud800-\udbff]\\Z")


def partial_value(text: str, *, finished: bool = False) -> Any:
    """The value that `text`, a prefix of a JSON text, already determines; `NOTHING` if there is none.

    `finished` says that nothing will follow: then a number or literal at the end counts.

    >>> partial_value('{"name": "Ad", "tags": ["a", "b')
    {'name': 'Ad', 'tags': ['a', 'b']}
    >>> partial_value('[1, 2')
    [1]
    """
    reader = _Reader(text, finished)
    reader.run()
    return reader.root


class _Reader:
    """An iterative reader (nesting may be deeper than Python's stack): `open` holds the containers around `at`."""

    def __init__(self, text: str, finished: bool) -> None:
        self.text = text
        self.finished = finished
        self.at = 0
        self.root: Any = NOTHING
        self.open: list[tuple[list[Any] | dict[str, Any], str | None]] = []
        """Containers and, for objects, the key whose value is due."""

    def run(self) -> None:
        while self._step():
            pass

    def _step(self) -> bool:
        """Reads one token. False where the text ends."""
        self._skip_space()
        if self.at >= len(self.text):
            return False
        char = self.text[self.at]
        container, key = self.open[-1] if self.open else (None, None)
        if char in "]}":
            self.at += 1
            self.open.pop()
            return bool(self.open)
        if char == ",":
            self.at += 1
            return True
        if isinstance(container, dict) and key is None:
            return self._read_key(container)
        return self._read_value(char)

    def _read_key(self, container: dict[str, Any]) -> bool:
        key, closed = self._read_string()
        self._skip_space()
        if not closed or self.at >= len(self.text):
            return False
        self.at += 1  # the colon
        self.open[-1] = (container, key)
        return True

    def _read_value(self, char: str) -> bool:
        if char in "[{":
            self.at += 1
            value: list[Any] | dict[str, Any] = [] if char == "[" else {}
            self._put(value)
            self.open.append((value, None))
            return True
        if char == '"':
            text, closed = self._read_string()
            self._put(text)
            return closed and bool(self.open)
        match = _SCALAR.match(self.text, self.at)
        if match is None or (match.end() == len(self.text) and not self.finished):
            return False
        self.at = match.end()
        self._put(json.loads(match.group()))
        return bool(self.open)

    def _read_string(self) -> tuple[str, bool]:
        """The string at `at`, and whether its closing quote is there."""
        match = _STRING_BODY.match(self.text, self.at + 1)
        assert match is not None
        self.at = match.end() + 1
        closed = match.end() < len(self.text) and self.text[match.end()] == '"'
        value: str = json.loads(f'"{match.group()}"', strict=False)
        return (value if closed else _HIGH_SURROGATE.sub("", value)), closed

    def _put(self, value: Any) -> None:
        if not self.open:
            self.root = value
            return
        container, key = self.open[-1]
        if isinstance(container, dict):
            assert key is not None
            container[key] = value
            self.open[-1] = (container, None)
        else:
            container.append(value)

    def _skip_space(self) -> None:
        match = _SPACE.match(self.text, self.at)
        assert match is not None
        self.at = match.end()
