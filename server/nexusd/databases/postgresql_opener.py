"""How a pool gets its connections, also while the server is away."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.databases.postgresql_connection import connect
from nexusd.databases.postgresql_errors import DRIVER_ERRORS, is_full, refused_settings
from nexusd.errors import DatabaseUnavailable
from nexusd.events import DatabaseLost, DatabaseRecovered

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from nexusd.databases.database import PoolOptions
    from nexusd.databases.postgresql_connection import Connection
    from nexusd.databases.postgresql_waiters import Waiters
    from nexusd.events import Observer

RECONNECT_S: Final = (0.02, 0.2)
"""Bounds of the random pause after a failed attempt."""


STOP_S: Final = 0.5
"""How long the end waits for connections that are being opened."""


class Background:
    """Tasks that nobody awaits, kept so that they are neither collected nor left behind."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> None:
        """Run it beside everything else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def cancel(self, after_s: float = 0.0) -> None:
        """End all; those that have not ended by themselves `after_s`."""
        tasks = tuple(self._tasks)
        if tasks and after_s:
            await asyncio.wait(tasks, timeout=after_s)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Place(Protocol):
    """The pool that connections are opened for."""

    members: set[Connection]
    waiters: Waiters

    def join(self, connection: Connection) -> None:
        """Take a new connection."""


class Opener:
    """Opens connections in the background, as many at a time as are wanted; while the server refuses, one.

    Args:
        place: where they go.
        url: of the database.
        options: of the pool.
        observe: told when no connection is left and none can be opened, and when there is one again.
    """

    def __init__(self, place: Place, url: str, options: PoolOptions, observe: Observer) -> None:
        self._place = place
        self._url = url
        self._options = options
        self._observe = observe
        self._opening = 0
        self._failing = False
        self._stopped = False
        self._lost_at: float | None = None
        self._background = Background()

    async def open_first(self) -> None:
        """Open a connection while the caller waits.

        Raises:
            DatabaseUnavailable: it could not be opened.
        """
        try:
            connection = await connect(self._url, self._options)
        except DRIVER_ERRORS as error:
            if refused_settings(error):
                raise DatabaseUnavailable("the pooler refuses settings: set database.pooler to transaction") from error
            raise DatabaseUnavailable from error
        self._place.join(connection)

    def grow(self) -> None:
        """Begin to open what is wanted."""
        wanted = self._wanted()
        if self._failing:
            wanted = min(wanted, 1)
        while self._opening < wanted:
            self._opening += 1
            self._background.start(self._open())

    async def knock(self, deadline: float) -> bool:
        """Whether the server takes another connection, or answers that it has too many."""
        try:
            async with asyncio.timeout_at(deadline):
                connection = await connect(self._url, self._options)
        except DRIVER_ERRORS as error:
            return is_full(error)
        connection.driver.terminate()
        return True

    async def stop(self) -> None:
        """Open no more."""
        self._stopped = True
        # asyncpg does not take it well to be cancelled while it connects: it leaves an exception that nobody retrieves.
        await self._background.cancel(STOP_S)

    def _wanted(self) -> int:
        if self._stopped:
            return 0
        opened = len(self._place.members)
        short = max(len(self._place.waiters), self._options.pool_min - opened)
        return min(short, self._options.pool_max - opened)

    async def _open(self) -> None:
        try:
            while self._wanted() > 0:
                try:
                    connection = await connect(self._url, self._options)
                except DRIVER_ERRORS as error:
                    self._note_failure(error)
                    await asyncio.sleep(random.uniform(*RECONNECT_S))  # noqa: S311 -- spreads load, guards nothing
                    if self._opening > 1:
                        break
                else:
                    self._note_success()
                    self._place.join(connection)
                    break
        finally:
            self._opening -= 1
        self.grow()

    def _note_failure(self, error: BaseException) -> None:
        self._failing = True
        if self._lost_at is None and not self._place.members:
            self._lost_at = asyncio.get_running_loop().time()
            self._observe(DatabaseLost(type(error).__name__))

    def _note_success(self) -> None:
        self._failing = False
        if self._lost_at is not None:
            self._observe(DatabaseRecovered(asyncio.get_running_loop().time() - self._lost_at))
            self._lost_at = None
