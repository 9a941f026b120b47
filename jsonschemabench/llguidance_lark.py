"""Lark texts as llguidance reads them: what its dialect lacks is written in other words, or left out and named.

- Templates are written out, one rule for each list of arguments.
- A pattern that must not be a keyword, `(?!(if|else)(?!\\w))[a-z]+`, becomes `/[a-z]+/ & ~/(if|else)/`.
- Other look-ahead and the priorities of terminals are left out: texts are then read as llguidance's lexer does it, the
  longest match of what may stand there.
- Ignored texts may stand at the start, too.

Indentation (`%declare`) it has no word for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_PIECES = re.compile(
    r"""(?P<string>"(?:\\.|[^"\\\n])*"i?)"""
    r"""|(?P<comment>//[^\n]*)"""
    r"""|(?P<regex>/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+/(?P<flags>[imslux]*))"""
    r"""|(?P<rest>[^"/]+|.)""",
    re.DOTALL,
)
_DEFINITION = re.compile(r"[!?]*(?P<name>_?[A-Za-z][A-Za-z_0-9]*)(?:\{(?P<params>[^}]*)\})?(?:\.-?[0-9]+)?\s*:(?!:)")
_PRIORITY = re.compile(r"(?m)^([_A-Z][_A-Z0-9]*)\.-?[0-9]+(?=\s*:)")
_LOOK = ("(?!", "(?=")


class CannotExpress(Exception):
    """llguidance has no word for something, and there is no other way to say it."""


@dataclass
class Adapted:
    """A grammar for llguidance, and what was left out of it."""

    text: str
    dropped: tuple[str, ...]


def adapted(source: str) -> Adapted:
    """A Lark text in llguidance's dialect. Raises `CannotExpress`."""
    if re.search(r"(?m)^%declare\b", source):
        raise CannotExpress("%declare: indentation")
    dropped: dict[str, None] = {}

    def pattern(text: str, flags: str) -> str:
        body, excluded, cut = _without_look_ahead(text)
        if cut:
            dropped["look-ahead"] = None
        if not excluded:
            return f"/{body}/{flags}"
        return "(" + " & ".join([f"/{body}/{flags}", *(f"~/{one}/{flags}" for one in excluded)]) + ")"

    text = _PRIORITY.sub(r"\1", source)
    if text != source:
        dropped["priorities"] = None
    text = _expanded("".join(_rewritten(text, pattern)))
    return Adapted('%llguidance {"allow_initial_skip": true}\n' + text, tuple(dropped))


def _rewritten(source: str, pattern: Callable[[str, str], str]) -> Iterator[str]:
    """The text without comments, each pattern as a function of its body and flags has it."""
    for piece in _PIECES.finditer(source):
        if piece["regex"] is not None:
            flags = piece["flags"]
            yield pattern(piece["regex"][1 : len(piece["regex"]) - 1 - len(flags)], flags)
        elif piece["comment"] is None:
            yield piece[0]


def _without_look_ahead(pattern: str) -> tuple[str, list[str], bool]:
    """(the pattern without look-ahead, what its texts must not be, whether any look-ahead is lost)."""
    excluded: list[str] = []
    lost = False
    while pattern.startswith("(?!"):
        end = _closing(pattern, 0)
        inner, _, looked = _without_look_ahead(pattern[3:end])
        if not looked:
            break  # it looks at a beginning, and `~` is about a whole text
        excluded.append(inner)
        pattern = pattern[end + 1 :]
    out: list[str] = []
    i, inside_class = 0, False
    while i < len(pattern):
        if pattern[i] == "\\":
            if pattern[i + 1] in "bB" and not inside_class:
                lost = True
            else:
                out.append(pattern[i : i + 2])
            i += 2
        elif not inside_class and pattern.startswith(_LOOK, i):
            i = _closing(pattern, i) + 1
            lost = True
        else:
            inside_class = pattern[i] != "]" if inside_class else pattern[i] == "["
            out.append(pattern[i])
            i += 1
    return "".join(out), excluded, lost


def _closing(pattern: str, i: int) -> int:
    """The index of the bracket that closes the group at i."""
    depth, inside_class = 0, False
    while i < len(pattern):
        char = pattern[i]
        if char == "\\":
            i += 1
        elif inside_class:
            inside_class = char != "]"
        elif char == "[":
            inside_class = True
        elif char in "()":
            depth += 1 if char == "(" else -1
            if not depth:
                return i
        i += 1
    raise CannotExpress(f"a group that is not closed: {pattern}")


@dataclass
class _Template:
    params: list[str]
    definition: str
    """From the colon on."""


def _expanded(source: str) -> str:
    """The text with a rule for each use of a template."""
    templates: dict[str, _Template] = {}
    out: list[str] = []
    for block in _blocks(source):
        found = _DEFINITION.match(block)
        if found is not None and found["params"] is not None:
            params = [param.strip() for param in found["params"].split(",")]
            templates[found["name"]] = _Template(params, block[found.end() - 1 :])
        else:
            out.append(block)
    if not templates:
        return "".join(out)
    use = re.compile(rf"\b({'|'.join(map(re.escape, templates))})\{{([^{{}}]*)\}}")
    made: dict[str, str] = {}

    def instance(match: re.Match[str]) -> str:
        template, arguments = templates[match[1]], [one.strip() for one in match[2].split(",")]
        if len(arguments) != len(template.params) or not all(re.fullmatch(r"\w+", one) for one in arguments):
            raise CannotExpress(f"template {match[0]}: its arguments are not names")
        name = "_".join([match[1], "of", *(one.lower() for one in arguments)])
        if name not in made:
            made[name] = ""  # it may use itself
            values = dict(zip(template.params, arguments, strict=True))
            body = _renamed(template.definition, values)
            made[name] = name + _outside_strings(body, lambda text: use.sub(instance, text))
        return name

    text = _outside_strings("".join(out), lambda part: use.sub(instance, part))
    return text + "".join(made.values())


def _blocks(source: str) -> Iterator[str]:
    """The text cut in front of each definition and directive."""
    block = ""
    for line in source.splitlines(keepends=True):
        if block and (line.startswith("%") or _DEFINITION.match(line)):
            yield block
            block = ""
        block += line
    yield block


def _renamed(text: str, values: dict[str, str]) -> str:
    names = re.compile(rf"\b({'|'.join(map(re.escape, values))})\b")
    return _outside_strings(text, lambda part: names.sub(lambda match: values[match[1]], part))


def _outside_strings(text: str, change: Callable[[str], str]) -> str:
    return "".join(change(piece[0]) if piece["rest"] is not None else piece[0] for piece in _PIECES.finditer(text))
