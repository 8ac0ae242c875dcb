"""A bound socket and the uvicorn server on it: what both network doors share.

The port is bound before the database is touched and listens only when its channel is ready, so a client is refused
rather than left hanging. Signals belong to the supervisor; the server here has no handlers of its own.

A drain closes the listener and says `Connection: close` on every further answer. A connection without a request stays
open for a while, because a request may be on its way that its client sent before it could know:

* Where a successor listens on the same port (one worker is replaced by another), until its keep-alive time is over.
  A client that comes back in time is answered and told to close, so no request is lost.
* Where none does (the server stops), for IDLE_LINGER_S. Whoever comes later would find no server anyway, so waiting
  longer would only delay the stop. What has arrived by then is answered, also if it has not been read yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Final

import uvicorn

from nexusd.channels.connection import Connection, ConnectionState
from nexusd.channels.proxies import BehindProxies
from nexusd.errors import PortUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from nexusd.channels.connection import Limits
    from nexusd.events import Observer

KEEP_ALIVE_S: Final = 5
IDLE_LINGER_S: Final = 0.2
SWEEP_S: Final = 0.25
BACKLOG: Final = 2048


class Drain(asyncio.Event):
    """Set when a service is to end.

    Attributes:
        successor: another process listens on the same ports, and goes on when this one has ended.
    """

    successor = False


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound to `host:port`, not listening yet.

    Raises:
        PortUnavailable: one line that says which address and why.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        message = f"cannot listen on {host}:{port}: the host is not known"
        raise PortUnavailable(message) from error
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise unavailable(host, port, error) from error
    sock.settimeout(0)
    return sock


def listen(sock: socket.socket) -> None:
    """Let clients connect to a bound socket, before anybody accepts.

    Raises:
        PortUnavailable: another process listens on the port already.
    """
    host, port = sock.getsockname()[:2]
    try:
        sock.listen(BACKLOG)
    except OSError as error:
        raise unavailable(host, port, error) from error


def unavailable(host: str, port: int, error: OSError) -> PortUnavailable:
    """The one line for a port that cannot be had."""
    reasons = {
        errno.EADDRINUSE: "another process uses the port",
        errno.EACCES: "this user may not bind the port",
        errno.EADDRNOTAVAIL: "this machine has no such address",
    }
    reason = reasons.get(error.errno or 0, error.strerror or type(error).__name__)
    return PortUnavailable(f"cannot listen on {host}:{port}: {reason}")


def url_of(sock: socket.socket) -> str:
    """Where a bound socket answers, such as `http://127.0.0.1:8000`."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Listener:
    """Serves an ASGI application on a bound socket.

    Args:
        channel: its name in events.
        grace_s: how long a drain waits before it cancels what still runs.
    """

    def __init__(
        self, app: ASGIApp, sock: socket.socket, limits: Limits, *, channel: str, grace_s: float, observe: Observer
    ) -> None:
        self._sock = sock
        self._grace_s = grace_s
        config = uvicorn.Config(
            BehindProxies(app, limits.trusted_proxies) if limits.trusted_proxies else app,
            http=Connection,
            loop="none",
            lifespan="off",
            ws="none",
            interface="asgi3",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            backlog=BACKLOG,
        )
        config.load()
        self._server = _Server(config, ConnectionState(channel, limits, observe))

    async def run(self, ready: Callable[[], None], drain: Drain) -> int:
        """Listen, call `ready`, and serve until `drain`; how many requests the end of the grace has cut.

        Raises:
            PortUnavailable: another process listens on the port already.
        """
        host, port = self._sock.getsockname()[:2]
        try:
            await self._server.listen(self._sock)
        except OSError as error:
            raise unavailable(host, port, error) from error
        ticker = asyncio.create_task(self._server.tick())
        try:
            ready()
            await drain.wait()
            return await self._server.drain(self._grace_s, KEEP_ALIVE_S if drain.successor else IDLE_LINGER_S)
        finally:
            ticker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticker


class _Server(uvicorn.Server):
    """uvicorn's server without its own ideas about signals, start and stop."""

    server_state: ConnectionState

    def __init__(self, config: uvicorn.Config, state: ConnectionState) -> None:
        super().__init__(config)
        self.server_state = state
        self.lifespan = config.lifespan_class(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def listen(self, sock: socket.socket) -> None:
        await self.startup(sockets=[sock])
        await self.on_tick(0)

    async def tick(self) -> None:
        """Keep the date header fresh and end what does not arrive, or is not taken."""
        loop = asyncio.get_running_loop()
        count = 0
        while True:
            await asyncio.sleep(SWEEP_S)
            count += 1
            if count % round(1 / SWEEP_S) == 0:
                await self.on_tick(0)
            now = loop.time()
            for connection in self._connections():
                connection.sweep(now)

    async def drain(self, grace_s: float, idle_s: float) -> int:
        """Close the listener, let connections end by themselves, cancel after the grace."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        # Who is connected already, but not accepted yet, would be reset.
        await asyncio.sleep(0)
        self.server_state.draining = True
        for server in self.servers:
            server.close()
        for connection in self._connections():
            connection.drain()
        await self._emptied(min(end, loop.time() + idle_s))
        for connection in self._connections():
            connection.end_if_idle()
        await self._emptied(end)
        if self.server_state.tasks:
            # What served a connection that is gone may still be ending.
            await asyncio.wait(self.server_state.tasks, timeout=max(0.0, end - loop.time()))
        cut = len(self.server_state.tasks)
        for task in list(self.server_state.tasks):
            task.cancel()
        if self.server_state.tasks:
            # What is cancelled may still say so to its client.
            await asyncio.wait(self.server_state.tasks, timeout=1.0)
        for connection in self._connections():
            connection.transport.abort()
        return cut

    async def _emptied(self, end: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end):
                await self.server_state.empty.wait()

    def _connections(self) -> list[Connection]:
        return [each for each in self.server_state.connections if isinstance(each, Connection)]
