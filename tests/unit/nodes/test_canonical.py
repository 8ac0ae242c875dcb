from __future__ import annotations

import msgspec
import pytest

from nexusd.definitions.wire import check_value, normalise
from nexusd.nodes.canonical import CanonicalRecords
from tests.support.models import CONTACT, EVERY

CONTACTS = CanonicalRecords(CONTACT.fields, frozenset({"name"}))
EVERYTHING = CanonicalRecords(EVERY.fields, frozenset())


@pytest.mark.parametrize(
    "record",
    [
        {"name": "x"},
        {"name": "é🦜", "email": "a@b.c", "city": None, "score": "-1.50", "tier": "pro", "age": 150},
    ],
)
def test_valid_record_in_canonical_form_holds(record: dict[str, object]) -> None:
    assert CONTACTS.hold([record])


@pytest.mark.parametrize(
    "record",
    [
        {},
        [],
        "x",
        None,
        {"name": None},
        {"name": 1},
        {"name": "x" * 101},
        {"name": "nul\0"},
        {"name": "lone \ud800"},
        {"name": "x", "nme": 1},
        {"name": "x", "email": "none"},
        {"name": "x", "tier": "gold"},
        {"name": "x", "age": 151},
        {"name": "x", "age": True},
        {"name": "x", "age": 1.0},
        {"name": "x", "score": "1"},
        {"name": "x", "score": "01.00"},
        {"name": "x", "score": "-0.00"},
        {"name": "x", "score": "12345678901.00"},
        {"name": "x", "version": 1},
    ],
)
def test_other_record_does_not_hold(record: object) -> None:
    assert not CONTACTS.hold([{"name": "x"}, record])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bigint_value", "9007199254740993"),
        ("bigint_value", "-0"),
        ("bigint_value", "99999999999999999999"),
        ("float_value", float("nan")),
        ("float_value", 0.5),
        ("decimal_value", "0.10"),
        ("decimal_value", "00.10"),
        ("datetime_value", "2026-02-28T12:00:00.000000Z"),
        ("datetime_value", "2026-02-30T12:00:00.000000Z"),
        ("datetime_value", "2026-02-28T12:00:00Z"),
        ("date_value", "2026-02-30"),
        ("date_value", "2026-02-28"),
        ("time_value", "23:59:59.999999"),
        ("time_value", "24:00:00.000000"),
        ("uuid_value", "0189F7EA-AE2C-7809-8AEB-B819CF5E9E7F"),
        ("uuid_value", "0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f"),
        ("bytes_value", "QUJD"),
        ("bytes_value", "QUI"),
        ("str_list", ["a"]),
        ("str_list", [None]),
        ("datetime_list", ["2026-02-28T12:00:00Z"]),
        ("json_value", msgspec.Raw(b'{"a":1}')),
        ("json_value", {"a": "\0"}),
    ],
)
def test_nothing_holds_that_the_slow_walk_would_refuse_or_change(name: str, value: object) -> None:
    field = EVERY.by_name[name]
    canonical = not check_value(field, value, "") and normalise(field, value) == value
    assert not EVERYTHING.hold([{name: value}]) or canonical
