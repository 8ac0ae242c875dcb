"""How many requests run at once, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from nexusd.errors import Overloaded

SUSTAINED_S: Final = 0.1
"""How long callers have waited without a break when it is no burst any more."""

SHORTEST_HOLD_S: Final = 0.005
SMOOTHING: Final = 0.05
"""How much of a new measurement goes into the mean."""


@dataclass(slots=True, eq=False)
class _Waiter:
    place: asyncio.Future[None]
    since: float


class Admission:
    """A bounded number of places; who finds none waits, the newest served first, and is refused only after the wait.

    An immediate refusal would bring the caller straight back, and refusing it again costs what serving somebody else
    would. Newest first: whoever has waited longest has most likely given up. Once callers wait without a break, a free
    place is kept for half the time it takes to serve one, if all who wait have waited for longer than that time: most
    likely somebody newer comes, so that whoever is served is served soon ("adaptive LIFO" with "controlled delay":
    Maurer, "Fail at Scale", ACM Queue 13.8). docs/decisions/0003-newest-first.md has the figures.

    Args:
        limit: requests that run at once.
        timeout_s: the longest wait; some wait a little less, so that those who came together do not come back together.
    """

    def __init__(self, limit: int, timeout_s: float) -> None:
        self._limit = limit
        self._free = limit
        self._timeout_s = timeout_s
        self._waiting: deque[_Waiter] = deque()
        self._waiting_since = 0.0
        self._left_at = 0.0
        self._pace_s = 0.0
        self._offer: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Take a place; each is given back by one `leave`.

        Raises:
            Overloaded: none came free in time.
        """
        if self._free > 0:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), loop.time())
        if not self._waiting:
            self._waiting_since = waiter.since
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._timeout_s * random.uniform(0.75, 1)):  # noqa: S311 - not a secret
                await waiter.place
        except BaseException as error:
            if waiter.place.done() and not waiter.place.cancelled():
                self._give(loop.time())  # the place came while the wait was ending
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            if isinstance(error, TimeoutError):
                raise Overloaded from error
            raise

    def leave(self) -> None:
        """Give a place back."""
        now = asyncio.get_running_loop().time()
        if self._left_at:
            self._pace_s += SMOOTHING * (now - self._left_at - self._pace_s)
        # Only with every place taken does the time between two who leave say how long one is held.
        self._left_at = now if self._waiting else 0.0
        self._give(now)

    @property
    def _hold_s(self) -> float:
        """How long a place is held, about."""
        return max(self._pace_s * self._limit, SHORTEST_HOLD_S)

    def _give(self, now: float) -> None:
        """Hand a place to the newest who waits, or keep it a moment for somebody newer still."""
        waiter = self._newest()
        if waiter is None:
            self._free += 1
        elif now - self._waiting_since > SUSTAINED_S and now - waiter.since > self._hold_s:
            self._waiting.append(waiter)
            self._free += 1
            self._offer_later()
        else:
            waiter.place.set_result(None)

    def _newest(self) -> _Waiter | None:
        while self._waiting:
            waiter = self._waiting.pop()
            if not waiter.place.done():
                return waiter
        return None

    def _offer_later(self) -> None:
        if self._offer is None:
            self._offer = asyncio.get_running_loop().call_later(self._hold_s / 2, self._offer_kept)

    def _offer_kept(self) -> None:
        """Nobody newer came: one of the places that were kept goes to the newest who waits."""
        self._offer = None
        waiter = self._newest() if self._free else None
        if waiter is not None:
            self._free -= 1
            waiter.place.set_result(None)
        if self._free and self._waiting:
            self._offer_later()
