"""Formats as regular languages of decoded text."""

from __future__ import annotations

from structgen.automata.regular import Language

_NOT_YET = frozenset(
    "date-time date time duration email idn-email hostname idn-hostname ipv4 ipv6 uri uri-reference iri iri-reference "
    "uri-template uuid json-pointer relative-json-pointer regex".split()
)


def known_format(name: str) -> bool | None:
    """True: enforced; False: a format of the specification that is not enforced yet; None: unknown, an annotation."""
    return False if name in _NOT_YET else None


def format_language(name: str) -> Language | None:
    """The language of a format, None for an unknown one."""
    return None
