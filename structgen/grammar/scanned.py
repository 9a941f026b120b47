"""A grammar as it is when everything has been read off its text: what lowering makes IR of, and what is kept on disk.

There are two kinds. `Scanned` has rules over terminals as a scanner gives them; `Lines` has rules over lines whose
indentation counts. Neither knows a vocabulary, and neither needs the grammar's text, its front end or lark any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from structgen.automata.charset import ANY, NONE, CharSet
from structgen.automata.regular import NOTHING, Language
from structgen.errors import GrammarSyntaxError
from structgen.grammar.automaton import Automaton
from structgen.grammar.form import Embedded, Place

START = 0  # the context at the start of a text


@dataclass(frozen=True, slots=True)
class Counted:
    """A symbol: at least `min` (not 0) and at most `max` times a rule, none of which is empty."""

    name: str
    min: int
    max: int | None


@dataclass(frozen=True, slots=True)
class Lexed:
    """A symbol: a terminal in a rule, read in one context (in the end: one of those that make a difference to it), and
    the context behind it."""

    name: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Deeper:
    """A symbol: a rule, called at any deeper column."""

    name: str


@dataclass
class Flat:
    """A flattened grammar: automata by rule name, whose symbols are the grammar's leaves (`Ref` is a call).

    No automaton accepts the empty text; `nullable` says whether the grammar does. `start` is None where it accepts
    nothing else. `unproductive` and `unreachable` name rules that were left out.
    """

    start: str | None
    nullable: bool
    rules: dict[str, Automaton]
    unproductive: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    stats: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Token:
    """A terminal as the scanner gives it: its texts, and what must not follow each.

    `guards` holds one set of characters if it is the same for all texts; otherwise `longer` is the language that tells:
    a text w must not be followed by the first characters of what is left of `longer` after w: those in `follow`, and,
    unless more may follow than `follow` knows (`open`), others that cannot follow.
    """

    language: Language
    guards: tuple[CharSet, ...]
    longer: Language = NOTHING
    unless: CharSet = NONE
    follow: CharSet = ANY
    inner: bool = False
    open: bool = False

    @property
    def key(self) -> tuple[object, ...]:
        """What it is, across processes."""
        if len(self.guards) == 1:
            return "token", self.language.key, self.guards[0].ranges
        return "token", self.language.key, self.longer.key, self.unless.ranges, self.follow.ranges, self.open


@dataclass(frozen=True)
class Scanned:
    """A flattened grammar with `Lexed` terminals: `tokens` says what each is, `ignored` what may stand in a context.

    `digest` identifies the grammar's text, dialect and start, `name` is its start rule there. `declared` names the
    terminals that are declared and not defined, and where. `foreign` are the symbols that this grammar does not say the
    texts of: such terminals, and what is embedded. `reader` is what it was read with from a form, and must live as long
    (see `derived`).
    """

    digest: bytes
    name: str
    declared: Mapping[str, Place]
    flat: Flat
    tokens: Mapping[Lexed, tuple[Token, ...]]
    ignored: Mapping[int, tuple[Token, ...]]
    foreign: tuple[Lexed | Embedded, ...] = ()
    reader: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Lines:
    """A flattened grammar over lines, with `Term`, `Ref` and `Deeper` symbols. See `indentation` for its terminals.

    `words` gives the texts of each terminal, each with the characters that must not follow them; `placed` names the
    rules that depend on the column. `reader`: see `Scanned`.
    """

    digest: bytes
    words: Mapping[str, tuple[tuple[Language, CharSet], ...]]
    ignored: tuple[str, ...]
    placed: frozenset[str]
    flat: Flat
    reader: object = field(default=None, repr=False, compare=False)


def no_text(name: str) -> GrammarSyntaxError:
    """The error for a grammar without any text that starts from rule `name`."""
    return GrammarSyntaxError(f"no text matches rule {name!r}", advice="every rule needs an alternative that ends")
