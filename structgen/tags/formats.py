"""Structural tags, as XGrammar's JSON writes them, to IR: a function for each type of format.

Both forms are read: `{"type": "structural_tag", "format": {…}}` and the older one with `structures` and `triggers`.
Free text contains no trigger but where its tag begins, and, inside a tag, not the tag's end. What counts tokens rather
than text is refused, because which tokens spell a text is the model's choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from structgen.automata.regular import Language
from structgen.errors import InvalidTagError, UnsupportedTagError
from structgen.grammar.dialects import grammar_to_ir
from structgen.grammar.form import Embedded
from structgen.grammar.regex import parse_regex
from structgen.ir import (
    EMPTY,
    NEVER,
    Alt,
    Call,
    Choice,
    Guard,
    Lazy,
    Node,
    Repeat,
    Rule,
    Seq,
    Star,
    Text,
    alt,
    choice,
    literal,
    optional,
    repeat,
    seq,
)
from structgen.schema import SchemaOptions, compile_to_ir
from structgen.schema.open_keys import OpenKeys
from structgen.tags import free_text
from structgen.tags.parameters import STYLES, parameters

Resolve = Callable[[Embedded], Node]


def tag_to_ir(
    document: Any, resolve: Resolve, options: SchemaOptions | None = None, *, open_keys: OpenKeys | None = None
) -> Node:
    """The IR of a structural tag (dict or JSON text). `resolve` finds special tokens by name or id.

    `open_keys` gathers what the schemas in it have the matcher remember.
    Raises `InvalidTagError` and `UnsupportedTagError` with the JSON pointer of the part.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError as error:
            raise InvalidTagError(f"not JSON: {error}", pointer="") from None
    if not isinstance(document, dict):
        raise InvalidTagError("a structural tag is an object", pointer="")
    compiler = TagCompiler(resolve, options or SchemaOptions(), open_keys or OpenKeys(embedded=True))
    if "structures" in document:
        return compiler.legacy(document)
    if "format" in document:
        return compiler.format(document["format"], "/format")
    return compiler.format(document, "")


class TagCompiler:
    """Compiles formats. `ends` are the strings with which the tag around a format ends: its free text holds none."""

    def __init__(self, resolve: Resolve, options: SchemaOptions, open_keys: OpenKeys) -> None:
        self.resolve = resolve
        self.options = options
        self.open_keys = open_keys

    def format(self, value: Any, pointer: str, ends: Sequence[str] = ()) -> Node:
        """The IR of one format."""
        kind = value.get("type") if isinstance(value, dict) else None
        if kind not in _FORMATS:
            advice = f"one of {', '.join(_FORMATS)}"
            raise InvalidTagError(f"{kind!r} is not a type of format", pointer=pointer, keyword="type", advice=advice)
        known = _KEYS[kind] | {"type", "description"}
        for key in value:
            if key not in known:
                raise InvalidTagError(f"{kind} has no {key!r}", pointer=pointer, advice=f"it has {', '.join(known)}")
        return _FORMATS[kind](self, value, pointer, ends)

    # ---- leaves --------------------------------------------------------------------------------------------------

    def const_string(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        return literal(_get(value, "value", str, pointer))

    def json_schema(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        schema = _get(value, "json_schema", (dict, bool), pointer)
        style = value.get("style", "json")
        for key in ("excludes", "max_whitespace_cnt", "any_order"):
            if value.get(key):
                raise UnsupportedTagError("refused", pointer=pointer, keyword=key, advice="see SchemaOptions")
        if style == "json":
            return compile_to_ir(schema, self.options, embedded=self.open_keys).root
        if style not in STYLES:
            raise UnsupportedTagError(
                f"style {style!r} is refused", pointer=pointer, advice=f"one of json, {', '.join(STYLES)}"
            )
        return parameters(schema, style, self.options, f"{pointer}/json_schema", self.open_keys)

    def qwen_xml_parameter(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        return self.json_schema({**value, "style": "qwen_xml"}, pointer, ends)

    def any_text(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        _no_tokens(value, pointer)
        return text(free_text.without([*_strings(value, "excludes", pointer), *ends], max_chars=value.get("max_chars")))

    def token(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        name = _get(value, "token", (str, int), pointer)
        return self.resolve(Embedded("special", f"<[{name}]>" if isinstance(name, int) else name))

    def of_tokens(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        raise UnsupportedTagError(
            f"{value['type']} speaks of tokens, not of text",
            pointer=pointer,
            advice="use any_text with excludes; special tokens are never part of it",
        )

    def grammar(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        return grammar_to_ir(_get(value, "grammar", str, pointer), dialect="ebnf", resolve=self.resolve)

    def regex(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        return text(parse_regex(_get(value, "pattern", str, pointer)))

    # ---- combinations --------------------------------------------------------------------------------------------

    def sequence(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        return seq(*self.all(value, "elements", pointer, ends))

    def either(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        return alt(*self.all(value, "elements", pointer, ends))

    def all(self, value: Any, key: str, pointer: str, ends: Sequence[str]) -> list[Node]:
        """The formats of a list."""
        items = _get(value, key, list, pointer)
        return [self.format(item, f"{pointer}/{key}/{index}", ends) for index, item in enumerate(items)]

    def repeated(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        kind = value["type"]
        low, high = {"optional": (0, 1), "plus": (1, None), "star": (0, None), "repeat": (0, None)}[kind]
        if kind == "repeat":
            low, high = _get(value, "min", int, pointer), _get(value, "max", int, pointer)
            high = None if high == -1 else high
            if low < 0 or (high is not None and high < low):
                raise InvalidTagError("min and max are out of order", pointer=pointer, advice="max may be -1")
        body = self.format(_get(value, "content", dict, pointer), f"{pointer}/content", ends)
        if nullable(body):
            raise UnsupportedTagError(
                "what is repeated may be empty",
                pointer=f"{pointer}/content",
                advice="let it hold at least one character",
            )
        return repeat(Call(Rule("repeated", lambda: body)), low, high)

    def tag(self, value: Any, pointer: str, ends: Sequence[str], *, begin: bool = True) -> Node:
        """A tag; without what begins it where that was read already."""
        opened: Node = EMPTY
        if begin:
            what = _get(value, "begin", (str, dict), pointer)
            opened = literal(what) if isinstance(what, str) else self.format(what, f"{pointer}/begin")
        closing = _get(value, "end", (str, list, dict), pointer)
        content, where = _get(value, "content", dict, pointer), f"{pointer}/content"
        if isinstance(closing, dict):
            return seq(opened, self.format(content, where), self.format(closing, f"{pointer}/end"))
        closings = [closing] if isinstance(closing, str) else closing
        if not closings or not all(isinstance(one, str) for one in closings):
            raise InvalidTagError("a tag ends with a string, or one of several", pointer=pointer, keyword="end")
        if content.get("type") == "any_text":
            _no_tokens(content, where)
            excluded = [*_strings(content, "excludes", where), *ends]
            closed = free_text.closed_by(closings, excluded=excluded, max_chars=content.get("max_chars"))
            return seq(opened, text(closed))
        inner = [one for one in closings if one] or ends
        return seq(opened, self.format(content, where, inner), alt(*map(literal, closings)))

    def triggered_tags(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        triggers = _strings(value, "triggers", pointer, some=True)
        tags = _get(value, "tags", list, pointer)
        by_trigger: dict[str, list[tuple[bytes, Node]]] = {trigger: [] for trigger in triggers}
        whole: list[Node] = []
        for index, tag in enumerate(tags):
            where = f"{pointer}/tags/{index}"
            begin = _get(tag, "begin", str, where)
            own = [trigger for trigger in triggers if begin.startswith(trigger)]
            if len(own) != 1:
                found = "none" if not own else " and ".join(map(repr, own))
                raise InvalidTagError(
                    f"{begin!r} must begin with one of the triggers, and begins with {found}", pointer=where
                )
            rest = self.tag(tag, where, ends, begin=False)
            by_trigger[own[0]].append((begin[len(own[0]) :].encode(), rest))
            whole.append(seq(literal(begin), rest))
        branches = {trigger: choice(found) for trigger, found in by_trigger.items()}
        excluded = _strings(value, "excludes", pointer)
        return self._dispatch(
            branches,
            [*excluded, *ends],
            first=alt(*whole) if value.get("at_least_one", False) else None,
            loop=not value.get("stop_after_first", False),
        )

    def dispatch(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        rules = _get(value, "rules", list, pointer)
        branches: dict[str, Node] = {}
        for index, rule in enumerate(rules):
            where = f"{pointer}/rules/{index}"
            if not isinstance(rule, (list, tuple)) or len(rule) != 2 or not isinstance(rule[0], str) or not rule[0]:
                raise InvalidTagError("a rule is a pair of a string and a format", pointer=where)
            branches[rule[0]] = self.format(rule[1], f"{where}/1", ends)
        excluded = _strings(value, "excludes", pointer)
        return self._dispatch(branches, [*excluded, *ends], first=None, loop=value.get("loop", True))

    def _dispatch(self, branches: dict[str, Node], excluded: Sequence[str], *, first: Node | None, loop: bool) -> Node:
        """Free text in which each trigger opens its branch.

        `first`: begin with this, and no text before it, as XGrammar does where at least one tag is asked for.
        """
        triggers = list(branches)
        opened = alt(
            *(
                seq(text(free_text.until(trigger, triggers, excluded)), branch)
                for trigger, branch in branches.items()
                if branch != NEVER
            )
        )
        rest = text(free_text.without([*triggers, *excluded]))
        if not loop:
            return first if first is not None else alt(opened, rest)
        again = seq(Star(Call(Rule("tag", lambda: opened))), rest) if opened != NEVER else rest
        return again if first is None else seq(first, again)

    def token_triggered_tags(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        if value.get("exclude_tokens"):
            raise UnsupportedTagError("refused", pointer=pointer, keyword="exclude_tokens", advice="use strings")
        tags = self.all(value, "tags", pointer, ends)
        for index, tag in enumerate(value["tags"]):
            if not isinstance(tag.get("begin"), dict):
                raise InvalidTagError("this tag must begin with a token", pointer=f"{pointer}/tags/{index}")
        first, rest = alt(*tags), text(free_text.without(ends))
        opened = seq(rest, first)
        if value.get("stop_after_first", False):
            return first if value.get("at_least_one", False) else alt(opened, rest)
        again = seq(Star(Call(Rule("tag", lambda: opened))), rest)
        return seq(first, again) if value.get("at_least_one", False) else again

    def tags_with_separator(self, value: Any, pointer: str, ends: Sequence[str]) -> Node:
        tags = alt(*self.all(value, "tags", pointer, ends))
        separator = _get(value, "separator", str, pointer)
        if value.get("stop_after_first", False):
            some = tags
        else:
            if nullable(tags):
                raise _empty(f"{pointer}/tags")
            rule = Rule("tag", lambda: tags)
            some = seq(Call(rule), Star(seq(literal(separator), Call(rule))))
        return some if value.get("at_least_one", False) else optional(some)

    # ---- the older form ------------------------------------------------------------------------------------------

    def legacy(self, document: Any) -> Node:
        """`structures` (begin, schema, end) and `triggers`."""
        tags = []
        for index, structure in enumerate(_get(document, "structures", list, "")):
            where = f"/structures/{index}"
            schema = _get(structure, "schema", (dict, bool, str), where)
            tags.append(
                {
                    "type": "tag",
                    "begin": _get(structure, "begin", str, where),
                    "content": {
                        "type": "json_schema",
                        "json_schema": json.loads(schema) if isinstance(schema, str) else schema,
                    },
                    "end": _get(structure, "end", str, where),
                }
            )
        triggers = _strings(document, "triggers", "", some=True)
        return self.format({"type": "triggered_tags", "triggers": triggers, "tags": tags}, "")


def text(language: Language) -> Node:
    """A text in UTF-8, as a rule that equal texts share."""
    if language.is_empty():
        return NEVER
    body = Text(language, "utf-8")
    return Call(Rule("text", lambda: body, key=("text", language.key), nullable=language.nullable))


def _empty(pointer: str) -> UnsupportedTagError:
    return UnsupportedTagError(
        "what is repeated may be empty", pointer=pointer, advice="let it hold at least one character"
    )


def nullable(node: Node) -> bool:
    """Whether a node matches the empty text."""
    if isinstance(node, Lazy):
        return nullable(node.force())
    if isinstance(node, Call):
        return node.rule.nullable
    if isinstance(node, Text):
        return node.language.nullable
    if isinstance(node, Star):
        return True
    if isinstance(node, Repeat):
        return node.min == 0
    if isinstance(node, Choice):
        return any(not data and nullable(then) for data, then in node.branches)
    if isinstance(node, Seq):
        return all(map(nullable, node.parts))
    return isinstance(node, Guard) or (isinstance(node, Alt) and any(map(nullable, node.parts)))


def _get(value: Any, key: str, kinds: type | tuple[type, ...], pointer: str) -> Any:
    """A member of the right type."""
    if not isinstance(value, dict) or key not in value:
        raise InvalidTagError(f"{key!r} is missing", pointer=pointer)
    found = value[key]
    if not isinstance(found, kinds) or (isinstance(found, bool) and bool not in _several(kinds)):
        raise InvalidTagError(f"{key!r} has the wrong type, {type(found).__name__}", pointer=pointer, keyword=key)
    return found


def _several(kinds: type | tuple[type, ...]) -> tuple[type, ...]:
    return kinds if isinstance(kinds, tuple) else (kinds,)


def _strings(value: Any, key: str, pointer: str, *, some: bool = False) -> list[str]:
    found = value.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) and one for one in found) or (some and not found):
        raise InvalidTagError("expected a list of strings that are not empty", pointer=pointer, keyword=key)
    return found


def _no_tokens(value: Any, pointer: str) -> None:
    if value.get("max_tokens") is not None:
        raise UnsupportedTagError(
            "a limit in tokens depends on how the model spells the text",
            pointer=pointer,
            keyword="max_tokens",
            advice="use max_chars",
        )


_Compile = Callable[[TagCompiler, Any, str, Sequence[str]], Node]
_FORMATS: dict[str, _Compile] = {
    "const_string": TagCompiler.const_string,
    "json_schema": TagCompiler.json_schema,
    "qwen_xml_parameter": TagCompiler.qwen_xml_parameter,
    "any_text": TagCompiler.any_text,
    "token": TagCompiler.token,
    "exclude_token": TagCompiler.of_tokens,
    "any_tokens": TagCompiler.of_tokens,
    "token_dispatch": TagCompiler.of_tokens,
    "grammar": TagCompiler.grammar,
    "regex": TagCompiler.regex,
    "sequence": TagCompiler.sequence,
    "or": TagCompiler.either,
    "optional": TagCompiler.repeated,
    "plus": TagCompiler.repeated,
    "star": TagCompiler.repeated,
    "repeat": TagCompiler.repeated,
    "tag": TagCompiler.tag,
    "triggered_tags": TagCompiler.triggered_tags,
    "token_triggered_tags": TagCompiler.token_triggered_tags,
    "tags_with_separator": TagCompiler.tags_with_separator,
    "dispatch": TagCompiler.dispatch,
}
_SCHEMA = {"json_schema", "any_order", "max_whitespace_cnt", "excludes"}
_TAGS = {"tags", "at_least_one", "stop_after_first"}
_KEYS: dict[str, set[str]] = {
    "const_string": {"value"},
    "json_schema": _SCHEMA | {"style"},
    "qwen_xml_parameter": _SCHEMA,
    "any_text": {"excludes", "max_tokens", "max_chars"},
    "token": {"token"},
    "exclude_token": {"exclude_tokens"},
    "any_tokens": {"exclude_tokens", "max_tokens"},
    "token_dispatch": {"rules", "loop", "exclude_tokens"},
    "grammar": {"grammar"},
    "regex": {"pattern"},
    "sequence": {"elements"},
    "or": {"elements"},
    "optional": {"content"},
    "plus": {"content"},
    "star": {"content"},
    "repeat": {"min", "max", "content"},
    "tag": {"begin", "content", "end"},
    "triggered_tags": _TAGS | {"triggers", "excludes"},
    "token_triggered_tags": _TAGS | {"trigger_tokens", "exclude_tokens"},
    "tags_with_separator": _TAGS | {"separator"},
    "dispatch": {"rules", "loop", "excludes"},
}
