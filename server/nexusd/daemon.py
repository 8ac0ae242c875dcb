"""The daemon, read top to bottom: sockets, schema, loop, database, channels, supervisor, reload."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from nexusd import __version__, app, catalog
from nexusd.channels.channel import Telemetry
from nexusd.channels.listener import bind, url_of
from nexusd.ddl.migration import Verdict
from nexusd.engines.keyed_requests import keep_purging
from nexusd.errors import ConfigurationError, Problem, StartupError
from nexusd.events import ChannelStarted, RegistryLoaded, RegistryRejected, ServerStarted, tell_all
from nexusd.planning.statements import check_statements
from nexusd.supervisor.hangup import Hangup
from nexusd.supervisor.health import HealthBoard
from nexusd.supervisor.reload import Reloaded, Reloads
from nexusd.supervisor.services import Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from nexusd.auth.authenticator import Authenticator
    from nexusd.channels.listener import Drain
    from nexusd.databases.database import Database
    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.events import Observer
    from nexusd.runtime import Runtime
    from nexusd.settings import Settings
    from nexusd.supervisor.services import Service
    from nexusd.telemetry.monitoring import Monitoring


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
    with catalog.log_sink(settings.server) as log:
        monitoring = catalog.monitoring(settings, __version__, loaded.started, log)
        observe = log if monitoring is None else tell_all(log, monitoring.metrics)
        observe(ServerStarted(__version__, os.getpid()))
        observe(RegistryLoaded(len(loaded.registry.models), len(loaded.plans), loaded.duration_s))
        with _bound(settings) as sockets:
            executor = app.start_executor(loaded, observe)
            # While its thread talks to the database, this one imports what will serve.
            outcome = app.migrate(executor, lambda: catalog.preload(settings))
            with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
                daemon = Daemon(loaded, outcome, sockets, observe, monitoring)
                return runner.run(daemon.run(executor, hangup, take_stop))


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
        observe: told what happens.
        monitoring: where metrics are on.
    """

    def __init__(
        self,
        loaded: app.Loaded,
        outcome: DDLOutcome,
        sockets: Mapping[str, socket.socket],
        observe: Observer,
        monitoring: Monitoring | None,
    ) -> None:
        self._loaded = loaded
        self._outcome = outcome
        self._sockets = sockets
        self._observe = observe
        self._monitoring = monitoring
        migrations = "skipped" if outcome.verdict is Verdict.SKIPPED else "ok"
        self._health = HealthBoard(list(sockets), migrations)
        self._deferred = Deferred(self._health)

    async def run(
        self,
        executor: SyncDDLExecutor,
        hangup: Hangup,
        take_stop: Callable[[Callable[[], None]], None] | None,
    ) -> int:
        """Serve to the end; the process's exit code.

        Args:
            executor: has the deferred steps of the migration.
            hangup: what it hears is a reload.
            take_stop: as in `serve`.
        """
        settings = self._loaded.settings
        async with (
            app.open_database(self._loaded, self._outcome, self._observe) as runtime,
            self._authenticating(runtime) as authenticator,
            self._telemetry(runtime) as telemetry,
        ):
            runtime.limits = catalog.limits(settings.auth)
            supervisor = Supervisor(
                self._services(runtime, authenticator, telemetry),
                self._health,
                runtime.database.ready,
                self._observe,
                grace_s=settings.server.grace_s,
            )
            loop = asyncio.get_running_loop()
            if take_stop is not None:
                take_stop(partial(_call_in, loop, supervisor.stop))
            reloads = Reloads(partial(self._reload, runtime), self._observe)
            hangup.pass_to(loop, reloads.ask)
            if self._outcome.deferred:
                self._deferred.begin(executor)
            async with self._reloading(reloads), _purging(runtime, self._outcome):
                try:
                    return await supervisor.run(self._loaded.started)
                finally:
                    hangup.ignore()

    @contextlib.asynccontextmanager
    async def _authenticating(self, runtime: Runtime) -> AsyncIterator[Authenticator | None]:
        """Who lets callers in, open; None where authentication is off."""
        authenticator = catalog.authenticator(self._loaded.settings.auth, runtime.database, self._observe)
        async with authenticator or contextlib.nullcontext():
            yield authenticator

    @contextlib.asynccontextmanager
    async def _telemetry(self, runtime: Runtime) -> AsyncIterator[Telemetry]:
        """What doors tell and show of what happens."""
        if self._monitoring is None:
            yield Telemetry(self._observe)
            return
        tracer = catalog.tracer(self._loaded.settings.monitoring, __version__, self._observe)
        try:
            async with self._monitoring.running(runtime.database.stats, self._health.channels) as scrape:
                yield Telemetry(self._observe, scrape, tracer)
        finally:
            if tracer is not None:
                await asyncio.to_thread(tracer.close)

    def _services(self, runtime: Runtime, authenticator: Authenticator | None, telemetry: Telemetry) -> list[Service]:
        settings, sockets, observe = self._loaded.settings, self._sockets, self._observe
        http = catalog.http_channel(runtime, settings, sockets["http"], self._health, authenticator, telemetry)
        services: list[Service] = [_Announced(http, sockets, "", observe)]
        if "mcp" in sockets:
            channel = (settings, sockets["mcp"], __version__, authenticator, telemetry)
            mcp = _Imported("mcp", partial(catalog.mcp_channel, runtime, *channel))
            services.append(_Announced(mcp, sockets, settings.mcp.path, observe))
        return services

    @contextlib.asynccontextmanager
    async def _reloading(self, reloads: Reloads) -> AsyncIterator[None]:
        """Make reloads in this block, but none before every channel answers."""

        async def work() -> None:
            await self._health.once_started.wait()
            await reloads.run()

        task = asyncio.create_task(work())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
            await self._deferred.end()

    async def _reload(self, runtime: Runtime) -> Reloaded:
        """Serve the registry as its files are now, or go on as before.

        Raises:
            StartupError: why it is not served.
        """
        started = time.perf_counter()
        try:
            fresh, outcome = await self._prepared(runtime.database)
        except StartupError as error:
            self._observe(RegistryRejected(error.exit_code, _reasons(error)))
            raise
        await runtime.database.expire()
        runtime.served.use(fresh.plans, fresh.registry)
        self._loaded = fresh
        models, workflows = len(fresh.registry.models), len(fresh.plans)
        self._observe(RegistryLoaded(models, workflows, fresh.duration_s))
        verdict = outcome.verdict.value if outcome is not None else Verdict.UNCHANGED.value
        return Reloaded(models, workflows, verdict, round(time.perf_counter() - started, 3))

    async def _prepared(self, database: Database) -> tuple[app.Loaded, DDLOutcome | None]:
        """The new registry and the outcome of the migration to it; None where there was nothing to migrate."""
        before, python = self._loaded, self._loaded.python
        if python is None:
            raise ConfigurationError([Problem("what was built in Python cannot be read again", "restart the server")])
        with python.imported_anew():
            fresh = await _in_thread(lambda: app.load(before.settings, python, signer=before.signer))
            if before.settings.database.is_memory:
                if not catalog.same_tables(before.registry, fresh.registry):
                    raise ConfigurationError([_NOT_IN_MEMORY])
                await check_statements(fresh.registry, database)
                return fresh, None
            # Steps that are still being made hold the lock that the migration needs; it finds what is left of them.
            left = await self._deferred.end()
            try:
                executor, outcome = await app.migrate_beside(fresh, self._observe)
            except StartupError:
                if left:
                    self._deferred.begin(app.start_executor(before, self._observe))
                raise
            if outcome.deferred:
                self._deferred.begin(executor)
            await check_statements(fresh.registry, database)
            return fresh, outcome


_NOT_IN_MEMORY = Problem(
    "a database in memory cannot be brought to other models while it is served",
    "restart the server, or keep the data in a file",
)


def _reasons(error: StartupError) -> tuple[str, ...]:
    """Each problem in a line."""
    if not isinstance(error, ConfigurationError):
        return tuple(error.detail.splitlines())
    return tuple(
        f"{f'{each.file}:{each.line}:{each.column}: ' if each.file else ''}{each.message}"
        f"{f' ({each.hint})' if each.hint else ''}"
        for each in error.problems
    )


def _call_in(loop: asyncio.AbstractEventLoop, stop: Callable[[str], None]) -> None:
    loop.call_soon_threadsafe(stop, "stop")


async def _in_thread(work: Callable[[], app.Loaded]) -> app.Loaded:
    """What `work` gives, made in a thread that no end waits for: an operator's module may run for ever."""
    made: Future[app.Loaded] = Future()
    made.set_running_or_notify_cancel()

    def run() -> None:
        try:
            made.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the thread's edge: the future carries it on
            made.set_exception(error)

    threading.Thread(target=run, name="nexusd-registry", daemon=True).start()
    return await asyncio.wrap_future(made)


@contextlib.asynccontextmanager
async def _purging(runtime: Runtime, outcome: DDLOutcome) -> AsyncIterator[None]:
    """Meanwhile remove Idempotency-Keys that are kept no longer."""
    if not outcome.keeps_keys:
        yield
        return
    task = asyncio.create_task(keep_purging(runtime.database))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


class Deferred:
    """What a migration left for later: made once every channel answers; what is not done by the end, later still."""

    def __init__(self, health: HealthBoard) -> None:
        self._health = health
        self._executor: SyncDDLExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, executor: SyncDDLExecutor) -> None:
        """Make the steps that this one has left; those of another have ended."""

        async def work() -> None:
            await self._health.once_started.wait()
            await asyncio.to_thread(executor.run_deferred)

        self._executor = executor
        self._task = asyncio.create_task(work())

    async def end(self) -> bool:
        """Stop once the step that is being made has ended; whether there may be others."""
        if self._executor is None or self._task is None:
            return False
        left = not self._task.done()
        self._executor.cancel()
        if not self._health.once_started.is_set():
            self._task.cancel()
        await asyncio.wait([self._task])
        self._executor = self._task = None
        return left


class _Announced:
    """A channel whose start is an event with its address."""

    def __init__(self, service: Service, sockets: Mapping[str, socket.socket], path: str, observe: Observer) -> None:
        self.name = service.name
        self._service = service
        self._address = url_of(sockets[service.name]) + path
        self._observe = observe

    async def run(self, ready: Callable[[], None], drain: Drain) -> int:
        def announce() -> None:
            self._observe(ChannelStarted(self.name, self._address))
            ready()

        return await self._service.run(announce, drain)


class _Imported:
    """A service that is imported in a thread when it starts, so that those before it serve meanwhile."""

    def __init__(self, name: str, load: Callable[[], Service]) -> None:
        self.name = name
        self._load = load

    async def run(self, ready: Callable[[], None], drain: Drain) -> int:
        service = await asyncio.to_thread(self._load)
        return await service.run(ready, drain)
