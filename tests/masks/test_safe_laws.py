"""Languages that go round in several states: masks skip what lives anyway, and are the same as token by token."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import structgen
from structgen.errors import CompileError
from structgen.vocab import Vocabulary

# Subtrees of letters, and of some size: what is skipped. "-" only at the beginning of the trie.
SHORT = ["".join(text) for length in range(1, 4) for text in product("abcd-", repeat=length)]
LONG = ["".join(text) for length in range(4, 7) for text in product("abcd", repeat=length)]
ENDED = [f"{text}{end}" for text in SHORT for end in ('"', ".", '."', "\\u0061", "é")]
TEXTS = [*SHORT, *LONG, *ENDED, "abcdabcda-ab", "b" * 17, "a" * 12]
SINGLE = [bytes((b,)) for b in range(256) if b not in b"abcd-"]
TOKENS = [b"", *SINGLE, *(text.encode() for text in TEXTS)]
VOCAB = Vocabulary.from_bytes(TOKENS, eos_token_ids=[0])
PREFIXES = ('"', '"a', '"ab', '"ba-', '"abd', '"ab-ab', '"bbbb', '"abcd.ab')

# Each was slow, or is a shape of its own: told by the last letter, counted round, counted down, in alternatives.
PATTERNS = [
    "^([a-d-]|[a-d][a-d-]*[a-d])$",
    "^[a-d]([a-d-]*[a-d])?$",
    "^([a-d]{4})*([a-d]{4}|[a-d]{3}=|[a-d]{2}==)$",
    "^[a-d]{3}-[a-d]{2}-[a-d]{5}$",
    "^([a-d]{1,3}[.])*[a-d]$",
    "^([a-d]{1,5}[.])*[a-d]$",
    "^([a-d]{3}(-[a-d])?){2,3}$",
    "^(a|b[a-d])*-$",
    "^(?:ab|ba)*$",
    "^a?(?:b[a-d]-)*b*$",
    "^[a-d-]{2,7}$",
    "[ab]{4}",
]


def check(schema: dict[str, Any], prefixes: tuple[str, ...]) -> None:
    """Masks are the tokens that can be accepted, tried one by one."""
    grammar = structgen.compile_schema(schema, VOCAB)
    row = np.zeros((1, VOCAB.num_words), np.int32)
    for _ in range(2):  # what one mask finds out about states is used for the next
        for prefix in prefixes:
            matcher = grammar.matcher()
            if not matcher.accept_bytes(prefix.encode()):
                continue
            matcher.fill_next_token_bitmask(row)
            found = set(np.flatnonzero(np.unpackbits(row[0].view(np.uint8), bitorder="little")).tolist())
            expected = {0} if matcher.is_accepting() else set()
            for token in range(1, len(TOKENS)):
                if matcher.accept_token(token):
                    expected.add(token)
                    matcher.rollback(1)
            assert found == expected, (schema, prefix)


@pytest.mark.parametrize("longest", [None, 13, 20])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_what_lives_anyway_is_what_lives(pattern: str, longest: int | None) -> None:
    limit = {} if longest is None else {"maxLength": longest}
    check({"type": "string", "pattern": pattern, **limit}, PREFIXES)


ATOMS = st.sampled_from(["a", "b", "-", "[ab]", "[a-d-]", "[a-d]", "[.]"])
REGEXES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.builds(
            lambda body, how: f"(?:{body}){how}", inner, st.sampled_from(["*", "+", "?", "{2}", "{1,5}", "{3,}"])
        ),
    ),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(REGEXES, st.sampled_from([None, 6, 9]), st.lists(st.sampled_from(SHORT), max_size=2), st.booleans())
def test_the_same_for_any_pattern(regex: str, longest: int | None, texts: list[str], anchored: bool) -> None:
    limit = {} if longest is None else {"maxLength": longest}
    schema = {"type": "string", "pattern": f"^(?:{regex})$" if anchored else regex, **limit}
    try:
        structgen.compile_schema(schema, VOCAB)
    except CompileError:  # nothing is in it
        return
    check(schema, ('"', '"' + "".join(texts)))
