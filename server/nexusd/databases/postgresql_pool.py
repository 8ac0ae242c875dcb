"""A pool of PostgreSQL connections: the last one given back is lent first, who waits is served in order.

Giving a connection back runs no query: statements leave nothing behind on it (only `SET LOCAL`, transaction locks; no
LISTEN, temporary table or held cursor). One that was not left clean is reset in the background, or dropped.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from nexusd.databases.postgresql_errors import DRIVER_ERRORS
from nexusd.databases.postgresql_opener import Background, Opener
from nexusd.databases.postgresql_waiters import Waiters
from nexusd.errors import DatabaseUnavailable, DeadlineExceeded, Overloaded
from nexusd.events import ConnectionAwaited, ConnectionClosed, PoolExhausted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import PoolOptions
    from nexusd.databases.postgresql_connection import Connection
    from nexusd.events import Observer

MAX_WAITING: Final = 1024
PING_TIMEOUT_S: Final = 0.5
RESET_TIMEOUT_S: Final = 2.0
FRESH_S: Final = 0.02
"""A connection that rested longer has its socket looked at before it is used."""

IDLE_S: Final = 300.0
"""Connections above `pool_min` that nobody needed for so long are closed."""


class Pool:
    """Connections to one database, used in one event loop.

    Attributes:
        members: all that are open.
        waiters: who waits for one.
    """

    def __init__(self, url: str, options: PoolOptions, observe: Observer) -> None:
        self._options = options
        self._observe = observe
        self._opener = Opener(self, url, options, observe)
        self._background = Background()
        self._idle: list[Connection] = []
        self._epoch = 0
        self._closing = False
        self._emptied = asyncio.Event()
        self._shrinking: asyncio.TimerHandle | None = None
        self.members: set[Connection] = set()
        self.waiters = Waiters(self.give, self._opener.grow)

    async def open(self) -> None:
        """Open `pool_min` connections, and wait for the first.

        Raises:
            DatabaseUnavailable: it could not be opened.
        """
        await self._opener.open_first()
        self._opener.grow()
        self._shrink()

    def take(self, deadline: float) -> Connection | None:
        """An idle connection that is known to work, if there is one; to be given back by `give`.

        Raises:
            DeadlineExceeded: the deadline has passed.
        """
        idle = self._idle
        if not idle or idle[-1].epoch != self._epoch:
            return None
        connection = idle[-1]
        now = connection.loop.time()
        if now >= deadline:
            raise DeadlineExceeded
        if now - connection.idle_since > FRESH_S and connection.has_news:
            # Noticed before a write is sent to nobody; `acquire` asks it.
            connection.epoch = -1
            return None
        return idle.pop()

    async def acquire(self, deadline: float) -> Connection:
        """A connection, waited for as long as `acquire_timeout_s` and the deadline allow.

        Raises:
            Overloaded: all stayed in use.
            DatabaseUnavailable: there is none.
            DeadlineExceeded: the deadline had passed before.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        if started >= deadline:
            raise DeadlineExceeded
        while self._idle:
            connection = self._idle.pop()
            if connection.epoch == self._epoch or await self._answers(connection):
                return connection
        if self._closing:
            raise DatabaseUnavailable("the server is stopping")
        waited_for = None
        if len(self.waiters) < MAX_WAITING:
            waited_for = await self.waiters.wait(min(deadline, started + self._options.acquire_timeout_s))
        if waited_for is None:
            if not self.members:
                raise DatabaseUnavailable
            self._observe(PoolExhausted(len(self.waiters)))
            raise Overloaded("no database connection became free in time; try again later")
        self._observe(ConnectionAwaited(loop.time() - started))
        return waited_for

    def give(self, connection: Connection) -> None:
        """Take a connection back, in whatever state it is."""
        if not connection.clean or not connection.is_idle:
            if connection.driver.is_closed():
                self._drop(connection, "lost")
            else:
                self._background.start(self._reset(connection))
        elif not self.waiters.hand(connection):
            if self._closing:
                self._background.start(self._leave(connection))
                return
            connection.epoch = self._epoch
            connection.idle_since = connection.loop.time()
            self._idle.append(connection)

    def join(self, connection: Connection) -> None:
        """Take a new connection."""

        def ended() -> None:
            # While it is lent, its user finds out and gives it back.
            if connection in self._idle:
                self._idle.remove(connection)
                self._drop(connection, "idle")

        self.members.add(connection)
        connection.driver.add_termination_listener(lambda _: ended())
        self.give(connection)

    async def knock(self, deadline: float) -> bool:
        """Whether the server takes another connection, or answers that it has too many."""
        return await self._opener.knock(deadline)

    def expire(self) -> None:
        """Have every statement prepared anew."""
        for connection in self.members:
            connection.forget_plans()

    def stats(self) -> Mapping[str, int]:
        """Connections `open`, of them `idle` and `busy`, and callers `waiting`."""
        opened, idle = len(self.members), len(self._idle)
        return {"open": opened, "idle": idle, "busy": opened - idle, "waiting": len(self.waiters)}

    async def close(self, grace_s: float) -> None:
        """Refuse who waits, close what is idle, wait for the rest, drop what is left after `grace_s`."""
        self._closing = True
        if self._shrinking is not None:
            self._shrinking.cancel()
        self._emptied.clear()
        await self._opener.stop()
        self.waiters.refuse_all()
        for connection in self._idle:
            self._background.start(self._leave(connection))
        self._idle.clear()
        if self.members:
            try:
                async with asyncio.timeout(grace_s):
                    await self._emptied.wait()
            except TimeoutError:
                for connection in tuple(self.members):
                    self._drop(connection, "cut")
        await self._background.cancel()

    # Coming and going

    async def _answers(self, connection: Connection) -> bool:
        """Whether a connection that was idle during a loss still works; it is dropped if not."""
        epoch = self._epoch
        try:
            await connection.command("SELECT 1", connection.loop.time() + PING_TIMEOUT_S)
        except DRIVER_ERRORS:
            self._drop(connection, "idle")
        finally:
            # Also when the caller is cancelled meanwhile.
            if not connection.clean and connection in self.members:
                self.give(connection)
        connection.epoch = epoch
        return connection.clean

    async def _reset(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(RESET_TIMEOUT_S):
                await connection.reset()
        except DRIVER_ERRORS:
            pass
        finally:
            if connection.clean:
                self.give(connection)
            else:
                self._drop(connection, "stuck")

    def _drop(self, connection: Connection, reason: str) -> None:
        if connection in self.members:
            connection.driver.terminate()
            self.members.discard(connection)
            self._observe(ConnectionClosed(reason))
            # What ended this one may have ended the others: they are asked before they are used.
            self._epoch += 1
            self._opener.grow()
            if not self.members:
                self._emptied.set()

    async def _leave(self, connection: Connection) -> None:
        """Say goodbye; the connection is not idle any more."""
        try:
            await connection.driver.close(timeout=PING_TIMEOUT_S)
        except DRIVER_ERRORS:
            connection.driver.terminate()
        self.members.discard(connection)
        if not self.members:
            self._emptied.set()

    def _shrink(self) -> None:
        loop = asyncio.get_running_loop()
        # The bottom of the stack is what was not needed for longest.
        while (
            self._idle
            and len(self.members) > self._options.pool_min
            and loop.time() - self._idle[0].idle_since > IDLE_S
        ):
            connection = self._idle.pop(0)
            self.members.discard(connection)
            self._background.start(self._leave(connection))
        self._shrinking = loop.call_later(IDLE_S / 5, self._shrink)
