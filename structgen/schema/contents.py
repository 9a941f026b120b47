"""What a schema says, as a key: schemas with equal keys are one atom.

Only so does the algebra see that `{"type": "string"}` in one branch excludes the negation of `{"type": "string"}` in
another, whatever their descriptions say. Sub-schemas count as the terms they are, so a key is one level deep.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from structgen.schema.forms import ANY, NEVER

if TYPE_CHECKING:
    from structgen.schema.schemas import Path, Resource, Schemas

_MAX_PARTS = 200  # Schemas with more sub-schemas or values are taken for different.

# Keywords that say something of the place, not of the value; a schema that has one is like no other.
_PLACED = frozenset(("$id", "id", "$schema", "$anchor", "$dynamicAnchor", "$recursiveAnchor"))
_SAYS_NOTHING = frozenset(
    [
        *("title", "description", "default", "examples", "example", "$comment", "readOnly", "writeOnly", "deprecated"),
        *("$defs", "definitions", "contentMediaType", "contentEncoding", "contentSchema"),
    ]
)
_ONE = frozenset(("additionalItems", "additionalProperties", "contains", "else", "if", "items", "not", "propertyNames"))
_ONE = _ONE | {"then", "unevaluatedItems", "unevaluatedProperties"}
_LISTED = frozenset(("allOf", "anyOf", "items", "oneOf", "prefixItems"))
_NAMED = frozenset(("dependentSchemas", "patternProperties", "properties"))


def content(schema: dict[str, Any], resource: Resource, path: Path, schemas: Schemas) -> Hashable | None:
    """The key of a schema, or None where it is like no other. The order of keywords counts, as that of keys may."""
    if not _PLACED.isdisjoint(schema):
        return None
    parts: list[Hashable] = [id(resource)]
    for keyword, value in schema.items():
        if keyword in _SAYS_NOTHING:
            continue
        at = (path, keyword)
        said: Hashable
        if isinstance(value, str):
            said = value
        elif isinstance(value, (dict, list)) and len(value) > _MAX_PARTS:
            return None
        elif keyword in _ONE and isinstance(value, (dict, bool)):
            said = _inner(value, resource, at, schemas)
        elif keyword in _LISTED and isinstance(value, list):
            said = tuple(_inner(inner, resource, (at, index), schemas) for index, inner in enumerate(value))
        elif keyword in _NAMED and isinstance(value, dict):
            said = tuple((name, _inner(inner, resource, (at, name), schemas)) for name, inner in value.items())
        else:
            said = json.dumps(value, default=repr)  # so that 1, 1.0 and true are three values
        parts.append((keyword, said if isinstance(value, str) else (said,)))
    return tuple(parts)


def _inner(schema: Any, resource: Resource, path: Path, schemas: Schemas) -> Hashable:
    if schema is True:
        return ANY
    if schema is False:
        return NEVER
    return schemas.term(schema, resource, path)
