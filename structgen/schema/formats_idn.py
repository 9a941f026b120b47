"""Internationalised host names and mailboxes as regular languages: a part of what IDNA 2008 allows, and nothing else.

Labels follow RFC 5892 (which code points, and where the contextual ones may stand) and the Bidi rule of RFC 5893.
Three conditions are not regular, or not small: that a label is in normalisation form C, that its Punycode form has at
most 63 octets, and that a name has at most 253. They are replaced by stricter ones:

- characters that compose with one before them are left out, and a character has at most one combining mark;
- a label with other than ASCII characters has at most 11, or at most 38 of which 3 are not ASCII, all of them in the
  basic plane. A number q takes five digits of Punycode below 288,886 and six below 2,888,886 (from the thresholds 1 to
  26 of RFC 3492), and the numbers of a label of L characters are at most 65,408 * L together: 11 characters need at
  most 55 digits, 3 among 38 at most 18 beside 35 letters, a delimiter and `xn--`;
- a name has at most three labels, or at most 120 characters with two labels that are not ASCII.

Labels that are already in Punycode are left out, as in `formats.py`; so is ZERO WIDTH NON-JOINER between joining
letters (it stands after a virama), and `--`.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from structgen.automata.charset import ANY, CharSet
from structgen.automata.regular import EMPTY_STRING, Language, chars, concat, finite, intersect, repeat, union
from structgen.automata.regular import string as exactly
from structgen.grammar.regex import search_regex

_ARABIC_DIGITS = CharSet([(0x660, 0x669)])
_PERSIAN_DIGITS = CharSet([(0x6F0, 0x6F9)])
_ASCII = CharSet([(0, 0x7F)])
_VIRAMAS = CharSet.of("\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d4d")
_HYPHEN = CharSet.of("-")
_SEPARATOR = chars(CharSet.of(".\u3002\uff0e\uff61"))
_RIGHT = ("R", "AL")


@lru_cache(maxsize=1)
def idn_hostname() -> Language:
    """Host names of ASCII and other labels."""
    plain = _ascii_label()
    left = _names(plain, _limited(_left_to_right()))
    either = union(_limited(_right_to_left()), _limited(_left_in_bidi()))
    right = _names(intersect(plain, search_regex(r"^[A-Za-z]")), either)
    separated = intersect(concat(plain, repeat(concat(_SEPARATOR, plain), 0, None)), repeat(chars(ANY), 1, 253))
    return union(separated, left, right)


@lru_cache(maxsize=1)
def idn_email() -> Language:
    """Mailboxes of RFC 6531, of at most 64 octets before the `@`: 21 characters of the basic plane where not ASCII."""
    from structgen.schema.formats import format_language

    wide = CharSet([(0x80, 0xFFFF)])
    atom_char = CharSet.of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+/=?^_`{|}~-").union(
        wide
    )
    atom = repeat(chars(atom_char), 1, None)
    dotted = concat(atom, repeat(concat(exactly("."), atom), 0, None))
    quotable = CharSet([(0x20, 0x21), (0x23, 0x5B), (0x5D, 0x7E)]).union(wide)
    escaped = concat(exactly("\\"), chars(CharSet([(0x20, 0x7E)])))
    quoted = concat(exactly('"'), repeat(union(chars(quotable), escaped), 0, None), exactly('"'))
    local = intersect(union(dotted, quoted), repeat(chars(ANY), 1, 21))
    return union(format_language("email"), concat(local, exactly("@"), idn_hostname()))


def _ascii_label() -> Language:
    return search_regex(r"^(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$")


def _names(plain: Language, other: Language) -> Language:
    """Names with one to three labels, at least one of which is not ASCII; or longer ones with one or two."""
    label = union(plain, other)
    short = concat(repeat(concat(label, _SEPARATOR), 0, 2), label)
    before, after = repeat(concat(plain, _SEPARATOR), 0, None), repeat(concat(_SEPARATOR, plain), 0, None)
    twice = concat(_SEPARATOR, before, other, after)
    long = concat(before, other, after, union(EMPTY_STRING, twice))
    return union(intersect(short, _CONTAINS_OTHER), intersect(long, repeat(chars(ANY), 1, 120)))


_CONTAINS_OTHER = search_regex(r"[^\x00-\x7f\u3002\uff0e\uff61]")


def _limited(label: Language) -> Language:
    """Labels that are not ASCII, as long as their Punycode form surely fits."""
    some = intersect(label, _CONTAINS_OTHER)
    ascii_run = repeat(chars(_ASCII), 0, None)
    few = concat(ascii_run, repeat(concat(chars(_ASCII.complement()), ascii_run), 1, 3))
    return union(intersect(some, repeat(chars(ANY), 1, 11)), intersect(some, few, repeat(chars(ANY), 1, 38)))


class _Classes:
    """The characters of labels by what the rules say of them, all in the basic plane."""

    def __init__(self) -> None:
        from idna import idnadata

        allowed = CharSet((span >> 32, (span & 0xFFFFFFFF) - 1) for span in idnadata.codepoint_classes["PVALID"])
        allowed = allowed.intersect(CharSet([(0, 0xFFFF)])).union(_ARABIC_DIGITS).union(_PERSIAN_DIGITS)
        composing = _composing()
        by_bidi: dict[str, list[int]] = {}
        marks: list[int] = []
        initial: list[int] = []
        for low, high in allowed.minus(composing).minus(_HYPHEN).ranges:
            for code in range(low, high + 1):
                char = chr(code)
                direction = unicodedata.bidirectional(char)
                if not direction or unicodedata.normalize("NFC", char) != char:
                    continue  # Not known to this version of Python, or not in normalisation form C.
                if unicodedata.combining(char):
                    marks.append(code)
                elif not unicodedata.category(char).startswith("M"):
                    initial.append(code)
                by_bidi.setdefault(direction, []).append(code)
        self.bidi = {name: _set(codes) for name, codes in by_bidi.items()}
        self.marks = _set(marks)
        self.initial = _set(initial)
        # Cores of the scripts, as implementations differ in how far they take them.
        self.greek = CharSet([(0x3B1, 0x3C9)])
        self.hebrew = CharSet([(0x5D0, 0x5EA)])
        self.japanese = CharSet([(0x3041, 0x3096), (0x30A1, 0x30FA), (0x4E00, 0x9FA5)])

    def of_bidi(self, *names: str) -> CharSet:
        """The allowed characters of these directions."""
        found = CharSet()
        for name in names:
            found = found.union(self.bidi.get(name, CharSet()))
        return found


def _set(codes: list[int]) -> CharSet:
    return CharSet((code, code) for code in codes)


def _composing() -> CharSet:
    """Characters that may be joined with the one before them in normalisation form C."""
    found = [(0x1161, 0x1175), (0x11A8, 0x11C2)]
    for code in range(0x10000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            found.append((int(parts[1], 16), int(parts[1], 16)))
    return CharSet(found)


@lru_cache(maxsize=1)
def _classes() -> _Classes:
    return _Classes()


def _label(inner: CharSet, first: CharSet, last: CharSet, *special: Language) -> Language:
    """Characters with at most one mark each, hyphens only between others, in a label with these ends."""
    found = _classes()
    marks = found.marks.intersect(inner)
    mark = union(EMPTY_STRING, chars(marks))
    plain = inner.minus(marks)
    body = union(concat(chars(plain), mark), *special)
    hyphen = union(EMPTY_STRING, exactly("-"))
    start = concat(chars(first.intersect(found.initial)), mark)
    end = concat(chars(last.minus(marks)), mark)
    opening = union(start, *special) if special else start
    ending = union(end, *special) if special else end
    both = concat(chars(first.intersect(last).intersect(found.initial)), mark)
    return union(both, *special, concat(opening, repeat(concat(hyphen, body), 0, None), hyphen, ending))


def _left_to_right() -> Language:
    """Labels for names without characters that are written from right to left."""
    found = _classes()
    directions = [name for name in found.bidi if name not in (*_RIGHT, "AN")]
    inner = found.of_bidi(*directions).minus(_ARABIC_DIGITS)
    japanese = chars(found.japanese.intersect(inner))
    dots = repeat(exactly("\u30fb"), 1, None)
    joined = concat(chars(_VIRAMAS), finite("\u200c\u200d"), chars(inner.intersect(found.initial)))
    special = (
        concat(chars(inner.intersect(found.initial)), joined),
        exactly("l\u00b7l"),
        concat(exactly("\u0375"), chars(found.greek.intersect(inner))),
        concat(dots, japanese),
        concat(japanese, dots),
    )
    return _label(inner, inner, inner, *special)


def _right_to_left() -> Language:
    """Labels that begin with a letter written from right to left, with digits of one kind (RFC 5893, rules 1 to 4)."""
    found = _classes()
    first = found.of_bidi(*_RIGHT)
    neutral = found.of_bidi("ES", "CS", "ET", "ON", "BN", "NSM")
    hebrew = chars(found.hebrew.intersect(first))
    geresh = concat(hebrew, repeat(finite("\u05f3\u05f4"), 1, None))
    labels = []
    for digits in (found.of_bidi("EN"), _ARABIC_DIGITS, found.of_bidi("AN").minus(_ARABIC_DIGITS)):
        ends = first.union(digits)
        labels.append(_label(ends.union(neutral), first, ends, geresh))
    return union(*labels)


def _left_in_bidi() -> Language:
    """Labels from left to right beside labels from right to left (RFC 5893, rules 1, 5 and 6)."""
    found = _classes()
    first = found.of_bidi("L")
    ends = first.union(found.of_bidi("EN").minus(_PERSIAN_DIGITS))
    return _label(ends.union(found.of_bidi("ES", "CS", "ET", "ON", "BN", "NSM")), first, ends)
