"""Matchers: see `structgen.matcher.matcher`."""

from structgen.matcher.matcher import Matcher

__all__ = ["Matcher"]
