"""What a document's `$schema` says of it: its draft, the keywords that have no meaning in it, whether formats assert.

A `$schema` that is not a draft's own is looked up among the caller's documents. If that meta-schema has `$vocabulary`,
the keywords of the vocabularies it leaves out are annotations. The meta-schemas of the drafts are built in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urldefrag

from structgen.errors import UnsupportedSchemaError
from structgen.schema.drafts import at_least, draft_of
from structgen.schema.options import Draft

_VOCABULARIES = {
    "2019-09": "https://json-schema.org/draft/2019-09/",
    "2020-12": "https://json-schema.org/draft/2020-12/",
}
_FORMAT_KEYWORD = frozenset(("format",))


class Dialect(NamedTuple):
    """A draft, the keywords to ignore, and whether the vocabularies make `format` an assertion (None: not said)."""

    draft: Draft
    ignored: frozenset[str] = frozenset()
    asserts_format: bool | None = None


def dialect_of(uri: object, around: Dialect, find: Callable[[str], Any]) -> Dialect:
    """The dialect that a `$schema` names; `around` where it is not there or names nothing that is known.

    `find` gives the document at a URI or None. Raises `UnsupportedSchemaError` for a vocabulary that is required and
    not known.
    """
    draft = draft_of(uri)
    if draft is not None:
        return Dialect(draft)
    if not isinstance(uri, str):
        return around
    meta = find(urldefrag(uri).url)
    if not isinstance(meta, dict):
        return around
    draft = draft_of(meta.get("$schema")) or around.draft
    named = meta.get("$vocabulary")
    if not at_least(draft, "2019-09") or not isinstance(named, dict):
        return Dialect(draft)
    known = _keywords_of(draft)
    for vocabulary, required in named.items():
        if required and vocabulary not in known:
            raise UnsupportedSchemaError(
                f"the vocabulary {vocabulary!r}, which its meta-schema requires, is not known",
                pointer="",
                keyword="$schema",
                advice="use the meta-schema of a draft",
            )
    spoken = frozenset(word for name in named if name in known for word in known[name])
    everything = frozenset(word for words in known.values() for word in words)
    asserts = named.get(f"{_VOCABULARIES[draft]}vocab/format-assertion")
    if draft == "2019-09":
        asserts = named.get(f"{_VOCABULARIES[draft]}vocab/format") or None
    return Dialect(draft, everything - spoken, None if asserts is None else True)


@lru_cache(maxsize=2)
def _keywords_of(draft: Draft) -> dict[str, frozenset[str]]:
    """The keywords of each vocabulary of a draft, as its meta-schemas list them."""
    base = _VOCABULARIES[draft]
    names = ["core", "applicator", "validation", "meta-data", "content"]
    names += ["format"] if draft == "2019-09" else ["unevaluated", "format-annotation", "format-assertion"]
    found = {}
    for name in names:
        document = built_in(f"{base}meta/{name}")
        found[f"{base}vocab/{name}"] = frozenset(document["properties"]) if document else _FORMAT_KEYWORD
    return found


def built_in(uri: str) -> Any:
    """The meta-schema at a URI (without fragment); None if it is none of a draft's."""
    if "json-schema.org/" not in uri:
        return None
    from jsonschema_specifications import REGISTRY

    return REGISTRY.contents(uri) if uri in REGISTRY else None
