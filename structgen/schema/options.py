"""What the caller may choose: one frozen object, whose defaults are the documented departures from the standard.

`SchemaOptions()` is the profile for language models: text as `json.dumps` would write it. `SchemaOptions.exact()` turns
every departure off that a regular spelling can turn off. This module knows no schema and builds no node.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

Whitespace: TypeAlias = Literal["bounded", "compact", "any", "fixed"]
PropertyOrder: TypeAlias = Literal["declared", "any"]
Escapes: TypeAlias = Literal["any", "canonical"]
Draft: TypeAlias = Literal["draft3", "draft4", "draft6", "draft7", "2019-09", "2020-12"]

_CHOICES: dict[str, tuple[object, ...]] = {
    "whitespace": get_args(Whitespace),
    "property_order": get_args(PropertyOrder),
    "string_escapes": get_args(Escapes),
    "literal_escapes": get_args(Escapes),
    "default_draft": ("draft4", "draft6", "draft7", "2019-09", "2020-12"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaOptions:
    """How a schema is read and how its instances are spelled. Every field has a value that follows the standard.

    whitespace: "bounded" (a space, or a line break and up to `max_indent` spaces or tabs; where: `whitespace.py`),
        "compact" (none), "any" (what RFC 8259 allows, without limit), "fixed" (exactly as `json.dumps` with `indent`
        and `separators`).
    property_order: "any" (keys in any order, as the standard has it) or "declared" (declared keys in the order of the
        schema, additional ones after them, which leaves a model less to decide). Objects with more than 1,000 declared
        keys that also limit their number, or make demands on each other, keep the declared order in either case.
    string_escapes: "any" (each legal escape of each allowed character) or "canonical" (as `json.dumps` writes it).
    literal_escapes: the same for declared keys and for strings of `enum` and `const`.
    integer_fractions: whether integers may also be spelled `1.0` and `1e3`.
    negative_zero: whether zero may also be spelled `-0`.
    format_assertion: whether `format` is enforced; None follows the draft (enforced up to draft 7).
    default_draft: the draft of a schema without `$schema`.
    max_forms, max_steps: how many alternatives the normal form of one schema may have, and how much work combining may
        take, before `GrammarTooComplex` is raised.
    """

    whitespace: Whitespace = "bounded"
    max_indent: int = 32
    indent: int | None = None
    separators: tuple[str, str] = (", ", ": ")
    property_order: PropertyOrder = "any"
    string_escapes: Escapes = "any"
    literal_escapes: Escapes = "canonical"
    integer_fractions: bool = False
    negative_zero: bool = False
    format_assertion: bool | None = True
    default_draft: Draft = "2020-12"
    max_forms: int = 2_000
    max_steps: int = 300_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            allowed = _CHOICES.get(field.name)
            if allowed is not None and value not in allowed:
                raise ValueError(f"{field.name} must be one of {', '.join(map(repr, allowed))}, not {value!r}")
        for name in ("integer_fractions", "negative_zero"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be True or False")
        if self.format_assertion not in (True, False, None):
            raise ValueError("format_assertion must be True, False or None")
        if not 0 <= self.max_indent <= 256:
            raise ValueError("max_indent must be between 0 and 256")
        if self.max_forms < 1 or self.max_steps < 1:
            raise ValueError("max_forms and max_steps must be at least 1")
        if self.indent is not None and (self.whitespace != "fixed" or not 0 <= self.indent <= 64):
            raise ValueError("indent needs whitespace='fixed' and must be between 0 and 64")
        _check_separators(self.separators)

    @classmethod
    def exact(cls, *, format_assertion: bool | None = None) -> SchemaOptions:
        """The profile without departures: any whitespace, any escapes, `1.0` is an integer, `-0` is zero."""
        return cls(
            whitespace="any",
            literal_escapes="any",
            integer_fractions=True,
            negative_zero=True,
            format_assertion=format_assertion,
        )


def _check_separators(separators: tuple[str, str]) -> None:
    """Each separator is its sign with JSON whitespace around it."""
    for separator, sign in zip(separators, ",:", strict=True):
        if separator.strip(" \t\r\n") != sign:
            raise ValueError(f"a separator must be {sign!r} with whitespace around it, not {separator!r}")


DEFAULT = SchemaOptions()
"""What is chosen where nothing is: made once, since looking through it takes as long as reading a small schema."""
