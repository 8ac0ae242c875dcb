"""Several places that one value fills: what must the value be?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import FieldType
from nexusd.definitions.shape import ANYTHING, Anything, ListOf, OrNull, Record, Scalar
from nexusd.definitions.wire import check_value
from nexusd.planning.values import ANY, BOOLEAN, INTEGER, NUMBER, SCALAR, TEXT, Plain, kind_of

if TYPE_CHECKING:
    from nexusd.definitions.model import Field
    from nexusd.definitions.shape import Shape
    from nexusd.errors import Fault

_FORMS: Final = (
    frozenset({FieldType.DATETIME}),
    frozenset({FieldType.DATE}),
    frozenset({FieldType.TIME}),
    frozenset({FieldType.UUID}),
    frozenset({FieldType.DECIMAL, FieldType.BIGINT}),
)
"""Types whose text has a form of its own: no text is of two of these."""

_NUMERALS: Final = frozenset({FieldType.DECIMAL, FieldType.BIGINT})
_SCALARS: Final = frozenset({TEXT, INTEGER, NUMBER, BOOLEAN})


@dataclass(frozen=True, slots=True)
class AllOf:
    """A value that fits several shapes.

    Attributes:
        shapes: of which none is an AllOf itself.
    """

    shapes: tuple[Shape, ...]

    def schema(self) -> dict[str, object]:
        """All schemas."""
        return {"allOf": [shape.schema() for shape in self.shapes]}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """What is wrong for the first shape that the value does not fit."""
        return next((faults for shape in self.shapes if (faults := shape.check(value, pointer))), [])

    def normalise(self, value: object) -> object:
        """The value itself: each place brings it into its own form."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """What all shapes lead to."""
        found: Shape | None = ANYTHING
        for shape in self.shapes:
            below = shape.at(step)
            found = None if below is None or found is None else intersect(found, below)
        return found


def assignable(source: Shape, target: Shape) -> bool:
    """Whether a value of the one shape can be one of the other; into lists and objects nobody looks."""
    have, want = _kind(source), _kind(target)
    if not {have, want} <= _SCALARS | {SCALAR}:
        return ANY in (have, want) or have == want
    # An input may be a number for a decimal too; what a node gives as a decimal or bigint is text.
    if have == TEXT and want in {INTEGER, NUMBER, BOOLEAN}:
        return False
    return intersect(source, target) is not None


def intersect(first: Shape, second: Shape) -> Shape | None:
    """The shape of a value that fits both; None when there is no such value, null aside."""
    if first == second or _is_any(second):
        return first
    if _is_any(first):
        return second
    if isinstance(first, OrNull) or isinstance(second, OrNull):
        return _without_null(first, second)
    for each, other in ((first, second), (second, first)):
        if isinstance(each, AllOf):
            return _with_all(each, other)
    return _of_alike(first, second) if _alike(first, second) else None


def _of_alike(first: Shape, second: Shape) -> Shape | None:
    if isinstance(first, Scalar) and isinstance(second, Scalar):
        return _of_fields(first.field, second.field)
    if isinstance(first, Record) and isinstance(second, Record):
        return _of_records(first, second)
    if isinstance(first, ListOf) and isinstance(second, ListOf):
        return _of_lists(first, second)
    for each, other in ((first, second), (second, first)):
        if isinstance(each, Plain):
            return _of_plain(each, other)
    return _all_of(first, second)


def _all_of(*shapes: Shape) -> AllOf:
    return AllOf(tuple(each for shape in shapes for each in (shape.shapes if isinstance(shape, AllOf) else (shape,))))


def _with_all(those: AllOf, other: Shape) -> Shape | None:
    """Every shape with the other one; what one of them can say of both is not said twice."""
    merged = [intersect(shape, other) for shape in those.shapes]
    if any(each is None for each in merged):
        return None
    for i, each in enumerate(merged):
        if each is not None and not isinstance(each, AllOf):
            return AllOf((*those.shapes[:i], each, *those.shapes[i + 1 :]))
    return _all_of(those, other)


def _of_lists(first: ListOf, second: ListOf) -> Shape:
    items = intersect(first.items, second.items)
    if items is None:
        # The empty list still is both.
        return _all_of(first, second)
    most = [limit for limit in (first.max_items, second.max_items) if limit is not None]
    return ListOf(items, min(most, default=None), nullable=first.nullable and second.nullable)


def _without_null(first: Shape, second: Shape) -> Shape | None:
    """Of shapes of which at least one allows null beside what it is."""
    inner = intersect(
        first.shape if isinstance(first, OrNull) else first, second.shape if isinstance(second, OrNull) else second
    )
    if inner is None:
        return None
    return OrNull(inner) if not first.check(None, "") and not second.check(None, "") else inner


def _is_any(shape: Shape) -> bool:
    if isinstance(shape, Scalar):
        return shape.field.type is FieldType.JSON
    return isinstance(shape, Anything)


def _kind(shape: Shape) -> str:
    return _kind(shape.shapes[0]) if isinstance(shape, AllOf) else kind_of(shape)


def _alike(first: Shape, second: Shape) -> bool:
    """Whether the JSON forms of two shapes have anything in common."""
    kinds = {_kind(first), _kind(second)}
    if len(kinds) == 1 or ANY in kinds or kinds == {INTEGER, NUMBER}:
        return True
    if SCALAR in kinds:
        return bool(kinds & _SCALARS)
    # Decimals and bigints, which travel as text, take numbers too.
    return kinds <= {TEXT, INTEGER, NUMBER} and any(_kind(s) == TEXT and _takes_numbers(s) for s in (first, second))


def _takes_numbers(shape: Shape) -> bool:
    return isinstance(shape, Scalar) and shape.field.type in _NUMERALS


def _of_plain(plain: Plain, other: Shape) -> Shape:
    """Of a shape that says no more than a JSON type: the other one says it all, null aside."""
    if isinstance(other, Plain):
        return plain if len(plain.types) <= len(other.types) else other
    is_wider = plain.kind in {SCALAR, _kind(other)}
    return other if is_wider and other.check(None, "") else _all_of(other, plain)


def _of_records(first: Record, second: Record) -> Shape | None:
    properties: dict[str, Shape] = {}
    required = first.required | second.required
    for name in dict.fromkeys((*first.properties, *second.properties)):
        one, other = first.at(name), second.at(name)
        both = None if one is None or other is None else intersect(one, other)
        if both is not None:
            properties[name] = both
        elif name in required:
            return None
    return Record(
        properties,
        required,
        closed=first.closed or second.closed,
        nullable=first.nullable and second.nullable,
        description=first.description or second.description,
    )


def _of_fields(first: Field, second: Field) -> Shape | None:
    """Of two scalars: one field with the limits of both, where one can say it all."""
    if _kind(Scalar(first)) == TEXT == _kind(Scalar(second)) and not _text_in_common(first, second):
        return None
    if not _numbers_in_common(first, second):
        return None
    for enum, other in ((first, second), (second, first)):
        if enum.type is FieldType.ENUM:
            values = tuple(value for value in enum.values if not check_value(other, value, ""))
            nullable = enum.nullable and other.nullable
            return Scalar(replace(enum, values=values, nullable=nullable)) if values else None
    merged = _merged(first, second)
    return AllOf((Scalar(first), Scalar(second))) if merged is None else Scalar(merged)


def _merged(first: Field, second: Field) -> Field | None:
    """The first field with the limits of the second too; None where one field cannot have both."""
    if first.type is not second.type:
        return None
    changes: dict[str, object] = {"nullable": first.nullable and second.nullable}
    for name in ("pattern", "format", "precision", "scale", "items"):
        one, other = getattr(first, name), getattr(second, name)
        if one is not None and other is not None and one != other:
            return None
        changes[name] = other if one is None else one
    for name, narrower in (("minimum", max), ("min_length", max), ("maximum", min), ("max_length", min)):
        limits = [limit for field in (first, second) if (limit := getattr(field, name)) is not None]
        changes[name] = narrower(limits, key=_number) if limits else None
    changes["description"] = first.description or second.description
    return replace(first, **changes)  # type: ignore[arg-type]


def _text_in_common(first: Field, second: Field) -> bool:
    forms = [form for form in _FORMS for field in (first, second) if field.type in form]
    if len(forms) > 1 and forms[0] is not forms[1]:
        return False
    least = max(first.min_length or 0, second.min_length or 0)
    most = min((limit for limit in (first.max_length, second.max_length) if limit is not None), default=least)
    return least <= most


def _numbers_in_common(first: Field, second: Field) -> bool:
    lows = [_number(field.minimum) for field in (first, second) if field.minimum is not None]
    highs = [_number(field.maximum) for field in (first, second) if field.maximum is not None]
    return not lows or not highs or max(lows) <= min(highs)


def _number(limit: object) -> Decimal:
    return Decimal(str(limit))
