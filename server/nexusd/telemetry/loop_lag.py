"""How long the event loop was busy with one thing: everything else waited for so long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.telemetry.series import Labels

TICK_S: Final = 0.1
WINDOW_S: Final = 15.0


class LoopLag:
    """The longest delay of a timer in this window and the one before."""

    def __init__(self) -> None:
        self._now = 0.0
        self._before = 0.0

    async def watch(self) -> None:
        """Look for ever."""
        loop = asyncio.get_running_loop()
        end = loop.time() + WINDOW_S
        while True:
            due = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            now = loop.time()
            self.note(now - due)
            if now >= end:
                self.turn()
                end = now + WINDOW_S

    def note(self, delay_s: float) -> None:
        """Take one delay."""
        self._now = max(self._now, delay_s)

    def turn(self) -> None:
        """Begin a new window."""
        self._before, self._now = self._now, 0.0

    def __call__(self) -> Iterator[tuple[Labels, float]]:
        """The reading of the gauge."""
        yield (), max(self._before, self._now)
