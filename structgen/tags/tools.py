"""OpenAI's `tools` and `response_format` as structural tags, in the formats that common models write calls in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from structgen.errors import InvalidTagError

Format: TypeAlias = dict[str, Any]
ToolChoice: TypeAlias = "str | dict[str, Any]"


def _named(name: str, parameters: Any, key: str) -> Any:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, key: parameters},
        "required": ["name", key],
        "additionalProperties": False,
    }


def _hermes(name: str, parameters: Any) -> Format:
    content = {"type": "json_schema", "json_schema": _named(name, parameters, "arguments")}
    return {"type": "tag", "begin": "<tool_call>\n", "content": content, "end": "\n</tool_call>"}


def _function(name: str, parameters: Any) -> Format:
    content = {"type": "json_schema", "json_schema": parameters}
    return {"type": "tag", "begin": f"<function={name}>", "content": content, "end": "</function>"}


def _qwen_coder(name: str, parameters: Any) -> Format:
    content = {"type": "json_schema", "json_schema": parameters, "style": "qwen_xml"}
    begin = f"<tool_call>\n<function={name}>"
    return {"type": "tag", "begin": begin, "content": content, "end": "</function>\n</tool_call>"}


def _llama(name: str, parameters: Any) -> Format:
    # The name is text of the tag, so that each tool's tag begins with the trigger and says at once which it is.
    content = {"type": "json_schema", "json_schema": parameters}
    begin = '{"name": ' + json.dumps(name, ensure_ascii=False) + ', "parameters": '
    return {"type": "tag", "begin": begin, "content": content, "end": "}"}


TOOL_FORMATS: dict[str, tuple[str, Callable[[str, Any], Format], str]] = {
    "hermes": ("<tool_call>", _hermes, "\n"),
    "function": ("<function=", _function, ""),
    "qwen_coder": ("<tool_call>", _qwen_coder, "\n"),
    "llama": ('{"name": ', _llama, "; "),
}
"""By name: what opens a call, the tag of a tool, what stands between parallel calls where nothing else may."""


def tools_format(
    tools: Sequence[Any], *, tool_choice: ToolChoice = "auto", parallel: bool = True, style: str = "hermes"
) -> Format:
    """The structural tag of OpenAI's `tools`.

    `tool_choice`: "auto" allows text and calls, "none" text without calls, "required" calls only, at least one;
    `{"type": "function", "function": {"name": …}}` that one. `parallel`: several calls may be made. `style`: one of
    `TOOL_FORMATS`. Raises `InvalidTagError`.
    """
    if style not in TOOL_FORMATS:
        raise InvalidTagError(f"there is no format {style!r}", pointer="", advice=f"one of {', '.join(TOOL_FORMATS)}")
    trigger, make, separator = TOOL_FORMATS[style]
    functions = [_function_of(tool, f"/{index}") for index, tool in enumerate(tools)]
    if isinstance(tool_choice, dict):
        chosen = _function_of(tool_choice, "/tool_choice")["name"]
        functions = [one for one in functions if one["name"] == chosen]
        if not functions:
            raise InvalidTagError(f"no tool is called {chosen!r}", pointer="/tool_choice")
        tool_choice, parallel = "required", False
    if tool_choice not in ("auto", "none", "required"):
        raise InvalidTagError(f"{tool_choice!r} is no choice", pointer="/tool_choice", advice="auto, none or required")
    if tool_choice == "none" or not functions:
        return {"type": "any_text", "excludes": [trigger]}
    tags = [make(one["name"], one.get("parameters") or {"type": "object", "properties": {}}) for one in functions]
    if tool_choice == "required":
        return {
            "type": "tags_with_separator",
            "tags": tags,
            "separator": separator,
            "at_least_one": True,
            "stop_after_first": not parallel,
        }
    return {"type": "triggered_tags", "triggers": [trigger], "tags": tags, "stop_after_first": not parallel}


def read_calls(text: str, tools: Sequence[Any], style: str) -> tuple[str, list[dict[str, Any]]]:
    """(what is not in a call, the calls) of a text written under `tools_format`; an unfinished call is left out."""
    trigger = TOOL_FORMATS[style][0]
    functions = {one["name"]: one.get("parameters") or {} for one in (_function_of(tool, "") for tool in tools)}
    plain: list[str] = []
    calls: list[dict[str, Any]] = []
    at = 0
    while (begin := text.find(trigger, at)) >= 0:
        plain.append(text[at:begin])
        found = _READERS[style](text, begin, functions)
        if found is None:
            return "".join(plain), calls
        call, at = found
        calls.append(call)
    return "".join([*plain, text[at:]]), calls


_Call = tuple[dict[str, Any], int]


def _json_at(text: str, at: int, end: str) -> tuple[Any, int] | None:
    """(JSON value, where the text goes on behind it and `end`), None if it is not there in full."""
    try:
        value, behind = json.JSONDecoder().raw_decode(text, at)
    except ValueError:
        return None
    return (value, behind + len(end)) if text.startswith(end, behind) else None


def _read_hermes(text: str, begin: int, functions: dict[str, Any]) -> _Call | None:
    return _json_at(text, begin + len("<tool_call>\n"), "\n</tool_call>")


def _read_function(text: str, begin: int, functions: dict[str, Any]) -> _Call | None:
    behind = text.find(">", begin)
    found = _json_at(text, behind + 1, "</function>") if behind >= 0 else None
    return found and ({"name": text[begin + len("<function=") : behind], "arguments": found[0]}, found[1])


def _read_llama(text: str, begin: int, functions: dict[str, Any]) -> _Call | None:
    found = _json_at(text, begin, "")
    return found and ({"name": found[0]["name"], "arguments": found[0]["parameters"]}, found[1])


def _read_qwen_coder(text: str, begin: int, functions: dict[str, Any]) -> _Call | None:
    end = text.find("</function>\n</tool_call>", begin)
    if end < 0:
        return None
    head, _, body = text[begin:end].partition(">\n<function=")[2].partition(">")
    properties = functions[head].get("properties", {})
    arguments: dict[str, Any] = {}
    for part in body.split("<parameter=")[1:]:
        name, _, value = part.rsplit("</parameter>", 1)[0].partition(">")
        schema = properties.get(name)
        raw = isinstance(schema, dict) and schema.get("type") == "string"
        arguments[name] = value if raw else json.loads(value)
    return {"name": head, "arguments": arguments}, end + len("</function>\n</tool_call>")


_READERS: dict[str, Callable[[str, int, dict[str, Any]], _Call | None]] = {
    "hermes": _read_hermes,
    "function": _read_function,
    "qwen_coder": _read_qwen_coder,
    "llama": _read_llama,
}


def _function_of(tool: Any, pointer: str) -> Any:
    if not isinstance(tool, dict):
        raise InvalidTagError("a tool is an object", pointer=pointer)
    function = tool.get("function", tool)
    if tool.get("type", "function") != "function" or not isinstance(function, dict):
        raise InvalidTagError(f"only tools of type function, not {tool.get('type')!r}", pointer=pointer)
    if not isinstance(function.get("name"), str):
        raise InvalidTagError("a function has a name", pointer=pointer, keyword="name")
    return function


def response_format(value: Any) -> Format:
    """The structural tag of OpenAI's `response_format`. Raises `InvalidTagError`."""
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return {"type": "any_text"}
    if kind == "json_object":
        return {"type": "json_schema", "json_schema": {"type": "object"}}
    if kind == "json_schema":
        inner = value.get("json_schema")
        if not isinstance(inner, dict) or not isinstance(inner.get("schema"), (dict, bool)):
            raise InvalidTagError("it needs json_schema.schema", pointer="/json_schema", keyword="schema")
        return {"type": "json_schema", "json_schema": inner["schema"]}
    raise InvalidTagError(
        f"{kind!r} is no response format", pointer="", keyword="type", advice="text, json_object or json_schema"
    )
