"""One MCP endpoint: the official SDK's low-level server over one view, and its sessions.

It speaks every protocol version that the SDK speaks: sessions up to 2025-11-25, stateless from 2026-07-28, told apart
by the request's version header.
"""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import mcp_types as types
from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import NotificationOptions, Server
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types.methods import CacheableMethod

from nexusd.channels.channel import problem_document
from nexusd.channels.mcp.changes import changes, snapshot
from nexusd.channels.mcp.completions import Completions
from nexusd.channels.mcp.event_store import EventBudget
from nexusd.channels.mcp.exchange import caller_of, exchange_in
from nexusd.channels.mcp.fast_path import FastPath
from nexusd.channels.mcp.prompts import Prompts
from nexusd.channels.mcp.resources import Resources
from nexusd.channels.mcp.subscriptions import Subscriptions
from nexusd.channels.mcp.tools import Tools
from nexusd.definitions.wire import write_json
from nexusd.errors import MethodNotAllowed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from mcp.server.models import InitializationOptions
    from mcp.server.streamable_http import EventStore
    from mcp.server.subscriptions import ServerEvent
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.types import Receive, Scope, Send

    from nexusd.channels.mcp.calls import Calls
    from nexusd.channels.mcp.view import View

SESSION_IDLE_S: Final = 1800.0
"""After how long without any request a session ends."""

INSTRUCTIONS: Final = (
    "Each tool is one workflow. A failed call answers isError with a problem document: `errors` lists every fault with "
    "the JSON pointer of the argument. nexusd://registry describes all models and workflows."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How an endpoint answers HTTP.

    Attributes:
        security: which Host and Origin headers are answered; always on (DNS rebinding, spec revision 2025-11-25,
            "Transports", security warning).
        max_body_bytes: of one request.
        has_sessions: whether protocol versions that know sessions get them; one lives in one process, so not where the
            next request may reach another.
        fast_path: whether calls that nothing can interrupt go past the SDK.
    """

    security: TransportSecuritySettings
    max_body_bytes: int
    has_sessions: bool
    fast_path: bool


class LowLevelServer(Server[dict[str, object]]):
    """The SDK's server, which says in the handshake that lists may change."""

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        """The handshake's answer."""
        options = notification_options or NotificationOptions(
            prompts_changed=True, resources_changed=True, tools_changed=True
        )
        return super().create_initialization_options(options, experimental_capabilities, extensions)


class _Sessions(StreamableHTTPSessionManager):
    """The SDK's sessions, each with an event store of its own (see event_store.py)."""

    budget: EventBudget

    @property
    def event_store(self) -> EventStore:
        """The store of the session that is being opened; the SDK reads the attribute once for each."""
        return self.budget.store()

    @event_store.setter
    def event_store(self, _store: EventStore | None) -> None:
        """What the SDK sets is the absence of one."""
        self.budget = EventBudget()


def _sealed(secret: bytes) -> RequestStateBoundary:
    """What a client carries between the rounds of one call, sealed, and bound to the call and its caller."""
    key = hmac.digest(secret, b"nexusd mcp request state 1", "sha256")
    security = RequestStateSecurity(keys=[key], bind_principal=lambda context: caller_of(context).id)
    return RequestStateBoundary(security, default_audience="nexusd")


class Endpoint:
    """The SDK's server over one view.

    Args:
        version: the product's, told in the handshake.
    """

    def __init__(self, view: View, calls: Calls, *, version: str) -> None:
        self.view = view
        history = calls.runtime.history
        self.subscriptions = Subscriptions(history, calls.observe)
        tools = Tools(view, calls, self.subscriptions)
        resources = Resources(view, calls)
        prompts = Prompts(view)
        self.server = LowLevelServer(
            "nexusd",
            version=version,
            title="nexusd",
            instructions=INSTRUCTIONS,
            cache_hints={method: CacheHint(ttl_ms=0, scope="private") for method in get_args(CacheableMethod)},
            get_tool_input_schema=tools.input_schema,
            on_list_tools=tools.list,
            on_call_tool=tools.call,
            on_list_resources=resources.list,
            on_list_resource_templates=resources.list_templates,
            on_read_resource=resources.read,
            on_subscribe_resource=self.subscriptions.subscribe,
            on_unsubscribe_resource=self.subscriptions.unsubscribe,
            on_subscriptions_listen=self.subscriptions.listen,
            on_list_prompts=prompts.list,
            on_get_prompt=prompts.get,
            on_completion=Completions(view, history).complete,
        )
        self.server.add_notification_handler(
            "notifications/initialized", types.NotificationParams, self.subscriptions.initialized
        )
        # By name: as an argument it is deprecated, since 2026-07-28 has it no more.
        self.server.add_request_handler("logging/setLevel", types.SetLevelRequestParams, self.subscriptions.set_level)
        # The SDK's own tracing layer costs 6 to 27 % of a call; our spans cover both paths.
        self.server.middleware[:] = [_sealed(calls.runtime.secret)]
        self._calls = calls
        self._sessions: _Sessions | None = None
        self._fast_path: FastPath | None = None

    @contextlib.asynccontextmanager
    async def over_http(self, options: HttpOptions) -> AsyncIterator[None]:
        """Answer HTTP inside this block; enter and leave it in the same task."""
        if options.fast_path:
            info = self.server.server_info_stamp
            self._fast_path = FastPath(self.view, self._calls, options.security, info, options.max_body_bytes)
        self._sessions = _Sessions(
            self.server,
            security_settings=options.security,
            max_request_body_size=options.max_body_bytes,
            session_idle_timeout=SESSION_IDLE_S,
            stateless=not options.has_sessions,
        )
        async with self._sessions.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if self._sessions is None:
            raise RuntimeError("the endpoint is not over HTTP")
        if self._sessions.stateless and scope["method"] != "POST":
            # Without sessions there is nothing to end, and nothing to say on a standing stream (spec revision
            # 2025-11-25, "Transports": a server that offers none answers 405).
            await _only_post(scope, send)
            return
        if self._fast_path is not None and scope["method"] == "POST":
            rest = await self._fast_path.answer(scope, receive, send)
            if rest is None:
                return
            receive = rest
        await self._sessions.handle_request(scope, receive, send)

    def rebuild(self) -> list[ServerEvent]:
        """Offer what the runtime holds now; what those who listen are to be told."""
        before = snapshot(self.view)
        self.view.rebuild()
        return changes(before, snapshot(self.view))

    def close_streams(self) -> None:
        """End the standing streams, so that a drain need not wait for clients to leave."""
        self.subscriptions.close()
        if self._sessions is not None:
            # The manager has no public way to reach its sessions (a contract test watches this name).
            for transport in list(self._sessions._server_instances.values()):  # noqa: SLF001
                transport.close_standalone_sse_stream()


async def _only_post(scope: Scope, send: Send) -> None:
    problem = problem_document(MethodNotAllowed(), status=405, request_id=exchange_in(scope).request_id)
    body = write_json(problem)
    headers = [
        (b"allow", b"POST"),
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 405, "headers": headers})
    await send({"type": "http.response.body", "body": body})
