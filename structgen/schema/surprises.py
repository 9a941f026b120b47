"""What is allowed or forbidden by a schema and commonly surprises its author. Warnings: nothing is refused here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from structgen.errors import StructgenError
from structgen.schema.expand import Expander
from structgen.schema.forms import NEVER, Term, both
from structgen.schema.keywords import ARRAY_KEYWORDS, NUMBER_KEYWORDS, OBJECT_KEYWORDS, STRING_KEYWORDS
from structgen.schema.satisfiable import Satisfiability
from structgen.schema.schemas import Path, Resource, pointer


class Surprise(NamedTuple):
    """A warning: where, at which keyword, and what."""

    pointer: str
    keyword: str
    text: str


_MAY_SAY_TYPE = frozenset(("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "enum", "const", "if"))
_NEEDS = {"then": "if", "else": "if", "minContains": "contains", "maxContains": "contains"}
_OF_TYPE: dict[str, frozenset[str]] = {
    **dict.fromkeys(NUMBER_KEYWORDS, frozenset(("integer", "number"))),
    **dict.fromkeys(STRING_KEYWORDS, frozenset(("string",))),
    **dict.fromkeys(ARRAY_KEYWORDS, frozenset(("array",))),
    **dict.fromkeys((*OBJECT_KEYWORDS, "propertyNames", "dependentRequired"), frozenset(("object",))),
}


def of_words(visited: Iterable[tuple[Any, Resource, Path]]) -> Iterator[Surprise]:
    """What shows from the words of the reachable schemas alone."""
    seen: set[int] = set()
    for schema, resource, path in visited:
        if not isinstance(schema, dict) or id(schema) in seen:
            continue
        seen.add(id(schema))
        where = pointer(path)
        types = schema.get("type")
        named = {types} if isinstance(types, str) else set(types) if isinstance(types, list) else set()
        for keyword in schema:
            need = _NEEDS.get(keyword)
            if need is not None and need not in schema and resource.knows(keyword):
                yield Surprise(where, keyword, f"has no effect without {need}")
            elif named and keyword in _OF_TYPE and named.isdisjoint(_OF_TYPE[keyword]):
                yield Surprise(where, keyword, f"has no effect on {', '.join(sorted(named))}")
            elif keyword == "default":
                yield Surprise(where, keyword, "is not filled in: what the text leaves out stays out")
        if "properties" in schema and types is None and schema.keys().isdisjoint(_MAY_SAY_TYPE):
            yield Surprise(where, "properties", 'allows values of every other type too (add "type": "object")')
        elif "properties" in schema and not schema.keys() & {"additionalProperties", "unevaluatedProperties"}:
            yield Surprise(
                where, "properties", "allows keys that are not declared (additionalProperties: false forbids them)"
            )


def of_values(expander: Expander, satisfiability: Satisfiability) -> Iterator[Surprise]:
    """Branches that no value takes, and properties that can never be there. Looks at what has been expanded."""
    for index in range(1, len(expander.schemas.atoms)):
        atom = expander.schemas.atoms[index]
        term: Term = (2 * index,)
        place = expander.place(term)
        if place is None or atom.meaning is not None or not expander.is_expanded(term):
            continue
        try:
            for keyword in ("anyOf", "oneOf"):
                if place.knows(keyword) and satisfiability.term(term):
                    for at in range(len(place.schema[keyword])):
                        if not satisfiability.term(both(term, place.term(keyword, at))):
                            yield Surprise(f"{atom.pointer}/{keyword}/{at}", "", "no value takes this branch")
            if place.knows("properties"):
                for name in place.schema["properties"]:
                    inner = place.term("properties", name)
                    if inner != NEVER and not satisfiability.term(inner):
                        yield Surprise(
                            f"{atom.pointer}/properties/{name}", "", "no value satisfies it: it is never there"
                        )
        except StructgenError:
            continue  # Too complex to tell, which is not a surprise.
