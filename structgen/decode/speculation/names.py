"""The names a schema declares, and where in an object a text stands: which key is likely to come next.

Where other keys are allowed beside the declared ones the grammar forces nothing, and yet a model writes the declared
ones, most often in their order. A JSON scanner follows the text (any text: a wrong guess costs a place in a tree).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_DEPTH = 12
MAX_NAMES = 2_000
_QUOTE, _BACKSLASH, _COMMA = 0x22, 0x5C, 0x2C
_SAME_OBJECT = ("allOf", "anyOf", "oneOf")
_INSIDE = ("items", "additionalProperties", "prefixItems", "then", "else", "if", "not", "contains")


class Names:
    """Declared names, as `json.dumps` spells them, by the key that goes before and by the object they are in."""

    def __init__(self, schema: Any) -> None:
        self._root = schema
        self._after: dict[bytes, dict[bytes, None]] = {}  # sets that keep their order
        self._first: dict[bytes, dict[bytes, None]] = {}
        self._num_names = 0
        self._read(schema, b"", MAX_DEPTH)

    def __bool__(self) -> bool:
        return self._num_names > 0

    def candidates(self, where: Where) -> list[tuple[int, bytes]]:
        """(rank, what is left of it, the closing quote included) of the names that the key in the making may become.

        The rank is that among all names that may come in this place: by their order in the schema, 0 the next one.
        """
        if where.string is None or not where.is_key:
            return []
        last = where.keys[-1] if where.keys else b""
        owner = next((key for key in reversed(where.keys[:-1]) if key), b"")
        names = self._after.get(last, {}) if last else self._first.get(owner, {})
        start = where.string
        return [(rank, name[len(start) :] + b'"') for rank, name in enumerate(names) if name.startswith(start)]

    def _read(self, schema: Any, owner: bytes, depth: int) -> None:
        if depth == 0 or not isinstance(schema, dict) or self._num_names > MAX_NAMES:
            return
        schema = self._resolved(schema)
        for below in self._same_object(schema, depth):
            properties = below.get("properties")
            if isinstance(properties, dict):
                names = [json.dumps(name, ensure_ascii=False)[1:-1].encode("utf-8", "replace") for name in properties]
                known = self._first.setdefault(owner, {})
                is_new = any(name not in known for name in names)
                known.update(dict.fromkeys(names))
                for i, name in enumerate(names):
                    self._after.setdefault(name, {}).update(dict.fromkeys(names[i + 1 :]))
                self._num_names += len(names)
                if is_new:  # else it was read before: a schema that refers to itself
                    for name, child in zip(names, properties.values(), strict=True):
                        self._read(child, name, depth - 1)
            for keyword in _INSIDE:
                inside = below.get(keyword)
                for child in inside if isinstance(inside, list) else [inside]:
                    self._read(child, owner, depth - 1)

    def _same_object(self, schema: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
        yield schema
        for keyword in _SAME_OBJECT:
            parts = schema.get(keyword)
            if depth and isinstance(parts, list):
                for part in parts:
                    if isinstance(part, dict):
                        yield from self._same_object(self._resolved(part), depth - 1)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema that a local reference means; itself where there is none that leads anywhere."""
        for _ in range(8):
            reference = schema.get("$ref")
            if not isinstance(reference, str) or (reference != "#" and not reference.startswith("#/")):
                break
            found = self._root
            for step in reference.split("/")[1:]:
                step = step.replace("~1", "/").replace("~0", "~")
                found = found.get(step) if isinstance(found, dict) else None
            if not isinstance(found, dict):
                break
            schema = found
        return schema


class Where(NamedTuple):
    """Where a text of JSON stands.

    keys: for each open object and array the last key written in it, b"" if there is none. is_object: which of them are
    objects. string: what is written of the string in the making, None outside. is_key: whether that string is a key,
    or the next one would be.
    """

    keys: tuple[bytes, ...] = ()
    is_object: tuple[bool, ...] = ()
    string: bytes | None = None
    is_key: bool = False

    def after(self, data: bytes) -> Where:
        """Where it stands after more bytes."""
        keys, kinds, string, is_key = list(self.keys), list(self.is_object), self.string, self.is_key
        for byte in data:
            if string is not None:
                if byte == _QUOTE and (len(string) - len(string.rstrip(b"\\"))) % 2 == 0:
                    if is_key and keys:
                        keys[-1] = string
                    string, is_key = None, False
                else:
                    string += bytes((byte,))
            elif byte == _QUOTE:
                string = b""
            elif byte in b"{[":
                keys.append(b"")
                kinds.append(byte == 0x7B)
                is_key = byte == 0x7B
            elif byte in b"}]":
                del keys[-1:], kinds[-1:]
                is_key = False
            elif byte == _COMMA:
                is_key = bool(kinds) and kinds[-1]
        return Where(tuple(keys), tuple(kinds), string, is_key)
