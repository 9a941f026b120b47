"""Rejection: let the model write, keep what lies in the language."""

from __future__ import annotations

import math

from structgen.decode.aligned import attempts
from structgen.decode.aligned.attempts import Attempt
from structgen.decode.aligned.result import LogZ, Sample, Samples
from structgen.decode.aligned.sampler import Sampler, Tally


class Rejection(Sampler):
    """Draws from the model and rejects an attempt at the first token that is not allowed.

    Guarantees: samples are independent draws from the aligned law. An attempt is accepted with probability Z.

    Cost: 1 / Z attempts a sample. Nothing is learnt but the rows of the model, so prefixes met before are free.

    Source: textbook; `attempts` says why deciding by the mask's mass is the same as drawing the token and looking.
    """

    _use_theta = False

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """See `Sampler.sample`. Accepted samples beyond n are dropped, those of the highest numbers."""
        tally = Tally(self.space, n, budget)
        found: list[Sample] = []
        outcomes: list[bool] = []
        bounds: list[float] = []
        tried = passes = 0
        while (status := tally.status(len(found))) is None:
            self.futures.new_round()
            bound = self.futures.bracket()[1] if self._use_theta else 0.0
            needed = math.ceil((n - len(found)) * (tally.attempts + 1) / (len(found) + 1))
            batch = [Attempt(carried=bound) for _ in range(min(self.batch_size, needed))]
            attempts.run(self.space, self.source, batch, use_theta=self._use_theta, thin=True)
            for each in batch:
                tried, passes = tried + 1, passes + each.forward_passes
                accepted = each.outcome == "done"
                tally.failures += not accepted
                outcomes.append(accepted)
                bounds.append(bound)
                if accepted:
                    found.append(Sample(tuple(each.tokens), each.logp, 0.0, tried, passes))
                    tried = passes = 0
            tally.attempts += len(batch)
        return tally.samples(found, status, LogZ.of_acceptance(outcomes, bounds, self.futures.bracket()))
