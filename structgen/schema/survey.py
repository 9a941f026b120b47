"""The cheap pass: every reachable schema is looked at once, keyword by keyword, before anything is compiled.

It checks the kinds of values, follows references, and collects all that structgen refuses, each with its pointer. It
expands nothing: what only shows when parts are combined is `compile.py`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from structgen.errors import GrammarSyntaxError, GrammarTooComplex, InvalidSchemaError, UnsupportedSchemaError
from structgen.grammar.regex import search_regex
from structgen.schema.schemas import OF_TYPE, Path, Resource, Schemas, is_bare_reference, pointer, says_type_only
from structgen.schema.values import is_number

Check = Callable[["Survey", Any, dict[str, Any]], None]


_SURELY_COUNTED = 10_000  # Counts up to here are within the engine's limit, which is looked up beyond.
_LEAST = {"minLength": "string", "minItems": "array", "minContains": "array", "minProperties": "object"}

Problem = InvalidSchemaError | UnsupportedSchemaError | GrammarTooComplex


class _DynamicReference(Exception):
    """A reference was met whose target depends on the dynamic scope, and scopes were not told apart so far."""


class Survey:
    """One walk over one schema. `problems` is what it found, `hard` whether parts of the schema must be combined."""

    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas
        self.options = schemas.options
        self._begin()

    def _begin(self) -> None:
        schemas = self.schemas
        self.problems: list[Problem] = [schemas.dialect_problem] if schemas.dialect_problem else []
        self.hard = False
        self.num_branches = 0  # of `anyOf`, in all
        self.resource = schemas.main
        self.path: Path = ""
        self.keyword = ""
        self.visited: list[tuple[Any, Resource, Path]] = [(schemas.main.root, schemas.main, "")]

    def run(self) -> None:
        """Walk everything that the root reaches; again from the start if dynamic scopes turn out to matter."""
        try:
            self._walk()
        except _DynamicReference:
            self.schemas.follow_dynamic()
            self._begin()
            self._walk()

    def _walk(self) -> None:
        seen: set[tuple[int, int]] = set()
        schemas = self.schemas
        for schema, resource, path in self.visited:  # Grows while we walk.
            if schema is True or schema is False:
                continue
            if not isinstance(schema, dict):
                self.path, self.keyword = path, ""
                self.invalid("a schema must be an object or a boolean")
                continue
            if says_type_only(schema):
                continue
            resource = schemas.enter(schema, resource, path)
            key = (id(schema), id(resource))
            if key in seen:
                continue
            seen.add(key)
            self.resource, self.path = resource, path
            if "$ref" in schema and is_bare_reference(schema, self.resource.draft):
                self.keyword = "$ref"
                reference(self, schema["$ref"], schema)
                continue
            for keyword, value in schema.items():
                check = CHECKS.get(keyword)
                if check is not None and keyword not in resource.dialect.ignored:
                    self.keyword = keyword
                    check(self, value, schema)

    def push(self, schema: Any, *tokens: str | int) -> None:
        """Look at a sub-schema later."""
        if schema is True or schema is False:
            return
        path: Path = (self.path, self.keyword)
        for token in tokens:
            path = (path, token)
        self.visited.append((schema, self.resource, path))

    def visit(self, schema: Any, resource: Resource, path: Path) -> None:
        """Look at a schema elsewhere later."""
        self.visited.append((schema, resource, path))

    @property
    def ignored(self) -> bool:
        """Whether the draft gives the current keyword no meaning."""
        return not self.resource.knows(self.keyword)

    def invalid(self, reason: str) -> None:
        """The document is not a schema."""
        where = pointer(self.path)
        self.problems.append(InvalidSchemaError(reason, pointer=where, keyword=self.keyword or None))

    def refuse(self, reason: str, advice: str | None = None) -> None:
        """The schema is one, but cannot be enforced."""
        where = pointer(self.path)
        self.problems.append(UnsupportedSchemaError(reason, pointer=where, keyword=self.keyword, advice=advice))


# --- checks: one per kind of value, then the keywords that need one of their own ---


def subschema(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is a schema."""
    survey.push(value)


def hard_subschema(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is a schema that has to be combined with others."""
    if not survey.ignored:
        survey.hard = True
        survey.push(value)


def by_name(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is an object of schemas."""
    if not isinstance(value, dict):
        return survey.invalid("it must be an object of schemas")
    path, resource, pending = (survey.path, survey.keyword), survey.resource, survey.visited
    for name, child in value.items():
        if child is not True and child is not False:
            pending.append((child, resource, (path, name)))
    return None


def in_list(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is a list of schemas."""
    if survey.ignored:
        return
    if not isinstance(value, list):
        survey.invalid("it must be a list of schemas")
        return
    for index, child in enumerate(value):
        survey.push(child, index)


def hard_list(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is a list of schemas that have to be combined."""
    survey.hard = True
    in_list(survey, value, schema)
    if value == []:
        survey.invalid("it must not be empty")


def any_of(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A union, which has to be combined with what stands beside it. A wide one is looked at before it is written."""
    survey.num_branches += len(value) if isinstance(value, list) else 0
    survey.hard = survey.hard or survey.num_branches > survey.options.max_forms // 8
    survey.hard = survey.hard or any(keyword in CHECKS for keyword in schema if keyword not in ("anyOf", "$defs"))
    in_list(survey, value, schema)


def reference(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A reference: it must lead somewhere."""
    try:
        found = survey.schemas.resolve(value, survey.resource, survey.path)
    except (InvalidSchemaError, UnsupportedSchemaError) as error:
        survey.problems.append(error)
        return
    if len(schema) > 1 and not is_bare_reference(schema, survey.resource.draft):
        survey.hard = True
    _follow(survey, *found)


def dynamic_reference(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A reference whose target depends on where evaluation came from."""
    if survey.ignored:
        return
    if not survey.schemas.dynamic:
        raise _DynamicReference
    try:
        found = survey.schemas.resolve_dynamic(survey.keyword, value, survey.resource, survey.path)
    except (InvalidSchemaError, UnsupportedSchemaError) as error:
        survey.problems.append(error)
        return
    survey.hard = True
    _follow(survey, *found)


def _follow(survey: Survey, target: Any, resource: Resource, path: Path) -> None:
    if isinstance(target, dict):
        survey.schemas.mark_target(target, resource, path)
    survey.visit(target, resource, path)


def count(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is an integer that is not negative (`2.0` is one too)."""
    if survey.ignored:
        return
    whole = is_number(value) and value == int(value) if not isinstance(value, str) else False
    if not whole or value < 0:
        survey.invalid("it must be an integer that is not negative")
    elif value > _SURELY_COUNTED and survey.keyword in _LEAST:
        _count_to(survey, int(value), schema)


def _count_to(survey: Survey, least: int, schema: dict[str, Any]) -> None:
    """Texts must have so many of something: the engine's counters end somewhere."""
    from structgen_kernels.arena import MAX_COUNT

    types = schema.get("type", _LEAST.get(survey.keyword, "string"))
    if least > MAX_COUNT and _LEAST.get(survey.keyword, "string") in (types if isinstance(types, list) else [types]):
        survey.problems.append(
            GrammarTooComplex(
                f"at least {least} are asked for, and no more than {MAX_COUNT} can be counted",
                pointer=pointer(survey.path),
                keyword=survey.keyword,
                advice="ask for less",
            )
        )


def number(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """The value is a number."""
    if not is_number(value):
        survey.invalid("it must be a number")


def exclusive(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A number, or the boolean of draft 4."""
    if not isinstance(value, bool):
        number(survey, value, schema)


def multiple_of(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A number above 0."""
    if not is_number(value) or value <= 0:
        survey.invalid("it must be a number greater than 0")
    elif value != 1:
        survey.hard = True  # Some multiples have no small automaton, which depends on the bounds beside them.


def type_(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A type or a list of them."""
    if type(value) is str:
        if value not in OF_TYPE:
            survey.invalid(f"{value!r} is not a JSON type")
    elif not isinstance(value, list) or any(name not in OF_TYPE for name in value if isinstance(name, str)):
        survey.invalid("it must be a JSON type or a list of them")
    elif not value:
        survey.invalid("it must not be empty")
    elif not all(isinstance(name, str) for name in value):
        survey.refuse("schemas inside type (draft 3)", "use anyOf")


def enum(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A list of values."""
    if not isinstance(value, list):
        survey.invalid("it must be a list")


def required(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A list of names."""
    if isinstance(value, bool):
        survey.invalid("it must be a list of names (the boolean is of draft 3)")
    elif not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        survey.invalid("it must be a list of names")


def pattern(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A regular expression that structgen can read."""
    if not isinstance(value, str):
        survey.invalid("it must be a string")
        return
    _regex(survey, value)
    if not schema.keys().isdisjoint(("minLength", "maxLength", "format")):
        survey.hard = True


def _regex(survey: Survey, expression: str) -> None:
    try:
        language = search_regex(expression)
        if language.min_bound > _SURELY_COUNTED:
            _count_to(survey, language.min_bound, {})
    except GrammarSyntaxError as error:
        survey.refuse(f"the regular expression {expression!r} is not supported: {error.message}", error.advice)


def pattern_properties(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """Schemas by regular expression."""
    if not isinstance(value, dict):
        survey.invalid("it must be an object of schemas")
        return
    for expression, child in value.items():
        _regex(survey, expression)
        survey.push(child, expression)
    if len(value) > 1 or "properties" in schema:
        survey.hard = True


def format_(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A format: enforced, or unknown and an annotation."""
    if not isinstance(value, str):
        survey.invalid("it must be a string")


def items(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A schema, or in older drafts a list of them."""
    if isinstance(value, list):
        for index, child in enumerate(value):
            survey.push(child, index)
    else:
        survey.push(value)


def unique_items(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """A boolean. Whether the items can be told apart shows when they are known."""
    if not isinstance(value, bool):
        survey.invalid("it must be a boolean")
    elif value:
        survey.hard = True


def dependencies(survey: Survey, value: Any, schema: dict[str, Any]) -> None:
    """Names or schemas by name."""
    if survey.ignored:
        return
    survey.hard = True
    if not isinstance(value, dict):
        survey.invalid("it must be an object")
        return
    for name, demand in value.items():
        if isinstance(demand, list):
            if not all(isinstance(other, str) for other in demand):
                survey.invalid("it must be a list of names")
        else:
            survey.push(demand, name)


CHECKS: dict[str, Check] = {
    "type": type_,
    "properties": by_name,
    "required": required,
    "additionalProperties": subschema,
    "items": items,
    "enum": enum,
    "const": lambda survey, value, schema: None,
    "$ref": reference,
    "pattern": pattern,
    "format": format_,
    "minimum": number,
    "maximum": number,
    "exclusiveMinimum": exclusive,
    "exclusiveMaximum": exclusive,
    "multipleOf": multiple_of,
    "minLength": count,
    "maxLength": count,
    "minItems": count,
    "maxItems": count,
    "uniqueItems": unique_items,
    "prefixItems": in_list,
    "additionalItems": subschema,
    "contains": hard_subschema,
    "minContains": count,
    "maxContains": count,
    "minProperties": count,
    "maxProperties": count,
    "patternProperties": pattern_properties,
    "propertyNames": hard_subschema,
    "anyOf": any_of,
    "allOf": hard_list,
    "oneOf": hard_list,
    "not": hard_subschema,
    "if": hard_subschema,
    "then": hard_subschema,
    "else": hard_subschema,
    "dependencies": dependencies,
    "dependentRequired": dependencies,
    "dependentSchemas": dependencies,
    "unevaluatedProperties": hard_subschema,
    "unevaluatedItems": hard_subschema,
    "$dynamicRef": dynamic_reference,
    "$recursiveRef": dynamic_reference,
}
