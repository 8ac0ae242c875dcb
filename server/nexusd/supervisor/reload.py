"""Reloads, one at a time: whoever asks while one runs gets the next, since that one may have read the files already."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from nexusd.errors import StartupError
from nexusd.events import unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nexusd.events import Observer


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What is served after a reload.

    Attributes:
        migration: what was done to the database, as in `migration.applied`.
    """

    models: int
    workflows: int
    migration: str
    duration_s: float


Outcome: TypeAlias = Reloaded | StartupError
"""What a reload came to: what is served now, or why everything stays as it was."""


class Reloads:
    """Makes reloads when they are asked for.

    Args:
        attempt: makes one; what it raises is why nothing has changed.
        observe: told of bugs.
    """

    def __init__(self, attempt: Callable[[], Awaitable[Reloaded]], observe: Observer) -> None:
        self._attempt = attempt
        self._observe = observe
        self._next: asyncio.Future[Outcome] | None = None
        self._asked = asyncio.Event()

    def ask(self) -> asyncio.Future[Outcome]:
        """Have one made; its outcome. Others may wait for the same, so cancel it for nobody: wait behind a shield."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            self._asked.set()
        return self._next

    @contextlib.asynccontextmanager
    async def made(self, ready: asyncio.Event) -> AsyncIterator[None]:
        """Make them in this block, once the server is ready; at its end who still waits is told that it stops."""
        task = asyncio.create_task(self._run(ready))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self, ready: asyncio.Event) -> None:
        asked: asyncio.Future[Outcome] | None = None
        try:
            await ready.wait()
            while True:
                await self._asked.wait()
                self._asked.clear()
                asked, self._next = self._next, None
                outcome = await self._made()
                if asked is not None:
                    asked.set_result(outcome)
        finally:
            for waiting in (asked, self._next):
                if waiting is not None and not waiting.done():
                    waiting.set_result(StartupError("the server is stopping"))

    async def _made(self) -> Outcome:
        try:
            return await self._attempt()
        except StartupError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the edge: a bug in a reload must not end the server
            self._observe(unexpected("reload", "", error))
            return StartupError("an unexpected error; the log has it")
