from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from nexusd.databases.database import Bound, PoolOptions
from nexusd.errors import DeadlineExceeded, InternalError, Overloaded, ReferenceViolation, UniqueViolation
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
    from nexusd.databases.database import Database, Session
    from tests.support.connections import OpenDatabase


class Stop(Exception):
    """Leaves a block."""


async def count(session: Session) -> object:
    bound = Bound(statement(session.dialect, "SELECT count(*) FROM contact"))
    return (await session.run(bound)).rows[0]["id"]


async def test_block_that_ends_is_kept(database: Database) -> None:
    async with database.transaction(in_time(), read_only=False) as session:
        await session.run(insert(database.dialect, "1", "a"))
        await session.run(insert(database.dialect, "2", "b"))
    assert await ids(database) == ["1", "2"]


async def test_block_that_raises_is_undone(database: Database) -> None:
    with pytest.raises(Stop):
        await run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, "1", "a"), then=Stop())
    assert await ids(database) == []


async def test_transaction_sees_its_own_writes_and_nobody_else_does(database: Database) -> None:
    async with database.transaction(in_time(), read_only=False) as session:
        await session.run(insert(database.dialect, "1", "a"))
        assert await count(session) == 1
        assert await count(database.session(in_time())) == 0
    assert await count(database.session(in_time())) == 1


async def test_dry_run_keeps_nothing(database: Database) -> None:
    async with database.transaction(in_time(), read_only=False, keep=False) as session:
        await session.run(insert(database.dialect, "1", "a"))
        assert await count(session) == 1
    assert await ids(database) == []


@pytest.mark.parametrize("keep", [True, False], ids=["commit", "dry run"])
async def test_deferred_reference_is_checked_at_the_end(database: Database, *, keep: bool) -> None:
    await create_deferred(database)
    broken = statement(database.dialect, "INSERT INTO deferred VALUES ('1', 'nowhere')", writes=True, rows=False)
    with pytest.raises(ReferenceViolation):
        await run_all(database.transaction(in_time(), read_only=False, keep=keep), Bound(broken))
    with pytest.raises(ReferenceViolation):
        await database.session(in_time()).run(Bound(broken))
    assert await ids(database, "deferred") == []


async def test_deferred_reference_may_be_met_later(database: Database) -> None:
    await create_deferred(database)
    async with database.transaction(in_time(), read_only=False) as session:
        for sql in ("INSERT INTO deferred VALUES ('1', 'there')", "INSERT INTO company VALUES ('there')"):
            await session.run(Bound(statement(database.dialect, sql, writes=True, rows=False)))
    assert await ids(database, "deferred") == ["1"]


async def test_savepoint_undoes_its_block_alone(database: Database) -> None:
    async with database.transaction(in_time(), read_only=False) as session:
        await session.run(insert(database.dialect, "1", "a"))
        with pytest.raises(UniqueViolation):
            await run_all(session.atomic(), insert(database.dialect, "2", "b"), insert(database.dialect, "3", "a"))
        async with session.atomic() as inner:
            await inner.run(insert(database.dialect, "4", "d"))
    assert await ids(database) == ["1", "4"]


async def nest(session: Session, *bounds: Bound, then: Exception | None = None) -> None:
    """Run each statement one savepoint deeper, and raise in the first."""
    async with session.atomic() as inner:
        if bounds:
            await inner.run(bounds[0])
            await nest(inner, *bounds[1:])
        if then is not None:
            raise then


async def test_savepoints_nest(database: Database) -> None:
    async with database.transaction(in_time(), read_only=False) as session, session.atomic() as outer:
        with pytest.raises(Stop):
            await nest(outer, insert(database.dialect, "1", "a"), then=Stop())
        with pytest.raises(UniqueViolation):
            await nest(outer, insert(database.dialect, "2", "b"), insert(database.dialect, "2", "c"))
        await outer.run(insert(database.dialect, "3", "c"))
    assert await ids(database) == ["3"]


async def test_empty_blocks_do_nothing(database: Database) -> None:
    async with database.transaction(in_time(), read_only=False) as session:
        async with session.atomic():
            pass
        with pytest.raises(Stop):
            await run_all(session.atomic(), then=Stop())
    assert await ids(database) == []


async def test_first_statement_of_a_savepoint_may_fail(database: Database) -> None:
    await run(database, "INSERT INTO contact (id, email) VALUES ('1', 'a')", writes=True)
    async with database.transaction(in_time(), read_only=False) as session:
        for _ in range(2):
            with pytest.raises(UniqueViolation):
                await run_all(session.atomic(), insert(database.dialect, "1", "a"))
        await session.run(insert(database.dialect, "2", "b"))
    assert await ids(database) == ["1", "2"]


async def test_transaction_whose_failure_was_swallowed_is_not_kept(database: Database) -> None:
    async def swallow() -> None:
        async with database.transaction(in_time(), read_only=False) as session:
            await session.run(insert(database.dialect, "1", "a"))
            with suppress(UniqueViolation):
                await session.run(insert(database.dialect, "1", "a"))

    with pytest.raises(InternalError):
        await swallow()
    assert await ids(database) == []


async def test_atomic_block_of_a_session_is_a_transaction(database: Database) -> None:
    with pytest.raises(Stop):
        await run_all(database.session(in_time()).atomic(), insert(database.dialect, "1", "a"), then=Stop())
    async with database.session(in_time()).atomic() as session:
        await session.run(insert(database.dialect, "2", "b"))
    assert await ids(database) == ["2"]


async def test_transaction_that_only_reads_has_one_snapshot(database: Database) -> None:
    async with database.transaction(in_time(), read_only=True) as session:
        assert await count(session) == 0
        await database.session(in_time()).run(insert(database.dialect, "1", "a"))
        assert await count(session) == 0
        async with session.atomic() as inner:
            assert await count(inner) == 0
    assert await count(database.session(in_time())) == 1


async def test_transaction_past_its_deadline_is_undone(database: Database) -> None:
    async def overstay(*later: Bound) -> None:
        deadline = asyncio.get_running_loop().time() + 0.05
        async with database.transaction(deadline, read_only=False) as session:
            await session.run(insert(database.dialect, "1", "a"))
            await pause(0.06)
            for bound in later:
                await session.run(bound)

    with pytest.raises(DeadlineExceeded):
        await overstay()
    with pytest.raises(DeadlineExceeded):
        await overstay(insert(database.dialect, "2", "b"))
    assert await ids(database) == []
    await database.session(in_time()).run(insert(database.dialect, "3", "c"))


async def test_cancelled_transaction_is_undone_and_leaves_nothing_locked(database: Database) -> None:
    entered = asyncio.Event()

    async def hold() -> None:
        async with database.transaction(in_time(), read_only=False) as session:
            await session.run(insert(database.dialect, "1", "a"))
            entered.set()
            await asyncio.Event().wait()

    for _ in range(6):
        entered.clear()
        task = asyncio.create_task(hold())
        async with asyncio.timeout(WAIT_S):
            await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    # It would wait for the lock of a transaction that is still open.
    await database.session(in_time()).run(insert(database.dialect, "1", "a"))
    assert await ids(database) == ["1"]


async def test_transaction_that_runs_nothing_takes_no_connection(
    open_database: OpenDatabase,
    database_url: str,
) -> None:
    database = await open_database(database_url, PoolOptions(pool_max=1))
    async with (
        database.transaction(in_time(), read_only=False),
        database.transaction(in_time(), read_only=False),
        database.transaction(in_time(), read_only=True),
    ):
        assert database.stats()["busy"] == 0
    assert await database.ready()


async def test_writer_that_waits_too_long_for_its_turn_is_refused(
    open_database: OpenDatabase,
    database_url: str,
) -> None:
    database = await open_database(database_url, PoolOptions(pool_max=1, acquire_timeout_s=0.05))
    await create_tables(database)
    async with database.transaction(in_time(), read_only=False) as session:
        await session.run(insert(database.dialect, "1", "a"))
        with pytest.raises(Overloaded):
            await database.session(in_time()).run(insert(database.dialect, "2", "b"))
        with pytest.raises(Overloaded):
            await run_all(database.transaction(in_time(), read_only=False), insert(database.dialect, "3", "c"))
    assert await ids(database) == ["1"]


async def test_concurrent_writes_fail_alone(database: Database) -> None:
    async def write(number: int) -> None:
        # Every third one takes an address that is taken.
        email = "taken" if number % 3 == 0 else str(number)
        await database.session(in_time()).run(insert(database.dialect, f"{number:02}", email))

    await database.session(in_time()).run(insert(database.dialect, "first", "taken"))
    results = await asyncio.gather(*(write(number) for number in range(60)), return_exceptions=True)
    assert [UniqueViolation if number % 3 == 0 else type(None) for number in range(60)] == [type(r) for r in results]
    assert [f"{number:02}" for number in range(60) if number % 3] == (await ids(database))[:-1]


async def test_concurrent_transactions_are_each_kept_or_undone_whole(database: Database) -> None:
    async def write(number: int) -> None:
        async with database.transaction(in_time(), read_only=False) as session:
            await session.run(insert(database.dialect, f"{number:02}a", f"{number}a"))
            await session.run(insert(database.dialect, f"{number:02}b", "taken" if number % 2 else f"{number}b"))

    await database.session(in_time()).run(insert(database.dialect, "first", "taken"))
    results = await asyncio.gather(*(write(number) for number in range(20)), return_exceptions=True)
    assert [UniqueViolation if number % 2 else type(None) for number in range(20)] == [type(r) for r in results]
    assert [f"{number:02}{half}" for number in range(0, 20, 2) for half in "ab"] == (await ids(database))[:-1]
