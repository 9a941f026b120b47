"""Reads the text of a regular expression. Pieces without assertions become languages at once.

One pass with an explicit stack of open groups, so nesting is not limited by Python's recursion.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from structgen.automata.charset import ANY, single
from structgen.automata.regular import Language, chars, concat, repeat, string, union
from structgen.automata.unicode import case_closure
from structgen.grammar.regex_assertions import Form, Item, Piece
from structgen.grammar.regex_classes import DIALECTS, ClassReader, Cursor, Dialect


@dataclass
class _Group:
    """An open group: the alternatives so far and the one that is being read."""

    form: Form | None  # AHEAD, BEHIND, or None for a plain group.
    negated: bool
    opened: int
    fold: bool
    dot_all: bool
    choices: list[Piece] = field(default_factory=list)
    parts: list[Piece] = field(default_factory=list)
    text: list[str] = field(default_factory=list)  # Literal characters not yet in `parts`.


class Parser:
    """Reads one pattern; `parse` may be called once."""

    def __init__(self, pattern: str, dialect: str, flags: str) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}, not {dialect!r}")
        if not set(flags) <= set("isu"):
            raise ValueError(f"flags may be i, s and u, not {flags!r}")
        self.cursor = Cursor(pattern)
        self.dialect: Dialect = DIALECTS[dialect]
        self.classes = ClassReader(self.cursor, self.dialect)
        self.flags = flags
        self.names: set[str] = set()
        self.group = _Group(None, False, 0, "i" in flags, "s" in flags)
        self.stack: list[_Group] = []

    def parse(self) -> Piece:
        """The whole pattern. Raises `GrammarSyntaxError` where it is not one or where something is refused."""
        cursor = self.cursor
        pattern, end = cursor.text, len(cursor.text)
        self._leading_flags()
        while cursor.at < end:
            char = pattern[cursor.at]
            handler = _HANDLERS.get(char)
            if handler is None:
                cursor.at += 1
                self._literal(char)
            else:
                handler(self)
        if self.stack:
            raise cursor.error("this group is never closed", self.group.opened, advice="add `)`")
        return self._choice()

    def _leading_flags(self) -> None:
        cursor = self.cursor
        while cursor.text.startswith("(?", cursor.at):
            end = cursor.text.find(")", cursor.at)
            letters = cursor.text[cursor.at + 2 : end]
            if end < 0 or not letters.isalpha():
                return
            if not set(letters) <= set("isu"):
                raise cursor.error(f"inline flags {letters!r} are refused", advice="only i, s and u are supported")
            self.group.fold |= "i" in letters
            self.group.dot_all |= "s" in letters
            cursor.at = end + 1

    # What a piece adds to the open group.

    def _literal(self, char: str) -> None:
        """One literal character, with the quantifier that may follow it."""
        cursor = self.cursor
        follows = cursor.text[cursor.at : cursor.at + 1]
        if self.group.fold or "\ud800" <= char <= "\udfff":
            charset = single(ord(char))
            self._piece(chars(case_closure(charset) if self.group.fold else charset), cursor.at - 1)
        elif follows and follows in "*+?{":
            self._piece(string(char), cursor.at - 1)
        else:
            self.group.text.append(char)

    def _piece(self, piece: Piece, begin: int, *, repeatable: bool = True) -> None:
        """A piece that began at `begin`, with the quantifier that may follow it."""
        group = self.group
        self._flush(group)
        if self.cursor.text[self.cursor.at : self.cursor.at + 1] in ("*", "+", "?", "{"):
            piece = self._quantified(piece, begin, repeatable)
        group.parts.append(piece)

    def _quantified(self, piece: Piece, begin: int, repeatable: bool) -> Piece:
        cursor = self.cursor
        counts = self._quantifier()
        if counts is None:
            return piece
        if not repeatable:
            raise cursor.error("an assertion cannot be repeated", begin, advice="remove the quantifier")
        if cursor.take("+"):
            raise cursor.error("possessive quantifiers are refused", cursor.at - 1, advice="remove the second `+`")
        cursor.take("?")  # Lazy or greedy: the same language.
        if self._quantifier(peek=True) is not None:
            raise cursor.error("nothing to repeat", advice="a quantifier cannot follow a quantifier")
        least, most = counts
        if isinstance(piece, Language):
            return repeat(piece, least, most)
        return self._item(Form.REPEAT, (piece,), begin, least=least, most=most)

    def _quantifier(self, *, peek: bool = False) -> tuple[int, int | None] | None:
        """The counts of the quantifier here, None if there is none (a `{` that begins none is a literal)."""
        cursor = self.cursor
        start = cursor.at
        simple = _SIMPLE.get(cursor.text[start : start + 1])
        if simple is not None:
            cursor.at = start if peek else start + 1
            return simple
        if not cursor.take("{"):
            return None
        low = cursor.digits()
        comma = cursor.take(",")
        high = cursor.digits() if comma else low
        closed = cursor.take("}")
        valid = closed and (low or (comma and high and self.dialect.open_minimum))
        if peek or not valid:
            cursor.at = start
        if not valid:
            return None
        least, most = int(low or 0), int(high) if high else None
        if most is not None and most < least:
            raise cursor.error(f"the limits {{{least},{most}}} are out of order", start, advice="swap them")
        return least, most

    def _item(
        self, form: Form, parts: tuple[Piece, ...], begin: int,
        *, least: int = 1, most: int | None = 1, negated: bool = False,
    ) -> Item:  # fmt: skip
        cursor = self.cursor
        line, column = cursor.place(begin)
        flags = f"{self.dialect.name}{self.group.fold:d}{self.group.dot_all:d}"
        source = f"{flags}:{cursor.text[begin : cursor.at]}"
        return Item(
            form, parts, least=least, most=most, negated=negated, source=source, line=line, column=column
        )  # fmt: skip

    # Groups.

    def _flush(self, group: _Group) -> None:
        if group.text:
            group.parts.append(string("".join(group.text)))
            group.text.clear()

    def _sequence(self) -> Piece:
        """The alternative that was being read."""
        group = self.group
        self._flush(group)
        parts = group.parts
        group.parts = []
        if all(isinstance(part, Language) for part in parts):
            return concat(*parts)  # type: ignore[arg-type]
        return parts[0] if len(parts) == 1 else self._item(Form.SEQUENCE, tuple(parts), group.opened)

    def _choice(self) -> Piece:
        """The content of the open group."""
        group = self.group
        last = self._sequence()
        if not group.choices:
            return last
        choices = [*group.choices, last]
        if all(isinstance(part, Language) for part in choices):
            return union(*choices)  # type: ignore[arg-type]
        return self._item(Form.CHOICE, tuple(choices), group.opened)

    def _bar(self) -> None:
        self.cursor.at += 1
        self.group.choices.append(self._sequence())

    def _open(self) -> None:
        cursor, group = self.cursor, self.group
        opened = cursor.at
        cursor.at += 1
        inner = _Group(None, False, opened, group.fold, group.dot_all)
        if cursor.take("?"):
            for mark, form, negated in _LOOKS:
                if cursor.take(mark):
                    inner.form, inner.negated = form, negated
                    break
            else:
                self._group_head(inner)
        self._flush(group)
        self.stack.append(group)
        self.group = inner

    def _group_head(self, inner: _Group) -> None:
        """What stands between `(?` and the content of a group that is no assertion."""
        cursor = self.cursor
        if cursor.take(":"):
            return
        if cursor.take(">"):
            raise cursor.error("atomic groups are refused", inner.opened, advice="use `(?:…)` if it means the same")
        if cursor.take("P=") or cursor.take("P>"):
            raise cursor.error(_BACK_REFERENCE, inner.opened, advice=_INSTEAD)
        if cursor.take("P<") or cursor.take("<"):
            end = cursor.text.find(">", cursor.at)
            name = cursor.text[cursor.at : end]
            if end < 0 or not name.replace("$", "_").isidentifier():
                raise cursor.error("this is not a group name", advice="write `(?<name>…)`")
            self.names.add(name)
            cursor.at = end + 1
            return
        end = cursor.at
        while cursor.text[end : end + 1].isalpha() or cursor.text[end : end + 1] == "-":
            end += 1
        on, _, off = cursor.text[cursor.at : end].partition("-")
        if cursor.text[end : end + 1] != ":" or not set(on + off) <= set("is"):
            raise cursor.error("this kind of group is refused", inner.opened, advice="use `(?:…)` or `(?i:…)`")
        inner.fold = (inner.fold or "i" in on) and "i" not in off
        inner.dot_all = (inner.dot_all or "s" in on) and "s" not in off
        cursor.at = end + 1

    def _close(self) -> None:
        cursor = self.cursor
        if not self.stack:
            raise cursor.error("`)` closes nothing", advice="escape it as `\\)`")
        cursor.at += 1
        group = self.group
        piece = self._choice()
        if group.form is not None:
            piece = self._item(group.form, (piece,), group.opened, negated=group.negated)
        self.group = self.stack.pop()
        self._piece(piece, group.opened, repeatable=group.form is not Form.BEHIND)

    # Single pieces.

    def _assertion(self, form: Form, *, negated: bool = False, width: int = 1) -> None:
        begin = self.cursor.at
        self.cursor.at += width
        self._piece(Item(form, negated=negated), begin, repeatable=False)

    def _start(self) -> None:
        self._assertion(Form.START)

    def _end(self) -> None:
        self._assertion(Form.END)

    def _dot(self) -> None:
        self.cursor.at += 1
        self._piece(chars(ANY if self.group.dot_all else self.dialect.dot), self.cursor.at - 1)

    def _class(self) -> None:
        begin = self.cursor.at
        self._piece(chars(self.classes.bracket(self.group.fold)), begin)

    def _orphan(self) -> None:
        """A quantifier with nothing before it, or a literal `{`."""
        if self._quantifier() is not None:
            raise self.cursor.error("nothing to repeat", self.cursor.at - 1, advice="escape it")
        self.cursor.at += 1
        self._literal("{")

    def _escape(self) -> None:
        cursor = self.cursor
        begin = cursor.at
        char = cursor.text[begin + 1 : begin + 2]
        if char in ("b", "B"):
            self._assertion(Form.BOUNDARY, negated=char == "B", width=2)
        elif char == "A":
            self._assertion(Form.START, width=2)
        elif char in ("Z", "z"):
            self._assertion(Form.END, width=2)
        elif char in ("k", "g") or ("1" <= char <= "9"):
            raise cursor.error(_BACK_REFERENCE, advice=_INSTEAD)
        else:
            found = self.classes.escape(self.group.fold, in_class=False)
            if isinstance(found, int):
                self._literal(chr(found))
            else:
                self._piece(chars(found), begin)


_BACK_REFERENCE = "back-references are not regular and refused"
_INSTEAD = "write out what the group may be, or repeat its pattern if the two may differ"
_LOOKS = (
    ("<=", Form.BEHIND, False),
    ("<!", Form.BEHIND, True),
    ("=", Form.AHEAD, False),
    ("!", Form.AHEAD, True),
)
_SIMPLE: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_HANDLERS = {
    "|": Parser._bar,
    "(": Parser._open,
    ")": Parser._close,
    "^": Parser._start,
    "$": Parser._end,
    ".": Parser._dot,
    "[": Parser._class,
    "\\": Parser._escape,
    "*": Parser._orphan,
    "+": Parser._orphan,
    "?": Parser._orphan,
    "{": Parser._orphan,
}
