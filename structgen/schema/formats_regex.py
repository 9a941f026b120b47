"""The format `regex`: patterns of ECMA-262 in Unicode mode, as far as they are a regular language.

Whether a text is a pattern is context-free, because of groups: here they nest up to three deep. Left out, because they
compare what stands in different places: back-references, named groups, `\\0` (no digit may follow); and class ranges,
but for those of ASCII letters, digits and escapes in order. Everything that is in the language is a pattern.
"""

from __future__ import annotations

from functools import lru_cache

from structgen.automata.charset import CharSet
from structgen.automata.regular import EMPTY_STRING, Language, chars, concat, finite, repeat, string, union
from structgen.grammar.regex import parse_regex

_DEPTH = 3
_LETTERS = ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_PROPERTIES = """
L Lu Ll Lt LC Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cn Alphabetic ASCII
Any White_Space Uppercase Lowercase Emoji ID_Start ID_Continue Script=Latin Script=Greek Script=Cyrillic Script=Han
Script=Hiragana Script=Katakana Script=Hangul Script=Arabic Script=Hebrew
"""


@lru_cache(maxsize=1)
def regex_language() -> Language:
    """Patterns, without the slashes around them."""
    body = _alternatives(_terms(None))
    for _ in range(_DEPTH):
        body = _alternatives(_terms(body))
    return body


def _alternatives(term: Language) -> Language:
    one = repeat(term, 0, None)
    return concat(one, repeat(concat(string("|"), one), 0, None))


def _terms(inner: Language | None) -> Language:
    """A term: an assertion, or an atom with a quantifier or without one."""
    atoms = [chars(CharSet.of("^$\\.*+?()[]{}|").complement()), string("."), _escape(in_class=False), _class()]
    assertions = [string("^"), string("$"), string("\\b"), string("\\B")]
    if inner is not None:
        atoms.append(concat(finite(("(", "(?:")), inner, string(")")))
        assertions.append(concat(finite(("(?=", "(?!", "(?<=", "(?<!")), inner, string(")")))
    return union(*assertions, concat(union(*atoms), union(EMPTY_STRING, _quantifier())))


@lru_cache(maxsize=1)
def _quantifier() -> Language:
    number = parse_regex(r"0|[1-9]\d{0,3}")
    counts = [number, concat(number, string(",")), _ordered()]
    braces = concat(string("{"), union(*counts), string("}"))
    return concat(union(finite("*+?"), braces), union(EMPTY_STRING, string("?")))


def _ordered() -> Language:
    """`n,m` with n <= m: small ones, and those where m has more digits than n."""
    small = finite(f"{low},{high}" for low in range(32) for high in range(low, 64))
    longer = [concat(_digits(short), string(","), _digits(long)) for long in (2, 3, 4) for short in range(1, long)]
    return union(small, *longer)


def _digits(count: int) -> Language:
    return parse_regex(r"\d" if count == 1 else rf"[1-9]\d{{{count - 1}}}")


@lru_cache(maxsize=2)
def _escape(*, in_class: bool) -> Language:
    plain = finite("\\" + char for char in "dDwWsStnvfr^$\\.*+?()[]{}|/" + ("-b" if in_class else ""))
    control = concat(string("\\c"), chars(CharSet([(0x41, 0x5A), (0x61, 0x7A)])))
    hexadecimal = parse_regex(r"\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\u\{(?:0?[0-9A-Fa-f]{1,5}|10[0-9A-Fa-f]{4})\}")
    properties = concat(finite(("\\p{", "\\P{")), finite(_PROPERTIES.split()), string("}"))
    return union(plain, control, hexadecimal, properties)


@lru_cache(maxsize=1)
def _class() -> Language:
    ranges = [concat(string(low + "-"), chars(CharSet.of(run[at:]))) for run in _LETTERS for at, low in enumerate(run)]
    item = union(chars(CharSet.of("\\]-^").complement()), _escape(in_class=True), *ranges)
    head = union(EMPTY_STRING, string("^"))
    first = concat(item, repeat(union(item, string("^")), 0, None))
    hyphen = union(EMPTY_STRING, string("-"))
    return concat(string("["), head, union(EMPTY_STRING, string("-"), concat(hyphen, first, hyphen)), string("]"))
