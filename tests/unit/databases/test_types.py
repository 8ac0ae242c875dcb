from __future__ import annotations

import msgspec
import pytest

from nexusd.databases.database import Dialect
from nexusd.databases.types import codec_of, json_column, json_column_value
from nexusd.definitions.model import Field, FieldType


def decoded(kind: FieldType, value: object, dialect: Dialect = Dialect.POSTGRESQL) -> object:
    """A driver's value as a wire value."""
    decode = codec_of(Field(name="f", type=kind), dialect).decode
    return value if decode is None else decode(value)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2026-03-01 12:00:00+00", "2026-03-01T12:00:00.000000Z"),
        ("2026-03-01 12:00:00.1+00", "2026-03-01T12:00:00.100000Z"),
        ("2026-03-01 12:00:00.123456+00", "2026-03-01T12:00:00.123456Z"),
        ("0001-01-01 00:00:00+00 BC", "+0000-01-01T00:00:00.000000Z"),
        ("0044-03-15 12:00:00.5+00 BC", "-0043-03-15T12:00:00.500000Z"),
        ("294276-12-31 23:59:59.999999+00", "+294276-12-31T23:59:59.999999Z"),
        ("infinity", "infinity"),
        ("-infinity", "-infinity"),
    ],
)
def test_timestamp_of_postgresql(text: str, wire: str) -> None:
    assert wire == decoded(FieldType.DATETIME, text)


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("2026-03-01", "2026-03-01"),
        ("0044-03-15 BC", "-0043-03-15"),
        ("12026-03-15", "+12026-03-15"),
        ("infinity", "infinity"),
    ],
)
def test_date_of_postgresql(text: str, wire: str) -> None:
    assert wire == decoded(FieldType.DATE, text)


@pytest.mark.parametrize(("value", "wire"), [(1.5, 1.5), (float("nan"), "NaN"), (float("-inf"), "-Infinity")])
def test_float_that_json_cannot_say_leaves_as_text(value: float, wire: object) -> None:
    assert wire == decoded(FieldType.FLOAT, value)


@pytest.mark.parametrize(
    ("value", "wire"), [(10, "10.00"), (10.5, "10.50"), (-0.0, "0.00"), (9999999999999.99, "9999999999999.99")]
)
def test_decimal_that_sqlite_keeps_as_a_number_has_its_scale(value: float, wire: str) -> None:
    decode = codec_of(Field(name="f", type=FieldType.DECIMAL, precision=15, scale=2), Dialect.SQLITE).decode
    assert decode is not None
    assert wire == decode(value)


@pytest.mark.parametrize("dialect", list(Dialect))
def test_json_is_not_parsed(dialect: Dialect) -> None:
    value = decoded(FieldType.JSON, '{"a": 1.10}', dialect)
    assert isinstance(value, msgspec.Raw)
    assert b'{"a": 1.10}' == bytes(value)


def test_bytes_stand_in_json_rows_as_text() -> None:
    single = Field(name="f", type=FieldType.BYTES)
    several = Field(name="f", type=FieldType.ARRAY, items=FieldType.BYTES)
    assert ("text", "text[]") == (json_column(single), json_column(several))
    assert all("'base64'" in json_column_value(field, '"f"') for field in (single, several))
