"""A random model of a few thousand weights with a tokenizer of its own, made in a moment."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXTS = [
    '{"name": "Ada", "age": 36, "tags": ["mathematics", "poetry"], "active": true}',
    '{"id": 12, "title": "A tale of two cities", "price": 3.5, "author": null}',
    '[{"x": 0.25, "y": -1}, {"x": 100, "y": 2e3}]',
    "The quick brown fox jumps over the lazy dog. Größe, naïveté, 東京, 🙂",
    "Schema: answer with a person, a city, a colour; then stop.",
] * 3

PADDING = 13
"""Logits the model has beyond its tokenizer, as many real models do."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with 400 tokens, `<|pad|>` and `<|end|>` among them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>")


def make_tiny_model(seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """The model (float32, CPU) and its tokenizer. Weights are large enough that the logits are far from flat."""
    torch.set_num_threads(1)  # two threads wait for each other longer than such small matrices take
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer) + PADDING,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    torch.manual_seed(seed)
    return LlamaForCausalLM(config).eval(), tokenizer
