"""Transactions on SQLite: one that may write holds the writing thread, one that only reads a snapshot beside it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.databases.savepoints import HeldBack
from nexusd.databases.sqlite_connection import decoded
from nexusd.databases.sqlite_errors import DRIVER_ERRORS, translate
from nexusd.databases.sqlite_jobs import Hold, Request, Step
from nexusd.errors import DeadlineExceeded, InternalError, NexusError, UnknownOutcome
from nexusd.events import TransactionBegun, TransactionCommitted, TransactionCommitting

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from nexusd.databases.database import Bound, Result, Session
    from nexusd.databases.sqlite_connection import Connection, Fetched
    from nexusd.databases.sqlite_readers import Readers
    from nexusd.databases.sqlite_writer import Writer
    from nexusd.events import Observer


_FAILED: Final = "the transaction had failed before its end; a statement that may fail needs a savepoint"


class WriteTransaction:
    """A transaction as a context manager and as the session inside it; it begins with its first statement.

    Args:
        writer: whose thread it holds.
        deadline: when the thread lets it go, undone.
        patience_s: how long it may wait for the thread.
        observe: told of its begin and commit.
        read_only: refuse statements that write.
        keep: False rolls back at the end, after deferred references were checked.
    """

    __slots__ = (
        "_deadline",
        "_failed",
        "_held_back",
        "_hold",
        "_keep",
        "_observe",
        "_patience_s",
        "_read_only",
        "_writer",
        "_wrote",
    )

    def __init__(
        self,
        writer: Writer,
        deadline: float,
        patience_s: float,
        observe: Observer,
        *,
        read_only: bool,
        keep: bool,
    ) -> None:
        self._writer = writer
        self._deadline = deadline
        self._patience_s = patience_s
        self._observe = observe
        self._read_only = read_only
        self._keep = keep
        self._hold: Hold | None = None
        self._held_back = HeldBack()
        # A failed statement fails the transaction, as on PostgreSQL.
        self._failed = False
        self._wrote = False

    @property
    def dialect(self) -> Dialect:
        """SQLite."""
        return Dialect.SQLITE

    async def run(self, bound: Bound) -> Result:
        """Run one statement in the transaction.

        Raises:
            SerializationConflict: nothing is kept; the transaction may be replayed from its start.
        """
        if self._read_only and bound.statement.writes:
            raise InternalError("a read-only transaction was given a statement that writes")
        if self._failed:
            raise InternalError(_FAILED)
        self._wrote |= bound.statement.writes
        self._failed = True
        fetched = await self._ask(Request(Step.RUN, self._held_back.drain(), bound), DeadlineExceeded)
        self._failed = False
        return decoded(bound.statement, fetched)

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
        hold = self._hold
        if hold is None:
            return
        if kind is None:
            await self._finish(hold)
        elif hold.over is None:
            request = Request(Step.ROLLBACK)
            if issubclass(kind, Exception) and asyncio.get_running_loop().time() < self._deadline:
                await self._ask(request, DeadlineExceeded)
            else:
                hold.inbox.put(request)

    async def _finish(self, hold: Hold) -> None:
        if hold.over is not None:
            # Somebody inside caught the failure that undid everything.
            raise hold.over
        if asyncio.get_running_loop().time() >= self._deadline:
            hold.inbox.put(Request(Step.ROLLBACK))
            raise DeadlineExceeded
        if self._failed:
            await self._ask(Request(Step.ROLLBACK), DeadlineExceeded)
            raise InternalError(_FAILED)
        if self._keep:
            self._observe(TransactionCommitting())
            await self._ask(Request(Step.COMMIT), UnknownOutcome if self._wrote else DeadlineExceeded)
            self._observe(TransactionCommitted())
        else:
            await self._ask(Request(Step.CHECK), DeadlineExceeded)

    async def _ask(self, request: Request, late: type[NexusError]) -> Fetched:
        hold = self._hold
        if hold is None:
            hold = self._hold = Hold(self._deadline, read_only=self._read_only)
            hold.inbox.put(request)
            self._writer.submit(hold)
            self._observe(TransactionBegun())
            try:
                return await request.answer.wait(hold, self._deadline, self._patience_s, late)
            except NexusError as error:
                if hold.withdrawn:
                    hold.over = error
                raise
        if hold.over is not None:
            raise hold.over
        hold.inbox.put(request)
        return await request.answer.wait(hold, self._deadline, math.inf, late)

    async def _roll_back_to(self, savepoint: str) -> None:
        hold = self._hold
        if hold is not None and hold.over is None:
            commands = [f"ROLLBACK TO {savepoint}", f"RELEASE {savepoint}"]
            await self._ask(Request(Step.RUN, commands), DeadlineExceeded)
            self._failed = False


class ReadTransaction:
    """One snapshot of a file, held by a reading connection from the first statement to the end of the block."""

    __slots__ = ("_connection", "_deadline", "_readers")

    def __init__(self, readers: Readers, deadline: float) -> None:
        self._readers = readers
        self._deadline = deadline
        self._connection: Connection | None = None

    @property
    def dialect(self) -> Dialect:
        """SQLite."""
        return Dialect.SQLITE

    async def run(self, bound: Bound) -> Result:
        """Run one statement in the snapshot."""
        statement = bound.statement
        connection = self._connection
        if connection is None:
            connection = self._connection = await self._readers.acquire(self._deadline)
            connection.command("BEGIN")
        elif statement.inline:
            # The snapshot is there: nothing can be in the way.
            try:
                return decoded(statement, connection.fetch(bound))
            except DRIVER_ERRORS as error:
                raise translate(error, statement.models) from error
        return decoded(statement, await self._readers.fetch(connection, bound, self._deadline))

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """Itself: there is nothing to undo."""
        return contextlib.nullcontext(self)

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._readers.release(self._connection)
