"""Who asks behind a trusted proxy: what `X-Forwarded-For` says, where that is an address.

A proxy may pass on whatever it was sent. An entry that is no IP address says nothing of who asks, and the client is
then the proxy itself, whose address is known.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import ASGIApp, Receive, Scope, Send

_PEER: Final = "nexusd.peer"
"""The key of the connection's own address in the scope, while the headers are read."""

_DIGITS: Final = re.compile(r"[0-9A-Fa-f.:]+")


class BehindProxies:
    """An ASGI application that is told of clients behind proxies, in `client` and `scheme` of the scope.

    Args:
        trusted: addresses and networks of proxies whose headers are believed.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._believed = ProxyHeadersMiddleware(self._checked, list(trusted))  # type: ignore[arg-type] # two spellings of ASGI

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[_PEER] = scope["client"]
        await self._believed(scope, receive, send)  # type: ignore[arg-type] # see above

    async def _checked(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.pop(_PEER)
        if scope["client"] != peer:
            host, port = scope["client"]
            address = _address(host)
            scope["client"] = peer if address is None else (address, port)
        await self._app(scope, receive, send)


def _address(text: str) -> str | None:
    """An IP address in its usual form, without a zone, which can hold any text; None for what is none."""
    text = text.partition("%")[0]
    if _DIGITS.fullmatch(text) is None:
        return None
    try:
        return str(ip_address(text))
    except ValueError:
        return None
