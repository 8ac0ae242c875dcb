"""Threads that read a SQLite file beside the writer, each statement from one snapshot."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from nexusd.databases.sqlite_connection import FOREVER, Limit, open_file
from nexusd.databases.sqlite_errors import DRIVER_ERRORS, translate
from nexusd.errors import DatabaseUnavailable, DeadlineExceeded, Overloaded
from nexusd.events import ConnectionAwaited, PoolExhausted

if TYPE_CHECKING:
    from pathlib import Path

    from nexusd.databases.database import Bound, PoolOptions
    from nexusd.databases.sqlite_connection import Connection, Fetched
    from nexusd.events import Observer


class Readers:
    """Reading connections, opened when they are first needed, and the threads that use them.

    Attributes:
        waiting: callers that wait for one.
    """

    def __init__(self, path: str | Path, options: PoolOptions, observe: Observer) -> None:
        self._path = path
        self._options = options
        self._observe = observe
        self._executor = ThreadPoolExecutor(options.pool_max, "nexusd-sqlite-reader")
        self._free = asyncio.Semaphore(options.pool_max)
        self._idle: list[Connection] = []
        self._opened: list[Connection] = []
        self._closing = False
        self.waiting = 0

    @property
    def opened(self) -> int:
        """Connections that are open."""
        return len(self._opened)

    @property
    def idle(self) -> int:
        """Connections that are open and not in use."""
        return len(self._idle)

    async def acquire(self, deadline: float) -> Connection:
        """A connection, waited for as long as `acquire_timeout_s` and the deadline allow.

        Raises:
            Overloaded: all stayed in use.
            DeadlineExceeded: the deadline had passed before.
            DatabaseUnavailable: the file could not be opened.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        if self._closing:
            raise DatabaseUnavailable("the server is stopping")
        if started >= deadline:
            raise DeadlineExceeded
        if self._free.locked():
            await self._wait(min(deadline, started + self._options.acquire_timeout_s))
            self._observe(ConnectionAwaited(loop.time() - started))
        else:
            await self._free.acquire()
        if self._idle:
            return self._idle.pop()
        try:
            connection = open_file(self._path, busy_timeout_s=self._options.acquire_timeout_s, read_only=True)
        except DRIVER_ERRORS as error:
            self._free.release()
            raise translate(error, ()) from error
        self._opened.append(connection)
        return connection

    def release(self, connection: Connection) -> None:
        """Take a connection back, once no thread uses it any more; a transaction on it ends."""
        if connection.running is not None and not connection.running.done():
            connection.running.add_done_callback(lambda _: self.release(connection))
            return
        if connection.running is not None and not connection.running.cancelled():
            # Nobody else asks for the outcome of a statement whose caller has gone.
            connection.running.exception()
        connection.running = None
        if connection.driver.in_transaction and not self._closing:
            connection.command("ROLLBACK")
        self._idle.append(connection)
        self._free.release()

    async def fetch(self, connection: Connection, bound: Bound, deadline: float) -> Fetched:
        """Have a thread run a statement; when the caller is cancelled it is interrupted."""
        loop = asyncio.get_running_loop()
        limit = connection.limit = Limit(time.monotonic() + deadline - loop.time())
        connection.running = loop.run_in_executor(self._executor, connection.fetch, bound)
        try:
            return await asyncio.shield(connection.running)
        except asyncio.CancelledError:
            limit.until = 0.0
            raise
        except DRIVER_ERRORS as error:
            raise translate(error, bound.statement.models) from error

    async def close(self, grace_s: float) -> None:
        """Wait for running statements for `grace_s`; then they are interrupted."""
        if self._closing:
            return
        self._closing = True
        try:
            async with asyncio.timeout(grace_s):
                for _ in range(self._options.pool_max):
                    await self._free.acquire()
        except TimeoutError:
            for connection in self._opened:
                if connection.limit is not FOREVER:
                    connection.limit.until = 0.0
        await asyncio.to_thread(self._executor.shutdown)
        for connection in self._opened:
            connection.driver.close()

    async def _wait(self, limit: float) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout_at(limit):
                await self._free.acquire()
        except TimeoutError:
            self._observe(PoolExhausted(self.waiting))
            raise Overloaded("no database connection became free in time; try again later") from None
        finally:
            self.waiting -= 1
