"""What a SQLite file does when it is locked, full or killed, and when many write at once."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Final

import pytest

from nexusd.databases.database import Bound, PoolOptions
from nexusd.databases.sqlite import SqliteDatabase
from nexusd.errors import (
    DatabaseUnavailable,
    DeadlineExceeded,
    Overloaded,
    ReferenceViolation,
    SerializationConflict,
    UniqueViolation,
)
from nexusd.events import GroupSynced
from tests.support.connections import (
    WAIT_S,
    create_deferred,
    create_tables,
    ids,
    in_time,
    insert,
    pause,
    run,
    run_all,
    statement,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexusd.databases.database import Database
    from nexusd.events import Event
    from tests.support.connections import OpenDatabase

NEVER_ENDING: Final = """INSERT INTO contact (id, email)
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'slow', max(i) FROM n"""


@pytest.fixture
async def database(open_database: OpenDatabase, sqlite_url: str) -> Database:
    database = await open_database(sqlite_url, PoolOptions(pool_max=4, acquire_timeout_s=0.2))
    await create_tables(database)
    return database


@pytest.fixture
async def in_memory(events: list[Event]) -> AsyncIterator[SqliteDatabase]:
    connection = sqlite3.connect(":memory:", check_same_thread=False)
    database = SqliteDatabase(connection, options=PoolOptions(acquire_timeout_s=0.2), observe=events.append)
    await database.open()
    await create_tables(database)
    yield database
    await database.close(WAIT_S)


def other_process(url: str) -> closing[sqlite3.Connection]:
    """A connection that knows nothing of ours."""
    return closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=0))


async def test_write_is_durable_before_it_is_acknowledged(database: Database) -> None:
    values = []
    for pragma in ("journal_mode", "synchronous", "foreign_keys", "case_sensitive_like"):
        bound = Bound(statement(database.dialect, f"PRAGMA {pragma}", writes=True))
        rows = (await database.session(in_time()).run(bound)).rows
        values += [row["id"] for row in rows]
    assert values == ["wal", 2, 1]


async def test_writes_that_come_together_share_a_commit(database: Database, events: list[Event]) -> None:
    del events[:]
    writes = [insert(database.dialect, f"{n:03}", str(n)) for n in range(100)]
    await asyncio.gather(*(database.session(in_time()).run(write) for write in writes))
    sizes = [event.size for event in events if isinstance(event, GroupSynced)]
    assert sum(sizes) == 100
    assert len(sizes) < 50


async def test_transactions_that_come_together_share_a_commit(database: Database, events: list[Event]) -> None:
    del events[:]
    blocks = [
        run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, f"{n:03}", str(n)))
        for n in range(100)
    ]
    await asyncio.gather(*blocks)
    sizes = [event.size for event in events if isinstance(event, GroupSynced)]
    assert sum(sizes) == 100
    assert len(sizes) < 50


async def test_write_of_another_process_is_waited_for(database: Database, sqlite_url: str) -> None:
    with other_process(sqlite_url) as other:
        other.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(database.session(in_time()).run(insert(database.dialect, "1", "a")))
        await pause(0.02)
        other.execute("COMMIT")
        await task
    assert await ids(database) == ["1"]


async def test_write_that_finds_the_file_locked_is_refused_and_never_done(database: Database, sqlite_url: str) -> None:
    with other_process(sqlite_url) as other:
        other.execute("BEGIN IMMEDIATE")
        results = await asyncio.gather(
            *(database.session(in_time()).run(insert(database.dialect, str(n), str(n))) for n in range(5)),
            run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, "6", "6")),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {Overloaded}
        with pytest.raises(DeadlineExceeded):
            await database.session(asyncio.get_running_loop().time() + 0.05).run(insert(database.dialect, "7", "7"))
        assert await ids(database) == []
        other.execute("COMMIT")
    await database.session(in_time()).run(insert(database.dialect, "8", "8"))
    assert await ids(database) == ["8"]


async def test_write_that_is_cut_off_undoes_nobody_elses(database: Database) -> None:
    slow = Bound(statement(database.dialect, NEVER_ENDING, writes=True, rows=False))
    deadline = asyncio.get_running_loop().time() + 0.1
    results = await asyncio.gather(
        *(database.session(in_time()).run(insert(database.dialect, f"a{n}", f"a{n}")) for n in range(5)),
        run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, "b", "b")),
        database.session(deadline).run(slow),
        *(database.session(in_time()).run(insert(database.dialect, f"c{n}", f"c{n}")) for n in range(5)),
        return_exceptions=True,
    )
    failed = [type(result) for result in results if isinstance(result, BaseException)]
    # A transaction in the same group is its caller's to replay; that one was first to be committed or it was undone.
    assert failed in ([DeadlineExceeded], [SerializationConflict, DeadlineExceeded])
    kept = await ids(database)
    assert [key for key in kept if key != "b"] == [f"{half}{n}" for half in "ac" for n in range(5)]
    assert ("b" in kept) == (SerializationConflict not in failed)


async def test_statement_cut_off_in_a_transaction_ends_the_transaction(database: Database) -> None:
    slow = Bound(statement(database.dialect, NEVER_ENDING, writes=True, rows=False))
    deadline = asyncio.get_running_loop().time() + 0.1
    with pytest.raises(DeadlineExceeded):
        await run_all(database.transaction(deadline, read_only=False), insert(database.dialect, "1", "a"), slow)
    await database.session(in_time()).run(insert(database.dialect, "2", "b"))
    assert await ids(database) == ["2"]


async def test_transaction_that_is_held_too_long_lets_others_go_on(database: Database) -> None:
    async def hold() -> None:
        async with database.transaction(asyncio.get_running_loop().time() + 0.1, read_only=False) as session:
            await session.run(insert(database.dialect, "1", "a"))
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await pause(0.01)
    await database.session(in_time()).run(insert(database.dialect, "2", "b"))
    task.cancel()
    assert await ids(database) == ["2"]


async def test_full_disk_refuses_what_does_not_fit_and_keeps_the_rest(database: Database) -> None:
    pages = await database.session(in_time()).run(Bound(statement(database.dialect, "PRAGMA page_count")))
    limit = int(str(pages.rows[0]["id"])) + 2
    await run(database, f"PRAGMA max_page_count = {limit}", writes=True)
    results = await asyncio.gather(
        *(database.session(in_time()).run(insert(database.dialect, f"a{n}", f"a{n}")) for n in range(3)),
        database.session(in_time()).run(insert(database.dialect, "large", "x" * 100_000)),
        *(database.session(in_time()).run(insert(database.dialect, f"b{n}", f"b{n}")) for n in range(3)),
        return_exceptions=True,
    )
    assert [type(result) for result in results if isinstance(result, BaseException)] == [DatabaseUnavailable]
    assert await ids(database) == ["a0", "a1", "a2", "b0", "b1", "b2"]


@pytest.mark.parametrize("known", [True, False])
async def test_deferred_reference_fails_its_writer_alone(database: Database, *, known: bool) -> None:
    await create_deferred(database)
    if known:
        await database.expire()
    broken = statement(database.dialect, "INSERT INTO deferred VALUES (?, 'nowhere')", writes=True, rows=False)
    results = await asyncio.gather(
        *(database.session(in_time()).run(insert(database.dialect, f"a{n}", f"a{n}")) for n in range(3)),
        database.session(in_time()).run(Bound(broken, ("1",))),
        run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, "b", "b")),
        run_all(database.transaction(in_time(), read_only=False), Bound(broken, ("2",))),
        return_exceptions=True,
    )
    failed = [type(result) for result in results if isinstance(result, BaseException)]
    assert (
        failed == [ReferenceViolation] * 2
        if known
        else [ReferenceViolation, SerializationConflict, SerializationConflict]
    )
    # Who shared the COMMIT that failed replays, and is then told alone.
    with pytest.raises(ReferenceViolation):
        await run_all(database.transaction(in_time(), read_only=False), Bound(broken, ("2",)))
    assert await ids(database) == ["a0", "a1", "a2", "b"][: 4 if known else 3]


async def test_no_cursor_is_left_open(database: Database, sqlite_url: str) -> None:
    for n in range(3):
        await database.session(in_time()).run(insert(database.dialect, str(n), str(n)))
    for inline in (True, False):
        for rows in (True, False):
            sql = "SELECT id FROM contact ORDER BY id"
            await database.session(in_time()).run(Bound(statement(database.dialect, sql, inline=inline, rows=rows)))
    with other_process(sqlite_url) as other:
        busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0


async def test_file_that_is_no_database_is_unavailable(open_database: OpenDatabase, sqlite_url: str) -> None:
    with pytest.raises(DatabaseUnavailable):
        await open_database(f"{sqlite_url}/nowhere/nexusd.db")


async def test_memory_shows_nothing_before_it_is_committed(in_memory: SqliteDatabase) -> None:
    read = Bound(statement(in_memory.dialect, "SELECT count(*) FROM contact", inline=True))
    async with in_memory.transaction(in_time(), read_only=False) as session:
        await session.run(insert(in_memory.dialect, "1", "a"))
        with pytest.raises(Overloaded):
            await in_memory.session(in_time()).run(read)
    assert (await in_memory.session(in_time()).run(read)).rows[0]["id"] == 1


async def test_memory_keeps_and_undoes_like_a_file(in_memory: SqliteDatabase) -> None:
    await in_memory.session(in_time()).run(insert(in_memory.dialect, "1", "a"))
    with pytest.raises(UniqueViolation):
        await run_all(
            in_memory.transaction(in_time(), read_only=False),
            insert(in_memory.dialect, "2", "b"),
            insert(in_memory.dialect, "3", "a"),
        )
    async with in_memory.transaction(in_time(), read_only=True) as session:
        result = await session.run(Bound(statement(in_memory.dialect, "SELECT id FROM contact")))
    assert [row["id"] for row in result.rows] == ["1"]
    assert await in_memory.ready()


WRITER: Final = """
import asyncio, sys
from nexusd.databases.database import Dialect, PoolOptions
from nexusd.databases.sqlite import SqliteDatabase
from tests.support.connections import create_tables, insert

async def main(path):
    database = SqliteDatabase(path, options=PoolOptions(), observe=lambda event: None)
    await database.open()
    await create_tables(database)
    deadline = asyncio.get_running_loop().time() + 60

    async def client(number):
        for count in range(10**6):
            key = f"{number}.{count}"
            await database.session(deadline).run(insert(Dialect.SQLITE, key, key))
            print(key, flush=True)

    await asyncio.gather(*(client(number) for number in range(12)))

asyncio.run(main(sys.argv[1]))
"""


async def test_killed_process_has_kept_what_it_acknowledged(open_database: OpenDatabase, sqlite_url: str) -> None:
    path = sqlite_url.removeprefix("sqlite:///")

    def write_and_kill() -> list[str]:
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, path],
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(300)]
            process.send_signal(signal.SIGKILL)
            return lines + process.stdout.readlines()

    acknowledged = [line.strip() for line in await asyncio.to_thread(write_and_kill) if line.endswith("\n")]
    database = await open_database(sqlite_url)
    kept = await ids(database)
    assert set(acknowledged) - set(kept) == set()
    assert len(kept) <= len(acknowledged) + 12
