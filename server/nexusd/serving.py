"""What one process serves: a database, a runtime on it, and the channels that call it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from nexusd import __version__, app, catalog
from nexusd.channels.channel import Telemetry
from nexusd.channels.listener import url_of
from nexusd.engines.keyed_requests import keep_purging
from nexusd.events import ChannelStarted, Observers

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Mapping

    from nexusd.auth.authenticator import Authenticator
    from nexusd.channels.listener import Drain
    from nexusd.ddl.executor import DDLOutcome
    from nexusd.engines.peers import Peers
    from nexusd.events import Observer
    from nexusd.runtime import Runtime
    from nexusd.settings import Settings
    from nexusd.supervisor.health import HealthBoard
    from nexusd.supervisor.services import Service
    from nexusd.telemetry.logging import LogSink
    from nexusd.telemetry.monitoring import Monitoring


@dataclass(frozen=True, slots=True)
class Watch:
    """Who is told what happens in a process.

    Attributes:
        observe: tells everybody.
        monitoring: where metrics are on.
    """

    observe: Observer
    monitoring: Monitoring | None

    @classmethod
    def begin(cls, loaded: app.Loaded, log: LogSink) -> Self:
        """The log, metrics where the settings want them, and the fault that a test wants."""
        monitoring = catalog.monitoring(loaded.settings, __version__, loaded.started, log)
        observe = Observers(log) if monitoring is None else Observers(log, monitoring.metrics)
        failpoint = catalog.failpoint(loaded.settings, os.environ, observe)
        return cls(observe if failpoint is None else Observers(observe, failpoint), monitoring)


class Serving:
    """The parts of a process that serves.

    Args:
        loaded: what to serve.
        sockets: bound, by channel.
        health: where channels note their state.
        peers: this process and those that serve with it.
        watch: who is told what happens.
    """

    def __init__(
        self,
        loaded: app.Loaded,
        sockets: Mapping[str, socket.socket],
        health: HealthBoard,
        peers: Peers,
        watch: Watch,
    ) -> None:
        self._loaded = loaded
        self._sockets = sockets
        self._health = health
        self._peers = peers
        self._observe = watch.observe
        self._monitoring = watch.monitoring

    @contextlib.asynccontextmanager
    async def open(self, outcome: DDLOutcome, turns: int | None = None) -> AsyncIterator[tuple[Runtime, list[Service]]]:
        """The runtime and its channels, in the order in which they start.

        Args:
            outcome: of the migration to what is served.
            turns: see `catalog.database`.
        """
        async with (
            app.open_database(self._loaded, outcome, self._observe, turns) as runtime,
            self._authenticating(runtime) as authenticator,
            self._telemetry(runtime) as telemetry,
            _purging(runtime, outcome),
        ):
            runtime.peers = self._peers
            runtime.limits = catalog.limits(self._loaded.settings.auth)
            runtime.places = catalog.places(self._loaded.settings, self._observe)
            yield runtime, self._services(runtime, authenticator, telemetry)

    @contextlib.asynccontextmanager
    async def _authenticating(self, runtime: Runtime) -> AsyncIterator[Authenticator | None]:
        """Who lets callers in, open; None where authentication is off."""
        authenticator = catalog.authenticator(self._loaded.settings.auth, runtime.database, self._observe)
        if authenticator is not None:
            authenticator.sight = runtime.served.sight
        async with authenticator or contextlib.nullcontext():
            yield authenticator

    @contextlib.asynccontextmanager
    async def _telemetry(self, runtime: Runtime) -> AsyncIterator[Telemetry]:
        """What doors tell and show of what happens."""
        if self._monitoring is None:
            yield Telemetry(self._observe)
            return
        read_from = (runtime.database.stats, self._health.channels, self._peers)
        tracer = catalog.tracer(self._loaded.settings.monitoring, __version__, self._observe)
        try:
            async with self._monitoring.running(*read_from) as scrape:
                yield Telemetry(self._observe, scrape, tracer)
        finally:
            if tracer is not None:
                await asyncio.to_thread(tracer.close)

    def _services(self, runtime: Runtime, authenticator: Authenticator | None, telemetry: Telemetry) -> list[Service]:
        settings, sockets = self._loaded.settings, self._sockets
        services: list[Service] = [
            catalog.http_channel(runtime, settings, sockets["http"], self._health, authenticator, telemetry)
        ]
        if "mcp" in sockets:
            channel = (settings, sockets["mcp"], __version__, authenticator, telemetry)
            services.append(_Imported("mcp", partial(catalog.mcp_channel, runtime, *channel)))
        return services


def addresses(settings: Settings, sockets: Mapping[str, socket.socket]) -> dict[str, str]:
    """Where each channel answers."""
    return {name: url_of(sock) + (settings.mcp.path if name == "mcp" else "") for name, sock in sockets.items()}


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


class Announced:
    """A channel whose start is an event with its address."""

    def __init__(self, service: Service, address: str, observe: Observer) -> None:
        self.name = service.name
        self._service = service
        self._address = address
        self._observe = observe

    async def run(self, ready: Callable[[], None], drain: Drain) -> int:
        """Serve; see `Service`."""

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
