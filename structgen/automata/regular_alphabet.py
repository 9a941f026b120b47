"""What the words of a regular language are made of: the words of a finite term, the characters of any term."""

from __future__ import annotations

from structgen.automata.charset import ANY, NONE, CharSet
from structgen.automata.regular_nodes import Kind, Language, children

_OPAQUE = (
    Kind.COMPLEMENT,
    Kind.LOOP,
    Kind.CONTEXT,
    Kind.BEHIND,
    Kind.MACHINE,
)  # Their characters are not those of their parts.


def words_of(node: Language) -> list[str]:
    """The texts of a finite term made by `finite`, `string` or their derivatives."""
    if node.kind == Kind.TRIE:
        words, low, high, depth = node.args
        return [item[depth:] for item in words.items[low:high]]
    return [node.args[0]] if node.kind == Kind.WORD else [""]


def alphabet(node: Language) -> CharSet:
    """A set with all the characters that words of the term consist of."""
    todo = [node]
    while todo:
        top = todo[-1]
        if top._alphabet is None:
            inner = [] if top.kind in _OPAQUE else list(children(top))
            missing = [child for child in inner if child._alphabet is None]
            if missing:
                todo.extend(missing)
                continue
            top._alphabet = _alphabet(top, inner)
        todo.pop()
    assert node._alphabet is not None
    return node._alphabet


def _alphabet(node: Language, inner: list[Language]) -> CharSet:
    if node.kind == Kind.CLASS:
        charset: CharSet = node.args[0]
        return charset
    if node.kind in (Kind.WORD, Kind.TRIE):
        return CharSet.of(set("".join(words_of(node))))
    if node.kind in _OPAQUE and node.kind != Kind.BEHIND:
        return ANY
    out = ANY if node.kind == Kind.INTERSECT else NONE
    for child in inner:
        assert child._alphabet is not None
        out = out.intersect(child._alphabet) if node.kind == Kind.INTERSECT else out.union(child._alphabet)
    return out
