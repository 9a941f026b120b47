"""What a tokenizer says about its tokens, before a `Vocabulary` is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from structgen.vocab.encoder import Encoder

END_OF_TEXT_NAMES: Final = (
    "<|eot_id|>",
    "<|im_end|>",
    "</s>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end|>",
    "<|return|>",
    "<eos>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
)
"""Special tokens that mean end of text where nothing else says which does, those that end a chat turn first."""


@dataclass(frozen=True)
class TokenTable:
    """Bytes, special tokens and end of text of one tokenizer."""

    tokens: list[bytes]
    """Bytes by id, empty where an id has none; entries of special tokens do not count."""
    specials: dict[int, bytes]
    """Special token ids and their names."""
    eos_token_ids: tuple[int, ...] = ()
    dummy_prefix: bytes = b""
    encoder: Encoder | None = None
    names: Mapping[str, int] = field(default_factory=dict)
    """Added tokens by name, special or not."""

    @property
    def text_tokens(self) -> list[bytes]:
        """Bytes by id, empty for special tokens."""
        return [b"" if i in self.specials else token for i, token in enumerate(self.tokens)]

    def end_of_text(self, names: Iterable[str] = END_OF_TEXT_NAMES) -> tuple[int, ...]:
        """The ids of those names that are added tokens here, in that order."""
        return tuple(dict.fromkeys(self.names[name] for name in names if name in self.names))
