"""Regular languages over code points, as lazy automata whose states are languages themselves.

    >>> word = concat(chars(CharSet([(97, 122)])), repeat(chars(CharSet([(97, 122), (48, 57)])), 0, 9))
    >>> difference(word, finite(["if", "else"])).matches("elses")
    True

Reading order: `regular_nodes` (what a term is), `regular_alphabet`, `regular_algebra` and `regular_intersect`
(constructors and their rules), `regular_derive` (the automaton, emptiness), `regular_lengths`, `regular_context`
(terms that look back). This module is the surface; bytes and encodings are another
module's business.
"""

from structgen.automata.regular_algebra import chars, complement, concat, difference, finite, repeat, string, union
from structgen.automata.regular_intersect import intersect
from structgen.automata.regular_nodes import (
    ANY_STRING,
    EMPTY_STRING,
    NOTHING,
    Language,
    LanguageTooComplex,
    Machine,
    machine_state,
)

__all__ = [
    "ANY_STRING",
    "EMPTY_STRING",
    "NOTHING",
    "Language",
    "LanguageTooComplex",
    "Machine",
    "chars",
    "complement",
    "concat",
    "difference",
    "finite",
    "intersect",
    "machine_state",
    "repeat",
    "string",
    "union",
]
