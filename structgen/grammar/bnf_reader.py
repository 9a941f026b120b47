"""GBNF (llama.cpp) and EBNF (XGrammar, and W3C's notation) into the neutral form.

Both are rules over literals and character classes, without a scanner: a text is read in any way that the rules allow.
They share one reader; `_Dialect` says how they differ. Regular pieces become languages as they are read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from structgen.automata.charset import ANY, NONE, CharSet, single
from structgen.automata.regular import EMPTY_STRING, Language, chars, concat, repeat, string, union
from structgen.automata.regular_alphabet import alphabet
from structgen.errors import GrammarSyntaxError, UnsupportedGrammarError
from structgen.grammar.form import Choice, Embedded, Expression, Grammar, Piece, Place, Ref, Repeat, Rule, Sequence

MAX_DEPTH = 200  # nested groups
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}
_HEX_ESCAPE = re.compile(r"x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|u\{([0-9A-Fa-f]{1,6})\}")
_CODE = re.compile(r"#x([0-9A-Fa-f]+)")
_TOKENS = re.compile(r"""\(\s*(?:\d+|"[^"\\\n]*")\s*(?:,\s*(?:\d+|"[^"\\\n]*")\s*)*\)""")
_TOKEN_NAME = re.compile(r"""(\d+)|"([^"]*)\"""")
_COUNT = re.compile(r"\{[ \t]*(\d*)[ \t]*(?:(,)[ \t]*(\d*)[ \t]*)?\}")


@dataclass(frozen=True)
class _Dialect:
    name: str
    rule_name: re.Pattern[str]
    skipped: re.Pattern[str]  # white space and comments
    quotes: str
    dot: bool  # `.` is any character
    codes: bool  # `#x20` is a character
    look_ahead: bool  # `(= …)` ends a rule


GBNF = _Dialect(
    "gbnf", re.compile(r"[A-Za-z0-9_-]+"), re.compile(r"(?:[ \t\r\n]+|#[^\r\n]*)+"), '"', True, False, False
)
EBNF = _Dialect(
    "ebnf",
    re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*"),
    re.compile(r"(?:[ \t\r\n]+|#(?!x[0-9A-Fa-f])[^\r\n]*|/\*.*?\*/|//[^\r\n]*)+", re.DOTALL),
    "\"'",
    False,
    True,
    True,
)


def read_gbnf(text: str, *, start: str = "root") -> Grammar:
    """Read a grammar in llama.cpp's GBNF. Raises `GrammarSyntaxError` with line and column."""
    return _Reader(text, GBNF).grammar(start)


def read_ebnf(text: str, *, start: str = "root") -> Grammar:
    """Read a grammar in XGrammar's EBNF, or W3C's. Raises `GrammarSyntaxError` with line and column."""
    return _Reader(text, EBNF).grammar(start)


class _Reader:
    def __init__(self, text: str, dialect: _Dialect) -> None:
        self.text = text
        self.dialect = dialect
        self.at = 0
        self.depth = 0
        self.refs: dict[str, int] = {}  # names that are used, and where first
        self.skip()

    def error(self, message: str, at: int | None = None, *, advice: str | None = None) -> GrammarSyntaxError:
        place = self.place(self.at if at is None else at)
        return GrammarSyntaxError(message, line=place.line, column=place.column, advice=advice)

    def place(self, at: int) -> Place:
        return Place(self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at))

    def skip(self) -> None:
        found = self.dialect.skipped.match(self.text, self.at)
        if found:
            self.at = found.end()

    def take(self, expected: str) -> bool:
        """Whether `expected` is here; if so, it and the white space behind it are taken."""
        if not self.text.startswith(expected, self.at):
            return False
        self.at += len(expected)
        self.skip()
        return True

    def name(self) -> str | None:
        found = self.dialect.rule_name.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found[0]

    def grammar(self, start: str) -> Grammar:
        rules: dict[str, Rule] = {}
        while self.at < len(self.text):
            begin = self.at
            name = self.name()
            if name is None:
                raise self.error("expected the name of a rule", advice="a rule is written `name ::= …`")
            self.skip()
            if not self.take("::="):
                raise self.error(f"expected `::=` behind {name!r}", advice="a rule is written `name ::= …`")
            if name in rules:
                raise self.error(f"rule {name!r} is defined twice", begin, advice="join the two with `|`")
            body = self.choice()
            if self.at < len(self.text) and not self.begins_rule():
                raise self.error(
                    f"expected a literal, a class, a group, a rule's name or `|`, not {self.text[self.at]!r}",
                    advice="is a quote or a bracket missing before it?",
                )
            self.take(";")
            rules[name] = Rule(name, body, self.place(begin))
        for used, at in self.refs.items():
            if used not in rules:
                raise self.error(f"rule {used!r} is not defined", at, advice=f"add `{used} ::= …`")
        if start not in rules:
            raise self.error(
                f"there is no rule {start!r} to start from", 0, advice="define it, or name another one in start="
            )
        digest = hashlib.blake2b(repr((self.dialect.name, self.text, start)).encode(), digest_size=16).digest()
        return Grammar(start=start, rules=_joined(rules), digest=digest)

    def begins_rule(self) -> bool:
        """Whether a rule begins here: `name ::=`, or `;` before it."""
        if self.text.startswith(";", self.at) and self.dialect.name == "ebnf":
            return True
        back = self.at
        found = self.name() is not None
        self.skip()
        found = found and self.text.startswith("::=", self.at)
        self.at = back
        return found

    def choice(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(f"groups are nested more than {MAX_DEPTH} deep", advice="give inner ones names")
        parts = [self.sequence()]
        while self.take("|"):
            parts.append(self.sequence())
        self.depth -= 1
        return choice_of(parts)

    def sequence(self) -> Expression:
        parts: list[Expression] = []
        while self.at < len(self.text) and self.text[self.at] not in "|);" and not self.begins_rule():
            begin = self.at
            atom = self.atom()
            if atom is None:
                break
            atom = self.excluded(atom)
            parts.append(self.repeated(atom, begin))
        return sequence_of(parts)

    def atom(self) -> Expression | None:
        char = self.text[self.at]
        begin = self.at
        if char in self.dialect.quotes:
            return Piece(self.literal(char))
        if char == "[":
            return Piece(chars(self.char_class()))
        if char == "." and self.dialect.dot:
            self.take(".")
            return Piece(chars(ANY))
        if char == "(":
            return self.group()
        if self.dialect.codes and (found := _CODE.match(self.text, self.at)):
            self.at = found.end()
            self.skip()
            return Piece(chars(single(self.code_point(int(found[1], 16), begin))))
        if char == "<":
            return self.special()
        if char == "!" and self.text.startswith("<", self.at + 1):
            self.at += 1
            return self.others([self.special()], begin)
        name = self.name()
        if name is None:
            return None
        if name in ("Token", "ExcludeToken") and self.dialect.name == "ebnf" and self.text.startswith("(", self.at):
            tokens = self.tokens(begin)
            return choice_of(list(tokens)) if name == "Token" else self.others(tokens, begin)
        if self.text.startswith("(", self.at) and name in ("TagDispatch", "TokenTagDispatch", "ExcludeToken"):
            place = self.place(begin)
            raise UnsupportedGrammarError(
                f"{name} is refused",
                line=place.line,
                column=place.column,
                advice="use compile_structural_tag",
            )
        self.skip()
        self.refs.setdefault(name, begin)
        return Ref(name)

    def tokens(self, begin: int) -> list[Embedded]:
        """XGrammar's `(7, "<name>")` behind `Token`: tokens by id or name."""
        found = _TOKENS.match(self.text, self.at)
        if found is None:
            raise self.error("tokens are numbers or names in quotes", begin, advice='write Token(7, "<name>")')
        self.at = found.end()
        self.skip()
        names = [f"<[{number}]>" if number else name for number, name in _TOKEN_NAME.findall(found[0])]
        return [Embedded("special", name, self.place(begin)) for name in names]

    def others(self, tokens: list[Embedded], begin: int) -> Expression:
        """Any tokens but these, as many as one likes: that is a matter of texts, what a single token is is not."""
        place = self.place(begin)
        times = self.text[self.at : self.at + 1]
        if times not in ("*", "+"):
            raise UnsupportedGrammarError(
                "a single token but some is refused: no text depends on where tokens end",
                line=place.line,
                column=place.column,
                advice="put * or + right behind it, or say which text may come",
            )
        self.take(times)
        found = Embedded("others", "\n".join(token.text for token in tokens), place)
        return found if times == "+" else Repeat(found, 0, 1)

    def excluded(self, atom: Expression) -> Expression:
        """`A - B` of W3C's notation, for character classes."""
        while self.dialect.codes and self.text.startswith("-", self.at):
            begin = self.at
            self.take("-")
            other = self.atom() if self.at < len(self.text) else None
            left, right = _class_of(atom), _class_of(other)
            if left is None or right is None:
                raise self.error("`-` stands between classes only", begin, advice="write the class that is left")
            atom = Piece(chars(left.minus(right)))
        return atom

    def special(self) -> Embedded:
        begin = self.at
        end = self.text.find(">", begin)
        name = self.text[begin : end + 1]
        if end < 0 or "\n" in name:
            raise self.error("a token is written `<name>` or `<[id]>`", advice="quote a literal `<`")
        self.at = end + 1
        self.skip()
        return Embedded("special", name, self.place(begin))

    def group(self) -> Expression:
        begin = self.at
        self.take("(")
        ahead = self.dialect.look_ahead and self.take("=")
        inner = self.choice()
        if not self.take(")"):
            raise self.error("this group is never closed", begin, advice="add `)`")
        # XGrammar's look-ahead assertions say what follows a rule anyway, to speed up its masks: no text depends on it.
        return Sequence(()) if ahead else inner

    def repeated(self, atom: Expression, begin: int) -> Expression:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char in "*+?":
                low, high = {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
                self.take(char)
            elif char == "{":
                found = _COUNT.match(self.text, self.at)
                if found is None or not (found[1] or found[3]):
                    raise self.error("expected a count", advice="write `{m}`, `{m,}` or `{m,n}`")
                low = int(found[1] or 0)
                high = (int(found[3]) if found[3] else None) if found[2] else low
                if high is not None and high < low:
                    raise self.error(f"the limits {found[0]} are out of order", advice="swap them")
                self.at = found.end()
                self.skip()
            else:
                break
            atom = repeat_of(atom, low, high)
        return atom

    def literal(self, quote: str) -> Language:
        begin = self.at
        self.at += 1
        out = []
        while True:
            if self.at >= len(self.text) or self.text[self.at] == "\n":
                raise self.error("this literal is never closed", begin, advice=f"add `{quote}`")
            char = self.text[self.at]
            if char == quote:
                break
            out.append(self.escape() if char == "\\" else char)
            self.at += 1 if char != "\\" else 0
        self.at += 1
        self.skip()
        return string("".join(out))

    def char_class(self) -> CharSet:
        begin = self.at
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        ranges: list[tuple[int, int]] = []
        while not self.text.startswith("]", self.at):
            low = self.member(begin)
            high = low
            if self.text.startswith("-", self.at) and not self.text.startswith("-]", self.at):
                self.at += 1
                high = self.member(begin)
                if high < low:
                    raise self.error("this range is out of order", begin, advice="swap its ends")
            ranges.append((low, high))
        self.at += 1
        self.skip()
        found = CharSet(ranges)
        if negated:
            found = found.complement()
        if found is NONE:
            raise self.error("this class has no characters", begin, advice="remove it")
        return found

    def member(self, begin: int) -> int:
        if self.at >= len(self.text):
            raise self.error("this class is never closed", begin, advice="add `]`")
        char = self.text[self.at]
        if char == "\\":
            return ord(self.escape())
        if self.dialect.codes and (found := _CODE.match(self.text, self.at)):
            self.at = found.end()
            return self.code_point(int(found[1], 16), found.start())
        self.at += 1
        return ord(char)

    def escape(self) -> str:
        """The character that the escape here stands for; the position moves behind it."""
        begin = self.at
        found = _HEX_ESCAPE.match(self.text, self.at + 1)
        if found:
            self.at = found.end()
            code = self.code_point(int(next(filter(None, found.groups())), 16), begin)
            return chr(code)
        char = self.text[self.at + 1 : self.at + 2]
        self.at += 2
        if char in _ESCAPES:
            return _ESCAPES[char]
        if not char or (char.isalnum() and char.isascii()):
            raise self.error(f"the escape `\\{char}` is unknown", begin, advice="write `\\\\` for a backslash")
        return char

    def code_point(self, code: int, at: int) -> int:
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise self.error(f"U+{code:04X} is not a character", at, advice="surrogates are not text")
        return code


_WIDE = 128  # characters; a language over more of them is kept whole, so that its masks are shared


def _joined(rules: dict[str, Rule]) -> dict[str, Rule]:
    """The rules with regular ones put in where they are used.

    Narrow ones (numbers, white space) become part of the piece around them; wide ones (strings) stay pieces of their
    own, which are the same wherever they occur.
    """
    narrow: dict[str, Expression] = {}
    bodies = {name: rule.body for name, rule in rules.items()}
    changed = True
    while changed:
        changed = False
        for name, body in bodies.items():
            if name in narrow:
                continue
            bodies[name] = body = _with(body, narrow)
            if isinstance(body, Piece) and alphabet(body.language).size <= _WIDE:
                narrow[name] = body
                changed = True
    wide = {name: body for name, body in bodies.items() if isinstance(body, Piece) and name not in narrow}
    return {name: replace(rules[name], body=_with(body, wide, join=False)) for name, body in bodies.items()}


def _with(node: Expression, known: Mapping[str, Expression], *, join: bool = True) -> Expression:
    """The expression with the bodies of some rules in their places; `join`: neighbouring pieces become one."""
    if isinstance(node, Ref):
        return known.get(node.name, node)
    if isinstance(node, Sequence):
        parts = [_with(part, known, join=join) for part in node.parts]
        return sequence_of(parts) if join else Sequence(tuple(parts))
    if isinstance(node, Choice):
        parts = [_with(part, known, join=join) for part in node.parts]
        return choice_of(parts) if join else Choice(tuple(parts))
    if isinstance(node, Repeat):
        body = _with(node.body, known, join=join)
        return repeat_of(body, node.min, node.max) if join else Repeat(body, node.min, node.max)
    return node


def _class_of(node: Expression | None) -> CharSet | None:
    run = node.language.class_repeat() if isinstance(node, Piece) else None
    return run[0] if run is not None and run[1:] == (1, 1) else None


def sequence_of(parts: list[Expression]) -> Expression:
    """One after the other; neighbouring literals and classes are one piece."""
    out: list[Expression] = []
    for part in parts:
        if isinstance(part, Sequence):
            out.extend(part.parts)
        elif isinstance(part, Piece) and out and isinstance(out[-1], Piece):
            out[-1] = Piece(concat(out[-1].language, part.language))
        else:
            out.append(part)
    return out[0] if len(out) == 1 else Sequence(tuple(out))


def choice_of(parts: list[Expression]) -> Expression:
    """Any of these; those that are pieces are one."""
    pieces = [part.language for part in parts if isinstance(part, Piece)]
    empty = any(part == Sequence(()) for part in parts)
    others: list[Expression] = [part for part in parts if not isinstance(part, Piece) and part != Sequence(())]
    if pieces:
        others.insert(0, Piece(union(*pieces, *((EMPTY_STRING,) if empty else ()))))
    elif empty:
        others.append(Sequence(()))
    return others[0] if len(others) == 1 else Choice(tuple(others))


def repeat_of(body: Expression, low: int, high: int | None) -> Expression:
    """Repetition; of a piece, a piece."""
    if isinstance(body, Piece):
        return Piece(repeat(body.language, low, high))
    return Repeat(body, low, high)
