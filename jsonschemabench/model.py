"""A causal language model as the benchmark runs it: token ids in, one token chosen, its key-value cache inside.

Owns how a model is named and how a prompt becomes token ids; knows no engine. torch and transformers are imported when
a model is loaded, which happens before workers are forked; the accelerator, if any, is first touched in the worker.
"""

from __future__ import annotations

import functools
import inspect
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jsonschemabench.engines.base import Bitmask
from jsonschemabench.tokenizer import Tokenizer

EMBEDDED_NAME = "embedded"
"""The model that structgen carries."""


class ModelProblem(Exception):
    """A model that cannot be loaded, and why."""


class Continuation(Protocol):
    """One text that is being written."""

    def read(self, token_ids: Sequence[int]) -> None:
        """One forward pass over tokens that follow what was read before; returns when its logits are there."""

    def choose(self, bitmask: Bitmask | None) -> int | None:
        """The likeliest token that the bitmask allows (None allows all); None where it allows nothing."""


class Model(Protocol):
    """What ``writing`` needs of a model. ``load`` is called once before workers are forked, ``ready`` in each."""

    name: str
    context: int | None
    """How many tokens prompt and text may have together; None where the model names no limit."""
    end_ids: frozenset[int]
    settings: dict[str, Any]
    """What else of it the figures depend on."""

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer for the engines, the same for all of them."""

    def load(self) -> None: ...

    def ready(self) -> None: ...

    def encode(self, prompt: str) -> list[int]: ...

    def begin(self) -> Continuation: ...


class TransformersModel:
    """A model of the transformers library: ``embedded``, a folder, or a name on the Hugging Face hub."""

    def __init__(self, name: str | None = None, *, num_threads: int = 1, chat: bool = False) -> None:
        self.name = name or EMBEDDED_NAME
        self.is_embedded = self.name == EMBEDDED_NAME
        self._source = str(_embedded_path()) if self.is_embedded else self.name
        self._num_threads = num_threads
        self._chat = chat
        self.settings = {"threads": num_threads, "chat": chat}
        self._model: Any = None
        self._is_ready = False
        # Asking the driver whether there is a GPU, as libraries do on import, would keep forked workers from using it.
        os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
        try:
            transformers = _transformers()
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(self._source)
            config = transformers.AutoConfig.from_pretrained(self._source)
            if chat and not self._tokenizer.chat_template:
                raise ModelProblem(f"the tokenizer of {self.name} has no chat template: leave --chat out")
            try:
                generation = transformers.GenerationConfig.from_pretrained(self._source).eos_token_id
            except OSError:  # no such file: the tokenizer alone says where a text ends
                generation = None
        except (OSError, ValueError) as error:
            raise ModelProblem(f"the model {self.name} cannot be loaded: {_first_line(error)}") from error
        self.context = getattr(config.get_text_config(), "max_position_embeddings", None)
        named = generation if isinstance(generation, list) else [generation]
        self.end_ids = frozenset(int(each) for each in [self._tokenizer.eos_token_id, *named] if each is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels as its name: another machine loads the model from where it has it."""
        make = functools.partial(TransformersModel, num_threads=self._num_threads, chat=self._chat)
        return make, (self.name,)

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer for the engines, the same for all of them."""
        eos = self._tokenizer.eos_token
        if (Path(self._source) / "tokenizer.json").is_file():
            return Tokenizer(self._source, eos=eos)
        if not self._tokenizer.is_fast:
            raise ModelProblem(f"the tokenizer of {self.name} has no tokenizer.json, which the engines need")
        self._folder = tempfile.TemporaryDirectory(prefix="jsonschemabench-")  # lives as long as the model
        self._tokenizer.save_pretrained(self._folder.name)
        return Tokenizer(self._folder.name, eos=eos)

    def load(self) -> None:
        self._model = _transformers().AutoModelForCausalLM.from_pretrained(self._source, dtype="auto").eval()

    def ready(self) -> None:
        """Move the model to the accelerator, if there is one, and run it once. Later calls do nothing."""
        if self._is_ready:
            return
        import torch

        torch.set_num_threads(self._num_threads)
        if torch.cuda.is_available():
            self._model = self._model.to("cuda")
        for _ in range(2):
            warm = self.begin()
            warm.read(self.encode("warm up"))
            warm.choose(None)
        self._is_ready = True

    def encode(self, prompt: str) -> list[int]:
        if self._chat:
            messages = [{"role": "user", "content": prompt}]
            prompt = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        ids = self._tokenizer(prompt, add_special_tokens=not self._chat)["input_ids"]
        return [int(token_id) for token_id in ids]

    def begin(self) -> TransformersContinuation:
        return TransformersContinuation(self._model, self.tokenizer.vocab_size)


class TransformersContinuation:
    """A text of ``TransformersModel``. Logits past the tokenizer's last token (padding of the model) do not count."""

    def __init__(self, model: Any, vocab_size: int) -> None:
        import torch

        self._torch = torch
        self._model = model
        self._vocab_size = vocab_size
        self._cache: Any = None
        self._logits: Any = None
        parameters = inspect.signature(model.forward).parameters
        self._keywords = {"logits_to_keep": 1} if "logits_to_keep" in parameters else {}

    def read(self, token_ids: Sequence[int]) -> None:
        torch = self._torch
        with torch.inference_mode():
            ids = torch.tensor([list(token_ids)], device=self._model.device)
            output = self._model(input_ids=ids, past_key_values=self._cache, use_cache=True, **self._keywords)
            self._cache = output.past_key_values
            self._logits = output.logits[0, -1, : self._vocab_size]
            if self._logits.is_cuda:
                torch.cuda.synchronize()

    def choose(self, bitmask: Bitmask | None) -> int | None:
        torch, logits = self._torch, self._logits
        with torch.inference_mode():
            if bitmask is not None:
                bits = np.unpackbits(bitmask[0].view(np.uint8), bitorder="little")
                allowed = np.zeros(len(logits), dtype=np.bool_)
                allowed[: len(bits)] = bits[: len(allowed)]
                if not allowed.any():
                    return None
                logits = logits.masked_fill(torch.from_numpy(~allowed).to(logits.device), -torch.inf)
            return int(logits.argmax())


def _embedded_path() -> Path:
    try:
        from structgen.embedded import model_path
    except ImportError as error:
        raise ModelProblem(f"structgen's own model cannot be found ({error}); name another with --model") from error
    if not (model_path() / "config.json").is_file():
        raise ModelProblem("structgen's own model is not in this installation; name another with --model")
    return Path(model_path())


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ModelProblem(f"a model needs the packages torch and transformers: {error}") from error
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # prompts that are too long are left out and named
    return transformers


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
