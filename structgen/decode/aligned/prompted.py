"""A named model with a prompt, ready for samplers. torch is loaded when one is made, and not before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from structgen import embedded
from structgen.decode.aligned.model import LanguageModel
from structgen.decode.models import ModelSpec, load

if TYPE_CHECKING:
    from structgen.vocab import Vocabulary


class Prompted(NamedTuple):
    """A model with its prompt, the vocabulary to compile grammars for, and how many tokens fit behind the prompt."""

    model: LanguageModel
    vocab: Vocabulary
    max_tokens: int | None


def prompted(prompt: str, *, model: ModelSpec = None, schema: Any = None, chat: bool = False) -> Prompted:
    """The model that `generate` would ask: a name, folder or (model, tokenizer) pair; None is the embedded one.

    The embedded model reads `schema` (a parsed JSON Schema) in its prompt; other models see the prompt as it stands.
    """
    from structgen.decode.aligned.transformers_model import TransformersModel

    loaded = load(model)
    text = embedded.format_prompt(schema, prompt) if loaded.is_embedded and schema is not None else prompt
    prompt_ids = loaded.encode_prompt(text, chat=chat)
    room = None if loaded.max_tokens is None else loaded.max_tokens - len(prompt_ids)
    return Prompted(TransformersModel(loaded, prompt_ids), loaded.vocab, room)
