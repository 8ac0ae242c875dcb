"""What a pool does under contention, schema changes and networks that hang."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from nexusd.databases.database import Bound, Pooler, PoolOptions, Statement
from nexusd.errors import DatabaseUnavailable, DeadlineExceeded, Overloaded, SerializationConflict, UnknownOutcome
from nexusd.events import PoolExhausted, StatementRetried
from tests.support.connections import WAIT_S, create_tables, ids, in_time, insert, pause, run, run_all, statement, until
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from nexusd.databases.database import Database
    from nexusd.events import Event
    from tests.support.connections import OpenDatabase

POOL: Final = 4


@pytest.fixture
async def database(open_database: OpenDatabase, postgres_url: str) -> Database:
    database = await open_database(postgres_url, PoolOptions(pool_max=POOL))
    await create_tables(database)
    return database


async def scalar(database: Database, sql: str) -> object:
    result = await database.session(in_time()).run(Bound(statement(database.dialect, sql)))
    return result.rows[0]["id"]


def look(url: str, sql: str) -> list[tuple[object, ...]]:
    """Ask the server past the pool."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


async def test_values_cross_as_the_server_writes_them(database: Database) -> None:
    sql = """SELECT 'infinity'::timestamptz, '0044-03-15 BC'::date, '24:00'::time, 1.50::numeric(9, 2), 'NaN'::numeric,
        '{"a": 1.10}'::json, '{"b": 12345678901234567890}'::jsonb, '00000000-0000-0000-0000-00000000000A'::uuid,
        ARRAY['2024-02-29'::date], ARRAY[1.5::numeric], ARRAY[true], ARRAY[1::bigint, 2], ARRAY[]::text[],
        timestamptz '2024-01-01T00:00:00+05:45'"""
    result = await database.session(in_time()).run(Bound(statement(database.dialect, sql)))
    assert result.rows[0]["values"] == [
        "infinity",
        "0044-03-15 BC",
        "24:00:00",
        "1.50",
        "NaN",
        '{"a": 1.10}',
        '{"b": 12345678901234567890}',
        "00000000-0000-0000-0000-00000000000a",
        ["2024-02-29"],
        ["1.5"],
        [True],
        [1, 2],
        [],
        "2023-12-31 18:15:00+00",
    ]


async def test_arrays_cost_no_look_at_the_catalog(open_database: OpenDatabase, postgres_url: str) -> None:
    database = await open_database(postgres_url, PoolOptions(pool_max=1))
    sql = "SELECT ?::uuid[], ?::numeric[], ?::timestamptz[], ?::date[], ?::time[], ?::jsonb[], ?::bool[], ?::float8[]"
    args = ([None], ["1.5"], ["2024-01-01T00:00:00Z"], ["2024-01-01"], ["12:00"], ["{}"], [True], [1.5])
    await database.session(in_time()).run(Bound(statement(database.dialect, sql), args))
    prepared = await scalar(
        database, "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%typ' || 'name%'"
    )
    assert prepared == 0


async def test_limits_hold_on_the_server(open_database: OpenDatabase, postgres_url: str) -> None:
    database = await open_database(postgres_url, PoolOptions(statement_timeout_s=0.05))
    assert await scalar(database, "SELECT current_setting('idle_in_transaction_session_timeout')") == "10s"
    with pytest.raises(DeadlineExceeded):
        await scalar(database, "SELECT pg_sleep(60)")


async def test_transaction_pooler_is_left_nothing(open_database: OpenDatabase, postgres_url: str) -> None:
    options = PoolOptions(pool_max=1, statement_timeout_s=7, pooler=Pooler.TRANSACTION)
    database = await open_database(postgres_url, options)
    await create_tables(database)
    limit = statement(database.dialect, "SELECT current_setting('statement_timeout')")
    async with database.transaction(in_time(), read_only=False) as session:
        assert (await session.run(Bound(limit))).rows[0]["id"] == "7s"
        await session.run(insert(database.dialect, "1", "a"))
    assert (await database.session(in_time()).run(Bound(limit))).rows[0]["id"] == "0"
    assert await scalar(database, "SELECT count(*) FROM pg_prepared_statements") == 0
    assert await ids(database) == ["1"]


async def test_prepared_statements_are_bounded(open_database: OpenDatabase, postgres_url: str) -> None:
    database = await open_database(postgres_url, PoolOptions(pool_max=1))
    for number in range(600):
        assert await scalar(database, f"SELECT {number}") == number
    prepared = await scalar(database, "SELECT count(*) FROM pg_prepared_statements")
    assert isinstance(prepared, int)
    assert prepared <= 520


async def test_expired_plans_are_prepared_anew(open_database: OpenDatabase, postgres_url: str) -> None:
    database = await open_database(postgres_url, PoolOptions(pool_max=1))
    read = Bound(statement(database.dialect, "SELECT 1"))
    for _ in range(2):
        await database.session(in_time()).run(read)
        await database.expire()
    await database.session(in_time()).run(read)
    prepared = await scalar(database, "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 1'")
    assert prepared == 1


async def test_changed_column_is_not_noticed_by_a_statement(database: Database, events: list[Event]) -> None:
    await database.session(in_time()).run(insert(database.dialect, "1", "a", 7))
    read = Bound(statement(database.dialect, "SELECT score FROM contact"))
    assert (await database.session(in_time()).run(read)).rows[0]["id"] == 7
    await run(database, "ALTER TABLE contact ALTER COLUMN score TYPE numeric", writes=True)
    assert (await database.session(in_time()).run(read)).rows[0]["id"] == "7"
    assert StatementRetried("plan") in events


async def test_changed_column_is_not_noticed_by_a_transaction_that_begins(database: Database) -> None:
    await database.session(in_time()).run(insert(database.dialect, "1", "a", 7))
    read = Bound(statement(database.dialect, "SELECT score FROM contact"))
    await run_all(database.transaction(in_time(), read_only=True), read)
    await run(database, "ALTER TABLE contact ALTER COLUMN score TYPE numeric", writes=True)
    async with database.transaction(in_time(), read_only=False) as session, session.atomic() as inner:
        assert (await inner.run(read)).rows[0]["id"] == "7"


async def test_changed_column_has_a_transaction_that_goes_on_replayed(database: Database) -> None:
    read = Bound(statement(database.dialect, "SELECT score FROM contact"))
    write = insert(database.dialect, "1", "a")
    await run_all(database.transaction(in_time(), read_only=True), read)
    await run(database, "ALTER TABLE contact ALTER COLUMN score TYPE numeric", writes=True)
    with pytest.raises(SerializationConflict):
        await run_all(database.transaction(in_time(), read_only=False), write, read)
    await run_all(database.transaction(in_time(), read_only=False), write, read)
    assert await ids(database) == ["1"]


async def test_schema_changes_under_traffic_fail_nothing(database: Database, postgres_url: str) -> None:
    done = asyncio.Event()
    read = Bound(statement(database.dialect, "SELECT id, email, score FROM contact"))

    async def client(number: int) -> int:
        count = 0
        while not done.is_set():
            count += 1
            await database.session(in_time()).run(insert(database.dialect, f"{number}.{count}", f"{number}.{count}"))
            await run_all(database.transaction(in_time(), read_only=True), read)
        return count

    def change() -> None:
        for number in range(5):
            look(postgres_url, f"ALTER TABLE contact ADD COLUMN extra{number} text")
            # A statement is tried twice; two changes at once could meet both attempts.
            time.sleep(0.05)
            look(postgres_url, f"ALTER TABLE contact ALTER COLUMN score TYPE {('numeric', 'bigint')[number % 2]}")
            time.sleep(0.05)

    async def changes() -> None:
        await asyncio.to_thread(change)
        done.set()

    *counts, _ = await asyncio.gather(*(client(number) for number in range(POOL)), changes())
    assert len(await ids(database)) == sum(count for count in counts if count is not None)


async def test_deadlock_costs_one_transaction_a_replay(database: Database) -> None:
    for key in ("1", "2"):
        await database.session(in_time()).run(insert(database.dialect, key, key))
    change = statement(database.dialect, "UPDATE contact SET score = score + 1 WHERE id = ? RETURNING id", writes=True)
    barrier = asyncio.Barrier(2)

    async def client(first: str, second: str) -> None:
        async with database.transaction(in_time(), read_only=False) as session:
            await session.run(Bound(change, (first,)))
            await barrier.wait()
            await session.run(Bound(change, (second,)))

    results = await asyncio.gather(client("1", "2"), client("2", "1"), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["NoneType", "SerializationConflict"]
    assert await scalar(database, "SELECT sum(score)::bigint FROM contact") == 2


async def test_statement_that_meets_a_conflict_is_run_again(
    open_database: OpenDatabase,
    postgres_url: str,
    events: list[Event],
) -> None:
    name = psycopg.conninfo.conninfo_to_dict(postgres_url)["dbname"]
    look(postgres_url, f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
    database = await open_database(postgres_url)
    await create_tables(database)
    await database.session(in_time()).run(insert(database.dialect, "1", "a"))
    change = statement(
        database.dialect, "UPDATE contact SET score = score + 1 WHERE id = ? RETURNING score", writes=True
    )
    async with database.transaction(in_time(), read_only=False) as session:
        await session.run(Bound(change, ("1",)))
        # It waits for the lock, and then sees a record that is newer than its snapshot.
        task = asyncio.create_task(database.session(in_time()).run(Bound(change, ("1",))))
        await until(lambda: database.stats()["busy"] == 2)
        await pause(0.02)
    assert (await task).rows[0]["id"] == 2
    assert StatementRetried("conflict") in events


async def test_transaction_that_a_statement_left_open_is_ended(open_database: OpenDatabase, postgres_url: str) -> None:
    database = await open_database(postgres_url, PoolOptions(pool_max=1))
    await create_tables(database)
    await run(database, "BEGIN")
    await database.session(in_time()).run(insert(database.dialect, "1", "a"))
    assert look(postgres_url, "SELECT id FROM contact") == [("1",)]


async def test_waiters_are_served_in_the_order_they_came(open_database: OpenDatabase, postgres_url: str) -> None:
    database = await open_database(postgres_url, PoolOptions(pool_max=1))
    served: list[int] = []

    async def client(number: int) -> None:
        await database.session(in_time()).run(Bound(statement(database.dialect, "SELECT pg_sleep(0.002)")))
        served.append(number)

    tasks = []
    for number in range(20):
        tasks.append(asyncio.create_task(client(number)))
        await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert served == list(range(20))


async def test_exhausted_pool_refuses_and_says_so(
    open_database: OpenDatabase,
    postgres_url: str,
    events: list[Event],
) -> None:
    database = await open_database(postgres_url, PoolOptions(pool_max=2, acquire_timeout_s=0.05))
    nap = Bound(statement(database.dialect, "SELECT pg_sleep(0.3)"))
    tasks = [asyncio.create_task(database.session(in_time()).run(nap)) for _ in range(2)]
    await until(lambda: database.stats()["busy"] == 2)
    with pytest.raises(Overloaded):
        await database.session(in_time()).run(nap)
    assert any(isinstance(event, PoolExhausted) for event in events)
    # All in use is no reason to be taken out of service.
    assert await database.ready()
    await asyncio.gather(*tasks)
    assert database.stats() == {"open": 2, "idle": 2, "busy": 0, "waiting": 0}


async def test_cancelled_callers_leak_nothing(database: Database, postgres_url: str) -> None:
    chance = random.Random(7)  # noqa: S311 -- the same disorder each time

    async def client(number: int) -> None:
        async with database.transaction(in_time(), read_only=False) as session:
            await session.run(insert(database.dialect, str(number), str(number)))
            await session.run(Bound(statement(database.dialect, "SELECT pg_sleep(0.003)")))
        await database.session(in_time()).run(Bound(statement(database.dialect, "SELECT pg_sleep(0.003)")))

    tasks = [asyncio.create_task(client(number)) for number in range(150)]
    while pending := [task for task in tasks if not task.done()]:
        await pause(chance.random() * 0.004)
        chance.choice(pending).cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
    await until(lambda: database.stats()["busy"] == 0)
    assert database.stats()["open"] <= POOL
    left = await asyncio.to_thread(
        look,
        postgres_url,
        "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        " AND state <> 'idle'",
    )
    assert left == []


async def test_statement_on_a_line_that_hangs_ends_by_its_deadline(
    open_database: OpenDatabase,
    postgres_url: str,
) -> None:
    direct = psycopg.conninfo.conninfo_to_dict(postgres_url)
    async with Proxy(int(str(direct["port"]))) as proxy:
        url = postgres_url.replace(f":{direct['port']}", f":{proxy.port}")
        database = await open_database(url, PoolOptions(pool_max=POOL))
        await create_tables(database)
        loop = asyncio.get_running_loop()
        write = insert(database.dialect, "1", "a").statement
        await database.session(in_time()).run(Bound(write, ("1", "a")))
        proxy.forwarding.clear()
        async with asyncio.timeout(WAIT_S):
            with pytest.raises(UnknownOutcome):
                await database.session(loop.time() + 0.1).run(Bound(write, ("2", "b")))
            # A new connection hangs as well.
            with pytest.raises(DatabaseUnavailable):
                await database.session(loop.time() + 0.2).run(Bound(statement(database.dialect, "SELECT 1")))
            assert not await database.ready()
        proxy.cut()
        proxy.forwarding.set()
        await database.session(in_time()).run(Bound(write, ("3", "c")))
        assert {"1", "3"} <= set(await ids(database))


async def test_commit_without_an_answer_has_an_unknown_outcome(open_database: OpenDatabase, postgres_url: str) -> None:
    direct = psycopg.conninfo.conninfo_to_dict(postgres_url)
    async with Proxy(int(str(direct["port"]))) as proxy:
        url = postgres_url.replace(f":{direct['port']}", f":{proxy.port}")
        database = await open_database(url, PoolOptions(pool_max=POOL))
        await create_tables(database)

        async def transact() -> None:
            deadline = asyncio.get_running_loop().time() + 0.2
            async with database.transaction(deadline, read_only=False) as session:
                await session.run(insert(database.dialect, "1", "a"))
                proxy.answering = False

        with pytest.raises(UnknownOutcome):
            await transact()
        proxy.answering = True
        assert await ids(database) == ["1"]


async def test_commit_that_was_not_sent_is_no_unknown_outcome(database: Database) -> None:
    deadline = asyncio.get_running_loop().time() + 0.05
    broken = Statement("SELECT pg_sleep(60)", None, writes=True)
    with pytest.raises(DeadlineExceeded):
        await run_all(
            database.transaction(deadline, read_only=False),
            insert(database.dialect, "1", "a"),
            Bound(broken),
        )
    assert await ids(database) == []
