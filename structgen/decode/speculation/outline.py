"""The outline of a text: what the grammar leaves little choice about, with the choices it does leave.

Strictly forced text is short where white space is free or the next key is one of several. Here the grammar's own
branches are followed as long as few bytes may come, and what was chosen at such places before says which branch is
likely: that a space follows a colon, say, and that a comma follows a value more often than a brace. (DOMINO,
"Guiding LLMs The Right Way: Fast, Non-Invasive Constrained Generation", learns such counts on grammar states.)
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from structgen.decode.speculation.build import TreeBuilder, empty_tree
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.errors import TokenizerError

if TYPE_CHECKING:
    from structgen.matcher import Matcher

LAST_TOKEN = 0.6
"""Confidence that the last token of an outline is not the beginning of a longer one."""


@dataclass
class OutlineState:
    """A matcher behind the text, and how many tokens of the text it has read; None before the first proposal."""

    matcher: Matcher | None = None
    num_read: int = 0


class Outline:
    """Proposes the likeliest outlines, as the tokenizer spells them. Nothing without a grammar.

    A place with more than `max_choices` possible bytes ends an outline; so do `max_bytes` bytes, or a probability below
    `least`. At most `max_texts` outlines are proposed, and `max_steps` bytes tried.
    """

    kind: Kind = "deterministic"
    wants_hidden = False

    def __init__(
        self,
        *,
        max_choices: int = 12,
        max_bytes: int = 64,
        max_texts: int = 6,
        max_steps: int = 160,
        least: float = 0.04,
    ) -> None:
        self.max_choices, self.max_bytes, self.max_texts = max_choices, max_bytes, max_texts
        self.max_steps, self.least = max_steps, least
        self._chosen: defaultdict[tuple[bytes, bytes], Counter[int]] = defaultdict(Counter)

    def begin(self, prompt_ids: list[int]) -> OutlineState:
        """A state that will follow the text."""
        return OutlineState()

    def propose(self, context: Context, state: OutlineState, budget: int) -> DraftTree:
        """Outlines, the likeliest first."""
        if context.matcher is None:
            return empty_tree()
        self._learn(context, state)
        vocab = context.matcher.grammar.vocab
        builder = TreeBuilder()
        before = vocab.token_bytes(context.token_ids[-1])[-1:] if context.token_ids else b""
        for text, places in self._search(context.matcher, before):
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

    def observe(self, context: Context, state: OutlineState, seen: Seen) -> None:
        """The text itself is read on the next proposal."""

    def _search(self, matcher: Matcher, before: bytes) -> list[tuple[bytes, list[tuple[int, float]]]]:
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
                ends = fork.is_accepting()
                if not allowed or len(allowed) > self.max_choices or len(text) >= self.max_bytes or ends:
                    break
                if len(allowed) > 1:
                    chances = self._chances((at or before)[-1:], allowed)
                    for byte, chance in chances:
                        if probability * chance >= self.least:
                            after = text + bytes((byte,))
                            reached = probability * chance
                            heapq.heappush(queue, (-reached, after, [*places, (len(after), reached)]))
                    text = b""
                    break
                fork.accept_bytes(allowed)
                text = at = text + allowed
            if text:
                found.append((text, places))
        return found

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
        tokens = context.token_ids
        if state.matcher is None or state.num_read > len(tokens):
            state.matcher, state.num_read = context.matcher.fork(), len(tokens)
            return
        vocab = context.matcher.grammar.vocab
        for i in range(state.num_read, len(tokens)):
            before = vocab.token_bytes(tokens[i - 1])[-1:] if i else b""
            for byte in vocab.token_bytes(tokens[i]):
                allowed = state.matcher.allowed_bytes()
                if 1 < len(allowed) <= self.max_choices:
                    self._chosen[before, allowed][byte] += 1
                before = bytes((byte,))
                if not state.matcher.accept_bytes(before):
                    break
        # byte steps pile up in the history of a matcher; the context's own has tokens only
        state.matcher, state.num_read = context.matcher.fork(), len(tokens)


def _moved(matcher: Matcher, fork: Matcher, at: bytes, text: bytes) -> tuple[Matcher, bytes]:
    """A matcher after `text`: the fork if it only has to go on, else a new one."""
    if text[: len(at)] == at:
        fork.accept_bytes(text[len(at) :])
        return fork, text
    fork = matcher.fork()
    fork.accept_bytes(text)
    return fork, text
