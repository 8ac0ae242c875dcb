"""SQLite as a Database: one writing thread, reading threads, and reads by key without any."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Bound, Dialect, Statement
from nexusd.databases.sqlite_connection import Connection, decoded, open_file
from nexusd.databases.sqlite_errors import DRIVER_ERRORS, is_locked, translate, why_not
from nexusd.databases.sqlite_jobs import Job
from nexusd.databases.sqlite_readers import Readers
from nexusd.databases.sqlite_transactions import ReadTransaction, WriteTransaction
from nexusd.databases.sqlite_turns import Turns
from nexusd.databases.sqlite_writer import Writer
from nexusd.errors import ConfigurationError, DeadlineExceeded, InternalError, NexusError, Problem, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from nexusd.databases.database import PoolOptions, Result, Session
    from nexusd.events import Observer

OLDEST: Final = (3, 35, 0)
"""The first SQLite with RETURNING."""

READY_S: Final = 1.0
CHECK_S: Final = 10.0


def _step(row: Sequence[object]) -> dict[str, object]:
    """One instruction of a statement's program (sqlite.org/opcode.html)."""
    _, opcode, p1, p2, p3, *_ = row
    return {"opcode": opcode, "root": p1 if opcode == "Clear" else p2, "file": p2 if opcode == "Clear" else p3}


_OPENING: Final = frozenset({"OpenRead", "OpenWrite", "ReopenIdx", "Clear"})
"""Instructions that name a table, or an index of it, by the page on which it begins; file 0 is the database itself."""

_ROOTS: Final = Statement(
    "SELECT rootpage, tbl_name FROM sqlite_master", lambda row: {"root": row[0], "table": row[1]}, writes=False
)


_PROBE: Final = Bound(Statement("PRAGMA schema_version", None, writes=False))


class SqliteDatabase:
    """A SQLite database.

    Args:
        source: the file; or an open connection (of a database in memory, which nobody else can open), made with
            `check_same_thread=False` and given away.
        options: `pool_max` reading threads, `acquire_timeout_s` for locks and the writer's queue.
        observe: told of waits.
        turns: where other processes of the server write to the file too.
    """

    def __init__(
        self,
        source: str | Path | sqlite3.Connection,
        *,
        options: PoolOptions,
        observe: Observer,
        turns: Turns | None = None,
    ) -> None:
        self._source = source
        self._options = options
        self._observe = observe
        self._turns = turns or Turns(None)
        self._lock = threading.Lock()
        self._readers: Readers | None = None
        self._loop: asyncio.AbstractEventLoop
        self._writer: Writer
        self._inline: Connection

    @property
    def dialect(self) -> Dialect:
        """SQLite."""
        return Dialect.SQLITE

    async def open(self) -> None:
        """Open the file and start the writing thread.

        Raises:
            DatabaseUnavailable: the file cannot be opened.
            ConfigurationError: SQLite is too old.
        """
        if sqlite3.sqlite_version_info < OLDEST:
            raise ConfigurationError([Problem(f"SQLite {sqlite3.sqlite_version} is too old", "use 3.35 or newer")])
        self._loop = asyncio.get_running_loop()
        try:
            if isinstance(self._source, sqlite3.Connection):
                writing = self._inline = Connection(self._source)
            else:
                timeout_s = self._options.acquire_timeout_s
                writing = await asyncio.to_thread(open_file, self._source, busy_timeout_s=timeout_s, read_only=False)
                # The loop may not wait for a lock.
                self._inline = open_file(self._source, busy_timeout_s=0.0, read_only=True)
                self._readers = Readers(self._source, self._options, self._observe)
        except DRIVER_ERRORS as error:
            raise translate(error, ()) from error
        self._writer = Writer(writing, self._lock, self._loop, self._turns, self._observe)

    def session(self, deadline: float) -> Session:
        """A session in which every statement commits by itself."""
        return Autocommit(self, deadline)

    def transaction(
        self,
        deadline: float,
        *,
        read_only: bool,
        keep: bool = True,
    ) -> AbstractAsyncContextManager[Session]:
        """One transaction; it begins with its first statement."""
        if read_only and self._readers is not None:
            return ReadTransaction(self._readers, deadline)
        patience_s = self._options.acquire_timeout_s
        return WriteTransaction(self._writer, deadline, patience_s, self._observe, read_only=read_only, keep=keep)

    async def check(self, statement: Statement) -> str:
        """Ask SQLite how it would run the statement."""
        try:
            await self._explain(statement)
        except InternalError as error:
            return why_not(error.__cause__ or error)
        return ""

    async def tables(self, statement: Statement) -> frozenset[str]:
        """Those whose pages the statement's program opens."""
        opened = {
            step["root"] for step in await self._explain(statement) if step["opcode"] in _OPENING and not step["file"]
        }
        found = (await self.run(Bound(_ROOTS), self._loop.time() + CHECK_S)).rows
        return frozenset(str(row["table"]) for row in found if row["root"] in opened)

    async def _explain(self, statement: Statement) -> Sequence[Mapping[str, object]]:
        names = () if statement.open is None else statement.open.names
        asked = Statement(f"EXPLAIN {statement.sql}", _step, writes=False)
        return (await self.run(Bound(asked, (None,) * len(names)), self._loop.time() + CHECK_S)).rows

    async def ready(self) -> bool:
        """Whether the file can be read and the writing thread serves."""
        if self._readers is not None:
            deadline = self._loop.time() + READY_S
            try:
                connection = await self._readers.acquire(deadline)
                try:
                    await self._readers.fetch(connection, _PROBE, deadline)
                finally:
                    self._readers.release(connection)
            except NexusError:
                return False
        return self._writer.is_alive

    async def expire(self) -> None:
        """Look at the schema again; SQLite itself prepares statements anew."""
        self._writer.expire()

    def stats(self) -> Mapping[str, int]:
        """`open`, `idle`, `busy`, `waiting`; the writing connection is one of them."""
        writing = int(self._lock.locked())
        readers = self._readers
        opened, idle, waiting = (readers.opened, readers.idle, readers.waiting) if readers is not None else (0, 0, 0)
        return {
            "open": opened + 1,
            "idle": idle + 1 - writing,
            "busy": opened - idle + writing,
            "waiting": waiting + self._writer.waiting,
        }

    async def close(self, grace_s: float) -> None:
        """Let running statements end for `grace_s`, then interrupt them."""
        await asyncio.to_thread(self._writer.stop, grace_s)
        if self._readers is not None:
            await self._readers.close(grace_s)
            self._inline.driver.close()

    # For Autocommit

    async def run(self, bound: Bound, deadline: float) -> Result:
        """Run one statement by itself, where it is cheapest."""
        if self._loop.time() >= deadline:
            raise DeadlineExceeded
        statement = bound.statement
        if statement.inline:
            result = self._run_inline(bound)
            if result is not None:
                return result
        if statement.writes or self._readers is None:
            return await self._write(bound, deadline)
        connection = await self._readers.acquire(deadline)
        try:
            return decoded(statement, await self._readers.fetch(connection, bound, deadline))
        finally:
            self._readers.release(connection)

    def _run_inline(self, bound: Bound) -> Result | None:
        """The result of a read by key; None if the database is locked just now."""
        shared = self._readers is None
        if shared and not self._lock.acquire(blocking=False):
            return None
        try:
            return decoded(bound.statement, self._inline.fetch(bound))
        except DRIVER_ERRORS as error:
            if is_locked(error):
                return None
            raise translate(error, bound.statement.models) from error
        finally:
            if shared:
                self._lock.release()

    async def _write(self, bound: Bound, deadline: float) -> Result:
        job = Job(bound, deadline)
        self._writer.submit(job)
        late = UnknownOutcome if bound.statement.writes else DeadlineExceeded
        fetched = await job.answer.wait(job, deadline, self._options.acquire_timeout_s, late)
        return decoded(bound.statement, fetched)


class Autocommit:
    """Statements that commit by themselves."""

    __slots__ = ("_database", "_deadline")

    def __init__(self, database: SqliteDatabase, deadline: float) -> None:
        self._database = database
        self._deadline = deadline

    @property
    def dialect(self) -> Dialect:
        """SQLite."""
        return Dialect.SQLITE

    async def run(self, bound: Bound) -> Result:
        """Run one statement."""
        return await self._database.run(bound, self._deadline)

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """A transaction."""
        return self._database.transaction(self._deadline, read_only=False)
