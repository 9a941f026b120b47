"""Structural tags: which texts they take, type by type, and the shapes of OpenAI's API."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from structgen.compiler import Embeddings, compile_structural_tag
from structgen.errors import InvalidTagError, UnsupportedTagError
from structgen.ir import Node
from structgen.reference import Recognizer
from structgen.schema import SchemaOptions
from structgen.tags import tag_to_ir, tools_format
from structgen.vocab import Vocabulary

SINGLE = [bytes((byte,)) for byte in range(256)]
VOCAB = Vocabulary.from_bytes([*SINGLE, b"<eos>", b"<|call|>"], eos_token_ids=256, special_token_ids=[257])
CALL = VOCAB.special_spelling(257).decode("latin-1")
NUMBER = {"type": "json_schema", "json_schema": {"type": "integer"}}


def node(tag: Any) -> Node:
    return tag_to_ir(tag, Embeddings(VOCAB), SchemaOptions())


def tag(begin: str, content: Any, end: Any) -> dict[str, Any]:
    return {"type": "tag", "begin": begin, "content": content, "end": end}


TAGS = [tag("<f=a>", NUMBER, "</f>"), tag("<f=b>", {"type": "const_string", "value": "x"}, "</f>")]
TRIGGERED = {"type": "triggered_tags", "triggers": ["<f="], "tags": TAGS}

CASES: dict[str, tuple[Any, str, str]] = {
    # name: (format, texts it takes, texts it refuses), separated by "|"
    "const_string": ({"type": "const_string", "value": "abc"}, "abc", "ab|abcd|"),
    "json_schema": ({"type": "json_schema", "json_schema": {"enum": [1, "x"]}}, '1|"x"', "2|x|"),
    "any_text": ({"type": "any_text"}, "|a|<f=a>é", ""),
    "any_text excludes": ({"type": "any_text", "excludes": ["no", "nay"]}, "|n|na|n o", "no|xno y|nay|nanay"),
    "any_text max_chars": ({"type": "any_text", "max_chars": 2}, "|a|éé", "aaa"),
    "regex": ({"type": "regex", "pattern": "a+b?"}, "a|aab", "|b"),
    "grammar": ({"type": "grammar", "grammar": 'root ::= "a" root "b" | "c"'}, "c|acb", "ac|"),
    "sequence": ({"type": "sequence", "elements": [NUMBER, {"type": "const_string", "value": ";"}]}, "12;", "12|;"),
    "or": ({"type": "or", "elements": [NUMBER, {"type": "const_string", "value": "x"}]}, "1|x", "1x|"),
    "optional": ({"type": "optional", "content": {"type": "const_string", "value": "x"}}, "|x", "xx"),
    "plus": ({"type": "plus", "content": {"type": "const_string", "value": "x"}}, "x|xxx", "|xy"),
    "star": ({"type": "star", "content": {"type": "const_string", "value": "x"}}, "|x|xxx", "y"),
    "repeat": (
        {"type": "repeat", "min": 1, "max": 2, "content": {"type": "const_string", "value": "x"}},
        "x|xx",
        "|xxx",
    ),
    "tag": (tag("<a>", NUMBER, "</a>"), "<a>1</a>", "<a></a>|1</a>|<a>1"),
    "tag around text": (tag("<a>", {"type": "any_text"}, "</a>"), "<a></a>|<a>x<</a>", "<a></a>x|<a>x</a></a>|<a>"),
    "tag with several ends": (tag("(", {"type": "any_text"}, [")", "]"]), "(x)|(x]", "(x)]|(x"),
    "triggered_tags": (
        TRIGGERED,
        "|text|<f|<f=a>1</f>|so <f=b>x</f> and <f=a>22</f>.",
        "<f=|<f=c>|a <f=a>x</f>|<f=a>1</f> <f=|x<f=b>x",
    ),
    "at_least_one": ({**TRIGGERED, "at_least_one": True}, "<f=a>1</f>|<f=a>1</f> x <f=b>x</f>", "|text|x<f=a>1</f>"),
    "stop_after_first": ({**TRIGGERED, "stop_after_first": True}, "x|x<f=a>1</f>", "<f=a>1</f>.|<f=a>1</f><f=a>1</f>"),
    "excludes": ({**TRIGGERED, "excludes": ["no"]}, "n|so<f=a>1</f>n", "no|x<f=a>1</f>no|no<f=a>1</f>"),
    "dispatch": (
        {"type": "dispatch", "rules": [["#", NUMBER], ["@", {"type": "const_string", "value": "me"}]]},
        "|x|x#1 @me",
        "#|#x|@you",
    ),
    "dispatch once": ({"type": "dispatch", "rules": [["#", NUMBER]], "loop": False}, "x|x#1", "#1x|#1#1"),
    "tags_with_separator": (
        {"type": "tags_with_separator", "tags": TAGS, "separator": ","},
        "|<f=a>1</f>|<f=a>1</f>,<f=b>x</f>",
        "<f=a>1</f>,|,|<f=a>1</f><f=a>1</f>",
    ),
    "tags_with_separator, one": (
        {"type": "tags_with_separator", "tags": TAGS, "separator": ",", "at_least_one": True, "stop_after_first": True},
        "<f=a>1</f>",
        "|<f=a>1</f>,<f=b>x</f>",
    ),
    "token": ({"type": "token", "token": "<|call|>"}, CALL, "<|call|>|"),
    "token by id": ({"type": "token", "token": 257}, CALL, ""),
    "token_triggered_tags": (
        {
            "type": "token_triggered_tags",
            "trigger_tokens": ["<|call|>"],
            "tags": [{**TAGS[0], "begin": {"type": "token", "token": "<|call|>"}, "end": ";"}],
        },
        f"|x|x{CALL}1;|{CALL}1;x{CALL}2;.",
        f"{CALL}|x{CALL};",
    ),
    "qwen_xml": (
        {
            "type": "json_schema",
            "style": "qwen_xml",
            "json_schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["city"],
            },
        },
        "<parameter=city>Paris</parameter>|\n<parameter=city>a<b</parameter>\n<parameter=days>\n3\n</parameter>",
        "|<parameter=days>3</parameter>|<parameter=city>x</parameter><parameter=days>y</parameter>",
    ),
    "qwen_xml_parameter": (
        {"type": "qwen_xml_parameter", "json_schema": {"type": "object", "properties": {"x": {"enum": [1]}}}},
        "|<parameter=x>1</parameter>",
        "<parameter=x>2</parameter>",
    ),
    "older form": (
        {
            "structures": [{"begin": "<f=a>", "schema": {"type": "integer"}, "end": "</f>"}],
            "triggers": ["<f="],
            "type": "structural_tag",
        },
        "|x|<f=a>1</f>y",
        "<f=b>",
    ),
    "newer form": ({"type": "structural_tag", "format": NUMBER}, "1", "x"),
}


@pytest.mark.parametrize("name", CASES)
def test_formats(name: str) -> None:
    value, taken, refused = CASES[name]
    recognizer = Recognizer(node(value))
    for text in taken.split("|") if CALL not in taken else taken.replace("<|call|>", "").split("|"):
        assert recognizer.accepts(_bytes(text)), text
        assert all(recognizer.viable(_bytes(text)[:end]) for end in range(len(_bytes(text)))), text
    for text in refused.split("|") if refused and "<|" not in refused else [refused] if refused else []:
        assert not recognizer.accepts(_bytes(text)), text


def _bytes(text: str) -> bytes:
    return CALL.encode("latin-1").join(part.encode() for part in text.split(CALL))


@pytest.mark.parametrize(
    ("value", "error", "pointer"),
    [
        ({"type": "nothing"}, InvalidTagError, ""),
        ({"type": "const_string"}, InvalidTagError, ""),
        ({"type": "const_string", "value": "x", "more": 1}, InvalidTagError, ""),
        ({"type": "sequence", "elements": [{"type": "regex"}]}, InvalidTagError, "/elements/0"),
        ({**TRIGGERED, "triggers": ["<g="]}, InvalidTagError, "/tags/0"),
        ({"type": "any_text", "max_tokens": 3}, UnsupportedTagError, ""),
        ({"type": "any_tokens"}, UnsupportedTagError, ""),
        ({"type": "star", "content": {"type": "any_text"}}, UnsupportedTagError, "/content"),
        ({"type": "json_schema", "json_schema": True, "style": "cohere_xml"}, UnsupportedTagError, ""),
    ],
)
def test_errors_name_the_part(value: Any, error: type[Exception], pointer: str) -> None:
    with pytest.raises(error) as caught:
        node(value)
    assert caught.value.pointer == pointer  # type: ignore[attr-defined]


def test_free_text_is_text_without_a_trigger() -> None:
    """Every text over a few characters: exactly those in which each trigger begins a tag."""
    recognizer = Recognizer(node({"type": "dispatch", "rules": [["aba", {"type": "const_string", "value": "!"}]]}))
    for text in ("".join(letters) for n in range(8) for letters in product("ab!", repeat=n)):
        at, good = 0, True
        while good and (found := text.find("aba", at)) >= 0:
            good, at = text.startswith("!", found + 3), found + 4
        assert recognizer.accepts(text.encode()) == good, text


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    },
    {"type": "function", "function": {"name": "now"}},
]
WEATHER = {
    "hermes": '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    "function": '<function=weather>{"city": "Rome"}</function>',
    "qwen_coder": "<tool_call>\n<function=weather>\n<parameter=city>\nRome\n</parameter>\n</function>\n</tool_call>",
    "llama": '{"name": "weather", "parameters": {"city": "Rome"}}',
}


@pytest.mark.parametrize("style", WEATHER)
def test_tools(style: str) -> None:
    call = WEATHER[style].encode()
    auto, required = (Recognizer(node(tools_format(TOOLS, tool_choice=c, style=style))) for c in ("auto", "required"))
    none = Recognizer(node(tools_format(TOOLS, tool_choice="none", style=style)))
    assert auto.accepts(b"Hello.")
    assert auto.accepts(b"Let me see. " + call)
    assert required.accepts(call)
    assert not required.accepts(b"Hello.")
    assert none.accepts(b"Hello.")
    assert not none.accepts(call)
    assert not auto.accepts(call.replace(b"weather", b"unknown"))
    named = {"type": "function", "function": {"name": "now"}}
    assert not Recognizer(node(tools_format(TOOLS, tool_choice=named, style=style))).viable(call)


def test_the_shapes_of_openai() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "boolean"}, "strict": True}}
    for value, text in ((schema, b"true"), ({"type": "json_object"}, b"{}"), ({"type": "text"}, b"x"), (TOOLS, b"x")):
        matcher = compile_structural_tag(value, VOCAB).matcher()
        assert matcher.accept_bytes(text)
        assert matcher.is_accepting()


def test_a_special_token_is_a_token() -> None:
    matcher = compile_structural_tag(CASES["token_triggered_tags"][0], VOCAB).matcher()
    assert matcher.accept_bytes(b"x<|call|>")  # the name as text is text
    assert matcher.accept_token(257)
    assert not matcher.accept_token(257)
    assert matcher.accept_bytes(b"12;")
    assert matcher.is_accepting()
