"""Wire values to driver values and back, per field type and dialect.

A wire value is what JSON carries (docs/reference.md, section 3), checked and normalised before it comes here.
PostgreSQL's temporal, numeric, uuid and json values cross as its own text (the connection installs text codecs); SQLite
stores them as text of fixed form, so that text order is value order.
"""

# ruff: noqa: S608 - names come from the registry and are quoted

from __future__ import annotations

import math
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from nexusd.databases.database import Dialect
from nexusd.definitions.model import Field, FieldType

if TYPE_CHECKING:
    from collections.abc import Sequence

Convert: TypeAlias = Callable[..., object]
"""One value to another; never called with None."""

SQLITE_EXACT_DIGITS: Final = 15
"""Decimals up to this precision survive SQLite's NUMERIC, which may store them as a double; longer ones are text."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How values of one field cross the driver.

    Attributes:
        encode: wire to driver; None: the same.
        decode: driver to wire; None: the same.
        cast: what stands behind a placeholder, such as `::uuid`.
        select: what stands behind the column in a select list, such as `::text[]`.
    """

    encode: Convert | None = None
    decode: Convert | None = None
    cast: str = ""
    select: str = ""


def codec_of(field: Field, dialect: Dialect) -> Codec:
    """The codec of a field in a dialect."""
    if dialect is Dialect.POSTGRESQL:
        return _postgresql_array(field) if field.type is FieldType.ARRAY else _POSTGRESQL[field.type]
    if field.type is FieldType.DECIMAL and is_sqlite_numeric(field):
        return Codec(decode=_fixed_point(field.scale or 0))
    if field.type is FieldType.ARRAY and field.items is FieldType.FLOAT:
        return Codec(_json_list(float), msgspec.json.decode)
    return _SQLITE[field.type]


def list_codec(field: Field, dialect: Dialect) -> Codec:
    """The codec of a list of the field's values that crosses as one argument (`$in`, ids)."""
    if dialect is Dialect.POSTGRESQL:
        return _postgresql_array(Field(name=field.name, type=FieldType.ARRAY, items=field.type))
    item = codec_of(field, dialect)
    encode = _HEX if field.type is FieldType.BYTES else item.encode
    return Codec(encode=_json_text if encode is None else _json_list(encode))


def item_codec(field: Field, dialect: Dialect) -> Codec:
    """The codec of one item that an array is asked for (`$has`); SQLite's arrays are JSON of the wire values."""
    kind = field.items or FieldType.STR
    if dialect is Dialect.POSTGRESQL:
        return _POSTGRESQL[kind]
    return _SQLITE[kind] if kind in {FieldType.BOOL, FieldType.FLOAT} else Codec()


def is_sqlite_numeric(field: Field) -> bool:
    """Whether a decimal column of SQLite is NUMERIC rather than text under a collation."""
    return field.precision is not None and field.precision <= SQLITE_EXACT_DIGITS


def json_column(field: Field) -> str:
    """The type of a field's column in json_to_recordset; bytes stand in JSON as text."""
    if field.type is FieldType.ARRAY:
        return f"{_json_types(field.items or FieldType.STR)}[]"
    return _json_types(field.type)


def json_column_value(field: Field, column: str) -> str:
    """The field's value out of its column in json_to_recordset."""
    if field.type is FieldType.BYTES:
        return f"decode({column}, 'base64') AS {column}"
    if field.type is FieldType.ARRAY and field.items is FieldType.BYTES:
        items = f"ARRAY(SELECT decode(item, 'base64') FROM unnest({column}) WITH ORDINALITY AS u(item, n) ORDER BY n)"
        return f"CASE WHEN {column} IS NOT NULL THEN {items} END AS {column}"
    return column


def _json_types(kind: FieldType) -> str:
    return "text" if kind is FieldType.BYTES else _POSTGRESQL[kind].cast.removeprefix("::")


# Shared


def _digits(value: str | int) -> int:
    return int(value)


def _bytes(value: str) -> bytes:
    return b64decode(value)


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode())


def _float(value: float) -> float | str:
    """A float; what JSON cannot say as a number leaves as text, where msgspec would write null."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _json_text(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _json_list(encode: Convert) -> Convert:
    return lambda values: _json_text([encode(value) for value in values])


def _HEX(value: str) -> str:  # noqa: N802
    return b64decode(value).hex().upper()


# PostgreSQL

_TIMESTAMP: Final = re.compile(r"(\d{4,})(-\d\d-\d\d)(?: ([\d:.]+)(\+00)?)?( BC)?")
_CLOCK_LENGTH: Final = len("12:00:00")


def _clock(text: str) -> str:
    """A time of day with six digits behind the point; PostgreSQL drops zeros there."""
    return f"{text}.000000" if len(text) == _CLOCK_LENGTH else f"{text}000000"[:15]


def _datetime(text: str) -> str:
    """RFC 3339 of a timestamptz under `TimeZone=UTC`.

    `infinity` stays as it is; years outside 1..9999 are written with a sign (ISO 8601), year 0 being 1 BC.
    """
    if text[10:11] == " " and text.endswith("+00"):
        return f"{text[:10]}T{_clock(text[11:-3])}Z"
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        return text
    year, rest, clock, _offset, before_christ = match.groups()
    return f"{_year(year, before_christ)}{rest}T{_clock(clock)}Z"


def _date(text: str) -> str:
    match = _TIMESTAMP.fullmatch(text)
    if match is None or (len(match[1]) == 4 and match[5] is None):  # noqa: PLR2004
        return text
    return f"{_year(match[1], match[5])}{match[2]}"


def _year(digits: str, before_christ: str | None) -> str:
    year = 1 - int(digits) if before_christ else int(digits)
    return digits if 0 < year <= 9999 else f"{year:+05}"  # noqa: PLR2004


_POSTGRESQL: Final[dict[FieldType, Codec]] = {
    FieldType.STR: Codec(cast="::text"),
    FieldType.ENUM: Codec(cast="::text"),
    FieldType.INT: Codec(cast="::bigint"),
    FieldType.BIGINT: Codec(_digits, str, "::bigint"),
    FieldType.FLOAT: Codec(float, _float, "::double precision"),
    FieldType.DECIMAL: Codec(cast="::numeric"),
    FieldType.BOOL: Codec(cast="::boolean"),
    FieldType.DATETIME: Codec(None, _datetime, "::timestamptz"),
    FieldType.DATE: Codec(None, _date, "::date"),
    FieldType.TIME: Codec(None, _clock, "::time"),
    FieldType.UUID: Codec(cast="::uuid"),
    FieldType.JSON: Codec(_json_text, _raw, "::jsonb"),
    FieldType.BYTES: Codec(_bytes, _base64, "::bytea"),
}

_TEXT_ITEMS: Final = frozenset(
    {FieldType.DECIMAL, FieldType.DATETIME, FieldType.DATE, FieldType.TIME, FieldType.UUID, FieldType.JSON},
)
"""Item types that cross in a text array."""


def _postgresql_array(field: Field) -> Codec:
    kind = field.items or FieldType.STR
    item = _POSTGRESQL[kind]
    as_text = "::text[]" if kind in _TEXT_ITEMS else ""
    return Codec(_each(item.encode), _each(item.decode), f"{as_text}{item.cast}[]", as_text)


def _each(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None

    def each(values: Sequence[object]) -> list[object]:
        return [None if value is None else convert(value) for value in values]

    return each


# SQLite


def _fixed_point(scale: int) -> Convert:
    def text(value: float) -> str:
        # Adding zero turns -0.0 into 0.0, which PostgreSQL's numeric does not tell apart.
        return f"{value + 0:.{scale}f}"

    return text


_SQLITE: Final[dict[FieldType, Codec]] = {
    FieldType.STR: Codec(),
    FieldType.ENUM: Codec(),
    FieldType.INT: Codec(),
    FieldType.BIGINT: Codec(_digits, str),
    FieldType.FLOAT: Codec(float, _float),
    FieldType.DECIMAL: Codec(),
    FieldType.BOOL: Codec(int, bool),
    FieldType.DATETIME: Codec(),
    FieldType.DATE: Codec(),
    FieldType.TIME: Codec(),
    FieldType.UUID: Codec(),
    FieldType.JSON: Codec(_json_text, _raw),
    FieldType.BYTES: Codec(_bytes, _base64),
    FieldType.ARRAY: Codec(_json_text, msgspec.json.decode),
}
