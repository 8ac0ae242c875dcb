"""Boot, read top to bottom: registry, plans, sockets, schema, loop, database, runtime, channels, supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from nexusd import __version__, catalog
from nexusd.channels.listener import bind, url_of
from nexusd.databases.cursors import CursorSigner
from nexusd.ddl.migration import Verdict
from nexusd.definitions.loader import PythonSource, load_registry
from nexusd.errors import ConfigurationError, Problem
from nexusd.events import ChannelStarted, RegistryLoaded, ServerStarted, ignore
from nexusd.planning.registry import compile_registry
from nexusd.runtime import Runtime
from nexusd.supervisor.health import HealthBoard
from nexusd.supervisor.services import Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from pathlib import Path

    from nexusd.channels.listener import Drain
    from nexusd.ddl.administration import Administration
    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.ddl.keys import KeyAdministration
    from nexusd.ddl.options import DDLOptions
    from nexusd.definitions.registry import Registry
    from nexusd.events import Observer
    from nexusd.planning.plan import Plan
    from nexusd.settings import Settings
    from nexusd.supervisor.services import Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that holds together: settings, registry, and a plan for every workflow.

    Attributes:
        started: `time.perf_counter()` when loading began.
        duration_s: how long it took.
    """

    settings: Settings
    registry: Registry
    plans: Mapping[str, Plan]
    signer: CursorSigner
    started: float
    duration_s: float


def load(settings: Settings, python: PythonSource, registry: Registry | None = None) -> Loaded:
    """Read the registry, or take the one that was built in Python, and compile it.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    started = time.perf_counter()
    if registry is None:
        registry = load_registry(settings.registry.path, python)
    signer = CursorSigner(settings.server.secret_key.encode())
    plans = compile_registry(registry, catalog.node_types(registry, signer))
    return Loaded(
        settings=settings,
        registry=registry,
        plans=plans,
        signer=signer,
        started=started,
        duration_s=round(time.perf_counter() - started, 4),
    )


def serve(loaded: Loaded, take_stop: Callable[[Callable[[], None]], None] | None = None) -> int:
    """Serve until SIGTERM, SIGINT or a stop; the process's exit code.

    Args:
        loaded: what to serve.
        take_stop: is given, once it serves, a function that begins the drain; callable from any thread.

    Raises:
        StartupError: a port is taken, or the database cannot be brought to the registry; nothing has been answered.
    """
    settings = loaded.settings
    observe = catalog.log_sink(settings.server)
    observe(ServerStarted(__version__, os.getpid()))
    observe(RegistryLoaded(len(loaded.registry.models), len(loaded.plans), loaded.duration_s))
    sockets = _bind(settings)
    try:
        options = catalog.ddl_options(settings, __version__)
        executor = catalog.ddl_executor(settings, loaded.registry, options, observe)
        # While its thread talks to the database, this one imports what will serve.
        outcome = _migrate(executor, lambda: catalog.preload(settings))
        with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
            return runner.run(_serve(loaded, outcome, executor, sockets, observe, take_stop))
    finally:
        for sock in sockets.values():
            sock.close()


@contextlib.asynccontextmanager
async def open_runtime(loaded: Loaded, observe: Observer = ignore) -> AsyncIterator[Runtime]:
    """A runtime in this process without any channel; the schema is brought to the registry as `serve` does.

    Raises:
        StartupError: the database cannot be reached or brought to the registry.
    """
    options = catalog.ddl_options(loaded.settings, __version__)
    executor = catalog.ddl_executor(loaded.settings, loaded.registry, options, observe)
    executor.start()
    try:
        outcome = await asyncio.to_thread(executor.wait)
    except asyncio.CancelledError:
        # A thread cannot be cancelled: it ends because the executor does.
        executor.cancel(signal.SIGINT)
        raise
    async with _open(loaded, outcome, observe) as runtime:
        yield runtime


def _bind(settings: Settings) -> dict[str, socket.socket]:
    """Both ports, bound but not listening: until the schema is ready clients are refused, not left hanging."""
    sockets = {"http": bind(settings.http.host, settings.http.port)}
    if settings.mcp.enabled:
        try:
            sockets["mcp"] = bind(settings.mcp.host, settings.mcp.port)
        except BaseException:
            sockets["http"].close()
            raise
    return sockets


def apply_migrations(
    loaded: Loaded, observe: Observer, *, contract: bool, confirmed: bool, rehearse: bool
) -> DDLOutcome:
    """Do what a start would do to the database, and what it leaves for later.

    Args:
        loaded: whose registry.
        observe: told of what happens.
        contract: whether contract files are applied too.
        confirmed: whether this registry becomes the newest although a newer one was applied.
        rehearse: whether everything is rolled back at the end.

    Raises:
        StartupError: why the database is not as the registry wants it.
    """
    options = _applying(loaded.settings)
    options = replace(options, contract=contract, confirmed=confirmed, rehearse=rehearse)
    executor = catalog.ddl_executor(loaded.settings, loaded.registry, options, observe)
    outcome = _migrate(executor, _nothing)
    if outcome.connection is not None:
        outcome.connection.close()
    if outcome.deferred and not rehearse:
        executor.run_deferred()
    return outcome


@contextlib.contextmanager
def open_migrations(loaded: Loaded) -> Iterator[Administration]:
    """The database of the settings for an operator: plan, state, files.

    Raises:
        StartupError: the database cannot be reached, or a migration file cannot be used.
    """
    target = catalog.ddl_connect(loaded.settings.database)()
    try:
        yield catalog.ddl_administration(loaded.settings, loaded.registry, target, _applying(loaded.settings))
    finally:
        connection = target.hand_over()
        if connection is not None:
            connection.close()


@contextlib.contextmanager
def open_keys(settings: Settings) -> Iterator[KeyAdministration]:
    """The API keys in the database of the settings, for an operator.

    Raises:
        ConfigurationError: it is a database in memory, whose keys nobody else could use.
        StartupError: it cannot be reached.
    """
    if settings.database.is_memory:
        raise ConfigurationError([Problem("database.url: a key in a database in memory would be gone at once")])
    target = catalog.ddl_connect(settings.database)()
    try:
        yield catalog.key_administration(settings, target, __version__)
    finally:
        target.hand_over()


def migration_files(settings: Settings) -> list[Path]:
    """The migration files of the settings, names and headers checked.

    Raises:
        StartupError: one cannot be used.
    """
    return catalog.migration_files(settings.database)


def _applying(settings: Settings) -> DDLOptions:
    """How far a migration goes that an operator asks for, whatever a start would do."""
    options = catalog.ddl_options(settings, __version__)
    return options if options.auto_migrate == "all" else replace(options, auto_migrate="true")


def _nothing() -> None:
    """Nothing to do meanwhile."""


def _migrate(executor: SyncDDLExecutor, meanwhile: Callable[[], None]) -> DDLOutcome:
    """Run the executor to its end, and `meanwhile` beside it; SIGTERM and SIGINT cancel it."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    before = {
        number: signal.signal(number, lambda received, _frame: executor.cancel(signal.Signals(received)))
        for number in numbers
    }
    try:
        executor.start()
        meanwhile()
        return executor.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.asynccontextmanager
async def _open(loaded: Loaded, outcome: DDLOutcome, observe: Observer) -> AsyncIterator[Runtime]:
    if not loaded.settings.server.secret_key:
        loaded.signer.use(outcome.secret)
    database = catalog.database(loaded.settings.database, outcome, observe)
    await database.open()
    try:
        yield Runtime(loaded.plans, catalog.engine(loaded.settings.executions.engine), database, observe)
    finally:
        await database.close(loaded.settings.server.grace_s)


async def _serve(
    loaded: Loaded,
    outcome: DDLOutcome,
    executor: SyncDDLExecutor,
    sockets: Mapping[str, socket.socket],
    observe: Observer,
    take_stop: Callable[[Callable[[], None]], None] | None,
) -> int:
    settings = loaded.settings
    async with _open(loaded, outcome, observe) as runtime:
        migrations = "skipped" if outcome.verdict is Verdict.SKIPPED else "ok"
        health = HealthBoard(list(sockets), migrations)
        services: list[Service] = [
            _Announced(catalog.http_channel(runtime, settings, sockets["http"], health, observe), sockets, "", observe)
        ]
        if "mcp" in sockets:
            mcp = _Imported("mcp", lambda: catalog.mcp_channel(runtime, settings, sockets["mcp"], __version__, observe))
            services.append(_Announced(mcp, sockets, settings.mcp.path, observe))
        supervisor = Supervisor(services, health, runtime.database.ready, observe, grace_s=settings.server.grace_s)
        if take_stop is not None:
            loop = asyncio.get_running_loop()
            take_stop(partial(_from_any_thread, loop, supervisor))
        async with _deferred(executor if outcome.deferred else None, health):
            return await supervisor.run(loaded.started)


@contextlib.asynccontextmanager
async def _deferred(executor: SyncDDLExecutor | None, health: HealthBoard) -> AsyncIterator[None]:
    """Make what the migration left for later once every channel answers; what is not done by the end, later still."""
    if executor is None:
        yield
        return

    async def work() -> None:
        await health.once_started.wait()
        await asyncio.to_thread(executor.run_deferred)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        executor.cancel()
        if not health.once_started.is_set():
            task.cancel()
        await asyncio.wait([task])


def _from_any_thread(loop: asyncio.AbstractEventLoop, supervisor: Supervisor) -> None:
    loop.call_soon_threadsafe(supervisor.stop, "stop")


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
