"""Additional keys: whether a schema has any, and whether they can run out.

A grammar does not remember which keys of a language an object has already; the matcher does (`structgen.masks.memory`).
Here is what it has to know: whether that is needed at all, and whether a language is *thin*: whether some beginning of
a key goes on in finitely many ways only, so that an object could have used them all up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from structgen.automata.regular import ANY_STRING, Language, difference, finite, intersect
from structgen.automata.regular_nodes import Kind
from structgen.ir.thinness import FEW_WAYS, thinness
from structgen.schema.forms import KeyClass, ObjectForm
from structgen.schema.languages import size

_LISTED = 1_000  # A language with at most so many keys is a list of declared keys.
_MOST_STATES = 300  # How far a language is looked at before it counts as thin.
_COMBINES = ("$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "enum", "const")


@dataclass(slots=True)
class OpenKeys:
    """Of a grammar with additional keys, or with arrays whose items differ: what is thin, found out as it is expanded.

    `thin` is what matchers go by (see `structgen.ir.thinness`). `distinct` is whether values are to be remembered.
    `embedded`: the schemas are parts of a grammar, whose texts are not JSON: then objects with additional keys and
    their keys are rules with a role, and `used` is whether any schema needs a memory.
    """

    thin: int = 0
    distinct: bool = False
    embedded: bool = False
    used: bool = False
    fewest: int | None = None
    shortest: int | None = None
    _thin_items: bool = False
    plain: bool = field(init=False)
    """Whether keys are all there is to remember and none is thin: then the engine follows the memory by itself."""

    def __post_init__(self) -> None:
        self.plain = not self.embedded

    def note(self, language: Language) -> None:
        """A language of additional keys is in use."""
        shortest = thin_from(language)
        if shortest is not None:
            self.shortest = shortest if self.shortest is None else min(self.shortest, shortest)
            self.thin, self.plain = thinness(self.shortest, self.fewest, self._thin_items), False

    def note_items(self, *, thin: bool, fewest: int) -> None:
        """An array whose items differ is in use; `thin`: a beginning of one may go on in finitely many ways only."""
        self.distinct, self.plain = True, False
        self.fewest = fewest if self.fewest is None else min(self.fewest, fewest)
        self._thin_items |= thin
        self.thin = thinness(self.shortest, self.fewest, self._thin_items)


def has_open_keys(visited: Iterable[Any]) -> bool:
    """Whether any of these schemas (all that a root reaches, but for booleans) may allow keys that it does not name.

    Looks at each schema alone; yes where that does not tell.
    """
    return not all(map(_closed, visited))


def _closed(schema: Any) -> bool:
    if not isinstance(schema, dict):
        return schema is False
    types = schema.get("type")
    if isinstance(types, str) and types not in ("object", "array"):
        return True
    parts = [*_values(schema, "properties"), *_items(schema)]
    parts += [part for word in ("allOf", "anyOf", "oneOf") for part in schema.get(word, ())]
    if any(part is True for part in parts):
        return False
    if any(word in schema for word in _COMBINES):
        return True
    if types is None:
        return False
    names = (types,) if isinstance(types, str) else types
    if "object" in names and (schema.get("additionalProperties") is not False or schema.get("patternProperties")):
        return False
    if "array" not in names:
        return True
    rest = schema.get("additionalItems") if isinstance(schema.get("items"), list) else schema.get("items")
    return rest is False or isinstance(rest, dict)


def _values(schema: dict[str, Any], keyword: str) -> list[Any]:
    value = schema.get(keyword)
    return list(value.values()) if isinstance(value, dict) else []


def _items(schema: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for keyword in ("items", "prefixItems", "additionalItems"):
        value = schema.get(keyword)
        found += value if isinstance(value, list) else [value]
    return found


@lru_cache(maxsize=4096)
def thin_from(language: Language) -> int | None:
    """The length in code points of the shortest beginnings of texts that may go on in `FEW_WAYS` ways or fewer: none
    shorter does. None if all beginnings go on in more.

    A language that is thin nowhere stays so without finitely many texts: its beginnings go on in infinitely many ways.
    (Not so a thin one: of finitely many ways some may be among those texts.)
    """
    if language.kind == Kind.INTERSECT:
        infinite = [part for part in language.args if not _is_nearly_all(part)]
        if len(infinite) < len(language.args) and (not infinite or thin_from(intersect(*infinite)) is None):
            return None
    if language is ANY_STRING or _is_nearly_all(language):
        return None
    seen = {language}
    level, length = [language], 0
    while level:
        if any(size(state, FEW_WAYS) <= FEW_WAYS for state in level):
            return length
        following = {target for state in level for _, target in state.edges()} - seen
        seen |= following
        level, length = list(following), length + 1
        if len(seen) > _MOST_STATES:
            return length  # all that are shorter were looked at
    return None


def _is_nearly_all(language: Language) -> bool:
    """Whether it is all texts but finitely many."""
    return language.kind == Kind.COMPLEMENT and language.args[0].max_bound is not None


def is_thin(language: Language) -> bool:
    """Whether some beginning of a text may go on in few ways."""
    return thin_from(language) is not None


def listed(form: ObjectForm) -> ObjectForm:
    """The form with the keys of small finite languages as declared ones: then it shows when they are used up."""
    if all(part.language is ANY_STRING for part in form.classes):
        return form
    named = dict(form.named)
    classes = []
    for part in form.classes:
        if part.language is ANY_STRING or part.language.max_length() is None:
            classes.append(part)
            continue
        language = difference(part.language, finite(form.named)) if form.named else part.language
        if size(language, _LISTED) <= _LISTED:
            named.update((word, part.term) for word in words(language))
        else:
            classes.append(KeyClass(part.language, part.term))
    return form if len(classes) == len(form.classes) else replace(form, named=named, classes=tuple(classes))


def words(language: Language) -> list[str]:
    """The strings of a finite language."""
    found: list[str] = []
    pending = [("", language)]
    while pending:
        text, state = pending.pop()
        if state.nullable:
            found.append(text)
        for characters, target in state.edges():
            pending.extend(
                (text + chr(code), target) for low, high in characters.ranges for code in range(low, high + 1)
            )
    return sorted(found)
