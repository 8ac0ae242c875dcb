"""The daemon, read top to bottom: sockets, schema, then either one process that serves, or workers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from nexusd import __version__, app, catalog
from nexusd.channels.listener import bind
from nexusd.ddl.migration import Verdict
from nexusd.engines.peers import Alone
from nexusd.errors import ConfigurationError, Problem
from nexusd.events import Observers, RegistryLoaded, ServerStarted
from nexusd.planning.statements import check_statements
from nexusd.renewal import Deferred, Renewal
from nexusd.serving import Announced, Serving, Watch, addresses
from nexusd.supervisor.control import control_socket
from nexusd.supervisor.hangup import Hangup
from nexusd.supervisor.health import HealthBoard
from nexusd.supervisor.reload import Reloads
from nexusd.supervisor.services import Supervisor
from nexusd.workforce import Workforce

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.runtime import Runtime
    from nexusd.settings import Settings
    from nexusd.telemetry.systemd import Systemd


_ONE_PROCESS: Final = Problem(
    "server.workers: what was built in Python is served by one process",
    "let a registry file name it (`python:`, `from:`), and run nexusd serve",
)


def serve(load: Callable[[], app.Loaded], take_stop: Callable[[Callable[[], None]], None] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or a stop; the process's exit code.

    Args:
        load: gives what to serve; called once SIGHUP is heard, so that none is lost.
        take_stop: is given, once it serves, a function that begins the drain; callable from any thread.

    Raises:
        StartupError: the configuration has mistakes, a port is taken, or the database cannot be brought to the
            registry; nothing has been answered.
    """
    with Hangup() as hangup:
        return _serve(load(), hangup, take_stop)


def _serve(loaded: app.Loaded, hangup: Hangup, take_stop: Callable[[Callable[[], None]], None] | None) -> int:
    settings = loaded.settings
    if settings.server.workers > 1 and loaded.python is None:
        raise ConfigurationError([_ONE_PROCESS])
    kind = Daemon if settings.server.workers == 1 else Workforce
    with catalog.log_sink(settings.server) as log:
        watch = Watch.begin(loaded, log)
        manager = catalog.systemd(os.environ)
        if manager is not None:
            watch = replace(watch, observe=Observers(watch.observe, manager))
        watch.observe(ServerStarted(__version__, os.getpid()))
        watch.observe(RegistryLoaded(len(loaded.registry.models), len(loaded.plans), loaded.duration_s))
        with _bound(settings) as sockets:
            executor = app.start_executor(loaded, watch.observe)
            # While its thread talks to the database, this one imports what will serve.
            outcome = app.migrate(executor, partial(kind.prepare, settings))
            with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
                daemon = kind(loaded, outcome, sockets, watch)
                return runner.run(_watched(manager, daemon.run(executor, hangup, take_stop)))


async def _watched(manager: Systemd | None, running: Coroutine[None, None, int]) -> int:
    """Run, and show a service manager that wants it that this process is alive."""
    if manager is None:
        return await running
    async with manager.watched():
        return await running


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[dict[str, socket.socket]]:
    """Both ports, bound but not listening: until the schema is ready clients are refused, not left hanging."""
    with contextlib.ExitStack() as stack:
        sockets = {"http": stack.enter_context(bind(settings.http.host, settings.http.port))}
        if settings.mcp.enabled:
            sockets["mcp"] = stack.enter_context(bind(settings.mcp.host, settings.mcp.port))
        yield sockets


class Daemon:
    """One process that serves a registry, and takes another one when it is told to.

    Args:
        loaded: what to serve.
        outcome: of the migration to it.
        sockets: bound, by channel.
        watch: who is told what happens.
    """

    def __init__(
        self, loaded: app.Loaded, outcome: DDLOutcome, sockets: Mapping[str, socket.socket], watch: Watch
    ) -> None:
        self._loaded = loaded
        self._outcome = outcome
        self._sockets = sockets
        self._observe = watch.observe
        self._health = HealthBoard(list(sockets), "skipped" if outcome.verdict is Verdict.SKIPPED else "ok")
        self._serving = Serving(loaded, sockets, self._health, Alone(), watch)
        self._runtime: Runtime

    @staticmethod
    def prepare(settings: Settings) -> None:
        """Import what will be needed."""
        catalog.preload(settings)

    async def run(
        self, executor: SyncDDLExecutor, hangup: Hangup, take_stop: Callable[[Callable[[], None]], None] | None
    ) -> int:
        """Serve to the end; the process's exit code.

        Args:
            executor: has the deferred steps of the migration.
            hangup: what it hears is a reload.
            take_stop: as in `serve`.
        """
        loop = asyncio.get_running_loop()
        async with self._serving.open(self._outcome) as (self._runtime, services):
            grace_s = self._loaded.settings.server.grace_s
            ready = self._runtime.database.ready
            where = addresses(self._loaded.settings, self._sockets)
            announced = [Announced(service, where[service.name], self._observe) for service in services]
            supervisor = Supervisor(announced, self._health, ready, self._observe, grace_s=grace_s)
            if take_stop is not None:
                take_stop(partial(_call_in, loop, supervisor.stop))
            deferred = Deferred(self._health.once_started)
            if self._outcome.deferred:
                deferred.begin(executor)
            reloads = Reloads(Renewal(self._loaded, self._outcome, deferred, self._adopt, self._observe), self._observe)
            hangup.pass_to(loop, reloads.ask)
            try:
                async with self._control(reloads), reloads.made(self._health.once_started):
                    return await supervisor.run(self._loaded.started)
            finally:
                hangup.ignore()
                await deferred.end()

    def _control(self, reloads: Reloads) -> AbstractAsyncContextManager[None]:
        port = self._sockets["http"].getsockname()[1]
        return control_socket(self._loaded.settings, port, reloads, self._observe)

    async def _adopt(self, loaded: app.Loaded, _outcome: DDLOutcome) -> None:
        await check_statements(loaded.registry, self._runtime.database)
        await self._runtime.database.expire()
        self._runtime.served.use(loaded.plans, loaded.registry)


def _call_in(loop: asyncio.AbstractEventLoop, stop: Callable[[str], None]) -> None:
    loop.call_soon_threadsafe(stop, "stop")
