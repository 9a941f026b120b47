"""Speculation below the samplers: what comes out, and what is learnt, is what it is without."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from aligned_toys import BITS, LETTERS, PAIR, UniformBits, bits_grammar, cases, chi_square, outcomes

import structgen
from structgen.decode.aligned import AWRS, CARS, GCD, SMC, ASAp, MetropolisHastings, Rejection
from structgen.decode.aligned.transformers_model import TransformersModel
from structgen.decode.models import load
from structgen.decode.speculation import DraftTree, Fixed, Forced, Mixed, Plan, TokenRecycling, Trigram
from structgen.decode.speculation.build import TreeBuilder, empty_tree
from structgen.decode.speculation.drawn import DrawnWithoutReplacement, DrawnWithReplacement
from structgen.errors import SpeculationError

MAX_TOKENS = 4
CASES = [(model, structgen.compile_regex(pattern, LETTERS), law) for model, pattern, law in cases(4, seed=33)]
SMALL = [
    (model, structgen.compile_regex(pattern, PAIR), law)
    for model, pattern, law in cases(3, seed=6, max_tokens=2, least=2, vocab=PAIR)
]
ALL = [GCD, Rejection, ASAp, CARS, MetropolisHastings, SMC, AWRS]
WITH_TRIE = [GCD, Rejection, ASAp, CARS]


def learnt(sampler: Any) -> Any:
    """All that is in a trie, by prefix."""
    futures = sampler.futures
    return tuple(
        sorted(
            (tuple(futures.tokens_of(node)), round(float(futures.upper[node]), 9), round(float(futures.lower[node]), 9))
            for node in range(futures.num_nodes)
        )
    )


class Everything:
    """Proposes every text of up to two letters, legal or not."""

    kind = "deterministic"
    wants_hidden = False

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size
        self.seen: list[Any] = []

    def begin(self, prompt_ids: list[int]) -> None:
        return None

    def propose(self, context: Any, state: None, budget: int) -> DraftTree:
        builder = TreeBuilder()
        rows = [0]
        for _ in range(min(2, context.max_depth)):
            rows = [builder.add(row, token) for row in rows for token in range(self.vocab_size)]
        return builder.tree()

    def observe(self, context: Any, state: None, seen: Any) -> None:
        assert len(seen.logits) == seen.tree.num_nodes + 1
        assert context.token_ids[-len(seen.new_tokens) - 1] == seen.root_token
        at = 0
        for row in seen.path:
            assert seen.tree.parents[row - 1] == at
            at = row
        assert [int(seen.tree.tokens[row - 1]) for row in seen.path] == seen.new_tokens[: len(seen.path)]
        self.seen.append(seen)


class Drawn:
    """Draws children from distributions of its own, and a grandchild below the first, by the test's own source."""

    kind = "drawn"
    wants_hidden = False

    def __init__(self, tree: type[DraftTree], source: Any, seed: int, *, most: int) -> None:
        self.tree, self.source, self.left = tree, source, most
        self.q = np.random.default_rng(seed).dirichlet(np.ones(3), 2).astype(np.float32)

    def begin(self, prompt_ids: list[int]) -> None:
        return None

    def propose(self, context: Any, state: None, budget: int) -> DraftTree:
        if not self.left:
            return empty_tree()
        self.left -= 1
        builder = TreeBuilder()
        below = self._children(builder, 0, self.q[0], 2)
        if context.max_depth > 1:
            self._children(builder, below[0], self.q[1], 1)
        return builder.tree(self.tree)

    def _children(self, builder: TreeBuilder, row: int, q: Any, num: int) -> list[int]:
        builder.drawn_from(row, q)
        rows, rest = [], q.astype(np.float64)
        for _ in range(num):
            token = self.source.pick(rest)
            rows.append(builder.add(row, token, again=True))
            if self.tree is DrawnWithoutReplacement:
                rest = np.where(np.arange(len(rest)) == token, 0.0, rest)
        return rows

    def observe(self, context: Any, state: None, seen: Any) -> None:
        pass


def joint_law(kind: Any, model: Any, grammar: Any, batch_size: int, drafter_of: Any) -> dict[Any, float]:
    """The law of two attempts together with the trie they leave behind, over every choice of sampler and drafter."""

    def run(source: Any) -> Any:
        sampler = kind(
            model, grammar, max_tokens=2, source=source, batch_size=batch_size, speculate=drafter_of(source)
        )  # fmt: skip
        found = [each.tokens for _ in range(2 // batch_size) for each in sampler.sample(batch_size, budget=1)]
        return tuple(found), learnt(sampler)

    law: dict[Any, float] = defaultdict(float)
    for probability, outcome in outcomes(run):
        law[outcome] += probability
    return law


COMBINATIONS = list(itertools.product(WITH_TRIE, [DrawnWithReplacement, DrawnWithoutReplacement], [1, 2]))
QUICK = [(*each, SMALL[0]) for each in (COMBINATIONS[i] for i in (1, 6, 8, 15))]
THOROUGH = [(*each, case) for each in COMBINATIONS for case in SMALL]


@pytest.mark.parametrize(
    "kind, tree, batch_size, case", [*QUICK, *(pytest.param(*each, marks=pytest.mark.slow) for each in THOROUGH)]
)
def test_drawn_drafts_leave_the_law_as_it_is(kind: Any, tree: Any, batch_size: int, case: Any) -> None:
    model, grammar, _ = case
    plain = joint_law(kind, model, grammar, batch_size, lambda source: None)
    speculated = joint_law(kind, model, grammar, batch_size, lambda source: Drawn(tree, source, 1, most=1))
    assert sum(speculated.values()) == pytest.approx(1.0, abs=1e-9)
    assert speculated.keys() == plain.keys()
    for outcome, probability in plain.items():
        assert speculated[outcome] == pytest.approx(probability, abs=1e-7)  # q is float32


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("batch_size", [1, 5])
def test_drafts_change_no_number(kind: Any, batch_size: int) -> None:
    """Same seed, same texts, weights, attempts, passes, estimates and tries; only fewer calls into the model."""
    saved = 0
    for model, grammar, _ in CASES:
        given = []
        for drafter in (None, Everything(6), Mixed([Forced(), TokenRecycling(), Trigram()])):
            options = {"particles": 5} if kind in (SMC, AWRS) else {"batch_size": batch_size}
            sampler = kind(model, grammar, max_tokens=MAX_TOKENS, seed=3, speculate=drafter, **options)
            calls = [sampler.sample(8, budget=30) for _ in range(4)]
            given.append((calls, None if kind is AWRS else learnt(sampler)))
            for samples in calls:
                assert (samples.num_drafted > 0) <= (drafter is not None)
            if isinstance(drafter, Everything):
                assert any(seen.path for seen in drafter.seen)
        (plain, trie), *others = given
        for speculated, its_trie in others:
            assert its_trie == trie
            for a, b in zip(plain, speculated, strict=True):
                assert a.items == b.items and a.status == b.status
                assert (a.attempts, a.forward_passes, a.checks) == (b.attempts, b.forward_passes, b.checks)
                assert a.log_z.value == b.log_z.value or math.isnan(a.log_z.value)
                assert b.forward_calls <= a.forward_calls
        saved += sum(each.forward_calls for each in plain) - sum(each.forward_calls for each in others[0][0])
    assert saved > 0


def test_a_drafter_that_knows_all_saves_all_calls_but_one_in_three() -> None:
    """Texts of five bits, drafted two tokens ahead: the model is asked for tokens 0, 3, and the rest is there."""
    sampler = GCD(UniformBits(), bits_grammar(), max_tokens=5, seed=1, batch_size=1, speculate=Everything(3))
    samples = sampler.sample(1)
    assert (samples.forward_passes, samples.forward_calls) == (6, 2)
    assert samples[0].forward_passes == 6
    again = sampler.sample(200)
    assert again.forward_calls + samples.forward_calls < again.forward_passes + samples.forward_passes
    assert len({sample.tokens for sample in again}) == 17


@pytest.mark.parametrize("model, grammar, law", SMALL[:2])
def test_learning_from_drafts_keeps_cars_exact(model: Any, grammar: Any, law: Any) -> None:
    """Over every choice: two attempts, one after the other, that learn from drafts. Each accepted text comes with its
    probability, the second whatever the first was."""
    z = sum(law.values())
    pairs: dict[Any, float] = defaultdict(float)

    def run(source: Any) -> Any:
        sampler = CARS(
            model,
            grammar,
            max_tokens=2,
            source=source,
            batch_size=1,
            speculate=Plan(Everything(3), Fixed(99)),
            learn_drafts=True,
        )
        first, second = (sampler.sample(1, budget=1) for _ in range(2))
        low, high = np.exp(sampler.futures.bracket())
        assert low - 1e-12 <= z <= high + 1e-12
        return tuple(samples[0].tokens if len(samples) else None for samples in (first, second))

    for probability, pair in outcomes(run):
        pairs[pair] += probability
    firsts: dict[Any, float] = defaultdict(float)
    for (first, _), probability in pairs.items():
        firsts[first] += probability
    assert {text: p for text, p in firsts.items() if text is not None} == pytest.approx(law, abs=1e-12)
    for first in firsts:
        seconds = {second: p for (before, second), p in pairs.items() if before == first and second is not None}
        total = sum(seconds.values())
        assert {text: p / total for text, p in seconds.items()} == pytest.approx(
            {text: p / z for text, p in law.items()}, abs=1e-12
        )


@pytest.mark.parametrize("kind", [ASAp, CARS])
def test_learning_from_drafts_learns_more(kind: Any) -> None:
    for model, grammar, law in CASES:
        tops = []
        for learn in (False, True):
            sampler = kind(
                model, grammar, max_tokens=MAX_TOKENS, seed=1, batch_size=2, speculate=Everything(6), learn_drafts=learn
            )
            sampler.sample(2, budget=4)
            low, high = np.exp(sampler.futures.bracket())
            assert low - 1e-12 <= sum(law.values()) <= high + 1e-12
            tops.append(high)
            samples = sampler.sample(400)
            if kind is CARS:
                counts: dict[Any, int] = defaultdict(int)
                for sample in samples:
                    counts[sample.tokens] += 1
                assert chi_square(counts, law) > 1e-4
        assert tops[1] <= tops[0] + 1e-12


def test_what_is_not_exact_is_refused() -> None:
    drafter = Drawn(DrawnWithReplacement, None, 0, most=0)
    with pytest.raises(SpeculationError, match="draws its nodes"):
        CARS(UniformBits(), bits_grammar(), max_tokens=5, speculate=drafter, learn_drafts=True)

    class Deep(Everything):
        wants_hidden = True

    with pytest.raises(SpeculationError, match="hidden states"):
        CARS(UniformBits(), bits_grammar(), max_tokens=5, speculate=Deep(BITS.vocab_size))


@pytest.mark.parametrize("kind", [CARS, MetropolisHastings, AWRS])
def test_a_transformers_model_reads_drafts_in_the_same_pass(tiny_model: Any, kind: Any) -> None:
    model = load(tiny_model)
    colour = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    grammar = structgen.compile_schema({**colour, "additionalProperties": False}, model.vocab)
    found = []
    for speculate in (None, Plan(Mixed([Forced(), TokenRecycling()]), Fixed(8))):
        sampler = kind(TransformersModel(model, [20, 31, 7]), grammar, max_tokens=16, seed=2, speculate=speculate)
        found.append(sampler.sample(6, budget=60))
    assert [sample.tokens for sample in found[0]] == [sample.tokens for sample in found[1]]
    assert found[1].forward_calls < found[0].forward_calls
    assert found[1].forward_passes == found[0].forward_passes


def test_generate_speculates_below_samplers(tiny_model: Any) -> None:
    arguments: dict[str, Any] = {"regex": "(red|green){2}", "model": tiny_model, "sampler": "asap", "seed": 4, "n": 3}
    arguments |= {"max_new_tokens": 12, "return_result": True}
    plain = structgen.generate("one prompt", **arguments)
    from structgen.decode.aligned import generate

    generate.MEMORY = generate.Memory()  # what the first call learnt is not for the second here
    fast = structgen.generate("one prompt", speculate=Plan(Forced(), Fixed(8)), **arguments)
    assert [each.text for each in plain] == [each.text for each in fast]
    assert fast[0].samples.forward_calls <= plain[0].samples.forward_calls
    with pytest.raises(ValueError, match="exact"):
        structgen.generate("x", speculate="auto", **{**arguments, "sampler": "exact"})
