"""Work that never waits, and still leaves room for everything else."""

from __future__ import annotations

import asyncio
import time
from typing import Final

BUSY_S: Final = 0.01
"""How long a run computes at most before others get their turn, and its deadline its chance."""


class Pace:
    """Lets the loop go on where a run has not waited for anything for a while."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = time.perf_counter() + BUSY_S

    async def keep(self) -> None:
        """Let others go on, if it is time."""
        if time.perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = time.perf_counter() + BUSY_S
