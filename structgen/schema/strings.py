"""Strings as IR: literals of known values, and one shared rule per language and spelling."""

from __future__ import annotations

from json.encoder import encode_basestring

from structgen.automata.regular import Language, finite, union
from structgen.ir import EMPTY, Call, Encoding, Node, Rule, Text, alt, choice, literal, seq
from structgen.schema.forms import StringForm
from structgen.schema.options import SchemaOptions

_QUOTE = literal('"')


def strings_node(forms: tuple[StringForm, ...], options: SchemaOptions) -> Node:
    """Strings with their quotes: a choice of literals for values, a shared rule for languages."""
    values = dict.fromkeys(value for form in forms if form.values is not None for value in form.values)
    languages = [form.language for form in forms if form.values is None]
    parts: list[Node] = []
    if values and options.literal_escapes == "any":
        parts.append(_rule(finite(values), "json"))
    elif values:
        parts.append(choice((spelled(value), EMPTY) for value in values))
    if languages:
        parts.append(string_rule(union(*languages), options))
    return alt(*parts)


def string_rule(language: Language, options: SchemaOptions) -> Node:
    """Any string of a language, with its quotes, in the spelling of the options."""
    return _rule(language, "json" if options.string_escapes == "any" else "json-canonical")


def _rule(language: Language, encoding: Encoding) -> Node:
    key = ("json-string", language, encoding)
    return Call(Rule("string", lambda: seq(_QUOTE, Text(language, encoding), _QUOTE), key=key, light=True))


def spelled(text: str) -> bytes:
    """A string as `json.dumps` writes it, in UTF-8."""
    return encode_basestring(text).encode()
