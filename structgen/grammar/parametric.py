"""llguidance's rules with a parameter, written out: one rule for each value that can be reached.

    start: perm::0
    perm::_: ""                    %if is_ones([0:2])
           | "a" perm::set_bit(0)  %if bit_clear(0)
           | "b" perm::set_bit(1)  %if bit_clear(1)

A parameter is an unsigned number of 64 bits. A call says what becomes of it, a condition behind an alternative whether
there is such an alternative. Where a value has none, its rule has no text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from structgen.errors import GrammarSyntaxError, UnsupportedGrammarError
from structgen.grammar.llguidance_text import QUOTED
from structgen.grammar.parameters import Condition, Value, Words

MOST_RULES = 2_000
"""Rules that are written out for values, at most."""

_HEAD = re.compile(
    r"^[ \t]*(?P<marks>[?!]*)(?P<name>[a-z_]\w*)[ \t]*::[ \t]*_[ \t]*(?P<more>(?:\[[^\]\n]*\])?(?:\.-?\d+)?)[ \t]*:",
    re.MULTILINE,
)
_PIECE = re.compile(
    rf"(?P<skip>{QUOTED})|(?P<comment>//[^\n]*|\#[^\n]*)|(?P<name>[A-Za-z_]\w*)[ \t]*::"
    r"|(?P<if>%if\b)|(?P<mark>[()\[\]{}|\n])"
)
_GOES_ON = re.compile(r"(?:\s|//[^\n]*|\#[^\n]*)*(?:\||%if\b)")


@dataclass(frozen=True)
class _Call:
    name: str
    value: Value
    at: int


_Body = list["str | _Call"]


@dataclass(frozen=True)
class _Definition:
    head: str
    more: str
    alternatives: list[tuple[_Body, Condition | None]]


def written_out(text: str) -> str:
    """The grammar with a rule for each value, behind what it has without. Lines of what stays are where they were.

    Raises `GrammarSyntaxError`, and `UnsupportedGrammarError` where there are more than `MOST_RULES` such rules.
    """
    return _Writing(text).run() if "::" in text else text


class _Writing:
    def __init__(self, text: str) -> None:
        self.text = text
        self.known: dict[str, _Definition] = {}
        self.sign = "__p"
        while self.sign in text:
            self.sign += "_"

    def run(self) -> str:
        rest: _Body = []
        at = 0
        for head in _HEAD.finditer(self.text):
            rest += self.pieces(at, head.start())
            at = self.define(head)
            rest.append("\n" * self.text.count("\n", head.start(), at))
        rest += self.pieces(at, len(self.text))
        self.check([rest, *(body for one in self.known.values() for body, _ in one.alternatives)])
        out: dict[tuple[str, int], str] = {}
        todo: list[tuple[str, int]] = []
        plain = self.written(rest, None, todo)
        while todo:
            rule = todo.pop()
            if rule in out:
                continue
            if len(out) == MOST_RULES:
                raise UnsupportedGrammarError(
                    f"a rule for each value of the parameters would be more than {MOST_RULES:,} rules",
                    advice="use fewer bits, or count to less",
                )
            out[rule] = self.rule(*rule, todo)
        return "\n".join([plain, *(out[rule] for rule in sorted(out)), ""])

    def check(self, bodies: list[_Body]) -> None:
        """Raises `GrammarSyntaxError` for a call of a rule that is not there."""
        for call in (piece for body in bodies for piece in body if isinstance(piece, _Call)):
            if call.name not in self.known:
                raise self.error(f"no rule {call.name} has a parameter", call.at, f"write {call.name}::_: …")

    def rule(self, name: str, value: int, todo: list[tuple[str, int]]) -> str:
        made, own = self.known[name], self.named(name, value)
        bodies = [self.written(body, value, todo) for body, holds in made.alternatives if holds is None or holds(value)]
        return f"{made.head}{own}{made.more}: {' | '.join(bodies) if bodies else own}"  # itself alone: no text

    def named(self, name: str, value: int) -> str:
        return f"{name}{self.sign}{value}"

    def written(self, body: _Body, value: int | None, todo: list[tuple[str, int]]) -> str:
        """A text with the names of rules for its calls, which are added to `todo`; `value`: of its own parameter."""
        out = []
        for piece in body:
            if isinstance(piece, _Call):
                rule = piece.name, piece.value(value)
                todo.append(rule)
                piece = self.named(*rule)
            out.append(piece)
        return "".join(out)

    # ---- reading ------------------------------------------------------------------------------------------------

    def error(self, message: str, at: int, advice: str) -> GrammarSyntaxError:
        line, column = self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)
        return GrammarSyntaxError(message, line=line, column=column, advice=advice)

    def pieces(self, at: int, end: int) -> _Body:
        """Text outside rules with a parameter, as it is but for its calls."""
        out: _Body = []
        while at < end:
            found = _PIECE.search(self.text, at, end)
            if found is None:
                break
            if found["if"]:
                raise self.error("only a rule with a parameter has conditions", found.start(), "write name::_: … %if …")
            out.append(self.text[at : found.start() if found["name"] else found.end()])
            at = found.end()
            if found["name"]:
                words = Words(self.text, at, self.error, has_parameter=False)
                out.append(_Call(found["name"], words.value(), found.start()))
                at = words.at
        return [*out, self.text[at:end]]

    def define(self, head: re.Match[str]) -> int:
        """Read a rule with a parameter; where it ends."""
        if head["name"] in self.known:
            raise self.error(f"{head['name']} is defined twice", head.start("name"), "make it one rule")
        alternatives: list[tuple[_Body, Condition | None]] = []
        body: _Body = []
        condition: Condition | None = None
        at, depth = head.end(), 0
        while True:
            found = _PIECE.search(self.text, at)
            upto = len(self.text) if found is None else found.start()
            if condition is None:
                body.append(self.text[at:upto])
            elif self.text[at:upto].strip() or (found and not found["comment"] and found[0] not in "|\n"):
                raise self.error("nothing but | may stand behind a condition", at, "put it in front")
            at = upto
            if found is None or (found[0] == "\n" and depth == 0 and not _GOES_ON.match(self.text, found.end())):
                break
            at = found.end()
            if found["comment"] is not None:
                continue
            if found["if"]:
                if depth:
                    raise self.error(
                        "a condition stands at the end of an alternative of the rule", found.start(),
                        "give what is in brackets a rule of its own",
                    )  # fmt: skip
                words = Words(self.text, at, self.error)
                condition, at = words.condition(), words.at
            elif found[0] == "|" and depth == 0:
                alternatives.append((body, condition))
                body, condition = [], None
            elif found["name"]:
                words = Words(self.text, at, self.error)
                body.append(_Call(found["name"], words.value(), found.start()))
                at = words.at
            else:
                depth += (found[0] in "([{") - (found[0] in ")]}") if found["mark"] else 0
                body.append({"\n": " ", '""': "()"}.get(found[0], found[0]))  # lark has no empty string
        alternatives.append((body, condition))
        self.known[head["name"]] = _Definition(head["marks"], head["more"], alternatives)
        return at
