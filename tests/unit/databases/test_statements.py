from __future__ import annotations

import pytest

from nexusd.databases import bulk_statements, listings, statements
from nexusd.databases.database import Dialect
from nexusd.databases.filters import ALL, Operator, Predicate
from nexusd.databases.keyset import SortKey
from nexusd.databases.listings import PageShape
from nexusd.databases.rows import POSTGRESQL_ROWS, SQLITE_ROWS, portions
from nexusd.databases.statements import Conflict
from nexusd.databases.tables import Table
from nexusd.definitions.model import Field, FieldType, Model

PET = Model(
    name="Pet",
    table="pets",
    fields=(
        Field(name="id", type=FieldType.UUID, primary_key=True),
        Field(name="name", type=FieldType.STR),
        Field(name='odd "name"', type=FieldType.DECIMAL, nullable=True),
    ),
)
RETURNING = ' RETURNING "id", "name", "odd ""name""", "created_at", "updated_at", "version"'


@pytest.fixture(params=list(Dialect))
def table(request: pytest.FixtureRequest) -> Table:
    dialect: Dialect = request.param
    return Table(PET, dialect)


def test_insert() -> None:
    postgresql = statements.insert(Table(PET, Dialect.POSTGRESQL), ("id", "name"))
    assert (
        'INSERT INTO "pets" ("id", "name", "created_at", "updated_at", "version")'
        " VALUES ($1::uuid, $2::text, $3::timestamptz, $3::timestamptz, 1)" + RETURNING
    ) == postgresql.statement.sql
    assert ("i", "n", "t") == postgresql.bind(["i", "n", "t"]).args
    sqlite = statements.insert(Table(PET, Dialect.SQLITE), ("id", "name"))
    assert (
        'INSERT INTO "pets" ("id", "name", "created_at", "updated_at", "version") VALUES (?, ?, ?, ?, 1)' + RETURNING
    ) == sqlite.statement.sql
    assert ("i", "n", "t", "t") == sqlite.bind(["i", "n", "t"]).args


def test_update_of_a_version() -> None:
    query = statements.update(Table(PET, Dialect.POSTGRESQL), ("name",), ("id",), if_version=True)
    assert (
        'UPDATE "pets" SET "name" = $1::text, "updated_at" = $2::timestamptz, "version" = "version" + 1'
        ' WHERE "id" = $3::uuid AND "version" = $4::bigint' + RETURNING
    ) == query.statement.sql
    assert ("n", "t", "i", 7) == query.bind(["n", "i", "t", 7]).args


def test_upsert_overwrites_where_something_differs() -> None:
    query = statements.upsert(Table(PET, Dialect.POSTGRESQL), ("id", "name"), Conflict(("id",), ("name",)))
    assert (
        ' ON CONFLICT ("id") DO UPDATE SET "name" = excluded."name", "updated_at" = excluded."updated_at",'
        ' "version" = t."version" + 1 WHERE t."name" IS DISTINCT FROM excluded."name"'
    ) in query.statement.sql


def test_upsert_that_overwrites_nothing_does_nothing(table: Table) -> None:
    query = statements.upsert(table, ("id",), Conflict(("id",), ()))
    assert ' ON CONFLICT ("id") DO NOTHING RETURNING' in query.statement.sql


def test_read_by_key_may_run_inline(table: Table) -> None:
    query = statements.select_one(table, ("id",), ("id",), include_deleted=False)
    assert (True, False) == (query.statement.inline, query.statement.writes)


def test_statement_of_a_shape_is_rendered_once(table: Table) -> None:
    first = statements.insert(table, ("id", "name"))
    assert first is statements.insert(table, ("id", "name"))
    assert first is not statements.insert(table, ("name", "id"))


def test_page_behind_a_cursor_by_row_comparison() -> None:
    shape = PageShape(("id",), ALL, 0, (SortKey("name"), SortKey("id")), (False, False))
    query = listings.select_page(Table(PET, Dialect.POSTGRESQL), shape)
    assert (
        'SELECT "id" FROM "pets" WHERE TRUE AND ("name" COLLATE "C", "id") > ($1::text, $2::uuid)'
        ' ORDER BY "name" COLLATE "C", "id" LIMIT $3::bigint'
    ) == query.statement.sql


def test_page_behind_a_cursor_where_directions_differ() -> None:
    shape = PageShape(("id",), ALL, 0, (SortKey("name", descending=True), SortKey("id")), (False, False))
    query = listings.select_page(Table(PET, Dialect.SQLITE), shape)
    assert (
        'SELECT "id" FROM "pets" WHERE TRUE AND ("name" <= ? AND ("name" < ? OR ("name" = ? AND "id" > ?)))'
        ' ORDER BY "name" DESC, "id" LIMIT ?'
    ) == query.statement.sql
    assert ("n", "n", "n", "i", 5) == query.bind(["n", "i", 5]).args


def test_long_decimals_are_ordered_by_value_on_sqlite() -> None:
    shape = PageShape(("id",), ALL, 0, (SortKey('odd "name"'), SortKey("id")))
    query = listings.select_page(Table(PET, Dialect.SQLITE), shape)
    assert ' ORDER BY "odd ""name""" COLLATE nexusd_decimal NULLS LAST, "id" LIMIT ?' in query.statement.sql


def test_list_is_one_argument(table: Table) -> None:
    query = listings.count(table, Predicate("name", Operator.IN), include_deleted=False)
    assert 1 == len(query.bind([["a", "b"]]).args)


def test_rows_are_one_argument_on_postgresql() -> None:
    query = bulk_statements.insert_rows(Table(PET, Dialect.POSTGRESQL), ("id", "name"), (), 2, skip=True)
    assert query.statement.sql.startswith(
        'WITH r AS (SELECT "id", "name" FROM json_to_recordset($1::json) AS j("id" uuid, "name" text))'
        ' INSERT INTO "pets" AS t ("id", "name", "created_at", "updated_at", "version")'
        ' SELECT r."id", r."name", $2::timestamptz, $2::timestamptz, 1 FROM r WHERE TRUE ON CONFLICT DO NOTHING'
    )
    rows: list[dict[str, object]] = [{"id": "i", "name": "é"}, {"id": "j", "name": None}]
    assert ('[{"id":"i","name":"é"},{"id":"j","name":null}]', "t") == query.bind(rows, "t").args


def test_rows_are_a_list_of_values_on_sqlite() -> None:
    query = bulk_statements.insert_rows(Table(PET, Dialect.SQLITE), ("id", "name"), (), 2, skip=False)
    assert query.statement.sql.startswith('WITH r("id", "name") AS (VALUES (?, ?), (?, ?)) INSERT INTO "pets" AS t')
    rows: list[dict[str, object]] = [{"name": "é", "id": "i"}, {"id": "j", "name": None}]
    assert ("i", "é", "j", None, "t", "t") == query.bind(rows, "t").args


@pytest.mark.parametrize("count", [0, 1, 2, 3, 511, 512, 513, 12345])
def test_portions_cover_every_row_once(table: Table, count: int) -> None:
    cuts = list(portions(table, count, 4))
    assert list(range(count)) == [i for cut in cuts for i in range(cut.start, cut.stop)]
    largest = POSTGRESQL_ROWS if table.is_postgresql else SQLITE_ROWS
    assert all(cut.stop - cut.start <= largest for cut in cuts)


def test_portions_of_wide_rows_stay_below_the_limit_of_arguments() -> None:
    cut, *_ = portions(Table(PET, Dialect.SQLITE), 1000, 300)
    assert (cut.stop - cut.start) * 300 < 32766


def test_decoded_row_is_a_record() -> None:
    table = Table(PET, Dialect.POSTGRESQL)
    row = ("i", "n", None, "2026-03-01 12:00:00+00", "2026-03-01 12:00:00.5+00", 1)
    assert {
        "id": "i",
        "name": "n",
        'odd "name"': None,
        "created_at": "2026-03-01T12:00:00.000000Z",
        "updated_at": "2026-03-01T12:00:00.500000Z",
        "version": 1,
    } == table.decoder(table.columns)(row)
