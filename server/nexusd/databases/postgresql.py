"""PostgreSQL as a Database: sessions over the pool, what is tried again and what is not."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

import asyncpg

from nexusd.databases.database import Bound, Dialect, Pooler
from nexusd.databases.postgresql_connection import limits
from nexusd.databases.postgresql_errors import DRIVER_ERRORS, STALE_PLAN, is_lost, lost, translate, was_sent, why_not
from nexusd.databases.postgresql_plans import tables_of
from nexusd.databases.postgresql_pool import Pool
from nexusd.databases.postgresql_transaction import Transaction
from nexusd.errors import (
    ConnectionLost,
    DeadlineExceeded,
    NexusError,
    Overloaded,
    SerializationConflict,
    UnknownOutcome,
)
from nexusd.events import StatementRetried

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

    from nexusd.databases.database import PoolOptions, Result, Session, Statement
    from nexusd.databases.postgresql_connection import Connection
    from nexusd.events import Observer

CONFLICT_RETRIES: Final = 3
CONFLICT_PAUSE_S: Final = 0.01
"""Longest random pause before the first retry after a conflict; doubles with each."""

READY_S: Final = 1.0
CHECK_S: Final = 10.0
READ_ONLY: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PostgresqlDatabase:
    """A PostgreSQL database.

    Args:
        url: `postgresql://…` as libpq writes it; several hosts are tried in order until one accepts writes.
        options: limits of the pool.
        observe: told of losses, waits and retries.
    """

    def __init__(self, url: str, *, options: PoolOptions, observe: Observer) -> None:
        self._pool = Pool(url, options, observe)
        self._observe = observe
        # Through a transaction pooler nothing may be set for the session.
        pooled = options.pooler is Pooler.TRANSACTION
        self._settings = [f"SET LOCAL {name} = {value}" for name, value in limits(options).items()] if pooled else []

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL."""
        return Dialect.POSTGRESQL

    async def open(self) -> None:
        """Connect.

        Raises:
            DatabaseUnavailable: no connection could be opened.
        """
        await self._pool.open()

    def session(self, deadline: float) -> Session:
        """A session in which every statement commits by itself."""
        return Autocommit(self, self._pool, deadline, self._observe)

    def transaction(
        self,
        deadline: float,
        *,
        read_only: bool,
        keep: bool = True,
    ) -> AbstractAsyncContextManager[Session]:
        """One transaction; it begins on the server with its first statement. One that only reads has one snapshot."""
        begin = [READ_ONLY if read_only else "BEGIN", *self._settings]
        return Transaction(self._pool, deadline, begin, self._observe, keep=keep)

    async def check(self, statement: Statement) -> str:
        """Prepare the statement, which PostgreSQL does not do with one that it cannot run."""
        deadline = asyncio.get_running_loop().time() + CHECK_S
        connection = self._pool.take(deadline) or await self._pool.acquire(deadline)
        try:
            await connection.driver.prepare(statement.sql)
        except DRIVER_ERRORS as error:
            is_told = isinstance(error, asyncpg.PostgresError | asyncpg.InternalClientError)
            if is_told and not is_lost(error, connection.driver):
                return why_not(error, statement.sql)
            raise _judge(connection, Bound(statement), error) from error
        finally:
            self._pool.give(connection)
        return ""

    async def tables(self, statement: Statement) -> frozenset[str]:
        """Those of the plan that PostgreSQL makes for any parameters."""
        deadline = asyncio.get_running_loop().time() + CHECK_S
        connection = self._pool.take(deadline) or await self._pool.acquire(deadline)
        names = () if statement.open is None else statement.open.names
        try:
            return await tables_of(connection.driver, statement.sql, len(names))
        except DRIVER_ERRORS as error:
            raise _judge(connection, Bound(statement), error) from error
        finally:
            self._pool.give(connection)

    async def ready(self) -> bool:
        """Whether a connection answers within a second."""
        deadline = asyncio.get_running_loop().time() + READY_S
        try:
            connection = self._pool.take(deadline) or await self._pool.acquire(deadline)
        except Overloaded:
            return await self._pool.knock(deadline)
        except NexusError:
            return False
        try:
            await connection.command("SELECT 1", deadline)
        except DRIVER_ERRORS:
            return False
        finally:
            self._pool.give(connection)
        return True

    async def expire(self) -> None:
        """Prepare every statement anew at its next use."""
        self._pool.expire()

    def stats(self) -> Mapping[str, int]:
        """`open`, `idle`, `busy`, `waiting`."""
        return self._pool.stats()

    async def close(self, grace_s: float) -> None:
        """Let running statements end for `grace_s`, then cut them."""
        await self._pool.close(grace_s)


class Autocommit:
    """Statements that commit by themselves.

    A statement that surely had no effect is run again: after a conflict with another transaction up to three times,
    after a lost connection once. A write whose fate is not known never is.
    """

    __slots__ = ("_database", "_deadline", "_observe", "_pool")

    def __init__(self, database: PostgresqlDatabase, pool: Pool, deadline: float, observe: Observer) -> None:
        self._database = database
        self._pool = pool
        self._deadline = deadline
        self._observe = observe

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL."""
        return Dialect.POSTGRESQL

    async def run(self, bound: Bound) -> Result:
        """Run one statement."""
        if bound.statement.open is not None and not bound.statement.writes:
            async with self._database.transaction(self._deadline, read_only=True) as session:
                return await session.run(bound)
        pool = self._pool
        attempt = 0
        while True:
            connection = pool.take(self._deadline)
            if connection is None:
                connection = await pool.acquire(self._deadline)
            try:
                result = await connection.run(bound, self._deadline)
            except DRIVER_ERRORS as error:
                failure = _judge(connection, bound, error)
                cause: BaseException = error
            except asyncio.CancelledError as error:
                if bound.statement.writes and connection.sent and connection.loop.time() >= self._deadline:
                    # Cut by a timeout of the caller's: it may have been kept all the same.
                    raise UnknownOutcome from error
                raise
            else:
                if connection.overdue and bound.statement.writes:
                    # Told to stop, it reports success: perhaps it only stopped waiting for its replica.
                    raise UnknownOutcome
                return result
            finally:
                pool.give(connection)
            attempt += 1
            if not await self._may_retry(failure, cause, attempt):
                raise failure from cause

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """A transaction."""
        return self._database.transaction(self._deadline, read_only=False)

    async def _may_retry(self, failure: NexusError, cause: BaseException, attempt: int) -> bool:
        if isinstance(failure, ConnectionLost):
            reason, limit, longest_s = "lost", 1, 0.0
        elif isinstance(cause, STALE_PLAN):
            self._pool.expire()
            reason, limit, longest_s = "plan", 1, 0.0
        elif isinstance(failure, SerializationConflict):
            reason, limit, longest_s = "conflict", CONFLICT_RETRIES, CONFLICT_PAUSE_S * 2**attempt
        else:
            return False
        pause_s = random.uniform(0.0, longest_s)  # noqa: S311 -- spreads load, guards nothing
        if attempt > limit or asyncio.get_running_loop().time() + pause_s >= self._deadline:
            return False
        self._observe(StatementRetried(reason))
        if pause_s:
            await asyncio.sleep(pause_s)
        return True


def _judge(connection: Connection, bound: Bound, error: BaseException) -> NexusError:
    """What an exception of an autocommitted statement means; a dead connection is closed, never lent again."""
    statement = bound.statement
    if is_lost(error, connection.driver):
        connection.driver.terminate()
        sent = connection.sent and was_sent(error)
        if connection.overdue and not (statement.writes and sent):
            return DeadlineExceeded()
        return lost(writes=statement.writes, sent=sent)
    if isinstance(error, STALE_PLAN):
        return SerializationConflict()
    return translate(error, statement.models, overdue=connection.overdue)
