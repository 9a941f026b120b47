"""ASAp: masking that takes into account what earlier samples showed."""

from __future__ import annotations

from structgen.decode.aligned.gcd import GCD


class ASAp(GCD):
    """Adaptive sampling with approximate expected futures: tokens are drawn in proportion to P(t | u) theta(u t).

    Guarantees: every text is in the language, and the law of the next text tends to the aligned law as the trie fills;
    once all of it is visited they are equal. Before that a sample is biased towards what has not been visited, and
    neither independent nor identically distributed; `log_weight`, P(w) over the probability with which w was drawn,
    makes up for it exactly, and its mean is an unbiased estimate of Z.

    Cost: at most one forward pass a token, none for prefixes met before, memory for every prefix visited; an update
    is linear in the allowed tokens. Text cut at the length limit is charged to theta, so it is not drawn again.

    Source: "Grammar-Aligned Decoding". (Its implementation shares one trie between prompts; here a trie has a key.)
    """

    _use_theta = True
