"""A shorter way for the request that agents send most: one `tools/call` of 2026-07-28 that nothing can interrupt.

The SDK spends most of a call's time on validating and copying models. Here a call whose every part is known to be what
the SDK would accept goes from bytes to the workflow and back to bytes. What is accepted, the SDK itself says once for
each kind of head and envelope that clients send; everything doubtful goes to it, its body replayed. So this layer
refuses nothing, and only answers where both ways answer the same (a test compares them).
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, TypeVar

import mcp_types as types
import msgspec
from mcp.server.streamable_http import check_accept_headers
from mcp.server.transport_security import TransportSecurityMiddleware
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS, InboundModernRoute, classify_inbound_request
from mcp_types import SERVER_INFO_META_KEY
from mcp_types.methods import validate_client_request
from mcp_types.version import LATEST_MODERN_VERSION
from starlette.requests import Request

from nexusd.channels.connection import CANCEL_ON_DISCONNECT
from nexusd.channels.mcp.call_options import DRY_RUN, IDEMPOTENCY_KEY
from nexusd.channels.mcp.calls import Call, Via
from nexusd.channels.mcp.exchange import exchange_in
from nexusd.channels.mcp.tools import refusal
from nexusd.definitions.wire import read_json
from nexusd.errors import MalformedBody, NexusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.types import Message, Receive, Scope, Send

    from nexusd.channels.mcp.calls import Calls, Outcome
    from nexusd.channels.mcp.view import View

MAX_KNOWN: Final = 256
"""How many kinds of heads, and of envelopes, are remembered."""

PING_S: Final = 15.0
"""After how long an answer becomes a stream that is kept alive, as the SDK does it."""

_ID: Final = re.compile(rb'0|-?[1-9][0-9]{0,15}|"[ !#-\[\]-~]*"')
"""Ids that are echoed as they stand: whole numbers, and text without escapes."""

_ONCE: Final = frozenset({b"host", b"origin", b"content-type", b"accept", b"content-length", b"mcp-protocol-version",
                          b"mcp-method", b"mcp-name"})  # fmt: skip
"""Headers of which a second one is for the SDK to judge."""

_PREFIX: Final = "io.modelcontextprotocol/"
_VERSION: Final = LATEST_MODERN_VERSION.encode()
_UNTRACED: Final = Via("2026", "fast")
_STREAM: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
]


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """`_meta` without anything that asks for notifications."""

    version: msgspec.Raw = msgspec.field(name="io.modelcontextprotocol/protocolVersion")
    capabilities: msgspec.Raw = msgspec.field(name="io.modelcontextprotocol/clientCapabilities")
    client: msgspec.Raw = msgspec.field(name="io.modelcontextprotocol/clientInfo", default=msgspec.Raw(b""))
    dry_run: object = msgspec.field(name=DRY_RUN, default=msgspec.UNSET)
    key: object = msgspec.field(name=IDEMPOTENCY_KEY, default=msgspec.UNSET)
    traceparent: str | msgspec.UnsetType = msgspec.UNSET
    tracestate: str | msgspec.UnsetType = msgspec.UNSET


class _Params(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    meta: _Envelope = msgspec.field(name="_meta")
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    jsonrpc: str
    id: msgspec.Raw
    method: str
    params: _Params


_Key = TypeVar("_Key")

_requests: Final = msgspec.json.Decoder(_Request)


class FastPath:
    """Answers the calls that it can of one endpoint.

    Args:
        server_info: what the SDK says in each result of who answers.
    """

    def __init__(
        self,
        view: View,
        calls: Calls,
        security: TransportSecuritySettings,
        server_info: Mapping[str, object],
        max_body_bytes: int,
    ) -> None:
        self._view = view
        self._calls = calls
        self._security = TransportSecurityMiddleware(security)
        self._server_info = msgspec.Raw(msgspec.json.encode(server_info))
        self._max_body_bytes = max_body_bytes
        self._heads: dict[tuple[bytes | None, ...], bool] = {}
        self._envelopes: dict[tuple[bytes, bytes, bytes], bool] = {}

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request; what gives its body again if that is for the SDK, None if it is done."""
        headers = self._head(scope)
        if headers is None or not await self._is_good_head(headers, scope):
            return receive
        messages = [await receive()]
        while messages[-1].get("more_body", False):
            messages.append(await receive())
        if messages[-1]["type"] == "http.request":
            # It has the length that the head says, which is not too long.
            body = messages[0]["body"] if len(messages) == 1 else b"".join(each["body"] for each in messages)
            request = self._request(body, headers)
            if request is not None and await self._call(request, scope, headers, send):
                return None
        return _again(messages, receive)

    def _head(self, scope: Scope) -> dict[bytes, bytes] | None:
        """The headers of what may be such a call; None if it is none."""
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if (name in headers and name in _ONCE) or name.startswith(b"mcp-param-"):
                return None
            headers[name] = value
        if headers.get(b"mcp-method") != b"tools/call" or headers.get(b"mcp-protocol-version") != _VERSION:
            return None
        length = headers.get(b"content-length", b"")
        return headers if length.isdigit() and int(length) <= self._max_body_bytes else None

    async def _is_good_head(self, headers: Mapping[bytes, bytes], scope: Scope) -> bool:
        """Whether the SDK takes a head: host, origin, what is sent and what is taken."""
        get = headers.get
        kind = get(b"host"), get(b"origin"), get(b"content-type"), get(b"accept")
        known = self._heads.get(kind)
        if known is None:
            request = Request(scope)
            known = await self._security.validate_request(request, is_post=True) is None
            known = known and all(check_accept_headers(request))
            _remember(self._heads, kind, known)
        return known

    def _request(self, body: bytes, headers: Mapping[bytes, bytes]) -> _Request | None:
        """The call in a body, if the SDK would run it and nothing can come between it and its result."""
        try:
            request = _requests.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None
        params = request.params
        if request.jsonrpc != "2.0" or request.method != "tools/call" or params.name not in self._view.uninterrupted:
            return None
        if not bytes(params.arguments).startswith(b"{") or headers.get(b"mcp-name") != params.name.encode():
            return None
        if not _ID.fullmatch(request.id):
            return None
        return request if self._is_good_envelope(params.meta) else None

    def _is_good_envelope(self, meta: _Envelope) -> bool:
        """Whether the SDK takes who is calling and what it can do."""
        kind = bytes(meta.version), bytes(meta.capabilities), bytes(meta.client)
        known = self._envelopes.get(kind)
        if known is None:
            known = _is_valid(kind)
            _remember(self._envelopes, kind, known)
        return known

    async def _call(self, request: _Request, scope: Scope, headers: Mapping[bytes, bytes], send: Send) -> bool:
        """Run the workflow and answer; False, and nothing done, if the arguments are no JSON after all."""
        # The response is the call: who gives it up has cancelled (2026-07-28, "Cancellation").
        scope[CANCEL_ON_DISCONNECT] = True
        params = request.params
        exchange = exchange_in(scope)
        call = Call(
            name=params.name,
            arguments=bytes(params.arguments),
            meta=_options(params.meta),
            principal=exchange.principal,
        )
        answer = Answer(send, bytes(request.id))
        try:
            outcome = await self._calls.call(call, _via(headers), exchange)
        except MalformedBody:
            answer.end()
            return False
        except NexusError as error:
            await answer.refuse(refusal(error))
        except asyncio.CancelledError:
            # The client has gone, and this is sent nowhere; or the grace of a stop is over.
            await answer.refuse(MCPError(types.INTERNAL_ERROR, "the server stopped before the workflow had ended"))
        else:
            await answer.give(b'"result":' + self._result(outcome), 200)
        return True

    def _result(self, outcome: Outcome) -> bytes:
        document = outcome.document
        meta = msgspec.json.encode({**outcome.meta, SERVER_INFO_META_KEY: self._server_info})
        text = msgspec.json.encode(document.decode())
        return b"".join(
            (
                b'{"_meta":', meta, b',"content":[{"type":"text","text":', text, b'}],"structuredContent":', document,
                b',"isError":true' if outcome.is_error else b',"isError":false', b',"resultType":"complete"}',
            )
        )  # fmt: skip


class Answer:
    """The answer to one request: JSON, or a stream that is kept alive, once it has taken long."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self._request_id = request_id
        self._pinging: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(PING_S, self._begin)

    def end(self) -> None:
        """Begin no stream any more."""
        self._timer.cancel()

    def _begin(self) -> None:
        self._pinging = asyncio.create_task(self._ping())

    async def _ping(self) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        while True:
            await self._send({"type": "http.response.body", "body": b": ping\r\n\r\n", "more_body": True})
            await asyncio.sleep(PING_S)

    async def refuse(self, error: MCPError) -> None:
        """Answer with an error."""
        body = msgspec.json.encode({"code": error.code, "message": error.message})
        await self.give(b'"error":' + body, ERROR_CODE_HTTP_STATUS.get(error.code, 200))

    async def give(self, member: bytes, status: int) -> None:
        """Answer with a result or an error."""
        self._timer.cancel()
        body = b'{"jsonrpc":"2.0","id":%b,%b}' % (self._request_id, member)
        if self._pinging is not None:
            self._pinging.cancel()
            await asyncio.wait([self._pinging])
            event = b"event: message\r\ndata: %b\r\n\r\n" % body
            await self._send({"type": "http.response.body", "body": event, "more_body": False})
            return
        headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What gives these messages once more, before what comes next."""

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again


def _via(headers: Mapping[bytes, bytes]) -> Via:
    parent = headers.get(b"traceparent")
    if parent is None:
        return _UNTRACED
    return Via("2026", "fast", parent.decode("latin-1"), headers.get(b"tracestate", b"").decode("latin-1"))


def _is_valid(kind: tuple[bytes, bytes, bytes]) -> bool:
    """Whether the SDK takes an envelope; what is no JSON after all is for it to judge."""
    names = ("protocolVersion", "clientCapabilities", "clientInfo")
    try:
        meta = {f"{_PREFIX}{name}": read_json(raw) for name, raw in zip(names, kind, strict=True) if raw}
        params = {"name": "x", "arguments": {}, "_meta": meta}
        validate_client_request("tools/call", LATEST_MODERN_VERSION, params)
    except (ValueError, MalformedBody):
        return False
    route = classify_inbound_request({"method": "tools/call", "params": params})
    return isinstance(route, InboundModernRoute) and route.protocol_version == LATEST_MODERN_VERSION


def _options(meta: _Envelope) -> dict[str, object] | None:
    """What of `_meta` a call itself looks at."""
    found = {
        DRY_RUN: meta.dry_run,
        IDEMPOTENCY_KEY: meta.key,
        "traceparent": meta.traceparent,
        "tracestate": meta.tracestate,
    }
    return {name: value for name, value in found.items() if value is not msgspec.UNSET} or None


def _remember(known: dict[_Key, bool], key: _Key, value: bool) -> None:  # noqa: FBT001 - what is remembered
    if len(known) >= MAX_KNOWN:
        known.clear()
    known[key] = value
