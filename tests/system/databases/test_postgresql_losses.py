"""What happens to statements when their connections, or the server, go away."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

import psycopg
import pytest

from nexusd.databases.database import Bound, PoolOptions
from nexusd.errors import ConnectionLost, DatabaseUnavailable, NexusError, UnknownOutcome
from nexusd.events import DatabaseLost, DatabaseRecovered
from tests.support.connections import WAIT_S, create_tables, ids, in_time, insert, pause, run_all, statement, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexusd.databases.database import Database
    from nexusd.events import Event
    from tests.support.connections import OpenDatabase
    from tests.support.postgres import PostgresServer, ShutdownMode

POOL: Final = 4


@pytest.fixture
async def database(open_database: OpenDatabase, postgres_url: str) -> Database:
    database = await open_database(postgres_url, PoolOptions(pool_max=POOL))
    await create_tables(database)
    return database


async def kill_all(url: str) -> int:
    """End every session of the database but our own; how many there were."""

    def kill() -> int:
        with psycopg.connect(url, autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'",
            )
            return len(ended.fetchall())

    return await asyncio.to_thread(kill)


async def fill(database: Database) -> None:
    """Have the pool open as many connections as it may."""
    read = Bound(statement(database.dialect, "SELECT pg_sleep(0.05)"))
    await asyncio.gather(*(database.session(in_time()).run(read) for _ in range(POOL)))


async def test_idle_connections_that_were_killed_cost_no_statement(database: Database, postgres_url: str) -> None:
    for round_ in range(5):
        await fill(database)
        assert await kill_all(postgres_url) == POOL
        await pause(0.05)
        writes = [insert(database.dialect, f"{round_}.{n}", f"{round_}.{n}") for n in range(2 * POOL)]
        await asyncio.gather(*(database.session(in_time()).run(write) for write in writes))
    assert len(await ids(database)) == 5 * 2 * POOL


async def test_killed_read_is_run_again(database: Database, postgres_url: str) -> None:
    # It ends at once when it is run again: the lock is gone by then.
    read = Bound(statement(database.dialect, "SELECT pg_sleep(CASE WHEN random() < 2 THEN 0.5 END)"))
    tasks = [asyncio.create_task(database.session(in_time()).run(read)) for _ in range(POOL)]
    await running(database, postgres_url)
    await kill_all(postgres_url)
    assert [result.affected for result in await asyncio.gather(*tasks)] == [1] * POOL


async def test_killed_write_has_an_unknown_outcome_and_is_not_run_again(database: Database, postgres_url: str) -> None:
    write = statement(
        database.dialect,
        "INSERT INTO contact (id, email) SELECT ?, 'a' FROM pg_sleep(60)",
        writes=True,
        rows=False,
    )
    task = asyncio.create_task(database.session(in_time()).run(Bound(write, ("1",))))
    await running(database, postgres_url)
    await kill_all(postgres_url)
    with pytest.raises(UnknownOutcome):
        await task
    assert await ids(database) == []


async def test_killed_transaction_is_surely_undone(database: Database, postgres_url: str) -> None:
    async def transact() -> None:
        async with database.transaction(in_time(), read_only=False) as session:
            await session.run(insert(database.dialect, "1", "a"))
            await kill_all(postgres_url)
            await session.run(insert(database.dialect, "2", "b"))

    with pytest.raises(ConnectionLost):
        await transact()
    assert await ids(database) == []


async def test_transaction_that_was_killed_before_it_began_is_not_noticed(
    database: Database,
    postgres_url: str,
) -> None:
    await fill(database)
    await kill_all(postgres_url)
    async with database.transaction(in_time(), read_only=False) as session:
        await session.run(insert(database.dialect, "1", "a"))
    assert await ids(database) == ["1"]


async def test_storm_of_kills_loses_and_doubles_nothing(database: Database, postgres_url: str) -> None:
    outcomes: dict[str, type[NexusError] | None] = {}
    stop = asyncio.Event()

    async def write(client: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            key = f"{client}.{number}"
            try:
                await database.session(in_time()).run(insert(database.dialect, key, key))
                outcomes[key] = None
            except NexusError as error:
                outcomes[key] = type(error)

    async def storm() -> None:
        for _ in range(10):
            await pause(0.05)
            await kill_all(postgres_url)
        stop.set()

    await asyncio.gather(storm(), *(write(client) for client in range(2 * POOL)))
    kept = Counter(await ids(database))
    assert {1} == set(kept.values())
    assert [key for key, error in outcomes.items() if error is None and key not in kept] == []
    assert [key for key, error in outcomes.items() if error not in {None, UnknownOutcome} and key in kept] == []
    assert {type(None)} >= {type(error) for error in outcomes.values() if error not in {UnknownOutcome, ConnectionLost}}
    assert sum(error is not None for error in outcomes.values()) <= 10 * POOL
    assert_pool_is_whole(database)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_restart_of_the_server_is_waited_for(
    open_database: OpenDatabase,
    postgres_server: PostgresServer,
    events: list[Event],
    mode: ShutdownMode,
) -> None:
    database = await open_database(postgres_server.url(), PoolOptions(pool_max=POOL, acquire_timeout_s=WAIT_S))
    await create_tables(database)
    await fill(database)
    await asyncio.to_thread(postgres_server.stop, mode)
    writes = [
        asyncio.create_task(database.session(in_time()).run(insert(database.dialect, str(n), str(n))))
        for n in range(20)
    ]
    await until(lambda: any(isinstance(event, DatabaseLost) for event in events))
    assert not await database.ready()
    await asyncio.to_thread(postgres_server.start)
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [result for result in results if isinstance(result, BaseException)] == []
    assert len(await ids(database)) == 20
    assert await database.ready()
    assert sum(isinstance(event, DatabaseRecovered) for event in events) == 1


async def test_server_that_stays_away_is_unavailable(
    open_database: OpenDatabase,
    postgres_server: PostgresServer,
) -> None:
    database = await open_database(postgres_server.url(), PoolOptions(pool_max=POOL, acquire_timeout_s=0.1))
    await create_tables(database)
    await asyncio.to_thread(postgres_server.stop)
    await pause(0.05)
    with pytest.raises(DatabaseUnavailable):
        await database.session(in_time()).run(insert(database.dialect, "1", "a"))
    with pytest.raises(DatabaseUnavailable):
        await run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, "1", "a"))
    assert not await database.ready()


async def test_no_server_at_the_start_is_unavailable(open_database: OpenDatabase, free_port: Callable[[], int]) -> None:
    with pytest.raises(DatabaseUnavailable):
        await open_database(f"postgresql://nobody@127.0.0.1:{free_port()}/none")


async def test_first_of_several_hosts_that_takes_writes_is_used(
    open_database: OpenDatabase,
    postgres_server: PostgresServer,
    free_port: Callable[[], int],
) -> None:
    url = postgres_server.url().replace("127.0.0.1:", f"127.0.0.1:{free_port()},127.0.0.1:")
    database = await open_database(url)
    await create_tables(database)
    assert await ids(database) == []


async def running(database: Database, url: str) -> None:
    """Wait until the server sleeps for a statement of ours on every connection that is lent."""
    async with asyncio.timeout(WAIT_S):
        while not database.stats()["busy"] or await asyncio.to_thread(sleeping, url) < database.stats()["busy"]:
            await pause(0.001)


def sleeping(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'",
        ).fetchone()
    assert found is not None
    return int(found[0])


def assert_pool_is_whole(database: Database) -> None:
    stats = database.stats()
    assert (stats["busy"], stats["waiting"]) == (0, 0)
    assert stats["open"] <= POOL
