from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.databases.database import Bound, Dialect
from nexusd.errors import (
    CheckViolation,
    DatabaseError,
    DeadlineExceeded,
    InternalError,
    ReferenceViolation,
    UniqueViolation,
    UnknownOutcome,
    ValueRefused,
)
from tests.support.connections import COMPANY, WAIT_S, ids, in_time, insert, run, statement, until

if TYPE_CHECKING:
    from nexusd.databases.database import Database

LONG_READ = {
    Dialect.POSTGRESQL: "SELECT pg_sleep(60)",
    Dialect.SQLITE: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
}

LONG_WRITE = {
    Dialect.POSTGRESQL: "INSERT INTO contact (id, email) SELECT 'slow', 'slow' FROM (SELECT pg_sleep(60)) AS slept",
    Dialect.SQLITE: "INSERT INTO contact (id, email)"
    " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'slow', max(i) FROM n",
}


async def test_rows_come_back_in_column_order(database: Database) -> None:
    session = database.session(in_time())
    await session.run(insert(database.dialect, "1", "a@b.c", 7))
    result = await session.run(Bound(statement(database.dialect, "SELECT id, score, email FROM contact")))
    assert [row["values"] for row in result.rows] == [["1", 7, "a@b.c"]]
    assert result.affected == 1


async def test_statement_without_rows_reports_how_many_it_touched(database: Database) -> None:
    session = database.session(in_time())
    for key in ("1", "2"):
        await session.run(insert(database.dialect, key, key))
    update = statement(database.dialect, "UPDATE contact SET score = 1 WHERE id <> ?", writes=True, rows=False)
    assert (await session.run(Bound(update, ("none",)))).affected == 2
    assert (await session.run(Bound(update, ("1",)))).affected == 1


async def test_write_is_seen_by_the_next_read_by_key(database: Database) -> None:
    session = database.session(in_time())
    read = statement(database.dialect, "SELECT score FROM contact WHERE id = ?", inline=True)
    change = statement(database.dialect, "UPDATE contact SET score = score + 1 WHERE id = ? RETURNING id", writes=True)
    await session.run(insert(database.dialect, "1", "a@b.c", 0))
    for score in range(1, 20):
        await session.run(Bound(change, ("1",)))
        assert score == (await session.run(Bound(read, ("1",)))).rows[0]["id"]


@pytest.mark.parametrize(
    ("values", "error", "fields", "constraint"),
    [
        (("2", "taken"), UniqueViolation, ("email",), "contact_email_uq"),
        (("1", "secret"), UniqueViolation, ("id",), "contact_id_pk"),
        (("2", None), ValueRefused, ("email",), None),
        (("2", "secret", -1), CheckViolation, (), "contact_score_positive_check"),
        (("2", "secret", 2**70), ValueRefused, (), None),
        (("2", "secret\ud800"), ValueRefused, (), None),
        (("2", "secret", 0, "nowhere", None), ReferenceViolation, ("company_id",), "contact_company_id_fk"),
        (("2", "secret", 0, None, "nowhere"), ReferenceViolation, ("owner_id",), "contact_owner_id_fk"),
        (("2", "secret", 0, "there", "nowhere"), ReferenceViolation, ("owner_id",), "contact_owner_id_fk"),
    ],
)
async def test_refusal_names_constraint_and_fields_and_no_value(
    database: Database,
    values: tuple[object, ...],
    error: type[DatabaseError],
    fields: tuple[str, ...],
    constraint: str | None,
) -> None:
    await run(database, "INSERT INTO company VALUES ('there')", writes=True)
    await run(database, "INSERT INTO contact (id, email) VALUES ('1', 'taken')", writes=True)
    with pytest.raises(error) as caught:
        await database.session(in_time()).run(insert(database.dialect, *values))
    assert error is caught.type
    assert (fields, constraint) == (caught.value.fields, caught.value.constraint)
    assert not any(value in caught.value.detail for value in ("taken", "secret", "nowhere", str(2**70)))
    assert await ids(database) == ["1"]


async def test_delete_of_a_record_that_is_referred_to_is_a_reference_violation(database: Database) -> None:
    await run(database, "INSERT INTO company VALUES ('there')", writes=True)
    await run(database, "INSERT INTO contact (id, email, company_id) VALUES ('1', 'a', 'there')", writes=True)
    delete = statement(database.dialect, "DELETE FROM company WHERE id = ?", writes=True, model=COMPANY, rows=False)
    with pytest.raises(ReferenceViolation):
        await database.session(in_time()).run(Bound(delete, ("there",)))
    assert await ids(database, "company") == ["there"]


async def test_violation_without_a_model_names_nothing(database: Database) -> None:
    again = statement(database.dialect, "INSERT INTO company VALUES (?)", writes=True, model=None, rows=False)
    session = database.session(in_time())
    await session.run(Bound(again, ("there",)))
    with pytest.raises(UniqueViolation) as caught:
        await session.run(Bound(again, ("there",)))
    assert (caught.value.fields, caught.value.constraint) == ((), None)


async def test_sql_that_is_wrong_is_an_internal_error_that_says_why_without_the_sql(database: Database) -> None:
    with pytest.raises(InternalError) as caught:
        await database.session(in_time()).run(Bound(statement(database.dialect, "SELECT nonsense FROM contact")))
    assert "there is no such column" in caught.value.reason
    assert "SELECT" not in caught.value.reason
    assert caught.value.detail == InternalError().detail


@pytest.mark.parametrize("long", [LONG_READ, LONG_WRITE], ids=["read", "write"])
async def test_statement_is_cut_off_at_its_deadline(database: Database, long: dict[Dialect, str]) -> None:
    writes = long is LONG_WRITE
    bound = Bound(statement(database.dialect, long[database.dialect], writes=writes, rows=not writes))
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(DeadlineExceeded):
            await database.session(asyncio.get_running_loop().time() + 0.1).run(bound)
    assert await ids(database) == []


async def test_statement_after_its_deadline_is_not_begun(database: Database) -> None:
    with pytest.raises(DeadlineExceeded):
        await database.session(asyncio.get_running_loop().time() - 1).run(insert(database.dialect, "1", "a"))
    assert await ids(database) == []


@pytest.mark.parametrize("long", [LONG_READ, LONG_WRITE], ids=["read", "write"])
async def test_connection_of_a_cancelled_caller_serves_the_next(database: Database, long: dict[Dialect, str]) -> None:
    writes = long is LONG_WRITE
    bound = Bound(statement(database.dialect, long[database.dialect], writes=writes, rows=not writes))
    for _ in range(6):
        task = asyncio.create_task(database.session(in_time()).run(bound))
        await until(lambda: database.stats()["busy"] > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await ids(database) == []
    await until(lambda: database.stats()["busy"] == 0)
    assert database.stats()["open"] <= 5


async def test_ready_while_the_database_answers(database: Database) -> None:
    assert await database.ready()


async def test_closed_database_takes_no_more_statements(database: Database) -> None:
    await database.close(WAIT_S)
    with pytest.raises(DatabaseError):
        await database.session(in_time()).run(insert(database.dialect, "1", "a"))
    assert not await database.ready()


async def test_write_that_its_callers_timeout_cuts_off_is_not_called_undone(database: Database) -> None:
    bound = Bound(statement(database.dialect, LONG_WRITE[database.dialect], writes=True, rows=False))
    session = database.session(in_time())
    await session.run(insert(database.dialect, "1", "a"))
    deadline = asyncio.get_running_loop().time() + 0.1
    with pytest.raises(UnknownOutcome):
        async with asyncio.timeout_at(deadline):
            await database.session(deadline).run(bound)
    assert await ids(database) == ["1"]
