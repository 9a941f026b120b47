"""Models: a transformers model, its tokenizer and its vocabulary, loaded once.

Owns how a model is named (nothing, a name or folder, a pair) and how a prompt becomes token ids. Knows nothing of
grammars.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from os import PathLike, fspath
from typing import Any, TypeAlias

from structgen import embedded
from structgen.errors import StructgenError
from structgen.vocab import Vocabulary

ModelSpec: TypeAlias = "str | PathLike[str] | tuple[Any, Any] | LoadedModel | None"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A causal language model, ready to decode."""

    model: Any
    tokenizer: Any
    vocab: Vocabulary
    is_embedded: bool = False

    @cached_property
    def pad_token_id(self) -> int:
        """What fills the left of shorter prompts; it is masked out, so any token will do."""
        pad = self.tokenizer.pad_token_id
        return int(pad) if pad is not None else (*self.vocab.eos_token_ids, 0)[0]

    @cached_property
    def max_tokens(self) -> int | None:
        """Prompt and output together, or None where the model sets no limit."""
        limit = getattr(_text_config(self.model), "max_position_embeddings", None)
        return int(limit) if isinstance(limit, int) and limit > 0 else None

    @cached_property
    def forward_arguments(self) -> frozenset[str]:
        """Names of the arguments that the model's forward takes."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    @contextmanager
    def few_threads(self) -> Iterator[None]:
        """One thread while the embedded model runs; what the caller has set for any other.

        Its matrices are small. On a busy machine with two cores, two threads that wait for each other took 180 to 260
        ms a forward pass, one took 11.
        """
        if not self.is_embedded:
            yield
            return
        import torch

        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def encode_prompt(self, prompt: str, *, chat: bool) -> list[int]:
        """The prompt's token ids, with the tokenizer's own special tokens; through its chat template if asked."""
        if chat:
            messages = [{"role": "user", "content": prompt}]
            text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            token_ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        else:
            token_ids = self.tokenizer(prompt)["input_ids"]
        if not token_ids:
            start = self.tokenizer.bos_token_id
            token_ids = [self.pad_token_id if start is None else start]
        return [int(token) for token in token_ids]


def load(spec: ModelSpec) -> LoadedModel:
    """The model a caller named: None (embedded), a name or folder for transformers, a (model, tokenizer) pair."""
    if spec is None:
        return _embedded()
    if isinstance(spec, LoadedModel):
        return spec
    if isinstance(spec, tuple) and len(spec) == 2:
        model, tokenizer = spec
        return LoadedModel(model, tokenizer, _vocabulary(model, tokenizer))
    if isinstance(spec, (str, PathLike)):
        return _named(fspath(spec))
    raise TypeError(f"model must be None, a name, a folder or a (model, tokenizer) pair, not {type(spec).__name__}")


@lru_cache(maxsize=1)
def _embedded() -> LoadedModel:
    if not (embedded.model_path() / "config.json").is_file():
        raise StructgenError("the embedded model is not in this installation", advice="pass model=")
    from transformers.utils import logging

    showed_progress = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # In float32: on a CPU without bfloat16 arithmetic a pass over 33 tokens takes 14 ms instead of 35, and no ties
        # of bfloat16 logits are left to be decided by the order of a sum.
        model, tokenizer = _from_pretrained(str(embedded.model_path()), str(embedded.tokenizer_path()), "float32")
    finally:
        if showed_progress:
            logging.enable_progress_bar()
    return LoadedModel(model, tokenizer, _vocabulary(model, tokenizer), is_embedded=True)


@lru_cache(maxsize=2)
def _named(name: str) -> LoadedModel:
    model, tokenizer = _from_pretrained(name, name)
    return LoadedModel(model, tokenizer, _vocabulary(model, tokenizer))


def _from_pretrained(model_name: str, tokenizer_name: str, dtype: str = "auto") -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(model_name, dtype=dtype)
    if torch.cuda.is_available():
        model = model.to("cuda")
    return model.eval(), AutoTokenizer.from_pretrained(tokenizer_name)


# Reading a tokenizer of 131,072 tokens takes a second, so a caller's tokenizer is read once for as long as it lives.
_vocabularies: weakref.WeakKeyDictionary[Any, dict[tuple[int, int, tuple[int, ...]], Vocabulary]]
_vocabularies = weakref.WeakKeyDictionary()


def _vocabulary(model: Any, tokenizer: Any) -> Vocabulary:
    """The tokenizer's vocabulary, as wide as the model's logits, with every id at which the model stops."""
    if getattr(model.config, "is_encoder_decoder", False):
        raise TypeError("encoder-decoder models are not supported: pass a decoder-only (causal) language model")
    head = model.get_output_embeddings()
    width = int(head.weight.shape[0]) if head is not None else int(_text_config(model).vocab_size)
    ends: dict[int, None] = {}
    generation = getattr(model, "generation_config", None)
    for named in (tokenizer.eos_token_id, getattr(generation, "eos_token_id", None)):
        ends.update(dict.fromkeys([named] if isinstance(named, int) else named or ()))
    known = _vocabularies.setdefault(tokenizer, {})
    key = (len(tokenizer), width, tuple(ends))
    if key not in known:
        known[key] = Vocabulary.from_tokenizer(
            tokenizer, vocab_size=max(width, len(tokenizer)), eos_token_ids=list(ends) or None
        )
    return known[key]


def _text_config(model: Any) -> Any:
    config = model.config
    return config.get_text_config() if hasattr(config, "get_text_config") else config
