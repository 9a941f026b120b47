"""The round trip a tokenizer must pass before its token bytes are believed.

Owns the probe texts. A tokenizer fails where our reading of its vocabulary is wrong, and where it cannot spell a text
at all (unknown tokens, dropped white space): in both cases masks made from its bytes would be wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from structgen.errors import TokenizerError
from structgen.vocab.encoder import Encoder
from structgen.vocab.spelling import ADVICE

PROBES: Final = {
    "plain text": "The quick brown fox, 1234567890 times; isn't it?",
    "JSON": '{"name": "A \\"b\\" \\u00e9\\n", "list": [1, -2.5e+10, true, null], "nested": {"": {}}}',
    "compact JSON": '[{"a":[[]]},{"b":""}]',
    "runs of spaces": " a  b   c    d        e ",
    "newlines and tabs": "\n\nx\r\n\ty\t\t\tz\n \n",
    "accents": "Crème brûlée, naïve façade, Ångström, Größe, Łódź",
    "other alphabets": "Привет, мир. Γειά σου. שלום. مرحبا. नमस्ते. สวัสดี",
    "CJK": "你好，世界。こんにちは。안녕하세요",
    "emoji": "👩‍👩‍👧‍👦 🏳️‍🌈 🤷🏽‍♀️ 🇫🇷 🫠",
    "combining marks": "e\u0301 n\u0303 \u1100\u1161 a\u0308\u0323",
    "control characters": "\x00\x01\x07\x08\x0b\x0c\x1b[0m\x7f\x85\xa0\xad\u200b\u2028\ufeff",
    "code": "def f(x: int) -> str:\n    return f\"{x!r}\" if x >= 0 else '<0x0A>'  # ±1\n\n\nf(3)\n",
    "markup": "<s>[INST] <|im_start|> </s> <unk> <0x20>",
}


def check_round_trip(encoder: Encoder, tokens: Sequence[bytes]) -> None:
    """Encode every probe and compare bytes; `tokens` are bytes by id, empty for special tokens.

    Raises `TokenizerError` that says which probe came back different, and where.
    """
    for name, text in PROBES.items():
        expected = text.encode()
        pieces = [tokens[token_id] for token_id in encoder(text)]
        got = b"".join(pieces)
        if got == expected:
            continue
        at = next(i for i in range(len(expected) + 1) if expected[: i + 1] != got[: i + 1])
        window = slice(max(0, at - 8), at + 16)
        raise TokenizerError(
            f"the tokenizer does not give back the {name} probe: at byte {at} expected {expected[window]!r}, "
            f"its tokens spell {got[window]!r}",
            advice=f"its tokens have no exact bytes we know of; {ADVICE}",
        )
