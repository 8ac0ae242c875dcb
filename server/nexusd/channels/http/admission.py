"""How many requests run at once, and what becomes of the rest."""

from __future__ import annotations

import asyncio
from collections import deque

from nexusd.errors import Overloaded


class Admission:
    """A bounded number of places; who finds none waits, the newest served first, and is refused only after the wait.

    An immediate refusal would bring the caller straight back, and refusing it again costs what serving somebody else
    would. Newest first: whoever has waited longest has most likely given up.

    Args:
        limit: requests that run at once.
        timeout_s: how long one waits.
    """

    def __init__(self, limit: int, timeout_s: float) -> None:
        self._free = limit
        self._timeout_s = timeout_s
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Take a place; each is given back by one `leave`.

        Raises:
            Overloaded: none came free in time.
        """
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(self._timeout_s):
                await place
        except BaseException as error:
            if place.done() and not place.cancelled():
                self.leave()  # the place came while the wait was ending
            elif place in self._waiting:
                self._waiting.remove(place)
            if isinstance(error, TimeoutError):
                raise Overloaded from error
            raise

    def leave(self) -> None:
        """Give a place back."""
        while self._waiting:
            place = self._waiting.pop()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
