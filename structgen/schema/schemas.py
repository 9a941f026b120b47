"""Documents, references, and the atoms: each place of a schema document that is looked at gets a small number.

This module finds schemas; what they mean is `expand.py`'s business. Nothing is fetched: a reference to a document that
the caller did not supply is an error.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from urllib.parse import unquote, urldefrag, urljoin

from structgen.errors import GrammarTooComplex, InvalidSchemaError, UnsupportedSchemaError
from structgen.schema.contents import content
from structgen.schema.dialects import Dialect, built_in, dialect_of
from structgen.schema.drafts import at_least, id_keyword, knows, ref_hides_siblings
from structgen.schema.forms import ANY, NEVER, Term
from structgen.schema.options import Draft, SchemaOptions

Path: TypeAlias = "tuple[Path, str | int] | str"  # A linked list of pointer tokens that ends in the document's name.
Registry: TypeAlias = Mapping[str, Any]
Scope: TypeAlias = "tuple[tuple[str, Resource], ...]"  # Dynamic anchors, each with the outermost resource that has it.

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


# Atoms 1 to 7 are "a value of this type". Most schemas are a type and what says nothing of values: they are these.
OF_TYPE: dict[str, Term] = {
    name: (2 * index,)
    for index, name in enumerate(("null", "boolean", "integer", "number", "string", "array", "object"), 1)
}
_FIRST_SCHEMAS: list[dict[str, Any]] = [{}, *({"type": name} for name in OF_TYPE)]
_BESIDE_TYPE = frozenset(["type", "title", "description", "default", "examples", "$comment", "deprecated", "readOnly"])

_NESTED_CONTENTS = 12  # Schemas within schemas, beyond which equal ones are not looked for.
_RECURSIVE = ""  # The name under which `$recursiveAnchor` is a dynamic anchor.


@dataclass(slots=True, eq=False)
class Resource:
    """A schema document, or a part of one with an `$id` of its own, as it is reached with a dynamic scope.

    `anchors` and `dynamic` (those by `$dynamicAnchor`) are filled when first asked for, and shared with `plain`, the
    same resource in the empty scope (None: this one).
    """

    uri: str
    root: Any
    dialect: Dialect
    path: Path
    anchors: dict[str, tuple[Any, Path]] | None = field(default=None, repr=False)
    dynamic: dict[str, tuple[Any, Path]] = field(default_factory=dict, repr=False)
    scope: Scope = field(default=(), repr=False)
    plain: Resource | None = field(default=None, repr=False)

    @property
    def draft(self) -> Draft:
        """The draft that it is written in."""
        return self.dialect.draft

    def knows(self, keyword: str) -> bool:
        """Whether the keyword has a meaning here."""
        return knows(self.dialect.draft, keyword) and keyword not in self.dialect.ignored


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


def says_type_only(schema: dict[str, Any]) -> bool:
    """Whether a schema is a type and what says nothing of values."""
    kind = schema.get("type")
    return type(kind) is str and kind in OF_TYPE and schema.keys() <= _BESIDE_TYPE


def pointer(path: Path) -> str:
    """A path as a JSON pointer, with the document's name before a `#` where it is not the caller's own document."""
    tokens: list[str] = []
    while not isinstance(path, str):
        path, token = path
        tokens.append("/" + str(token).replace("~", "~0").replace("/", "~1"))
    return path + "".join(reversed(tokens))


class Schemas:
    """The documents of one compilation and their atoms. Atom 0 is the schema `true`; see also `OF_TYPE`."""

    def __init__(self, root: Any, options: SchemaOptions, registry: Registry | None = None) -> None:
        self.options = options
        self._registry = registry or {}
        self._resources: dict[str, Resource] = {}
        self._embedded: dict[tuple[int, str], Resource] = {}
        self._scoped: dict[tuple[Resource, Scope], Resource] = {}
        self._scanned: set[int] = set()
        self._resolved: dict[tuple[int, str], tuple[Any, Resource, Path]] = {}
        self._by_identity: dict[tuple[int, int], int] = {}
        self._terms: dict[tuple[int, int], Term] = {}
        self._conjunctions: dict[Term, int] = {}
        self._values: dict[str, dict[str, Any]] = {}
        self._by_content: dict[Hashable, int] | None = None  # None: equal schemas are told apart; see `merge_equal`.
        self._within_contents = 0
        self._merged: list[dict[str, Any]] = []
        self.some_ignored = False  # Whether a dialect in use gives keywords no meaning that its draft gives one.
        self.dynamic = False  # Whether dynamic scopes are told apart; see `follow_dynamic`.
        default = Dialect(options.default_draft)
        self.dialect_problem: UnsupportedSchemaError | None = None
        try:
            dialect = self._dialect(root, default)
        except UnsupportedSchemaError as error:
            dialect, self.dialect_problem = default, error
        uri = root.get(id_keyword(dialect.draft)) if isinstance(root, dict) else None
        self._main = Resource(urldefrag(uri).url if isinstance(uri, str) else "", root, dialect, "")
        self._resources[self._main.uri] = self._resources[""] = self._main
        self.atoms: list[Atom] = [Atom(schema, self._main, "") for schema in _FIRST_SCHEMAS]

    @property
    def main(self) -> Resource:
        """The caller's document."""
        return self._within(self._main, ())

    def follow_dynamic(self) -> None:
        """Tell dynamic scopes apart from now on, and forget the atoms so far. Only `$dynamicRef` makes it worth it."""
        self.dynamic = True
        for table in (self._resolved, self._by_identity, self._terms, self._conjunctions):
            table.clear()
        del self.atoms[1 + len(OF_TYPE) :]

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
        key = (id(schema), id(resource))
        known = self._terms.get(key)
        if known is None:
            known = self._terms[key] = self._of_type(schema, resource) or self._term(schema, resource, path)
        return known

    def _of_type(self, schema: dict[str, Any], resource: Resource) -> Term | None:
        """The term of a schema that says no more than a type."""
        return OF_TYPE[schema["type"]] if says_type_only(schema) and not resource.dialect.ignored else None

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
        plain = self._of_type(schema, resource) if seen else None
        if plain is not None:
            return plain
        index = self.atom(schema, resource, path)
        if seen:
            self.atoms[index].is_target = True
        return (2 * index,)

    def only(self, value: Any) -> Term:
        """The term of one value."""
        key = json.dumps(value, sort_keys=True, default=str)
        document = self._values.setdefault(key, {"enum": [value]})
        return self.term(document, self._main, "")

    def atom(self, schema: dict[str, Any], resource: Resource, path: Path) -> int:
        """The number of a schema at a place, the same for the same object."""
        key = (id(schema), id(resource))
        index = self._by_identity.get(key)
        if index is None and self._by_content is None:
            index = self._by_identity[key] = len(self.atoms)
            self.atoms.append(Atom(schema, resource, path))
        elif index is None:
            index = self._merged_atom(key, schema, resource, path)
        return index

    def _merged_atom(self, key: tuple[int, int], schema: dict[str, Any], resource: Resource, path: Path) -> int:
        """The number of a schema, which is that of one that says the same if there is one."""
        said = self._content(schema, resource, path)
        index = self._by_identity.get(key)  # it may be inside of itself
        if index is not None:
            return index
        index = len(self.atoms)
        if said is not None and self._by_content is not None:
            index = self._by_content.setdefault(said, index)
            self._merged.append(schema)  # no other object may have its id
        self._by_identity[key] = index
        if index == len(self.atoms):
            self.atoms.append(Atom(schema, resource, path))
        return index

    def merge_equal(self) -> None:
        """From now on schemas that say the same are one atom. Worth it where schemas are combined."""
        self._by_content = {}
        for index in range(1, len(self.atoms)):
            atom = self.atoms[index]
            said = self._content(atom.schema, atom.resource, atom.path)
            if said is None:
                continue
            first = self._by_content.setdefault(said, index)
            if first != index:
                self._by_identity[id(atom.schema), id(atom.resource)] = first
                self.atoms[first].is_target |= atom.is_target

    def _content(self, schema: dict[str, Any], resource: Resource, path: Path) -> Hashable | None:
        if self._by_content is None or self._within_contents >= _NESTED_CONTENTS:
            return None
        self._within_contents += 1
        try:
            return content(schema, resource, path, self)
        finally:
            self._within_contents -= 1

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
        if self._of_type(schema, resource) is None:
            self.atoms[self.atom(schema, resource, path)].is_target = True

    def asserts_format(self, resource: Resource) -> bool:
        """Whether `format` is enforced in this document."""
        wish = self.options.format_assertion
        if wish is None:
            wish = resource.dialect.asserts_format
        return wish if wish is not None else not at_least(resource.draft, "2019-09")

    def enter(self, schema: dict[str, Any], resource: Resource, path: Path) -> Resource:
        """The resource a schema belongs to: its own if it has an `$id`, else the one around it."""
        if schema is resource.root or ("$id" not in schema and "id" not in schema):
            return resource
        return self._within(self._own(schema, resource.plain or resource, path), resource.scope)

    def _own(self, schema: dict[str, Any], resource: Resource, path: Path) -> Resource:
        """`enter` in the empty scope."""
        if schema is resource.root or ("$id" not in schema and "id" not in schema):
            return resource
        dialect = self._dialect(schema, resource.dialect)
        uri = schema.get(id_keyword(dialect.draft))
        if not isinstance(uri, str) or uri.startswith("#") or ("$ref" in schema and ref_hides_siblings(dialect.draft)):
            return resource
        uri = urldefrag(join(resource.uri, uri)).url
        known = self._resources.get(uri)
        if known is None or known.root is not schema:
            known = self._embedded.get((id(schema), uri))
            if known is None:
                known = self._embedded[id(schema), uri] = Resource(uri, schema, dialect, path)
                self._resources.setdefault(uri, known)
        return known

    def _dialect(self, schema: Any, around: Dialect) -> Dialect:
        if not isinstance(schema, dict) or "$schema" not in schema:
            return around
        dialect = dialect_of(schema["$schema"], around, self._find)
        self.some_ignored |= bool(dialect.ignored)
        return dialect

    def _within(self, resource: Resource, scope: Scope) -> Resource:
        """A resource as it is reached from where `scope` is in force."""
        if not self.dynamic:
            return resource
        plain = resource.plain or resource
        self._scan(plain)
        names = dict(scope)
        added = [name for name in plain.dynamic if name not in names]
        if added:
            names.update(dict.fromkeys(added, plain))
            scope = tuple(sorted(names.items(), key=lambda pair: pair[0]))
        if not scope:
            return plain
        known = self._scoped.get((plain, scope))
        if known is None:
            known = self._scoped[plain, scope] = replace(plain, scope=scope, plain=plain)
        return known

    def resolve(self, reference: object, resource: Resource, path: Path) -> tuple[Any, Resource, Path]:
        """What a reference points to: a schema, its resource and its place. Raises `InvalidSchemaError`."""
        if not isinstance(reference, str):
            raise InvalidSchemaError("a reference must be a string", pointer=pointer(path), keyword="$ref")
        key = (id(resource), reference)
        found = self._resolved.get(key)
        if found is None:
            schema, target, at = self._resolve(reference, resource.plain or resource, path)
            found = self._resolved[key] = (schema, self._within(target, resource.scope), at)
        return found

    def resolve_dynamic(
        self, keyword: str, reference: object, resource: Resource, path: Path
    ) -> tuple[Any, Resource, Path]:
        """What `$dynamicRef` or `$recursiveRef` points to in the resource's dynamic scope."""
        schema, target, at = self.resolve(reference, resource, path)
        name: str | None = None
        if keyword == "$recursiveRef":
            name = _RECURSIVE
        else:
            fragment = unquote(str(reference).partition("#")[2])
            if fragment and fragment in target.dynamic and target.dynamic[fragment][0] is schema:
                name = fragment
        outer = dict(resource.scope).get(name) if name is not None else None
        if outer is None or (name == _RECURSIVE and name not in target.dynamic):
            return schema, target, at
        assert name is not None
        schema, at = outer.dynamic[name]
        return schema, self.enter(schema, self._within(outer, resource.scope), at), at

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
            target = self._own(schema, target, at)
        return schema, target, at

    def _document(self, uri: str, path: Path) -> Resource:
        found = self._resources.get(uri)
        if found is None:
            self._scan(self._main)
            found = self._resources.get(uri)
        if found is None:
            schema = self._find(uri)
            if schema is not None:
                found = Resource(uri, schema, self._dialect(schema, self._main.dialect), uri + "#")
                self._resources[uri] = found
                self._scan(found)
        if found is None:
            raise UnsupportedSchemaError(
                f"the reference leads to {uri!r}, which is not in the registry",
                pointer=pointer(path),
                keyword="$ref",
                advice="pass the document in `registry`; nothing is fetched",
            )
        return found

    def _find(self, uri: str) -> Any:
        """A document that the caller supplied, or a built-in meta-schema; None if there is none."""
        for name in (uri, uri + "#"):
            if name in self._registry:
                return self._registry[name]
        return built_in(uri)

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
                resource = self._own(here, resource, at)
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
            inside = self._own(schema, around, path)
            if inside is not around:
                self._scanned.add(id(inside))
            if inside.anchors is None:
                inside.anchors = {}
            for name in anchor_names(schema, inside.draft):
                inside.anchors.setdefault(name, (schema, path))
            dynamic = dynamic_anchor(schema, inside)
            if dynamic is not None:
                inside.dynamic.setdefault(dynamic, (schema, path))
            pending.extend((child, inside, at) for child, at in children(schema, path))


def dynamic_anchor(schema: dict[str, Any], resource: Resource) -> str | None:
    """The name under which dynamic references find this schema."""
    if resource.draft == "2020-12":
        name = schema.get("$dynamicAnchor")
        return name if isinstance(name, str) else None
    recursive = resource.draft == "2019-09" and schema is resource.root and schema.get("$recursiveAnchor") is True
    return _RECURSIVE if recursive else None


def anchor_names(schema: dict[str, Any], draft: Draft) -> Iterator[str]:
    """The plain names this schema can be referred to by."""
    if at_least(draft, "2019-09"):
        words = ("$anchor", "$dynamicAnchor") if draft == "2020-12" else ("$anchor",)
        yield from (schema[word] for word in words if isinstance(schema.get(word), str))
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
