"""Every field type through create, read, filter, sort and bulk: the same wire values on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import msgspec
import pytest

from nexusd.databases.database import Bound, Dialect, Statement
from nexusd.definitions.wire import read_json
from nexusd.errors import InvalidInput
from tests.support.connections import in_time
from tests.support.models import EVERY

if TYPE_CHECKING:
    from tests.support.nodes import Nodes, OpenNodes

KEY = "0189f7ea-ae2c-7809-8aeb-b819cf5e9e7f"

VALUES: list[tuple[str, object, object]] = [
    ("str_value", "plain", "plain"),
    ("str_value", "", ""),
    ("str_value", "emoji 🦜, combining e\u0301, rtl \u202e, zero\u200bwidth", None),
    ("str_value", "'; DROP TABLE every; -- \" \\ % _ $1 ? {{x}}", None),
    ("str_value", "line\r\nbreak\ttab\x01\x7f", None),
    ("str_value", "x" * 1_000_000, None),
    ("int_value", 2**53 - 1, None),
    ("int_value", -(2**53) + 1, None),
    ("bigint_value", "9007199254740993", None),
    ("bigint_value", "-9223372036854775808", None),
    ("bigint_value", 5, "5"),
    ("float_value", 0.1, None),
    ("float_value", 5e-324, None),
    ("float_value", 1.7976931348623157e308, None),
    ("float_value", 3, 3.0),
    ("decimal_value", "0.10", None),
    ("decimal_value", "123456789012345678901234567890.123456789", None),
    ("decimal_value", "-0", "0"),
    ("decimal_value", "007.50", "7.50"),
    ("money", "12345678901.2345", None),
    ("money", "-0.0001", None),
    ("money", "5", "5.0000"),
    ("money", "-0.0", "0.0000"),
    ("long_money", "1234567890123456789012345678.0123456789", None),
    ("long_money", "0.1", "0.1000000000"),
    ("bool_value", True, None),
    ("bool_value", False, None),
    ("datetime_value", "2026-03-01T12:00:00+05:45", "2026-03-01T06:15:00.000000Z"),
    ("datetime_value", "2026-03-01t12:00:00.1234565z", "2026-03-01T12:00:00.123457Z"),
    ("datetime_value", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
    ("datetime_value", "9999-12-31T23:59:59.999999Z", None),
    ("date_value", "0001-01-01", None),
    ("date_value", "2024-02-29", None),
    ("time_value", "23:59:59", "23:59:59.000000"),
    ("time_value", "00:00:00.5", "00:00:00.500000"),
    ("uuid_value", KEY.upper(), KEY),
    ("json_value", {"a": [1, {"b": None}], "é": "🦜"}, None),
    ("json_value", [], None),
    ("json_value", "text", None),
    ("json_value", False, None),
    ("json_value", 12345678901234567890123456789, None),
    ("bytes_value", "", None),
    ("bytes_value", "AP/+", None),
    ("bytes_value", "QUJD" * 40, None),
    ("enum_value", "a", None),
    ("str_list", [], None),
    ("str_list", ["a", "", "{}", 'quote" , \\ ', "NULL", "🦜"], None),
    ("int_list", [1, -5, 2**53 - 1], None),
    ("bigint_list", ["9007199254740993", 1], ["9007199254740993", "1"]),
    ("float_list", [0.1, 2, -1e300], [0.1, 2.0, -1e300]),
    ("decimal_list", ["0.10", "5"], None),
    ("bool_list", [True, False], None),
    ("datetime_list", ["2026-03-01T12:00:00+01:00"], ["2026-03-01T11:00:00.000000Z"]),
    ("date_list", ["2024-02-29"], None),
    ("time_list", ["01:02:03"], ["01:02:03.000000"]),
    ("uuid_list", [KEY], None),
    ("bytes_list", ["AP/+", ""], None),
]
"""Field, value given, value answered (None: the same)."""

REFUSED: list[tuple[str, object]] = [
    ("str_value", 5),
    ("str_value", "nul\0"),
    ("str_value", "lone \ud800"),
    ("int_value", True),
    ("int_value", "1"),
    ("int_value", 1.0),
    ("int_value", 2**53),
    ("bigint_value", "9223372036854775808"),
    ("bigint_value", "1_000"),
    ("bigint_value", "0x10"),
    ("float_value", float("nan")),
    ("float_value", float("inf")),
    ("float_value", "1.0"),
    ("decimal_value", "NaN"),
    ("decimal_value", "1_000"),
    ("decimal_value", " 1"),
    ("decimal_value", "1E400"),
    ("money", "1.00005"),
    ("money", "123456789012"),
    ("bool_value", 1),
    ("bool_value", "true"),
    ("datetime_value", "2026-03-01T12:00:00"),
    ("datetime_value", "2026-03-01T12:00:60Z"),
    ("datetime_value", "2026-02-30T12:00:00Z"),
    ("datetime_value", "0001-01-01T00:00:00+14:00"),
    ("datetime_value", "infinity"),
    ("date_value", "2026-02-30"),
    ("date_value", "2026-3-1"),
    ("time_value", "24:00:00"),
    ("time_value", "12:00:00+01:00"),
    ("uuid_value", "0189f7eaae2c78098aebb819cf5e9e7f"),
    ("json_value", {"a": "nul\0"}),
    ("bytes_value", "not base64!"),
    ("bytes_value", "QUJ"),
    ("enum_value", "c"),
    ("str_list", ["a", None]),
    ("str_list", "a"),
    ("int_list", [1, "2"]),
]


@pytest.fixture
async def every(open_nodes: OpenNodes) -> Nodes:
    """A model with a field of every type."""
    return await open_nodes(EVERY)


async def one(nodes: Nodes, node: str, **params: object) -> dict[str, object]:
    return cast("dict[str, object]", await nodes.run(node, **params))


async def test_value_comes_back_as_it_was_given(every: Nodes, subtests: pytest.Subtests) -> None:
    for name, given, answered in VALUES:
        with subtests.test(field=name, given=str(given)[:40]):
            expected = given if answered is None else answered
            created = await one(every, "EveryCreate", **{name: given})
            assert expected == created[name]
            assert created == await one(every, "EveryRead", id=created["id"])
            updated = await one(every, "EveryUpdate", id=created["id"], **{name: given})
            assert expected == updated[name]


async def test_bulk_keeps_the_same_values_as_single_nodes(every: Nodes, subtests: pytest.Subtests) -> None:
    """By its own rows and by rows that lack the field, in one statement and in a whole model's width."""
    records = [{name: given} for name, given, _ in VALUES]
    answer = await one(every, "EveryBulkCreate", records=records, returning="records")
    entries = cast("list[dict[str, dict[str, object]]]", answer["results"])
    for (name, given, answered), entry in zip(VALUES, entries, strict=True):
        with subtests.test(field=name, given=str(given)[:40]):
            assert (given if answered is None else answered) == entry["record"][name]
    upserted = [
        {"id": entry["record"]["id"], name: given} for (name, given, _), entry in zip(VALUES, entries, strict=True)
    ]
    again = await one(every, "EveryBulkUpsert", records=upserted)
    assert (0, 0, len(VALUES)) == (again["inserted"], again["updated"], again["unchanged"])
    changed = await one(every, "EveryBulkUpdate", records=upserted)
    assert len(VALUES) == changed["updated"]
    for (name, given, answered), entry in zip(VALUES, entries, strict=True):
        read = await one(every, "EveryRead", id=entry["record"]["id"])
        assert (given if answered is None else answered) == read[name]


async def test_value_that_is_none_of_its_type_is_refused(every: Nodes, subtests: pytest.Subtests) -> None:
    for name, given in REFUSED:
        with subtests.test(field=name, given=repr(given)[:40]):
            for node, params, pointer in (
                ("EveryCreate", {name: given}, f"/{name}"),
                ("EveryBulkCreate", {"records": [{}, {name: given}]}, f"/records/1/{name}"),
            ):
                with pytest.raises(InvalidInput) as caught:
                    await every.run(node, **params)
                assert all(fault.pointer.startswith(pointer) for fault in caught.value.faults)
    assert {"count": 0} == await every.run("EveryCount")


async def test_value_is_found_by_equality_and_in_a_list(every: Nodes, subtests: pytest.Subtests) -> None:
    for name, given, _ in VALUES:
        if name == "json_value":
            continue
        with subtests.test(field=name, given=str(given)[:40]):
            await every.run("EveryBulkDelete", filter={}, all=True)
            await every.run("EveryCreate", **{name: given})
            await every.run("EveryCreate")
            assert {"count": 1} == await every.run("EveryCount", filter={name: given})
            assert {"count": 1} == await every.run("EveryCount", filter={name: {"$ne": given}})
            if not isinstance(given, list):
                assert {"count": 1} == await every.run("EveryCount", filter={name: {"$in": [given]}})
                assert {"count": 1} == await every.run("EveryCount", filter={name: {"$nin": [given]}})
            elif given:
                assert {"count": 1} == await every.run("EveryCount", filter={name: {"$has": given[-1]}})


ORDERED: list[tuple[str, list[object]]] = [
    ("str_value", ["A", "Z", "a", "É", "é", "\uffff", "🦜"]),
    ("int_value", [-3, 0, 20, 100]),
    ("bigint_value", ["-9007199254740993", "5", "40", "9007199254740993"]),
    ("float_value", [-1e300, -0.5, 0.25, 2.0]),
    ("decimal_value", ["-10", "-9.5", "0.09", "0.1", "9", "10", "123456789012345678901234567890"]),
    ("money", ["-10.0000", "0.5000", "9.0000", "10.0000"]),
    ("long_money", ["-10.0000000000", "9.0000000000", "10.0000000000"]),
    ("bool_value", [False, True]),
    ("datetime_value", ["0001-01-01T00:00:00.000000Z", "2026-03-01T12:00:00.000001Z", "9999-12-31T23:59:59.999999Z"]),
    ("date_value", ["0001-01-01", "2026-03-01", "2026-11-01"]),
    ("time_value", ["00:00:00.000000", "09:00:00.000001", "10:00:00.000000"]),
    ("uuid_value", ["0a000000-0000-0000-0000-000000000000", "a0000000-0000-0000-0000-000000000000"]),
    ("bytes_value", ["", "AA==", "AAA=", "/w=="]),
    ("enum_value", ["a", "b"]),
]
"""Values of each type in their order; text by code point, numbers by value."""


async def test_values_sort_and_compare_alike(every: Nodes, subtests: pytest.Subtests) -> None:
    for name, values in ORDERED:
        with subtests.test(field=name):
            await every.run("EveryBulkDelete", filter={}, all=True)
            await every.run("EveryBulkCreate", records=[{name: value} for value in reversed(values)])
            await every.run("EveryCreate")
            assert [*values, None] == await sorted_by(every, name)
            assert [None, *reversed(values)] == await sorted_by(every, f"-{name}")
            if name != "bool_value":
                middle = values[len(values) // 2]
                below = {name: {"$lt": middle}}
                assert {"count": len(values) // 2} == await every.run("EveryCount", filter=below)
                between = {name: {"$between": [values[0], middle]}}
                assert {"count": len(values) // 2 + 1} == await every.run("EveryCount", filter=between)


async def sorted_by(nodes: Nodes, sort: str) -> list[object]:
    """The values of a column in the order of a sort, read in pages of two."""
    name = sort.removeprefix("-")
    values: list[object] = []
    cursor = None
    while True:
        page = await one(nodes, "EveryList", sort=[sort], limit=2, fields=[name], cursor=cursor)
        values += [record[name] for record in cast("list[dict[str, object]]", page["records"])]
        cursor = page["next_cursor"]
        if cursor is None:
            return values


async def test_json_is_passed_through_by_value(every: Nodes) -> None:
    """Numbers keep their digits, of duplicate keys the last wins; nothing passes through a float."""
    text = b'{"big": 123456789012345678901234567890, "small": 1.10, "twice": 1, "twice": 2}'
    await every.run("EveryCreate", json_value=msgspec.Raw(text))
    created = cast("dict[str, dict[str, object]]", read_json(every.answer))
    value = created["json_value"]
    assert ("123456789012345678901234567890", "1.10", 2) == (str(value["big"]), str(value["small"]), value["twice"])


async def test_json_null_is_null(every: Nodes) -> None:
    created = await one(every, "EveryCreate", json_value=None)
    assert None is created["json_value"]
    assert {"count": 1} == await every.run("EveryCount", filter={"json_value": {"$null": True}})
    with pytest.raises(InvalidInput):
        await every.run("EveryCount", filter={"json_value": {"a": 1}})


FOREIGN: list[tuple[str, Dialect, str, object]] = [
    ("datetime_value", Dialect.POSTGRESQL, "'infinity'", "infinity"),
    ("datetime_value", Dialect.POSTGRESQL, "'-infinity'", "-infinity"),
    ("datetime_value", Dialect.POSTGRESQL, "'0044-03-15 12:00:00+00 BC'", "-0043-03-15T12:00:00.000000Z"),
    ("datetime_value", Dialect.POSTGRESQL, "'12026-01-01 00:00:00+00'", "+12026-01-01T00:00:00.000000Z"),
    ("date_value", Dialect.POSTGRESQL, "'infinity'", "infinity"),
    ("date_value", Dialect.POSTGRESQL, "'0001-03-15 BC'", "+0000-03-15"),
    ("time_value", Dialect.POSTGRESQL, "'24:00:00'", "24:00:00.000000"),
    ("float_value", Dialect.POSTGRESQL, "'NaN'", "NaN"),
    ("float_value", Dialect.POSTGRESQL, "'-Infinity'", "-Infinity"),
    ("float_value", Dialect.SQLITE, "1e999", "Infinity"),
    ("decimal_value", Dialect.POSTGRESQL, "'NaN'", "NaN"),
    ("int_value", Dialect.POSTGRESQL, "9223372036854775807", 9223372036854775807),
    ("int_value", Dialect.SQLITE, "9223372036854775807", 9223372036854775807),
]
"""What somebody else may have stored, and how it leaves; none of it is accepted from a caller."""


async def test_foreign_values_leave_readable(every: Nodes, subtests: pytest.Subtests) -> None:
    for name, dialect, sql, expected in FOREIGN:
        if dialect is not every.database.dialect:
            continue
        with subtests.test(field=name, value=sql):
            created = await one(every, "EveryCreate")
            update = f"UPDATE every SET {name} = {sql} WHERE id = '{created['id']}'"
            await every.database.session(in_time()).run(Bound(Statement(update, None, writes=True)))
            read = await one(every, "EveryRead", id=created["id"])
            assert expected == read[name]
