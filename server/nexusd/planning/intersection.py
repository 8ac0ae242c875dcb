"""Several places that one input fills: what must the input be?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import FieldType
from nexusd.definitions.shape import Anything, ListOf, MapOf, OrNull, Record, Scalar

if TYPE_CHECKING:
    from nexusd.definitions.model import Field
    from nexusd.definitions.shape import Shape
    from nexusd.errors import Fault

_TEXT: Final = "text"
_KINDS: Final = {
    FieldType.INT: "integer",
    FieldType.FLOAT: "number",
    FieldType.BOOL: "boolean",
    FieldType.ARRAY: "list",
    FieldType.JSON: "any",
}
"""The JSON form of a type; the types not named are text."""


@dataclass(frozen=True, slots=True)
class Both:
    """A value that fits two shapes."""

    first: Shape
    second: Shape

    def schema(self) -> dict[str, object]:
        """Both schemas."""
        return {"allOf": [self.first.schema(), self.second.schema()]}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """What is wrong for the first shape, else what is wrong for the second."""
        return self.first.check(value, pointer) or self.second.check(value, pointer)

    def normalise(self, value: object) -> object:
        """The value itself: each place brings it into its own form."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """What the first shape leads to."""
        return self.first.at(step)


def kind_of(shape: Shape) -> str:
    """The JSON form of values of a shape: text, integer, number, boolean, list, object or any."""
    if isinstance(shape, Scalar):
        return _KINDS.get(shape.field.type, _TEXT)
    if isinstance(shape, ListOf):
        return "list"
    if isinstance(shape, Record | MapOf):
        return "object"
    if isinstance(shape, Both):
        return kind_of(shape.first)
    if isinstance(shape, OrNull):
        return kind_of(shape.shape)
    return "any"


def assignable(source: Shape, target: Shape) -> bool:
    """Whether a value of the one form can be one of the other."""
    have, want = kind_of(source), kind_of(target)
    if "any" in (have, want) or have == want:
        return True
    # Integers are numbers; decimals and bigints, which travel as text, take integers too.
    return (have == "integer" and want == "number") or (have in {"integer", "number"} and _takes_numbers(target))


def _takes_numbers(shape: Shape) -> bool:
    return isinstance(shape, Scalar) and shape.field.type in {FieldType.DECIMAL, FieldType.BIGINT}


def intersect(first: Shape, second: Shape) -> Shape | None:
    """The shape of a value that fits both; None when there is no such value."""
    if first == second or _is_any(second):
        return first
    if _is_any(first):
        return second
    if kind_of(first) != kind_of(second):
        if {kind_of(first), kind_of(second)} == {"integer", "number"}:
            return Both(first, second)
        return Both(first, second) if "any" in (kind_of(first), kind_of(second)) else None
    if isinstance(first, Scalar) and isinstance(second, Scalar):
        return _intersect_fields(first.field, second.field)
    return Both(first, second)


def _is_any(shape: Shape) -> bool:
    if isinstance(shape, Scalar):
        return shape.field.type is FieldType.JSON
    return isinstance(shape, Anything)


def _intersect_fields(first: Field, second: Field) -> Shape | None:
    if first.type is second.type is FieldType.ENUM and not set(first.values) & set(second.values):
        return None
    narrower, wider = _by_width(first, second)
    if narrower is not None and wider is not None:
        return Scalar(narrower)
    return Both(Scalar(first), Scalar(second))


def _by_width(first: Field, second: Field) -> tuple[Field | None, Field | None]:
    """The two in order, if every value of the one fits the other; else Nones."""
    for narrow, wide in ((first, second), (second, first)):
        if _fits(narrow, wide):
            return narrow, wide
    return None, None


def _fits(narrow: Field, wide: Field) -> bool:
    """Whether every value of `narrow` is surely one of `wide`."""
    same = ("type", "pattern", "format", "precision", "scale", "items", "minimum", "maximum")
    if any(getattr(narrow, name) != getattr(wide, name) for name in same):
        return False
    return (
        (wide.nullable or not narrow.nullable)
        and (wide.max_length is None or (narrow.max_length is not None and narrow.max_length <= wide.max_length))
        and (wide.min_length is None or (narrow.min_length is not None and narrow.min_length >= wide.min_length))
        and (not wide.values or set(narrow.values) <= set(wide.values))
    )
