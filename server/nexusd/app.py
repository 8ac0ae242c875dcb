"""Boot, read top to bottom: registry, plans, sockets, schema, loop, database, runtime, channels, supervisor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nexusd import __version__, catalog
from nexusd.channels.listener import bind, url_of
from nexusd.databases.cursors import CursorSigner
from nexusd.ddl.executor import Verdict
from nexusd.definitions.loader import PythonSource, load_registry
from nexusd.events import ChannelStarted, RegistryLoaded, ServerStarted, ignore
from nexusd.planning.compile import compile_registry
from nexusd.runtime import Runtime
from nexusd.supervisor.health import HealthBoard
from nexusd.supervisor.services import Supervisor

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping

    from nexusd.channels.listener import Drain
    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
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
        outcome = _migrate(catalog.ddl_executor(settings, loaded.registry, __version__, observe), settings)
        with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
            return runner.run(_serve(loaded, outcome, sockets, observe, take_stop))
    finally:
        for sock in sockets.values():
            sock.close()


@contextlib.asynccontextmanager
async def open_runtime(loaded: Loaded, observe: Observer = ignore) -> AsyncIterator[Runtime]:
    """A runtime in this process without any channel; the schema is brought to the registry as `serve` does.

    Raises:
        StartupError: the database cannot be reached or brought to the registry.
    """
    executor = catalog.ddl_executor(loaded.settings, loaded.registry, __version__, observe)
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


def _migrate(executor: SyncDDLExecutor, settings: Settings) -> DDLOutcome:
    """Run the executor to its end; SIGTERM and SIGINT cancel it."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    before = {
        number: signal.signal(number, lambda received, _frame: executor.cancel(signal.Signals(received)))
        for number in numbers
    }
    try:
        executor.start()
        # While its thread talks to the database, this one imports what will serve.
        catalog.preload(settings)
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
        return await supervisor.run(loaded.started)


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
