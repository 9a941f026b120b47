"""A small target model and a smaller draft model that turn a JSON schema into a plausible instance.

Owns the prompt format and the folders of the two models; importing it imports neither torch nor transformers.
`train` makes the folders, `evaluate` measures them, and README.md is the model card. Beside them are the weights of a
head that drafts for the target (`structgen.decode.speculation`).

    >>> format_prompt({"type": "integer"})
    'Schema: {"type":"integer"}\\nJSON:'

    model = AutoModelForCausalLM.from_pretrained(model_path())
    draft = AutoModelForCausalLM.from_pretrained(draft_path())
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_path())
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

__all__ = [
    "END",
    "PAD",
    "PROMPT",
    "compact_json",
    "draft_path",
    "format_prompt",
    "head_path",
    "model_path",
    "tokenizer_path",
]

PROMPT = "Schema: {schema}\nJSON:"
END = "<|end|>"
PAD = "<|pad|>"

_HERE = Path(__file__).parent


def model_path() -> Path:
    """The target model's folder, for `AutoModelForCausalLM.from_pretrained`."""
    return _HERE / "target"


def draft_path() -> Path:
    """The draft model's folder; its tokenizer is the target's."""
    return _HERE / "draft"


def head_path() -> Path:
    """The weights of a draft head for the target model, for `structgen.decode.speculation.load_head`."""
    return _HERE / "head" / "head.safetensors"


def tokenizer_path() -> Path:
    """The folder of the tokenizer that both models share, for `AutoTokenizer.from_pretrained`."""
    return model_path()


def compact_json(value: Any) -> str:
    """`value` as JSON without spaces, escaped only where a lone surrogate has no UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def format_prompt(schema: Any, instruction: str = "") -> str:
    """The prompt that the models were trained on; the instance follows it at once, with no space, then `END`.

    `schema` is a parsed schema or its text. Text that is JSON is rewritten without spaces, and other text stands as it
    is. `instruction`, if any, goes before the schema as one line.
    """
    if isinstance(schema, str):
        try:
            schema_text = compact_json(json.loads(schema))
        except ValueError:
            schema_text = schema
    else:
        schema_text = compact_json(schema)
    prompt = PROMPT.replace("{schema}", schema_text)
    return f"{' '.join(instruction.split())}\n{prompt}" if instruction.strip() else prompt
