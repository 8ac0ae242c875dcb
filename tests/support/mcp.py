"""The official MCP client, from tests that are no coroutines."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
"""Opens a session of an earlier revision."""

LISTEN_HEADERS = HEADERS | {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "subscriptions/listen"}
LISTEN = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "subscriptions/listen",
    "params": {
        "notifications": {"toolsListChanged": True},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}
"""Opens a stream of 2026-07-28, which has no sessions."""

ERAS = ["legacy", "2026-07-28"]
"""Modes of the client: sessions up to 2025-11-25, and without sessions."""


def talk(url: str, mode: str, say: Callable[[Client], Awaitable[T]], **options: Any) -> T:  # noqa: ANN401 - the client's
    """Connect, say something, and give what came of it."""

    async def run() -> T:
        async with asyncio.timeout(10), Client(url, mode=mode, **options) as client:
            return await say(client)

    return asyncio.run(run())


def refusal(url: str, mode: str, say: Callable[[Client], Awaitable[object]]) -> MCPError:
    """The JSON-RPC error that comes of it."""

    async def fail(client: Client) -> MCPError:
        with pytest.raises(MCPError) as caught:
            await say(client)
        return caught.value

    return talk(url, mode, fail)
