"""The MCP server: the official SDK's low-level server over Streamable HTTP, fed from the plans.

One endpoint speaks every protocol version that the SDK speaks: sessions up to 2025-11-25, stateless from 2026-07-28,
told apart by the request's version header.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from mcp.server.caching import CacheHint
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from starlette.types import Receive, Scope, Send

    from nexusd.channels.mcp.tools import Tools

LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
EVERYWHERE: Final = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound


class McpServer:
    """The ASGI side of the MCP channel.

    Args:
        version: the product's, told in the handshake.
        max_body_bytes: of one request.
        security: which Host and Origin headers are answered; always on (DNS rebinding, spec revision 2025-11-25,
            "Transports", security warning).
    """

    def __init__(
        self,
        tools: Tools,
        *,
        version: str,
        max_body_bytes: int,
        security: TransportSecuritySettings,
    ) -> None:
        self._server: Server[dict[str, object]] = Server(
            "nexusd",
            version=version,
            title="nexusd",
            cache_hints={"tools/list": CacheHint(ttl_ms=0, scope="private")},
            get_tool_input_schema=tools.input_schema,
            on_list_tools=tools.list,
            on_call_tool=tools.call,
        )
        # The SDK's own tracing layer costs 6 to 27 % of a call; our spans cover both paths.
        self._server.middleware.clear()
        self._manager = StreamableHTTPSessionManager(
            self._server,
            security_settings=security,
            max_request_body_size=max_body_bytes,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Sessions live inside this block; enter and leave it in the same task."""
        async with self._manager.run():
            yield

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        await self._manager.handle_request(scope, receive, send)

    def close_streams(self) -> None:
        """End the standing streams of sessions, so that a drain need not wait for clients to leave."""
        # The manager has no public way to reach its sessions (a contract test watches this name).
        for transport in list(self._manager._server_instances.values()):  # noqa: SLF001
            transport.close_standalone_sse_stream()


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
