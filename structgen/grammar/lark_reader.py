"""Lark grammars into the neutral form, read by lark's own loader, so that files mean what lark says they mean.

Rules come as lark compiles them: without templates, EBNF operators or aliases. Terminals keep lark's order (priority,
greatest width, length of the pattern, name). Errors carry line and column wherever lark tells them.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from typing import Any

from lark import lexer as lexer_module
from lark import load_grammar as load_grammar_module
from lark.exceptions import GrammarError, LarkError, UnexpectedInput
from lark.lexer import PatternStr, TerminalDef
from lark.load_grammar import PackageResource, load_grammar

from structgen.automata.charset import ANY
from structgen.automata.regular import Language, chars, intersect, repeat, string, union
from structgen.errors import GrammarSyntaxError
from structgen.grammar.form import Choice, Expression, Grammar, Lexeme, Place, Ref, Rule, Sequence, Term, Terminal
from structgen.grammar.lexemes import read_beginnings, read_lexemes
from structgen.grammar.llguidance import take_out
from structgen.grammar.llguidance_text import underscored
from structgen.grammar.parametric import written_out

_AT = re.compile(r"(?:at )?line (\d+),? column (\d+)", re.IGNORECASE)
_NAMED = re.compile(r"'?([A-Za-z_][A-Za-z0-9_]*)'?\s+used but not defined|defined more than once|of ([A-Za-z_]\w*)")


def read_lark(text: str, *, start: str = "start", import_paths: tuple[str, ...] = ()) -> Grammar:
    """Read a grammar in Lark's syntax. `import_paths` are folders for `%import`, after lark's own library.

    Raises `GrammarSyntaxError` with line and column.
    """
    written, text, start = text, underscored(text), start.replace("-", "_")
    plain, extras = take_out(written_out(text))
    _make_parser()
    try:
        loaded, files = load_grammar(plain, "<string>", list(import_paths), False)  # type: ignore[no-untyped-call]
        terminals, rules, ignored = loaded.compile([start], set(extras.parts))
    except UnexpectedInput as error:
        raise GrammarSyntaxError(
            _first_line(error), line=error.line, column=error.column, advice="see docs/grammars.md for the dialect"
        ) from None
    except (LarkError, FileNotFoundError, AssertionError) as error:
        raise _syntax_error(error, text) from None
    imported = {str(path): digest for path, digest in files.items() if not isinstance(path, PackageResource)}
    bodies: dict[str, list[Expression]] = {}
    priorities: dict[str, int | None] = {}
    used: dict[str, None] = {}
    for rule in rules:
        parts = [
            extras.embedded.get(part.name, Term(str(part.name))) if part.is_term else Ref(str(part.name))
            for part in rule.expansion
        ]
        used.update(dict.fromkeys(part.name for part in parts if isinstance(part, Term)))
        priorities[str(rule.origin.name)] = rule.options.priority if rule.options else None
        bodies.setdefault(str(rule.origin.name), []).append(Sequence(tuple(parts)))
    if start not in bodies:
        raise GrammarSyntaxError(
            f"there is no rule {start!r} to start from", advice=f"name it in start=, one of {', '.join(sorted(bodies))}"
        )
    known = {terminal.name: _terminal(terminal, text, extras.parts) for terminal in terminals}
    if extras.parts or extras.computed:
        pieces = {name: union(*(one.language for one in known.pop(name).lexemes)) for name in extras.parts}
        for name, made in extras.computed.items():
            known[name] = _computed(name, extras.language(made, pieces), place_of(text, name))
    for name in used:
        known.setdefault(name, Terminal(name, (), place=place_of(text, name)))
    return Grammar(
        start=start,
        rules={
            name: Rule(name, Choice(tuple(parts)), place_of(text, name), priorities[name])
            for name, parts in bodies.items()
        },
        terminals=known,
        ignored=tuple(dict.fromkeys(ignored)),
        unused=tuple(str(name) for name, params, *_ in loaded.rule_defs if not params and name not in bodies),
        digest=hashlib.blake2b(
            repr(("lark", written, start, *sorted(imported.items()))).encode(), digest_size=16
        ).digest(),
        imported=tuple(sorted(imported)),
    )


@cache
def _make_parser() -> None:
    """Let lark make its parser of grammars without a search for terminals that overlap.

    Where interegular is installed lark compares the terminals of its own grammar, in each process: 0.3 s, more than
    reading most grammars takes, for a warning that never comes. It has no option against it.
    """
    make = getattr(load_grammar_module, "_get_parser", None)
    compares = getattr(lexer_module, "has_interegular", False)
    if make is None or not compares:
        return
    lexer_module.has_interegular = False
    try:
        make()  # kept by lark
    finally:
        lexer_module.has_interegular = compares


def _computed(name: str, language: Language, place: Place) -> Terminal:
    """A terminal that is made of others. The empty text is not one of its texts."""
    language = intersect(language, repeat(chars(ANY), 1))
    return Terminal(name, (Lexeme(language),), order=(0, -math.inf, 0, name), place=place)


_DEFINED = re.compile(r"^[ \t]*(?:%[a-z]+[ \t]+)?[?!]*([A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@lru_cache(maxsize=4)
def _places(text: str) -> Mapping[str, int]:
    """Where each name is defined, or first stands, in a grammar's text."""
    found: dict[str, int] = {}
    for pattern, group in ((_DEFINED, 1), (_WORD, 0)):
        for match in pattern.finditer(text):
            found.setdefault(match[group], match.start(group))
    return found


def place_of(text: str, name: str) -> Place:
    """Where a rule or terminal is defined, or first named, in a grammar's text."""
    at = _places(text).get(name.split("{")[0])
    return Place() if at is None else Place(text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at))


def _terminal(terminal: TerminalDef, text: str, parts: Collection[str]) -> Terminal:
    pattern = terminal.pattern
    place = place_of(text, terminal.name)
    beginnings = None
    written = pattern.value if isinstance(pattern, PatternStr) else None
    lexemes: tuple[Lexeme, ...]
    if isinstance(pattern, PatternStr) and not pattern.flags:
        lexemes = (Lexeme(string(pattern.value)),)
    else:
        regexp = re.escape(pattern.value) if isinstance(pattern, PatternStr) else pattern.value
        try:
            lexemes = read_lexemes(regexp, flags="".join(sorted(pattern.flags)))
            if any(lexeme.reach is not None or lexeme.unless for lexeme in lexemes):
                beginnings = read_beginnings(regexp, flags="".join(sorted(pattern.flags)))
        except GrammarSyntaxError as error:
            raise GrammarSyntaxError(
                f"terminal {terminal.user_repr()}: {error.message.partition(': ')[2] or error.message}",
                line=place.line,
                column=place.column,
                advice=error.advice,
            ) from None
        if terminal.name not in parts and any(lexeme.language.nullable for lexeme in lexemes):
            raise GrammarSyntaxError(
                f"terminal {terminal.user_repr()} matches the empty text",
                line=place.line,
                column=place.column,
                advice="let it match at least one character, and make it optional where it is used",
            )
    return Terminal(
        terminal.name,
        lexemes,
        string=written,
        order=(-terminal.priority, -pattern.max_width, -len(pattern.value), terminal.name),
        priority=terminal.priority,
        pattern=pattern.to_regexp(),
        shortest=written is None and _lazy(pattern.value),
        beginnings=beginnings,
        place=place,
    )


def _lazy(pattern: str) -> bool:
    """Whether a pattern has a lazy quantifier."""
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "_", pattern)
    return re.search(r"[*+?}]\?", bare.replace("(?", "(")) is not None


def _first_line(error: Exception) -> str:
    first, *more = str(error).strip().split("\n")
    return " ".join([first, *(line.strip() for line in more if line.strip())][:4]) if first[-1:] == ":" else first


def _syntax_error(error: Exception, text: str) -> GrammarSyntaxError:
    message: Any = _first_line(error)
    found = _AT.search(str(error))
    if found:
        line, column = int(found[1]), int(found[2])
        message = _AT.sub("", message).rstrip(" ,:") or message
    else:
        named = next((word for word in re.findall(r"[A-Za-z_]\w*", message) if _defined(text, word)), None)
        place = place_of(text, named) if named and isinstance(error, GrammarError) else Place()
        line, column = place.line, place.column
    return GrammarSyntaxError(message, line=line, column=column, advice="see docs/grammars.md for the dialect")


def _defined(text: str, word: str) -> bool:
    return re.search(rf"^[?!]*{re.escape(word)}\b", text, re.MULTILINE) is not None or (
        len(word) > 3 and word not in ("used", "Rule", "rule", "Terminal", "terminal", "defined", "Using", "Rules")
        and re.search(rf"\b{re.escape(word)}\b", text) is not None
    )  # fmt: skip
