"""CARS: rejection that never makes the same mistake twice."""

from __future__ import annotations

from structgen.decode.aligned.rejection import Rejection


class CARS(Rejection):
    """Constrained adaptive rejection sampling: tokens are drawn in proportion to P(t | u) theta(u t), new prefixes
    without their mask, and an attempt that leaves the language is rejected.

    Guarantees: samples are independent draws from the aligned law, the first as well as the last. The acceptance rate
    is Z / theta(empty prefix), which only rises; so acceptances and the bounds at the time tell Z.

    Cost: 1 / acceptance attempts a sample: at first as many as `Rejection` needs, where Z is small many. A
    rejected attempt costs the forward passes of the prefixes it was first to see. Memory as `ASAp`.

    Source: "Constrained Adaptive Rejection Sampling". Here attempts run in batches that share what they learn while
    they run (`attempts` says why that is exact).
    """

    _use_theta = True
