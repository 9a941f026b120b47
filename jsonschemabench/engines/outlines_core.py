"""outlines-core: schema to regular expression, regular expression to a token index, a guide per text."""

from __future__ import annotations

import json
from typing import Any

from jsonschemabench.engines.base import Bitmask, Refused, Settings
from jsonschemabench.engines.packages import installed_version, require
from jsonschemabench.tokenizer import Tokenizer


class OutlinesCoreSession:
    """A guide, and the address of the bitmask."""

    def __init__(self, guide: Any) -> None:
        self._guide = guide
        self._bitmask: Bitmask | None = None
        self._address = 0
        self._num_words = 0

    def mask(self, bitmask: Bitmask) -> None:
        if bitmask is not self._bitmask:
            self._bitmask, self._address, self._num_words = bitmask, bitmask.ctypes.data, bitmask.size
        self._guide.write_mask_into(self._address, self._num_words, 4)

    def commit(self, token_id: int) -> bool:
        try:
            self._guide.advance(token_id, return_tokens=False)
        except ValueError:
            return False
        return True

    def may_end(self) -> bool:
        return bool(self._guide.is_finished())

    def error(self) -> str:
        return ""


class OutlinesCoreCompiled:
    """A token index."""

    def __init__(self, guide_class: Any, index: Any) -> None:
        self._guide_class = guide_class
        self._index = index

    def start(self) -> OutlinesCoreSession:
        return OutlinesCoreSession(self._guide_class(self._index))


class OutlinesCoreEngine:
    """outlines-core with its defaults."""

    name = "outlines-core"

    def version(self) -> str:
        return installed_version(self.name, "outlines-core")

    def options(self) -> str:
        return "build_regex_from_schema, Index, Guide.write_mask_into"

    def setup(self, tokenizer: Tokenizer, settings: Settings) -> None:
        self._library = require(self.name, "outlines_core", "outlines-core")
        ids_of: dict[bytes, list[int]] = {}
        for token_id, spelling in enumerate(tokenizer.token_bytes):
            if spelling and token_id != tokenizer.eos_token_id:
                ids_of.setdefault(spelling, []).append(token_id)
        self._vocabulary = self._library.Vocabulary(tokenizer.eos_token_id, ids_of)

    def compile(self, schema: Any) -> OutlinesCoreCompiled:
        try:
            pattern = self._library.json_schema.build_regex_from_schema(json.dumps(schema))
            index = self._library.Index(pattern, self._vocabulary)
        except ValueError as error:
            raise Refused(str(error)) from error
        return OutlinesCoreCompiled(self._library.Guide, index)
