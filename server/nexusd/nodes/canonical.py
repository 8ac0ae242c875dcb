"""Tells quickly whether records are valid and in canonical form already, as validated inputs are.

msgspec decides what it can in one pass over all records; the rest is looked at value by value. A "no" means only that
the slow walk of `wire.check_value` has to find out what is wrong or what must be normalised.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal, Union

import msgspec

from nexusd.definitions.field_schema import MAX_SAFE_INTEGER
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.wire import EMAIL, check_value, normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

_BIGINT: Final = r"^(0|-?[1-9][0-9]{0,17})\Z"
"""Up to 18 digits, which surely fit into 64 bits."""

_PATTERNS: Final = {
    FieldType.DATETIME: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z\Z",
    FieldType.DATE: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}\Z",
    FieldType.TIME: r"^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}\Z",
    FieldType.UUID: r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z",
}


_LOOKED_AT: Final = frozenset(
    {FieldType.FLOAT, FieldType.DATETIME, FieldType.DATE, FieldType.BYTES, FieldType.JSON, FieldType.ARRAY},
)


class CanonicalRecords:
    """Judges records that hold some of these fields.

    Args:
        fields: what a record may hold.
        required: what it must hold.
    """

    def __init__(self, fields: Iterable[Field], required: frozenset[str]) -> None:
        self._fields = tuple(fields)
        record = msgspec.defstruct(
            "Record",
            [_member(f"f{i}", field, required=field.name in required) for i, field in enumerate(self._fields)],
            rename={f"f{i}": field.name for i, field in enumerate(self._fields)},
            forbid_unknown_fields=True,
            kw_only=True,
        )
        self._type = list[record]  # type: ignore[valid-type]
        self._looks = tuple((field.name, _look(field)) for field in self._fields if _needs_look(field))

    def hold(self, records: Sequence[object]) -> bool:
        """Whether every record is valid and canonical."""
        try:
            msgspec.convert(records, self._type)
            text = msgspec.json.encode(records)
        except (msgspec.ValidationError, UnicodeEncodeError, TypeError, OverflowError):
            return False
        # NUL is written as an escape; a text that spells the escape out is left to the slow walk.
        return b"\\u0000" not in text and all(_all(look, name, records) for name, look in self._looks)


def _all(look: Callable[[object], bool], name: str, records: Iterable[object]) -> bool:
    values = (record.get(name) for record in records if isinstance(record, dict))
    return all(look(value) for value in values if value is not None)


def _member(name: str, field: Field, *, required: bool) -> tuple[str, object] | tuple[str, object, object]:
    # What msgspec can tell of the field's canonical values.
    kind: object = _TYPES.get(field.type, _matching)(field)
    if field.nullable:
        kind = Union[kind, None]  # noqa: UP007 - made of values
    return (name, kind) if required else (name, Union[kind, msgspec.UnsetType], msgspec.UNSET)  # noqa: UP007


def _text(field: Field) -> object:
    pattern = field.pattern
    if _is_email_alone(field):
        pattern = rf"^(?:{EMAIL.pattern})\Z"
    return Annotated[str, msgspec.Meta(min_length=field.min_length, max_length=field.max_length, pattern=pattern)]


def _is_email_alone(field: Field) -> bool:
    return field.format == "email" and field.pattern is None


def _integer(field: Field) -> object:
    low = field.minimum if isinstance(field.minimum, int) else -MAX_SAFE_INTEGER
    high = field.maximum if isinstance(field.maximum, int) else MAX_SAFE_INTEGER
    return Annotated[int, msgspec.Meta(ge=low, le=high)]


def _decimal(field: Field) -> object:
    scale = field.scale or 0
    if field.precision is None:
        return str
    whole = field.precision - scale
    digits = f"(0|[1-9][0-9]{{0,{whole - 1}}})" if whole > 0 else "0"
    fraction = rf"\.[0-9]{{{scale}}}" if scale else ""
    return Annotated[str, msgspec.Meta(pattern=rf"^(?!-[0.]+\Z)-?{digits}{fraction}\Z")]


def _matching(field: Field) -> object:
    return Annotated[str, msgspec.Meta(pattern=_PATTERNS[field.type])]


_TYPES: Final[Mapping[FieldType, Callable[[Field], object]]] = {
    FieldType.STR: _text,
    FieldType.INT: _integer,
    FieldType.BIGINT: lambda _field: Annotated[str, msgspec.Meta(pattern=_BIGINT)],
    FieldType.FLOAT: lambda _field: float,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOL: lambda _field: bool,
    FieldType.JSON: lambda _field: object,
    FieldType.BYTES: lambda _field: str,
    FieldType.ENUM: lambda field: Literal[field.values],
    FieldType.ARRAY: lambda _field: list[object],
}


def _needs_look(field: Field) -> bool:
    """Whether the type does not say all there is to say."""
    if field.type in _LOOKED_AT:
        return True
    if field.type is FieldType.DECIMAL and field.precision is None:
        return True
    bounded = field.minimum is not None or field.maximum is not None
    formatted = field.format is not None and not _is_email_alone(field)
    return formatted or (bounded and field.type is not FieldType.INT)


def _look(field: Field) -> Callable[[object], bool]:
    if field.type is FieldType.DATETIME:
        return _is_datetime
    if field.type is FieldType.DATE:
        return _is_date
    if field.type is FieldType.FLOAT and field.minimum is field.maximum is None:
        return _is_finite
    return lambda value: not check_value(field, value, "") and normalise(field, value) == value


def _is_finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _is_datetime(value: object) -> bool:
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return True


def _is_date(value: object) -> bool:
    try:
        date.fromisoformat(str(value))
    except ValueError:
        return False
    return True
