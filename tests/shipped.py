"""The shipped grammars, parsed by lark itself: the semantics that structgen's own front end reproduces."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from unittest.mock import patch

import lark
from lark import lexer
from lark.common import ParserConf
from lark.load_grammar import load_grammar
from lark.parsers.lalr_analysis import LALR_Analyzer

FOLDER = Path(__file__).resolve().parents[1] / "grammars"


def text_of(name: str) -> str:
    return (FOLDER / f"{name}.lark").read_text(encoding="utf-8")


@lru_cache(None)
def parser(name: str) -> lark.Lark:
    """LALR(1) with the contextual lexer."""
    with patch.object(lexer, "has_interegular", False):  # It would look for collisions, for minutes with Unicode.
        return lark.Lark(text_of(name), parser="lalr", lexer="contextual")


def accepts(name: str, text: str) -> bool:
    try:
        parser(name).parse(text)
    except lark.exceptions.UnexpectedInput:
        return False
    return True


def assert_lalr(name: str) -> None:
    """The grammar is LALR(1) without conflicts, so that what lark accepts is what the grammar says."""
    _, rules, _ = load_grammar(text_of(name), name, [], False)[0].compile(["start"], set())
    LALR_Analyzer(ParserConf(rules, {}, ["start"]), strict=True).compute_lalr()


def mutations(rng: random.Random, text: str, alphabet: str, count: int) -> Iterator[str]:
    """Texts one or two edits away: a character dropped, doubled, replaced or put in, a stretch moved or cut off."""
    for _ in range(count):
        chars = list(text)
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(chars) + 1)
            kind = rng.randrange(6)
            if kind == 0:
                chars.insert(at, rng.choice(alphabet))
            elif kind == 1:
                del chars[at : at + 1]
            elif kind == 2:
                chars[at : at + 1] = [rng.choice(alphabet)]
            elif kind == 3:
                chars[at:at] = chars[at : at + rng.randrange(1, 5)]
            elif kind == 4:
                piece = chars[at : at + rng.randrange(1, 6)]
                del chars[at : at + len(piece)]
                to = rng.randrange(len(chars) + 1)
                chars[to:to] = piece
            else:
                del chars[at:]
        yield "".join(chars)
