"""One HTTP connection: its deadlines, how it refuses, and how it ends without losing an answer.

What it adds to uvicorn:

* Heads and bodies that do not arrive, and answers that are not taken, end at a deadline.
* A refusal is a problem document; requests before it on the same connection are still answered.
* A connection whose client is still sending is not closed under it: the answer goes out, what comes in is discarded
  for a moment, then it closes. Closing on unread bytes sends a reset, and a reset destroys the answer on its way
  (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from nexusd.channels.channel import problem_document
from nexusd.channels.request_reader import RequestReader
from nexusd.definitions.execution import new_request_id
from nexusd.errors import BadRequest, Code, NexusError, RequestTimeout
from nexusd.events import ClientConnected, ClientLeft, RequestRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from uvicorn._types import ASGISendEvent

    from nexusd.events import Observer

CANCEL_ON_DISCONNECT: Final = "nexusd.cancel_on_disconnect"
"""Set in the scope of a request whose task is to be cancelled when its client has gone, whatever the limits say."""

LINGER_S: Final = 1.0
LINGER_BYTES: Final = 1024 * 1024

_STATUS: Final = {Code.BAD_REQUEST: 400, Code.REQUEST_TIMEOUT: 408, Code.HEADERS_TOO_LARGE: 431}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a listener allows its clients.

    Attributes:
        header_timeout_s: from the start of a connection, or the first byte of a head, to the end of the head.
        body_timeout_s: from the end of a head to the end of its body, whatever its length; also how long an answer may
            find no taker.
        cancel_on_disconnect: cancel the task of a request whose client has gone.
        trusted_proxies: addresses and networks whose X-Forwarded-For and X-Forwarded-Proto are believed.
    """

    header_timeout_s: float
    body_timeout_s: float
    cancel_on_disconnect: bool
    trusted_proxies: tuple[str, ...] = ()


class ConnectionState(ServerState):
    """What the connections of one listener share.

    Attributes:
        draining: every further answer is the last of its connection.
        empty: set while there is no connection.
    """

    def __init__(self, channel: str, limits: Limits, observe: Observer) -> None:
        super().__init__()
        self.channel = channel
        self.limits = limits
        self.observe = observe
        self.draining = False
        self.empty = asyncio.Event()
        self.empty.set()


class _Cycle(RequestResponseCycle):
    """A request and its answer."""

    async def send(self, message: ASGISendEvent) -> None:
        if self.more_body and not self.response_started:
            # Answered before its body has come: nobody will read the rest, so the next request cannot be found.
            self.keep_alive = False
        await super().send(message)


class _Outlet:
    """A connection's transport as its cycles see it: closing it is the connection's business."""

    __slots__ = ("_since", "_transport", "_waiting", "close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close
        self._transport = transport
        self._waiting = 0
        self._since = 0.0

    def is_stuck(self, now: float, limit_s: float) -> bool:
        """Whether the client has taken nothing of its answer for `limit_s`."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting or waiting != self._waiting:
            self._waiting, self._since = waiting, now
            return False
        return now >= self._since + limit_s


class _Lingering(asyncio.Protocol):
    """What becomes of a connection whose client is still sending when all is said: it is heard out for a moment."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._taken = 0
        transport = connection.transport
        transport.write_eof()
        transport.set_protocol(self)
        connection.flow.resume_reading()
        self._end = connection.loop.call_later(LINGER_S, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._taken += len(data)
        if self._taken > LINGER_BYTES:
            self._connection.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._connection.connection_lost(exc)


class Connection(RequestReader):
    """One connection.

    Attributes:
        _running: the request whose answer is being made or was the last to be made.
        _last: nothing that still comes in is read as a request.
    """

    server_state: ConnectionState

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        super().__init__(*args, **kwargs)
        self._running: _Cycle | None = None
        self._last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._outlet = _Outlet(transport, self._close)
        self._start_reading()
        self.server_state.empty.clear()
        self.server_state.observe(ClientConnected(self.server_state.channel))

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what was asked on it."""
        if self._running is not None and not self._running.response_complete:
            self._abandon(self._running)
        super().connection_lost(exc)
        self.server_state.observe(ClientLeft(self.server_state.channel))
        self.pipeline.clear()
        if not self.connections:
            self.server_state.empty.set()

    def data_received(self, data: bytes) -> None:
        """Read on; refuse what is no request."""
        self._unset_keepalive_if_required()
        if self._last:
            self.flow.pause_reading()  # answers to earlier requests are still to go out
            return
        self._count(len(data))
        try:
            self._feed(data)
            self._check_sizes()
        except NexusError as error:
            self._refuse(error)
        except httptools.HttpParserError as error:
            # What a callback raised is the context of what the parser makes of it.
            cause = error.__context__
            self._refuse(cause if isinstance(cause, NexusError) else BadRequest())

    def _begin(self, version: str) -> None:
        cycle = self.cycle = _Cycle(
            scope=self.scope,
            transport=cast("asyncio.Transport", self._outlet),
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue and version == "1.1",
            keep_alive=version == "1.1" and self.parser.should_keep_alive() and not self.server_state.draining,
            on_response=self.on_response_complete,
        )
        if self._unanswered is None:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:  # noqa: ANN401 - uvicorn's signature
        self._running = cycle
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)

    @property
    def _unanswered(self) -> _Cycle | None:
        """The latest request that has come and waits for its answer, or for the end of it."""
        if self.pipeline:
            return cast("_Cycle", self.pipeline[0][0])
        return None if self._running is None or self._running.response_complete else self._running

    def _close(self) -> None:
        """Close behind the last answer, but not under a client that is still sending."""
        self._last = True
        if self._in_head and not self._head_bytes:
            self.transport.close()
        elif not self.transport.is_closing():
            _Lingering(self)

    def _refuse(self, error: NexusError) -> None:
        """Let the request being read be the connection's last, and its answer `error`."""
        self.server_state.observe(RequestRejected(self.server_state.channel, error.code.value))
        self._last = True
        self._withdraw()
        earlier = self._unanswered
        if earlier is not None and not earlier.disconnected:
            earlier.keep_alive = False
        elif not self.transport.is_closing():
            self.transport.write(_answer(error))
            _Lingering(self)

    def _withdraw(self) -> None:
        """Take the request being read from the application, if it has it already."""
        cycle = None if self._in_head else self._unanswered
        if cycle is None:
            return
        if self.pipeline:
            self.pipeline.popleft()
            return
        self._abandon(cycle)
        if cycle.response_started:
            self.transport.close()  # an answer has begun that cannot be ended

    def _abandon(self, cycle: _Cycle) -> None:
        """Tell the application that nobody waits for its answer."""
        if not cycle.disconnected:
            cycle.disconnected = True
            cycle.message_event.set()
            if self.server_state.limits.cancel_on_disconnect or cycle.scope.get(CANCEL_ON_DISCONNECT):
                self._task.cancel()

    def sweep(self, now: float) -> None:
        """End what has waited too long; called several times a second."""
        limits = self.server_state.limits
        if self._outlet.is_stuck(now, limits.body_timeout_s):
            self.transport.abort()
        elif self._last or self._since is None:
            return
        elif self.flow.read_paused:
            self._since = now  # it is this side that does not read
        elif self._in_head and now >= self._since + limits.header_timeout_s:
            if self._head_bytes:
                self._refuse(RequestTimeout())
            else:
                self.transport.close()
        elif not self._in_head and now >= self._since + limits.body_timeout_s:
            self._refuse(RequestTimeout("the request's body was not received in time"))

    def drain(self) -> None:
        """Let what was asked so far be the last."""
        last = self._unanswered
        if last is not None:
            last.keep_alive = False

    def end_if_idle(self) -> None:
        """Close, unless a request is being read or answered, or has arrived and waits to be read."""
        idle = self._in_head and not self._head_bytes and not self._last and self._unanswered is None
        if idle and not _has_unread(self.transport):
            self.transport.close()


def _answer(error: NexusError) -> bytes:
    """A refusal as it goes on the wire."""
    status = _STATUS[error.code]
    request_id = new_request_id()
    body = msgspec.json.encode(problem_document(error, status=status, request_id=request_id))
    head = (
        b"content-type: application/problem+json\r\nconnection: close\r\n"
        b"x-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (request_id.encode(), len(body))
    )
    return STATUS_LINE[status] + head + body


def _has_unread(transport: asyncio.Transport) -> bool:
    """Whether bytes have arrived that the event loop has not read yet."""
    number = transport.get_extra_info("socket").fileno()
    if number < 0:
        return False
    # The loop's socket object offers no reading; a second descriptor of the same socket does.
    with socket.socket(fileno=os.dup(number)) as sock:
        try:
            return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False
