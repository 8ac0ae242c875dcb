"""The HTTP channel: one service that serves the door on its own port."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexusd.channels.connection import Limits
from nexusd.channels.http.documents import Documents
from nexusd.channels.http.door import HttpDoor
from nexusd.channels.http.execute import ExecuteHandler
from nexusd.channels.http.executions import Executions
from nexusd.channels.http.router import Router
from nexusd.channels.http.routes import HealthRoutes, MetricsRoute, Workflows
from nexusd.channels.listener import Listener

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from nexusd.auth.authenticator import Authenticator
    from nexusd.channels.channel import Health, Telemetry
    from nexusd.channels.listener import Drain
    from nexusd.runtime import Runtime
    from nexusd.settings import Settings


class HttpChannel:
    """Serves HTTP on a bound socket until it is asked to stop.

    Attributes:
        routes: method and template of each route.
    """

    name = "http"

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings,
        sock: socket.socket,
        health: Health,
        authenticator: Authenticator | None,
        telemetry: Telemetry,
    ) -> None:
        http = settings.http
        self._runtime = runtime
        self._grace_s = settings.server.grace_s
        self._execute = ExecuteHandler(runtime, http)
        self._executions = Executions(runtime.history, runtime.peers)
        router = Router()
        router.add("POST", "/workflows/{name}/execute", self._execute)
        metrics = MetricsRoute(telemetry.scrape)
        documents = Documents(runtime, secured=authenticator is not None)
        for routes in (Workflows(runtime), self._executions, HealthRoutes(health), metrics, documents):
            routes.add_routes(router)
        self.routes = tuple(router.routes)
        limits = Limits(
            header_timeout_s=http.header_timeout_s,
            body_timeout_s=http.body_timeout_s,
            cancel_on_disconnect=True,
            trusted_proxies=http.trusted_proxies,
        )
        observe = telemetry.observe
        door = HttpDoor(router, http, authenticator, telemetry)
        self._listener = Listener(door, sock, limits, channel=self.name, grace_s=self._grace_s, observe=observe)

    async def run(self, ready: Callable[[], None], drain: Drain) -> int:
        """Serve until `drain`, then end; how many requests and background executions were cut."""
        answered = asyncio.Event()
        ending = asyncio.create_task(self._end(drain, answered))
        try:
            cut = await self._listener.run(ready, drain)
            answered.set()
            return cut + await ending
        finally:
            ending.cancel()

    async def _end(self, drain: Drain, answered: asyncio.Event) -> int:
        await drain.wait()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._grace_s
        self._executions.draining.set()
        if drain.successor:
            # The server goes on: what still comes on kept connections is as good as what its successor is asked.
            await answered.wait()
        self._execute.accepts_async = False
        return await self._runtime.drain(max(0.0, end - loop.time()))
