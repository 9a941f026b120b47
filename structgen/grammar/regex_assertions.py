"""Assertions in regular expressions (`^ $ \\b`, look-ahead, look-behind) by constructions on languages, exactly.

What a pattern matches is compiled together with the language `rest` of everything after it, so a look-ahead is an
intersection: `(?=B)` before `rest` is `rest & B·ANY*`, and `$` is `rest & EMPTY`. A loop around a look-ahead is the
least solution of `L = body(L) | rest`. Looking back is left to `regular_context`: `^`, where it is not known from its
place, and look-behind are leaves that ask about the text before them.
"""

from __future__ import annotations

from enum import Enum

from structgen.automata.charset import ANY, CharSet
from structgen.automata.regular import (
    ANY_STRING,
    EMPTY_STRING,
    NOTHING,
    Language,
    chars,
    complement,
    concat,
    intersect,
    repeat,
    union,
)
from structgen.automata.regular_context import close, looking_back
from structgen.automata.regular_nodes import digest, loop
from structgen.errors import GrammarSyntaxError

MAX_DEPTH = 60  # Nested groups with assertions in them; compiling recurses along these.
MAX_COPIES = 200  # Bodies written out for a bounded repeat around a look-ahead.

_WORD = chars(CharSet(((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))))
_ANY_CHARACTER = chars(ANY)


class Form(Enum):
    """What an `Item` is; in parentheses its `parts`."""

    SEQUENCE = "sequence"  # Items, one after the other.
    CHOICE = "choice"  # Any of the items.
    REPEAT = "repeat"  # One item, `least` to `most` times.
    START = "^"
    END = "$"
    BOUNDARY = "\\b"
    AHEAD = "look-ahead"
    BEHIND = "look-behind"


class Item:
    """A piece of a pattern that contains an assertion; pieces without one are languages already. Never changed.

    `source` is its text and flags, which determine it; `consumes` says whether it matches at least one character,
    `can_consume` whether it ever matches any.
    """

    __slots__ = (
        "can_consume", "column", "consumes", "depth", "form", "has_start", "least", "line", "looks_ahead", "looks_back",
        "most", "negated", "parts", "source",
    )  # fmt: skip

    def __init__(
        self, form: Form, parts: tuple[Piece, ...] = (), *, least: int = 1, most: int | None = 1,
        negated: bool = False, source: str = "", line: int = 1, column: int = 1,
    ) -> None:  # fmt: skip
        self.form = form
        self.parts = parts
        self.least = least
        self.most = most
        self.negated = negated
        self.source = source
        self.line = line
        self.column = column
        self.looks_ahead = form in (Form.END, Form.BOUNDARY, Form.AHEAD)
        self.looks_back = form in (Form.BOUNDARY, Form.BEHIND)
        self.has_start = form is Form.START
        self.depth = 1
        for part in parts:
            if isinstance(part, Item):
                self.looks_ahead |= part.looks_ahead
                self.looks_back |= part.looks_back
                self.has_start |= part.has_start
                self.depth = max(self.depth, part.depth + 1)
        takes = form in (Form.SEQUENCE, Form.CHOICE, Form.REPEAT)
        every = any if form is Form.SEQUENCE else all
        self.consumes = takes and least > 0 and every(_consumes(part) for part in parts)
        self.can_consume = takes and most != 0 and any(_can_consume(part) for part in parts)
        if self.depth > MAX_DEPTH:
            raise self.refuse(f"groups with assertions are nested more than {MAX_DEPTH} deep", "nest less")

    def refuse(self, reason: str, advice: str) -> GrammarSyntaxError:
        """The error for this piece."""
        return GrammarSyntaxError(reason, line=self.line, column=self.column, advice=advice)


Piece = Language | Item


def _consumes(piece: Piece) -> bool:
    return piece.consumes if isinstance(piece, Item) else piece.min_bound > 0


def _can_consume(piece: Piece) -> bool:
    return piece.can_consume if isinstance(piece, Item) else piece.max_bound != 0


def whole(top: Item, rest: Language) -> Language:
    """Texts that the pattern matches from their start, with `rest` after it."""
    return close(_compile(top, rest, True))


def around(top: Item, rest: Language) -> Language:
    """Texts that the pattern matches from anywhere, with `rest` after it."""
    if not top.has_start and not top.looks_back:
        return concat(ANY_STRING, _compile(top, rest, None))
    later = concat(repeat(_ANY_CHARACTER, 1), _compile(top, rest, False))
    return close(union(_compile(top, rest, True), later))


def _compile(piece: Piece, rest: Language, start: bool | None) -> Language:
    """What the piece matches, followed by `rest`; `start`: whether it begins at the start of the text, if known."""
    if isinstance(piece, Language):
        return concat(piece, rest)
    form = piece.form
    if form is Form.SEQUENCE:
        return _sequence(piece, rest, start)
    if form is Form.CHOICE:
        return union(*(_compile(part, rest, start) for part in piece.parts))
    if form is Form.REPEAT:
        return _repeat(piece, rest, start)
    if form is Form.START:
        return rest if start else NOTHING if start is False else concat(looking_back(EMPTY_STRING), rest)
    if form is Form.END:
        return intersect(rest, EMPTY_STRING)
    if form is Form.BOUNDARY:
        return _boundary(piece.negated, rest, start)
    if form is Form.AHEAD:
        seen = _compile(piece.parts[0], ANY_STRING, start)
        return intersect(rest, complement(seen) if piece.negated else seen)
    return concat(_behind(piece), rest)


def _sequence(piece: Item, rest: Language, start: bool | None) -> Language:
    first = piece.parts[0]
    if start is False and isinstance(first, Item) and first.form is Form.START:
        return NOTHING  # What `around` asks of every anchored pattern.
    starts = []
    for part in piece.parts:
        starts.append(start)
        if _consumes(part):
            start = False
        elif start and _can_consume(part):
            start = None
    for part, known in zip(reversed(piece.parts), reversed(starts), strict=True):
        rest = _compile(part, rest, known)
    return rest


def _repeat(piece: Item, rest: Language, start: bool | None) -> Language:
    body, least, most = piece.parts[0], piece.least, piece.most
    assert isinstance(body, Item)
    if not body.can_consume:
        return _compile(body, rest, start) if least else rest
    later = False if body.consumes or start is False else None
    if not body.looks_ahead:
        first, other = _compile(body, EMPTY_STRING, start), _compile(body, EMPTY_STRING, later)
        more = repeat(other, max(least - 1, 0), None if most is None else most - 1)
        return union(concat(first, more, rest), *(() if least else (rest,)))
    copies = least if most is None else most
    if copies > MAX_COPIES:
        raise piece.refuse(
            f"a look-ahead repeated {copies} times is refused",
            f"repeat it at most {MAX_COPIES} times, or without limit",
        )
    if most is None:
        name = digest(piece.source.encode("utf-8", "surrogatepass"))
        tail, tied = loop(rest, name, located=body.looks_back)
        # Repetitions that match nothing only narrow what the loop matches anyway, so they are left out of its body.
        tied.body = _nonempty(body, tail, False)
        if least == 0:
            return tail if start is False else union(rest, _nonempty(body, tail, start))
    else:
        tail = rest
    for index in range(copies - 1, -1, -1):
        once = _compile(body, tail, start if index == 0 else later)
        tail = once if index < least else union(once, rest)
    return tail


def _nonempty(piece: Piece, rest: Language, start: bool | None) -> Language:
    """As `_compile`, where the piece itself matches at least one character."""
    if isinstance(piece, Language):
        return concat(intersect(piece, repeat(_ANY_CHARACTER, 1)), rest)
    if piece.consumes:
        return _compile(piece, rest, start)
    if not piece.can_consume:
        return NOTHING
    if piece.form is Form.CHOICE:
        return union(*(_nonempty(part, rest, start) for part in piece.parts))
    if piece.form is Form.SEQUENCE:
        first, *others = piece.parts
        if not others:
            return _nonempty(first, rest, start)
        more = Item(Form.SEQUENCE, tuple(others), source=f"{piece.source}:{len(others)}")
        return union(
            _nonempty(first, _compile(more, rest, False), start), _empty(first, _nonempty(more, rest, start), start)
        )
    # X{m,n} = X·X{m-1,n-1} with the first X not empty; where X can be empty here, it can be so any number of times.
    body, most = piece.parts[0], None if piece.most is None else piece.most - 1
    out = []
    for least in {max(piece.least - 1, 0), 0}:
        more = Item(Form.REPEAT, (body,), least=least, most=most, source=f"{piece.source}:{least},{most}")
        once = _nonempty(body, rest if most == 0 else _compile(more, rest, False), start)
        out.append(once if least or piece.least < 2 else _empty(body, once, start))
    return union(*out)


def _empty(piece: Piece, rest: Language, start: bool | None) -> Language:
    """As `_compile`, where the piece itself matches no character: only its assertions remain."""
    if isinstance(piece, Language):
        return rest if piece.nullable else NOTHING
    if not piece.can_consume:
        return _compile(piece, rest, start)
    if piece.consumes:
        return NOTHING
    if piece.form is Form.CHOICE:
        return union(*(_empty(part, rest, start) for part in piece.parts))
    if piece.form is Form.SEQUENCE:
        for part in reversed(piece.parts):
            rest = _empty(part, rest, start)
        return rest
    return _empty(piece.parts[0], rest, start) if piece.least else rest


def _boundary(negated: bool, rest: Language, start: bool | None) -> Language:
    word_next = concat(_WORD, ANY_STRING)
    after_word, after_other = intersect(rest, complement(word_next)), intersect(rest, word_next)
    if negated:
        after_word, after_other = after_other, after_word
    if start:
        return after_other
    ends_in_word = concat(ANY_STRING, _WORD)
    return union(
        concat(looking_back(ends_in_word), after_word), concat(looking_back(complement(ends_in_word)), after_other)
    )


def _behind(piece: Item) -> Language:
    body = piece.parts[0]
    if isinstance(body, Item):
        if body.looks_ahead:
            raise piece.refuse("a look-behind around `$`, `\\b` or a look-ahead is refused", "move it outside")
        before = around(body, EMPTY_STRING)
    else:
        before = concat(ANY_STRING, body)
    return looking_back(complement(before) if piece.negated else before)
