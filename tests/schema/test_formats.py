"""Formats: a table of strings that are one and strings that are not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from random import Random

import idna
import jsonschema_rs
import pytest

import structgen
from structgen.automata.charset import ANY
from structgen.automata.regular import Language, chars, intersect, repeat
from structgen.schema.formats import format_language
from structgen.vocab import Vocabulary

TABLE: dict[str, tuple[str, str]] = {
    "date": ("2024-02-29 2000-02-29 1999-12-31", "2023-02-29 1900-02-29 2024-13-01 2024-04-31 2024-1-1 ٢024-01-01"),
    "time": ("12:00:00Z 23:59:60Z 00:00:00.5+05:30 15:59:60.123-08:00", "12:00:00 24:00:00Z 12:00Z 22:59:60Z"),
    "date-time": ("2024-02-29T12:00:00Z 1998-12-31t23:59:60z", "2023-02-29T12:00:00Z 2024-01-01T12:00:00 2024-01-01"),
    "duration": ("P1Y2M3DT4H5M6S P4W PT0S P1DT1M", "P P1 PT P1D2H P2S P1W2D 1D P1Y2D"),
    "email": ('a@b a.b+c@d-e.f "a@b"@c a@[127.0.0.1] a@[IPv6:::1]', "a a@ @b a..b@c .a@b a@-b a@b..c a@[1] a.@b"),
    "hostname": ("a a.b a-b.c1 1.2", "-a a- a..b .a a. a_b é xn--x " + "a" * 64),
    "ipv4": ("0.0.0.0 255.255.255.255", "1.2.3 256.0.0.1 01.2.3.4 1.2.3.4.5"),
    "ipv6": (":: ::1 1::2 1:2:3:4:5:6:7:8 ::ffff:1.2.3.4 1:2::8", "1:2 ::1::2 :1 12345:: 1:2:3:4:5:6:7:8::"),
    "idn-hostname": ("실례.테스트 bücher.example l·l ・ぁ בדיקה.com a-b.c1 host", "a·l -é é- .é é. é..a xn--a a٠۰ __ "),
    "idn-email": ("δοκιμή@example.com a@bücher.de joe.bloggs@example.com", "a@ @é é a..é@b user＠example.com"),
    "regex": (r"([abc])+\s+$ ^(?:a|b){2,3}?$ [^a-z\d-] (?<=a)b\p{L} []", r"^(abc] a** [z-a] a{3,2} \a (?i)a ) [a"),
    "uri": ("http://a/b?c#d urn:a:b mailto:a@b file:///x http://[::1]:80/", "//a /a a http://a/\\ http://[a http://a/%zz"),
    "uri-reference": ("http://a /a a/b ?x #x //h/p", "\\ a%zz http://["),
    "iri": ("http://é/ü", "é http://a/<"),
    "iri-reference": ("é /ü", "é<"),
    "uri-template": ("http://a/{b}{?c,d*}{#e:3}", "{ {a {} {a}} {a:0}"),
    "uuid": ("123e4567-e89b-12d3-a456-426614174000", "123e4567e89b12d3a456426614174000 123e4567-e89b"),
    "json-pointer": ("/a /a~0b~1c/ /", "a /~ /~2"),
    "relative-json-pointer": ("0 1# 2/a/b", "/a -1 01 0## 0a"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_table(name: str) -> None:
    language = format_language(name)
    good, bad = TABLE[name]
    for text in good.split(" "):
        assert language.matches(text), text
    for text in bad.split(" "):
        assert not language.matches(text), text
    assert not language.is_empty()


def words(language: Language, count: int, seed: int) -> Iterator[str]:
    """Words found by walking at random."""
    random = Random(seed)
    for _ in range(count):
        state, text = language, ""
        while len(text) < 60:
            edges = state.edges()
            if state.nullable and (not edges or random.random() < 0.15):
                yield text
                break
            charset, state = random.choice(edges)
            low, high = random.choice(charset.ranges)
            text += chr(random.randint(low, high))


def test_internationalised_names_are_valid() -> None:
    """Every name is one for an independent implementation of IDNA 2008."""
    for word in words(format_language("idn-hostname"), 150, 1):
        idna.encode(word)


def test_regex_words_are_patterns() -> None:
    oracle = jsonschema_rs.validator_for(
        {"$schema": "http://json-schema.org/draft-07/schema#", "format": "regex"}, validate_formats=True
    )
    for word in words(format_language("regex"), 400, 2):
        assert oracle.is_valid(word), word


def is_host(text: str) -> bool:
    """As RFC 1123 has it; no label has hyphens as its third and fourth character."""
    labels = text.split(".")
    return len(text) <= 253 and all(
        0 < len(label) <= 63
        and all(c.isascii() and (c.isalnum() or c == "-") for c in label)
        and not (label.startswith("-") or label.endswith("-") or label[2:4] == "--")
        for label in labels
    )


def is_mail(text: str) -> bool:
    """As RFC 5321 has it, of the characters that are tried below."""
    local, at, domain = text.rpartition("@")
    if local.startswith('"'):
        inner = re.sub(r"\\.", "", local[1:-1])
        named = len(local) > 1 and local.endswith('"') and '"' not in inner and "\\" not in inner
    else:
        named = all(atom and not set(atom) & set('@"\\') for atom in local.split("."))
    return bool(at) and named and len(local) <= 64 and is_host(domain)


def test_short_host_names_and_addresses() -> None:
    host, mail = format_language("hostname"), format_language("email")
    for length in range(9):
        for letters in product("a-.", repeat=length):
            text = "".join(letters)
            assert host.matches(text) == is_host(text), text
    for length in range(7):
        for letters in product('a-.@"', repeat=length):
            text = "".join(letters)
            assert mail.matches(text) == is_mail(text), text


@pytest.mark.parametrize("length", range(250, 257))
def test_the_length_of_host_names(length: int) -> None:
    host = ("a." * 130)[: length - 3] + "bcd"
    assert len(host) == length
    assert format_language("hostname").matches(host) == is_host(host) == (length <= 253)


@pytest.mark.parametrize("seed", range(40))
def test_long_host_names_and_addresses(seed: int) -> None:
    random = Random(seed)

    def around(limit: int) -> str:
        size = limit + random.randint(-2, 2)
        return "".join(random.choice("aaaa-") for _ in range(size)).strip("-").ljust(size, "b")

    host = ".".join(around(63) if random.random() < 0.8 else "ab" for _ in range(random.randint(1, 5)))
    if random.random() < 0.5:
        host = (host + ".c" * 130)[: 253 + random.randint(-2, 2)]
    local = around(64) if random.random() < 0.5 else '"' + "x" * random.randint(60, 64) + '"'
    assert format_language("hostname").matches(host) == is_host(host)
    assert format_language("email").matches(f"{local}@{host}") == (is_mail(f"{local}@a") and all_labels(host))


def all_labels(host: str) -> bool:
    return all(map(is_host, host.split(".")))


VOCAB = Vocabulary.from_bytes([b"", *[bytes((b,)) for b in range(256)]], eos_token_ids=[0])
LENGTHS: list[dict[str, int]] = [{}, {"maxLength": 9}, {"minLength": 6, "maxLength": 30}, {"maxLength": 255}]


@pytest.mark.parametrize("limits", LENGTHS, ids=str)
@pytest.mark.parametrize("name", ["email", "hostname"])
def test_what_may_come_next_in_a_format_with_lengths(name: str, limits: dict[str, int]) -> None:
    grammar = structgen.compile_schema({"type": "string", "format": name, **limits}, VOCAB)
    any_of_length = repeat(chars(ANY), limits.get("minLength", 0), limits.get("maxLength"))
    whole = intersect(format_language(name), any_of_length)
    for seed in range(12):
        random, matcher, state = Random(seed), grammar.matcher(), whole
        assert matcher.accept_bytes(b'"')
        for _ in range(70):
            # any character may be an escape as well
            spelled = {json.dumps(chr(one))[1] for edge, _ in state.edges() for low, high in edge.ranges
                       for one in range(low, high + 1)}  # fmt: skip
            expected = {*map(ord, spelled), *(b"\\" if spelled else b""), *(b'"' if state.nullable else b"")}
            assert set(matcher.allowed_bytes()) == expected
            if not spelled:
                break
            edge, state = random.choice(state.edges())
            letter = chr(random.choice(edge.ranges)[0])
            assert matcher.accept_bytes(json.dumps(letter)[1:-1].encode())
