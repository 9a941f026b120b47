"""The drafts of JSON Schema, and which keywords each of them knows."""

from __future__ import annotations

from structgen.schema.options import Draft

DRAFTS: tuple[Draft, ...] = ("draft3", "draft4", "draft6", "draft7", "2019-09", "2020-12")

_URIS: dict[str, Draft] = {
    "json-schema.org/draft-03/schema": "draft3",
    "json-schema.org/draft-04/schema": "draft4",
    "json-schema.org/draft-06/schema": "draft6",
    "json-schema.org/draft-07/schema": "draft7",
    "json-schema.org/draft/2019-09/schema": "2019-09",
    "json-schema.org/draft/2020-12/schema": "2020-12",
    "json-schema.org/schema": "2020-12",
}

# Keyword -> (first draft, last draft) that knows it, where that is not all of them from draft 4 on. Before and after,
# it is an annotation. `dependencies`, and the older forms of `items` and `exclusiveMinimum`, are understood in every
# draft: the newer ones do not give these forms another meaning, and validators enforce them too.
_SPANS: dict[str, tuple[Draft, Draft]] = {
    "const": ("draft6", "2020-12"),
    "contains": ("draft6", "2020-12"),
    "propertyNames": ("draft6", "2020-12"),
    "if": ("draft7", "2020-12"),
    "then": ("draft7", "2020-12"),
    "else": ("draft7", "2020-12"),
    "minContains": ("2019-09", "2020-12"),
    "maxContains": ("2019-09", "2020-12"),
    "dependentRequired": ("2019-09", "2020-12"),
    "dependentSchemas": ("2019-09", "2020-12"),
    "unevaluatedItems": ("2019-09", "2020-12"),
    "unevaluatedProperties": ("2019-09", "2020-12"),
    "$anchor": ("2019-09", "2020-12"),
    "$recursiveRef": ("2019-09", "2019-09"),
    "$dynamicRef": ("2020-12", "2020-12"),
    "prefixItems": ("2020-12", "2020-12"),
}


def draft_of(uri: object) -> Draft | None:
    """The draft a `$schema` URI names; None if it names none that is known."""
    if not isinstance(uri, str):
        return None
    _, _, rest = uri.partition("://")
    return _URIS.get(rest.removesuffix("#"))


def at_least(draft: Draft, other: Draft) -> bool:
    """Whether `draft` is `other` or a later one."""
    return DRAFTS.index(draft) >= DRAFTS.index(other)


def knows(draft: Draft, keyword: str) -> bool:
    """Whether the keyword has a meaning in this draft."""
    span = _SPANS.get(keyword)
    return span is None or DRAFTS.index(span[0]) <= DRAFTS.index(draft) <= DRAFTS.index(span[1])


def id_keyword(draft: Draft) -> str:
    """The keyword that gives a schema its URI."""
    return "id" if draft in ("draft3", "draft4") else "$id"


def ref_hides_siblings(draft: Draft) -> bool:
    """Whether everything beside a `$ref` is ignored (up to draft 7)."""
    return not at_least(draft, "2019-09")
