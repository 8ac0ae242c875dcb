"""One PostgreSQL transaction: begun late, ended surely, with as few round trips as it can do with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.databases.postgresql_errors import DRIVER_ERRORS, STALE_PLAN, is_lost, lost, translate, was_sent
from nexusd.databases.savepoints import HeldBack
from nexusd.errors import (
    ConnectionLost,
    DeadlineExceeded,
    InternalError,
    NexusError,
    SerializationConflict,
    UnknownOutcome,
)
from nexusd.events import TransactionBegun, TransactionCommitted, TransactionCommitting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from nexusd.databases.database import Bound, Result, Session
    from nexusd.databases.postgresql_connection import Connection
    from nexusd.databases.postgresql_pool import Pool
    from nexusd.definitions.model import Model
    from nexusd.events import Observer

FIRST_ATTEMPTS: Final = 2


class Transaction:
    """A transaction as a context manager and as the session inside it.

    BEGIN, SAVEPOINT and RELEASE are held back and sent with the next command, in one round trip; a transaction that
    runs nothing takes no connection. Until its first statement has succeeded nothing can be lost, so that one is tried
    twice when the connection or its plan turns out to be stale.

    Args:
        pool: where its connection comes from.
        deadline: when it is undone, `loop.time()` based.
        begin: the commands that begin it.
        observe: told of its begin and commit.
        keep: False rolls back at the end, after deferred constraints were checked.
    """

    __slots__ = ("_begin", "_connection", "_deadline", "_held_back", "_keep", "_models", "_observe", "_pool", "_wrote")

    def __init__(
        self,
        pool: Pool,
        deadline: float,
        begin: Sequence[str],
        observe: Observer,
        *,
        keep: bool,
    ) -> None:
        self._pool = pool
        self._observe = observe
        self._deadline = deadline
        self._begin = begin
        self._keep = keep
        self._connection: Connection | None = None
        self._held_back = HeldBack()
        self._wrote = False
        self._models: list[Model] = []

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL."""
        return Dialect.POSTGRESQL

    async def run(self, bound: Bound) -> Result:
        """Run one statement in the transaction.

        Raises:
            SerializationConflict, ConnectionLost: nothing is kept; the transaction may be replayed from its start.
        """
        statement = bound.statement
        if statement.open is not None and not statement.writes:
            async with self._held_back.read_only(self, self._roll_back_to):
                return await self._run(bound)
        result = await self._run(bound)
        if statement.writes:
            self._wrote = True
            if statement.model is not None and statement.model not in self._models:
                self._models.append(statement.model)
        return result

    async def _run(self, bound: Bound) -> Result:
        connection = self._connection
        if connection is None:
            return await self._run_first(bound)
        return await self._run_on(connection, bound, self._held_back.drain())

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """A savepoint."""
        return self._held_back.savepoint(self, self._roll_back_to)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        connection = self._connection
        if connection is None:
            return
        self._connection = None
        try:
            if kind is None:
                await self._finish(connection)
            elif issubclass(kind, Exception) and connection.clean and connection.loop.time() < self._deadline:
                await self._roll_back(connection)
            else:
                # The task is being cancelled, a statement still runs, or time is up: the pool rolls back later.
                connection.clean = False
        finally:
            self._pool.give(connection)

    # Statements

    async def _roll_back_to(self, savepoint: str) -> None:
        connection = self._connection
        # After the deadline, or without a connection, the whole transaction is over.
        if connection is not None and not connection.overdue and not connection.driver.is_closed():
            await self._command(connection, [f"ROLLBACK TO SAVEPOINT {savepoint}", f"RELEASE SAVEPOINT {savepoint}"])

    async def _run_first(self, bound: Bound) -> Result:
        """Take a connection, begin, and run the first statement."""
        attempts = FIRST_ATTEMPTS
        while True:
            connection = self._pool.take(self._deadline) or await self._pool.acquire(self._deadline)
            self._connection = connection
            self._observe(TransactionBegun())
            held_back = self._held_back.drain()
            try:
                return await self._run_on(connection, bound, [*self._begin, *held_back])
            except (ConnectionLost, SerializationConflict) as failure:
                attempts -= 1
                stale = isinstance(failure, ConnectionLost) or isinstance(failure.__cause__, STALE_PLAN)
                if not attempts or not stale:
                    raise
            if not connection.driver.is_closed():
                self._pool.expire()
            connection.clean = False
            self._connection = None
            self._pool.give(connection)
            self._held_back.restore(held_back)

    async def _run_on(self, connection: Connection, bound: Bound, ahead: Sequence[str]) -> Result:
        if connection.overdue:
            raise DeadlineExceeded
        try:
            return await connection.run(bound, self._deadline, ahead)
        except DRIVER_ERRORS as error:
            raise _judge(connection, bound.statement.models, error) from error

    async def _command(self, connection: Connection, commands: Sequence[str]) -> None:
        try:
            await connection.command("; ".join(commands), self._deadline)
        except DRIVER_ERRORS as error:
            raise _judge(connection, (), error) from error

    # The end

    async def _finish(self, connection: Connection) -> None:
        if connection.overdue or connection.loop.time() >= self._deadline:
            connection.clean = False
            raise DeadlineExceeded
        if not self._keep:
            await self._check_deferred(connection)
            await self._roll_back(connection)
            return
        self._observe(TransactionCommitting())
        try:
            tag = await connection.command("COMMIT", self._deadline, stop=False)
        except DRIVER_ERRORS as error:
            failure = self._judge_commit(connection, error)
            if failure is not None:
                raise failure from error
            return
        except asyncio.CancelledError as error:
            if self._wrote and connection.loop.time() >= self._deadline:
                raise UnknownOutcome from error
            raise
        if tag == "COMMIT":
            self._observe(TransactionCommitted())
        else:
            raise InternalError(
                "the transaction had failed before its end; a statement that may fail needs a savepoint"
            )

    async def _check_deferred(self, connection: Connection) -> None:
        try:
            await connection.command("SET CONSTRAINTS ALL IMMEDIATE", self._deadline)
        except DRIVER_ERRORS as error:
            connection.clean = False
            raise _judge(connection, self._models, error) from error

    async def _roll_back(self, connection: Connection) -> None:
        try:
            await connection.command("ROLLBACK", self._deadline)
        except DRIVER_ERRORS:
            # Nothing is kept of a transaction whose connection ends.
            connection.driver.terminate()
            connection.clean = False

    def _judge_commit(self, connection: Connection, error: BaseException) -> NexusError | None:
        """What became of the transaction; None if nothing was at stake."""
        if is_lost(error, connection.driver):
            connection.driver.terminate()
            connection.clean = False
            if not self._wrote:
                return None
            return lost(writes=True, sent=was_sent(error))
        return translate(error, self._models, overdue=False)


def _judge(connection: Connection, models: Sequence[Model], error: BaseException) -> NexusError:
    """What an exception inside a transaction means: before COMMIT was sent nothing can have been kept."""
    if is_lost(error, connection.driver):
        connection.driver.terminate()
        connection.clean = False
        return DeadlineExceeded() if connection.overdue else ConnectionLost()
    if isinstance(error, STALE_PLAN):
        connection.forget_plans()
        return SerializationConflict()
    return translate(error, models, overdue=connection.overdue)
