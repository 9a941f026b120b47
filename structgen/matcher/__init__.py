"""Matchers: see `structgen.matcher.matcher`; many at once: `structgen.matcher.batch`."""

from structgen.matcher.batch import fill_batch
from structgen.matcher.matcher import Matcher

__all__ = ["Matcher", "fill_batch"]
