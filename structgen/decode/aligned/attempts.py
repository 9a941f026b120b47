"""Attempts: texts on their way from a prefix to an end, several in step.

Four samplers are one walk with two switches. With `use_theta` a token is drawn in proportion to P(t | u) theta(u t),
without to P(t | u), allowed tokens only in either case. With `thin` an attempt goes on at u only with probability
s(u) / b, where s(u) is the sum of those weights and b the bound with which u was drawn: what the mask, or what was
learnt since, has taken away is a rejection.

| | thin: no | thin: yes |
|---|---|---|
| `use_theta`: no | GCD | Rejection |
| `use_theta`: yes | ASAp | CARS |

Why thinning is exact: along the tokens of w the factors are P(t | u) b(u t) / s(u) for a draw and s(u) / b(u) for going
on. All but the first and the last bound cancel, whatever the bounds were at each moment and whoever moved them, and
w comes out with probability P(w) / b(empty prefix). Attempts that begin a round together share that bound, so which of
them succeed says nothing about which texts they give; taken in the order of their numbers, never in the order in
which they end, the accepted ones are independent draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from structgen.decode.aligned.source import Source
from structgen.decode.aligned.space import START, Place, Space
from structgen_kernels.futures import END


@dataclass(eq=False)
class Attempt:
    """A text on its way.

    place: where it stands; carried: log of the bound with which it got there. logp, log_q: log-probabilities of what it
    has drawn, under the model and as drawn. tokens, places, steps, sums: for each draw the token, where it was drawn,
    its log-probability under the model, and the log of the sum of the weights it was drawn from.
    """

    place: Place = START
    carried: float = 0.0
    tokens: list[int] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    logp: float = 0.0
    log_q: float = 0.0
    forward_passes: int = 0
    outcome: Literal["going", "done", "failed"] = "going"


def run(space: Space, source: Source, attempts: Sequence[Attempt], *, use_theta: bool, thin: bool) -> None:
    """Carries every attempt to its end."""
    futures, scratch = space.futures, space.scratch
    going = [each for each in attempts if each.outcome == "going"]
    while going:
        nodes = space.visit([each.place for each in going])
        for each, node in zip(going, nodes, strict=True):
            if each.place in space.asked:
                space.asked.discard(each.place)
                each.forward_passes += 1
            log_sum = futures.weights(node, scratch, use_theta=use_theta)
            if log_sum == -math.inf or (thin and not source.coin(log_sum - each.carried)):
                each.outcome = "failed"
                continue
            edge = space.draw(node, source)
            logp = futures.logp_at(node, edge)
            each.carried = futures.theta_at(node, edge) if use_theta else 0.0
            each.logp += logp
            each.log_q += logp + each.carried - log_sum
            each.tokens.append(futures.token_at(node, edge))
            each.places.append(each.place)
            each.steps.append(logp)
            each.sums.append(log_sum)
            if futures.child_at(node, edge) == END:
                each.outcome = "done"
            else:
                each.place = (node, edge)
        going = [each for each in going if each.outcome == "going"]
    space.settle()
