"""A `tokenizers.Tokenizer`, read as a table of token bytes.

Owns which of its entries are text and which are special, and what is read off its parts. Never changes the tokenizer
it reads, and recognises no tokenizer by name: only its decoder, pre-tokenizer, normalizer and model say what it is.

- An added token with `special: true`, and the model's `unk_token`, is special: never text.
- Any other added token is text (that is what decoding makes of it). It stands for its literal content, unless the
  model's own vocabulary has it under the same id: then the model emits it too, and the decoder says what it spells
  (Gemma's `▁▁` is two spaces).
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from structgen.errors import TokenizerError
from structgen.vocab.encoder import BackendEncoder
from structgen.vocab.probe import check_round_trip
from structgen.vocab.spelling import ADVICE, Component, Spelling, flatten
from structgen.vocab.table import TokenTable


def identity(tokenizer: Any) -> str | None:
    """A digest of all that `read_backend` looks at, a third of its time; None where ids of the model have holes.

    Merges are not in it: they belong to the encoder, which is always made from the tokenizer itself.
    """
    model = tokenizer.model
    entries = list(map(model.id_to_token, range(tokenizer.get_vocab_size(with_added_tokens=False))))
    if None in entries:
        return None
    parts = [_component(tokenizer, part) for part in ("normalizer", "pre_tokenizer", "decoder")]
    added = [(i, each.content, each.special) for i, each in sorted(tokenizer.get_added_tokens_decoder().items())]
    options = [type(model).__name__, *(repr(getattr(model, name, None)) for name in _MODEL_OPTIONS)]
    text = json.dumps([entries, parts, added, options])
    return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


_MODEL_OPTIONS = ("continuing_subword_prefix", "end_of_word_suffix", "dropout", "byte_fallback", "unk_token")


def read_backend(tokenizer: Any, *, known: TokenTable | None = None) -> TokenTable:
    """The table of a `tokenizers.Tokenizer`, its round trip checked. `eos_token_ids` is left empty.

    `known` is the table of a tokenizer of the same `identity`: then only the encoder is new.

    Raises `TokenizerError` where its tokens cannot be given bytes of their own.
    """
    model = tokenizer.model
    if getattr(model, "continuing_subword_prefix", None) or getattr(model, "end_of_word_suffix", None):
        raise TokenizerError(
            f"the tokenizer's {type(model).__name__} model marks word pieces by an affix, and loses white space",
            advice=ADVICE,
        )
    if getattr(model, "dropout", None):  # encoding would be random; the caller's model keeps its dropout
        model = copy.deepcopy(model)
        model.dropout = None
    normalizer, pre_tokenizer, decoder = (
        _component(tokenizer, part) for part in ("normalizer", "pre_tokenizer", "decoder")
    )
    before_model = flatten(normalizer, "normalizers") + flatten(pre_tokenizer, "pretokenizers")
    spelling = Spelling(
        decoder,
        byte_level=any(step["type"] == "ByteLevel" for step in before_model),
        byte_fallback=bool(getattr(model, "byte_fallback", False)),
    )
    added = tokenizer.get_added_tokens_decoder()
    if known is None:
        tokens, specials = _spelled(tokenizer, model, added, spelling)
    else:
        tokens, specials = known.tokens, known.specials
    atoms: dict[str, int] = {}
    for token_id, token in sorted(added.items()):
        literal = token.content.encode()
        if literal and token_id not in specials and tokens[token_id] == literal:
            atoms[token.content] = token_id

    encoder = BackendEncoder.from_model(
        model, normalizer=normalizer, pre_tokenizer=pre_tokenizer, spelling=spelling, atoms=atoms
    )
    table = TokenTable(
        tokens=tokens,
        specials=specials,
        dummy_prefix=_dummy_prefix(before_model, spelling),
        encoder=encoder,
        names={token.content: token_id for token_id, token in added.items()},
    )
    if known is None:
        check_round_trip(encoder, table.text_tokens)
    return table


def _spelled(
    tokenizer: Any, model: Any, added: Mapping[int, Any], spelling: Spelling
) -> tuple[list[bytes], dict[int, bytes]]:
    """The bytes of all tokens by id, and the special ones with their names."""
    entries: dict[str, int] = tokenizer.get_vocab(with_added_tokens=False)
    tokens = [b""] * (max([*entries.values(), *added], default=-1) + 1)
    for entry, token_id in entries.items():
        tokens[token_id] = spelling(entry)
    specials: dict[int, bytes] = {}
    unknown = getattr(model, "unk_token", None)
    if unknown in entries:
        specials[entries[unknown]] = unknown.encode()
    for token_id, token in sorted(added.items()):
        if token.special:
            specials[token_id] = token.content.encode()
        elif entries.get(token.content) != token_id:
            tokens[token_id] = token.content.encode()
    return tokens, specials


def _component(tokenizer: Any, part: str) -> Component | None:
    """A normalizer, pre-tokenizer or decoder as it stands in `tokenizer.json`, without writing the whole vocabulary."""
    component = getattr(tokenizer, part)
    if component is None:
        return None
    try:
        read: Component | None = json.loads(component.__getstate__())
    except Exception as error:  # what tokenizers raises for a component written in Python
        raise TokenizerError(f"the tokenizer's {part} is custom code", advice=ADVICE) from error
    return read


def _dummy_prefix(before_model: list[Component], spelling: Spelling) -> bytes:
    """The bytes this tokenizer puts before a text when it is encoded the usual way."""
    for step in before_model:
        if step["type"] == "Prepend":
            return spelling(step["prepend"])
        scheme = step.get("prepend_scheme", "always" if step.get("add_prefix_space") else "never")
        if (step["type"] == "Metaspace" and scheme != "never") or (
            step["type"] == "ByteLevel" and step.get("add_prefix_space")
        ):
            return b" "
    return b""
