"""Documents, references, and the atoms: each place of a schema document that is looked at gets a small number.

This module finds schemas; what they mean is `expand.py`'s business. Nothing is fetched: a reference to a document that
the caller did not supply is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import unquote, urldefrag, urljoin

from structgen.errors import GrammarTooComplex, InvalidSchemaError, UnsupportedSchemaError
from structgen.schema.drafts import at_least, draft_of, id_keyword, ref_hides_siblings
from structgen.schema.forms import ANY, NEVER, Term
from structgen.schema.options import Draft, SchemaOptions

Path: TypeAlias = "tuple[Path, str | int] | str"  # A linked list of pointer tokens that ends in the document's name.
Registry: TypeAlias = Mapping[str, Any]

ANNOTATIONS = frozenset(
    [
        "title",
        "description",
        "default",
        "examples",
        "example",
        "$comment",
        "readOnly",
        "writeOnly",
        "deprecated",
        "$schema",
        "$id",
        "id",
        "$anchor",
        "$dynamicAnchor",
        "$recursiveAnchor",
        "$vocabulary",
        "$defs",
        "definitions",
        "contentMediaType",
        "contentEncoding",
        "contentSchema",
    ]
)

# Where sub-schemas are: under the keyword itself, in a list, or in an object by name.
IN_VALUE = frozenset(
    [
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    ]
)
IN_LIST = frozenset(("allOf", "anyOf", "items", "oneOf", "prefixItems"))
BY_NAME = frozenset(["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"])


@dataclass(slots=True, eq=False)
class Resource:
    """A schema document, or a part of one with an `$id` of its own. `anchors` are filled when first asked for."""

    uri: str
    root: Any
    draft: Draft
    path: Path
    anchors: dict[str, tuple[Any, Path]] | None = field(default=None, repr=False)


@dataclass(slots=True, eq=False)
class Atom:
    """One schema at one place."""

    schema: dict[str, Any]
    resource: Resource
    path: Path
    is_target: bool = False  # Some reference leads here.
    meaning: Term | None = None  # Set where the atom stands for a conjunction of others, and `schema` is unused.

    @property
    def pointer(self) -> str:
        """The JSON pointer of the place."""
        return pointer(self.path)


def pointer(path: Path) -> str:
    """A path as a JSON pointer, with the document's name before a `#` where it is not the caller's own document."""
    tokens: list[str] = []
    while not isinstance(path, str):
        path, token = path
        tokens.append("/" + str(token).replace("~", "~0").replace("/", "~1"))
    return path + "".join(reversed(tokens))


class Schemas:
    """The documents of one compilation and their atoms. Atom 0 is the schema `true`."""

    def __init__(self, root: Any, options: SchemaOptions, registry: Registry | None = None) -> None:
        self.options = options
        self._registry = registry or {}
        self._resources: dict[str, Resource] = {}
        self._scanned: set[int] = set()
        self._resolved: dict[tuple[int, str], tuple[Any, Resource, Path]] = {}
        self._by_identity: dict[tuple[int, int], int] = {}
        self._terms: dict[tuple[int, int], Term] = {}
        self._conjunctions: dict[Term, int] = {}
        draft = draft_of(root.get("$schema")) if isinstance(root, dict) else None
        draft = draft or options.default_draft
        uri = root.get(id_keyword(draft)) if isinstance(root, dict) else None
        self.main = Resource(urldefrag(uri).url if isinstance(uri, str) else "", root, draft, "")
        self._resources[self.main.uri] = self._resources[""] = self.main
        self.atoms: list[Atom] = [Atom({}, self.main, "")]

    def root_term(self) -> Term:
        """The term of the caller's schema."""
        return self.term(self.main.root, self.main, "")

    def term(self, schema: Any, resource: Resource, path: Path) -> Term:
        """The term of a schema: a reference without siblings is followed at once."""
        if schema is True:
            return ANY
        if schema is False:
            return NEVER
        if not isinstance(schema, dict):
            raise InvalidSchemaError("a schema must be an object or a boolean", pointer=pointer(path))
        known = self._terms.get((id(schema), id(resource)))
        if known is None:
            known = self._terms[id(schema), id(resource)] = self._term(schema, resource, path)
        return known

    def _term(self, schema: dict[str, Any], resource: Resource, path: Path) -> Term:
        seen: list[dict[str, Any]] = []
        start = path
        resource = self.enter(schema, resource, path)
        while "$ref" in schema and is_bare_reference(schema, resource.draft):
            if any(schema is other for other in seen):
                raise InvalidSchemaError("the reference leads only to itself", pointer=pointer(start), keyword="$ref")
            seen.append(schema)
            target, resource, path = self.resolve(schema["$ref"], resource, path)
            if isinstance(target, bool):
                return ANY if target else NEVER
            schema = target
        if not schema:
            return ANY
        index = self.atom(schema, resource, path)
        if seen:
            self.atoms[index].is_target = True
        return (2 * index,)

    def atom(self, schema: dict[str, Any], resource: Resource, path: Path) -> int:
        """The number of a schema at a place, the same for the same object."""
        key = (id(schema), id(resource))
        index = self._by_identity.get(key)
        if index is None:
            index = self._by_identity[key] = len(self.atoms)
            self.atoms.append(Atom(schema, resource, path))
        return index

    def negate(self, term: Term) -> Term:
        """What the term does not allow, as a term."""
        if len(term) == 1:
            return (term[0] ^ 1,) if term != NEVER else ANY
        if not term:
            return NEVER
        index = self._conjunctions.get(term)
        if index is None:
            index = self._conjunctions[term] = len(self.atoms)
            first = self.atoms[term[0] >> 1]
            self.atoms.append(Atom({}, first.resource, first.path, meaning=term))
        return (2 * index + 1,)

    def check_size(self, num_forms: int, atom: Atom) -> None:
        """Refuse a shape that has grown beyond `max_forms`."""
        if num_forms > self.options.max_forms:
            raise GrammarTooComplex(
                f"it has more than {self.options.max_forms} alternatives once its parts are combined",
                pointer=atom.pointer,
                advice="write the alternatives so that they exclude each other, or raise max_forms",
            )

    def mark_target(self, schema: dict[str, Any], resource: Resource, path: Path) -> None:
        """Remember that a reference leads here, so that recursion may pass through."""
        self.atoms[self.atom(schema, resource, path)].is_target = True

    def asserts_format(self, resource: Resource) -> bool:
        """Whether `format` is enforced in this document."""
        wish = self.options.format_assertion
        return wish if wish is not None else not at_least(resource.draft, "2019-09")

    def enter(self, schema: dict[str, Any], resource: Resource, path: Path) -> Resource:
        """The resource a schema belongs to: its own if it has an `$id`, else the one around it."""
        if schema is resource.root or ("$id" not in schema and "id" not in schema):
            return resource
        uri = schema.get(id_keyword(resource.draft))
        if not isinstance(uri, str) or uri.startswith("#") or ("$ref" in schema and ref_hides_siblings(resource.draft)):
            return resource
        uri = urldefrag(join(resource.uri, uri)).url
        known = self._resources.get(uri)
        if known is None or known.root is not schema:
            known = Resource(uri, schema, draft_of(schema.get("$schema")) or resource.draft, path)
            self._resources.setdefault(uri, known)
        return known

    def resolve(self, reference: object, resource: Resource, path: Path) -> tuple[Any, Resource, Path]:
        """What a reference points to: a schema, its resource and its place. Raises `InvalidSchemaError`."""
        if not isinstance(reference, str):
            raise InvalidSchemaError("a reference must be a string", pointer=pointer(path), keyword="$ref")
        key = (id(resource), reference)
        found = self._resolved.get(key)
        if found is None:
            found = self._resolved[key] = self._resolve(reference, resource, path)
        return found

    def _resolve(self, reference: str, resource: Resource, path: Path) -> tuple[Any, Resource, Path]:
        address, _, fragment = reference.partition("#")
        target = resource if not address else self._document(join(resource.uri, address), path)
        fragment = unquote(fragment)
        if not fragment:
            schema, at = target.root, target.path
        elif fragment.startswith("/"):
            schema, target, at = self._walk(fragment, target, reference, path)
        else:
            schema, at = self._anchor(fragment, target, path)
        if not isinstance(schema, (dict, bool)):
            raise InvalidSchemaError(f"{reference!r} is not a schema", pointer=pointer(path), keyword="$ref")
        if isinstance(schema, dict):
            target = self.enter(schema, target, at)
        return schema, target, at

    def _document(self, uri: str, path: Path) -> Resource:
        found = self._resources.get(uri)
        if found is None:
            self._scan(self.main)
            found = self._resources.get(uri)
        if found is None:
            for name in (uri, uri + "#", uri.rstrip("#")):
                if name in self._registry:
                    schema = self._registry[name]
                    draft = draft_of(schema.get("$schema")) if isinstance(schema, dict) else None
                    found = Resource(uri, schema, draft or self.main.draft, uri + "#")
                    self._resources[uri] = found
                    self._scan(found)
                    break
        if found is None:
            raise UnsupportedSchemaError(
                f"the reference leads to {uri!r}, which is not in the registry",
                pointer=pointer(path),
                keyword="$ref",
                advice="pass the document in `registry`; nothing is fetched",
            )
        return found

    def _walk(self, fragment: str, resource: Resource, reference: str, path: Path) -> tuple[Any, Resource, Path]:
        here, at = resource.root, resource.path
        for raw in fragment[1:].split("/"):
            token = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(here, dict) and token in here:
                here = here[token]
            elif isinstance(here, list) and token.isascii() and token.isdigit() and int(token) < len(here):
                here = here[int(token)]
            else:
                raise InvalidSchemaError(f"{reference!r} points nowhere", pointer=pointer(path), keyword="$ref")
            at = (at, token)
            if isinstance(here, dict):
                resource = self.enter(here, resource, at)
        return here, resource, at

    def _anchor(self, name: str, resource: Resource, path: Path) -> tuple[Any, Path]:
        if resource.anchors is None:
            self._scan(resource)
        assert resource.anchors is not None
        if name not in resource.anchors:
            raise InvalidSchemaError(f"there is no anchor {name!r}", pointer=pointer(path), keyword="$ref")
        return resource.anchors[name]

    def _scan(self, resource: Resource) -> None:
        """Find every `$id` and anchor below a resource's root."""
        if id(resource) in self._scanned:
            return
        self._scanned.add(id(resource))
        if resource.anchors is None:
            resource.anchors = {}
        pending: list[tuple[Any, Resource, Path]] = [(resource.root, resource, resource.path)]
        while pending:
            schema, around, path = pending.pop()
            inside = self.enter(schema, around, path)
            if inside is not around:
                self._scanned.add(id(inside))
            if inside.anchors is None:
                inside.anchors = {}
            for name in anchor_names(schema, inside.draft):
                inside.anchors.setdefault(name, (schema, path))
            pending.extend((child, inside, at) for child, at in children(schema, path))


def anchor_names(schema: dict[str, Any], draft: Draft) -> Iterator[str]:
    """The plain names this schema can be referred to by."""
    if at_least(draft, "2019-09"):
        yield from (schema[word] for word in ("$anchor", "$dynamicAnchor") if isinstance(schema.get(word), str))
    else:
        uri = schema.get(id_keyword(draft))
        if isinstance(uri, str) and uri.startswith("#"):
            yield uri[1:]


def children(schema: dict[str, Any], path: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """The sub-schemas that are objects, with their places."""
    for keyword, value in schema.items():
        if isinstance(value, dict):
            if keyword in BY_NAME:
                for name, child in value.items():
                    if isinstance(child, dict):
                        yield child, ((path, keyword), name)
            elif keyword in IN_VALUE:
                yield value, (path, keyword)
        elif isinstance(value, list) and keyword in IN_LIST:
            for index, child in enumerate(value):
                if isinstance(child, dict):
                    yield child, ((path, keyword), index)


def is_bare_reference(schema: dict[str, Any], draft: Draft) -> bool:
    """Whether a `$ref` is all that counts in this schema."""
    return len(schema) == 1 or ref_hides_siblings(draft) or not schema.keys() - ANNOTATIONS - {"$ref"}


def join(base: str, reference: str) -> str:
    """`reference` relative to `base` (RFC 3986)."""
    return urljoin(base, reference) if base else reference
