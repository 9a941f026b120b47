"""What is derived from a vocabulary and costs much: made once, and kept as long as the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from structgen.vocab.vocabulary import Vocabulary

T = TypeVar("T")


def derived(make: Callable[[Vocabulary], T]) -> Callable[[Vocabulary], T]:
    """`make`, called once for equal vocabularies. What it returns must not refer to the vocabulary itself."""
    made: WeakKeyDictionary[Vocabulary, T] = WeakKeyDictionary()

    def get(vocab: Vocabulary) -> T:
        found = made.get(vocab)
        return made.setdefault(vocab, make(vocab)) if found is None else found

    return get
