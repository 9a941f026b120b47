"""Speculation below the samplers: one call into the model also reads what the texts will probably say next.

A sampler draws each token from the model's row itself (weighted as the sampler does), so a drafted prefix can only
save a call, never change a text: that is verification by target-only sampling. Rows of drafted prefixes lie here until
a text gets there. Nothing else looks at them, so texts, weights and tries are those without speculation, number for
number.

Children that a drafter has *drawn* are offered to the first text that draws below their prefix, and taken or replaced
by recursive rejection, which leaves the token's law as it is; they are offered once, so that later texts are
independent.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from structgen.decode.aligned.futures import Floats
from structgen.decode.aligned.model import LanguageModel, Shape
from structgen.decode.aligned.source import Source
from structgen.decode.chance import Chance
from structgen.decode.sampling import Sampling
from structgen.decode.speculation.build import empty_tree, keep_nodes
from structgen.decode.speculation.drafter import Context, Seen
from structgen.decode.speculation.entry import Speculate, plan_of
from structgen.decode.speculation.loop import Plan
from structgen.decode.speculation.offered import Offered, offered_at
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import legal_nodes
from structgen.errors import SpeculationError

if TYPE_CHECKING:
    from structgen.compiler import CompiledGrammar
    from structgen.matcher import Matcher

Prefix = tuple[int, ...]

KEPT_BYTES = 64 << 20
"""Drafted rows that no text has come to, and offers: the oldest go. A row that is gone is asked for again."""
_OPEN_TREES = 256


@dataclass(eq=False)
class _Lane:
    """A text that drafts are made for, and the tree below where it was when the model was asked last.

    token_ids: prompt and text up to the root of the tree; matcher: there. prefixes: of each row of the tree, the root's
    first. logits: float32 [n + 1, V]. path: rows that texts have come to, in order.
    """

    token_ids: list[int]
    num_prompt: int
    matcher: Matcher | None
    state: Any
    tree: DraftTree = field(default_factory=empty_tree)
    prefixes: list[Prefix] = field(default_factory=list)
    logits: Any = None
    path: list[int] = field(default_factory=list)

    @property
    def tip(self) -> int:
        """The row that the text stands at."""
        return self.path[-1] if self.path else 0


class Ahead:
    """Asks a model about prefixes, and about drafted ones beside them.

    Args:
        model: the language model; its `prompt_ids`, where it has them, are what drafters see as the prompt.
        grammar: what drafts must keep to; None (a black box): drafters are not told, and nothing is taken out.
        max_tokens: the longest text.
        ends: tokens that end a text.
        shape: temperature, top-k and top-p, for drafters that draw.
        speculate: as in `generate`: "auto", a drafter or a `Plan`.
        seed: of drafters that draw.
        ask: how the model is asked, [n, V] after n prefixes; None: for its log-probabilities.
    """

    def __init__(
        self,
        model: LanguageModel,
        grammar: CompiledGrammar | None,
        *,
        max_tokens: int,
        ends: frozenset[int],
        shape: Shape,
        speculate: Speculate,
        seed: int | None = None,
        ask: Callable[[Sequence[Prefix]], Any] | None = None,
    ) -> None:
        self.model = model
        self._ask_model: Callable[[Sequence[Prefix]], Any] = ask or model.next_logprobs
        self.plan: Plan = plan_of(speculate)
        if self.plan.drafter.wants_hidden:
            raise SpeculationError(
                f"{type(self.plan.drafter).__name__} needs the model's hidden states, which samplers do not see",
                advice='use another drafter, or speculate="auto"',
            )
        self.draws = self.plan.drafter.kind == "drawn"
        self.num_drafted = 0
        """Prefixes read beside those asked for."""
        self.num_used = 0
        """Of them, those that a text came to."""
        self.forward_calls = 0
        self.fresh: list[tuple[Prefix, Any]] = []
        """Drafted prefixes of the last call, parents first, with their rows as the model gave them."""
        self._grammar = grammar
        self._max_tokens = max_tokens
        self._ends = ends
        self._sampling = Sampling(temperature=shape.temperature, top_k=shape.top_k, top_p=shape.top_p)
        self._prompt = [int(token) for token in getattr(model, "prompt_ids", ())] or sorted(ends)[:1]
        self._generator = np.random.default_rng(None if seed is None else [seed, 1])
        self._rows: OrderedDict[Prefix, Any] = OrderedDict()
        self._offers: OrderedDict[Prefix, tuple[DraftTree, int, list[int]]] = OrderedDict()
        self._at: dict[Prefix, tuple[_Lane, int]] = {}
        self._open: OrderedDict[int, _Lane] = OrderedDict()

    # ---- rows --------------------------------------------------------------------------------------------------

    def rows(self, prefixes: Sequence[Prefix]) -> Any:
        """What the model says after prefixes that texts have come to for the first time: [n, V], as `ask` gives it."""
        self.fresh = []
        found: dict[Prefix, Any] = {}
        for prefix in prefixes:
            row = self._rows.pop(prefix, None)
            if row is not None:
                found[prefix] = row
                self.num_used += 1
                self.reached(prefix)
        missing = [prefix for prefix in prefixes if prefix not in found]
        if missing:
            self._ask(missing, found)
        return np.stack([found[prefix] for prefix in prefixes])

    def reached(self, prefix: Prefix) -> None:
        """A text has come to a drafted prefix."""
        lane, row = self._at.get(prefix, (None, 0))
        if lane is not None and row and int(lane.tree.parents[row - 1]) == lane.tip:
            lane.path.append(row)

    def settle(self) -> None:
        """The texts under way have ended: drafters are told what came of their trees."""
        for lane in list(self._open.values()):
            self._close(lane, [])

    def _ask(self, missing: Sequence[Prefix], found: dict[Prefix, Any]) -> None:
        """The rows of prefixes, and of drafts below them, in one call."""
        started = time.perf_counter()
        lanes = [self._lane(prefix) for prefix in missing]
        drafted: dict[Prefix, None] = {}
        for lane, prefix in zip(lanes, missing, strict=True):
            for each in self._propose(lane, prefix, len(missing)):
                if each not in self._rows:
                    drafted[each] = None
        self.plan.controller.drafted(time.perf_counter() - started, len(missing))
        started = time.perf_counter()
        asked = [*missing, *drafted]
        rows = self._ask_model(asked)
        self.plan.controller.passed(len(asked), len(missing), time.perf_counter() - started)
        self.forward_calls += 1
        self.num_drafted += len(drafted)
        by_prefix = dict(zip(asked, rows, strict=True))
        found.update(zip(missing, rows, strict=False))
        # Copies: a row must not keep the rows it was read with alive.
        self.fresh = [(prefix, by_prefix[prefix].copy()) for prefix in drafted]
        self._rows.update(self.fresh)
        for lane in lanes:
            nothing = np.full(rows.shape[1], -np.inf)  # of drawn nodes that were not worth asking
            told = [by_prefix.get(prefix, self._rows.get(prefix, nothing)) for prefix in lane.prefixes]
            lane.logits = torch.from_numpy(np.stack(told).astype(np.float32))
        most = max(KEPT_BYTES // (rows.itemsize * rows.shape[1]), len(drafted))
        while len(self._rows) > most:
            self._rows.popitem(last=False)
        while len(self._offers) > most:
            self._offers.popitem(last=False)

    # ---- drafts ------------------------------------------------------------------------------------------------

    def _lane(self, prefix: Prefix) -> _Lane:
        """The lane of the text that has come to a prefix: that of the tree it has left, or else a new one."""
        lane, row = self._at.get(prefix[:-1], (None, 0)) if prefix else (None, 0)
        if lane is not None and row == lane.tip:
            self._close(lane, [prefix[-1]])
            return lane
        tokens = [*self._prompt, *prefix]
        matcher = None if self._grammar is None else self._grammar.matcher()
        if matcher is not None:
            for token in prefix:
                matcher.accept_token(token)
        return _Lane(tokens, len(self._prompt), matcher, self.plan.drafter.begin(list(tokens)))

    def _propose(self, lane: _Lane, prefix: Prefix, num_texts: int) -> list[Prefix]:
        """Puts a tree below the lane's text; the prefixes in it that are worth asking about."""
        plan = self.plan
        budget = plan.controller.budget(num_texts)
        max_depth = self._max_tokens - len(prefix)
        tree = empty_tree()
        matcher = lane.matcher if plan.constrain else None
        if budget > 0 and max_depth > 0:
            context = Context(lane.token_ids, lane.num_prompt, matcher, max_depth, self._sampling, self._generator)
            tree = plan.drafter.propose(context, lane.state, budget)
        legal = None
        if lane.matcher is not None and tree.num_nodes:
            legal = legal_nodes(tree, lane.matcher)
        if not self.draws:
            kept = ~np.isin(tree.tokens, list(self._ends))  # below an end there is no row to ask for
            tree, legal = keep_nodes(tree, kept if legal is None else kept & legal), None
            tree = plan.controller.trim(tree, num_texts)
        lane.tree, lane.path, lane.prefixes = tree, [], [prefix]
        self._open[id(lane)] = lane
        self._at[prefix] = (lane, 0)
        worth: list[Prefix] = []
        dead = {-1}
        for i, (token, parent) in enumerate(zip(tree.tokens.tolist(), tree.parents.tolist(), strict=True)):
            longer = (*lane.prefixes[parent], token)
            lane.prefixes.append(longer)
            if parent in dead or token in self._ends or not (legal is None or legal[i]):
                dead.add(i + 1)  # no text comes there; drawn children stay, for the rule must see them
                continue
            worth.append(longer)
            self._at[longer] = (lane, i + 1)
        if self.draws:
            self._offer(lane, dead)
        while len(self._open) > _OPEN_TREES:
            self._close(next(iter(self._open.values())), [])
        return worth

    def _close(self, lane: _Lane, more: list[int]) -> None:
        """The text of a lane went down its tree and, with `more`, beyond: tells the drafter, and moves the lane."""
        self._open.pop(id(lane), None)
        for prefix in lane.prefixes:
            if self._at.get(prefix, (None, 0))[0] is lane:
                del self._at[prefix]
        new = [int(lane.tree.tokens[row - 1]) for row in lane.path] + more
        root = lane.token_ids[-1]
        lane.token_ids.extend(new)
        if lane.matcher is not None:
            for token in new:
                lane.matcher.accept_token(token)
        if lane.logits is None:  # the model has failed
            return
        context = Context(lane.token_ids, lane.num_prompt, None, 0, self._sampling, self._generator)
        seen = Seen(lane.tree, root, lane.path, new, lane.logits, None)
        self.plan.drafter.observe(context, lane.state, seen)
        self.plan.controller.observe(seen)

    # ---- drawn children ----------------------------------------------------------------------------------------

    def _offer(self, lane: _Lane, dead: set[int]) -> None:
        """Notes what was drawn below each prefix of a lane's tree that a text can come to."""
        children: dict[int, list[int]] = {}
        for i, parent in enumerate(lane.tree.parents.tolist()):
            children.setdefault(parent, []).append(i + 1)
        for row, below in children.items():
            if row not in dead:
                self._offers[lane.prefixes[row]] = (lane.tree, row, below)

    def offered(self, prefix: Prefix) -> Offered | None:
        """What was drawn below a prefix, for the one text that takes it."""
        tree, row, below = self._offers.pop(prefix, (None, 0, []))
        return None if tree is None else offered_at(tree, row, below)

    @staticmethod
    def choose(offered: Offered, tokens: npt.NDArray[np.int32], weights: Floats, source: Source) -> int:
        """An index into `tokens` (ascending) drawn in proportion to `weights`: an offered one as often as is exact."""
        p = np.zeros(len(offered.q))
        p[tokens] = weights
        return int(np.searchsorted(tokens, offered.choose(p / p.sum(), _Choices(source))))


class _Choices(Chance):
    """A sampler's source, as verification rules ask for it."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def coin(self, probability: float) -> bool:
        return self._source.coin(math.log(probability) if probability > 0.0 else -math.inf)

    def draw(self, weights: Floats) -> int:
        return self._source.pick(weights)
