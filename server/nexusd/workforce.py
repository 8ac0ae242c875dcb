"""The parent of worker processes: binds, migrates and listens once, serves nobody itself, and keeps them at work."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING

from nexusd import app
from nexusd.channels.listener import listen
from nexusd.events import ChannelStarted, ServerDraining, ServerReady, ServerStopped
from nexusd.order import Order
from nexusd.renewal import Deferred, Renewal
from nexusd.serving import addresses
from nexusd.supervisor.control import control_socket
from nexusd.supervisor.crew import Crew
from nexusd.supervisor.reload import Reloads
from nexusd.supervisor.signals import own_signals
from nexusd.supervisor.worker_process import WorkerProcess, start_worker
from nexusd.telemetry.crew_counts import SUBJECT as METRICS
from nexusd.telemetry.crew_counts import CrewCounts, read_report

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Mapping

    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.serving import Watch
    from nexusd.settings import Settings
    from nexusd.supervisor.hangup import Hangup


class Workforce:
    """Workers that serve a registry, and are replaced by others when they are to serve another one.

    Args:
        loaded: what they serve; each is told, and reads no files of its own.
        outcome: of the migration to it.
        sockets: bound, by channel.
        watch: who is told what happens.
    """

    def __init__(
        self, loaded: app.Loaded, outcome: DDLOutcome, sockets: Mapping[str, socket.socket], watch: Watch
    ) -> None:
        server = loaded.settings.server
        self._loaded = loaded
        self._outcome = outcome
        self._sockets = sockets
        self._observe = watch.observe
        self._counts = CrewCounts(watch.monitoring.metrics) if watch.monitoring is not None else None
        self._crew = Crew(server.workers, partial(self._hire, loaded, outcome), watch.observe, grace_s=server.grace_s)
        self._turns = -1
        self._asked = asyncio.Event()
        self._reason = ""

    @staticmethod
    def prepare(_settings: Settings) -> None:
        """Nothing: this process serves nobody."""

    async def run(
        self, executor: SyncDDLExecutor, hangup: Hangup, take_stop: Callable[[Callable[[], None]], None] | None
    ) -> int:
        """Keep workers serving to the end; the process's exit code.

        Args:
            executor: has the deferred steps of the migration.
            hangup: what it hears replaces the workers.
            take_stop: as in `daemon.serve`.

        Raises:
            StartupError: a port is taken, or no worker has come up.
        """
        loop = asyncio.get_running_loop()
        own_signals((signal.SIGTERM, signal.SIGINT), self._stop, self._asked.is_set, self._observe, self._crew.kill)
        if take_stop is not None:
            take_stop(partial(_call_in, loop, self._stop))
        ready = asyncio.Event()
        deferred = Deferred(ready)
        if self._outcome.deferred:
            deferred.begin(executor)
        reloads = Reloads(Renewal(self._loaded, self._outcome, deferred, self._adopt, self._observe), self._observe)
        hangup.pass_to(loop, reloads.ask)
        try:
            with tempfile.TemporaryFile() as turns:
                self._turns = turns.fileno()
                await app.check_database(self._loaded, self._outcome, self._observe)
                for sock in self._sockets.values():
                    listen(sock)
                port = self._sockets["http"].getsockname()[1]
                control = control_socket(self._loaded.settings, port, reloads, self._observe)
                async with control, reloads.made(ready):
                    await self._start(ready)
                    await self._asked.wait()
        finally:
            hangup.ignore()
            await self._end()
            await deferred.end()
        return 0

    async def _start(self, ready: asyncio.Event) -> None:
        """Hire the workers, unless asked to stop before they are there."""
        starting = asyncio.create_task(self._crew.start())
        asked = asyncio.create_task(self._asked.wait())
        await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if starting.done():
            starting.result()
            ready.set()
            # By one process for all: lines of several processes have no order.
            for channel, address in addresses(self._loaded.settings, self._sockets).items():
                self._observe(ChannelStarted(channel, address))
            self._observe(ServerReady(round(time.perf_counter() - self._loaded.started, 3)))
            return
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting

    async def _end(self) -> None:
        begun = time.perf_counter()
        self._observe(ServerDraining(self._reason or "no worker has come up"))
        # Whoever comes now finds no server, rather than one that will not answer.
        for sock in self._sockets.values():
            sock.close()
        cut = await self._crew.end()
        self._observe(ServerStopped(round(time.perf_counter() - begun, 3), cut))

    def _stop(self, reason: str) -> None:
        self._reason = self._reason or reason
        self._asked.set()

    async def _adopt(self, loaded: app.Loaded, outcome: DDLOutcome) -> None:
        await app.check_database(loaded, outcome, self._observe)
        await self._crew.renew(partial(self._hire, loaded, outcome))

    async def _hire(self, loaded: app.Loaded, outcome: DDLOutcome, number: int) -> WorkerProcess:
        order = Order(
            number=number,
            settings=loaded.settings,
            registry=loaded.registry,
            outcome=outcome,
            sockets={name: sock.fileno() for name, sock in self._sockets.items()},
            turns=self._turns,
            path=tuple(sys.path),
        )
        descriptors = (self._turns, *order.sockets.values())
        worker = await start_worker(order.written(), descriptors, self._answering, self._observe)
        if self._counts is not None:
            leave = self._counts.leave
            self._counts.enter(worker.pid)
            worker.exited.add_done_callback(lambda _exited: leave(worker.pid))
        return worker

    def _answering(self, worker: WorkerProcess) -> Callable[[str, object], Awaitable[object]]:
        """What answers a worker: the others; who follows it, which is told what it leaves; or its last counts."""

        async def answer(subject: str, body: object) -> object:
            if subject == "legacy":
                self._crew.bequeath(worker, body)
                return None
            if subject == METRICS:
                if self._counts is not None:
                    self._counts.note(read_report(body))
                return None
            about, question = body if isinstance(body, list) else ("", None)
            answers = await self._crew.gather(about, question, but=worker)
            if about == METRICS and self._counts is not None:
                return self._counts.answer(question, answers)
            return answers

        return answer


def _call_in(loop: asyncio.AbstractEventLoop, stop: Callable[[str], None]) -> None:
    loop.call_soon_threadsafe(stop, "stop")
