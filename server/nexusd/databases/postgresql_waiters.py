"""Who waits for a connection, served in the order they came."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexusd.databases.postgresql_connection import Connection


class Waiters:
    """A queue of callers.

    Args:
        give_back: takes a connection that was handed to a caller who had just been cancelled.
        grown: called when one more waits.
    """

    def __init__(self, give_back: Callable[[Connection], None], grown: Callable[[], None]) -> None:
        self._give_back = give_back
        self._grown = grown
        self._queue: deque[asyncio.Future[Connection | None]] = deque()

    def __len__(self) -> int:
        return sum(not waiter.done() for waiter in self._queue)

    async def wait(self, limit: float) -> Connection | None:
        """The next connection that is handed over; None if there was none until `limit` (`loop.time()` based)."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._queue.append(waiter)
        self._grown()
        timer = loop.call_at(limit, _refuse, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            handed = None if waiter.cancelled() else waiter.result()
            if handed is not None:
                self._give_back(handed)
            raise
        finally:
            timer.cancel()
            if waiter in self._queue:
                self._queue.remove(waiter)

    def hand(self, connection: Connection) -> bool:
        """Hand a connection to whoever waits longest; False if nobody waits."""
        while self._queue:
            waiter = self._queue.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def refuse_all(self) -> None:
        """Tell all that there will be none."""
        for waiter in self._queue:
            _refuse(waiter)


def _refuse(waiter: asyncio.Future[Connection | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
