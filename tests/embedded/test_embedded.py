"""Laws of the embedded models: they fit, they load, and their tokenizer loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from structgen import embedded

MODELS = [("target", embedded.model_path, 12_000_000), ("draft", embedded.draft_path, 3_000_000)]

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return transformers.AutoTokenizer.from_pretrained(embedded.tokenizer_path())


@pytest.fixture(scope="module")
def models() -> dict[str, Any]:
    return {
        name: transformers.AutoModelForCausalLM.from_pretrained(path(), dtype=torch.float32).eval()
        for name, path, _ in MODELS
    }


@pytest.mark.parametrize(
    ("schema", "instruction", "prompt"),
    [
        ({"type": "integer"}, "", 'Schema: {"type":"integer"}\nJSON:'),
        ('{ "type": "integer" }', "", 'Schema: {"type":"integer"}\nJSON:'),
        (True, "", "Schema: true\nJSON:"),
        ("root ::= [0-9]+", "", "Schema: root ::= [0-9]+\nJSON:"),
        ({"const": "é"}, "A letter.\nPlease.", 'A letter. Please.\nSchema: {"const":"é"}\nJSON:'),
        ({"const": "\ud800"}, "", 'Schema: {"const":"\\ud800"}\nJSON:'),
        ({"const": "{schema}"}, " ", 'Schema: {"const":"{schema}"}\nJSON:'),
    ],
)
def test_prompt(schema: Any, instruction: str, prompt: str) -> None:
    assert embedded.format_prompt(schema, instruction) == prompt


def test_import_needs_no_torch() -> None:
    code = (
        "import sys, structgen.embedded as e; e.model_path(); assert not {'torch', 'transformers'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("name", "path", "max_bytes"), MODELS)
def test_size_and_files(name: str, path: Any, max_bytes: int) -> None:
    folder: Path = path()
    assert (folder / "model.safetensors").stat().st_size <= max_bytes
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]


def test_models_share_the_tokenizer() -> None:
    files = [path() / "tokenizer.json" for _, path, _ in MODELS]
    assert files[0].read_bytes() == files[1].read_bytes()


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_tokenizer_round_trip(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize(
    "text", ["", " ", "\r\n\t", "a  b . c , d 's", "Ａﬁ\u0301é", "<|end|>", "\x00\x7f\u2028😀", ' {"a": "b"} ']
)
def test_tokenizer_round_trip_of_what_clean_ups_break(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_tokenizer_has_every_byte_and_json_shapes(tokenizer: Any) -> None:
    pre_tokenizers = pytest.importorskip("tokenizers").pre_tokenizers
    vocabulary = tokenizer.get_vocab()
    assert all(byte in vocabulary for byte in pre_tokenizers.ByteLevel.alphabet())
    for shape in ['": "', '", "', '{"', '"}', '":', '"]', "}}"]:
        assert len(tokenizer.encode(shape)) == 1, shape
    assert tokenizer.eos_token == embedded.END
    assert tokenizer.pad_token == embedded.PAD


@pytest.mark.parametrize("name", ["target", "draft"])
def test_model_fits_the_tokenizer(models: dict[str, Any], tokenizer: Any, name: str) -> None:
    config = models[name].config
    assert config.vocab_size == len(tokenizer) == models[name].get_output_embeddings().weight.shape[0]
    assert config.eos_token_id == tokenizer.eos_token_id
    assert config.max_position_embeddings >= 1024


@pytest.mark.parametrize("name", ["target", "draft"])
def test_greedy_generation_repeats(models: dict[str, Any], tokenizer: Any, name: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    inputs = tokenizer(embedded.format_prompt(schema), return_tensors="pt")
    first, second = (models[name].generate(**inputs, max_new_tokens=24) for _ in range(2))
    assert first.tolist() == second.tolist()
    written = tokenizer.decode(first[0, inputs["input_ids"].shape[1] :])
    assert written.startswith("{"), written


def test_target_writes_what_the_schema_asks(models: dict[str, Any], tokenizer: Any) -> None:
    properties = {"name": {"type": "string"}, "age": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["name", "age"]}
    inputs = tokenizer(embedded.format_prompt(schema), return_tensors="pt")
    ids = models["target"].generate(**inputs, max_new_tokens=48)[0, inputs["input_ids"].shape[1] :]
    assert ids[-1] == tokenizer.eos_token_id
    assert json.loads(tokenizer.decode(ids, skip_special_tokens=True)).keys() == properties.keys()
