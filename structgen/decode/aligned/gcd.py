"""GCD: plain masking, what every constrained decoder does, with the weight that makes up for it."""

from __future__ import annotations

import math

from structgen.decode.aligned import attempts
from structgen.decode.aligned.attempts import Attempt
from structgen.decode.aligned.result import Sample, Samples
from structgen.decode.aligned.sampler import Sampler, Tally


class GCD(Sampler):
    """Grammar-constrained decoding: each token is drawn from the allowed ones.

    Guarantees: every text is in the language. Its law is *not* the aligned law: it is P(w) divided by the product of
    the masses of the masks along w. That product is each sample's `log_weight`, exactly; weighted, samples tend to the
    aligned law, the slower the further the two laws are apart.

    Cost: one forward pass a token, and whatever runs into the length limit.

    Source: the baseline of "Grammar-Aligned Decoding".
    """

    _use_theta = False

    def sample(self, n: int, *, budget: int | None = None) -> Samples:
        """See `Sampler.sample`."""
        tally = Tally(self.space, n, budget)
        found: list[Sample] = []
        tried = passes = 0
        while (status := tally.status(len(found))) is None:
            self.futures.new_round()
            batch = [Attempt() for _ in range(min(self.batch_size, n - len(found)))]
            attempts.run(self.space, self.source, batch, use_theta=self._use_theta, thin=False)
            for each in batch:
                tried, passes = tried + 1, passes + each.forward_passes
                weight = each.logp - each.log_q if each.outcome == "done" else -math.inf
                tally.estimate(weight)
                if each.outcome == "done":
                    found.append(Sample(tuple(each.tokens), each.logp, weight, tried, passes))
                    tried = passes = 0
            tally.attempts += len(batch)
        return tally.samples(found, status)
