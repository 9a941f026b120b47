"""`tokenizer.json` contents made by hand, and what is known of the real tokenizers."""

from __future__ import annotations

import copy
import json
from typing import Any

from tokenizers import Tokenizer

REAL_EOS = {"llama3": "<|eot_id|>", "tekken": "</s>", "qwen": "<|im_end|>", "mistral": "</s>"}

SPIECE_REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
SPIECE_NORMALIZER = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, SPIECE_REPLACE]}
SPIECE_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ],
}


def added_token(token_id: int, content: str, *, special: bool, **flags: bool) -> dict[str, Any]:
    """An entry of `added_tokens` in `tokenizer.json`."""
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": content, "special": special} | off | flags


def spiece_json() -> dict[str, Any]:
    """A SentencePiece-like BPE with byte fallback: bytes, letters, a few merges, and entries that look like bytes."""
    entries = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcdehlot<>0xé{}"]
    merges = [("▁", "▁"), ("t", "h"), ("th", "e"), ("▁", "the"), ("l", "l"), ("0", "x"), ("<", "0x")]
    entries += ["".join(pair) for pair in merges] + ["<0xZZ>", "<0x0G>"]
    specials = [added_token(i, entries[i], special=True) for i in range(3)]
    specials.append(added_token(len(entries), "<tool>", special=False, rstrip=True))
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": specials,
        "normalizer": SPIECE_NORMALIZER,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": SPIECE_DECODER,
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {entry: i for i, entry in enumerate(entries)},
            "merges": [list(pair) for pair in merges],
        },
    }
    return copy.deepcopy(spec)  # tests change it


def load(spec: dict[str, Any]) -> Tokenizer:
    return Tokenizer.from_str(json.dumps(spec))
