"""transformers' tokenizers written in Python, read as a table of token bytes.

Two kinds carry what it takes: those with GPT-2's `byte_decoder`, and those with a SentencePiece `sp_model`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from structgen.errors import TokenizerError
from structgen.vocab.probe import check_round_trip
from structgen.vocab.spelling import ADVICE
from structgen.vocab.table import TokenTable


@dataclass(frozen=True)
class SlowEncoder:
    """The tokenizer's own `encode`, its dummy prefix taken off again."""

    tokenizer: Any
    tokens: list[bytes]
    by_bytes: Mapping[bytes, int]
    unspellable: str

    def __call__(self, text: str) -> list[int]:
        token_ids = list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True))
        spelled = b"".join([self.tokens[token_id] for token_id in token_ids])
        if not token_ids or spelled != b" " + text.encode():
            return token_ids
        rest = self.tokens[token_ids[0]][1:]
        if not rest:
            return token_ids[1:]
        return [self.by_bytes[rest], *token_ids[1:]] if rest in self.by_bytes else token_ids

    def without(self, token_ids: Collection[int]) -> SlowEncoder:
        return self


def read_slow(tokenizer: Any) -> TokenTable:
    """The table of a Python tokenizer, its round trip checked. `eos_token_ids` is left empty.

    Raises `TokenizerError` where it is of neither kind, or does not give texts back.
    """
    sentencepiece: Any = getattr(tokenizer, "sp_model", None)
    byte_decoder: Any = getattr(tokenizer, "byte_decoder", None)
    if sentencepiece is None and byte_decoder is None:
        raise TokenizerError(
            f"{type(tokenizer).__name__} is not a tokenizer we can read", advice=f"pass a fast tokenizer, or {ADVICE}"
        )
    added = dict(tokenizer.added_tokens_decoder)
    specials: dict[int, bytes] = {}
    tokens = [b""] * len(tokenizer)
    for token_id in range(len(tokenizer)):
        if token_id in added:
            continue
        entry = tokenizer.convert_ids_to_tokens(token_id)
        if entry is None:
            continue
        if sentencepiece is None:
            tokens[token_id] = bytes(byte_decoder[char] for char in entry)
            continue
        piece = sentencepiece.piece_to_id(entry)
        if sentencepiece.is_control(piece) or sentencepiece.is_unknown(piece):
            specials[token_id] = entry.encode()
        elif sentencepiece.is_byte(piece):
            tokens[token_id] = bytes((int(entry[3:5], 16),))
        else:
            tokens[token_id] = entry.replace("▁", " ").encode()
    for token_id, token in added.items():
        if token.special:
            specials[token_id] = token.content.encode()
        else:
            tokens[token_id] = token.content.encode()
    by_bytes = {token: token_id for token_id, token in enumerate(tokens) if token and token_id not in specials}
    encoder = SlowEncoder(tokenizer, tokens, by_bytes, "▁" if sentencepiece is not None else "")
    table = TokenTable(
        tokens=tokens,
        specials=specials,
        dummy_prefix=b" " if sentencepiece is not None and getattr(tokenizer, "add_prefix_space", True) else b"",
        encoder=encoder,
        names={token.content: token_id for token_id, token in added.items()},
    )
    check_round_trip(encoder, table.text_tokens)
    return table
