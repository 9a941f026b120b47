"""The law of what verification emits is that of masked decoding: by enumeration, to 1e-12, and never by sampling.

Drafters and rules get all their randomness from a `Chance`; here it takes every branch in turn, so that the probability
of every output is a finite sum. The same machinery shows that four plausible rules are wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from structgen.decode.chance import Chance
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.drawn import DrawnWithoutReplacement, DrawnWithReplacement
from structgen.decode.speculation.rules import (
    Greedy,
    KSeq,
    Rejection,
    RejectionWithoutReplacement,
    Rule,
    TargetOnly,
    verify,
)
from structgen.decode.speculation.tree import DraftTree
from structgen_kernels import reference_verify as reference
from structgen_kernels.verify import masked_sample

Path = tuple[int, ...]
Law = dict[Path, float]
END = 0  # the token after which nothing may follow


# ---- a small world --------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class World:
    """A target, a draft and a grammar: any logits, any distribution and any mask after every text."""

    seed: int
    num_tokens: int
    sampling: Sampling
    narrow: bool = False  # few tokens are allowed, often one
    same: bool = False  # the draft is the target
    sparse: bool = False  # the draft gives zero to some tokens

    def rng(self, text: Path, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, what, *[1 + token for token in text]])

    def logits(self, text: Path) -> np.ndarray:
        return (self.rng(text, 0).normal(size=self.num_tokens) * 1.5).astype(np.float32)

    def mask(self, text: Path) -> int:
        """Bits of the allowed tokens; at least one, unless the text has ended."""
        if END in text:
            return 0
        rng = self.rng(text, 1)
        allowed = rng.random(self.num_tokens) < (0.3 if self.narrow else 0.7)
        allowed[rng.integers(self.num_tokens)] = True
        return int(allowed @ (1 << np.arange(self.num_tokens)))

    def legal(self, text: Path) -> bool:
        return all(self.mask(text[:i]) >> token & 1 for i, token in enumerate(text))

    def p(self, text: Path) -> np.ndarray | None:
        """What masked decoding draws the next token from."""
        return _p(self, text)

    def q(self, text: Path, masked: bool) -> np.ndarray:
        """What a drafter draws from: float32, with zeros where it is masked or sparse."""
        if self.same and (p := self.p(text)) is not None:
            return p.astype(np.float32)
        rng = self.rng(text, 2)
        q = rng.random(self.num_tokens) ** 2
        if self.sparse:
            q[rng.integers(self.num_tokens)] = 0
        if masked and self.legal(text):
            inside = q * [self.mask(text) >> t & 1 for t in range(self.num_tokens)]
            q = inside if inside.any() else q
        return (q / q.sum()).astype(np.float32)

    def decoding(self, length: int) -> Law:
        """The law of masked decoding's first tokens."""
        law: Law = {(): 1.0}
        for _ in range(length):
            law = _extend(self, law, length)
        return law


@cache
def _p(world: World, text: Path) -> np.ndarray | None:
    allowed = reference.allowed_tokens(np.array([[world.mask(text)]]), 0, world.num_tokens)
    sampling = world.sampling
    return reference.distribution(world.logits(text), allowed, sampling.temperature, sampling.top_k, sampling.top_p)


def _extend(world: World, law: Law, length: int) -> Law:
    """The law with every text that is shorter than `length` drawn one token further."""
    out: Law = defaultdict(float)
    for text, probability in law.items():
        p = world.p(text) if len(text) < length else None
        if p is None:
            out[text] += probability
        else:
            for token in np.flatnonzero(p):
                out[(*text, int(token))] += probability * p[token]
    return out


def completed(world: World, law: Law, length: int) -> Law:
    """A law of emitted texts of any length, as a law of the first `length` tokens: masked decoding draws the rest."""
    out: Law = defaultdict(float)
    for text, probability in law.items():
        out[text[:length]] += probability
    for _ in range(length):
        out = _extend(world, out, length)
    return out


def distance(one: Law, other: Law) -> float:
    """Total variation."""
    return 0.5 * sum(abs(one.get(text, 0.0) - other.get(text, 0.0)) for text in one.keys() | other.keys())


# ---- enumeration ----------------------------------------------------------------------------------------------------
class Branches(Chance):
    """Takes the branches it is told to take, then always the first, and keeps the others for later."""

    def __init__(self, told: list[int]) -> None:
        super().__init__()
        self.told = told
        self.taken: list[int] = []
        self.later: list[list[int]] = []
        self.probability = 1.0

    def branch(self, probabilities: np.ndarray) -> int:
        if len(self.taken) < len(self.told):
            choice = self.told[len(self.taken)]
        else:
            choice, *others = np.flatnonzero(probabilities > 0).tolist()
            self.later += [[*self.taken, other] for other in others]
        self.taken.append(choice)
        self.probability *= float(probabilities[choice])
        return choice

    def coin(self, probability: float) -> bool:
        probability = min(float(probability), 1.0)
        return self.branch(np.array([1 - probability, probability])) == 1

    def draw(self, weights: Any) -> int:
        weights = np.asarray(weights, np.float64)
        return self.branch(weights / weights.sum())


def enumerate_law(run: Callable[[Chance], Path]) -> Law:
    law: Law = defaultdict(float)
    waiting: list[list[int]] = [[]]
    while waiting:
        chance = Branches(waiting.pop())
        law[run(chance)] += chance.probability
        waiting += chance.later
    assert sum(law.values()) == pytest.approx(1.0, abs=1e-12)
    return law


class Numbers(Chance):
    """Given uniform numbers, one a position."""

    def __init__(self, numbers: Sequence[float]) -> None:
        super().__init__()
        self._ahead = np.array(numbers)

    @property
    def left(self) -> int:
        """How many were not taken."""
        return len(self._ahead)


def law_of_numbers(run: Callable[[Chance], Path], num_tokens: int, length: int) -> Law:
    """The law where the token at a position is a step function of that position's uniform number, by bisection."""
    law: Law = defaultdict(float)

    def split(numbers: list[float], probability: float) -> None:
        position = len(numbers)
        rest = [0.5] * (length - position)

        def emitted(u: float) -> int:
            return run(Numbers([*numbers, u, *rest]))[position]

        text = run(Numbers([*numbers, *rest]))
        if len(text) <= position:
            law[text] += probability
            return
        start = 0.0
        while start < 1.0:
            token = emitted(start)
            low, high = start, 1.0
            if emitted(np.nextafter(1.0, 0.0)) == token:
                low = 1.0
            while high - low > 2e-16 and (low + high) / 2 not in (low, high):
                middle = (low + high) / 2
                if emitted(middle) == token:
                    low = middle
                else:
                    high = middle
            split([*numbers, (start + min(low, np.nextafter(1.0, 0.0))) / 2], probability * (high - start))
            start = high

    split([], 1.0)
    return law


# ---- drafters -------------------------------------------------------------------------------------------------------
Drafter = Callable[[World, Chance], DraftTree]


def drawn_tree(
    kind: type[DraftTree], shape: Sequence[int], *, masked: bool, prune: bool = False, adaptive: bool = False
) -> Drafter:
    """Draws `shape[d]` children for every node of depth d.

    prune: illegal nodes are left out, and nothing hangs below them. adaptive: whether there is a further sibling
    depends on the last one, and whether a node has children on its token.
    """
    with_replacement = kind is DrawnWithReplacement

    def draft(world: World, chance: Chance) -> DraftTree:
        tokens, parents, texts = [], [], [()]
        depths, q_rows, q_of_row = [], [], [-1]
        row = 0
        while row < len(texts):
            text = texts[row]
            leaf = len(text) >= len(shape) or (adaptive and text and text[-1] % 3 == 1)
            if not leaf:
                q = world.q(text, masked)
                q_of_row[row] = len(q_rows)
                q_rows.append(q)
                left = q.astype(np.float64)
                for _ in range(shape[len(text)]):
                    if not left.any():
                        break
                    token = chance.draw(left)
                    if not with_replacement:
                        left[token] = 0
                    if not (prune and not world.legal((*text, token))):
                        tokens.append(token)
                        parents.append(row)
                        depths.append(len(text) + 1)
                        texts.append((*text, token))
                        q_of_row.append(-1)
                    if adaptive and token % 2:
                        break
            row += 1
        return kind(*(np.array(each, np.int32) for each in (tokens, parents, depths)),
                    np.array(q_rows).reshape(-1, world.num_tokens), np.array(q_of_row, np.int32))  # fmt: skip

    return draft


def fixed_tree(seed: int, nodes: int, depth: int) -> Drafter:
    """A deterministic tree with random tokens, some of them illegal, some twice."""

    def draft(world: World, chance: Chance) -> DraftTree:
        rng = np.random.default_rng(seed)
        depths = [0]
        parents, tokens = [], []
        while len(tokens) < nodes:
            parent = int(rng.integers(len(depths)))
            if depths[parent] < depth:
                parents.append(parent)
                tokens.append(int(rng.integers(world.num_tokens)))
                depths.append(depths[parent] + 1)
        return DraftTree(*(np.array(each, np.int32) for each in (tokens, parents, depths[1:])), None,
                         np.full(nodes + 1, -1, np.int32))  # fmt: skip

    return draft


def round_of(world: World, rule: Rule[Any], drafter: Drafter, fused: bool = False) -> Callable[[Chance], Path]:
    """One draft and its verification: what is emitted."""

    def run(chance: Chance) -> Path:
        tree = drafter(world, chance)
        texts: list[Path] = [()]
        for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
            texts.append((*texts[parent], token))
        logits = torch.from_numpy(np.stack([world.logits(text) for text in texts]))
        masks = np.array([[0], *([world.mask(text)] for text in texts)], np.int32)
        ids = [i + 1 if world.legal(text) else 0 for i, text in enumerate(texts)]
        (found,) = verify(rule, [tree], logits, masks, ids, sampling=world.sampling, chances=[chance],
                          fused=fused)  # fmt: skip
        text = texts[found.rows[-1]] if len(found.rows) else ()
        assert [texts[row] for row in found.rows] == [text[: i + 1] for i in range(len(text))]
        emitted = text if found.next_token < 0 else (*text, found.next_token)
        expected = [np.log(world.p(emitted[:i])[token]) for i, token in enumerate(emitted)]
        if world.sampling.temperature:
            assert found.logprobs[: len(emitted)] == pytest.approx(expected, abs=1e-5)
        return emitted

    return run


SAMPLINGS = [
    Sampling(temperature=1.0),
    Sampling(temperature=0.6, top_k=2),
    Sampling(temperature=1.5, top_p=0.8),
    Sampling(),
]
WORLDS = [
    World(1, 3, SAMPLINGS[0]),
    World(2, 3, SAMPLINGS[0], narrow=True, sparse=True),
    World(3, 3, SAMPLINGS[0], same=True),
    World(4, 3, SAMPLINGS[1]),
    World(5, 3, SAMPLINGS[2], sparse=True),
    World(6, 3, SAMPLINGS[3]),
]
FEW = [WORLDS[1], WORLDS[4]]
WIDER = [World(7, 5, SAMPLINGS[0]), World(8, 5, SAMPLINGS[2], narrow=True)]
DRAWN_RULES = [
    (Rejection(), DrawnWithReplacement),
    (KSeq(), DrawnWithReplacement),
    (RejectionWithoutReplacement(), DrawnWithoutReplacement),
]


def assert_exact(world: World, rule: Rule[Any], drafter: Drafter, length: int) -> None:
    law = completed(world, enumerate_law(round_of(world, rule, drafter)), length)
    assert distance(law, world.decoding(length)) < 1e-12


@pytest.mark.parametrize(("rule", "kind"), DRAWN_RULES, ids=lambda each: getattr(each, "__name__", type(each).__name__))
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("prune", [True, False])
def test_rules_for_drawn_trees_are_exact(rule: Rule[Any], kind: type[DraftTree], masked: bool, prune: bool) -> None:
    for world in FEW:
        assert_exact(world, rule, drawn_tree(kind, (2, 1), masked=masked, prune=prune), 3)


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "kind"), DRAWN_RULES, ids=lambda each: getattr(each, "__name__", type(each).__name__))
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("prune", [True, False])
def test_rules_for_drawn_trees_are_exact_in_more_worlds(
    rule: Rule[Any], kind: type[DraftTree], masked: bool, prune: bool
) -> None:
    for world in WORLDS:
        assert_exact(world, rule, drawn_tree(kind, (2, 1), masked=masked, prune=prune), 3)
        assert_exact(world, rule, drawn_tree(kind, (1, 2), masked=masked, prune=prune), 3)
    for world in WIDER:
        assert_exact(world, rule, drawn_tree(kind, (3,), masked=masked, prune=prune), 2)


@pytest.mark.parametrize(("rule", "kind"), [DRAWN_RULES[0], DRAWN_RULES[2]], ids=["with", "without"])
def test_what_is_drawn_next_may_depend_on_what_was_drawn(rule: Rule[Any], kind: type[DraftTree]) -> None:
    assert_exact(FEW[0], rule, drawn_tree(kind, (3, 1), masked=False, prune=True, adaptive=True), 3)
    assert_exact(WIDER[0], rule, drawn_tree(kind, (3,), masked=False, prune=True, adaptive=True), 3)


@pytest.mark.parametrize("kind", ["fixed", "with", "without"])
def test_drawing_from_the_target_is_exact_for_every_tree(kind: str) -> None:
    for world in [WORLDS[0], FEW[1], WORLDS[5]]:
        if kind == "fixed":
            drafters = [fixed_tree(world.seed, 7, 2)]
        else:
            drawn = DrawnWithReplacement if kind == "with" else DrawnWithoutReplacement
            trees: dict[Any, DraftTree] = {}

            def keep(chance: Chance, world: World = world, drawn: Any = drawn, trees: Any = trees) -> Path:
                tree = drawn_tree(drawn, (2, 1), masked=False)(world, chance)
                trees[tree.tokens.tobytes()] = tree
                return ()

            enumerate_law(keep)  # every tree that may be drawn: the law is the same given each
            drafters = [lambda world, chance, tree=tree: tree for tree in list(trees.values())[::5]]
        for drafter in drafters[:2]:
            law = law_of_numbers(round_of(world, TargetOnly(), drafter), world.num_tokens, 3)
            assert distance(completed(world, law, 3), world.decoding(3)) < 1e-12
            if world.sampling.temperature == 0:
                (text,) = enumerate_law(round_of(world, Greedy(), drafter))
                assert distance(completed(world, {text: 1.0}, 3), world.decoding(3)) == 0


def fused_law(world: World, rule: Rule[Any], drafter: Drafter) -> Law:
    """The law of what the kernel emits: drafts by enumeration, and for each the uniform numbers by bisection.

    The number at a place decides one thing, in intervals of it: which child is kept, or which token is drawn. What it
    decides shows in the text or in how many numbers are taken, whatever the numbers after it are.
    """
    trees: list[DraftTree] = []

    def keep(chance: Chance) -> Path:
        trees.append(drafter(world, chance))
        return (len(trees),)

    weights = enumerate_law(keep)
    law: Law = defaultdict(float)
    for i, tree in enumerate(trees):
        for text, probability in _law_given(world, rule, tree).items():
            law[text] += weights[(i + 1,)] * probability
    return law


def _law_given(world: World, rule: Rule[Any], tree: DraftTree) -> Law:
    law: Law = defaultdict(float)
    size = 2 * tree.num_nodes + 2
    run = round_of(world, rule, lambda world, chance: tree, fused=True)

    def outcome(numbers: list[float]) -> tuple[Path, int]:
        chance = Numbers([*numbers, *[0.5] * (size - len(numbers))])
        text = run(chance)
        return text, size - chance.left

    def split(numbers: list[float], probability: float) -> None:
        text, used = outcome(numbers)
        if used <= len(numbers):
            law[text] += probability
            return
        start, last = 0.0, float(np.nextafter(1.0, 0.0))
        while start < 1.0:
            same = outcome([*numbers, start])
            low, high = start, 1.0
            if outcome([*numbers, last]) == same:
                low = 1.0
            while high - low > 2e-16 and (low + high) / 2 not in (low, high):
                middle = (low + high) / 2
                if outcome([*numbers, middle]) == same:
                    low = middle
                else:
                    high = middle
            split([*numbers, (start + min(low, last)) / 2], probability * (high - start))
            start = high

    split([], 1.0)
    return law


FUSED = [DRAWN_RULES[0], DRAWN_RULES[2]]


@pytest.mark.parametrize(("rule", "kind"), FUSED, ids=["with", "without"])
def test_the_kernel_for_drawn_trees_is_exact(rule: Rule[Any], kind: type[DraftTree]) -> None:
    for world, shape, masked in ((FEW[0], (2,), False), (FEW[1], (2,), True), (WORLDS[3], (1, 1), False)):
        drafter = drawn_tree(kind, shape, masked=masked)
        law = completed(world, fused_law(world, rule, drafter), 2)
        assert distance(law, world.decoding(2)) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize(("rule", "kind"), FUSED, ids=["with", "without"])
@pytest.mark.parametrize("prune", [True, False])
def test_the_kernel_for_drawn_trees_is_exact_in_more_worlds(
    rule: Rule[Any], kind: type[DraftTree], prune: bool
) -> None:
    for world in WORLDS:
        drafter = drawn_tree(kind, (2, 1), masked=False, prune=prune, adaptive=True)
        law = completed(world, fused_law(world, rule, drafter), 3)
        assert distance(law, world.decoding(3)) < 1e-12


@pytest.mark.parametrize(("rule", "kind"), FUSED, ids=["with", "without"])
def test_the_kernel_for_drawn_trees_decides_as_the_rule_does(rule: Rule[Any], kind: type[DraftTree]) -> None:
    """The same numbers, the same rows, tokens, log-probabilities and numbers taken: batches, and several blocks."""
    for seed in range(30):
        rng = np.random.default_rng([seed, kind is DrawnWithReplacement])
        width = int(rng.choice([7, 40, 3000]))
        trees = [_random_tree(rng, kind, width) for _ in range(int(rng.integers(1, 5)))]
        rows = sum(tree.num_nodes + 1 for tree in trees)
        logits = torch.from_numpy(rng.normal(size=(rows, width)).astype(np.float32) * 3)
        masks = rng.integers(-(1 << 31), 1 << 31, size=(4, -(-width // 32))).astype(np.int32)
        masks[0] = 0
        if seed % 5 == 0:
            logits[0, 3] = float("nan")
        ids = rng.integers(-1, 4, size=rows)
        samplings = [SAMPLINGS[int(rng.integers(3))] for _ in trees]
        numbers = [rng.random(100) for _ in trees]
        found = []
        for fused in (True, False):
            chances = [Numbers(each) for each in numbers]
            verified = verify(rule, trees, logits, masks, ids, sampling=samplings, chances=chances, fused=fused)
            found.append([(each.rows.tolist(), each.next_token, chance.left) for each, chance in
                          zip(verified, chances, strict=True)])  # fmt: skip
            found.append([each.logprobs for each in verified])
        assert found[0] == found[2]
        for one, other in zip(found[1], found[3], strict=True):
            assert one == pytest.approx(other, abs=1e-5, nan_ok=True)


def _random_tree(rng: np.random.Generator, kind: type[DraftTree], width: int) -> DraftTree:
    """A drawn tree of up to three levels, sharpened so that some of it is accepted; some rows' children not drawn."""
    tokens, parents, depths, q_rows, q_of_row = [], [], [0], [], [-1]
    row = 0
    while row < len(depths) and len(tokens) < 12:
        if depths[row] < 3:
            q = rng.random(width).astype(np.float32) ** 20
            q /= q.sum()
            count = int(rng.integers(0, 4))
            replace = kind is DrawnWithReplacement
            drawn = rng.choice(width, size=count, replace=replace, p=q.astype(np.float64) / q.astype(np.float64).sum())
            if rng.random() < 0.8:
                q_of_row[row] = len(q_rows)
                q_rows.append(q)
            for token in drawn.tolist():
                tokens.append(token)
                parents.append(row)
                depths.append(depths[row] + 1)
                q_of_row.append(-1)
        row += 1
    return kind(*(np.array(each, np.int32) for each in (tokens, parents, depths[1:])),
                np.array(q_rows, np.float32).reshape(-1, width), np.array(q_of_row, np.int32))  # fmt: skip


# ---- rules that are wrong -------------------------------------------------------------------------------------------
class RawQ(Rejection):
    """Illegal drafts are dropped, and the others tested against q as it was."""

    def _at_row(self, tree: Any, row: int, p: Any, children: Any, chance: Chance) -> tuple[int, int]:
        if tree.q_of_row[row] < 0:
            return chance.draw(p), 0
        q = tree.q_rows[tree.q_of_row[row]].astype(np.float64)
        for child in children:
            token = int(tree.tokens[child - 1])
            if p[token] == 0:
                continue
            if chance.coin(p[token] / q[token]):
                return token, child
            p = np.maximum(p - q, 0)
            p /= p.sum()
        return chance.draw(p), 0


class UnmaskedTest(Rejection):
    """Drafts are tested against the unmasked p; only what is drawn instead is masked."""

    world: World

    def choose(self, p: Any, q: Any, drafted: Any, chance: Chance) -> tuple[int, int]:
        open_p = reference.distribution(self.world.logits(()), np.ones(len(p), bool), 1.0, None, None)
        for index, token in enumerate(drafted):
            if chance.coin(open_p[token] / q[token]):
                return index, token
            open_p = np.maximum(open_p - q, 0)
        rest = np.where(p > 0, open_p, 0)
        return -1, chance.draw(rest if rest.any() else p)


def argmax_draft(world: World, chance: Chance) -> DraftTree:
    """The likeliest token of q, said to have been drawn from q."""
    q = world.q((), True)
    return DrawnWithReplacement(np.array([q.argmax()], np.int32), np.zeros(1, np.int32), np.ones(1, np.int32), q[None],
                                np.array([0, -1], np.int32))  # fmt: skip


def mislabelled(world: World, chance: Chance) -> DraftTree:
    """Drawn without replacement, said to be drawn with it: tested against the original q."""
    tree = drawn_tree(DrawnWithoutReplacement, (2,), masked=True)(world, chance)
    return DrawnWithReplacement(tree.tokens, tree.parents, tree.depths, tree.q_rows, tree.q_of_row)


def unmasked_test_draft(world: World, chance: Chance) -> DraftTree:
    return drawn_tree(DrawnWithReplacement, (2,), masked=True)(world, chance)


def worst_distance(rule: Rejection, drafter: Drafter) -> float:
    """The largest total variation over some worlds."""
    distances = []
    for seed in range(6):
        world = World(seed, 6, Sampling(temperature=1.0))
        rule.__dict__["world"] = world
        law = completed(world, enumerate_law(round_of(world, rule, drafter)), 1)
        distances.append(distance(law, world.decoding(1)))
    return max(distances)


@pytest.mark.parametrize(
    ("wrong", "drafter", "at_least"),
    [
        (RawQ(), drawn_tree(DrawnWithReplacement, (2,), masked=False, prune=True), 0.05),
        (UnmaskedTest(), unmasked_test_draft, 0.05),
        (Rejection(), argmax_draft, 0.2),
        (Rejection(), mislabelled, 0.05),
    ],
    ids=["raw q", "unmasked test", "argmax against softmax", "without replacement against the original q"],
)
def test_plausible_rules_that_are_wrong(wrong: Rejection, drafter: Drafter, at_least: float) -> None:
    assert worst_distance(wrong, drafter) > at_least


def test_k_seq_needs_a_number_of_draws_fixed_beforehand() -> None:
    drafter = drawn_tree(DrawnWithReplacement, (3,), masked=True, adaptive=True)
    assert worst_distance(KSeq(), drafter) > 0.01


# ---- the rest of the contract ---------------------------------------------------------------------------------------
def test_wrong_pairs_of_rule_and_tree_are_refused() -> None:
    trees = [
        fixed_tree(0, 3, 2)(WORLDS[0], Chance()),
        drawn_tree(DrawnWithReplacement, (1,), masked=True)(WORLDS[0], Branches([])),
        drawn_tree(DrawnWithoutReplacement, (1,), masked=True)(WORLDS[0], Branches([])),
    ]
    for tree in trees:
        n = tree.num_nodes + 1
        for rule in (Greedy(), TargetOnly(), *(rule for rule, _ in DRAWN_RULES)):
            arguments = (torch.zeros(n, 3), None, [-1] * n)
            options = {"sampling": Sampling(), "chances": [Branches([])]}
            if isinstance(tree, rule.takes):
                verify(rule, [tree], *arguments, **options)
            else:
                with pytest.raises(TypeError, match=type(rule).__name__):
                    verify(rule, [tree], *arguments, **options)
    assert [rule.takes for rule, _ in DRAWN_RULES] == [kind for _, kind in DRAWN_RULES]
    with pytest.raises(ValueError, match="temperature"):
        verify(Greedy(), trees[:1], torch.zeros(4, 3), None, [-1] * 4, sampling=SAMPLINGS[0], chances=[Chance()])


def test_a_text_depends_on_its_seed_and_not_on_what_was_drafted() -> None:
    world = World(11, 4, Sampling(temperature=1.0))
    for seed in range(20):
        generator = torch.Generator()
        plain, text = Chance(generator.manual_seed(seed)), ()
        while len(text) < 12 and END not in text:
            logits = torch.from_numpy(world.logits(text))[None]
            choice = masked_sample(logits, np.array([[world.mask(text)]], np.int32), [0], uniforms=plain.upcoming(1))
            plain.used(1)
            text = (*text, int(choice.tokens[0]))
        chance, drafted = Chance(torch.Generator().manual_seed(seed)), ()
        rng = np.random.default_rng(seed)
        while len(drafted) < len(text):
            drafter = fixed_tree(int(rng.integers(1000)), int(rng.integers(1, 9)), 3)
            at = drafted

            class Here(World):
                """The world after what was drafted so far."""

                def logits(self, text: Path, at: Path = at) -> np.ndarray:
                    return world.logits((*at, *text))

                def mask(self, text: Path, at: Path = at) -> int:
                    return world.mask((*at, *text))

            emitted = round_of_text(Here(11, 4, world.sampling), drafter, chance)
            drafted = (*drafted, *emitted)
        assert drafted[: len(text)] == text


def round_of_text(world: World, drafter: Drafter, chance: Chance) -> Path:
    """`round_of` for a world whose distributions are not those of its seed."""
    tree = drafter(world, chance)
    texts: list[Path] = [()]
    for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
        texts.append((*texts[parent], token))
    logits = torch.from_numpy(np.stack([world.logits(text) for text in texts]))
    masks = np.array([[0], *([world.mask(text)] for text in texts)], np.int32)
    ids = [i + 1 if world.legal(text) else 0 for i, text in enumerate(texts)]
    (found,) = verify(TargetOnly(), [tree], logits, masks, ids, sampling=world.sampling, chances=[chance])
    text = texts[found.rows[-1]] if len(found.rows) else ()
    return text if found.next_token < 0 else (*text, found.next_token)


@pytest.mark.parametrize("rule", [TargetOnly(), Rejection()], ids=["target", "rejection"])
def test_a_batch_is_its_trees(rule: Rule[Any]) -> None:
    rng = np.random.default_rng(3)
    trees, logits, ids, seeds = [], [], [], []
    for seed in range(5):
        world = World(seed, 5, Sampling(temperature=1.0))
        tree = drawn_tree(DrawnWithReplacement, (2, 2)[: seed % 3], masked=True)(world, Chance(torch.Generator()))
        trees.append(tree)
        logits.append(torch.from_numpy(rng.normal(size=(tree.num_nodes + 1, 5)).astype(np.float32)))
        ids.append(rng.integers(-1, 4, size=tree.num_nodes + 1))
        seeds.append(seed)
    masks = np.array([[0], [31], [0b10110], [0b00011]], np.int32)
    samplings = [Sampling(temperature=t) for t in (1.0, 0.0, 0.5, 2.0, 1.0)]

    def chances() -> list[Chance]:
        return [Chance(torch.Generator().manual_seed(seed)) for seed in seeds]

    together = verify(rule, trees, torch.cat(logits), masks, np.concatenate(ids), sampling=samplings,
                      chances=chances(), with_log_mass=True)  # fmt: skip
    for b, (tree, chance) in enumerate(zip(trees, chances(), strict=True)):
        (alone,) = verify(rule, [tree], logits[b], masks, ids[b], sampling=samplings[b], chances=[chance],
                          with_log_mass=True)  # fmt: skip
        assert together[b].rows.tolist() == alone.rows.tolist()
        assert together[b].next_token == alone.next_token
        assert np.array_equal(together[b].logprobs, alone.logprobs, equal_nan=True)
        assert np.array_equal(together[b].log_mass, alone.log_mass)


@pytest.mark.parametrize("rule", [TargetOnly(), Rejection()], ids=["target", "rejection"])
def test_rows_without_a_token(rule: Rule[Any]) -> None:
    tree = DrawnWithReplacement(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int32), None,
                                np.full(1, -1, np.int32))  # fmt: skip
    for logits, expected in ((torch.zeros(1, 3), -np.inf), (torch.full((1, 3), float("nan")), np.nan)):
        mask = 0 if expected == -np.inf else 7
        (found,) = verify(rule, [tree], logits, np.array([[mask]], np.int32), [0], sampling=Sampling(temperature=1.0),
                          chances=[Chance(torch.Generator())])  # fmt: skip
        assert found.next_token == -1
        assert np.array_equal(found.logprobs, [expected], equal_nan=True)
