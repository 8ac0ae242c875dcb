"""All MCP endpoints of a daemon: one for everything, one for each toolset."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from mcp.server.transport_security import TransportSecuritySettings

from nexusd.channels.mcp.endpoint import Endpoint
from nexusd.channels.mcp.view import View

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from mcp.server.subscriptions import ServerEvent

    from nexusd.channels.mcp.calls import Calls
    from nexusd.channels.mcp.endpoint import HttpOptions

LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


class McpServer:
    """The endpoints over one runtime.

    Args:
        version: the product's.
        path: of the endpoint with everything; a toolset's is below it.
    """

    def __init__(
        self,
        calls: Calls,
        *,
        version: str,
        path: str,
        options: HttpOptions,
    ) -> None:
        self._calls = calls
        self._path = path
        self._options = options
        self._version = version
        self._endpoints: dict[str | None, Endpoint] = {}
        self._lives: dict[str | None, tuple[asyncio.Event, asyncio.Task[None]]] = {}
        self._changes: set[asyncio.Task[None]] = set()
        self._following = asyncio.Lock()
        self._closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Endpoints answer inside this block."""
        await self._follow()
        self._calls.runtime.served.on_change(self._changed)
        try:
            yield
        finally:
            for task in self._changes:
                task.cancel()
            for ending, _ in self._lives.values():
                ending.set()
            await asyncio.gather(*(task for _, task in self._lives.values()), return_exceptions=True)

    def endpoint(self, path: str) -> Endpoint | None:
        """What answers at a path."""
        if path == self._path:
            return self._endpoints.get(None)
        prefix = self._path.rstrip("/") + "/"
        return self._endpoints.get(path.removeprefix(prefix)) if path.startswith(prefix) else None

    def route(self, path: str) -> str:
        """The template of a path, for metrics and logs."""
        if path == self._path:
            return path
        return self._path.rstrip("/") + "/{toolset}" if self.endpoint(path) is not None else "other"

    def close_streams(self) -> None:
        """End all standing streams, so that a drain need not wait for clients to leave."""
        self._closing = True
        for endpoint in self._endpoints.values():
            endpoint.close_streams()

    def _changed(self) -> None:
        """The runtime has another registry: offer it at once, then tell."""
        news = [(endpoint, endpoint.rebuild()) for endpoint in self._endpoints.values()]
        if not self._closing:
            task = asyncio.create_task(self._follow(news))
            self._changes.add(task)
            task.add_done_callback(self._changes.discard)

    async def _follow(self, news: Sequence[tuple[Endpoint, Sequence[ServerEvent]]] = ()) -> None:
        """Have an endpoint for everything and for each toolset, and tell who listens to one what is new."""
        async with self._following:
            wanted = {None, *self._calls.runtime.served.registry.toolsets}
            for toolset in wanted - self._endpoints.keys():
                await self._open(toolset)
            for endpoint, events in news:
                await endpoint.subscriptions.publish(events)
            for toolset in self._endpoints.keys() - wanted:
                self._endpoints.pop(toolset).close_streams()
                self._lives.pop(toolset)[0].set()

    async def _open(self, toolset: str | None) -> None:
        """Start an endpoint in a task of its own, which enters and leaves the SDK's block."""
        endpoint = Endpoint(View(self._calls.runtime, toolset), self._calls, version=self._version)
        ready, ending = asyncio.Event(), asyncio.Event()

        async def live() -> None:
            async with endpoint.over_http(self._options):
                ready.set()
                await ending.wait()

        self._lives[toolset] = ending, asyncio.create_task(live())
        await ready.wait()
        self._endpoints[toolset] = endpoint


def security_settings(
    host: str, allowed_hosts: Sequence[str], allowed_origins: Sequence[str]
) -> TransportSecuritySettings:
    """Loopback names and the bound host at any port, and what the operator added."""
    names = [*LOOPBACK_NAMES, *([] if host in EVERYWHERE else [host])]
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*names, *(f"{name}:*" for name in names), *allowed_hosts],
        allowed_origins=[f"http://{name}{port}" for name in names for port in ("", ":*")] + list(allowed_origins),
    )
