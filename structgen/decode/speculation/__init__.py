"""Speculative decoding under a grammar: draft trees, drafters, verification, and the loop that runs them."""
