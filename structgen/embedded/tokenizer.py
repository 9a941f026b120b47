"""Trains the byte-level BPE tokenizer that target and draft share.

The pre-tokenizer's pieces are JSON's: a run of structural characters with the white space inside it is one piece, so
that `": "`, `", "`, `{"` and `"}` can become tokens, and a word never swallows a quote, so that a property name has the
same tokens in the schema and in the instance.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from structgen.embedded import END, PAD

VOCAB_SIZE = 4096
MAX_TOKEN_CHARS = 16
CONTEXT_TOKENS = 1024

# In order: a word (one of camelCase's parts, with one joining character before it), letters without case, up to three
# digits, structural characters and the white space between them, other punctuation, white space.
PIECES = "|".join(
    [
        r"[ _$/.@#\-]?\p{Lu}?\p{Ll}+",
        r"[ _$/.@#\-]?\p{Lu}+(?!\p{Ll})",
        r"[ _$/.@#\-]?\p{L}+",
        r" ?\p{N}{1,3}",
        r"[{}\[\]:,\"]+(?:\s+[{}\[\]:,\"]+)*",
        r" ?[^\s\p{L}\p{N}{}\[\]:,\"]+",
        r"\s+",
    ]
)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Train on `texts`; every byte is in the vocabulary, nothing is normalised, so any UTF-8 text round-trips."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        max_token_length=MAX_TOKEN_CHARS,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        clean_up_tokenization_spaces=False,
        model_max_length=CONTEXT_TOKENS,
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json, the class by the name that transformers 4 and 5 both know."""
    tokenizer.save_pretrained(folder)
    config_file = folder / "tokenizer_config.json"
    config = json.loads(config_file.read_text())
    config = {key: value for key, value in config.items() if key not in ("backend", "is_local", "local_files_only")}
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config_file.write_text(json.dumps(config, indent=2) + "\n")


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer that `folder` holds."""
    return PreTrainedTokenizerFast.from_pretrained(folder)
