"""Formats as regular languages of decoded text, each built when it is first asked for.

The table below holds ECMA-262 patterns for whole strings, put together from the grammars of the RFCs that the
specification names. Calendars are real: 2023-02-29 is no date. Names outside the specification are annotations.

Departures, all on the strict side: host names have no `xn--` labels (whether one is valid Punycode is not regular);
internationalised names and `regex` as `formats_idn.py` and `formats_regex.py` say.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from structgen.automata.charset import ANY as ANY_CHARACTER
from structgen.automata.regular import Language, chars, concat, finite, intersect, repeat, string, union
from structgen.grammar.regex import search_regex
from structgen.schema.formats_idn import idn_email, idn_hostname
from structgen.schema.formats_regex import regex_language

_BUILT: dict[str, Callable[[], Language]] = {
    "email": lambda: _email(),
    "idn-email": idn_email,
    "idn-hostname": idn_hostname,
    "regex": regex_language,
}

# --- dates and times: RFC 3339, section 5.6 and appendix A ---

_DATE = (
    r"(?:\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)|02-(?:0[1-9]|1\d|2[0-8]))"
    r"|(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_TIME = r"(?:(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)|23:59:60(?:\.\d+)?[Zz])"
_DURATION_TIME = r"T(?:\d+H(?:\d+M(?:\d+S)?)?|\d+M(?:\d+S)?|\d+S)"
_DURATION_DATE = r"(?:\d+D|\d+M(?:\d+D)?|\d+Y(?:\d+M(?:\d+D)?)?)"
_DURATION = rf"P(?:{_DURATION_DATE}(?:{_DURATION_TIME})?|{_DURATION_TIME}|\d+W)"

# --- addresses: RFC 1123, RFC 4291, RFC 5321 ---

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"(?:{_OCTET}\.){{3}}{_OCTET}"
_H16 = r"[0-9A-Fa-f]{1,4}"
_LS32 = rf"(?:{_H16}:{_H16}|{_IPV4})"
_IPV6 = (
    "(?:"
    + "|".join(
        [rf"(?:{_H16}:){{6}}{_LS32}"]
        + [
            rf"(?:(?:{_H16}:){{0,{5 - after}}}{_H16})?::(?:{_H16}:){{{after}}}{_LS32}"
            if after < 5
            else rf"::(?:{_H16}:){{5}}{_LS32}"
            for after in range(5, -1, -1)
        ]
        + [rf"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}", rf"(?:(?:{_H16}:){{0,6}}{_H16})?::"]
    )
    + ")"
)
# At most 63 characters, the third and fourth not both hyphens. Said without a look-ahead: a state of it is small then.
_LETTER, _INNER = "[A-Za-z0-9]", "[A-Za-z0-9-]"
_BOTH = rf"(?:{_LETTER}{_INNER}|-{_LETTER})"
_LABEL = rf"{_LETTER}(?:{_INNER}{{0,2}}{_LETTER}|{_INNER}{_BOTH}{_INNER}{{0,58}}{_LETTER})?"
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_LOCAL_PART = rf"(?:{_ATOM}(?:\.{_ATOM})*|{_QUOTED})"  # of at most 64 characters
_DOMAIN = rf"@(?:{_HOSTNAME}|\[(?:{_IPV4}|IPv6:{_IPV6})\])"

# --- identifiers: RFC 3986, RFC 3987, RFC 6570, RFC 6901, RFC 4122 ---

_UCS = (
    "\u00a0-\ud7ff\uf900-\ufdcf\ufdf0-\uffef"
    + "".join(f"{chr(plane << 16)}-{chr((plane << 16) + 0xFFFD)}" for plane in range(1, 14))
    + "\U000e1000-\U000efffd"
)
_PRIVATE = "\ue000-\uf8ff\U000f0000-\U000ffffd\U00100000-\U0010fffd"
_PERCENT = r"%[0-9A-Fa-f]{2}"
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*"


def _identifier(more: str, private: str, *, relative: bool) -> str:
    """URI (or a reference to one) with `more` unreserved characters, as the pattern of a whole string."""
    plain = rf"A-Za-z0-9._~{more}\-"
    delims = r"!$&'()*+,;="
    userinfo = rf"(?:[{plain}{delims}:]|{_PERCENT})*"
    future = rf"[vV][0-9A-Fa-f]+\.[A-Za-z0-9._~{delims}:\-]+"
    host = rf"(?:\[(?:{_IPV6}|{future})\]|(?:[{plain}{delims}]|{_PERCENT})*)"
    char = rf"(?:[{plain}{delims}:@]|{_PERCENT})"
    no_colon = rf"(?:[{plain}{delims}@]|{_PERCENT})"
    rest = rf"(?:/{char}*)*"
    network = rf"//(?:{userinfo}@)?{host}(?::\d*)?{rest}"
    absolute = rf"/(?:{char}+{rest})?"
    tail = rf"(?:\?(?:{char}|[/?{private}])*)?(?:#(?:{char}|[/?])*)?"
    full = rf"{_SCHEME}:(?:{network}|{absolute}|{char}+{rest}|){tail}"
    if not relative:
        return full
    return rf"(?:{full}|(?:{network}|{absolute}|{no_colon}+{rest}|){tail})"


_VARCHAR = r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})"
_VARSPEC = rf"{_VARCHAR}+(?:\.{_VARCHAR}+)*(?::[1-9]\d{{0,3}}|\*)?"
_TEMPLATE = rf"(?:[!#$&-;=?-\[\]_a-z~{_UCS}{_PRIVATE}]|{_PERCENT}|\{{[+#./;?&=,!@|]?{_VARSPEC}(?:,{_VARSPEC})*\}})*"
_POINTER = r"(?:/(?:[^/~]|~[01])*)*"

_PATTERNS: dict[str, str] = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[Tt]{_TIME}",
    "duration": _DURATION,
    "hostname": _HOSTNAME,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _identifier("", "", relative=False),
    "uri-reference": _identifier("", "", relative=True),
    "iri": _identifier(_UCS, _PRIVATE, relative=False),
    "iri-reference": _identifier(_UCS, _PRIVATE, relative=True),
    "uri-template": _TEMPLATE,
    "uuid": r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9]\d*)(?:#|{_POINTER})",
}


def known_format(name: str) -> bool:
    """Whether it is a format of the specification; others are annotations."""
    return name in _PATTERNS or name in _BUILT


@lru_cache(maxsize=64)
def format_language(name: str) -> Language:
    """The strings of a format for which `known_format` is true."""
    if name in _BUILT:
        return _BUILT[name]()
    language = _whole(_PATTERNS[name])
    if name == "time":
        return union(language, _leap_seconds())
    if name == "date-time":
        return union(language, concat(format_language("date"), search_regex("^[Tt]$"), _leap_seconds()))
    if name == "hostname":
        return _of_at_most(253, language)
    return language


def _email() -> Language:
    return concat(_of_at_most(64, _whole(_LOCAL_PART)), _whole(_DOMAIN))


def _whole(pattern: str) -> Language:
    return search_regex(f"^(?:{pattern})$")


def _of_at_most(length: int, language: Language) -> Language:
    return intersect(language, repeat(chars(ANY_CHARACTER), 0, length))


@lru_cache(maxsize=1)
def _leap_seconds() -> Language:
    """`hh:mm:60±hh:mm` wherever that is 23:59:60 in UTC."""
    fraction = search_regex(r"^(?:\.\d+)?$")
    hours = []
    for hour in range(24):
        minutes = []
        for minute in range(60):
            local = 60 * hour + minute
            offsets = (("+", (local + 1) % 1440), ("-", 1439 - local))
            ends = finite(f"{sign}{offset // 60:02}:{offset % 60:02}" for sign, offset in offsets)
            minutes.append(concat(string(f"{minute:02}:60"), fraction, ends))
        hours.append(concat(string(f"{hour:02}:"), union(*minutes)))
    return union(*hours)
