"""AWRS with a static analysis as its black box: Python in which every name is defined before it is used."""

from __future__ import annotations

import ast
import itertools
import math
import re
from collections import Counter, defaultdict
from typing import Any

import numpy as np
import pytest
from aligned_toys import Markov, chi_square

import structgen
from structgen.decode.aligned import AWRS, TextPredicate
from structgen.vocab import Vocabulary

VOCAB = Vocabulary.from_bytes([b"a=", b"b=", b"1\n", b"a\n", b"a\nb=", b"<end>"], eos_token_ids=5)
ASSIGNMENTS = structgen.compile_regex(r"([ab]=[ab1]\n)*", VOCAB)
MAX_TOKENS = 5


def names_are_defined(source: str) -> bool:
    """Whether a module reads only names that statements before have assigned."""
    defined: set[str] = set()
    for statement in ast.parse(source).body:
        names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
        if any(isinstance(name.ctx, ast.Load) and name.id not in defined for name in names):
            return False
        defined |= {name.id for name in names if isinstance(name.ctx, ast.Store)}
    return True


def may_begin(text: bytes) -> bool:
    """A line that is not finished yet has a future if its name is defined, as far as it is there."""
    *lines, last = text.decode().split("\n")
    whole = last if last.count("=") and not last.endswith("=") else ""
    return names_are_defined("\n".join([*lines, whole]))


PREDICATE = TextPredicate(VOCAB, may_begin, lambda text: names_are_defined(text.decode()), grammar=ASSIGNMENTS)


def texts() -> list[tuple[int, ...]]:
    """By trying every sequence of tokens against Python's own parser."""
    found = []
    for n in range(MAX_TOKENS + 1):
        for tokens in itertools.product(range(5), repeat=n):
            text = b"".join(VOCAB.tokens[token] for token in tokens).decode()
            if re.fullmatch(r"([ab]=[ab1]\n)*", text) and names_are_defined(text):
                found.append((*tokens, 5))
    return found


def law_of(model: Any) -> dict[tuple[int, ...], float]:
    """The probability of each, where it is not 0."""
    logps = {
        tokens: sum(model.next_logprobs([tokens[:i]])[0][token] for i, token in enumerate(tokens)) for tokens in TEXTS
    }
    return {tokens: math.exp(logp) for tokens, logp in logps.items() if logp > -np.inf}


TEXTS = texts()
MODEL, LAW = next(
    (model, law)
    for model, law in ((model, law_of(model)) for model in (Markov(seed, size=6) for seed in itertools.count()))
    if len(law) > 8 and 0.1 < sum(law.values()) < 0.6 and max(law.values()) < 0.5 * sum(law.values())
)


def test_the_law_of_programs_is_the_models_given_the_analysis() -> None:
    assert len(LAW) > 8
    samples = AWRS(MODEL, PREDICATE, max_tokens=MAX_TOKENS, eos_token_ids=[5], correct=True, particles=32, seed=1)
    counts = Counter(sample.tokens for sample in samples.sample(400))
    assert chi_square(dict(counts), LAW) > 1e-4
    assert any(b"=a\n" in VOCAB.decode(tokens[:-1]) for tokens in counts)


def test_weights_and_z_are_unbiased() -> None:
    """Weighted particles of many runs: Z, and the law, as far as their error goes."""
    sampler = AWRS(MODEL, PREDICATE, max_tokens=MAX_TOKENS, eos_token_ids=[5], particles=8, seed=2)
    samples = sampler.sample(800)
    z = sum(LAW.values())
    assert abs(math.exp(samples.log_z.value) - z) < 5 * samples.log_z.stderr * z
    assert samples.checks > 0
    weighted: dict[Any, float] = defaultdict(float)
    for sample, weight in zip(samples, samples.weights(), strict=True):
        weighted[sample.tokens] += weight
    likeliest = max(LAW, key=lambda tokens: LAW[tokens])
    assert weighted[likeliest] == pytest.approx(LAW[likeliest] / z, abs=0.1)


def test_a_predicate_needs_to_know_the_end() -> None:
    with pytest.raises(ValueError, match="eos_token_ids"):
        AWRS(MODEL, PREDICATE, max_tokens=3)
