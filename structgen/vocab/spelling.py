"""What an entry of a tokenizer's vocabulary stands for, in bytes.

Owns the reading of a `tokenizer.json` decoder as a function of one token. Knows nothing of ids, added tokens or files.

A decoder is accepted when it treats tokens one by one: each of its steps then maps one token's string to a string, or
to bytes. Steps that look at neighbours (WordPiece's `##`, CTC) have no such function and are refused. Step names and
their meaning are those of https://github.com/huggingface/tokenizers (`decoders`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from structgen.errors import TokenizerError

Component = Mapping[str, Any]
"""One normalizer, pre-tokenizer or decoder, as in `tokenizer.json`."""
Step = Callable[[str], str | bytes]

ADVICE = "build the vocabulary with Vocabulary.from_bytes, which takes each token's bytes as they are"


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes (`bytes_to_unicode` in openai/gpt-2, encoder.py)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(rest)}


BYTE_LEVEL_ALPHABET = _byte_level_alphabet()
_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>", re.ASCII)


def _byte_level(token: str) -> bytes:
    try:
        return bytes(map(BYTE_LEVEL_ALPHABET.__getitem__, token))
    except KeyError:  # an entry with any other character is literal, in Hugging Face's decoder too
        return token.encode()


def _byte_fallback(token: str) -> str | bytes:
    return bytes((int(token[3:5], 16),)) if _BYTE_TOKEN.fullmatch(token) else token


def _replace(step: Component) -> Step:
    pattern, content = step["pattern"], step["content"]
    if "String" not in pattern:
        raise TokenizerError(f"the decoder replaces by a regular expression: {pattern}", advice=ADVICE)
    return lambda token: token.replace(pattern["String"], content)


def _metaspace(step: Component) -> Step:
    return lambda token: token.replace(step["replacement"], " ")


_STEPS: dict[str, Callable[[Component], Step]] = {
    "ByteLevel": lambda step: _byte_level,
    "ByteFallback": lambda step: _byte_fallback,
    "Replace": _replace,
    "Metaspace": _metaspace,
}


class Spelling:
    """`spelling(token) -> bytes` for the entries of one tokenizer's vocabulary, added tokens aside."""

    def __init__(self, decoder: Component | None, *, byte_level: bool = False, byte_fallback: bool = False) -> None:
        """Read `decoder`.

        `byte_level` says that the tokenizer writes bytes in GPT-2's alphabet, which settles the matter where there is
        no decoder; `byte_fallback` that its model spells bytes as `<0xAB>`, whether or not the decoder says so.
        """
        steps = flatten(decoder, "decoders")
        kinds = [step["type"] for step in steps]
        if byte_level and "ByteLevel" not in kinds:
            steps, kinds = [*steps, {"type": "ByteLevel"}], [*kinds, "ByteLevel"]
        if byte_fallback and "ByteFallback" not in kinds:
            steps, kinds = [{"type": "ByteFallback"}, *steps], ["ByteFallback", *kinds]
        if not steps:
            raise TokenizerError("the tokenizer has no decoder: how its tokens join is not said", advice=ADVICE)
        self._steps = [_STEPS[step["type"]](step) for step in _one_by_one(steps)]

    def __call__(self, token: str) -> bytes:
        spelled: str | bytes = token
        for step in self._steps:
            spelled = step(spelled)  # type: ignore[arg-type]  # bytes end the loop
            if isinstance(spelled, bytes):
                return spelled
        assert isinstance(spelled, str)
        return spelled.encode()


def flatten(component: Component | None, children: str) -> list[Component]:
    """The steps of a component: of a `Sequence`, those of its `children`; none where there is no component."""
    if component is None:
        return []
    if component["type"] != "Sequence":
        return [component]
    return [step for child in component[children] for step in flatten(child, children)]


def _one_by_one(steps: Sequence[Component]) -> list[Component]:
    """The steps that act on single tokens: those before `Fuse`. Only a strip of the text's start may follow it."""
    kinds = [step["type"] for step in steps]
    fuse = kinds.index("Fuse") if "Fuse" in kinds else len(kinds)
    for i, step in enumerate(steps):
        if i < fuse and step["type"] in _STEPS:
            continue
        if i == fuse or (i > fuse and step["type"] == "Strip" and step["stop"] == 0):
            continue
        raise TokenizerError(
            f"decoder step {step['type']!r} (in {', '.join(kinds)}) does not give each token bytes of its own",
            advice=ADVICE,
        )
    return list(steps[:fuse])
