"""The MCP channel: one service that serves the MCP server on its own port."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.channels.channel import REQUEST_ID, problem_document, request_id_for
from nexusd.channels.connection import Limits
from nexusd.channels.listener import Listener
from nexusd.channels.mcp.exchange import EXCHANGE, Exchange, exchange_in
from nexusd.definitions.principal import shown
from nexusd.definitions.trace import begin_trace, ids
from nexusd.errors import InternalError, RouteNotFound
from nexusd.events import RequestFinished, RequestStarted, unexpected

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nexusd.channels.listener import Drain
    from nexusd.channels.mcp.server import McpServer
    from nexusd.errors import NexusError
    from nexusd.events import Observer
    from nexusd.settings import Settings

UNANSWERED: Final = 499
"""The status of a request whose answer had not begun when it ended."""


class McpChannel:
    """Serves MCP on a bound socket until it is asked to stop.

    Args:
        guard: puts authentication in front; None: everybody may call.
    """

    name = "mcp"

    def __init__(
        self,
        server: McpServer,
        sock: socket.socket,
        settings: Settings,
        guard: Callable[[ASGIApp], ASGIApp] | None,
        observe: Observer,
    ) -> None:
        self._server = server
        self._observe = observe
        # A client that goes away has not cancelled its call: that is a message of its own (spec, "Cancellation").
        limits = Limits(
            header_timeout_s=settings.http.header_timeout_s,
            body_timeout_s=settings.http.body_timeout_s,
            cancel_on_disconnect=False,
            trusted_proxies=settings.http.trusted_proxies,
        )
        grace_s = settings.server.grace_s
        self._respond = self._route if guard is None else guard(self._route)
        self._listener = Listener(self._answer, sock, limits, channel=self.name, grace_s=grace_s, observe=observe)

    async def run(self, ready: Callable[[], None], stopping: Drain) -> int:
        """Serve until `stopping`, then drain; how many requests were cut."""
        async with self._server.running():
            closer = asyncio.create_task(self._close_streams(stopping))
            try:
                return await self._listener.run(ready, stopping)
            finally:
                closer.cancel()

    async def _close_streams(self, stopping: Drain) -> None:
        await stopping.wait()
        self._server.close_streams()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, and say how that ended."""
        started = time.perf_counter()
        status = UNANSWERED
        exchange = scope[EXCHANGE] = _exchange(scope)
        own = (REQUEST_ID, exchange.request_id.encode())

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], own]}
            await send(message)

        self._observe(RequestStarted(self.name, scope["method"]))
        try:
            await self._respond(scope, receive, noted)
        except Exception as error:  # noqa: BLE001 - the edge: whatever the door has not answered is a bug, logged and hidden
            self._observe(unexpected(self.name, exchange.request_id, error))
            if status == UNANSWERED:
                await _refuse(InternalError(), 500, exchange, noted)
        finally:
            self._tell(scope, exchange, status, time.perf_counter() - started)

    def _tell(self, scope: Scope, exchange: Exchange, status: int, duration_s: float) -> None:
        """Say how a request ended."""
        client = scope["client"]
        self._observe(
            RequestFinished(
                self.name,
                scope["method"],
                self._server.route(scope["path"]),
                status,
                exchange.request_id,
                duration_s,
                None if client is None else client[0],
                shown(exchange.principal),
                exchange.workflow,
                exchange.execution_id,
                *ids(exchange.trace),
            )
        )

    async def _route(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._server.endpoint(scope["path"])
        if endpoint is not None:
            await endpoint(scope, receive, send)
            return
        await _refuse(RouteNotFound(), 404, exchange_in(scope), send)


def _exchange(scope: Scope) -> Exchange:
    """What the head of a request says of it; a call may name another trace, and only a call is recorded in one."""
    headers = dict(scope["headers"])
    exchange = Exchange(request_id_for(headers.get(REQUEST_ID)))
    parent = headers.get(b"traceparent")
    if parent is not None:
        exchange.trace = begin_trace(None, scope["method"], parent.decode("latin-1"))
    return exchange


async def _refuse(error: NexusError, status: int, exchange: Exchange, send: Send) -> None:
    problem = problem_document(error, status=status, request_id=exchange.request_id)
    body = msgspec.json.encode(problem)
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
