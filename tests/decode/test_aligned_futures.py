"""The trie of expected futures: bounds that hold, keys that keep apart, bounded memory, files that come back."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aligned_toys import END, LETTERS, Markov, cases, chi_square

import structgen
from structgen.decode.aligned import CARS, GCD, ASAp, MetropolisHastings
from structgen.decode.aligned.diagnostics import count_prefixes, ends, explore, kl_divergence
from structgen.decode.aligned.futures import ROOT, Futures, Key
from structgen.decode.aligned.model import Shape
from structgen.decode.aligned.saved import load_futures, save_futures
from structgen.decode.aligned.space import START, Space, key_of

MAX_TOKENS = 4
CASES = [(model, structgen.compile_regex(pattern, LETTERS), law) for model, pattern, law in cases(6, seed=2)]


def mass_below(model: Any, law: dict[tuple[int, ...], float], prefix: tuple[int, ...]) -> float:
    """P(the text is in the language | it begins with the prefix)."""
    total = sum(p for tokens, p in law.items() if tokens[: len(prefix)] == prefix)
    before = sum(model.next_logprobs([prefix[:i]])[0][token] for i, token in enumerate(prefix))
    return total / math.exp(before)


def check(futures: Futures, model: Any, law: Any) -> list[float]:
    """Every node's bounds hold the truth; returns the upper ones by node."""
    for node in range(futures.num_nodes):
        truth = mass_below(model, law, tuple(futures.tokens_of(node)))
        low, high = math.exp(futures.lower[node]), math.exp(futures.upper[node])
        assert low - 1e-12 <= truth <= high + 1e-12
    return futures.upper[: futures.num_nodes].tolist()


@pytest.mark.parametrize("model, grammar, law", CASES)
@pytest.mark.parametrize("kind", [ASAp, CARS, GCD])
def test_bounds_hold_fall_and_end_at_the_truth(kind: Any, model: Any, grammar: Any, law: Any) -> None:
    sampler = kind(model, grammar, max_tokens=MAX_TOKENS, seed=1, batch_size=3)
    before: list[float] = []
    for _ in range(12):
        sampler.sample(2, budget=40)
        now = check(sampler.futures, model, law)
        assert all(new <= old for old, new in zip(before, now, strict=False))
        before = now
    frontier = [START]
    while frontier:  # everything
        nodes = sampler.space.visit(frontier)
        frontier = [
            (node, edge) for node in nodes for edge, child in enumerate(sampler.futures.children(node)) if child != -2
        ]
    check(sampler.futures, model, law)
    for node in range(sampler.futures.num_nodes):
        truth = mass_below(model, law, tuple(sampler.futures.tokens_of(node)))
        assert math.exp(sampler.futures.upper[node]) == pytest.approx(truth, abs=1e-12)
        assert math.exp(sampler.futures.lower[node]) == pytest.approx(truth, abs=1e-12)


def test_what_was_met_is_not_asked_again() -> None:
    model = Markov(3)
    grammar = structgen.compile_regex("[abc]{1,3}", LETTERS)
    sampler = ASAp(model, grammar, max_tokens=3, seed=0)
    sampler.sample(500)
    asked = model.num_asked
    again = sampler.sample(500)
    assert again.forward_passes == model.num_asked - asked < 10
    assert sampler.space.forward_passes == model.num_asked == sampler.futures.num_nodes


def test_nothing_leaks_between_models_prompts_constraints_limits_and_options() -> None:
    model, other = Markov(1), Markov(2)
    grammar, wider = structgen.compile_regex("[ab]{2}", LETTERS), structgen.compile_regex("[ab]{2,3}", LETTERS)
    first = ASAp(model, grammar, max_tokens=3)
    first.sample(5)
    same = ASAp(model, grammar, max_tokens=3, futures=first.futures)
    assert same.futures is first.futures
    for arguments, options in (
        ((other, grammar), {}),
        ((model, wider), {}),
        ((model, grammar), {"max_tokens": 4}),
        ((model, grammar), {"temperature": 0.5}),
        ((model, grammar), {"top_p": 0.5}),
        ((model, grammar), {"top_k": 3}),
        ((model, grammar), {"constraint": "another"}),
    ):
        with pytest.raises(ValueError, match="these futures are about"):
            ASAp(*arguments, **{"max_tokens": 3, "futures": first.futures, **options})


class Named(Markov):
    """A model that says who it is."""

    @property
    def fingerprint(self) -> str:
        return "a chain"


def test_names_outlive_objects_and_identities_do_not() -> None:
    grammar = structgen.compile_regex("[ab]{2}", LETTERS)
    assert key_of(Named(1), grammar, 3, Shape(), "ab") == key_of(Named(1), grammar, 3, Shape(), "ab")
    seen = set()
    for _ in range(50):  # a new object in the place of an old one is another
        key = key_of(Markov(1), grammar, 3, Shape())
        assert key not in seen
        seen.add(key)
    model = Markov(1)
    assert key_of(model, grammar, 3, Shape()) == key_of(model, grammar, 3, Shape())


def test_a_file_comes_back(tmp_path: Path) -> None:
    grammar = structgen.compile_regex("[abc]{1,3}a", LETTERS)
    sampler = CARS(Named(1), grammar, max_tokens=4, seed=0, constraint="ends in a")
    sampler.sample(20)
    path = tmp_path / "trie"
    save_futures(sampler.futures, path)
    back = load_futures(path, sampler.futures.key)
    assert (back.num_nodes, back.num_edges) == (sampler.futures.num_nodes, sampler.futures.num_edges)
    assert back.bracket() == pytest.approx(sampler.futures.bracket(), abs=1e-12)
    for node in range(back.num_nodes):
        tokens = back.tokens_of(node)
        at = sampler.futures.find(tokens)
        assert at is not None
        assert back.upper[node] == pytest.approx(sampler.futures.upper[at], abs=1e-12)
        assert (back.tokens(node) == sampler.futures.tokens(at)).all()
    fresh = Named(1)
    again = CARS(fresh, grammar, max_tokens=4, seed=1, constraint="ends in a", futures=back)
    assert again.sample(20).attempts < 60
    assert fresh.num_asked < back.num_nodes
    with pytest.raises(structgen.StructgenError, match="fingerprint"):
        load_futures(path, dataclasses.replace(sampler.futures.key, temperature=2.0))
    assert [each.name for each in tmp_path.iterdir()] == ["trie"]


def test_damage_is_refused(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    sampler = ASAp(Named(1), structgen.compile_regex("[abc]{1,3}", LETTERS), max_tokens=3, seed=0, constraint="x")
    sampler.sample(9)
    path = tmp_path / "trie"
    save_futures(sampler.futures, path)
    key, whole = sampler.futures.key, path.read_bytes()
    for cut in (0, 7, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(structgen.StructgenError, match="not a usable trie"):
            load_futures(path, key)
    path.write_bytes(whole)
    arrays = load_file(path)
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    for name, at, value in (
        ("parent", 1, 1),
        ("parent", 0, 0),
        ("parent_edge", 1, 10**6),
        ("count", 0, -1),
        ("count", 1, 10**9),
        ("ids_count", 0, 2),
        ("width", 0, 3),
        ("ids", 0, -1),
        ("ids", 0, 99),
        ("values", 0, 1.0),
        ("values", 0, math.nan),
        ("shift", 0, math.inf),
        ("known_node", 0, 99),
        ("known_edge", 0, 0),
        ("known_theta", 0, -1.0),
    ):
        wrong = {each: array.copy() for each, array in arrays.items()}
        wrong[name][at] = value
        save_file(wrong, path, metadata=metadata)
        with pytest.raises(structgen.StructgenError, match="not a usable trie"):
            load_futures(path, key)
    save_file(arrays, path, metadata={**metadata, "version": "2"})
    with pytest.raises(structgen.StructgenError, match="version"):
        load_futures(path, key)


@pytest.mark.parametrize("kind", [CARS, ASAp, MetropolisHastings])
def test_memory_is_bounded_and_the_law_is_not_bent(kind: Any) -> None:
    """A trie that must forget all the time: bounds rise, hold, and CARS draws from the aligned law all the same."""
    model, grammar, law = max(CASES, key=lambda case: len(case[2]))
    free = kind(model, grammar, max_tokens=MAX_TOKENS, seed=1)
    free.sample(400)
    limit = free.futures.num_bytes() // 2
    sampler = kind(model, grammar, max_tokens=MAX_TOKENS, seed=1, max_bytes=limit, batch_size=2)
    counts: Counter[tuple[int, ...]] = Counter()
    for _ in range(60):
        counts.update(sample.tokens for sample in sampler.sample(10))
        sampler.futures.new_round()
        assert sampler.futures.num_bytes() <= limit
        for node in sampler.futures.live().tolist():
            truth = mass_below(model, law, tuple(sampler.futures.tokens_of(node)))
            assert (
                math.exp(sampler.futures.lower[node]) - 1e-12 <= truth <= math.exp(sampler.futures.upper[node]) + 1e-12
            )
    assert sampler.futures.num_forgotten > 20
    if kind is CARS:
        assert chi_square(counts, law) > 1e-4


def test_mass_below_the_smallest_double_is_kept() -> None:
    """300 tokens that the model hates: P is 1e-900, and theta knows it."""

    class Hates:
        def next_logprobs(self, prefixes: Any) -> Any:
            row = np.full(6, math.log((1 - 1e-3) / 5))
            row[0] = math.log(1e-3)
            return np.stack([row] * len(prefixes))

    space = Space(Hates(), structgen.compile_regex("a{300}", LETTERS), max_tokens=300)
    assert space.logp([0] * 300 + [END]) == pytest.approx(300 * math.log(1e-3) + math.log((1 - 1e-3) / 5))
    assert space.futures.bracket()[1] == pytest.approx(300 * math.log(1e-3) + math.log((1 - 1e-3) / 5), abs=1e-6)


def test_states_of_a_gone_generation_are_derived_again() -> None:
    limits = structgen.Limits(max_states=64)
    grammar = structgen.compile_regex("[abc]{1,3}(a|b)c?", LETTERS, limits=limits)
    model = Markov(4)
    sampler = CARS(model, grammar, max_tokens=5, seed=1)
    sampler.sample(5)
    for i in range(12):  # other grammars fill the same tables
        other = structgen.compile_regex(f"a{{{i + 5}}}b[bc]{{{i + 9}}}", LETTERS, limits=limits).matcher()
        for _ in range(i + 5):
            other.accept_token(0)
    generation = grammar.binding().generation
    assert generation > 0
    assert len(sampler.sample(30)) == 30


def test_keys_have_short_names() -> None:
    key = Key("model", "grammar", 5)
    assert len(key.digest()) == 32
    assert key.digest() == Key("model", "grammar", 5).digest() != Key("model", "grammar", 6).digest()
    assert Futures(key).bracket() == (-math.inf, 0.0)
    assert Futures(key).find([]) is None
    assert ROOT == 0


@pytest.mark.parametrize("model, grammar, law", CASES[:3])
def test_exploring_finds_every_text(model: Any, grammar: Any, law: Any) -> None:
    space = Space(model, grammar, max_tokens=MAX_TOKENS)
    previous = -math.inf, 0.0
    for _ in range(100):
        low, high = explore(space, budget=3, gap=-1.0)
        assert previous[0] <= low <= math.log(sum(law.values())) + 1e-12
        assert math.log(sum(law.values())) - 1e-12 <= high <= previous[1]
        previous = low, high
        if space.futures.is_complete():
            break
    number = count_prefixes(grammar, max_tokens=MAX_TOKENS, limit=10**4)
    assert number is not None and space.forward_passes <= number  # a model may leave out what it never says
    assert count_prefixes(grammar, max_tokens=MAX_TOKENS, limit=number) == number
    assert count_prefixes(grammar, max_tokens=MAX_TOKENS, limit=number - 1) is None
    found = ends(space.futures)
    assert dict(zip(found.texts, np.exp(found.logp), strict=True)) == pytest.approx(law, rel=1e-9)
    masked = {tokens: p / sum(np.exp(found.log_q)) for tokens, p in zip(found.texts, np.exp(found.log_q), strict=True)}
    assert found.kl() == pytest.approx(kl_divergence(masked, law), abs=1e-9)
