"""Regular expressions, read as ECMA-262 reads them with the `u` flag, compiled to languages of whole texts.

Lenient where real schemas are: identity escapes of punctuation, a literal `]`, `{` or `}`, `(?P<name>…)`, `(?i)` at
the start, `\\A`, `\\Z` and `\\z`. `$` is the end of the text and nothing else. Back-references, atomic groups and
possessive quantifiers are refused: they are not regular, or not ECMA-262.

`regex_syntax` reads, `regex_assertions` compiles what looks around. This module only puts them together.
"""

from __future__ import annotations

from functools import lru_cache

from structgen.automata.regular import ANY_STRING, EMPTY_STRING, Language, concat
from structgen.grammar.regex_assertions import around, whole
from structgen.grammar.regex_syntax import Parser

_REMEMBERED = 4096  # Patterns kept, by their text.


def parse_regex(pattern: str, *, dialect: str = "ecma", flags: str = "") -> Language:
    """The texts that match as a whole: `^(?:pattern)$`.

    `dialect` is "ecma" or "python": there `\\d`, `\\w` and `\\s` mean Unicode, `.` excludes only the newline, and
    `{,n}` counts. `flags` may contain `i` (simple case folding), `s` (dot matches all) and `u` (as always). Raises
    `GrammarSyntaxError`.
    """
    return _whole(pattern, dialect, flags)


def search_regex(pattern: str, *, dialect: str = "ecma", flags: str = "") -> Language:
    """The texts in which the pattern matches somewhere: what JSON Schema's `pattern` means."""
    return _search(pattern, dialect, flags)


@lru_cache(_REMEMBERED)
def _whole(pattern: str, dialect: str, flags: str) -> Language:
    item = Parser(pattern, dialect, flags).parse()
    return item if isinstance(item, Language) else whole(item, EMPTY_STRING)


@lru_cache(_REMEMBERED)
def _search(pattern: str, dialect: str, flags: str) -> Language:
    item = Parser(pattern, dialect, flags).parse()
    return concat(ANY_STRING, item, ANY_STRING) if isinstance(item, Language) else around(item, ANY_STRING)
