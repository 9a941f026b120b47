"""llguidance as it is used by servers: grammar from the schema, a prototype matcher, a deep copy per text."""

from __future__ import annotations

from typing import Any

from jsonschemabench.engines.base import Bitmask, Refused, Settings
from jsonschemabench.engines.packages import installed_version, require
from jsonschemabench.tokenizer import Tokenizer


class LlguidanceSession:
    """A matcher, and the address of the bitmask so that no mask pays for looking it up."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._fill = matcher.unsafe_compute_mask_ptr
        self.commit = matcher.consume_token
        self._bitmask: Bitmask | None = None
        self._address = 0
        self._num_bytes = 0

    def mask(self, bitmask: Bitmask) -> None:
        if bitmask is not self._bitmask:
            self._bitmask, self._address, self._num_bytes = bitmask, bitmask.ctypes.data, bitmask.nbytes
        self._fill(self._address, self._num_bytes)

    def may_end(self) -> bool:
        return bool(self._matcher.is_accepting())

    def error(self) -> str:
        return str(self._matcher.get_error()) if self._matcher.is_error() else ""


class LlguidanceCompiled:
    """A matcher that has read nothing, to be copied."""

    def __init__(self, prototype: Any) -> None:
        self._prototype = prototype

    def start(self) -> LlguidanceSession:
        return LlguidanceSession(self._prototype.deep_copy())


class LlguidanceEngine:
    """llguidance with its defaults."""

    name = "llguidance"

    def version(self) -> str:
        return installed_version(self.name, "llguidance")

    def options(self) -> str:
        return "grammar_from_json_schema defaults, default slices, one matcher copied per text"

    def setup(self, tokenizer: Tokenizer, settings: Settings) -> None:
        self._library = require(self.name, "llguidance", "llguidance")
        self._tokenizer = self._library.LLTokenizer(
            tokenizer.json_text, n_vocab=tokenizer.vocab_size, eos_token=tokenizer.eos_token_id
        )

    def compile(self, schema: Any) -> LlguidanceCompiled:
        try:
            grammar = self._library.LLMatcher.grammar_from_json_schema(schema)
        except ValueError as error:
            raise Refused(str(error)) from error
        matcher = self._library.LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise Refused(matcher.get_error())
        return LlguidanceCompiled(matcher)
