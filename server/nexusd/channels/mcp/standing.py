"""Streams that a client keeps open: they end when the credential that opened them is no longer good.

A call ends by itself, within its workflow's limit; what follows the changes of a server would be told them for ever.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

RECHECK_S: Final = 5.0
"""How often it is asked whether the caller is still known."""

_LISTEN: Final = (b"mcp-method", b"subscriptions/listen")
"""Every listen request carries it: one whose header and body do not agree is refused (2026-07-28, HTTP transport)."""


def is_standing(scope: Scope) -> bool:
    """Whether the answer to a request is a stream without an end: a session's own, or that of a listener."""
    return scope["method"] == "GET" or _LISTEN in scope["headers"]


async def answer_while(
    is_known: Callable[[], Awaitable[bool]], app: ASGIApp, scope: Scope, receive: Receive, send: Send
) -> None:
    """Let `app` answer for as long as `is_known`, which is asked every RECHECK_S; then its answer ends as it is."""
    outlet = _Outlet(send)
    answering = asyncio.ensure_future(app(scope, receive, outlet))
    try:
        while not (await asyncio.wait([answering], timeout=RECHECK_S))[0]:
            if not await is_known():
                break
        else:
            await answering
            return
    finally:
        if not answering.done():
            answering.cancel()
            await asyncio.wait([answering])
    await outlet.end()


class _Outlet:
    """Passes an answer on, and knows whether it is under way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_open = False

    async def __call__(self, message: Message) -> None:
        self._is_open = message["type"] == "http.response.start" or bool(message.get("more_body", False))
        await self._send(message)

    async def end(self) -> None:
        """End the answer, if there is one that has not ended."""
        if self._is_open:
            await self._send({"type": "http.response.body", "body": b""})
