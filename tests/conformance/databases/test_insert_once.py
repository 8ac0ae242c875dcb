"""The statement that keeps a record's answer with it writes exactly what a reader of the record is told."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexusd.databases.idempotency import Once, compact
from nexusd.databases.insert_once import insert_once
from nexusd.databases.statements import select_one
from nexusd.databases.tables import Table
from nexusd.definitions.idempotency import Key
from nexusd.definitions.model import Field, FieldType
from tests.support.connections import in_time
from tests.support.keyed import make_key_table, rows_of
from tests.support.models import EVERY, NOTE
from tests.support.nodes import NOW, create_tables

if TYPE_CHECKING:
    from nexusd.databases.database import Database
    from tests.support.connections import OpenDatabase

SCALARS = replace(EVERY, fields=tuple(field for field in EVERY.fields if field.type is not FieldType.ARRAY))
SCALARS_NAMES = tuple(SCALARS.by_name)
FULL = {
    "str_value": 'a "quoted" \\ text\n\t\u00e9 {{x}} %s $1',
    "int_value": -(2**53) + 1,
    "bigint_value": "-9223372036854775808",
    "float_value": 1e-300,
    "decimal_value": "123456789012345678901234567890.000000000100",
    "bool_value": False,
    "datetime_value": "0001-01-01T00:00:00.000001Z",
    "date_value": "9999-12-31",
    "time_value": "23:59:59.100000",
    "uuid_value": "00000000-0000-4000-8000-00000000000a",
    "json_value": msgspec.Raw(b'{"a": [1.50, null, "\\u00e9"], "b": 123456789012345678901234567890}'),
    "bytes_value": "AAEC" * 40,
    "enum_value": "b",
    "money": "-1.0000",
    "long_money": "1234567890123456789012345678.0123456789",
}


@pytest.fixture
async def database(open_database: OpenDatabase, postgres_url: str) -> Database:
    database = await open_database(postgres_url)
    await create_tables(database, [SCALARS, NOTE])
    await make_key_table(database)
    return database


@pytest.mark.parametrize("values", [FULL, dict.fromkeys(FULL), {}], ids=["full", "nulls", "defaults"])
async def test_kept_answer_is_the_record(database: Database, values: dict[str, object]) -> None:
    given = {"id": "01890000-0000-7000-8000-000000000001", **values}
    once = Once(Key("w caller", "k", b"f"), "e", 1, time.perf_counter())
    query = insert_once(Table(SCALARS, database.dialect), tuple(given))
    assert query is not None
    bound = query.bind([*given.values(), NOW, *once.arguments('a "node"')])
    record = once.take((await database.session(in_time()).run(bound)).rows)
    assert once.take((await database.session(in_time()).run(bound)).rows) is None
    [row] = await rows_of(database, "SELECT scope, key, fingerprint, execution_id, answer FROM _nexusd_idempotency")
    *named, answer = row
    assert named == ["w caller", "k", b"f", "e"]
    kept = msgspec.json.decode(str(answer), type=dict[str, msgspec.Raw])
    assert compact(bytes(kept["outputs"])) == msgspec.json.encode({'a "node"': record})
    assert json.loads(bytes(kept["duration_ms"])) == once.duration_ms
    # What a reader of the table is told, by another way.
    read = select_one(Table(SCALARS, database.dialect), ("id",), SCALARS_NAMES, include_deleted=False)
    [seen] = (await database.session(in_time()).run(read.bind([given["id"]]))).rows
    assert json.loads(msgspec.json.encode(record)) == json.loads(msgspec.json.encode(seen))


async def test_keys_that_the_database_makes_are_kept(database: Database) -> None:
    once = Once(Key("w caller", "k", b"f"), "e", 1, time.perf_counter())
    query = insert_once(Table(NOTE, database.dialect), ("title",))
    assert query is not None
    bound = query.bind(["a", NOW, *once.arguments("n")])
    record = once.take((await database.session(in_time()).run(bound)).rows)
    [[answer]] = await rows_of(database, "SELECT answer FROM _nexusd_idempotency")
    assert json.loads(str(answer))["outputs"]["n"] == json.loads(msgspec.json.encode(record))


async def test_what_it_cannot_write_as_it_is_told_is_left_to_a_transaction(database: Database) -> None:
    wide = replace(NOTE, fields=(*NOTE.fields, *(Field(name=f"f{i}", type=FieldType.INT) for i in range(60))))
    for model in (EVERY, wide):
        assert insert_once(Table(model, database.dialect), ("id",)) is None
    assert insert_once(Table(NOTE, database.dialect, audited=True), ("title",)) is None
