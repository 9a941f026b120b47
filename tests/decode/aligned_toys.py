"""Small models and languages whose aligned law is known by counting, and a way to run a sampler over all it can do."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

import structgen
from structgen.vocab import Vocabulary

T = TypeVar("T")

BITS = Vocabulary.from_bytes([b"0", b"1", b"<end>"], eos_token_ids=2)
PAIR = Vocabulary.from_bytes([b"a", b"b", b"<end>"], eos_token_ids=2)
LETTERS = Vocabulary.from_bytes([b"a", b"b", b"c", b"ab", b"bca", b"<end>"], eos_token_ids=5)
END = 5


class UniformBits:
    """Five fair bits, then the end."""

    def next_logprobs(self, prefixes: Sequence[Sequence[int]]) -> Any:
        rows = np.full((len(prefixes), 3), -np.inf)
        for row, prefix in zip(rows, prefixes, strict=True):
            if len(prefix) == 5:
                row[2] = 0.0
            else:
                row[:2] = -math.log(2)
        return rows


def bits_grammar() -> Any:
    """00000, and everything that begins with 1: 17 of 32 strings."""
    return structgen.compile_regex("00000|1[01]{4}", BITS)


class Markov:
    """A random chain over the letters' vocabulary: the next token depends on the last one. Some tokens never follow."""

    def __init__(self, seed: int, *, size: int = 6) -> None:
        rng = np.random.default_rng(seed)
        logits = 1.5 * rng.normal(size=(size + 1, size))
        logits[rng.random(logits.shape) < 0.1] = -np.inf
        logits[:, -1] = np.maximum(logits[:, -1], -1.0)
        self.table = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        self.num_asked = 0

    def context(self, prefix: Sequence[int]) -> int:
        return prefix[-1] if len(prefix) else len(self.table) - 1

    def next_logprobs(self, prefixes: Sequence[Sequence[int]]) -> Any:
        self.num_asked += len(prefixes)
        return self.table[[self.context(prefix) for prefix in prefixes]]


def random_pattern(rng: np.random.Generator, depth: int = 3) -> str:
    """A regular expression over a, b and c."""
    kind = rng.integers(6) if depth else 0
    if kind == 0:
        return str(rng.choice(["a", "b", "c", "ab", "[ab]", "[abc]", "bc"]))
    inner = random_pattern(rng, depth - 1)
    if kind == 1:
        return f"({inner})*"
    if kind == 2:
        return f"({inner})?"
    other = random_pattern(rng, depth - 1)
    return f"({inner}|{other})" if kind == 3 else f"{inner}{other}"


def truth(model: Any, pattern: str, max_tokens: int, vocab: Vocabulary = LETTERS) -> dict[tuple[int, ...], float]:
    """P(text) of every text of the language with its end, by trying all token sequences; it sums to Z."""
    ends = vocab.eos_token_ids
    text_ids = [token for token in range(vocab.vocab_size) if token not in ends]
    found: dict[tuple[int, ...], float] = {}
    for n in range(max_tokens + 1):
        for tokens in itertools.product(text_ids, repeat=n):
            if re.fullmatch(pattern, b"".join(vocab.tokens[token] for token in tokens).decode()):
                whole = (*tokens, ends[0])
                logp = sum(model.next_logprobs([whole[:i]])[0][token] for i, token in enumerate(whole))
                if logp > -np.inf:
                    found[whole] = math.exp(logp)
    return found


def cases(
    num: int, *, seed: int, max_tokens: int = 4, least: int = 3, most: int = 60, vocab: Vocabulary = LETTERS
) -> Iterator[tuple[Any, str, dict[tuple[int, ...], float]]]:
    """Random models and patterns with the truth, where the language has a few texts and masking has something to do."""
    rng = np.random.default_rng(seed)
    while num:
        model, pattern = Markov(int(rng.integers(1 << 30)), size=vocab.vocab_size), random_pattern(rng)
        if vocab is PAIR:
            pattern = pattern.replace("c", "b")
        law = truth(model, pattern, max_tokens, vocab)
        if least <= len(law) <= most and 0.15 < sum(law.values()) < 0.9:
            num -= 1
            yield model, pattern, law


def chi_square(counts: dict[tuple[int, ...], int], law: dict[tuple[int, ...], float]) -> float:
    """p-value of counts against a law (which need not sum to 1); texts expected fewer than 5 times are one bin."""
    total, z = sum(counts.values()), sum(law.values())
    assert counts.keys() <= law.keys(), "a sample outside the language"
    bins: list[tuple[float, int]] = []
    rest_expected, rest_seen = 0.0, 0
    for tokens, p in law.items():
        expected = total * p / z
        if expected < 5.0:
            rest_expected, rest_seen = rest_expected + expected, rest_seen + counts.get(tokens, 0)
        else:
            bins.append((expected, counts.get(tokens, 0)))
    if rest_expected > 0.5:
        bins.append((rest_expected, rest_seen))
    statistic = sum((seen - expected) ** 2 / expected for expected, seen in bins)
    freedom = max(len(bins) - 1, 1)
    return float(torch.special.gammaincc(torch.tensor(freedom / 2.0).double(), torch.tensor(statistic / 2.0).double()))


def same_law(first: dict[tuple[int, ...], int], second: dict[tuple[int, ...], int]) -> float:
    """p-value of two sets of counts coming from one law."""
    sizes = sum(first.values()), sum(second.values())
    bins: list[tuple[int, int]] = []
    rest = [0, 0]
    for tokens in first.keys() | second.keys():
        pair = first.get(tokens, 0), second.get(tokens, 0)
        if sum(pair) < 10:
            rest = [rest[0] + pair[0], rest[1] + pair[1]]
        else:
            bins.append(pair)
    if sum(rest):
        bins.append((rest[0], rest[1]))
    statistic = 0.0
    for pair in bins:
        for seen, size in zip(pair, sizes, strict=True):
            expected = sum(pair) * size / sum(sizes)
            statistic += (seen - expected) ** 2 / expected
    freedom = max(len(bins) - 1, 1)
    return float(torch.special.gammaincc(torch.tensor(freedom / 2.0).double(), torch.tensor(statistic / 2.0).double()))


class _Replay:
    """A source that makes the choices it was told, and the first possible one from there on."""

    def __init__(self, trail: list[list[Any]]) -> None:
        self.trail = trail
        self.at = 0

    def _choose(self, probabilities: list[float]) -> int:
        if self.at == len(self.trail):
            possible = [i for i, p in enumerate(probabilities) if p > 0.0]
            self.trail.append([possible, 0, probabilities])
        possible, index, _ = self.trail[self.at]
        self.at += 1
        return int(possible[index])

    def pick(self, weights: Any) -> int:
        total = math.fsum(weights)
        return self._choose([float(weight) / total for weight in weights])

    def coin(self, log_p: float) -> bool:
        p = 1.0 if log_p > -1e-12 else math.exp(log_p)  # rounding is no branch
        return self._choose([1.0 - p, p]) == 1

    def point(self, breaks: Any) -> float:
        pieces = [(low, high) for low, high in itertools.pairwise(breaks) if high - low > 1e-12]
        low, high = pieces[self._choose([high - low for low, high in pieces])]
        return float(low + high) / 2.0


def outcomes(run: Callable[[Any], T]) -> Iterator[tuple[float, T]]:
    """(probability, result) of every way in which `run(source)` can go. It must make everything anew each time."""
    trail: list[list[Any]] = []
    while True:
        result = run(_Replay(trail))
        probability = 1.0
        for possible, index, probabilities in trail:
            probability *= probabilities[possible[index]]
        yield probability, result
        while trail and trail[-1][1] + 1 == len(trail[-1][0]):
            trail.pop()
        if not trail:
            return
        trail[-1][1] += 1
