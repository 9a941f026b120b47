"""The speculative loop: draft → prune → one pass over all trees → choose down each tree → keep what was chosen.

Choosing walks down the tree: at every node the text draws its next token just as it would without drafts, under the
same mask and from the same distribution, and goes on while the token drawn is a child that the target has already
read. So the text is that of the plain loop, and the budget law of `Row` holds at every token, because the row takes
every token in the same way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import torch

from structgen.decode.speculation.build import empty_tree, keep_nodes
from structgen.decode.speculation.controllers import Controller
from structgen.decode.speculation.drafter import Context, Drafter, Seen
from structgen.decode.speculation.forward import NO_PARENT, TreeForward
from structgen.decode.speculation.offered import offered_at
from structgen.decode.speculation.text import Text
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import legal_nodes

if TYPE_CHECKING:
    from structgen.decode.speculation.text import RowText
    from structgen.decode.speculation.verifier import Verified, Verifier


@dataclass(frozen=True, slots=True)
class Plan:
    """How to speculate.

    drafter, controller: shared by all texts.
    constrain: whether drafters are told of the grammar, and illegal nodes are taken out before the pass.
    cache: "dynamic" grows; "static" is allocated at once, with room for `static_room` drafted tokens beyond prompt and
        text; "sliding" grows, in the layers that transformers makes for the model's sliding windows.
    """

    drafter: Drafter
    controller: Controller
    constrain: bool = True
    cache: Literal["dynamic", "sliding", "static"] = "dynamic"
    static_room: int = 64


@dataclass(eq=False, slots=True)
class _Track:
    """A text with its drafter's state, and the tree of this step."""

    text: Text
    state: Any
    tree: DraftTree


def run_speculative(
    forward: TreeForward,
    texts: Sequence[Text],
    prefill: Callable[[list[Text]], Any],
    plan: Plan,
    threads: Callable[[], AbstractContextManager[None]] = nullcontext,
    verifier: Verifier | None = None,
) -> Iterator[None]:
    """Decodes all texts to their ends; yields after every pass.

    `prefill` reads the prompts of the texts it is given into `forward` and returns logits [B, 1, V]. `threads` is
    entered around each step. With a `verifier`, which takes `RowText`s only, trees are chosen down in one call.
    """
    going = [text for text in texts if text.open()]
    if not going:
        return
    tracks = [_Track(text, plan.drafter.begin(text.token_ids), empty_tree()) for text in going]
    started = time.perf_counter()
    with torch.inference_mode(), threads():
        logits = prefill(going)
        _take_all(tracks, logits, forward, plan, time.perf_counter() - started, verifier)
    while True:
        yield
        alive = [i for i, track in enumerate(tracks) if track.text.open()]
        if not alive:
            return
        with torch.inference_mode(), threads():
            if len(alive) < len(tracks):
                forward.select(alive)
                tracks = [tracks[i] for i in alive]
            _propose_all(tracks, plan, forward.max_nodes)
            started = time.perf_counter()
            logits = _pass(tracks, forward)
            forward_s = time.perf_counter() - started
            plan.controller.passed(sum(1 + track.tree.num_nodes for track in tracks), len(tracks), forward_s)
            paths = _take_all(tracks, logits, forward, plan, forward_s, verifier)
            forward.commit([[0, *path] for path in paths])


def _propose_all(tracks: list[_Track], plan: Plan, max_appended: int | None) -> None:
    """A tree for each text, within what text and cache have room for; what the grammar forbids is taken out."""
    started = time.perf_counter()
    for track in tracks:
        text = track.text
        budget = plan.controller.budget(len(tracks))
        if max_appended is not None:
            budget = min(budget, max_appended - 1)
        max_depth = text.room - 1
        matcher = text.matcher if plan.constrain else None
        track.tree = empty_tree()
        if budget > 0 and max_depth > 0:
            context = Context(text.token_ids, text.num_prompt, matcher, max_depth, text.sampling, text.generator)
            tree = plan.drafter.propose(context, track.state, budget)
            if plan.drafter.kind == "deterministic":
                if matcher is not None:
                    tree = keep_nodes(tree, legal_nodes(tree, matcher))
                tree = plan.controller.trim(tree, len(tracks))
            track.tree = tree
    plan.controller.drafted(time.perf_counter() - started, len(tracks))


def _pass(tracks: list[_Track], forward: TreeForward) -> Any:
    """Logits [B, 1 + nodes of the largest tree, V]: the last committed tokens and all trees in one pass."""
    width = 1 + max(track.tree.num_nodes for track in tracks)
    tokens = np.zeros((len(tracks), width), np.int64)
    parents = np.full((len(tracks), width), NO_PARENT, np.int64)
    for i, track in enumerate(tracks):
        rows = 1 + track.tree.num_nodes
        tokens[i, 0] = track.text.token_ids[-1]
        tokens[i, 1:rows] = track.tree.tokens
        parents[i, 1:rows] = track.tree.parents
    return forward.append(tokens, parents)


def _take_all(
    tracks: list[_Track],
    logits: Any,
    forward: TreeForward,
    plan: Plan,
    forward_s: float,
    verifier: Verifier | None,
) -> list[list[int]]:
    """Lets every text choose down its tree; the rows accepted, for each."""
    verified = None
    if verifier is not None:
        texts = [track.text for track in tracks]
        verified = verifier(cast("list[RowText]", texts), [track.tree for track in tracks], logits)
    paths = []
    for i, track in enumerate(tracks):
        text, tree = track.text, track.tree
        before = len(text.token_ids)
        path = _descend(text, tree, logits[i], None if verified is None else verified[i])
        paths.append(path)
        text.passed(tree.num_nodes, len(path), forward_s)
        rows = 1 + tree.num_nodes
        context = Context(text.token_ids, text.num_prompt, None, 0, text.sampling, text.generator)
        hidden = forward.last_hidden[i, :rows] if forward.hidden else None
        seen = Seen(tree, text.token_ids[before - 1], path, text.token_ids[before:], logits[i, :rows], hidden)
        plan.drafter.observe(context, track.state, seen)
        plan.controller.observe(seen)
    return paths


def _descend(text: Text, tree: DraftTree, logits: Any, verified: Verified | None) -> list[int]:
    """Chooses tokens from the root down for as long as they are in the tree; the rows of those that are.

    `verified` is what is chosen under the masks of the grammar's states; it holds until the text needs another mask.
    """
    tokens, parents = tree.tokens.tolist(), tree.parents.tolist()
    path: list[int] = []
    row = 0
    while True:
        children = [i + 1 for i, parent in enumerate(parents) if parent == row]
        depth = len(path)
        if verified is not None and depth < len(verified.tokens):
            row_text = cast("RowText", text)
            wanted = verified.tokens[depth]
            token = row_text.take(
                wanted,
                verified.logprobs[depth],
                verified.raw_logprobs[depth],
                verified.num_used[depth],
                logits[row],
            )
            if token != wanted:
                verified = None
        else:
            token = text.choose(logits[row], offered_at(tree, row, children))
        row = next((child for child in children if tokens[child - 1] == token), 0)
        if row == 0:
            return path
        path.append(row)
        if not text.open():
            return path
        if verified is not None and cast("RowText", text).is_closing:
            verified = None
