from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.wire import check_value, normalise, read_json, write_json
from nexusd.errors import MalformedBody


def field(kind: str, **options: object) -> Field:
    return Field(name="x", type=FieldType(kind), **options)  # type: ignore[arg-type]


def accepted(kind: str, json: str, **options: object) -> object:
    value = read_json(json)
    assert check_value(field(kind, **options), value, "/x") == []
    return normalise(field(kind, **options), value)


def refused(kind: str, json: str, **options: object) -> str:
    faults = check_value(field(kind, **options), read_json(json), "/x")
    assert [fault.pointer for fault in faults] == ["/x"]
    return faults[0].code


@pytest.mark.parametrize(
    ("kind", "json", "wire"),
    [
        ("str", '"Zoë 🎈 e\u0301"', "Zoë 🎈 e\u0301"),
        ("str", '""', ""),
        ("int", "9007199254740991", 9007199254740991),
        ("bigint", '"9223372036854775807"', "9223372036854775807"),
        ("bigint", "12", "12"),
        ("bigint", '"-0"', "0"),
        ("float", "1", 1.0),
        ("float", "1e-7", 1e-7),
        ("decimal", '"0.10"', "0.10"),
        ("decimal", "0.10", "0.10"),
        ("decimal", "1E2", "100"),
        ("decimal", '"-0.0"', "0.0"),
        ("decimal", '"0007"', "7"),
        ("decimal", '"123456789012345678901234567890.5"', "123456789012345678901234567890.5"),
        ("bool", "false", False),
        ("datetime", '"2026-01-31T23:30:00+02:00"', "2026-01-31T21:30:00.000000Z"),
        ("datetime", '"2026-01-31T23:30:00.1234565Z"', "2026-01-31T23:30:00.123457Z"),
        ("datetime", '"2026-12-31T23:59:59.9999999Z"', "2027-01-01T00:00:00.000000Z"),
        ("date", '"2024-02-29"', "2024-02-29"),
        ("time", '"13:45:00"', "13:45:00.000000"),
        ("uuid", '"0198C0DE-0000-7000-8000-00000000000A"', "0198c0de-0000-7000-8000-00000000000a"),
        ("bytes", '"AAEC"', "AAEC"),
    ],
)
def test_a_value_has_one_wire_form(kind: str, json: str, wire: object) -> None:
    assert accepted(kind, json) == wire


@pytest.mark.parametrize(
    ("kind", "json", "code"),
    [
        ("str", "7", "type"),
        ("str", '"a\\u0000b"', "pattern"),
        ("int", "true", "type"),
        ("int", "1.0", "type"),
        ("int", '"8"', "type"),
        ("int", "9007199254740992", "out_of_range"),
        ("bigint", '"9223372036854775808"', "out_of_range"),
        ("bigint", '"1.5"', "type"),
        ("bigint", "9007199254740993", "type"),
        ("float", '"1"', "type"),
        ("float", "1e400", "out_of_range"),
        ("decimal", '"1_000"', "type"),
        ("decimal", '" 1"', "type"),
        ("decimal", '"NaN"', "type"),
        ("decimal", '"1E400"', "type"),
        ("decimal", "true", "type"),
        ("bool", '"false"', "type"),
        ("bool", "0", "type"),
        ("datetime", '"2026-01-31T23:30:00"', "format"),
        ("datetime", '"2026-01-31"', "format"),
        ("datetime", '"2026-02-30T00:00:00Z"', "out_of_range"),
        ("datetime", '"2026-01-31T23:59:60Z"', "out_of_range"),
        ("datetime", '"0001-01-01T00:00:00+14:00"', "out_of_range"),
        ("date", '"2026-02-30"', "out_of_range"),
        ("time", '"24:00:00"', "out_of_range"),
        ("uuid", '"0198c0de"', "format"),
        ("bytes", '"A"', "format"),
        ("json", '{"a": "\\u0000"}'.replace("'", '"'), "pattern"),
    ],
)
def test_nothing_is_coerced(kind: str, json: str, code: str) -> None:
    assert refused(kind, json) == code


@pytest.mark.parametrize(
    ("kind", "json", "options", "code"),
    [
        ("str", '"🎈🎈🎈"', {"max_length": 2}, "too_long"),
        ("str", '"a"', {"min_length": 2}, "too_short"),
        ("str", '"abc"', {"pattern": "^[0-9]+$"}, "pattern"),
        ("str", '"nobody"', {"format": "email"}, "format"),
        ("str", '"no uri"', {"format": "uri"}, "format"),
        ("int", "0", {"minimum": 1}, "out_of_range"),
        ("decimal", '"1.005"', {"precision": 12, "scale": 2}, "out_of_range"),
        ("decimal", '"1000"', {"precision": 5, "scale": 2}, "out_of_range"),
        ("decimal", '"9.9"', {"maximum": "9.8"}, "out_of_range"),
        ("enum", '"gold"', {"values": ("free", "pro")}, "not_allowed"),
        ("bytes", '"AAEC"', {"max_length": 2}, "too_long"),
    ],
)
def test_a_limit_of_the_field_is_kept(kind: str, json: str, options: dict[str, object], code: str) -> None:
    assert refused(kind, json, **options) == code


def test_a_decimal_is_shown_at_its_scale() -> None:
    assert accepted("decimal", "7", precision=12, scale=2) == "7.00"


def test_null_needs_a_nullable_field() -> None:
    assert check_value(field("str", nullable=True), None, "/x") == []
    assert refused("str", "null") == "type"


def test_each_bad_item_of_an_array_has_its_pointer() -> None:
    faults = check_value(field("array", items=FieldType.INT), [1, "2", None], "/x")

    assert [fault.pointer for fault in faults] == ["/x/1", "/x/2"]


def test_json_keeps_every_digit() -> None:
    wire = accepted("json", '{"a": 0.10, "b": 123456789012345678901234567890, "c": [null, "é"]}')

    assert isinstance(wire, msgspec.Raw)
    assert bytes(wire).decode() == '{"a":0.10,"b":123456789012345678901234567890,"c":[null,"é"]}'


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b'"\\ud800"', b"NaN", b"[" * 100_000, b""],
    ids=["cut", "utf8", "surrogate", "nan", "deep", "empty"],
)
def test_what_is_not_json_is_a_malformed_body(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_json(body)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**9), max_value=10**9))
def test_a_decimal_survives_as_number_and_as_text(number: Decimal) -> None:
    text = format(number, "f")

    assert Decimal(str(accepted("decimal", f'"{text}"'))) == number
    assert accepted("decimal", text) == accepted("decimal", f'"{text}"')


@given(st.datetimes(timezones=st.timezones()))
def test_a_datetime_is_the_same_moment_after_normalisation(moment: object) -> None:
    text = moment.isoformat()  # type: ignore[attr-defined]
    value = field("datetime")
    if check_value(value, text, "/x"):
        return  # the years at both ends, whose UTC form does not exist, and offsets with seconds
    wire = normalise(value, text)

    assert check_value(value, wire, "/x") == []
    assert normalise(value, wire) == wire


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=3), inner, max_size=4),
    )
)
def test_json_is_the_same_after_a_round_trip(value: object) -> None:
    assert read_json(write_json(value)) == value
