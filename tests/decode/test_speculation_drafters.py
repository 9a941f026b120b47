"""Laws of trees, drafters and controllers, each on its own."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from decode_schemas import PERSON
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model import make_tiny_model

import structgen
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.build import TreeBuilder, best_first, from_chains, keep_nodes, likeliest
from structgen.decode.speculation.calibration import Calibration
from structgen.decode.speculation.controllers import Fixed, Goodput, StopByRejection
from structgen.decode.speculation.copying import Copy
from structgen.decode.speculation.draft_model import DraftModel
from structgen.decode.speculation.drafter import Context, Drafter, Seen
from structgen.decode.speculation.forced import Forced
from structgen.decode.speculation.layer_skip import LayerSkip, choose_layers, without_layers
from structgen.decode.speculation.mixed import Mixed
from structgen.decode.speculation.outline import Outline
from structgen.decode.speculation.recycling import TokenRecycling, template
from structgen.decode.speculation.sampled import ConstantBranching, StochasticBeam, gumbel_scores
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.trigram import Trigram
from structgen.decode.speculation.walker import legal_nodes
from structgen.errors import SpeculationError


@lru_cache(maxsize=1)
def loaded() -> tuple[Any, Any, structgen.Vocabulary]:
    model, tokenizer = make_tiny_model(seed=0)
    model.set_attn_implementation("sdpa")
    return model, tokenizer, structgen.Vocabulary.from_tokenizer(tokenizer, vocab_size=model.config.vocab_size)


def context_of(text: str, grammar: Any = None, *, max_depth: int = 10, temperature: float = 0.0) -> Context:
    """A text after a prompt `Go`, under a grammar."""
    _, tokenizer, vocab = loaded()
    prompt_ids = tokenizer("Go")["input_ids"]
    tokens = vocab.encode(text)
    matcher = None
    if grammar is not None:
        matcher = grammar.matcher()
        assert all(matcher.accept_token(token) for token in tokens)
    sampling = Sampling(temperature=temperature)
    return Context([*prompt_ids, *tokens], len(prompt_ids), matcher, max_depth, sampling, np.random.default_rng(0))


def grammar() -> Any:
    return structgen.compile_schema(PERSON, loaded()[2])


def paths(tree: DraftTree) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = [()]
    for token, parent in zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True):
        found.append((*found[parent], token))
    return found[1:]


def teach(drafter: Drafter, context: Context, state: Any) -> None:
    """One round with the target's logits after the text, and the text as what was added last."""
    model, _, _ = loaded()
    with torch.inference_mode():
        logits = model(torch.tensor([context.token_ids])).logits[0, -1:]
    tree = TreeBuilder().tree()
    drafter.observe(context, state, Seen(tree, context.token_ids[-1], [], context.token_ids[1:], logits, None))


MAKERS: dict[str, Any] = {
    "forced": Forced,
    "outline": Outline,
    "copy": Copy,
    "recycling": TokenRecycling,
    "trigram": Trigram,
    "draft model": lambda: DraftModel(loaded()[0]),
    "constant": lambda: ConstantBranching(loaded()[0]),
    "independent": lambda: ConstantBranching(loaded()[0], replacement=True),
    "beam": lambda: StochasticBeam(loaded()[0]),
    "layer skip": lambda: LayerSkip(loaded()[0]),
    "mixed": lambda: Mixed([Forced(), Outline(), Copy(), TokenRecycling(), Trigram()]),
}


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("told", [True, False])
def test_proposals_keep_to_their_bounds(name: str, told: bool) -> None:
    drafter = MAKERS[name]()
    assert isinstance(drafter, Drafter)
    nodes = 0
    for text in ("", '{"name": "', '{"name": "a", "age": ', '{"name": "a", "age": 1, "tags": ["a", "a", "'):
        context = context_of(text, grammar() if told else None, max_depth=4)
        before = list(context.token_ids)
        state = drafter.begin(context.token_ids[: context.num_prompt])
        teach(drafter, context, state)
        for budget in (1, 3, 20):
            tree = drafter.propose(context, state, budget)
            nodes += tree.num_nodes
            assert tree.num_nodes <= budget
            assert tree.depths.max(initial=0) <= 4
            depth = [0]
            for parent in tree.parents.tolist():
                assert parent < len(depth), "parents come first"
                depth.append(depth[parent] + 1)
            assert tree.depths.tolist() == depth[1:]
            if told:
                assert legal_nodes(tree, context.matcher).all()  # type: ignore[arg-type]
            if name != "independent":
                assert len(set(paths(tree))) == tree.num_nodes
            assert (tree.q_rows is not None) == (drafter.kind == "drawn" and tree.num_nodes > 0) or tree.num_nodes == 0
        assert context.token_ids == before
    assert nodes > 0 or name == "forced" or (name == "outline" and not told)


# ---- trees ----------------------------------------------------------------------------------------------------------
@st.composite
def trees(draw: st.DrawFn) -> DraftTree:
    builder = TreeBuilder()
    for i in range(draw(st.integers(1, 9))):
        builder.add(draw(st.integers(0, builder.num_nodes)), i, draw(st.floats(0.05, 1.0)))
    return builder.tree()


def _closed(tree: DraftTree, chosen: tuple[int, ...]) -> bool:
    return all(tree.parents[i] == 0 or int(tree.parents[i]) - 1 in chosen for i in chosen)


def _probabilities(tree: DraftTree) -> list[float]:
    found = [1.0]
    assert tree.confidence is not None
    for parent, chance in zip(tree.parents.tolist(), tree.confidence.tolist(), strict=True):
        found.append(found[parent] * chance)
    return found[1:]


@settings(max_examples=30)
@given(trees(), st.integers(1, 9))
def test_the_likeliest_nodes_accept_the_most(tree: DraftTree, count: int) -> None:
    count = min(count, tree.num_nodes)
    probability = _probabilities(tree)
    best = max(
        sum(probability[i] for i in chosen)
        for chosen in itertools.combinations(range(tree.num_nodes), count)
        if _closed(tree, chosen)
    )
    kept = likeliest(tree, count)
    assert kept.num_nodes == count
    assert sum(_probabilities(kept)) == pytest.approx(best, rel=1e-5)
    assert set(paths(kept)) <= set(paths(tree))


@settings(max_examples=30)
@given(trees(), st.data())
def test_a_node_goes_with_its_parent(tree: DraftTree, data: st.DataObject) -> None:
    kept = np.array(data.draw(st.lists(st.booleans(), min_size=tree.num_nodes, max_size=tree.num_nodes)))
    dropped = {path for path, stays in zip(paths(tree), kept, strict=True) if not stays}
    expected = [path for path in paths(tree) if not any(path[: i + 1] in dropped for i in range(len(path)))]
    assert paths(keep_nodes(tree, kept)) == expected


def test_best_first_is_the_likeliest_tree() -> None:
    chances = {0: 0.6, 1: 0.3, 2: 0.1}
    tree = best_first(lambda path: list(chances.items()), 10, 4)
    everything = sorted(
        (
            float(np.prod([chances[token] for token in path]))
            for n in range(1, 5)
            for path in itertools.product(chances, repeat=n)
        ),
        reverse=True,
    )  # fmt: skip
    assert sorted(_probabilities(tree), reverse=True) == pytest.approx(everything[:10], rel=1e-5)


def test_chains_share_their_beginnings() -> None:
    tree = from_chains([[1, 2, 3], [1, 2, 4], [5]], 10)
    assert paths(tree) == [(1,), (1, 2), (1, 2, 3), (1, 2, 4), (5,)]
    assert from_chains([[1, 2, 3], [4]], 2).num_nodes == 2


# ---- drafters -------------------------------------------------------------------------------------------------------
def test_forced_text_stops_one_token_short() -> None:
    _, _, vocab = loaded()
    compiled = structgen.compile_regex("abc(mathematics and poetry)xyz[0-9]", vocab)
    context = context_of("abc", compiled, max_depth=40)
    tree = Forced().propose(context, None, 40)
    assert tree.tokens.tolist() == vocab.encode("mathematics and poetryxyz")[:-1]


def test_outlines_learn_which_branch_is_taken() -> None:
    """White space after a colon is free; after it was taken twice it is drafted."""
    _, _, vocab = loaded()
    drafter = Outline()
    compiled = structgen.compile_schema(
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"age": {"enum": [1, 2]}},
                "required": ["age"],
                "additionalProperties": False,
            },
        },
        vocab,
    )
    text = '[{"age": 1}, {"age": 1}, {"age": 1}, {'
    tokens = vocab.encode(text)
    context = context_of("", compiled)
    state = drafter.begin([])
    drafter.propose(context, state, 8)
    for end in range(1, len(tokens) + 1):
        matcher = compiled.matcher()
        assert all(matcher.accept_token(token) for token in tokens[:end])
        ids = context.token_ids + tokens[:end]
        tree = drafter.propose(Context(ids, 1, matcher, 10, Sampling(), None), state, 20)
    spelled = [vocab.decode(path) for path in paths(tree)]
    assert any(each.startswith(b'"age": ') for each in spelled), spelled


def test_copies_are_what_followed() -> None:
    context = Context([1, 2, 3, 4, 5, 9, 2, 3], 8, None, 10, Sampling(), None)
    drafter = Copy(copies=1)
    tree = drafter.propose(context, drafter.begin([]), 3)
    assert tree.tokens.tolist() == [4, 5, 9]


def test_recycling_remembers_the_runners_up() -> None:
    drafter = TokenRecycling()
    logits = torch.tensor([[0.0, 5.0, 1.0, 4.0, 2.0, 3.0, -1.0, -2.0, -3.0, -4.0]])
    context = Context([0], 1, None, 3, Sampling(), None)
    drafter.observe(context, None, Seen(TreeBuilder().tree(), 0, [], [1], logits, None))
    tree = drafter.propose(context, None, 80)
    assert [path[0] for path in paths(tree) if len(path) == 1] == [1, 3, 5, 4, 2, 0, 6, 7]
    assert (0, 1) in paths(tree)  # token 0 may follow itself, and what follows it is known
    assert len(template()) == 80
    assert all(path[:-1] in ((), *template()) for path in template())


def test_trigrams_follow_the_text() -> None:
    drafter = Trigram()
    tokens = [1, 2, 3, 1, 2, 3, 1, 2]
    tree = drafter.propose(Context(tokens, 8, None, 3, Sampling(), None), drafter.begin(tokens), 3)
    assert paths(tree)[:2] == [(3,), (3, 1)]


def test_draws_are_without_replacement() -> None:
    """The order of Gumbel scores has the law of draws without replacement, by frequencies."""
    q = np.array([0.5, 0.3, 0.2, 0.0], np.float32)
    generator = np.random.default_rng(0)
    n = 4000
    seen = Counter(tuple(np.argsort(-gumbel_scores(q, generator))[:2].tolist()) for _ in range(n))
    for a, b in itertools.permutations(range(3), 2):
        expected = q[a] * q[b] / (1 - q[a])
        assert abs(seen[a, b] / n - expected) < 5 * (expected / n) ** 0.5


@pytest.mark.parametrize("name", ["constant", "beam"])
def test_q_is_the_masked_draft_distribution(name: str) -> None:
    model, _, _ = loaded()
    drafter = MAKERS[name]()
    context = context_of('{"name": "a", "age": ', grammar(), temperature=0.7)
    tree = drafter.propose(context, drafter.begin([]), 12)
    assert tree.q_rows is not None
    for row, path in enumerate([(), *paths(tree)]):
        if tree.q_of_row[row] < 0:
            continue
        matcher = context.matcher.fork()  # type: ignore[union-attr]
        assert all(matcher.accept_token(token) for token in path)
        bitmask = np.zeros((1, matcher.grammar.vocab.num_words), np.int32)
        matcher.fill_next_token_bitmask(bitmask)
        allowed = np.unpackbits(bitmask.view(np.uint8), bitorder="little")[: model.config.vocab_size].astype(bool)
        with torch.inference_mode():
            logits = model(torch.tensor([[*context.token_ids, *path]])).logits[0, -1]
        expected = torch.softmax(logits.masked_fill(torch.from_numpy(~allowed), -torch.inf) / 0.7, -1)
        np.testing.assert_allclose(tree.q_rows[tree.q_of_row[row]], expected.numpy(), atol=1e-5)


def test_a_draft_model_that_catches_up_drafts_as_a_fresh_one() -> None:
    """Also where part of the last tree became text, and where none did."""
    _, _, vocab = loaded()
    drafter = MAKERS["draft model"]()
    state = drafter.begin([])
    text = vocab.encode('{"name": "Ada", "age": 36}')
    for end in (0, 1, 2, 5, 6, 9):
        ids = [7, 8, 9, *text[:end]]
        context = Context(ids, 3, None, 6, Sampling(), None)
        tree = drafter.propose(context, state, 12)
        fresh = drafter.propose(context, drafter.begin([]), 12)
        assert paths(tree) == paths(fresh)
        if end == 5:  # the first drafted path comes true
            ids = [*ids, *max(paths(tree), key=len), 5]
            context = Context(ids, 3, None, 6, Sampling(), None)
            assert paths(drafter.propose(context, state, 12)) == paths(drafter.propose(context, drafter.begin([]), 12))
            state = drafter.begin([])


def test_skipping_no_layer_changes_nothing() -> None:
    model, _, _ = loaded()
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        whole = model(ids).logits
        torch.testing.assert_close(without_layers(model, (0, 1))(ids).logits, whole)
        assert not torch.allclose(without_layers(model, (1,))(ids).logits, whole)
        torch.testing.assert_close(model(ids).logits, whole)
    assert choose_layers(model, 2, [5, 6, 7]) == (0, 1)
    with pytest.raises(ValueError, match="layers to keep"):
        without_layers(model, (1, 0))
    with pytest.raises(SpeculationError, match="were not found"):
        without_layers(torch.nn.Linear(1, 1), (0,))


# ---- controllers ----------------------------------------------------------------------------------------------------
def test_calibration_comes_to_the_truth() -> None:
    calibration = Calibration()
    said = np.full(400, 0.9, np.float32)
    calibration.observe(said, np.arange(400) % 4 == 0)
    assert calibration(np.array([0.9], np.float32))[0] == pytest.approx(0.25, abs=0.03)
    assert calibration(np.array([0.2], np.float32))[0] == pytest.approx(0.2)


def _chain(confidence: float, length: int = 8) -> DraftTree:
    return from_chains([list(range(length))], length, [confidence])


def test_stop_by_rejection() -> None:
    stop = StopByRejection(0.5)
    assert stop.trim(_chain(0.9), 1).num_nodes == 6  # 0.9^6 is the last power above a half
    assert stop.trim(_chain(0.4), 1).num_nodes == 0
    assert Fixed(3).trim(_chain(0.1), 1).num_nodes == 8


@pytest.mark.parametrize(("right", "wanted"), [(True, range(6, 9)), (False, range(2))])
def test_goodput_finds_what_pays(right: bool, wanted: range) -> None:
    """A pass costs 10 ms and 2 ms a token, a draft nothing: chains that are right are worth it, others are not."""
    goodput = Goodput(8)
    for _ in range(60):
        tree = _chain(0.5)
        goodput.budget(1)
        goodput.drafted(1e-6, 1)
        for size in (1, 1 + goodput.trim(tree, 1).num_nodes):
            goodput.passed(size, 1, 0.010 + 0.002 * size)
        path = list(range(1, 9)) if right else []
        goodput.observe(Seen(tree, 0, path, [0], None, None))
    assert goodput.trim(_chain(0.5), 1).num_nodes in wanted


def test_goodput_gives_up_and_looks_again() -> None:
    """Drafting that costs more than it saves is left, and tried again now and then."""
    goodput = Goodput(8)
    budgets = []
    for _ in range(120):
        budgets.append(goodput.budget(1))
        goodput.drafted(0.05 if budgets[-1] else 0.0, 1)
        goodput.passed(1, 1, 0.01)
        goodput.observe(Seen(_chain(0.5) if budgets[-1] else TreeBuilder().tree(), 0, [], [0], None, None))
    assert budgets[0] == 8
    assert 0 < sum(map(bool, budgets[60:])) < 10
