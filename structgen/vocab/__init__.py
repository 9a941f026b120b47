"""Token ids as exact bytes, and the trie over them.

Reading order: `spelling` (what a vocabulary entry stands for), `backend`, `slow` and `files` (where entries come from),
`probe` (the round trip every loaded tokenizer must pass), `encoder` (bytes → ids), `vocabulary` (the immutable result),
`trie` (arrays for kernels), `derived` (what other
parts make of a vocabulary once). Nothing here imports tokenizers, transformers or torch until a tokenizer is loaded.
"""

from structgen.vocab.trie import TokenTrie
from structgen.vocab.vocabulary import Vocabulary

__all__ = ["TokenTrie", "Vocabulary"]
