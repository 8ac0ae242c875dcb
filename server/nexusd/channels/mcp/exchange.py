"""One HTTP request to the MCP door: who is behind it, and what the log is to say of it.

The channel leaves it in the ASGI scope, for what stands in front of the SDK and for what the SDK calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from nexusd.definitions.execution import new_request_id
from nexusd.definitions.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from mcp.server.context import ServerRequestContext

    from nexusd.definitions.trace import Trace

EXCHANGE: Final = "nexusd.exchange"
"""Its key in the scope."""


@dataclass(slots=True)
class Exchange:
    """A request, as far as it is known.

    Attributes:
        principal: who asks; nobody in particular without authentication, and over stdio.
        trace: what it is a part of.
        workflow, execution_id: what was run.
    """

    request_id: str
    principal: Principal = ANONYMOUS
    trace: Trace | None = None
    workflow: str | None = None
    execution_id: str | None = None


def exchange_in(scope: MutableMapping[str, Any]) -> Exchange:
    """That of an HTTP request."""
    exchange = scope.get(EXCHANGE)
    return exchange if isinstance(exchange, Exchange) else Exchange(new_request_id())


def exchange_of(context: ServerRequestContext[dict[str, object], object]) -> Exchange:
    """That of the message that is being handled; a new one over stdio."""
    scope = getattr(context.request, "scope", None)
    return exchange_in(scope) if isinstance(scope, dict) else Exchange(new_request_id())


def caller_of(context: ServerRequestContext[dict[str, object], object]) -> Principal:
    """Who sent the message that is being handled."""
    return exchange_of(context).principal
