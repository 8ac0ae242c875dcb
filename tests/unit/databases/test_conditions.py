from __future__ import annotations

from itertools import count

import pytest

from nexusd.databases.conditions import ConditionWriter
from nexusd.databases.database import Dialect
from nexusd.databases.filters import FilterReader
from nexusd.databases.folding import BUILTIN, ICU, folds
from nexusd.databases.tables import Placeholders, Table
from tests.support.models import CONTACT, EVERY

READER = FilterReader(CONTACT)


def rendered(found: dict[str, object], dialect: Dialect, fold: str = "") -> tuple[str, tuple[object, ...]]:
    """The SQL of a filter, and its arguments."""
    table = Table(CONTACT, dialect, fold=fold)
    placeholders = Placeholders(table)
    read, faults = READER.read(found, "")
    assert [] == faults
    sql = ConditionWriter(table, placeholders, count()).write(read.condition)
    return sql, placeholders.query(sql, None, writes=False).bind(read.values).args


@pytest.mark.parametrize(
    ("found", "sql", "arguments"),
    [
        ({}, "TRUE", ()),
        ({"name": "a"}, '"name" = $1::text', ("a",)),
        ({"city": None}, '"city" IS NULL', ()),
        ({"city": {"$ne": "a"}}, '"city" IS DISTINCT FROM $1::text', ("a",)),
        ({"name": {"$ne": "a"}}, '"name" <> $1::text', ("a",)),
        ({"name": {"$gt": "a"}}, '"name" COLLATE "C" > $1::text', ("a",)),
        ({"age": {"$in": [1, 2]}}, '"age" = ANY($1::bigint[])', ([1, 2],)),
        ({"age": {"$nin": [1]}}, '("age" <> ALL($1::bigint[]) OR "age" IS NULL)', ([1],)),
        ({"score": {"$in": ["1.0"]}}, '"score" = ANY($1::text[]::numeric[])', (["1.0"],)),
        ({"age": {"$in": []}}, "FALSE", ()),
        ({"age": {"$nin": []}}, "TRUE", ()),
        ({"name": {"$contains": "5%_\\"}}, '"name" LIKE $1::text', ("%5\\%\\_\\\\%",)),
        ({"$not": {"city": "a"}}, '(("city" = $1::text) IS NOT TRUE)', ("a",)),
        (
            {"$or": [{"name": "a"}, {"name": "b", "age": 1}]},
            '("name" = $1::text OR ("name" = $2::text AND "age" = $3::bigint))',
            ("a", "b", 1),
        ),
    ],
)
def test_filter_on_postgresql(found: dict[str, object], sql: str, arguments: tuple[object, ...]) -> None:
    assert (sql, arguments) == rendered(found, Dialect.POSTGRESQL)


@pytest.mark.parametrize(
    ("found", "sql", "arguments"),
    [
        ({"city": {"$ne": "a"}}, '"city" IS NOT ?', ("a",)),
        ({"name": {"$gt": "a"}}, '"name" > ?', ("a",)),
        ({"age": {"$in": [1, 2]}}, '"age" IN (SELECT value FROM json_each(?))', ("[1,2]",)),
        ({"name": {"$like": "a%"}}, "\"name\" LIKE ? ESCAPE '\\'", ("a%",)),
        ({"name": {"$ilike": "A%"}}, "nexusd_fold(\"name\") LIKE nexusd_fold(?) ESCAPE '\\'", ("A%",)),
        ({"age": {"$between": [1, 2]}}, '("age" >= ? AND "age" <= ?)', (1, 2)),
    ],
)
def test_filter_on_sqlite(found: dict[str, object], sql: str, arguments: tuple[object, ...]) -> None:
    assert (sql, arguments) == rendered(found, Dialect.SQLITE)


@pytest.mark.parametrize("collation", [BUILTIN, ICU])
def test_case_is_ignored_by_the_collation_that_is_there(collation: str) -> None:
    sql, arguments = rendered({"name": {"$icontains": "É"}}, Dialect.POSTGRESQL, collation)
    assert (2, ("%É%",)) == (sql.count(f'COLLATE "{collation}"'), arguments)


def test_collation_is_asked_for_only_where_case_is_ignored() -> None:
    inside = {"$not": {"$or": [{"name": {"$ilike": "x"}}]}}
    assert [True, False] == [folds(READER.read(found, "")[0].condition) for found in (inside, {"name": "x"})]


def test_item_of_an_array_is_looked_for_by_the_index() -> None:
    table = Table(EVERY, Dialect.POSTGRESQL)
    read, _ = FilterReader(EVERY).read({"date_list": {"$has": "2026-01-01"}}, "")
    assert '"date_list" @> ARRAY[$1::date]' == ConditionWriter(table, Placeholders(table), count()).write(
        read.condition
    )


def test_values_are_no_part_of_the_condition() -> None:
    conditions = {READER.read({"name": {"$in": [name, "x"]}, "age": 1}, "")[0].condition for name in ("a", "b")}
    assert 1 == len(conditions)


@pytest.mark.parametrize(
    ("found", "empty"),
    [
        ({}, True),
        ({"$and": [{}, {}]}, True),
        ({"$or": [{"name": "a"}, {}]}, True),
        ({"$not": {"$or": []}}, True),
        ({"$not": {"$not": {}}}, True),
        ({"age": {"$nin": []}}, True),
        ({"name": {"$ne": None}}, True),
        ({"name": {"$null": False}}, True),
        ({"city": {"$null": False}}, False),
        ({"$or": []}, False),
        ({"$not": {}}, False),
        ({"name": "a"}, False),
        ({"$and": [{}, {"name": "a"}]}, False),
        ({"$not": {"name": "a"}}, False),
    ],
)
def test_filter_is_empty_when_it_lets_every_record_through(found: dict[str, object], empty: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert empty is READER.read(found, "")[0].is_empty
