"""How much memory the bodies of unfinished requests take together."""

from __future__ import annotations

import asyncio
from typing import Final

from nexusd.errors import Overloaded

BUDGET_BYTES: Final = 64 * 1024 * 1024
SMALL_BYTES: Final = 64 * 1024
WAIT_S: Final = 1.0


class BodyBudget:
    """Bytes of bodies that may be held at once.

    Above the budget the rest of a large body is not read until others are done, or is refused after a moment. A body
    of up to `SMALL_BYTES` never waits: clients that send large bodies slowly do not keep ordinary requests out.
    """

    def __init__(self, limit: int = BUDGET_BYTES) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: set[asyncio.Future[None]] = set()

    async def take(self, size: int, held: int) -> None:
        """Account for `size` more bytes of a body of which `held` are accounted for.

        Raises:
            Overloaded: there is no room.
        """
        if self._held + size > self._limit and held + size > SMALL_BYTES:
            await self._room(size)
        self._held += size

    def give(self, size: int) -> None:
        """The bytes are no longer held."""
        self._held -= size
        if self._waiting and self._held < self._limit:
            for future in self._waiting:
                if not future.done():
                    future.set_result(None)

    async def _room(self, size: int) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while self._held + size > self._limit:
                    future = asyncio.get_running_loop().create_future()
                    self._waiting.add(future)
                    try:
                        await future
                    finally:
                        self._waiting.discard(future)
        except TimeoutError as error:
            raise Overloaded("too many large bodies at once; try again later") from error
