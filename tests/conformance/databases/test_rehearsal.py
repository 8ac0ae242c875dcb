"""A database over one transaction: what is kept in it can be seen in it, and is gone with it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from nexusd.databases.database import Bound, Statement
from nexusd.databases.rehearsal import Rehearsal
from nexusd.errors import DatabaseError, InternalError
from tests.support.connections import in_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexusd.databases.database import Database, Session
    from tests.support.connections import OpenDatabase

MAKE = Bound(Statement("CREATE TABLE t (n int PRIMARY KEY)", None, writes=True))
COUNT = Bound(Statement("SELECT count(*) FROM t", lambda row: {"count": row[0]}, writes=False))


def insert(n: int) -> Bound:
    return Bound(Statement(f"INSERT INTO t VALUES ({n})", None, writes=True))


async def insert_all(database: Database, *numbers: int) -> None:
    async with database.transaction(in_time(), read_only=False) as session:
        for n in numbers:
            await session.run(insert(n))


async def count(session: Session) -> object:
    return (await session.run(COUNT)).rows[0]["count"]


@pytest.fixture
async def real(open_database: OpenDatabase, database_url: str) -> Database:
    return await open_database(database_url)


@contextlib.asynccontextmanager
async def rehearsal(real: Database) -> AsyncIterator[Rehearsal]:
    async with real.transaction(in_time(), read_only=False, keep=False) as session:
        await session.run(MAKE)
        yield Rehearsal(session)


async def test_what_fails_is_undone_alone(real: Database) -> None:
    async with rehearsal(real) as database:
        session = database.session(in_time())
        await session.run(insert(1))
        with pytest.raises(DatabaseError):
            await session.run(insert(1))
        with pytest.raises(DatabaseError):
            await insert_all(database, 2, 1)
        async with database.transaction(in_time(), read_only=False, keep=False) as inner:
            await inner.run(insert(3))
        async with session.atomic() as inner, inner.atomic() as innermost:
            await innermost.run(insert(4))

        assert await count(session) == 2

    with pytest.raises(InternalError):
        await real.session(in_time()).run(COUNT)


async def test_transactions_side_by_side_take_turns(real: Database) -> None:
    async with rehearsal(real) as database:

        async def work(n: int) -> None:
            async with database.transaction(in_time(), read_only=False) as session:
                await session.run(insert(n))
                await asyncio.sleep(0)
                # A session of its own inside would wait for itself.
                await database.session(in_time()).run(insert(n + 100))

        await asyncio.gather(*(work(n) for n in range(5)))

        assert await count(database.session(in_time())) == 10


async def test_work_that_is_cancelled_is_undone(real: Database) -> None:
    async with rehearsal(real) as database:
        began = asyncio.Event()

        async def hangs() -> None:
            async with database.transaction(in_time(), read_only=False) as session:
                await session.run(insert(1))
                began.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(hangs())
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await count(database.session(in_time())) == 0
