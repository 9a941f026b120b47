"""The neutral form of a grammar: what every dialect is read into, and what everything behind the front ends works on.

A grammar is rules over terminals and pieces. A *terminal* is a lexeme: a regular language over code points with what
may not stand behind it, its rank among the others, and whether it is ignored between the others. Dialects without a
scanner (GBNF, EBNF) have no terminals: their rules contain `Piece`s, plain regular languages. A declared terminal has
no language of its own; whoever lowers the grammar says what it is.

Everything is frozen and compared by value. Templates, imports, aliases, `~n..m` and the like are gone by now: they are
the front end's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias, Union

from structgen.automata.charset import NONE, CharSet

if TYPE_CHECKING:
    from structgen.automata.regular import Language

Expression: TypeAlias = Union["Ref", "Term", "Piece", "Embedded", "Sequence", "Choice", "Repeat"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the grammar's text, counted from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Ref:
    """A rule, by name."""

    name: str


@dataclass(frozen=True, slots=True)
class Term:
    """A terminal, by name. Ignored terminals may stand behind it."""

    name: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A text of a regular language, in UTF-8; nothing is ignored behind it and no scanner is asked."""

    language: Language


@dataclass(frozen=True, slots=True)
class Embedded:
    """Something this package cannot read itself: `kind` says what, `text` is its source. Compared by value, so equal
    embeddings are one.

    Kinds: `"json"`, a JSON Schema; `"special"`, the name or the ids of special tokens; `"others"`, any text and any
    special tokens in any order, not nothing, but for the tokens named here, a line each.
    """

    kind: str
    text: str
    place: Place = field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """The parts, one after the other; no parts: the empty text."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """Any one of the parts; no parts: nothing at all."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """At least `min` and at most `max` bodies (None: no upper limit)."""

    body: Expression
    min: int = 0
    max: int | None = None


@dataclass(frozen=True, slots=True)
class Lexeme:
    """The texts of a terminal that share what may follow them: no character of `unless`.

    `inner`: something must follow, the text of the whole grammar does not end here (a look-ahead that asks for a
    character). `reach`, where it is not `language` itself, is what the pattern would match but for look-ahead at its
    beginning: that decides how far a match goes.
    """

    language: Language
    unless: CharSet = NONE
    inner: bool = False
    reach: Language | None = None


@dataclass(frozen=True, slots=True)
class Terminal:
    """A lexeme of the grammar.

    `lexemes` is empty for a declared terminal. `string` is what a terminal written as a string says (which other texts
    it matches, too, if it ignores case). `order` ranks terminals as the dialect's scanner does: the smallest that
    matches wins. `pattern` is the regular expression as Python's `re` takes it. `shortest`: it ends where it first can
    (it was written with lazy quantifiers); otherwise it takes as much as it can. `beginnings`, where it is not just
    any text behind a lexeme, has the longer texts that begin with this terminal.
    """

    name: str
    lexemes: tuple[Lexeme, ...]
    string: str | None = None
    order: tuple[object, ...] = ()
    priority: int = 0
    pattern: str | None = None
    shortest: bool = False
    beginnings: Language | None = None
    place: Place = field(default=Place(), compare=False)

    @property
    def declared(self) -> bool:
        """Whether it has no language of its own."""
        return not self.lexemes


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule and its body. `priority` settles a conflict of two reductions, as in Lark."""

    name: str
    body: Expression
    place: Place = field(default=Place(), compare=False)
    priority: int | None = None


@dataclass(frozen=True)
class Grammar:
    """A whole grammar. `rules` and `terminals` by name; `ignored` names the terminals that may stand between others.

    `unused` names rules of the text that nothing leads to and that are left out. `digest` identifies the grammar's
    text, dialect and start: equal digests mean equal grammars. `imported` names the files that the text imports,
    beside lark's own library.
    """

    start: str
    rules: Mapping[str, Rule]
    terminals: Mapping[str, Terminal] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    digest: bytes = b""
    unused: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()

    @property
    def declared(self) -> tuple[str, ...]:
        """Names of the terminals that are declared and not defined."""
        return tuple(name for name, terminal in self.terminals.items() if terminal.declared)


def leaves(expression: Expression) -> Iterator[Ref | Term | Piece | Embedded]:
    """The leaves of an expression, from left to right, each as often as it occurs."""
    todo = [expression]
    while todo:
        top = todo.pop()
        if isinstance(top, (Sequence, Choice)):
            todo.extend(reversed(top.parts))
        elif isinstance(top, Repeat):
            todo.append(top.body)
        else:
            yield top
