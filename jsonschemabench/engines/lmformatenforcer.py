"""lm-format-enforcer: a character-level parser walked over a prefix tree of the vocabulary, in Python.

It has no commit: the next mask takes the sequence of tokens so far, so the cost of a commit is in that mask.
"""

from __future__ import annotations

import functools
from typing import Any

from jsonschemabench.engines.base import Bitmask, Refused, Settings
from jsonschemabench.engines.packages import installed_version, require
from jsonschemabench.tokenizer import Tokenizer


class LmFormatEnforcerSession:
    """A token enforcer and the tokens so far."""

    def __init__(self, enforcer: Any, eos_token_id: int) -> None:
        self._enforcer = enforcer
        self._eos_token_id = eos_token_id
        self._token_ids: list[int] = []

    def mask(self, bitmask: Bitmask) -> None:
        bitmask[0] = self._enforcer.get_allowed_tokens(self._token_ids).allowed_tokens.numpy()

    def commit(self, token_id: int) -> bool:
        allowed = self._enforcer.get_allowed_tokens(self._token_ids)
        if not allowed.is_token_allowed(token_id):
            return False
        self._token_ids.append(token_id)
        return True

    def may_end(self) -> bool:
        return bool(self._enforcer.get_allowed_tokens(self._token_ids).is_token_allowed(self._eos_token_id))

    def error(self) -> str:
        return ""


class LmFormatEnforcerCompiled:
    """A schema's parser, not yet advanced (its parsers are immutable, and every session starts from it)."""

    def __init__(self, make_enforcer: Any, eos_token_id: int) -> None:
        self._make_enforcer = make_enforcer
        self._eos_token_id = eos_token_id

    def start(self) -> LmFormatEnforcerSession:
        return LmFormatEnforcerSession(self._make_enforcer(), self._eos_token_id)


class LmFormatEnforcerEngine:
    """lm-format-enforcer with its defaults and bit masks."""

    name = "lm-format-enforcer"

    def version(self) -> str:
        return installed_version(self.name, "lm-format-enforcer")

    def options(self) -> str:
        return "JsonSchemaParser defaults, use_bitmask=True"

    def setup(self, tokenizer: Tokenizer, settings: Settings) -> None:
        self._library = require(self.name, "lmformatenforcer", "lm-format-enforcer")
        inner = tokenizer.backend
        # A token's text is what it adds after another token, as in the library's own transformers integration.
        anchor = inner.encode("0", add_special_tokens=False).ids[-1]
        regular = []
        for token_id, spelling in enumerate(tokenizer.token_bytes):
            if spelling is None:
                continue
            after = inner.decode([anchor, token_id], skip_special_tokens=False)[1:]
            alone = inner.decode([token_id], skip_special_tokens=False)
            regular.append((token_id, after, len(after) > len(alone)))
        self._eos_token_id = tokenizer.eos_token_id
        self._data = self._library.TokenEnforcerTokenizerData(
            regular,
            lambda token_ids: inner.decode(token_ids, skip_special_tokens=False).rstrip("\ufffd"),
            tokenizer.eos_token_id,
            True,
            tokenizer.vocab_size,
        )

    def compile(self, schema: Any) -> LmFormatEnforcerCompiled:
        if not isinstance(schema, dict):
            raise Refused("JsonSchemaParser takes no boolean schema")
        try:
            parser = self._library.JsonSchemaParser(schema)
        except (ValueError, NotImplementedError, self._library.LMFormatEnforcerException) as error:
            raise Refused(f"{type(error).__name__}: {error}") from error
        return LmFormatEnforcerCompiled(
            functools.partial(self._library.TokenEnforcer, self._data, parser), self._eos_token_id
        )
