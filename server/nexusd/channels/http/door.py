"""The front of the HTTP channel: one function before any routing, and one place where errors are told."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from nexusd.channels.channel import end_request
from nexusd.channels.http.bodies import BodyBudget
from nexusd.channels.http.cors import Cors
from nexusd.channels.http.exchange import Exchange
from nexusd.channels.http.problems import render_problem
from nexusd.channels.http.routes import PROBES
from nexusd.definitions.principal import shown
from nexusd.definitions.trace import begin_trace, ids
from nexusd.errors import Cancelled, InternalError, MisdirectedRequest, NexusError
from nexusd.events import RequestFinished, RequestStarted, unexpected

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from nexusd.auth.authenticator import Authenticator
    from nexusd.channels.channel import Telemetry
    from nexusd.channels.http.router import Router
    from nexusd.definitions.trace import Trace
    from nexusd.settings import HttpSettings

_WATCHING: Final = PROBES | {"/metrics"}
"""Routes that are asked all day: they begin no trace of their own."""

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")


class HttpDoor:
    """The ASGI application of the HTTP channel.

    Everything but the probes and a browser's preflight needs a credential where there is an authenticator.
    """

    def __init__(
        self, router: Router, settings: HttpSettings, authenticator: Authenticator | None, telemetry: Telemetry
    ) -> None:
        self._router = router
        self._authenticator = authenticator
        self._hosts = frozenset(
            name.lower().encode() for name in (*_LOOPBACK, settings.host, *settings.allowed_hosts) if name
        )
        self._cors = Cors(settings.cors_origins)
        self._budget = BodyBudget()
        self._observe = telemetry.observe
        self._tracer = telemetry.tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong below is rendered here."""
        started = time.perf_counter()
        exchange = Exchange(scope, receive, send, self._budget)
        self._observe(RequestStarted("http", exchange.method))
        exchange.trace = self._trace(exchange)
        try:
            await self._answer_or_refuse(exchange)
        finally:
            exchange.close()
            self._tell(exchange, time.perf_counter() - started)

    async def _answer_or_refuse(self, exchange: Exchange) -> None:
        try:
            await self._answer(exchange)
        except NexusError as error:
            if isinstance(error, InternalError) and not error.is_logged:
                self._observe(unexpected("http", exchange.request_id, error))
            await self._refuse(exchange, error)
        except asyncio.CancelledError:
            # The client has gone, and this is sent nowhere; or the grace of a stop is over.
            await self._refuse(exchange, Cancelled("the server stopped before the workflow had ended"))
        except ConnectionResetError:
            exchange.status = 499
        except Exception as error:  # noqa: BLE001 - the edge: whatever is no NexusError is a bug, logged and hidden
            self._observe(unexpected("http", exchange.request_id, error))
            await self._refuse(exchange, InternalError())

    def _trace(self, exchange: Exchange) -> Trace | None:
        """What the request is a part of."""
        header = exchange.headers.get(b"traceparent")
        if header is None:
            if self._tracer is None or exchange.path in _WATCHING:
                return None
            return begin_trace(self._tracer, exchange.method, None)
        state = exchange.headers.get(b"tracestate", b"").decode("latin-1")
        return begin_trace(self._tracer, exchange.method, header.decode("latin-1"), state)

    def _tell(self, exchange: Exchange, duration_s: float) -> None:
        """Say how it ended."""
        trace = exchange.trace
        self._observe(
            RequestFinished(
                "http",
                exchange.method,
                exchange.route,
                exchange.status,
                exchange.request_id,
                duration_s,
                exchange.client,
                shown(exchange.principal),
                exchange.workflow,
                exchange.execution_id,
                *ids(trace),
            ),
        )
        if trace is not None and trace.span is not None:
            end_request(trace.span, exchange.method, exchange.route, exchange.status)

    async def _answer(self, exchange: Exchange) -> None:
        if exchange.path not in PROBES:
            self._check_host(exchange)
        if self._cors.on:
            exchange.extra += self._cors.headers(exchange.headers)
            if self._cors.is_preflight(exchange.method, exchange.headers):
                await exchange.answer(204, self._cors.preflight(), b"")
                return
        if exchange.path == "*":
            await exchange.answer(204, [], b"")  # OPTIONS * asks whether there is a server
            return
        if self._authenticator is not None and exchange.path not in PROBES:
            exchange.authenticator = self._authenticator
            exchange.principal = await self._authenticator(
                exchange.scope["headers"],
                channel="http",
                request_id=exchange.request_id,
                client=exchange.client,
            )
        await self._router(exchange)

    def _check_host(self, exchange: Exchange) -> None:
        """Answer for our own names only (DNS rebinding); the port does not matter behind a mapping."""
        host = exchange.headers.get(b"host", b"").lower()
        if host not in self._hosts:
            name, _, port = host.rpartition(b":")
            if name not in self._hosts or not port.isdigit():
                raise MisdirectedRequest

    async def _refuse(self, exchange: Exchange, error: NexusError) -> None:
        if exchange.status:
            return  # an answer has begun; it cannot be taken back
        exchange.execution_id = error.execution_id
        status, headers, body = render_problem(error, exchange.request_id)
        await exchange.answer(status, headers, body)
