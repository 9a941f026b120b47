"""Trained heads: a small network on the target's last hidden state drafts, with the target's own output embeddings.

`HeadDrafter` is the protocol's form for heads of the Medusa, Hydra and EAGLE kind: it asks the loop for hidden states
(`wants_hidden`), keeps that of the place where the last token was chosen, and grows a best-first tree of what the head
says. `HydraHead` is one such head, after "Hydra: Sequentially-Dependent Draft Heads for Medusa Decoding": each step
depends on the token drafted before it. It is recurrent, one set of weights for all depths.

`train_head` makes one for a model from texts, in minutes for a small model; the embedded target's is in the package
(`structgen.embedded.head_path`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch.nn import functional

from structgen.decode.speculation.build import Path, best_first, empty_tree
from structgen.decode.speculation.drafter import Context, Kind, Seen
from structgen.decode.speculation.tree import DraftTree
from structgen.decode.speculation.walker import Walker
from structgen.errors import SpeculationError


class Head(Protocol):
    """What drafts from hidden states."""

    def __call__(self, hidden: Any, embedding: Any) -> Any:
        """The hidden state [..., H] expected after a token with this embedding [..., H], from the one before it."""


class HydraHead(torch.nn.Module):  # type: ignore[misc]
    """Two linear layers on (hidden state, embedding of the next token), added to the hidden state."""

    def __init__(self, hidden_size: int, width: int | None = None) -> None:
        super().__init__()
        self.inner = torch.nn.Linear(2 * hidden_size, width or hidden_size)
        self.outer = torch.nn.Linear(width or hidden_size, hidden_size)
        torch.nn.init.zeros_(self.outer.weight)
        torch.nn.init.zeros_(self.outer.bias)

    def forward(self, hidden: Any, embedding: Any) -> Any:
        """See `Head`."""
        return hidden + self.outer(functional.silu(self.inner(torch.cat((hidden, embedding), -1))))


@dataclass
class HeadState:
    """The target's hidden state [H] where it chose the last token; None before the first pass."""

    hidden: Any = None


class HeadDrafter:
    """Best-first trees of a head's likeliest tokens, `branching` candidates below each; `least` as in `DraftModel`."""

    kind: Kind = "deterministic"
    wants_hidden = True

    def __init__(self, model: Any, head: Head, *, branching: int = 3, least: float = 0.03) -> None:
        """`model` is the target: its embeddings and its output layer are used."""
        if model.get_output_embeddings() is None:
            raise SpeculationError(
                f"{type(model).__name__} has no output layer to draft with", advice="another drafter"
            )
        self._embed, self._unembed, self._head = model.get_input_embeddings(), model.get_output_embeddings(), head
        self.branching, self.least = branching, least

    def begin(self, prompt_ids: list[int]) -> HeadState:
        """Nothing is known before the first pass."""
        return HeadState()

    def propose(self, context: Context, state: HeadState, budget: int) -> DraftTree:
        """Nodes in the order of their probability."""
        if state.hidden is None:
            return empty_tree()
        walker = Walker(context.matcher)
        known: dict[Path, Any] = {}

        def children(path: Path) -> list[tuple[int, float]]:
            before = known[path[:-1]] if path else state.hidden
            token = torch.tensor(path[-1] if path else context.token_ids[-1], device=before.device)
            known[path] = self._head(before, self._embed(token))
            if not walker.go(path):
                return []
            logits = self._unembed(known[path]).float()
            mask = walker.mask(logits.shape[-1])
            if mask is not None:
                if not mask.any():
                    return []
                logits = logits.masked_fill(~torch.from_numpy(mask).to(logits.device), -torch.inf)
            chances, tokens = torch.topk(torch.softmax(logits, -1), min(self.branching, logits.shape[-1]))
            return [(t, p) for t, p in zip(tokens.tolist(), chances.tolist(), strict=True) if p > 0]

        with torch.inference_mode():
            return best_first(children, budget, context.max_depth, least=self.least)

    def observe(self, context: Context, state: HeadState, seen: Seen) -> None:
        """Keeps the hidden state of the row where the last token was chosen."""
        state.hidden = seen.hidden[seen.path[-1] if seen.path else 0]


def save_head(head: HydraHead, path: str | os.PathLike[str], *, dtype: Any = torch.bfloat16) -> None:
    """Writes a head's weights as safetensors."""
    from safetensors.torch import save_file

    save_file(
        {name: value.detach().to(dtype).contiguous() for name, value in head.state_dict().items()}, os.fspath(path)
    )


def load_head(path: str | os.PathLike[str], model: Any) -> HydraHead:
    """The head that `save_head` wrote, on the device and in the type of the model it was trained for.

    Raises `SpeculationError` if it was trained for a model of another width.
    """
    from safetensors.torch import load_file

    weights = load_file(os.fspath(path))
    embed = model.get_input_embeddings().weight
    hidden_size, width = weights["outer.weight"].shape
    if hidden_size != embed.shape[1]:
        raise SpeculationError(
            f"the head is for hidden states of {hidden_size}, the model has {embed.shape[1]}",
            advice="train_head makes one for this model",
        )
    head = HydraHead(hidden_size, width).to(device=embed.device, dtype=embed.dtype)
    head.load_state_dict(weights)
    return _finished(head)


def train_head(
    model: Any,
    texts: Sequence[Sequence[int]],
    *,
    steps: int,
    starts: Sequence[int] | None = None,
    batch: int = 1,
    width: int | None = None,
    depth: int = 3,
    lr: float = 2e-3,
    seed: int = 0,
    deadline_s: float | None = None,
    said: Callable[[int, float], None] = lambda step, loss: None,
) -> HydraHead:
    """A head that says what `model` says, up to `depth` tokens ahead, learnt from token ids of texts.

    The loss is the cross entropy to the model's own distribution at each of the depths, the drafted tokens being those
    of the text. The model is not changed. A step sees `batch` texts; `starts` says where in each text the part begins
    that is to be learnt (a prompt goes before it). `deadline_s` is of processor time: the steps that are left then are
    not made, and the learning rate, which falls to nothing, falls with the time that is gone. `said(step, loss in nats
    a token)` is called after each step.
    """
    begins = [1] * len(texts) if starts is None else list(starts)
    usable = [(list(text), begin) for text, begin in zip(texts, begins, strict=True) if len(text) > depth + begin]
    if not usable:
        raise ValueError(f"no text has more than {depth + 1} tokens")
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    embed = model.get_input_embeddings()
    head = HydraHead(embed.weight.shape[1], width)
    head.to(device=embed.weight.device, dtype=embed.weight.dtype)
    optimizer = torch.optim.AdamW(head.parameters(), lr=lr)
    started = time.process_time()
    for step in range(steps):
        gone = step / steps
        if deadline_s is not None:
            gone = max(gone, (time.process_time() - started) / deadline_s)
            if gone >= 1.0:
                break
        for group in optimizer.param_groups:
            group["lr"] = lr * (1.0 - gone)
        total = 0.0
        for chosen in torch.randint(len(usable), (batch,), generator=generator).tolist():
            text, begin = usable[chosen]
            loss = _loss(model, head, text, begin, depth)
            (loss / batch).backward()
            total += float(loss.detach()) / batch
        optimizer.step()
        optimizer.zero_grad()
        said(step, total)
    model.zero_grad(set_to_none=True)
    return _finished(head)


def _loss(model: Any, head: HydraHead, text: list[int], begin: int, depth: int) -> Any:
    """Nats a token, a mean over the depths, of what follows the first `begin` tokens."""
    unembed = model.get_output_embeddings()
    ids = torch.tensor([text], device=unembed.weight.device)
    with torch.no_grad():
        output = model(input_ids=ids, output_hidden_states=True, use_cache=False)
        first, end = begin - 1, len(text) - depth
        taught = torch.softmax(output.logits[0, first:].float(), -1)
        embedded = model.get_input_embeddings()(ids[0, first:])
        state = output.hidden_states[-1][0, first:end]
    count = end - first
    loss = torch.zeros((), device=state.device)
    for ahead in range(1, depth + 1):
        state = head(state, embedded[ahead : ahead + count])
        loss = loss + functional.cross_entropy(unembed(state).float(), taught[ahead : ahead + count])
    return loss / depth


def _finished(head: HydraHead) -> HydraHead:
    for parameter in head.parameters():
        parameter.requires_grad_(False)
    head.eval()
    return head
