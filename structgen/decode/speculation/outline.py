"""The outline of a text: what the grammar leaves little choice about, with the choices it does leave.

Strictly forced text is short where white space is free or the next key is one of several, or any. Here the grammar's
own branches are followed as long as few bytes may come, and what was chosen at such places before says which branch is
likely: that a space follows a colon, say, and that a comma follows a value more often than a brace. (DOMINO,
"Guiding LLMs The Right Way: Fast, Non-Invasive Constrained Generation", learns such counts on grammar states.) Where a
key comes, those that the schema declares are likely, the next one most of all, even if any other is allowed.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from structgen.decode.speculation.build import Path, TreeBuilder, empty_tree
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.names import Names, Where
from structgen.decode.speculation.tree import DraftTree
from structgen.errors import TokenizerError

if TYPE_CHECKING:
    from structgen.matcher import Matcher

LAST_TOKEN = 0.6
"""Confidence that the last token of an outline is not the beginning of a longer one."""
RANKS = (4.0, 1.0, 0.6, 0.4, 1.0)
"""How often a key was the next one declared, the one after it, …, and none of them, before any was seen."""
MAX_RANK, OTHER = 3, -1
MAX_NAMES, MAX_TOKENS = 6, 6


@dataclass
class OutlineState:
    """A matcher behind the text, how many tokens of the text it has read (None before the first proposal), and where in
    JSON that is."""

    matcher: Matcher | None = None
    num_read: int = 0
    where: Where = field(default_factory=Where)
    names: Names | None = None


class Outline:
    """Proposes the likeliest outlines, as the tokenizer spells them. Nothing without a grammar.

    At a place with more than `max_choices` possible bytes an outline goes on with keys that the schema declares and
    with tokens that were frequent at such places, and else ends; so do `max_bytes` bytes, or a probability below
    `least`. At most `max_texts` outlines are proposed, and `max_steps` bytes tried.
    """

    kind: Kind = "deterministic"
    wants_hidden = False

    def __init__(
        self,
        *,
        max_choices: int = 24,
        max_bytes: int = 64,
        max_texts: int = 12,
        max_steps: int = 160,
        least: float = 0.02,
    ) -> None:
        self.max_choices, self.max_bytes, self.max_texts = max_choices, max_bytes, max_texts
        self.max_steps, self.least = max_steps, least
        self._chosen: defaultdict[tuple[bytes, bytes], Counter[int]] = defaultdict(Counter)
        self._ranks = [list(RANKS), list(RANKS)]  # of the keys that came, in an object's beginning and later
        self._tokens: defaultdict[tuple[bytes, bool, bool], Frequent] = defaultdict(Frequent)

    def begin(self, prompt_ids: list[int]) -> OutlineState:
        """A state that will follow the text."""
        return OutlineState()

    def propose(self, context: Context, state: OutlineState, budget: int) -> DraftTree:
        """Outlines, the likeliest first."""
        if context.matcher is None:
            return empty_tree()
        self._learn(context, state)
        return self._outlines(context, context.matcher, state.where, state.names, budget)

    def extend(self, context: Context, state: OutlineState, path: Path, budget: int) -> DraftTree:
        """Outlines below drafted tokens."""
        if context.matcher is None or len(path) >= context.max_depth:
            return empty_tree()
        matcher = context.matcher.fork()
        if not all(map(matcher.accept_token, path)) or matcher.is_terminated():
            return empty_tree()
        drafted = b"".join(map(matcher.grammar.vocab.token_bytes, path))
        further = replace(context, token_ids=list(path), max_depth=context.max_depth - len(path))
        return self._outlines(further, matcher, state.where.after(drafted), state.names, budget)

    def observe(self, context: Context, state: OutlineState, seen: Seen) -> None:
        """The text itself is read on the next proposal."""

    def _outlines(
        self, context: Context, matcher: Matcher, where: Where, names: Names | None, budget: int
    ) -> DraftTree:
        vocab = matcher.grammar.vocab
        builder = TreeBuilder()
        before = vocab.token_bytes(context.token_ids[-1])[-1:] if context.token_ids else b""
        for text, places in self._search(matcher, before, where, names):
            try:
                tokens = vocab.encode(text)
            except TokenizerError:  # a vocabulary without single bytes, and a text that ends inside a token
                continue
            row, end, so_far = 0, 0, 1.0
            for depth, token in enumerate(tokens[: context.max_depth]):
                end += len(vocab.token_bytes(token))
                reached = min(chance for at, chance in places if at <= end)
                given = min(reached / so_far, 1.0) if so_far else 0.0
                so_far = reached
                if depth == len(tokens) - 1:
                    given *= LAST_TOKEN
                if builder.num_nodes >= budget:
                    return builder.tree()
                row = builder.add(row, token, given)
        return builder.tree()

    def _search(
        self, matcher: Matcher, before: bytes, where: Where, names: Names | None
    ) -> list[tuple[bytes, list[tuple[int, float]]]]:
        """(text, [(byte offset, probability up to there)]), the likeliest first."""
        found: list[tuple[bytes, list[tuple[int, float]]]] = []
        queue: list[tuple[float, bytes, list[tuple[int, float]]]] = [(-1.0, b"", [(0, 1.0)])]
        steps = 0
        fork = matcher.fork()
        at = b""
        while queue and len(found) < self.max_texts and steps < self.max_steps:
            negated, text, places = heapq.heappop(queue)
            fork, at = _moved(matcher, fork, at, text)
            probability = -negated
            while True:
                steps += 1
                allowed = fork.allowed_bytes()
                if not allowed or len(text) >= self.max_bytes or fork.is_accepting():
                    break
                if len(allowed) > 1:
                    branches = self._branches(fork, (at or before)[-1:], allowed, where, at, names)
                    steps += len(branches)
                    pushed = False
                    for more, chance in branches:
                        reached = probability * chance
                        if reached >= self.least:
                            after, pushed = text + more, True
                            heapq.heappush(queue, (-reached, after, [*places, (len(after), reached)]))
                    text = b"" if pushed else text
                    break
                fork.accept_bytes(allowed)
                text = at = text + allowed
            if text:
                found.append((text, places))
        return found

    def _branches(
        self, fork: Matcher, before: bytes, allowed: bytes, where: Where, at: bytes, names: Names | None
    ) -> list[tuple[bytes, float]]:
        """How the text may go on where it has a choice: (bytes, probability), each of them legal."""
        branches: list[tuple[bytes, float]] = []
        left = 1.0
        wide = len(allowed) > self.max_choices
        here = where.after(at) if names or wide else where
        if names:
            candidates = names.candidates(here)
            if candidates:
                ranks = self._ranks[bool(here.keys and here.keys[-1])]
                weights = [ranks[min(rank, MAX_RANK)] for rank, _ in candidates]
                total = sum(weights) + ranks[OTHER]
                for (_, rest), weight in zip(candidates[:MAX_NAMES], weights, strict=False):
                    if fork.accept_bytes(rest):
                        fork.rollback(1)
                        branches.append((rest, weight / total))
                        left -= weight / total
        if wide:
            for data, chance in self._tokens[_place(allowed, here)].likeliest():
                if left * chance >= self.least and fork.accept_bytes(data):
                    fork.rollback(1)
                    branches.append((data, left * chance))
        else:
            firsts = {rest[0] for rest, _ in branches}
            branches += [
                (bytes((byte,)), left * chance) for byte, chance in self._chances(before, allowed) if byte not in firsts
            ]
        return branches

    def _chances(self, before: bytes, allowed: bytes) -> list[tuple[int, float]]:
        """What was chosen where the same bytes were allowed after the same byte; evenly where that never was."""
        counted = self._chosen.get((before, allowed))
        if counted is None:
            return [(byte, 1.0 / len(allowed)) for byte in allowed]
        total = counted.total() + 0.5
        return [(byte, (counted[byte] + 0.5 / len(allowed)) / total) for byte in allowed]

    def _learn(self, context: Context, state: OutlineState) -> None:
        """Reads the new tokens byte by byte and counts what was chosen where there was a choice."""
        assert context.matcher is not None
        tokens, grammar = context.token_ids, context.matcher.grammar
        vocab = grammar.vocab
        if state.matcher is None or state.num_read > len(tokens):
            state.matcher, state.num_read = context.matcher.fork(), len(tokens)
            state.names = None if grammar.schema is None else Names(grammar.schema)
            state.where = Where().after(b"".join(map(vocab.token_bytes, tokens[context.num_prompt :])))
            return
        for i in range(state.num_read, len(tokens)):
            before = vocab.token_bytes(tokens[i - 1])[-1:] if i else b""
            allowed = state.matcher.allowed_bytes()
            if len(allowed) > self.max_choices:
                self._tokens[_place(allowed, state.where)].add(vocab.token_bytes(tokens[i]))
            for byte in vocab.token_bytes(tokens[i]):
                allowed = state.matcher.allowed_bytes()
                if 1 < len(allowed) <= self.max_choices:
                    self._chosen[before, allowed][byte] += 1
                before = bytes((byte,))
                after = state.where.after(before)
                if state.names and state.where.string is not None and after.string is None and state.where.is_key:
                    self._count_key(state.names, state.where)
                state.where = after
                if not state.matcher.accept_bytes(before):
                    break
        # byte steps pile up in the history of a matcher; the context's own has tokens only
        state.matcher, state.num_read = context.matcher.fork(), len(tokens)

    def _count_key(self, names: Names, where: Where) -> None:
        """A key has come: notes its rank among those that were declared."""
        written = (where.string or b"") + b'"'
        candidates = names.candidates(where._replace(string=b""))
        if candidates:
            rank = next((rank for rank, name in candidates if name == written), OTHER)
            self._ranks[bool(where.keys and where.keys[-1])][min(rank, MAX_RANK) if rank >= 0 else OTHER] += 1.0


def _place(allowed: bytes, where: Where) -> tuple[bytes, bool, bool]:
    """What places of many choices have in common: what may come, whether a string begins, whether it is a key."""
    return allowed, where.string == b"", where.is_key


class Frequent:
    """Counts of texts, and the most frequent of them, which are found again as the counts grow by a tenth."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._total = 0
        self._known_at = 0
        self._known: list[tuple[bytes, float]] = []

    def add(self, text: bytes) -> None:
        """Counts one."""
        if text:
            self._counts[text] += 1
            self._total += 1

    def likeliest(self) -> list[tuple[bytes, float]]:
        """(text, frequency) of the most frequent."""
        if self._total * 10 > self._known_at * 11:
            self._known_at = self._total
            self._known = [(text, n / (self._total + 2)) for text, n in self._counts.most_common(MAX_TOKENS)]
        return self._known


def _moved(matcher: Matcher, fork: Matcher, at: bytes, text: bytes) -> tuple[Matcher, bytes]:
    """A matcher after `text`: the fork if it only has to go on, else a new one."""
    if text[: len(at)] == at:
        fork.accept_bytes(text[len(at) :])
        return fork, text
    fork = matcher.fork()
    fork.accept_bytes(text)
    return fork, text
