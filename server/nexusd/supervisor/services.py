"""Services in one process: started in order, drained together, and the signals that ask for it."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.channels.listener import Drain
from nexusd.errors import NexusError, StartupError
from nexusd.events import (
    ChannelFailed,
    DatabaseLost,
    DatabaseRecovered,
    ServerDraining,
    ServerReady,
    ServerStopped,
    unexpected,
)
from nexusd.supervisor.signals import own_signals

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nexusd.events import Observer
    from nexusd.supervisor.health import HealthBoard

PROBE_INTERVAL_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 1.0
AFTER_GRACE_S: Final = 2.0
"""How long a service may take to cancel what is left at the end of its grace."""

SERVICE_FAILED: Final = 70


class Service(Protocol):
    """Something that serves until it is asked to stop."""

    @property
    def name(self) -> str:
        """Its name in /health and in the log."""

    async def run(self, ready: Callable[[], None], drain: Drain) -> int:
        """Serve, call `ready` once it answers, and return when drained after `drain` is set.

        Returns:
            How many requests were cut at the end of the grace.
        """


class Supervisor:
    """Runs services until SIGTERM, SIGINT, `stop`, or until one of them ends by itself.

    A service is started when the one before it answers. All drain at the same time, so that the grace is waited out
    once.

    Args:
        probe: whether the database answers; asked each second, so that no health request has to.
        grace_s: how long services wait for what is running before they cancel it.
        is_worker: SIGINT, which a terminal sends to all processes of a server, is the parent's alone.
    """

    def __init__(
        self,
        services: Sequence[Service],
        health: HealthBoard,
        probe: Callable[[], Awaitable[bool]],
        observe: Observer,
        *,
        grace_s: float,
        is_worker: bool = False,
    ) -> None:
        self._services = services
        self._health = health
        self._probe_database = probe
        self._observe = observe
        self._grace_s = grace_s
        self._signals = (signal.SIGTERM,) if is_worker else (signal.SIGTERM, signal.SIGINT)
        self._drain = Drain()
        self._tasks: dict[str, asyncio.Task[int]] = {}
        self._asked = asyncio.Event()
        self._reason = ""

    def stop(self, reason: str, *, successor: bool = False) -> None:
        """Begin the drain; from the loop's own thread.

        Args:
            reason: for the log.
            successor: another process serves the same ports already.
        """
        if not self._asked.is_set():
            self._reason = reason
            self._drain.successor = successor
            self._asked.set()

    async def run(self, started: float) -> int:
        """Serve to the end; the process's exit code.

        Args:
            started: `time.perf_counter()` when the process began to start.

        Raises:
            StartupError: a service could not start.
        """
        own_signals(self._signals, self.stop, self._asked.is_set, self._observe)
        probe = asyncio.create_task(self._probe())
        asked = asyncio.create_task(self._asked.wait())
        await self._start(asked)
        if self._health.started:
            self._observe(ServerReady(round(time.perf_counter() - started, 3)))
            await asyncio.wait([asked, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        ended = [name for name, task in self._tasks.items() if task.done()]
        begun = time.perf_counter()
        cut = await self._end(self._reason or f"{', '.join(ended)} ended")
        for task in (probe, asked):
            task.cancel()
        await asyncio.gather(probe, asked, return_exceptions=True)
        self._observe(ServerStopped(round(time.perf_counter() - begun, 3), cut))
        return self._exit_code(ended)

    async def _start(self, asked: asyncio.Task[bool]) -> None:
        """Start each service when the one before answers; stop short when asked to, or when one has ended."""
        for service in self._services:
            answers = asyncio.Event()
            self._tasks[service.name] = asyncio.create_task(self._run(service, answers))
            answering = asyncio.create_task(answers.wait())
            await asyncio.wait([asked, answering, *self._tasks.values()], return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()
            if asked.done() or any(task.done() for task in self._tasks.values()):
                return

    async def _run(self, service: Service, answers: asyncio.Event) -> int:
        def ready() -> None:
            if not self._health.draining:
                self._health.set(service.name, "ready")
            answers.set()

        try:
            cut = await service.run(ready, self._drain)
        except BaseException as error:
            self._health.set(service.name, "failed")
            detail = error.detail if isinstance(error, NexusError) else type(error).__qualname__
            self._observe(ChannelFailed(service.name, detail))
            raise
        if not self._drain.is_set():
            self._health.set(service.name, "failed")
            self._observe(ChannelFailed(service.name, "it ended without being asked to"))
        return cut

    async def _end(self, reason: str) -> int:
        """Drain what runs; how many requests were cut."""
        self._observe(ServerDraining(reason))
        if not self._drain.successor:
            # Else the server as a whole goes on, and who still asks this process for its state means that.
            self._health.draining = True
            for name in reversed(self._tasks):
                if not self._tasks[name].done():
                    self._health.set(name, "draining")
        self._drain.set()
        tasks = self._tasks.values()
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace_s + AFTER_GRACE_S)
            for task in late:
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(result for result in results if isinstance(result, int))

    def _exit_code(self, ended: Sequence[str]) -> int:
        errors = [task.exception() for task in self._tasks.values() if not task.cancelled()]
        for error in errors:
            if isinstance(error, StartupError):
                raise error
        return SERVICE_FAILED if ended or any(errors) else 0

    async def _probe(self) -> None:
        lost_at = 0.0
        while True:
            await asyncio.sleep(PROBE_INTERVAL_S)
            answers = await self._answers()
            if self._health.database_answers and not answers:
                lost_at = time.perf_counter()
                self._observe(DatabaseLost("the probe was not answered"))
            elif answers and not self._health.database_answers:
                self._observe(DatabaseRecovered(round(time.perf_counter() - lost_at, 3)))
            self._health.database_answers = answers

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._probe_database()
        except TimeoutError:
            return False
        except Exception as error:  # noqa: BLE001 - a fault of the probe must not end the watch
            self._observe(unexpected("probe", "", error))
            return False
