"""llguidance's additions to Lark's syntax, taken out of a grammar's text before lark reads it.

    answer: "call " %json {"type": "integer"} <|end|>      a JSON Schema, a special token
    line[stop="\\n"]: /.*/                                   a rule that ends with the first newline
    head[lazy]: TEXT "<call"                               a rule that ends where it first can
    quote: %regex {"substring_words": "to be or not"}      some of these words, as they stand there
    WORD: /[a-z]+/ & ~/if|else/                             intersection and complement of terminals
    pair: /[0-9]/{2,3}                                      a counted repeat

None of it is Lark's, so nothing is guessed. Each piece becomes a declared terminal, and `Extras` says what it stands
for. What cannot be exact is refused: `max_tokens` depends on how the model spells a text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from structgen.automata.charset import ANY
from structgen.automata.regular import (
    ANY_STRING,
    Language,
    chars,
    complement,
    concat,
    difference,
    intersect,
    repeat,
    string,
    union,
)
from structgen.errors import GrammarSyntaxError, UnsupportedGrammarError
from structgen.grammar.form import Embedded, Place
from structgen.grammar.llguidance_text import QUOTED, chunks_of, last_atom, substrings

_TOKEN = re.compile(
    rf"""(?P<skip>{QUOTED}|//[^\n]*|\#[^\n]*)
    |(?P<json>%json\b)|(?P<directive>%(?:llguidance|lark|regex)\b)
    |(?P<foreign>@[A-Za-z_][\w-]*|::\s*[\w-]+|%if\b)
    |(?P<special><\[[0-9]+\]>|<[^<>\s"]+>)
    |(?P<count>\{{\s*(?=[\d,]\s*[\d,}}])(?P<low>\d*)\s*(?:(?P<comma>,)\s*(?P<high>\d*)\s*)?\}})
    |(?P<head>^[ \t]*(?P<marks>[?!]*)(?P<rule>[a-z_][a-z0-9_]*)[ \t]*
        \[(?P<attributes>(?:{QUOTED}|[^\]"/\n])*)\][ \t]*:)
    |(?P<term>^[ \t]*(?P<name>_?[A-Z][A-Z0-9_]*)(?:\.-?\d+)?[ \t]*:)""",
    re.VERBOSE | re.MULTILINE,
)
_ATTRIBUTE = re.compile(rf"\s*([a-z_]+)\s*(?:=\s*({QUOTED}|[^,\s]+))?\s*(?:,|$)")
_PIECES = re.compile(rf'{QUOTED}|[&~|()]|[^&~|()"/]+|/')
_TIMES = re.compile(r"[ \t]*([*+])")
_HARMLESS = ("capture", "stop_capture")
_OPTIONS = ("no_forcing", "allow_initial_skip")
"""No text depends on the first, and Lark, whose rules these are, always does the second."""
_FOREIGN = {
    "@": ("a reference to another grammar is refused", "write its rules in this one, or a schema as %json {…}"),
    ":": ("a value stands behind the name of a rule", "write name::0x0"),
    "%": ("only a rule with a parameter has conditions", "write name::_: … %if …"),
}


@dataclass
class Extras:
    """What was taken out: embeddings by the name of their terminal, and terminals that are computed from others."""

    embedded: dict[str, Embedded] = field(default_factory=dict)
    computed: dict[str, tuple[object, ...]] = field(default_factory=dict)
    """How to make a terminal: nested `("&" | "|", …)`, `("~", …)`, `("stop", …, end)`, `("lazy", …)`, `("of", part)`,
    `("text", …)`, `("chunks", …)`."""
    parts: list[str] = field(default_factory=list)

    def language(self, made: tuple[object, ...], known: dict[str, Language]) -> Language:
        """The language of a computed terminal, given those of the parts."""
        kind, *of = made
        if kind == "of":
            return known[str(of[0])]
        if kind == "text":
            return string(str(of[0]))
        if kind == "chunks":
            return substrings([str(one) for one in of])
        inner = [self.language(one, known) for one in of if isinstance(one, tuple)]
        if kind == "~":
            return complement(inner[0])
        if kind == "stop":
            return difference(concat(*inner), concat(ANY_STRING, inner[1], repeat(chars(ANY), 1)))
        if kind == "lazy":
            return difference(inner[0], concat(inner[0], repeat(chars(ANY), 1)))
        return intersect(*inner) if kind == "&" else union(*inner)


def take_out(text: str) -> tuple[str, Extras]:
    """(the text as lark can read it, what was taken out). Lines stay where they are."""
    return _Taking(text).run()


class _Taking:
    def __init__(self, text: str) -> None:
        self.text = text
        self.out: list[str] = []
        self.extras = Extras()
        self.declared: list[str] = []
        self.added: list[str] = []
        self.optional: list[str] = []  # terminals that may be empty
        self.owed = 0  # lines

    def run(self) -> tuple[str, Extras]:
        at = 0
        while found := _TOKEN.search(self.text, at):
            self.between(self.text[at : found.start()])
            at = found.end()
            kind = found.lastgroup if found.lastgroup in ("skip", "json", "directive", "special") else None
            if found["skip"] is not None:
                self.out.append(found[0])
            elif kind == "json":
                at = self.json(found.end())
            elif kind == "directive":
                at = self.directive(found[0], found.start(), found.end())
            elif found["foreign"] is not None:
                message, advice = _FOREIGN[found[0][0]]
                raise self.refuse(message, found.start(), advice)
            elif kind == "special":
                if found[0].startswith(("<[^", "<[*")):
                    at = self.others(found)
                else:
                    self.out.append(f" {self.embed('special', found[0], found.start())} ")
            elif found["count"] is not None:
                self.count(found)
            elif found["head"] is not None:
                at = self.rule(found)
            else:
                at = self.terminal(found)
        self.between(self.text[at:])
        if not self.declared and not self.added:
            return "".join(self.out), self.extras
        tail = [f"%declare {' '.join(self.declared)}"] if self.declared else []
        text = "".join(self.out)
        for name in self.optional:
            text = re.sub(rf"{QUOTED}|//[^\n]*|\#[^\n]*|\b({name})\b", lambda found: _maybe(found), text)
        return "\n".join([text, *tail, *self.added, ""]), self.extras

    def between(self, text: str) -> None:
        """Text that stays. Lines that were taken out of a rule follow at the end of its line."""
        if self.owed and "\n" in text:
            text, self.owed = text.replace("\n", "\n" * (1 + self.owed), 1), 0
        self.out.append(text)

    def place(self, at: int) -> Place:
        return Place(self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at))

    def refuse(self, message: str, at: int, advice: str) -> UnsupportedGrammarError:
        place = self.place(at)
        return UnsupportedGrammarError(message, line=place.line, column=place.column, advice=advice)

    def name(self) -> str:
        """A terminal's name that the grammar does not use."""
        index = len(self.extras.embedded) + len(self.extras.parts) + len(self.extras.computed)
        while f"TAKEN_OUT_{index}" in self.text or f"TAKEN_OUT_{index}" in self.declared + self.extras.parts:
            index += 1
        return f"TAKEN_OUT_{index}"

    def others(self, found: re.Match[str]) -> int:
        """`<[*]>*`, `<[^7]>+`: any tokens but some, as many as one likes."""
        times = _TIMES.match(self.text, found.end())
        if times is None:
            raise self.refuse(
                f"{found[0]}, a single token but some, is refused: no text depends on where tokens end",
                found.start(), "put * or + right behind it, or say which text may come",
            )  # fmt: skip
        without = "" if found[0] == "<[*]>" else found[0].replace("^", "", 1)
        name = self.embed("others", without, found.start())
        self.out.append(f" ({name})? " if times[1] == "*" else f" {name} ")
        return times.end()

    def embed(self, kind: str, text: str, at: int) -> str:
        """The name of the terminal that stands for this."""
        embedded = Embedded(kind, text, self.place(at))
        known = next((name for name, one in self.extras.embedded.items() if one == embedded), None)
        if known is None:
            known = self.name()
            self.declared.append(known)
            self.extras.embedded[known] = embedded
        return known

    def json(self, at: int) -> int:
        begin = at + len(self.text[at:]) - len(self.text[at:].lstrip())
        try:
            value, end = json.JSONDecoder().raw_decode(self.text, begin)
        except ValueError as error:
            place = self.place(begin)
            raise GrammarSyntaxError(
                f"expected a JSON Schema after %json: {error}", line=place.line, column=place.column
            ) from None
        self.out.append(f" {self.embed('json', json.dumps(value, sort_keys=False), begin)} ")
        self.owed += self.text.count("\n", begin, end)
        return end

    def directive(self, name: str, at: int, end: int) -> int:
        if name == "%llguidance":
            begin = end + len(self.text[end:]) - len(self.text[end:].lstrip())
            value, end = json.JSONDecoder().raw_decode(self.text, begin)
            unknown = [key for key, set_ in value.items() if set_ and key not in _OPTIONS]
            if not unknown:
                return end
            name = f"%llguidance {unknown[0]}"
        if name == "%regex":
            return self.substring(at, end)
        raise self.refuse(f"{name} is refused", at, "write it out in this grammar")

    def substring(self, at: int, end: int) -> int:
        """`%regex {…}` in a rule, or as all of a terminal: some of the chunks of a text, or none."""
        begin = end + len(self.text[end:]) - len(self.text[end:].lstrip())
        try:
            options, end = json.JSONDecoder().raw_decode(self.text, begin)
        except ValueError as error:
            place = self.place(begin)
            raise GrammarSyntaxError(
                f"expected a JSON object after %regex: {error}", line=place.line, column=place.column
            ) from None
        chunks = chunks_of(options)
        if chunks is None:
            raise self.refuse(
                "%regex with anything but substring_chunks, substring_words or substring_chars is refused", at,
                "write a pattern",
            )  # fmt: skip
        before = "".join(self.out)
        head = re.search(r"^[ \t]*([A-Z_][A-Z0-9_]*)[ \t]*:([^\n]*)\Z", before, re.MULTILINE)
        if head is None:
            name = self.name()
            self.out.append(f" ({name})? ")
        else:
            name = head[1]
            if head[2].strip() or self.text[end:].split("\n", 1)[0].strip():
                raise self.refuse("%regex in the middle of a terminal is refused", at, "give it a terminal of its own")
            self.out = [before[: head.start()]]
            self.optional.append(name)
        self.declared.append(name)
        self.extras.computed[name] = ("chunks", *chunks)
        self.owed += self.text.count("\n", begin, end)
        return end

    def count(self, found: re.Match[str]) -> None:
        low, high = found["low"] or "0", found["high"]
        if not found["comma"]:
            self.out.append(f"~{low}")
        elif high:
            self.out.append(f"~{low}..{high}")
        elif int(low) < 2:
            self.out.append("*+"[int(low)])
        else:
            before = "".join(self.out)
            atom = last_atom(before)
            if atom is None:
                place = self.place(found.start())
                raise GrammarSyntaxError(
                    "nothing to repeat stands before this count", line=place.line, column=place.column
                )
            start, copy = atom
            self.out = [before[:start], f"({copy}~{low} {before[start:]}*)"]

    def rule(self, found: re.Match[str]) -> int:
        """A rule with attributes, in front of its body."""
        ending: tuple[str, object] | None = None
        for attribute in _ATTRIBUTE.finditer(found["attributes"]):
            key, value = attribute[1], attribute[2]
            if key in ("stop", "suffix") and value:
                ending = "stop", value
            elif key == "lazy" and value is None:
                ending = ending or ("lazy", None)
            elif key not in _HARMLESS:
                raise self.refuse(
                    f"the attribute {key} is refused", found.start(), "a limit in tokens or a temperature is no grammar"
                )
        head = f"{found['marks']}{found['rule']}:"
        if ending is None:
            self.out.append(head)
            return found.end()
        body, end = self.body(found.end())
        part, made = self.part(body), self.name()
        self.declared.append(made)
        if ending[0] == "lazy":
            self.extras.computed[made] = ("lazy", ("of", part))
        else:
            value = str(ending[1])
            last = ("text", json.loads(value)) if value[0] == value[-1] == '"' else ("of", self.part(value))
            if last == ("text", ""):
                raise self.refuse("an empty stop is refused", found.start(), "end the text there, or say what ends it")
            self.extras.computed[made] = ("stop", ("of", part), last)
        self.out.append(f"{head} {made}" + "\n" * body.count("\n"))
        return end

    def body(self, at: int) -> tuple[str, int]:
        """The body of a definition: to the end of the line, and on over lines that begin with `|`."""
        end = at
        while True:
            found = re.compile(r"[^\n]*").match(self.text, end)
            assert found is not None
            end = found.end()
            more = re.compile(r"\n[ \t]*\|").match(self.text, end)
            if more is None:
                return self.text[at:end], end
            end = more.end()

    def terminal(self, found: re.Match[str]) -> int:
        """A terminal, which may be computed from others."""
        body, end = self.body(found.end())
        pieces = [piece for piece in _PIECES.findall(body) if piece.strip()]
        if not {"&", "~"} & {piece.strip() for piece in pieces if piece in "&~"} or _repeats(body):
            self.out.append(found[0])
            return found.end()
        made, rest = self.either(pieces)
        if rest:
            raise self.refuse(f"`{rest[0]}` is not expected here", found.start(), "see docs/grammars.md")
        self.declared.append(found["name"])
        self.extras.computed[found["name"]] = made
        self.out.append("\n" * body.count("\n"))
        return end

    def either(self, pieces: list[str]) -> tuple[tuple[object, ...], list[str]]:
        made, pieces = self.both(pieces)
        options = [made]
        while pieces and pieces[0] == "|":
            made, pieces = self.both(pieces[1:])
            options.append(made)
        return (options[0] if len(options) == 1 else ("|", *options)), pieces

    def both(self, pieces: list[str]) -> tuple[tuple[object, ...], list[str]]:
        made, pieces = self.one(pieces)
        parts = [made]
        while pieces and pieces[0] == "&":
            made, pieces = self.one(pieces[1:])
            parts.append(made)
        return (parts[0] if len(parts) == 1 else ("&", *parts)), pieces

    def one(self, pieces: list[str]) -> tuple[tuple[object, ...], list[str]]:
        if pieces[:1] == ["~"]:
            made, pieces = self.one(pieces[1:])
            return ("~", made), pieces
        if pieces[:1] == ["("]:
            made, pieces = self.either(pieces[1:])
            if pieces[:1] != [")"]:
                raise GrammarSyntaxError("this group is never closed", advice="add `)`")
            return made, pieces[1:]
        end = next((i for i, piece in enumerate(pieces) if piece in "&|)"), len(pieces))
        return ("of", self.part(" ".join(pieces[:end]))), pieces[end:]

    def part(self, body: str) -> str:
        """A terminal of its own for a piece of another."""
        name = self.name()
        self.extras.parts.append(name)
        self.added.append(f"{name}: {' '.join(body.split())}")
        return name


def _maybe(found: re.Match[str]) -> str:
    return f"({found[1]})?" if found[1] else found[0]


def _repeats(body: str) -> bool:
    """Whether every `~` counts (`x~2..3`) and there is no `&`: plain Lark."""
    bare = re.sub(QUOTED, "x", body)
    return "&" not in bare and re.search(r"~(?!\s*\d)", bare) is None
